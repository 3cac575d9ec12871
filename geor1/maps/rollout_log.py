"""``rollouts.jsonl`` of a GRPO run: its record, a strict reader, and the groups that its lines form.

Axis letters: G completions of a group (one question sampled G times at one step), K candidate tiles of a question.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import string
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from geor1.answers import ParseFailure, parse_choice
from geor1.records import RecordError, from_dict
from geor1.runs import MissingUpstreamError

ROLLOUTS_FILE = "rollouts.jsonl"
VERDICTS = ("mixed", "all right", "all wrong", "unknown")
OK = "ok"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rollout:
    """One sampled completion with what it earned: one line of ``rollouts.jsonl``.

    Attributes:
        step: Optimiser step that it was sampled for, from 1.
        question_id: Its question in ``questions_train.jsonl``; None where the data had no ids.
        images: The panorama, then tiles A, B, C …; paths relative to the file's folder.
        answer: The right letter, if known.
        completion: As generated.
        rewards: Reward terms by name, before their weights; None or NaN where a term gave nothing.
        advantage: Of the whole completion, as it weighed in the loss; 0 where all of a group earned the same.
    """

    step: int
    question_id: str | None
    images: tuple[str, ...]
    answer: str | None
    completion: str
    rewards: dict[str, float | None]
    advantage: float

    def __post_init__(self) -> None:
        if self.step < 1:
            raise RecordError(f"step: expected 1 or more, got {self.step}")

    def total(self, weights: Mapping[str, float]) -> float:
        """Weighted sum of the reward terms, NaN and None left out; a term without a weight counts once."""
        known = {name: value for name, value in self.rewards.items() if value is not None and math.isfinite(value)}
        return sum(weights.get(name, 1.0) * value for name, value in known.items())


@dataclasses.dataclass(frozen=True, kw_only=True)
class RolloutGroup:
    """The G completions of one question at one step.

    Attributes:
        step: Optimiser step.
        question_id: The question, if it has an id.
        rollouts: G completions in the order of the file.
        choices: The letter that each one names, or None.
        status: ``ok`` where there is a letter, else the name of the parse failure; both of length G.
    """

    step: int
    question_id: str | None
    rollouts: tuple[Rollout, ...]
    choices: tuple[str | None, ...]
    status: tuple[str, ...]

    @property
    def images(self) -> tuple[str, ...]:
        """Image paths of the question, relative to the file's folder."""
        return self.rollouts[0].images

    @property
    def answer(self) -> str | None:
        """The right letter, if known."""
        return self.rollouts[0].answer

    @property
    def tied(self) -> bool:
        """Whether all advantages are alike, so that the group taught nothing.

        Alike, not zero: the mean of eight equal rewards may miss them by rounding, and so may the advantages.
        """
        return all(rollout.advantage == self.rollouts[0].advantage for rollout in self.rollouts)

    @property
    def verdict(self) -> str:
        """One of ``VERDICTS``, from the letters named: an unreadable answer counts as wrong."""
        if self.answer is None:
            return "unknown"
        right = sum(choice == self.answer for choice in self.choices)
        return "all right" if right == len(self.choices) else "mixed" if right else "all wrong"


@dataclasses.dataclass(frozen=True, kw_only=True)
class RolloutLog:
    """What a ``rollouts.jsonl`` holds.

    Attributes:
        groups: Whole groups in the order of the file, steps ascending.
        group_size: G; 0 where there is no group.
        torn_lines: 1 if the last line was cut by a kill, and left out, else 0.
        torn_completions: Completions of a last group that a kill left incomplete, left out too.
    """

    groups: tuple[RolloutGroup, ...]
    group_size: int
    torn_lines: int = 0
    torn_completions: int = 0

    @property
    def steps(self) -> list[int]:
        """The logged steps, ascending, each once."""
        return sorted({group.step for group in self.groups})


def read_rollouts(path: Path | str, group_size: int | None = None) -> RolloutLog:
    """Read and check a whole ``rollouts.jsonl``.

    Args:
        path: The file, or the run folder that holds it.
        group_size: G as configured; None takes the size that most groups have.

    Returns:
        Its groups. A last line cut by a kill is left out and counted, and so is a last group that is not whole.

    Raises:
        MissingUpstreamError: No such file.
        RecordError: Another line does not fit :class:`Rollout`, steps go backwards, or a group has another size.
    """
    path = Path(path)
    path = path / ROLLOUTS_FILE if path.is_dir() else path
    rollouts, torn = _read_lines(path)
    try:
        log = to_groups(rollouts, group_size)
    except RecordError as error:
        raise RecordError(f"{path.name}: {error}") from error
    return dataclasses.replace(log, torn_lines=torn)


