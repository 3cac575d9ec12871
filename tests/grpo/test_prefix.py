"""Shared-prefix scoring against row-by-row scoring: log probabilities, entropies and every gradient."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tiny_cases import picture, small_model

from geor1.grpo.prefix import PrefixError, score_completions
from geor1.grpo.rollout import roll_out
from geor1.models.encoding import EncodedPrompt, PromptEncoder
from geor1.models.generate import end_tokens

GROUP = 3
LENGTH = 7
EQUAL = ("ground : <image> A : <image> ?", "water : <image> B : <image> .")
UNEQUAL = ("ground : <image> A : <image> ?", "north <image>", "so tile")


def encode(processor: Any, prompts: tuple[str, ...]) -> tuple[PromptEncoder, list[EncodedPrompt]]:
    rng = np.random.default_rng(0)
    encoder = PromptEncoder(processor)
    return encoder, [encoder.encode(text, [picture(rng) for _ in range(text.count("<image>"))]) for text in prompts]


def random_completions(rows: int, vocabulary: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(15, vocabulary, (rows, LENGTH), generator=generator)
    lengths = torch.randint(1, LENGTH + 1, (rows,), generator=generator)
    lengths[0] = LENGTH
    return tokens, (torch.arange(LENGTH) < lengths[:, None]).long()


def row_by_row(
    model: Any, encoder: PromptEncoder, prompts: list[EncodedPrompt], tokens: torch.Tensor, mask: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The plain way: one full forward pass a row, nothing shared, nothing padded."""
    scored, entropies = torch.zeros(tokens.shape), torch.zeros(tokens.shape)
    for row in range(tokens.shape[0]):
        batch = encoder.stack([prompts[row // GROUP]])
        own = tokens[row : row + 1, : int(mask[row].sum())]
        ids = torch.cat([batch.input_ids, own], dim=1)
        images = {}
        if batch.pixel_values is not None:
            images = {"pixel_values": batch.pixel_values, "image_grid_thw": batch.image_grid_thw}
        model.model.rope_deltas = None
        logits = model(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            mm_token_type_ids=torch.cat([batch.mm_token_type_ids, torch.zeros_like(own)], dim=1),
            use_cache=False,
            **images,
        ).logits[0, batch.input_ids.shape[1] - 1 : -1]
        normalised = torch.log_softmax(logits / 0.7, dim=-1)
        scored[row, : own.shape[1]] = normalised.gather(-1, own[0, :, None])[:, 0]
        entropies[row, : own.shape[1]] = -(normalised.exp() * normalised).sum(-1).detach()
    return scored, entropies


def gradients(model: Any, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    model.zero_grad(set_to_none=True)
    loss.backward()
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters() if parameter.grad is not None}


@pytest.mark.parametrize("texts", [EQUAL, UNEQUAL], ids=["equal lengths", "left-padded"])
def test_scores_and_gradients_equal_row_by_row(texts: tuple[str, ...]) -> None:
    model, processor = small_model(seed=2, spread=2.0)
    model.train()
    encoder, prompts = encode(processor, texts)
    tokens, mask = random_completions(GROUP * len(prompts), len(processor.tokenizer))
    weights = torch.randn(tokens.shape[0], 1, generator=torch.Generator().manual_seed(1))
    plain, plain_entropies = row_by_row(model, encoder, prompts, tokens, mask)
    expected = gradients(model, (plain * weights * mask).sum())
    scores = score_completions(model, encoder.stack(prompts), tokens, mask, temperature=0.7, with_entropy=True)
    found = gradients(model, (scores.log_probs * weights * mask).sum())
    assert float((scores.log_probs - plain).detach().abs().max()) <= 1e-5
    assert scores.entropies is not None
    assert float((scores.entropies - plain_entropies).abs().max()) <= 1e-5
    assert set(found) == set(expected)
    difference = torch.cat([(found[name] - expected[name]).flatten() for name in expected]).norm()
    assert float(difference / torch.cat([value.flatten() for value in expected.values()]).norm()) <= 1e-5
    assert float(expected["model.visual.patch_embed.proj.weight"].norm()) > 0


def test_sampling_reports_the_same_scores_as_scoring() -> None:
    model, processor = small_model(seed=3, spread=2.0)
    encoder, prompts = encode(processor, UNEQUAL)
    ends = end_tokens(model, processor.tokenizer)
    settings = {"group_size": GROUP, "max_new_tokens": 9, "temperature": 0.7, "eos_token_ids": ends}
    rollouts = roll_out(model, encoder, prompts, seed=4, rows_per_batch=GROUP * 2, **settings)
    width = max(len(ids) for ids in rollouts.completion_ids)
    tokens = torch.tensor([ids + [0] * (width - len(ids)) for ids in rollouts.completion_ids])
    mask = torch.tensor([[1] * len(ids) + [0] * (width - len(ids)) for ids in rollouts.completion_ids])
    with torch.no_grad():
        scores = score_completions(model, encoder.stack(prompts), tokens, mask, temperature=0.7, with_entropy=True)
    for row, (log_probs, entropies) in enumerate(zip(rollouts.log_probs, rollouts.entropies, strict=True)):
        assert scores.entropies is not None
        assert torch.allclose(scores.log_probs[row, : len(log_probs)], torch.tensor(log_probs), atol=1e-5)
        assert torch.allclose(scores.entropies[row, : len(entropies)], torch.tensor(entropies), atol=1e-5)
    assert rollouts == roll_out(model, encoder, prompts, seed=4, rows_per_batch=GROUP * 2, **settings)
    assert len({tuple(ids) for ids in rollouts.completion_ids[:GROUP]}) > 1


def test_gradient_checkpointing_is_refused() -> None:
    model, processor = small_model()
    encoder, prompts = encode(processor, EQUAL)
    model.train()
    model.gradient_checkpointing_enable()
    tokens, mask = random_completions(2, len(processor.tokenizer))
    with pytest.raises(PrefixError, match="gradient_checkpointing=False"):
        score_completions(model, encoder.stack(prompts), tokens, mask)


def test_rows_must_be_whole_groups() -> None:
    model, processor = small_model()
    encoder, prompts = encode(processor, EQUAL)
    tokens, mask = random_completions(3, len(processor.tokenizer))
    with pytest.raises(ValueError, match="multiple of 2"):
        score_completions(model, encoder.stack(prompts), tokens, mask)


def test_a_single_token_needs_no_second_pass() -> None:
    model, processor = small_model()
    encoder, prompts = encode(processor, EQUAL)
    tokens, _ = random_completions(4, len(processor.tokenizer))
    scores = score_completions(model, encoder.stack(prompts), tokens[:, :1], torch.ones(4, 1))
    assert scores.log_probs.shape == (4, 1)
    assert bool((scores.log_probs < 0).all())
