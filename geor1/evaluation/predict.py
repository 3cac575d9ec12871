"""Ask a model the questions, normally and under controls, and keep every completion.

Controls show what the images are worth: ``blind`` replaces every image by uniform grey, ``shuffled`` replaces the
panorama by another question's. A model that does better than chance under either answers from something else.
"""

from __future__ import annotations

import dataclasses
import logging
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from geor1.answers import check_facts, geolocation_prompt, pairing_prompt
from geor1.asking.backends import Backend
from geor1.asking.generating import Asked, Asking, complete_missing
from geor1.asking.images import grey
from geor1.asking.journal import PredictionJournal
from geor1.evaluation import pairing
from geor1.evaluation.reading import chain_facts, geolocation_fields, pairing_fields, place_names
from geor1.records import Prediction, Question

logger = logging.getLogger(__name__)

CONDITIONS = ("normal", "blind", "shuffled")


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
    backend: Backend,
    questions: Sequence[Question],
    data_dir: Path | str,
    *,
    asking: Asking,
    conditions: Sequence[str],
    rotations: int,
    output: PredictionJournal | Path | str,
) -> list[Prediction]:
    """Answer pairing questions under each condition and rotation.

    Args:
        backend: Who answers.
        questions: What to ask.
        data_dir: Folder that the image paths of the questions are relative to.
        asking: How.
        conditions: Any of ``normal``, ``blind``, ``shuffled``.
        rotations: Cyclic shifts asked of each question, 1 … K.
        output: File of generations, or that file opened already (reading it anew for every call adds up); appended to,
            and what it holds already is not generated again.

    Returns:
        One prediction for each condition, question, rotation and sample, in this order whatever that of the file, those
        found in the file included. Completions from the file are parsed anew.

    Raises:
        ValueError: Unknown condition, or ``shuffled`` with fewer than two places.
        FileNotFoundError: An image is missing.
        ImageFileError: An image cannot be decoded.
        BackendError: No further request can succeed; what is done is in the file.
    """
    folder = Path(data_dir)
    jobs = [
        job for condition in conditions for job in _pairing_jobs(questions, folder, condition, rotations, asking.seed)
    ]
    return _run(jobs, backend, asking, output)


def predict_geolocation(
    backend: Backend,
    questions: Sequence[Question],
    data_dir: Path | str,
    *,
    asking: Asking,
    output: PredictionJournal | Path | str,
    conditions: Sequence[str] = ("normal",),
) -> list[Prediction]:
    """Ask where each question's panorama was taken; arguments and errors as :func:`predict_pairing`.

    Questions without true coordinates are left out, with a log line.
    """
    known = [question for question in questions if question.latitude_deg is not None]
    if len(known) < len(questions):
        logger.info("geolocation: %d questions without true coordinates left out", len(questions) - len(known))
    folder = Path(data_dir)
    jobs = [job for condition in conditions for job in _geolocation_jobs(known, folder, condition, asking.seed)]
    return _run(jobs, backend, asking, output)


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
    jobs: Sequence[_Job], backend: Backend, asking: Asking, output: PredictionJournal | Path | str
) -> list[Prediction]:
    """Generate what the file lacks, and return everything in the order of the jobs."""
    journal = output if isinstance(output, PredictionJournal) else PredictionJournal(output)
    drawn = [(job, sample) for job in jobs for sample in range(asking.samples)]
    asked = [
        Asked(
            task=job.task,
            item_id=job.question.question_id,
            condition=job.condition,
            rotation=job.rotation,
            sample=sample,
            prompt=job.prompt,
            images=job.images,
            change=_greyed if job.condition == "blind" else None,
        )
        for job, sample in drawn
    ]
    folder = journal.path.parent
    return complete_missing(asked, backend, asking, journal, lambda place, line: _read(drawn[place][0], line, folder))


def _greyed(image: Image.Image) -> Image.Image:
    return grey(*image.size)


def _read(job: _Job, line: Prediction, folder: Path) -> Prediction:
    """Parse one completion; one that was refused or cut at the limit is unusable, whatever it holds."""
    question = job.question
    images = () if job.condition == "blind" else job.images
    base = dataclasses.replace(
        line,
        answer=question.answer if job.task == "pairing" else None,
        true_latitude_deg=question.latitude_deg,
        true_longitude_deg=question.longitude_deg,
        true_city=question.city,
        true_country=question.country,
        images=tuple(Path(os.path.relpath(path, folder)).as_posix() for path in images),
    )
    return dataclasses.replace(base, **_parsed(job, base), **_fact_fields(job, base))


def _parsed(job: _Job, base: Prediction) -> dict[str, Any]:
    if job.task == "pairing":
        letters = [candidate.letter for candidate in job.question.candidates]
        return pairing_fields(base.raw, letters) if base.status == "ok" else {}
    names = place_names(base.raw)
    return {**names, **geolocation_fields(base.raw)} if base.status == "ok" else names


def _fact_fields(job: _Job, base: Prediction) -> dict[str, int]:
    """Facts are counted only where the model saw the scene that the metadata describes."""
    if job.condition != "normal":
        return {}
    of_tiles = {c.letter: c.facts for c in job.question.candidates} if job.task == "pairing" else {}
    check = check_facts(chain_facts(base.raw), job.question.facts, of_tiles)
    return {"facts_stated": check.n_stated, "facts_true": check.n_true}
