"""Features of a frozen vision tower, remembered: the same numbers, and the tower runs no second time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from families import FAMILIES, family_model
from tiny_cases import picture, small_checkpoint, write_questions

from geor1.grpo.config import GrpoConfig
from geor1.grpo.data import load_questions, to_dataset
from geor1.grpo.prefix import score_completions
from geor1.grpo.run import trl_settings
from geor1.grpo.trainer import GeoGRPOTrainer
from geor1.models import vision
from geor1.models.decoding import decode
from geor1.models.encoding import EncodedPrompt, PromptEncoder
from geor1.models.generate import end_tokens
from geor1.models.loading import load_model, load_processor
from geor1.models.vision import is_frozen, remember_features

PROMPTS = ("ground : <image> A : <image> ?", "water : <image> B : <image> C : <image>", "so tile")


def encoded_prompts(processor: Any) -> tuple[PromptEncoder, list[EncodedPrompt]]:
    """Prompts of which two show the same picture, one none."""
    rng = np.random.default_rng(0)
    encoder = PromptEncoder(processor)
    shared, other, third = picture(rng), picture(rng, 84, 56), picture(rng)
    return encoder, encoder.encode_all(PROMPTS, [[shared, other], [other, third, shared], []])


@pytest.mark.parametrize("family", FAMILIES)
def test_remembered_features_change_no_number(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, processor = family_model(family)
    model.model.visual.requires_grad_(False)
    encoder, prompts = encoded_prompts(processor)
    tokens = torch.randint(15, len(processor.tokenizer), (6, 5), generator=torch.Generator().manual_seed(0))
    how = {"max_new_tokens": 6, "temperature": 0.0, "eos_token_ids": end_tokens(model, processor.tokenizer)}

    def outcome(seen: list[EncodedPrompt]) -> tuple[torch.Tensor, list[list[int]], list[torch.Tensor]]:
        model.zero_grad(set_to_none=True)
        batch = encoder.stack(seen)
        scores = score_completions(model, batch, tokens, torch.ones_like(tokens))
        scores.log_probs.sum().backward()
        gradients = [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]
        return scores.log_probs.detach(), decode(model, batch, **how).tokens, gradients

    plain = outcome(prompts)
    monkeypatch.setattr(vision, "PATCHES_AT_ONCE", 20)  # one image at a time, the last word on portions
    seen = remember_features(model, prompts)
    runs = []
    monkeypatch.setattr(model.model, "get_image_features", lambda *_, **__: runs.append(1))
    remembered = outcome(remember_features(model, seen))
    assert not runs
    torch.testing.assert_close(remembered[0], plain[0], rtol=0, atol=1e-5)
    assert remembered[1] == plain[1]
    torch.testing.assert_close(remembered[2], plain[2], rtol=1e-4, atol=1e-5)


def test_an_image_of_several_prompts_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model, processor = family_model("qwen2_5_vl")
    encoder, prompts = encoded_prompts(processor)
    looked_at = count_images(model, monkeypatch)
    seen = remember_features(model, prompts)
    assert looked_at == [3]
    assert seen[0].images[0] is seen[1].images[2] and seen[0].images[1] is seen[1].images[0]
    assert encoder.stack(seen).pixel_values is None
    # Beside an image without features the others are run again: half of a batch cannot be left out.
    mixed = encoder.stack([seen[0], prompts[1]])
    assert mixed.pixel_values is not None and not mixed.features


@pytest.mark.parametrize("frozen", [True, False])
def test_training_runs_a_frozen_tower_once_a_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, frozen: bool
) -> None:
    write_questions(tmp_path / "data", 6)
    small_checkpoint(tmp_path / "base", seed=1, spread=2.0)
    config = GrpoConfig(
        steps=2, prompts_per_step=2, prompts_per_pass=1, group_size=3, max_completion_tokens=6, beta=0.04, threads=1
    )
    model, processor = load_model(tmp_path / "base"), load_processor(tmp_path / "base")
    if frozen:
        model.model.visual.requires_grad_(False)
    assert is_frozen(model) == frozen
    questions = load_questions(tmp_path / "data", "train")
    trainer = GeoGRPOTrainer(
        model=model,
        reward_funcs=[lambda completion_ids, **_: [float(ids[0] % 2) for ids in completion_ids]],
        args=trl_settings(config, tmp_path / "run", [1.0]),
        train_dataset=to_dataset(questions, tmp_path / "data"),
        processing_class=processor,
        encoder=PromptEncoder(processor),
        run_dir=tmp_path / "run",
    )
    policy, reference = count_images(model, monkeypatch), count_images(trainer.ref_model, monkeypatch)
    trainer.train()
    shown = len(questions[0].candidates) + 1
    assert sum(policy) == 2 * 2 * shown * (1 if frozen else 2)  # sampling, and scoring unless frozen
    assert sum(reference) == (0 if frozen else 2 * 2 * shown)


def count_images(model: Any, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A list that grows by the number of images whenever the model's vision tower runs."""
    counts: list[int] = []
    stock = model.model.get_image_features

    def counting(pixel_values: torch.Tensor, grids_thw: torch.Tensor, **rest: Any) -> Any:
        counts.append(len(grids_thw))
        return stock(pixel_values, grids_thw, **rest)

    monkeypatch.setattr(model.model, "get_image_features", counting)
    return counts
