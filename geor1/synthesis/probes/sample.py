"""The questions that probes look at: a bounded, seeded sample of a file of any length."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from geor1.records import Question, RecordError, from_dict, iterate_json_lines


@dataclasses.dataclass(frozen=True)
class Sampled:
    """Some questions of one file.

    Attributes:
        questions: In file order.
        places: Their positions in the file, from 0.
        previous: Option number (0 = A) of the right answer of the question before each; -1 for the first of the file.
        total: Questions in the file.
    """

    questions: tuple[Question, ...]
    places: tuple[int, ...]
    previous: tuple[int, ...]
    total: int

    @property
    def groups(self) -> np.ndarray:
        """``[N]`` group of each question: two that show the same tile, or link through others that do, share one."""
        return groups_of([[c.satellite_image for c in question.candidates] for question in self.questions])


def sample_questions(path: Path, limit: int, seed: int) -> Sampled:
    """Draw questions from a file, holding no more than the sample in memory.

    Args:
        path: ``questions_*.jsonl``; a missing file counts as empty.
        limit: Questions at most.
        seed: Decides which; nothing is drawn where all fit.

    Raises:
        RecordError: A line is no question.

    Source: algorithm R, J. S. Vitter, "Random sampling with a reservoir", 1985.
    """
    rng = np.random.default_rng([seed, 71])
    kept: list[tuple[int, int, str, Any]] = []
    total, before = 0, -1
    for total, (where, data) in enumerate(iterate_json_lines(path) if path.is_file() else (), start=1):
        item = (total - 1, before, where, data)
        if len(kept) < limit:
            kept.append(item)
        elif (slot := int(rng.integers(total))) < limit:
            kept[slot] = item
        before = _option_number(data)
    kept.sort(key=lambda item: item[0])
    return Sampled(
        questions=tuple(_question(data, where) for _, _, where, data in kept),
        places=tuple(place for place, *_ in kept),
        previous=tuple(previous for _, previous, *_ in kept),
        total=total,
    )


def _question(data: Any, where: str) -> Question:
    try:
        return from_dict(data, Question)
    except RecordError as error:
        raise RecordError(f"{where}: {error}") from error


def _option_number(data: Any) -> int:
    """0 for A; -1 for a line that is no question, which is refused where it is drawn."""
    answer = data.get("answer") if isinstance(data, dict) else None
    return ord(answer) - ord("A") if isinstance(answer, str) and len(answer) == 1 else -1


def groups_of(keys: Sequence[Sequence[str]]) -> np.ndarray:
    """Connected groups of items that share keys.

    Args:
        keys: The keys of each item.

    Returns:
        ``[N]`` group numbers from 0, in order of first appearance.

    >>> groups_of([["a", "b"], ["c"], ["b", "d"]]).tolist()
    [0, 1, 0]
    """
    parent = list(range(len(keys)))

    def root(item: int) -> int:
        """The item that stands for its group."""
        while parent[item] != item:
            parent[item] = item = parent[parent[item]]
        return item

    first: dict[str, int] = {}
    for item, names in enumerate(keys):
        for name in names:
            parent[root(item)] = root(first.setdefault(name, item))
    roots = [root(item) for item in range(len(keys))]
    numbers = {item: number for number, item in enumerate(dict.fromkeys(roots))}
    return np.array([numbers[item] for item in roots], dtype=np.int64)
