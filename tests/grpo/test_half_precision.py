"""Shared scoring in bfloat16: no further from the truth than transformers' own padded batch is."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from families import FAMILIES, family_model
from test_prefix import EQUAL, GROUP, encode, random_completions

from geor1.grpo.attention import choose_kernel
from geor1.grpo.prefix import score_completions
from geor1.models.encoding import EncodedPrompt, PromptEncoder

TEMPERATURE = 0.7
PADDING = (0, 3, 16, 64)


def padded_batch(
    model: Any, encoder: PromptEncoder, prompts: list[EncodedPrompt], tokens: torch.Tensor, mask: torch.Tensor, pad: int
) -> torch.Tensor:
    """What TRL computes: G copies of every prompt and its images in one left-padded batch, here padded further."""
    copies = [prompts[row // GROUP] for row in range(len(tokens))]
    batch = encoder.stack(copies).to(model.device)
    images = [image for prompt in copies for image in prompt.images]
    left = torch.zeros(len(tokens), pad, dtype=torch.long, device=model.device)
    model.model.rope_deltas = None
    logits = model(
        input_ids=torch.cat([left + encoder.pad_token_id, batch.input_ids, tokens], dim=1),
        attention_mask=torch.cat([left, batch.attention_mask, mask], dim=1),
        mm_token_type_ids=torch.cat([left, batch.mm_token_type_ids, torch.zeros_like(tokens)], dim=1),
        pixel_values=torch.cat([image.patches for image in images]).to(model.device, model.dtype),
        image_grid_thw=torch.tensor([image.grid_thw for image in images], device=model.device),
        use_cache=False,
    ).logits[:, -tokens.shape[1] - 1 : -1]
    scores = torch.log_softmax(logits.float() / TEMPERATURE, dim=-1)
    return scores.gather(-1, tokens[..., None])[..., 0] * mask


def rms(difference: torch.Tensor) -> float:
    return float(difference.square().mean().sqrt())


@torch.no_grad()
def errors(family: str, device: str) -> tuple[float, float, float, float]:
    """Root mean square errors: ours and stock from float32, ours from stock, and stock under different padding."""
    exact, processor = family_model(family)
    exact = exact.to(device)
    encoder, prompts = encode(processor, EQUAL)
    tokens, mask = (one.to(device) for one in random_completions(GROUP * len(prompts), len(processor.tokenizer)))
    half = copy.deepcopy(exact).to(torch.bfloat16)
    truth = padded_batch(exact, encoder, prompts, tokens, mask, 0)
    stock, *others = (padded_batch(half, encoder, prompts, tokens, mask, pad) for pad in PADDING)
    batch = encoder.stack(prompts).to(device)
    ours = score_completions(half, batch, tokens, mask, temperature=TEMPERATURE).log_probs
    assert ours.dtype == torch.float32
    return rms(ours - truth), rms(stock - truth), rms(ours - stock), max(rms(stock - other) for other in others)


@pytest.mark.parametrize("family", FAMILIES)
def test_rounding_costs_no_more_than_in_a_padded_batch(family: str) -> None:
    ours, stock, *_ = errors(family, "cpu")
    assert 1e-4 < stock < 1e-2
    assert ours < 1.3 * stock


@pytest.mark.gpu
@pytest.mark.parametrize("family", FAMILIES)
def test_on_a_gpu_the_difference_is_that_between_two_paddings(family: str) -> None:
    assert choose_kernel(torch.device("cuda"), torch.bfloat16) == "flex"
    ours, stock, between, paddings = errors(family, "cuda")
    assert ours < 1.3 * stock
    assert between <= paddings
