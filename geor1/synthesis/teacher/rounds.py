"""Rejection sampling: ask, check, ask again where too few have passed, and never more than is needed.

In each round a question that still lacks ``keep - passed`` chains is asked for that many further samples, up to
``samples``. Which samples are asked for depends on its own completions alone, so shards and one process ask the same,
whatever the order in which answers come.
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
from geor1.synthesis.teacher.checks import Checked, Checker
from geor1.synthesis.teacher.config import TeacherConfig
from geor1.synthesis.teacher.duplicates import jaccard
from geor1.synthesis.teacher.jobs import Job

logger = logging.getLogger(__name__)


class Nobody:
    """A back-end that answers nothing: what the files lack stays unanswered."""

    def __init__(self, name: str) -> None:
        self.name = name

    def identity(self) -> None:
        """None: it has no weights."""

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
    """

    job: Job
    answered: list[Prediction] = dataclasses.field(default_factory=list)
    checked: list[Checked] = dataclasses.field(default_factory=list)
    unanswered: int = 0

    @property
    def passed(self) -> int:
        """Completions that passed all checks."""
        return sum(one.kept for one in self.checked)

    def wanted(self, config: TeacherConfig) -> range:
        """Samples to ask for next; none if enough have passed, all are drawn, or some did not come."""
        drawn = len(self.answered)
        too_long = any(line.status == RequestFailure.CONTEXT_LENGTH for line in self.answered)
        if self.unanswered or too_long:  # the same prompt would not fit the next time either
            return range(0)
        return range(drawn, min(config.samples, drawn + config.keep - self.passed))


def sample(
    jobs: Sequence[Job],
    data_dir: Path,
    config: TeacherConfig,
    backend: Backend,
    asking: Asking,
    journal: PredictionJournal,
    checker: Checker,
    shown: Shown,
) -> list[Sampled]:
    """Ask until every job has enough chains or all its samples.

    Args:
        jobs: What to ask.
        data_dir: Folder that their images are relative to.
        config: How many to draw and to keep.
        backend: Who answers; :class:`Nobody` takes what the files hold.
        asking: How.
        journal: The file of generations.
        checker: Judges each completion.
        shown: Images' hashes, kept between calls.

    Returns:
        One entry a job, in order. A job with ``unanswered`` samples is not asked for more: what would be asked next
        depends on them.

    Raises:
        BackendError: No further request can succeed; what is done is in the file.
    """
    sampled = [Sampled(job) for job in jobs]
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
            if line is None or (line.status in PASSING_FAILURES and not config.keep_errors):
                one.unanswered += 1
            elif not one.unanswered:  # else a gap would be left among the samples
                one.answered.append(line)
                one.checked.append(_checked(one, line, config, checker))
    return sampled


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
            repeats = f"{one.job.item_id}/{one.job.template.name}{before.sample}"
            return dataclasses.replace(checked, reasons=("duplicate",), repeats=repeats)
    return checked
