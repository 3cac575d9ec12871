"""Pairing questions as GRPO's training rows, in the order of consumption."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from geor1.answers import geolocation_prompt, pairing_prompt
from geor1.records import Question, RecordError, read_jsonl

if TYPE_CHECKING:
    from datasets import Dataset


def load_questions(data: Path, split: str) -> list[Question]:
    """Read the questions of a data folder.

    Args:
        data: Run folder of stage 01.
        split: ``train`` or ``test``.

    Raises:
        RecordError: The file is missing, empty or malformed, or holds items of another split.
    """
    path = data / f"questions_{split}.jsonl"
    if not path.is_file():
        raise RecordError(f"{path}: no such file; expected the run folder of 01_data_synthesis")
    questions = read_jsonl(path, Question)
    if not questions:
        raise RecordError(f"{path}: expected at least one question, the file is empty")
    strangers = [question.question_id for question in questions if question.split != split]
    if strangers:
        raise RecordError(f"{path}: {len(strangers)} questions of another split (first: {strangers[0]})")
    return questions


def letters_of(question: Question) -> str:
    """The option letters of a question, e.g. ``ABCDE``."""
    return "".join(candidate.letter for candidate in question.candidates)


def difficulty(question: Question) -> float:
    """How much the wrong tiles resemble the right one, in [0, 1].

    The mean over wrong tiles of the share of the right tile's metadata that they repeat; where metadata are missing,
    a wrong tile counts as the more alike the nearer it lies (1 at 0 m, 1/2 at 1 km).
    """
    right = next(candidate for candidate in question.candidates if candidate.letter == question.answer)
    alike = []
    for candidate in question.candidates:
        if candidate.letter == question.answer:
            continue
        shared = [key for key in right.facts if key in candidate.facts]
        if shared:
            alike.append(sum(candidate.facts[key] == right.facts[key] for key in shared) / len(shared))
        else:
            alike.append(1.0 / (1.0 + (candidate.distance_m or 0.0) / 1000.0))
    return float(np.mean(alike)) if alike else 0.0


def negative_distance_m(question: Question) -> float:
    """Mean distance of the wrong tiles from the question's true position, in metres.

    Raises:
        RecordError: A distance is unknown.
    """
    known = []
    for candidate in question.candidates:
        if candidate.letter == question.answer:
            continue
        if candidate.distance_m is None:
            raise RecordError(
                f"question {question.question_id!r}: candidate {candidate.letter} has no distance_m, which order "
                "'far_to_near' needs; give the pairs positions in 01, or choose another order"
            )
        known.append(candidate.distance_m)
    return float(np.mean(known)) if known else 0.0


def consumption_order(questions: Sequence[Question], needed: int, order: str, seed: int) -> list[int]:
    """Which question stands where in training.

    Args:
        questions: All of them.
        needed: Questions consumed in all; when there are fewer, further passes follow.
        order: ``random`` shuffles each pass. ``easy_to_hard`` sorts what is consumed by :func:`difficulty`, so that a
            run sees its easiest questions first however many it needs; ``far_to_near`` sorts by
            :func:`negative_distance_m`, the farthest negatives first.
        seed: Seed of the shuffles.

    Returns:
        ``needed`` indices into ``questions``.
    """
    rng = np.random.default_rng(seed)
    chosen: list[int] = []
    while len(chosen) < needed:
        chosen.extend(int(index) for index in rng.permutation(len(questions)))
    chosen = chosen[:needed]
    if order == "easy_to_hard":
        chosen.sort(key=lambda index: difficulty(questions[index]))  # stable: ties keep their shuffled order
    if order == "far_to_near":
        chosen.sort(key=lambda index: -negative_distance_m(questions[index]))
    return chosen


def to_dataset(questions: Sequence[Question], data: Path) -> Dataset:
    """Rows for the trainer: prompt (one user message with ``<image>`` markers), images (paths), answer, letters.

    Args:
        questions: One row each, in this order.
        data: Folder that the image paths are relative to.
    """
    from datasets import Dataset

    return Dataset.from_dict(
        {
            "prompt": [[{"role": "user", "content": prompt_of(question)}] for question in questions],
            "images": [images_of(question, data) for question in questions],
            "answer": [question.answer for question in questions],
            "letters": [letters_of(question) for question in questions],
            "question_id": [question.question_id for question in questions],
        }
    )


def to_location_dataset(questions: Sequence[Question], data: Path) -> Dataset:
    """Rows that ask where the panorama was taken, for :mod:`geor1.grpo.location_rewards`.

    Args:
        questions: One row each, in this order, with true positions and countries.
        data: Folder that the image paths are relative to.

    Raises:
        RecordError: A question has no position or country.
    """
    from datasets import Dataset

    unknown = [q.question_id for q in questions if q.latitude_deg is None or q.longitude_deg is None or not q.country]
    if unknown:
        raise RecordError(
            f"{len(unknown)} questions without position or country (first: {unknown[0]!r}); where a picture was taken "
            "can only be rewarded where it is known"
        )
    prompt = [{"role": "user", "content": geolocation_prompt()}]
    return Dataset.from_dict(
        {
            "prompt": [prompt] * len(questions),
            "images": [[str(data / question.ground_image)] for question in questions],
            "latitude_deg": [question.latitude_deg for question in questions],
            "longitude_deg": [question.longitude_deg for question in questions],
            "country": [question.country for question in questions],
            "question_id": [question.question_id for question in questions],
        }
    )


def prompt_of(question: Question) -> str:
    """The question as a prompt with ``<image>`` markers."""
    return pairing_prompt(letters_of(question))


def images_of(question: Question, data: Path) -> list[str]:
    """Its image paths in prompt order."""
    names = [question.ground_image, *(candidate.satellite_image for candidate in question.candidates)]
    return [str(data / name) for name in names]


def spread(questions: Sequence[Question], count: int) -> list[Question]:
    """``count`` questions spread evenly over a file (all of them if there are fewer)."""
    if count >= len(questions):
        return list(questions)
    return [questions[place * len(questions) // count] for place in range(count)]
