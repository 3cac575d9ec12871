"""Features on disk: whole or absent, the right ones or none, and the same training whatever is stored."""

from __future__ import annotations

import dataclasses
import logging
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from families import family_model
from tiny_cases import LETTERS, picture, small_checkpoint, write_questions

from geor1.grpo.config import GrpoConfig
from geor1.grpo.run import run_grpo
from geor1.models import vision
from geor1.models.encoding import EncodedImage, EncodedPrompt, PromptEncoder
from geor1.models.feature_store import ABANDONED_S, FeatureStore
from geor1.models.vision import remember_features
from geor1.runs import ConfigError, read_metrics

LIMIT = 1 << 24


def frozen(seed: int = 2, family: str = "qwen2_5_vl") -> tuple[Any, Any]:
    model, processor = family_model(family, seed=seed)
    model.model.visual.requires_grad_(False)
    return model, processor


def prompts(processor: Any, count: int = 3) -> list[EncodedPrompt]:
    rng = np.random.default_rng(0)
    return PromptEncoder(processor).encode_all(["north <image>"] * count, [[picture(rng)] for _ in range(count)])


def store(folder: Path, model: Any, limit_bytes: int = LIMIT) -> FeatureStore:
    return FeatureStore(folder, model, dtype=torch.float32, limit_bytes=limit_bytes)


