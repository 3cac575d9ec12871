"""Shared-prefix scoring against row-by-row scoring: log probabilities, entropies and every gradient."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from families import FAMILIES, family_model
from tiny_cases import SMALL, picture, small_model

from geor1.grpo.attention import lay_out
from geor1.grpo.prefix import score_completions
from geor1.grpo.rollout import roll_out
from geor1.models.encoding import EncodedPrompt, PromptEncoder
from geor1.models.generate import end_tokens
from geor1.models.training import lora_settings

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


def compare(
    model: Any, processor: Any, texts: tuple[str, ...], lengths: tuple[int, ...] | None = None, **how: Any
) -> None:
    """Shared scoring against row by row: log probabilities, entropies and the gradient of every parameter."""
    encoder, prompts = encode(processor, texts)
    tokens, mask = random_completions(GROUP * len(prompts), len(processor.tokenizer))
    if lengths is not None:
        mask = (torch.arange(LENGTH) < torch.tensor(lengths)[:, None]).long()
    weights = torch.randn(tokens.shape[0], 1, generator=torch.Generator().manual_seed(1))
    plain, plain_entropies = row_by_row(model, encoder, prompts, tokens, mask)
    expected = gradients(model, (plain * weights * mask).sum())
    scores = score_completions(model, encoder.stack(prompts), tokens, mask, temperature=0.7, with_entropy=True, **how)
    found = gradients(model, (scores.log_probs * weights * mask).sum())
    assert float((scores.log_probs - plain).detach().abs().max()) <= 1e-5
    assert scores.entropies is not None
    assert float((scores.entropies - plain_entropies).abs().max()) <= 1e-5
    assert set(found) == set(expected) and expected
    for name, value in expected.items():
        assert float((found[name] - value).norm() / value.norm().clamp(min=1e-4)) <= 1e-5, name


@pytest.mark.parametrize("kernel", ["flash", "mask"])
@pytest.mark.parametrize("texts", [EQUAL, UNEQUAL], ids=["equal lengths", "unequal lengths"])
@pytest.mark.parametrize("family", FAMILIES)
def test_scores_and_gradients_equal_row_by_row(family: str, texts: tuple[str, ...], kernel: str) -> None:
    model, processor = family_model(family)
    compare(model.train(), processor, texts, kernel=kernel)
    assert float(model.model.visual.patch_embed.proj.weight.grad.norm()) > 0


@pytest.mark.parametrize("family", FAMILIES)
def test_gradient_checkpointing_changes_nothing(family: str) -> None:
    model, processor = family_model(family)
    model.train()
    model.gradient_checkpointing_enable({"use_reentrant": False})
    compare(model, processor, UNEQUAL)


def test_low_rank_adapters_and_the_reference_without_them() -> None:
    import peft

    model, processor = family_model("qwen2_5_vl")
    adapted = peft.get_peft_model(model, lora_settings(4, 8))
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.3, generator=torch.Generator().manual_seed(len(name)))
    core = adapted.get_base_model().train()
    compare(core, processor, UNEQUAL)
    encoder, prompts = encode(processor, EQUAL)
    tokens, mask = random_completions(GROUP * 2, len(processor.tokenizer))
    with torch.no_grad():
        tuned = score_completions(core, encoder.stack(prompts), tokens, mask).log_probs
        with adapted.disable_adapter():
            reference = score_completions(core, encoder.stack(prompts), tokens, mask).log_probs
        plain, same_processor = family_model("qwen2_5_vl")
        untouched = score_completions(plain, encode(same_processor, EQUAL)[0].stack(prompts), tokens, mask).log_probs
    assert torch.allclose(reference, untouched, atol=1e-6)
    assert float((tuned - reference).abs().max()) > 1e-2


@pytest.mark.parametrize(
    "lengths",
    [(0, 7, 1, 3, 0, 2), (0, 0, 0, 5, 5, 5), (1, 1, 1, 1, 1, 1), (7, 7, 7, 7, 7, 7)],
    ids=["some empty", "an empty group", "one token", "all full"],
)
def test_empty_and_short_completions(lengths: tuple[int, ...]) -> None:
    model, processor = family_model("qwen2_5_vl")
    compare(model.train(), processor, EQUAL, lengths)


@pytest.mark.parametrize("images", [1, 3, 8])
def test_any_number_of_images(images: int) -> None:
    model, processor = family_model("qwen2_5_vl")
    compare(model.train(), processor, ("tile <image> " * images, "water <image> " * images))


def test_logits_in_pieces_are_the_same() -> None:
    model, processor = family_model("qwen2_5_vl")
    compare(model.train(), processor, UNEQUAL, logits_chunk_tokens=5)


@pytest.mark.parametrize("family", FAMILIES)
def test_mixed_precision_is_as_near_as_the_plain_form(family: str) -> None:
    model, processor = family_model(family)
    encoder, prompts = encode(processor, UNEQUAL)
    tokens, mask = random_completions(GROUP * 3, len(processor.tokenizer))
    exact = score_completions(model, encoder.stack(prompts), tokens, mask).log_probs
    errors = {}
    for kernel in ("flash", "mask"):
        with torch.autocast("cpu", torch.bfloat16):
            scores = score_completions(model.train(), encoder.stack(prompts), tokens, mask, kernel=kernel).log_probs
        found = gradients(model, (scores * mask).sum())
        assert all(bool(torch.isfinite(value).all()) for value in found.values())
        errors[kernel] = float((scores - exact).detach().abs().max())
    assert 0 < errors["flash"] <= 2 * errors["mask"] + 1e-3


def test_no_token_of_the_row_is_padding() -> None:
    model, processor = family_model("qwen2_5_vl")
    encoder, prompts = encode(processor, UNEQUAL)
    tokens, mask = random_completions(GROUP * 3, len(processor.tokenizer))
    widths = []
    hook = model.model.language_model.layers[0].register_forward_pre_hook(
        lambda _, inputs: widths.append(inputs[0].shape)
    )
    score_completions(model, encoder.stack(prompts), tokens, mask)
    hook.remove()
    needed = sum(len(prompt.input_ids) for prompt in prompts) + int((mask.sum(1) - 1).sum())
    assert widths == [(1, needed, SMALL.hidden)]


@pytest.mark.parametrize("size", [1, 4, 7, 128])
def test_blocks_of_tokens_tell_what_is_seen_between_them(size: int) -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        prompts = int(rng.integers(1, 5))
        lengths = rng.integers(0, 9, prompts * GROUP).tolist()
        device = torch.device("cpu")
        layout = lay_out(rng.choice([3, 11, 12], prompts).tolist(), lengths, kernel="flex", device=device)
        some, whole = layout.blocks(size)
        length = len(layout.row_of)
        padded = torch.zeros(len(some) * size, len(some) * size, dtype=torch.bool)
        padded[:length, :length] = layout.mask()
        tiles = padded.view(len(some), size, len(some), size).transpose(1, 2)
        assert bool((some | ~tiles.any(-1).any(-1)).all()), "a block that holds a visible pair is left out"
        inside = tiles[: length // size]  # queries beyond the row's end are computed and thrown away
        assert bool((~whole[: length // size] | inside.all(-1).all(-1)).all())
        assert not bool((whole & ~some).any())
        if size == 1:
            assert torch.equal(some, layout.mask())


def test_the_block_mask_leaves_most_of_a_long_row_out() -> None:
    layout = lay_out([1024] * 4, [200] * 32, kernel="flex", device=torch.device("cpu"))
    some, whole = layout.blocks(128)
    needed = layout.mask().float().mean()
    assert 0.05 < float(whole.float().mean()) < float(some.float().mean()) < 1.8 * float(needed)
    counts = layout.block_mask.kv_num_blocks + layout.block_mask.full_kv_num_blocks
    assert torch.equal(counts[0, 0].long(), some.sum(1))


def test_the_block_mask_of_flex_attention_shows_the_same() -> None:
    model, processor = family_model("qwen2_5_vl")
    encoder, prompts = encode(processor, UNEQUAL)
    tokens, mask = random_completions(GROUP * 3, len(processor.tokenizer))
    with torch.no_grad():  # FlexAttention has no backward pass on CPU
        scores = {
            kernel: score_completions(model, encoder.stack(prompts), tokens, mask, kernel=kernel).log_probs
            for kernel in ("flex", "mask")
        }
    assert float((scores["flex"] - scores["mask"]).abs().max()) <= 1e-5


def test_the_model_still_works_as_before() -> None:
    model, processor = family_model("qwen2_5_vl")
    encoder, prompts = encode(processor, UNEQUAL)
    batch = encoder.stack(prompts)
    plain = {name: getattr(batch, name) for name in ("input_ids", "attention_mask", "mm_token_type_ids")}
    plain |= {"pixel_values": batch.pixel_values, "image_grid_thw": batch.image_grid_thw}
    with torch.no_grad():
        before = model(**plain).logits
        score_completions(model, batch, *random_completions(GROUP * 3, len(processor.tokenizer)))
        assert torch.equal(model(**plain).logits, before)


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


def test_what_would_go_wrong_silently_is_refused() -> None:
    model, processor = small_model()
    encoder, prompts = encode(processor, EQUAL)
    tokens, mask = random_completions(4, len(processor.tokenizer))
    gap = mask.clone()
    gap[2] = torch.tensor([1, 0, 1, 0, 0, 0, 0])
    with pytest.raises(ValueError, match="row 2 has a gap"):
        score_completions(model, encoder.stack(prompts), tokens, gap)
    pixels = tokens.clone()
    pixels[1, 0] = model.config.image_token_id
    with pytest.raises(ValueError, match="row 1 holds image_token_id"):
        score_completions(model, encoder.stack(prompts), pixels, mask)
    with pytest.raises(ValueError, match="kernel: expected one of"):
        score_completions(model, encoder.stack(prompts), tokens, mask, kernel="fast")
    model.config.get_text_config()._attn_implementation = "eager"
    with pytest.raises(ValueError, match="loaded with 'sdpa', got 'eager'"):
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
