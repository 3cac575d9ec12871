"""The faster vision transformer against the stock one: features and gradients."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from tiny_cases import picture, small_model

from geor1.models.encoding import PromptEncoder
from geor1.models.speed import use_fast_vision

SIZES = ([(112, 56)], [(56, 56), (56, 56)], [(224, 56), (84, 84), (28, 28), (84, 84), (140, 112)])


@pytest.mark.parametrize("sizes", SIZES, ids=["one image", "windows of one size", "windows of many sizes"])
def test_features_and_gradients_equal_the_stock_ones(sizes: list[tuple[int, int]]) -> None:
    stock, processor = small_model(spread=2.0)
    rng = np.random.default_rng(0)
    encoder = PromptEncoder(processor)
    prompt = encoder.encode("<image> " * len(sizes), [picture(rng, *size) for size in sizes])
    batch = encoder.stack([prompt])
    results = []
    for model in (stock, use_fast_vision(copy.deepcopy(stock))):
        features = torch.cat(
            list(model.model.get_image_features(batch.pixel_values, batch.image_grid_thw).pooler_output)
        )
        (features * torch.sin(torch.arange(features.numel()).view(features.shape))).sum().backward()
        results.append((features.detach(), {name: one.grad for name, one in model.model.visual.named_parameters()}))
    assert torch.allclose(results[0][0], results[1][0], atol=1e-5)
    for name, gradient in results[0][1].items():
        assert float((gradient - results[1][1][name]).norm() / gradient.norm().clamp(min=1e-9)) <= 1e-5, name


def test_weights_and_their_names_stay() -> None:
    stock, _ = small_model()
    fast = use_fast_vision(copy.deepcopy(stock))
    assert stock.state_dict().keys() == fast.state_dict().keys()
    again = copy.deepcopy(fast)
    attention = again.model.visual.blocks[0].attn
    assert attention.forward.__self__ is attention