def found(where: FeatureStore, image: EncodedImage) -> bool:
    return where.find(where.entry(image)) is not None


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Images that went through a tower, call by call."""
    counts: list[int] = []
    stock = vision._run_tower

    def counting(model: Any, pixels: torch.Tensor, grids: torch.Tensor) -> Any:
        counts.append(len(grids))
        return stock(model, pixels, grids)

    monkeypatch.setattr(vision, "_run_tower", counting)
    return counts


@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen3_vl"])
def test_what_is_stored_comes_back_bit_for_bit(tmp_path: Path, runs: list[int], family: str) -> None:
    model, processor = frozen(family=family)
    first = remember_features(model, prompts(processor), store(tmp_path, model))
    assert runs == [1, 1, 1]  # one by one, so that no neighbour has a say in the digits
    again = remember_features(model, prompts(processor), store(tmp_path, model))
    assert runs == [1, 1, 1]
    for left, right in zip(first, again, strict=True):
        assert len(left.images[0].features) == (3 if family == "qwen3_vl" else 1)
        for mine, theirs in zip(left.images[0].features, right.images[0].features, strict=True):
            assert torch.equal(mine, theirs)


def test_another_image_tower_or_precision_is_another_entry(tmp_path: Path) -> None:
    model, processor = frozen()
    image = remember_features(model, prompts(processor, 1), store(tmp_path, model))[0].images[0]
    assert found(store(tmp_path, model), image)
    brighter = dataclasses.replace(image, patches=image.patches + 0.01)
    turned = dataclasses.replace(image, grid_thw=(1, image.grid_thw[2], image.grid_thw[1]))
    assert not found(store(tmp_path, model), brighter) and not found(store(tmp_path, model), turned)
    assert not found(FeatureStore(tmp_path, model, dtype=torch.bfloat16, limit_bytes=LIMIT), image)
    with torch.no_grad():
        next(model.model.visual.merger.parameters()).view(-1)[0] += 1e-3
    assert not found(store(tmp_path, model), image)


def test_a_tower_that_trains_is_refused(tmp_path: Path) -> None:
    model, _ = frozen()
    next(model.model.visual.merger.parameters()).requires_grad_(True)
    with pytest.raises(ValueError, match=r"every weight frozen, 1 train \(first: merger"):
        store(tmp_path, model)
    with pytest.raises(ConfigError, match="freeze_vision=true"):
        GrpoConfig(feature_store=str(tmp_path))


def test_broken_and_half_written_files_are_not_believed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model, processor = frozen()
    [first, second] = [prompt.images[0] for prompt in remember_features(model, prompts(processor, 2))]
    kept = store(tmp_path, model)
    for image in (first, second):
        kept.keep(kept.entry(image), image.features)
    path = kept.entry(first)
    path.write_bytes(path.read_bytes()[:100])
    with caplog.at_level(logging.WARNING):
        assert not found(kept, first)
    assert path.name in caplog.text and not path.exists()
    assert found(kept, second)
    young, old = path.with_name("young.partial"), path.with_name("old.partial")
    for partial in (young, old):
        partial.write_bytes(b"half")
    os.utime(old, (0, young.stat().st_mtime - ABANDONED_S - 1))
    store(tmp_path, model)
    assert young.exists() and not old.exists()


def test_a_failed_write_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import safetensors.torch

    model, processor = frozen()
    image = remember_features(model, prompts(processor, 1))[0].images[0]
    kept = store(tmp_path, model)

    def full(tensors: Any, path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(safetensors.torch, "save_file", full)
    with pytest.raises(OSError, match="No space left"):
        kept.keep(kept.entry(image), image.features)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_what_was_not_used_for_longest_leaves_first_whatever_its_tower(tmp_path: Path) -> None:
    model, processor = frozen()
    other, _ = frozen(seed=3)
    images = [prompt.images[0] for prompt in remember_features(model, prompts(processor, 4))]
    theirs = store(tmp_path, other)
    theirs.keep(theirs.entry(images[0]), images[0].features)
    size = theirs.entry(images[0]).stat().st_size
    kept = store(tmp_path, model, limit_bytes=int(3.5 * size))
    for place, image in enumerate(images[:2]):
        kept.keep(kept.entry(image), image.features)
        os.utime(kept.entry(image), (place + 10, place + 10))
    os.utime(theirs.entry(images[0]), (5, 5))
    kept.find(kept.entry(images[0]))  # used just now
    kept.keep(kept.entry(images[2]), images[2].features)  # the fourth entry; the other tower's is the oldest
    assert not found(theirs, images[0])
    assert [found(kept, image) for image in images] == [True, True, True, False]
    os.utime(kept.entry(images[1]), (11, 11))
    kept.keep(kept.entry(images[3]), images[3].features)
    assert [found(kept, image) for image in images] == [True, False, True, True]


def test_making_room_touches_nothing_but_features(tmp_path: Path) -> None:
    model, processor = frozen()
    foreign = [tmp_path / "Qwen2.5-VL-7B" / name for name in ("model-00001.safetensors", "download.partial")]
    for path in foreign:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"weights" * 10_000)
        os.utime(path, (1, 1))
    kept = store(tmp_path, model, limit_bytes=1)
    for prompt in remember_features(model, prompts(processor)):
        kept.keep(kept.entry(prompt.images[0]), prompt.images[0].features)
    assert all(path.is_file() for path in foreign)
    assert len(list(tmp_path.rglob("*.safetensors"))) == 1  # every entry has gone again


@pytest.mark.parametrize("lora", [False, True])
def test_training_is_the_same_whatever_is_stored(tmp_path: Path, runs: list[int], lora: bool) -> None:
    write_questions(tmp_path / "data", 6)
    small_checkpoint(tmp_path / "base", seed=1, spread=2.0)
    folder = tmp_path / "features"
    config = GrpoConfig(
        steps=4,
        prompts_per_step=3,
        group_size=3,
        max_completion_tokens=6,
        learning_rate=1.0e-2,
        warmup_steps=0,
        eval_every=0,
        freeze_vision=True,
        lora=lora,
        feature_store=str(folder),
        threads=2,
    )

    def train(name: str) -> list[dict[str, float]]:
        runs.clear()
        run_grpo(config, tmp_path / "data", tmp_path / "base", tmp_path / name)
        return read_metrics(tmp_path / name)

    whole = train("empty")
    assert len(runs) == len(list(folder.rglob("*.safetensors"))) == 6 * (1 + len(LETTERS))  # two passes over them
    assert train("full") == whole and not runs
    gone = sorted(folder.rglob("*.safetensors"))[::3]
    for path in gone:
        path.unlink()
    assert train("in part") == whole and len(runs) == len(gone)
