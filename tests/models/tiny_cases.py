"""A very small model and a handful of questions with random pictures, shared by the model, SFT and GRPO tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from geor1.answers import pairing_prompt
from geor1.models.loading import save_checkpoint
from geor1.models.tiny import TinySizes, build_model, build_processor, build_tokenizer
from geor1.records import Candidate, Question, Scaffold, write_jsonl

LETTERS = ("A", "B", "C")
FEATURES = ("water", "forest", "houses")
WORDS = (pairing_prompt(LETTERS), "north ground same other so tile . , water forest houses", " ".join(LETTERS))
SMALL = TinySizes(
    hidden=32,
    intermediate=48,
    layers=2,
    heads=2,
    key_value_heads=1,
    vision_hidden=32,
    vision_intermediate=48,
    vision_depth=2,
    vision_heads=2,
    window_px=56,
)


def small_model(seed: int = 0, spread: float = 1.0, **sizes: Any) -> tuple[Any, Any]:
    """A random model of SMALL size and its processor; ``spread`` widens its weights so that outputs differ."""
    import torch

    tokenizer = build_tokenizer(WORDS)
    model = build_model(tokenizer, SMALL, seed=seed, **sizes)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(spread)
    return model.eval(), build_processor(tokenizer)


def small_checkpoint(folder: Path, seed: int = 0, spread: float = 1.0, **sizes: Any) -> Path:
    """Save :func:`small_model`."""
    return save_checkpoint(*small_model(seed, spread, **sizes), folder)


def picture(rng: np.random.Generator, width: int = 56, height: int = 28) -> Image.Image:
    """A picture of random bytes."""
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))


def write_questions(folder: Path, count: int, *, seed: int = 0) -> Path:
    """Write a data folder: questions_train.jsonl, questions_test.jsonl, scaffolds.jsonl and images."""
    rng = np.random.default_rng(seed)
    (folder / "images").mkdir(parents=True)
    for split in ("train", "test"):
        questions = [_question(folder, rng, split, number) for number in range(count)]
        write_jsonl(folder / f"questions_{split}.jsonl", questions)
        if split == "train":
            write_jsonl(folder / "scaffolds.jsonl", [_scaffold(question, rng) for question in questions])
    return folder


def _question(folder: Path, rng: np.random.Generator, split: str, number: int) -> Question:
    name = f"{split}-{number:03d}"
    picture(rng).save(folder / "images" / f"{name}-ground.png")
    candidates = []
    for letter in LETTERS:
        picture(rng, 28, 28).save(folder / "images" / f"{name}-{letter}.png")
        facts = {"north": str(rng.choice(FEATURES)), "east": str(rng.choice(FEATURES))}
        candidates.append(
            Candidate(
                letter=letter, pair_id=f"{name}-{letter}", satellite_image=f"images/{name}-{letter}.png", facts=facts
            )
        )
    answer = str(rng.choice(LETTERS))
    return Question(
        question_id=name,
        pair_id=name,
        source="random",
        split=split,
        ground_image=f"images/{name}-ground.png",
        candidates=tuple(candidates),
        answer=answer,
        facts=candidates[LETTERS.index(answer)].facts,
    )


def _scaffold(question: Question, rng: np.random.Generator) -> Scaffold:
    chosen = str(rng.choice(LETTERS))
    chain = f"north ground {question.facts['north']} . so tile {chosen}"
    return Scaffold(
        scaffold_id=question.question_id,
        kind="pairing",
        split=question.split,
        images=(question.ground_image, *(candidate.satellite_image for candidate in question.candidates)),
        prompt=pairing_prompt(LETTERS),
        completion=f"<think> {chain} </think> <answer> {chosen} </answer>",
        n_facts=1,
        pairing_labels_seen=int(chosen == question.answer),
    )
