"""A teacher in one call: ask, check, remove near-duplicates, write chains and books; by one process or many.

Every completion is in ``generations.jsonl`` before the next is asked for, and everything else is made from that file
and the questions anew. So a killed process loses what was under way, nothing is paid for twice, and the results of
shards put together are those of one process.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import functools
import logging
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from geor1.asking.backends import Backend, BackendError, UnansweredError
from geor1.asking.generating import Asking, Shown
from geor1.asking.journal import LOCK, PredictionJournal, only_writer
from geor1.asking.selection import asking_of, choose_backend
from geor1.records import Question, Scaffold, write_jsonl
from geor1.runs import ConfigError, atomic_write_text, write_json
from geor1.synthesis.teacher.checks import Checker, scaffold_of
from geor1.synthesis.teacher.config import TeacherConfig
from geor1.synthesis.teacher.jobs import SHARD_FOLDERS, Job, Shard, make_jobs, names_of, number_of
from geor1.synthesis.teacher.report import add_attempt, seconds_spent, table, yield_report
from geor1.synthesis.teacher.rounds import Kept, Nobody, Sampled, sample
from geor1.synthesis.teacher.templates import load_template
from geor1.synthesis.teacher.vocabulary import Names

logger = logging.getLogger(__name__)

GENERATIONS = "generations.jsonl"
SCAFFOLDS = "scaffolds.jsonl"
CHECKED = "checked.jsonl"
REPORT = "report.json"
TABLE = "report.md"

LOOKED_AT_S = 2.0  # several that start together may look at one lock, each for an instant

ByTemplate = dict[str, list[Sampled]]


def run_teacher(
    config: TeacherConfig,
    questions: Sequence[Question],
    data_dir: Path | str,
    out_dir: Path | str,
    *,
    shard: Shard | None = None,
    merge: bool = False,
    backend: Backend | None = None,
) -> Path:
    """Have a teacher write chains of thought about questions. A killed run is started again.

    Args:
        config: Whom to ask what, and what is kept.
        questions: Train questions, with images relative to ``data_dir``.
        data_dir: Run folder of stage 01.
        out_dir: Folder for ``scaffolds.jsonl`` (image paths relative to it), ``checked.jsonl`` (every completion with
            its claims and reasons), ``report.json`` and ``report.md``; and for ``generations.jsonl`` unless the config
            names another folder.
        shard: Ask this share alone and write no results; one process a shard, each with a folder of its own.
        merge: Ask nothing; make the results of what all shards have generated. The report says how many completions
            the same call without ``merge`` would ask for in place of near-duplicates.
        backend: Instead of the one that the config names; the caller closes it.

    Returns:
        ``out_dir``.

    Raises:
        ConfigError: No model is named, a template does not fit, or questions of the test split are given.
        BackendError: No further request can succeed; what is done is kept.
        UnansweredError: Completions are missing; the report is written, ``scaffolds.jsonl`` is not. The same call again
            asks for these alone.
        RunLockedError: Another process writes the same generations, or asks for a share of another division.
        DiskFullError: No space is left; what is done is kept.
        ImageFileError, FileNotFoundError: An image is broken or missing.
    """
    data_dir, out_dir, shard = Path(data_dir), Path(out_dir), shard or Shard()
    _check(config, questions, shard, merge)
    out_dir.mkdir(parents=True, exist_ok=True)
    root = Path(config.generations) if config.generations else out_dir
    folder = root / shard.folder
    folder.mkdir(parents=True, exist_ok=True)
    run = _Run(config, questions, data_dir, shard, Checker(config, Names(*names_of(questions))))
    fatal: BackendError | None = None
    with only_writer(folder), _answering(run, backend, merge=merge) as asked:
        _check_divided_alike(root, shard, merge)
        journal = PredictionJournal(folder / GENERATIONS, also=[p for p in journals(root) if p.parent != folder])
        try:
            by_template = run.sampled(asked, journal, None if merge else folder, merge=merge)
        except BackendError as error:
            fatal = error
            by_template = run.sampled(Nobody(asked.name), journal, None, merge=False)
        if shard.count == 1:
            write_results(by_template, config, data_dir, out_dir, root, finished=fatal is None)
    if fatal is not None:
        raise fatal
    _check_answered(by_template, root, merge=merge)
    return out_dir


@contextlib.contextmanager
def _answering(run: _Run, given: Backend | None, *, merge: bool) -> Iterator[Backend]:
    """Who answers: the one given, or the one that the config names, which is closed after it."""
    backend = given or choose_backend(run.config, run.config.model, images_per_prompt=run.images_per_prompt)
    try:
        yield Nobody(backend.name) if merge else backend
    finally:
        if given is None:
            backend.close()


def _check_divided_alike(root: Path, shard: Shard, merge: bool) -> None:
    """Refuse to ask while a process asks for a share of another division: both would ask, and pay, for the same."""
    for folder in [root, *sorted(root.glob(SHARD_FOLDERS))]:
        own = folder == root / shard.folder or (folder != root and int(folder.name[-4:]) == shard.count)
        if not own and not merge and (folder / LOCK).is_file():
            with only_writer(folder, wait_s=LOOKED_AT_S):
                pass


def journals(root: Path) -> list[Path]:
    """Files of generations in a folder, those of its shards included, sorted."""
    found = [root / GENERATIONS, *sorted(root.glob(f"{SHARD_FOLDERS}/{GENERATIONS}"))]
    return [path for path in found if path.is_file()]


@dataclasses.dataclass
class _Run:
    """What all templates of one call have in common."""

    config: TeacherConfig
    questions: Sequence[Question]
    data_dir: Path
    shard: Shard
    checker: Checker
    shown: Shown = dataclasses.field(default_factory=Shown)

    @functools.cached_property
    def asking(self) -> Asking:
        """How the model is asked; a checkpoint in a folder here is read whole for its hash, once."""
        return asking_of(self.config, self.config.model, self.config.model)

    @functools.cached_property
    def jobs(self) -> dict[str, list[Job]]:
        """What is asked, by template."""
        by_template: dict[str, list[Job]] = {}
        for name in self.config.templates:
            template = load_template(name)
            if template.name in by_template:
                raise ConfigError(f"templates: two are named {template.name!r}; give each its own name")
            by_template[template.name] = make_jobs(self.questions, template, self.config, self.shard)
        return by_template

    @property
    def images_per_prompt(self) -> int:
        """Most images that a prompt shows."""
        return max((len(job.images) for jobs in self.jobs.values() for job in jobs), default=1)

    def sampled(self, backend: Backend, journal: PredictionJournal, books: Path | None, *, merge: bool) -> ByTemplate:
        """Every template's jobs with their completions.

        Args:
            backend: Who answers.
            journal: The file of generations.
            books: Folder whose attempts are timed.
            merge: Near-duplicates that nothing has replaced yet are no gap.
        """
        by_template = {name: [Sampled(job) for job in jobs] for name, jobs in self.jobs.items()}
        kept = Kept(self.checker, self.config.duplicate_similarity)
        spent: collections.Counter[str] = collections.Counter()
        before = len(journal)
        try:
            turn = 0
            while turn == 0 or (self.shard.count == 1 and self._lacking(by_template)):
                for name, items in by_template.items():
                    logger.info("template %s: %d questions%s", name, len(items), ", near-duplicates" if turn else "")
                    began = time.monotonic()
                    try:
                        self._sample(items, backend, journal, optional=merge and turn > 0)
                    finally:
                        spent[name] += time.monotonic() - began
                if self.shard.count == 1:
                    kept.take(one for items in by_template.values() for one in items)
                turn += 1
        finally:
            if books is not None:
                add_attempt(books, f"{self.shard.index}/{self.shard.count}", len(journal) - before, spent)
        return by_template

    def _lacking(self, by_template: ByTemplate) -> bool:
        """Whether near-duplicates are to be replaced; not before all answers are there, which decide what repeats."""
        everything = [one for items in by_template.values() for one in items]
        return not any(one.unanswered for one in everything) and any(one.wanted(self.config) for one in everything)

    def _sample(self, items: list[Sampled], backend: Backend, journal: PredictionJournal, *, optional: bool) -> None:
        shared = (self.data_dir, self.config, backend, self.asking, journal, self.checker, self.shown)
        sample(items, *shared, optional=optional)


def write_results(
    by_template: Mapping[str, Sequence[Sampled]],
    config: TeacherConfig,
    data_dir: Path,
    out_dir: Path,
    root: Path,
    *,
    finished: bool,
) -> None:
    """Write books and checked completions, and the scaffolds if nothing is missing."""
    everything = [one for items in by_template.values() for one in items]
    report = yield_report(by_template, config, seconds_spent(sorted({path.parent for path in journals(root)})))
    write_jsonl(out_dir / CHECKED, (line for one in everything for line in one.checked))
    write_json(out_dir / REPORT, report)
    atomic_write_text(out_dir / TABLE, table(report))
    if not finished or any(one.unanswered for one in everything):
        (out_dir / SCAFFOLDS).unlink(missing_ok=True)  # an earlier call's, which this one does not bear out
        return
    write_jsonl(out_dir / SCAFFOLDS, _scaffolds(everything, data_dir, out_dir))
    replaceable = report["total"]["replaceable"]
    if replaceable:
        logger.warning(
            "%d completions could still be asked for in place of near-duplicates: run the same command without --merge",
            replaceable,
        )


def _scaffolds(everything: Iterable[Sampled], data_dir: Path, out_dir: Path) -> Iterator[Scaffold]:
    """The chains kept, in the order of templates, questions and samples, with image paths relative to ``out_dir``."""
    for one in everything:
        for answered, verdict in zip(one.answered, one.checked, strict=True):
            if verdict.kept:
                made = scaffold_of(one.job, answered, verdict)
                images = (Path(os.path.relpath(data_dir / image, out_dir)).as_posix() for image in made.images)
                yield dataclasses.replace(made, images=tuple(images))


def _check(config: TeacherConfig, questions: Sequence[Question], shard: Shard, merge: bool) -> None:
    if not config.model:
        raise ConfigError("model='': expected the name under which the server serves it, or a model folder")
    if merge and shard.count > 1:
        raise ConfigError("merge: expected no shard; it puts all of them together")
    test = next((question.question_id for question in questions if question.split != "train"), None)
    if test is not None:
        raise ConfigError(f"question {test!r} is of the test split; a teacher writes about train questions only")
    if not questions:
        raise ConfigError("questions: expected train questions, found none; does the source have a train split?")


def _check_answered(by_template: ByTemplate, root: Path, *, merge: bool) -> None:
    missing = {name: sum(one.unanswered for one in items) for name, items in by_template.items()}
    total = sum(missing.values())
    if not total:
        return
    how = ": they ended in errors that may pass. Run the same command again to ask for these alone"
    if merge:
        how = f"{_by_shard(by_template, root)}. Run what has not ended, or the same command without --merge"
    raise UnansweredError(
        f"{total} completions are missing ({missing}){how}; {SCAFFOLDS} is written when none is missing. --keep-errors "
        "rejects errors instead"
    )


def _by_shard(by_template: ByTemplate, root: Path) -> str:
    """Which shards have not ended, where all are of one division."""
    counts = {int(path.parent.name[-4:]) for path in journals(root) if path.parent != root}
    if len(counts) != 1:
        return ""
    (count,) = counts
    missing: collections.Counter[int] = collections.Counter()
    for items in by_template.values():
        for one in items:
            missing[number_of(one.job.item_id) % count] += one.unanswered
    shards = [f"--shard {index}/{count} ({missing[index]})" for index in range(count) if missing[index]]
    return f", by {', '.join(shards)}"
