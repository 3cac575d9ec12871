"""Rejection sampling: ask, check, ask again where too few have passed, and never more than is needed.

In each round a question that still lacks ``keep - passed`` chains is asked for that many further samples, up to
``samples``. Which samples are asked for depends on its own completions alone, so shards and one process ask the same,
whatever the order in which answers come.

Once all questions have their chains, near-duplicates of other questions' chains are dropped, and those that lost one
are asked for another in the same way, until none lacks any or all samples are drawn. What was kept once stays, so the
same completions give the same result, in one go or in many. A shard does not know the others' chains and leaves this
to the run that puts them together.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from geor1.asking.backends import PASSING_FAILURES, Backend, Finished, Request, RequestFailure
from geor1.asking.generating import Asked, Asking, Shown, complete_missing
from geor1.asking.journal import PredictionJournal
from geor1.records import Prediction
from geor1.synthesis.teacher.checks import Checked, Checker, scaffold_id
from geor1.synthesis.teacher.config import TeacherConfig
from geor1.synthesis.teacher.duplicates import Shingles, jaccard, near_duplicates
from geor1.synthesis.teacher.jobs import Job

logger = logging.getLogger(__name__)


class Nobody:
    """A back-end that answers nothing: what the files lack stays unanswered."""

    def __init__(self, name: str) -> None:
        self.name = name

    def identity(self) -> None:
        """None: it has no weights."""

    def close(self) -> None:
        """Nothing was loaded."""

    def complete(self, requests: Iterable[Request]) -> Iterator[Finished]:
        """Hand nothing back."""
        yield from ()


@dataclasses.dataclass
class Sampled:
    """Completions of one job so far, in order of their sample.

    Attributes:
        job: The job.
        answered: Completions.
        checked: What became of each.
        unanswered: Samples asked for that no completion came for, or that ended in an error that may pass.
        replaceable: Samples that might still replace a near-duplicate, in a run that asks nothing.
        compared: Completions that have been compared with other questions', the first ones.
    """

    job: Job
    answered: list[Prediction] = dataclasses.field(default_factory=list)
    checked: list[Checked] = dataclasses.field(default_factory=list)
    unanswered: int = 0
    replaceable: int = 0
    compared: int = 0

    @property
    def passed(self) -> int:
        """Completions that passed all checks."""
        return sum(one.kept for one in self.checked)

    def wanted(self, config: TeacherConfig) -> range:
        """Samples to ask for next; none if enough have passed, all are drawn, or some did not come."""
        drawn = len(self.answered)
        too_long = any(line.status == RequestFailure.CONTEXT_LENGTH for line in self.answered)
        if self.unanswered or self.replaceable or too_long:  # the same prompt would not fit the next time either
            return range(0)
        return range(drawn, min(config.samples, drawn + config.keep - self.passed))


class Kept:
    """The chains kept so far of all questions.

    Args:
        checker: Knows a chain's shingles.
        threshold: Similarity from which a chain is a duplicate.
    """

    def __init__(self, checker: Checker, threshold: float) -> None:
        self._checker, self._threshold = checker, threshold
        self._names: list[str] = []
        self._shingles: list[Shingles] = []

    def take(self, sampled: Iterable[Sampled]) -> None:
        """Keep what passed since the last time, in order; near-duplicates of what is kept are marked as rejected."""
        new: list[tuple[Sampled, int]] = []
        for one in sampled:
            new += [(one, place) for place in range(one.compared, len(one.checked)) if one.checked[place].kept]
            one.compared = len(one.checked)
        shingles = [self._checker.shingles(one.answered[place]) for one, place in new]
        names = [*self._names, *(scaffold_id(one.job, one.answered[place].sample) for one, place in new)]
        repeats = near_duplicates([*self._shingles, *shingles], self._threshold)[len(self._shingles) :]
        for (one, place), mine, first in zip(new, shingles, repeats, strict=True):
            if first is not None:
                one.checked[place] = _duplicate(one.checked[place], names[first])
                continue
            self._names.append(scaffold_id(one.job, one.answered[place].sample))
            self._shingles.append(mine)


def sample(
    sampled: Sequence[Sampled],
    data_dir: Path,
    config: TeacherConfig,
    backend: Backend,
    asking: Asking,
    journal: PredictionJournal,
    checker: Checker,
    shown: Shown,
    *,
    optional: bool = False,
) -> None:
    """Ask until every job has enough chains or all its samples.

    Args:
        sampled: Jobs with the completions that they have; those that come are added. A job with ``unanswered`` samples
            is not asked for more: what would be asked next depends on them.
        data_dir: Folder that their images are relative to.
        config: How many to draw and to keep.
        backend: Who answers; :class:`Nobody` takes what the files hold.
        asking: How.
        journal: The file of generations.
        checker: Judges each completion.
        shown: Images' hashes, kept between calls.
        optional: Count what does not come as ``replaceable`` instead of ``unanswered``.

    Raises:
        BackendError: No further request can succeed; what is done is in the file.
    """
    turn = 0
    while todo := [(place, number) for place, one in enumerate(sampled) for number in one.wanted(config)]:
        turn += 1
        logger.info("round %d: %d completions of %d questions", turn, len(todo), len({place for place, _ in todo}))
        asked = [_asked(sampled[place].job, number, data_dir) for place, number in todo]
        came = complete_missing(asked, backend, asking, journal, lambda _, line: line, shown)
        by_name = {(line.condition, line.item_id, line.sample): line for line in came}
        for place, number in todo:
            one = sampled[place]
            line = by_name.get((one.job.template.name, one.job.item_id, number))
            missing = line is None or (line.status in PASSING_FAILURES and not config.keep_errors)
            if missing or one.unanswered or one.replaceable:  # no gap is left among the samples
                one.unanswered += missing and not optional
                one.replaceable += missing and optional
                continue
            one.answered.append(line)
            one.checked.append(_checked(one, line, config, checker))


def _asked(job: Job, number: int, data_dir: Path) -> Asked:
    return Asked(
        task=job.template.task,
        item_id=job.item_id,
        condition=job.template.name,
        sample=number,
        prompt=job.prompt,
        images=tuple(data_dir / image for image in job.images),
    )


def _checked(one: Sampled, line: Prediction, config: TeacherConfig, checker: Checker) -> Checked:
    """As the checker says, and no near-duplicate of a chain kept of the same question."""
    checked = checker.check(one.job, line)
    if not checked.kept:
        return checked
    shingles = checker.shingles(line)
    for before, verdict in zip(one.answered, one.checked, strict=False):
        if verdict.kept and jaccard(checker.shingles(before), shingles) >= config.duplicate_similarity:
            return _duplicate(checked, scaffold_id(one.job, before.sample))
    return checked


def _duplicate(checked: Checked, first: str) -> Checked:
    return dataclasses.replace(checked, reasons=("duplicate",), repeats=first)