def to_groups(rollouts: Iterable[Rollout], group_size: int | None = None) -> RolloutLog:
    """Cut rollouts into groups: consecutive ones of one step and question, G at a time.

    Args:
        rollouts: In the order sampled.
        group_size: G; None takes the size that most groups have, the smaller of two as frequent.

    Raises:
        RecordError: Steps go backwards, or a group other than the last has another size.
    """
    rollouts = list(rollouts)
    for before, after in itertools.pairwise(rollouts):
        if after.step < before.step:
            raise RecordError(
                f"step: expected ascending steps, got {after.step} after {before.step}; are two runs in one file?"
            )
    runs = [tuple(run) for _, run in itertools.groupby(rollouts, key=lambda one: (one.step, one.question_id))]
    if not runs:
        return RolloutLog(groups=(), group_size=0)
    counts = Counter(len(run) for run in runs[:-1] or runs)  # the last one may not be whole
    size = group_size or max(counts, key=lambda length: (counts[length], -length))
    torn = len(runs[-1]) % size
    groups = [piece for run in runs for piece in _pieces(run, size, last=run is runs[-1])]
    return RolloutLog(groups=tuple(_group(piece) for piece in groups), group_size=size, torn_completions=torn)


def _pieces(run: tuple[Rollout, ...], size: int, *, last: bool) -> list[tuple[Rollout, ...]]:
    """Whole groups in a run of lines: a question drawn twice in succession gives two."""
    if len(run) % size and not last:
        raise RecordError(
            f"step {run[0].step}, question {run[0].question_id!r}: expected groups of {size} completions, got "
            f"{len(run)} lines; is a line missing, or does group_size differ?"
        )
    return [run[first : first + size] for first in range(0, len(run) - len(run) % size, size)]


def _group(rollouts: tuple[Rollout, ...]) -> RolloutGroup:
    first = rollouts[0]
    for other in rollouts:
        for name in ("images", "answer"):
            if getattr(other, name) != getattr(first, name):
                raise RecordError(
                    f"step {first.step}, question {first.question_id!r}: {name}: expected one and the same in a group"
                )
    parsed = [_choice(rollout) for rollout in rollouts]
    return RolloutGroup(
        step=first.step,
        question_id=first.question_id,
        rollouts=rollouts,
        choices=tuple(None if isinstance(choice, ParseFailure) else choice for choice in parsed),
        status=tuple(choice.value if isinstance(choice, ParseFailure) else OK for choice in parsed),
    )


def _choice(rollout: Rollout) -> str | ParseFailure:
    """The letter that a completion names, out of as many as there are tiles."""
    count = max(1, min(len(rollout.images) - 1, len(string.ascii_uppercase)))
    letters = string.ascii_uppercase[:count]
    if rollout.answer is not None and rollout.answer in string.ascii_uppercase and rollout.answer:
        letters = string.ascii_uppercase[: max(count, 1 + string.ascii_uppercase.index(rollout.answer))]
    return parse_choice(rollout.completion, letters)


def _read_lines(path: Path) -> tuple[list[Rollout], int]:
    """The rollouts of a file, and 1 if its last line was cut."""
    if not path.is_file():
        raise MissingUpstreamError(f"{path}: expected the rollouts of 03_grpo there; run that stage first")
    rollouts: list[Rollout] = []
    with path.open(encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                data = json.loads(line)
            except ValueError as error:
                if line.endswith("\n"):
                    raise RecordError(f"{path.name} line {number}: not JSON ({error}); remove it by hand") from error
                return rollouts, 1  # only the last line can lack its newline
            try:
                rollouts.append(from_dict(data, Rollout))
            except RecordError as error:
                raise RecordError(f"{path.name} line {number}: {error}") from error
    return rollouts, 0


def spread(sizes: Sequence[int], budget: int) -> list[int]:
    """Indices of as many evenly spread places as fit a budget, the first and the last among them when two fit.

    Args:
        sizes: What each place costs, 0 or more.
        budget: Most that the chosen places may cost together.

    Returns:
        Ascending indices; all of them if all fit, none if not even one does.

    >>> spread([10, 10, 10, 10, 10], 30), spread([1, 1], 5), spread([9], 5)
    ([0, 2, 4], [0, 1], [])
    """
    if sum(sizes) <= budget:
        return list(range(len(sizes)))
    low, high = 0, len(sizes)
    while high - low > 1:  # more places cost more, nearly: sizes differ little from step to step
        middle = (low + high) // 2
        low, high = (middle, high) if sum(sizes[k] for k in _even(len(sizes), middle)) <= budget else (low, middle)
    return list(_even(len(sizes), low))


def _even(count: int, chosen: int) -> Iterator[int]:
    """``chosen`` of ``count`` places, evenly spread, ends included."""
    for k in range(chosen):
        yield round(k * (count - 1) / max(1, chosen - 1))


def terms_of(log: RolloutLog) -> list[str]:
    """Names of the reward terms, in order of first appearance."""
    return list(dict.fromkeys(name for group in log.groups for rollout in group.rollouts for name in rollout.rewards))


def weights_of(parameters: Mapping[str, Any], terms: Iterable[str]) -> dict[str, float]:
    """Weights of the reward terms among a run's parameters (``weight_<term>``); a term without one is left out.

    >>> weights_of({"weight_format": 0.25, "steps": 3}, ["accuracy", "format"])
    {'format': 0.25}
    """
    found = {term: parameters.get(f"weight_{term}") for term in terms}
    return {
        term: float(value)
        for term, value in found.items()
        if isinstance(value, (int, float)) and not isinstance(value, bool)
    }
