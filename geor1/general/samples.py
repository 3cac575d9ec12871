"""One scored item of a general benchmark, whichever harness logged it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from geor1.records import RecordError, read_jsonl

_FAILED = ("[LMMS_EVAL_REQUEST_FAILED", "Failed to obtain answer")  # of lmms-eval, of VLMEvalKit


@dataclasses.dataclass(frozen=True, kw_only=True)
class GeneralSample:
    """What a model scored on one item.

    Attributes:
        suite: Harness, one of :data:`geor1.general.commands.SUITES`.
        task: Task as the harness names it; ``MMMU_DEV_VAL:validation`` where one log holds several splits.
        task_version: Version that the harness gives the task; None where it gives none or its results file is absent.
        item_id: The item's id within the task.
        asked: Digest of what was asked (question, options in their order, truth), so that equal ids are equal items.
        metric: Name of the score.
        score: In [0, 1].
        group: Items with one group are not independent (MEGA-Bench: the task that a query belongs to), or None.
        replied: False where the request failed or the reply was empty; the harness counts that as wrong.
        source: File and line.
    """

    suite: str
    task: str
    task_version: str | None
    item_id: str
    asked: str
    metric: str
    score: float
    group: str | None
    replied: bool
    source: str

    def __post_init__(self) -> None:
        if not 0.0 <= self.score <= 1.0:
            raise RecordError(f"{self.source}: score {self.metric}={self.score} is outside [0, 1]")


@dataclasses.dataclass(frozen=True)
class Imported:
    """Samples of one or several logs, and what the reader should know of them (items left out, and why)."""

    samples: tuple[GeneralSample, ...]
    notes: tuple[str, ...] = ()


def joined(parts: Iterable[Imported]) -> Imported:
    """Several imports as one, in their order."""
    parts = list(parts)
    return Imported(
        tuple(sample for part in parts for sample in part.samples), tuple(note for part in parts for note in part.notes)
    )


def read_samples(path: Path | str) -> list[GeneralSample]:
    """Read what ``geor1 general import`` wrote.

    Raises:
        RecordError: A line does not fit, the file is empty, or an item occurs twice.
    """
    samples = read_jsonl(path, GeneralSample)
    if not samples:
        raise RecordError(f"{Path(path).name}: holds no samples; import the logs again")
    check_unique(samples)
    return samples


def check_unique(samples: Sequence[GeneralSample]) -> None:
    """Refuse a second sample of one item.

    Raises:
        RecordError: It names both places.
    """
    places: dict[tuple[str, str], str] = {}
    for sample in samples:
        key = (sample.task, sample.item_id)
        if key in places:
            raise RecordError(
                f"{sample.source}: item {sample.item_id!r} of {sample.task} occurs twice, first at {places[key]}; "
                "was one log appended to another?"
            )
        places[key] = sample.source


def digest(*parts: Any) -> str:
    """A short digest of JSON values: 16 hexadecimal digits of their SHA-256."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def is_reply(text: str | None) -> bool:
    """Whether a logged reply is one of the model's: not empty, and not what a harness writes for a failed request.

    >>> is_reply("B"), is_reply("  "), is_reply("[LMMS_EVAL_REQUEST_FAILED after 5 retries] timeout")
    (True, False, False)
    """
    return bool(text and text.strip()) and not any(mark in text for mark in _FAILED)


def score_of(value: Any, metric: str, where: str) -> float:
    """A logged score as a number.

    Args:
        value: A number, a truth value, or the text of a number.
        metric: Its name, for the message.
        where: File and line, for the message.

    Raises:
        RecordError: It is missing, not a number, NaN, or outside [0, 1].
    """
    if value is None or value == "":
        raise RecordError(f"{where}: no score {metric!r}; was the file cut, or the item not scored?")
    try:
        score = float(value)
    except (TypeError, ValueError):
        raise RecordError(f"{where}: score {metric!r} should be a number in [0, 1], got {value!r}") from None
    if math.isnan(score):
        raise RecordError(f"{where}: score {metric!r} is NaN; score the item again, or leave it out of both models")
    if not 0.0 <= score <= 1.0:
        raise RecordError(f"{where}: score {metric!r} is {score}, expected a share in [0, 1]")
    return score


def chosen_metric(found: Sequence[str], asked_for: str | None, where: str) -> str:
    """Which of a row's scores to take: the one asked for, or the only one.

    Args:
        found: Names of the scores that the row holds.
        asked_for: Name given by the user, or None.
        where: File and line, for the message.

    Raises:
        RecordError: The row holds no score at all, or several and none of those was asked for.
    """
    if asked_for in found:
        return str(asked_for)
    if not found:
        raise RecordError(f"{where}: holds no score; was the run made without scoring?")
    if len(found) > 1:
        raise RecordError(f"{where}: holds several scores, {list(found)}; choose one of them with --metric")
    return found[0]
