"""Sampling and scoring with a vocabulary of 151,936: what ends a completion, what settings reach it, shared scoring."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from published import ENDS, FAMILIES, GENERATION, VOCABULARY, write_checkpoint
from test_prompts import LETTERS, noise

from geor1.answers import pairing_prompt, to_messages
from geor1.grpo.prefix import score_completions
from geor1.grpo.rollout import Rollouts, roll_out
from geor1.models.decoding import pick_tokens
from geor1.models.encoding import PromptEncoder
from geor1.models.generate import end_tokens, generate, to_generation
from geor1.models.loading import load_model, load_processor

GROUP = 4
SMALL_PX = ((224, 112), *[(112, 112)] * 5)
PAPER_PX = ((1232, 224), *[(448, 448)] * 5)


@pytest.fixture(scope="module", params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def checkpoint(tokenizers: Path, family: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp(family), tokenizers, family, spread=2.0)


def pictures(sizes: Any, count: int = 5, first: int = 0) -> list[Any]:
    return [noise(*size, seed=first + place) for place, size in enumerate(sizes[: count + 1])]


def sampled(model: Any, processor: Any, sizes: Any, length: int) -> tuple[PromptEncoder, list[Any], Rollouts]:
    """Groups for a question of five tiles and, shorter, one of four."""
    encoder = PromptEncoder(processor)
    prompts = [encoder.encode(pairing_prompt(LETTERS[:count]), pictures(sizes, count, count)) for count in (5, 4)]
    settings = {"group_size": GROUP, "max_new_tokens": length, "temperature": 1.0, "seed": 3}
    ends = end_tokens(model, processor.tokenizer)
    return encoder, prompts, roll_out(model, encoder, prompts, eos_token_ids=ends, **settings)


def stock_scores(checkpoint: Path, sizes: Any, completions: list[list[int]]) -> torch.Tensor:
    """What transformers' own processor and model say, all rows in one left-padded batch, everything repeated."""
    import transformers
    from transformers import AutoModelForImageTextToText

    model = AutoModelForImageTextToText.from_pretrained(checkpoint, dtype=torch.float32).eval()
    processor = load_processor(checkpoint)
    assert type(model).__module__.startswith(transformers.__name__)
    texts, images = [], []
    for count in (5, 4):
        messages = to_messages(pairing_prompt(LETTERS[:count]))
        text = processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        texts += [text] * GROUP
        images += [pictures(sizes, count, count)] * GROUP
    inputs = processor(text=texts, images=images, padding=True, return_tensors="pt")
    assert not bool(inputs.attention_mask[-1, 0]) and bool(inputs.attention_mask[:, -1].all())
    longest = max(map(len, completions))
    own = torch.tensor([row + [151643] * (longest - len(row)) for row in completions])
    inputs["input_ids"] = torch.cat([inputs.input_ids, own], dim=1)
    inputs["attention_mask"] = torch.cat([inputs.attention_mask, torch.ones_like(own)], dim=1)
    inputs["mm_token_type_ids"] = torch.cat([inputs.mm_token_type_ids, torch.zeros_like(own)], dim=1)
    with torch.no_grad():
        logits = model(**inputs, use_cache=False, logits_to_keep=longest + 1).logits[:, :-1]
    return torch.log_softmax(logits, dim=-1).gather(-1, own[..., None])[..., 0]


@pytest.mark.parametrize(
    ("sizes", "length"), [(SMALL_PX, 12), pytest.param(PAPER_PX, 32, marks=pytest.mark.slow)], ids=["small", "paper"]
)
def test_shared_scoring_is_the_stock_scoring(checkpoint: Path, sizes: Any, length: int) -> None:
    model, processor = load_model(checkpoint), load_processor(checkpoint)
    encoder, prompts, rolled = sampled(model, processor, sizes, length)
    rows = rolled.completion_ids
    tokens = torch.full((len(rows), max(map(len, rows))), encoder.pad_token_id)
    mask = torch.zeros_like(tokens)
    for row, ids in enumerate(rows):
        tokens[row, : len(ids)], mask[row, : len(ids)] = torch.tensor(ids), 1
    shared = score_completions(model, encoder.stack(prompts), tokens, mask, with_entropy=True)
    stock = stock_scores(checkpoint, sizes, rows)
    assert len({tuple(row) for row in rows}) == len(rows)
    for row, ids in enumerate(rows):
        own = shared.log_probs[row, : len(ids)]
        assert torch.allclose(own, stock[row, : len(ids)], atol=1e-4), row
        assert torch.allclose(own, torch.tensor(rolled.log_probs[row]), atol=1e-4), row


def test_either_end_token_ends_a_completion(checkpoint: Path) -> None:
    model, processor = load_model(checkpoint), load_processor(checkpoint)
    ends = end_tokens(model, processor.tokenizer)
    assert ends == ENDS
    _, _, rolled = sampled(model, processor, SMALL_PX, 40)
    last = {ids[-1] for ids in rolled.completion_ids if len(ids) < 40}
    assert last and last <= set(ENDS)
    for end in ENDS:
        done = to_generation(processor.tokenizer, [9707, 11, end], ends)
        assert done.finished and done.text == "Hello," and done.completion_tokens == 3
    assert all(not set(ids[:-1]) & set(ENDS) for ids in rolled.completion_ids)


def test_published_sampling_defaults_change_nothing(checkpoint: Path, family: str) -> None:
    """A published ``generation_config.json`` penalises repetition or cuts the tail; a policy is sampled as it is."""
    model, processor = load_model(checkpoint), load_processor(checkpoint)
    assert model.generation_config.repetition_penalty == GENERATION[family]["repetition_penalty"]
    shown = pictures(SMALL_PX)
    settings = {"max_new_tokens": 24, "temperature": 0.0}
    ours = generate(model, processor, [pairing_prompt(LETTERS)], [shown], **settings)[0]
    for name, value in {"repetition_penalty": 5.0, "top_k": 1, "top_p": 0.1, "temperature": 9.0}.items():
        setattr(model.generation_config, name, value)
    assert generate(model, processor, [pairing_prompt(LETTERS)], [shown], **settings)[0] == ours

    messages = to_messages(pairing_prompt(LETTERS))
    text = processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    inputs = processor(text=[text], images=shown, return_tensors="pt")
    for penalty in (1.0, 5.0):
        model.model.rope_deltas = None
        neutral = {"do_sample": False, "max_new_tokens": 24, "repetition_penalty": penalty}
        barred = {"suppress_tokens": [model.config.image_token_id, model.config.video_token_id]}
        ids = model.generate(**inputs, **neutral, **barred)[0, inputs.input_ids.shape[1] :].tolist()
        assert (to_generation(processor.tokenizer, ids, ENDS).text == ours.text) == (penalty == 1.0)


def test_a_large_vocabulary_is_sampled_as_it_is_distributed() -> None:
    """Evenly spaced draws fall into ranges of token ids in the ranges' shares, to one draw."""
    rng = np.random.default_rng(0)
    logits = torch.tensor(rng.normal(0, 2.5, VOCABULARY), dtype=torch.float32)
    draws = (torch.arange(1024) + 0.5) / 1024
    chosen = torch.cat([pick_tokens(logits.expand(64, -1), 1.0, some) for some in draws.split(64)])
    shares = torch.softmax(logits.double(), -1).view(64, -1).sum(1)  # 64 ranges of 2,374 ids
    counts = torch.bincount(chosen // (VOCABULARY // 64), minlength=64)
    assert float((counts - 1024 * shares).abs().max()) <= 1.0
    assert counts.min() > 5 and len(chosen.unique()) > 700
