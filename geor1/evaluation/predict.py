"""Ask a model the questions, normally and under controls, and keep every completion.

Controls show what the images are worth: ``blind`` replaces every image by uniform grey, ``shuffled`` replaces the
panorama by another question's. A model that does better than chance under either answers from something else.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import logging
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from geor1.answers import ParseFailure, check_facts, geolocation_prompt, pairing_prompt
from geor1.evaluation import pairing
from geor1.evaluation.backends import REFUSED, Backend, Completion, Request, RequestFailure
from geor1.evaluation.images import grey, load_image, pixels_sha256
from geor1.evaluation.journal import FAILURES, Key, PredictionJournal
from geor1.evaluation.reading import chain_facts, geolocation_fields, pairing_fields, place_names
from geor1.records import Prediction, Question
from geor1.runs import Progress

logger = logging.getLogger(__name__)

CONDITIONS = ("normal", "blind", "shuffled")
_CACHED_IMAGES = 64  # decoded images kept: the rotations of one question reuse them


@dataclasses.dataclass(frozen=True, kw_only=True)
class Asking:
    """How a model is asked.

    Attributes:
        label: Row label of the model.
        weights: Hash of its checkpoint; None if unknown.
        max_new_tokens: Limit of a completion; one cut there is counted as ``unfinished``.
        temperature: 0 for greedy decoding.
        samples: Completions asked of every question; 1 when greedy.
        seed: Of sampling, and of the choice of the shuffled panoramas.
        keep_errors: Take errors found in the file as they are instead of asking again.
    """

    label: str
    max_new_tokens: int
    weights: str | None = None
    temperature: float = 0.0
    samples: int = 1
    seed: int = 0
    keep_errors: bool = False

    def __post_init__(self) -> None:
        if self.samples < 1 or (self.temperature == 0 and self.samples > 1):
            raise ValueError(
                f"samples={self.samples}, temperature={self.temperature}: expected 1 sample, or a temperature above 0 "
                "(greedy completions are all the same)"
            )


@dataclasses.dataclass(frozen=True)
class _Job:
    """One generation to make: a question as asked, with the image files in prompt order."""

    task: str
    question: Question
    condition: str
    rotation: int
    prompt: str
    images: tuple[Path, ...]
    sample: int = 0


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
    """Generate what the file lacks, write each completion as it comes, return everything in the order of the jobs."""
    journal = output if isinstance(output, PredictionJournal) else PredictionJournal(output)
    jobs = [dataclasses.replace(job, sample=sample) for job in jobs for sample in range(asking.samples)]
    shown = _Shown()
    keys, todo = _find(jobs, backend.name, asking, journal, shown)
    logger.info("%s: %d predictions, %d found in %s", asking.label, len(jobs), len(jobs) - len(todo), journal.path.name)

    def requests() -> Iterator[Request]:
        for index in todo:
            images = shown.images(jobs[index])
            keys[index] = keys[index]._replace(images_sha256=shown.sha256(jobs[index]))
            limit, temperature, seed = asking.max_new_tokens, asking.temperature, keys[index].seed
            yield Request(jobs[index].prompt, tuple(images), limit, temperature, seed or 0)

    failed: Counter[str] = Counter()
    with Progress(f"{asking.label}: predictions", total=len(todo), unit="prompt") as bar:
        for finished in backend.complete(requests()) if todo else ():
            done = [(todo[place], completion) for place, completion in finished]
            journal.append(_prediction(jobs[i], keys[i], completion, journal.path.parent) for i, completion in done)
            failed.update(completion.failure.value for _, completion in done if completion.failure)
            bar.update(len(done), **failed)
    if failed:
        logger.warning("%s: %d questions ended in an error: %s", asking.label, failed.total(), dict(failed))
    stored = [(job, key, journal.get(key)) for job, key in zip(jobs, keys, strict=True)]
    return [_prediction(job, key, _restored(line), journal.path.parent) for job, key, line in stored if line]


def _find(
    jobs: Sequence[_Job], backend_name: str, asking: Asking, journal: PredictionJournal, shown: _Shown
) -> tuple[list[Key], list[int]]:
    """The key of every job, without pixels where the file holds nothing like it, and which jobs are to be done."""
    keys, todo = [], []
    for index, job in enumerate(jobs):
        key = _key(job, backend_name, asking)
        if journal.may_hold(key):
            key = key._replace(images_sha256=shown.sha256(job))
        found = journal.get(key) if key.images_sha256 else None
        if found is None or (found.status in FAILURES and not asking.keep_errors):
            todo.append(index)
        keys.append(key)
    return keys, todo


def _key(job: _Job, backend_name: str, asking: Asking) -> Key:
    place = (asking.label, job.task, job.question.question_id, job.condition, job.rotation, job.sample)
    drawn = _sha256(f"{asking.seed} {place[1:]}")  # every completion has a seed of its own
    return Key(
        *place,
        prompt_sha256=_sha256(job.prompt),
        max_new_tokens=asking.max_new_tokens,
        temperature=asking.temperature,
        seed=int(drawn[:7], 16) if asking.temperature else 0,
        weights=asking.weights,
        backend=backend_name,
        images_sha256=None,
    )


class _Shown:
    """The pictures of a job as they are shown, and their hash; a file is decoded once while it stays in the cache."""

    def __init__(self) -> None:
        self._load = functools.lru_cache(maxsize=_CACHED_IMAGES)(load_image)
        self._sha256 = functools.cache(lambda path: pixels_sha256(self._load(path)))
        self._grey_sha256 = functools.cache(lambda path: pixels_sha256(_greyed(self._load(path))))

    def images(self, job: _Job) -> list[Image.Image]:
        images = [self._load(path) for path in job.images]
        return [_greyed(image) for image in images] if job.condition == "blind" else images

    def sha256(self, job: _Job) -> str:
        of_one = self._grey_sha256 if job.condition == "blind" else self._sha256
        return _sha256(" ".join(of_one(path) for path in job.images))


def _greyed(image: Image.Image) -> Image.Image:
    return grey(*image.size)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def _restored(line: Prediction) -> Completion:
    """The completion behind a line of the file."""
    return Completion(
        text=line.raw,
        completion_tokens=line.completion_tokens,
        prompt_tokens=line.prompt_tokens,
        finished=line.finished,
        refused=line.status == REFUSED,
        failure=RequestFailure(line.status) if line.status in FAILURES else None,
        detail=line.error or "",
    )


def _prediction(job: _Job, key: Key, completion: Completion, folder: Path) -> Prediction:
    """Parse one completion; one that was refused or cut at the limit is unusable, whatever it holds."""
    question = job.question
    images = () if job.condition == "blind" else job.images
    base = Prediction(
        **key._asdict(),
        raw=completion.text.encode("utf-8", "replace").decode("utf-8"),  # half a surrogate pair cannot be written
        status=_status(completion),
        answer=question.answer if job.task == "pairing" else None,
        true_latitude_deg=question.latitude_deg,
        true_longitude_deg=question.longitude_deg,
        true_city=question.city,
        true_country=question.country,
        images=tuple(Path(os.path.relpath(path, folder)).as_posix() for path in images),
        completion_tokens=completion.completion_tokens,
        prompt_tokens=completion.prompt_tokens,
        finished=completion.finished,
        error=completion.detail or None,
    )
    return dataclasses.replace(base, **_parsed(job, base), **_fact_fields(job, base))


def _status(completion: Completion) -> str:
    if completion.failure is not None:
        return completion.failure.value
    if completion.refused:
        return REFUSED
    return "ok" if completion.finished else ParseFailure.UNFINISHED.value


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
