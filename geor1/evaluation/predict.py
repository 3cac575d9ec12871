"""Ask a model the questions, normally and under controls, and keep every completion.

Controls show what the images are worth: ``blind`` replaces every image by uniform grey, ``shuffled`` replaces the
panorama by another question's. A model that does better than chance under either answers from something else.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from geor1.answers import (
    ParseFailure,
    check_facts,
    geolocation_prompt,
    pairing_prompt,
    parse_choice,
    parse_coordinates,
    stated_facts,
)
from geor1.evaluation import pairing
from geor1.evaluation.images import grey, load_image
from geor1.evaluation.journal import Key, PredictionJournal
from geor1.records import Prediction, Question
from geor1.runs import Progress

logger = logging.getLogger(__name__)

CONDITIONS = ("normal", "blind", "shuffled")
_CACHED_IMAGES = 64  # decoded images kept: the rotations of one question reuse them
Generate = Callable[..., Sequence[Any]]


@dataclasses.dataclass(frozen=True)
class _Job:
    """One generation to make: a question as asked, with the image files in prompt order."""

    task: str
    question: Question
    condition: str
    rotation: int
    prompt: str
    images: tuple[Path, ...]


def predict_pairing(
    model: Any,
    processor: Any,
    questions: Sequence[Question],
    data_dir: Path | str,
    *,
    label: str,
    conditions: Sequence[str],
    rotations: int,
    batch_size: int,
    max_new_tokens: int,
    seed: int,
    output: PredictionJournal | Path | str,
    generate: Generate | None = None,
) -> list[Prediction]:
    """Answer pairing questions greedily under each condition and rotation.

    Args:
        model: As ``generate`` takes it.
        processor: As ``generate`` takes it.
        questions: What to ask.
        data_dir: Folder that the image paths of the questions are relative to.
        label: Row label of the model.
        conditions: Any of ``normal``, ``blind``, ``shuffled``.
        rotations: Cyclic shifts asked of each question, 1 … K.
        batch_size: Prompts generated together.
        max_new_tokens: Limit of a completion; one cut there is counted as ``unfinished``.
        seed: Seed of generation and of the choice of the shuffled panoramas.
        output: Predictions file, or that file opened already (reading it anew for every call adds up); appended to, and
            what it holds already is not generated again.
        generate: As ``geor1.models.generate.generate``, which is used when None.

    Returns:
        One prediction for each condition, question and rotation, those found in the file included.

    Raises:
        ValueError: Unknown condition, or ``shuffled`` with fewer than two places.
        FileNotFoundError: An image is missing.
        ImageFileError: An image cannot be decoded.
    """
    jobs = [
        job for condition in conditions for job in _pairing_jobs(questions, Path(data_dir), condition, rotations, seed)
    ]
    return _run(jobs, model, processor, label, batch_size, max_new_tokens, seed, output, generate)


def predict_geolocation(
    model: Any,
    processor: Any,
    questions: Sequence[Question],
    data_dir: Path | str,
    *,
    label: str,
    batch_size: int,
    max_new_tokens: int,
    seed: int,
    output: PredictionJournal | Path | str,
    conditions: Sequence[str] = ("normal",),
    generate: Generate | None = None,
) -> list[Prediction]:
    """Ask where each question's panorama was taken; arguments and errors as :func:`predict_pairing`.

    Questions without true coordinates are left out, with a log line.
    """
    known = [question for question in questions if question.latitude_deg is not None]
    if len(known) < len(questions):
        logger.info("geolocation: %d questions without true coordinates left out", len(questions) - len(known))
    jobs = [job for condition in conditions for job in _geolocation_jobs(known, Path(data_dir), condition, seed)]
    return _run(jobs, model, processor, label, batch_size, max_new_tokens, seed, output, generate)


def other_panoramas(questions: Sequence[Question], seed: int) -> dict[str, Question]:
    """For each question id, another question whose panorama stands in for its own; the same for the same seed.

    The stand-in is from another place and, where the questions allow it, from none of the candidates.

    Raises:
        ValueError: Fewer than two places.
    """
    places = {question.pair_id: question for question in questions}
    order = [list(places)[index] for index in np.random.default_rng(seed).permutation(len(places))]
    if len(order) < 2:
        raise ValueError(f"condition 'shuffled': expected questions from at least 2 places, got {len(order)}")
    stand_ins = {}
    for question in questions:
        start = order.index(question.pair_id)
        others = order[start + 1 :] + order[:start]
        offered = {candidate.pair_id for candidate in question.candidates}
        chosen = next((place for place in others if place not in offered), others[0])
        stand_ins[question.question_id] = places[chosen]
    return stand_ins


def _pairing_jobs(
    questions: Sequence[Question], data_dir: Path, condition: str, rotations: int, seed: int
) -> Iterable[_Job]:
    panoramas = _panoramas(questions, condition, seed)
    for question in questions:
        for shift, asked in pairing.rotations(question, rotations):
            files = (panoramas[question.question_id], *(c.satellite_image for c in asked.candidates))
            prompt = pairing_prompt([c.letter for c in asked.candidates])
            yield _Job("pairing", asked, condition, shift, prompt, tuple(data_dir / name for name in files))


def _geolocation_jobs(questions: Sequence[Question], data_dir: Path, condition: str, seed: int) -> Iterable[_Job]:
    panoramas = _panoramas(questions, condition, seed)
    for question in questions:
        image = data_dir / panoramas[question.question_id]
        yield _Job("geolocation", question, condition, 0, geolocation_prompt(), (image,))


def _panoramas(questions: Sequence[Question], condition: str, seed: int) -> dict[str, str]:
    if condition not in CONDITIONS:
        raise ValueError(f"condition: expected one of {list(CONDITIONS)}, got {condition!r}")
    shown = other_panoramas(questions, seed) if condition == "shuffled" else {q.question_id: q for q in questions}
    return {question_id: question.ground_image for question_id, question in shown.items()}


def _run(
    jobs: list[_Job],
    model: Any,
    processor: Any,
    label: str,
    batch_size: int,
    max_new_tokens: int,
    seed: int,
    output: PredictionJournal | Path | str,
    generate: Generate | None,
) -> list[Prediction]:
    """Generate what the file lacks, batch by batch, and return everything in the order of the jobs."""
    if generate is None:
        from geor1.models.generate import generate as generate_with_model

        generate = generate_with_model
    journal = output if isinstance(output, PredictionJournal) else PredictionJournal(output)
    todo = [job for job in jobs if journal.get(_key(job, label)) is None]
    logger.info("%s: %d predictions, %d found in %s", label, len(jobs), len(jobs) - len(todo), journal.path.name)
    load = functools.lru_cache(maxsize=_CACHED_IMAGES)(load_image)
    with Progress(f"{label}: predictions", total=len(todo), unit="prompt") as shown:
        for start in range(0, len(todo), batch_size):
            batch = todo[start : start + batch_size]
            generations = generate(
                model,
                processor,
                [job.prompt for job in batch],
                [_images(job, load) for job in batch],
                max_new_tokens=max_new_tokens,
                temperature=0.0,
                seed=seed,
                batch_size=batch_size,
            )
            journal.append(
                _prediction(job, label, generation, journal.path.parent)
                for job, generation in zip(batch, generations, strict=True)
            )
            shown.update(len(batch))
    return [prediction for job in jobs if (prediction := journal.get(_key(job, label))) is not None]


def _key(job: _Job, label: str) -> Key:
    return (label, job.task, job.question.question_id, job.condition, job.rotation)


def _images(job: _Job, load: Callable[[Path], Image.Image]) -> list[Image.Image]:
    images = [load(path) for path in job.images]
    return [grey(*image.size) for image in images] if job.condition == "blind" else images


def _prediction(job: _Job, label: str, generation: Any, folder: Path) -> Prediction:
    """Parse one generation; a completion cut at the limit is unusable, whatever it holds."""
    question = job.question
    images = () if job.condition == "blind" else job.images
    base = Prediction(
        model=label,
        task=job.task,
        item_id=question.question_id,
        raw=generation.text,
        status="ok" if generation.finished else ParseFailure.UNFINISHED.value,
        condition=job.condition,
        rotation=job.rotation,
        true_latitude_deg=question.latitude_deg,
        true_longitude_deg=question.longitude_deg,
        true_city=question.city,
        true_country=question.country,
        images=tuple(Path(os.path.relpath(path, folder)).as_posix() for path in images),
        completion_tokens=generation.completion_tokens,
        finished=generation.finished,
    )
    parsed = _pairing_fields(job, base) if job.task == "pairing" else _geolocation_fields(base)
    return dataclasses.replace(base, **parsed, **_fact_fields(job, base))


def _pairing_fields(job: _Job, base: Prediction) -> dict[str, Any]:
    answer = {"answer": job.question.answer}
    if base.status != "ok":
        return answer
    choice = parse_choice(base.raw, [candidate.letter for candidate in job.question.candidates])
    if isinstance(choice, ParseFailure):
        return {**answer, "status": choice.value}
    return {**answer, "choice": choice}


def _geolocation_fields(base: Prediction) -> dict[str, Any]:
    names = {fact.key: fact.value for fact in stated_facts(base.raw) if fact.subject == "ground"}
    fields: dict[str, Any] = {"country": names.get("country"), "city": names.get("city")}
    if base.status != "ok":
        return fields
    position = parse_coordinates(base.raw)
    if isinstance(position, ParseFailure):
        return {**fields, "status": position.value}
    return {**fields, "latitude_deg": position.latitude_deg, "longitude_deg": position.longitude_deg}


def _fact_fields(job: _Job, base: Prediction) -> dict[str, int]:
    """Facts are counted only where the model saw the scene that the metadata describes."""
    if job.condition != "normal":
        return {}
    of_tiles = {c.letter: c.facts for c in job.question.candidates} if job.task == "pairing" else {}
    check = check_facts(stated_facts(base.raw), job.question.facts, of_tiles)
    return {"facts_stated": check.n_stated, "facts_true": check.n_true}
