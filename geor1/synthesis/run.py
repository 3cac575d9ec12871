"""Stage 01 in one call: from a source of pairs to questions, chains of thought and data-set files."""

from __future__ import annotations

import dataclasses
import itertools
import json
import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from geor1.records import Pair, Question, Scaffold, read_jsonl, write_jsonl
from geor1.runs import ConfigError, progress, require_free_disk, write_json
from geor1.synthesis.authors_jsonl import AuthorsJsonlSource, pairs_of_questions, write_authors_jsonl
from geor1.synthesis.card import write_card
from geor1.synthesis.config import TEACHERS, SynthesisConfig
from geor1.synthesis.export import write_pairs_parquet, write_questions_parquet
from geor1.synthesis.facts import FactChecker
from geor1.synthesis.folder_source import folder_sources
from geor1.synthesis.images import level_times
from geor1.synthesis.layouts.base import PairLayout
from geor1.synthesis.layouts.geox_bench import GeoXLayout
from geor1.synthesis.negative_rule import NegativeRule
from geor1.synthesis.negatives import Neighbourhoods
from geor1.synthesis.probes import probe_folder, raise_alarm
from geor1.synthesis.questions import QuestionPlan, plan_questions, write_questions
from geor1.synthesis.record_file import RecordFile, RecordView, RecordWriter
from geor1.synthesis.report import PairTally, QuestionTally, build_report, distances_m, source_report, summary
from geor1.synthesis.scaffolds import Draft, Teacher, geolocation, labelled_pairing, unmatched_pairing
from geor1.synthesis.separation import Separation, decide, of_questions, require_known
from geor1.synthesis.source_choice import inputs_of, sizes_px, sources_of
from geor1.synthesis.sources import Books, Source, SourceError, images_dir
from geor1.synthesis.teacher.run import REPORT as TEACHER_REPORT
from geor1.synthesis.teacher.run import SCAFFOLDS, run_teacher

BYTES_PER_PAIR = 60_000
"""Disk needed for one pair at the miniature's sizes, in images, records and Parquet together (a generous bound)."""

_log = logging.getLogger(__name__)


def run_synthesis(config: SynthesisConfig, run_dir: Path | str, **inputs: Path) -> Path:
    """Synthesise the data of one experiment.

    A killed run is simply started again: images are written over by the same bytes, and each JSONL appears whole.

    Args:
        config: What to synthesise.
        run_dir: Folder for the products: ``pairs.jsonl``, ``questions_train.jsonl``, ``questions_test.jsonl``,
            ``questions_real.jsonl`` (with ``pairs_folder``), ``scaffolds.jsonl``, ``labelled_scaffolds.jsonl``,
            ``authors_train.jsonl``, ``images/``, ``parquet/``, ``README.md`` (dataset card) and ``report.json``.
        **inputs: What :func:`~geor1.synthesis.source_choice.inputs_of` finds, which the run key is made of; read from
            where the parameters say, so nothing else may be given.

    Returns:
        ``run_dir``.

    Raises:
        ConfigError: An input that the parameters do not name.
        SourceError, ImageError: The source cannot deliver.
        NegativesError: A pair has too few negatives.
        DiskFullError: The disk cannot hold the result.
        LeakError: The probes found a leak and ``probe_alarm`` is ``stop``; the report is written all the same.
    """
    named = {name: path.resolve() for name, path in inputs_of(config).items()}
    for name, path in inputs.items():
        if named.get(name) != Path(path).resolve():
            raise ConfigError(f"input {name}={str(path)!r}: expected what the parameters name ({named}); set it there")
    started = time.monotonic()
    run_dir = Path(run_dir)
    run_dir.mkdir(parents=True, exist_ok=True)
    if config.source == "world":
        require_free_disk(run_dir, BYTES_PER_PAIR * (config.train_pairs + config.test_pairs))
    read = _read(config, run_dir)
    asked = _ask(config, read, run_dir)
    seconds = {"pairs_and_questions": time.monotonic() - started}
    _log.info("%d pairs, %s questions", len(read.pairs), {split: tally.n for split, tally in asked.tallies.items()})

    started = time.monotonic()
    scaffolds, chains = _scaffolds(config, read, asked.questions["train"])
    if config.teacher != "world":
        scaffolds["scaffolds"], taught = _taught(config, asked.questions["train"], run_dir)
        chains.update(taught)
    seconds["scaffolds"] = time.monotonic() - started

    started = time.monotonic()
    _write(config, run_dir, read.pairs, asked.questions, scaffolds)
    level_times(images_dir(run_dir))
    seconds["files"] = time.monotonic() - started
    report = build_report([read.tally, read.real], asked.tallies, asked.left_out, chains, seconds)
    report |= {"sources": source_report(read.books), "negatives_m": distances_m(asked.tallies, config.bands)}
    report["separation"] = _told(read.separation)
    report |= {"separation_real": _told(read.real_separation)} if config.pairs_folder else {}
    if config.probes:
        report["probes"] = probe_folder(run_dir, seed=config.seed, workers=config.workers)
    write_card(run_dir, report, dataclasses.asdict(config))
    write_json(run_dir / "report.json", report)
    write_json(run_dir / "metrics_summary.json", summary(report))
    if config.probes:
        raise_alarm(report["probes"], config.probe_alarm)
    return run_dir


def check_disjoint_cities(pairs: Iterable[Pair]) -> Iterator[Pair]:
    """Hand pairs on, and raise at the first whose city stands in both splits.

    Raises:
        SourceError: A city stands in both.
    """
    split_of: dict[tuple[str, str | None], str] = {}
    for pair in pairs:
        if pair.city and split_of.setdefault((pair.city, pair.country_code), pair.split) != pair.split:
            raise SourceError(
                f"pair {pair.pair_id!r}: {pair.city} stands in both train and test; give all pairs of a city one split"
            )
        yield pair


@dataclasses.dataclass(frozen=True)
class _Read:
    """What came from the sources.

    Attributes:
        pairs: All pairs, those of ``pairs_folder`` last.
        tally: Of the others.
        real: Of those of ``pairs_folder``.
        given: Questions, if the source holds some.
        sources: What was read.
        books: What was left out.
        separation: How near negatives may be; None where nobody knows.
        real_separation: Likewise of the pairs of ``pairs_folder``.
    """

    pairs: RecordFile[Pair]
    tally: PairTally
    real: PairTally
    given: list[Question]
    sources: list[Source]
    books: Books
    separation: Separation | None
    real_separation: Separation | None

    def numbers_of(self, split: str) -> np.ndarray:
        """Numbers of the pairs of a split, without those of ``pairs_folder``."""
        return np.flatnonzero(np.frombuffer(self.tally.is_train, dtype=np.uint8) == (split == "train"))


def _read(config: SynthesisConfig, run_dir: Path) -> _Read:
    """Read the sources; ``pairs.jsonl`` is written as the pairs come."""
    books = Books(skip_broken=config.skip_broken)
    given = _given_questions(config, run_dir, books)
    sources = [] if given is not None else sources_of(config, books)
    total = config.train_pairs + config.test_pairs if config.source == "world" else None
    tally, real = PairTally(), PairTally(label="real")
    writer = RecordWriter(run_dir / "pairs.jsonl", Pair)
    separation = real_separation = decide(config.min_separation_m, config.tile_extent_m, sources)
    if given is not None:
        separation = separation or of_questions(given)
        stream = pairs_of_questions(given)
    else:
        stream = require_known(_stream(sources, run_dir, total), separation)
    writer.extend(tally.count(check_disjoint_cities(stream)))
    if config.pairs_folder:
        folders = folder_sources(Path(config.pairs_folder), split="test", books=books, **sizes_px(config))
        real_separation = decide(config.min_separation_m, config.tile_extent_m, folders)
        found = require_known(_stream(folders, run_dir, None), real_separation)
        writer.extend(real.count(dataclasses.replace(pair, split="test") for pair in found))
    return _Read(writer.finish(), tally, real, given or [], sources, books, separation, real_separation)


def _given_questions(config: SynthesisConfig, run_dir: Path, books: Books) -> list[Question] | None:
    """Questions of a source that holds some, None for all others."""
    folder = Path(config.image_folder) if config.image_folder else None
    path = Path(config.source_path)
    if config.source == "authors_jsonl":
        return AuthorsJsonlSource(
            path=path, image_folder=folder, split=config.source_split, **sizes_px(config)
        ).questions(run_dir)
    if config.source == "geox_bench":
        return GeoXLayout(root=folder or path.parent, index=path, books=books, **sizes_px(config)).questions(run_dir)
    return None


@dataclasses.dataclass(frozen=True)
class _Asked:
    """Questions by split, in files already, with their counts and the pairs left out."""

    questions: dict[str, Sequence[Question]] = dataclasses.field(default_factory=dict)
    tallies: dict[str, QuestionTally] = dataclasses.field(default_factory=dict)
    left_out: dict[str, list[str]] = dataclasses.field(default_factory=dict)


def _ask(config: SynthesisConfig, read: _Read, run_dir: Path) -> _Asked:
    """Make the questions, each written as it is made."""
    asked = _Asked()
    if read.given:
        for split in ("train", "test"):
            given = [one for one in read.given if one.split == split]
            asked.questions[split], asked.tallies[split] = given, QuestionTally()
            write_jsonl(run_dir / f"questions_{split}.jsonl", asked.tallies[split].count(given))
            asked.left_out[split] = []
    else:
        main = read.pairs[: read.tally.n]
        hood = Neighbourhoods(main, _rule(config, read.separation), embeddings=_embeddings(config))
        for split in ("train", "test"):
            plan = plan_questions(
                hood,
                split=split,
                candidates=config.candidates,
                questions_per_pair=config.questions_per_pair if split == "train" else 1,
                questions_per_city=config.questions_per_city,
                seed=config.seed,
                skip_isolated=config.skip_isolated,
                share_sets=config.share_sets,
            )
            _make(asked, plan, split, run_dir)
    if config.pairs_folder:
        rule = dataclasses.replace(_rule(config, read.real_separation), difficulty=_plain(config))
        real = Neighbourhoods(read.pairs[read.tally.n :], rule)
        plan = plan_questions(real, split="test", candidates=config.candidates, seed=config.seed)
        _make(asked, plan, "real", run_dir)
    for source in read.sources:
        if isinstance(source, PairLayout):
            source.check_questions(itertools.chain(asked.questions["train"], asked.questions["test"]))
    return asked


def _make(asked: _Asked, plan: QuestionPlan, name: str, run_dir: Path) -> None:
    asked.tallies[name] = QuestionTally()
    path = run_dir / f"questions_{name}.jsonl"
    asked.questions[name] = write_questions(path, plan, asked.tallies[name].count)
    if name != "real":
        asked.left_out[name] = plan.left_out


def _rule(config: SynthesisConfig, separation: Separation | None) -> NegativeRule:
    """The rule for negatives; where nobody knows how near they may be, no pair has a position.

    Raises:
        SourceError: The separation does not fit the radius or the bands.
    """
    try:
        return config.rule(separation.least_m if separation else 0.0)
    except ValueError as error:
        why = f" ({separation.why})" if separation else ""
        raise SourceError(f"negatives of {config.source}: {error}{why}") from error


def _told(separation: Separation | None) -> dict[str, Any]:
    """A separation for the report."""
    return dataclasses.asdict(separation) if separation else {"least_m": None, "why": "no pair has a position"}


def _embeddings(config: SynthesisConfig) -> np.ndarray | None:
    if not config.embeddings:
        return None
    try:
        return np.load(config.embeddings, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise SourceError(f"embeddings={config.embeddings!r}: cannot be read ({error}); give a .npy file") from error


def _plain(config: SynthesisConfig) -> str:
    """Difficulty for pairs that the embeddings do not cover."""
    return "mixed" if config.embeddings else config.difficulty


def _scaffolds(
    config: SynthesisConfig, read: _Read, questions: Sequence[Question]
) -> tuple[dict[str, list[Scaffold]], dict[str, Any]]:
    """Checked chains by file, and the books of the fact check by kind; of others, the labelled alone."""
    wanted = config.teacher == "world" and config.pairing_scaffolds + config.geolocation_scaffolds
    train = read.numbers_of("train") if wanted else range(0)
    near = dataclasses.replace(_rule(config, read.separation), difficulty=_plain(config))
    hood = Neighbourhoods(RecordView(read.pairs, train), near)
    countries = tuple(sorted(read.tally.countries))
    teacher = Teacher(error_rate=config.teacher_error_rate, countries=countries)
    names = {city for city, _ in read.tally.cities} | read.tally.countries
    drafts = {
        "unmatched": unmatched_pairing(
            hood,
            n=config.pairing_scaffolds,
            candidates=config.candidates,
            teacher=teacher,
            conclusion=config.conclusion,
            lookalikes=config.lookalikes,
            seed=config.seed,
        ),
        "geolocation": geolocation(hood, n=config.geolocation_scaffolds, teacher=teacher, seed=config.seed),
        "labelled": labelled_pairing(questions, n=config.labelled_scaffolds, teacher=teacher, seed=config.seed),
    }
    kept, books = {}, {}
    if config.teacher != "world":
        drafts = {"unmatched": iter(()), "geolocation": iter(()), "labelled": drafts["labelled"]}
    for kind, items in drafts.items():
        checker = FactChecker(names, tolerance_km=config.coordinate_tolerance_km)
        kept[kind] = _passed(items, checker)
        books[kind] = {
            "written": len(kept[kind]) + sum(checker.dropped.values()),
            "kept": len(kept[kind]),
            "dropped_by_reason": dict(checker.dropped),
            "facts_tested": checker.facts_tested,
            "false_facts_by_kind": dict(checker.false_facts),
            "pairing_labels_seen": sum(scaffold.pairing_labels_seen for scaffold in kept[kind]),
        }
    return {"scaffolds": kept["unmatched"] + kept["geolocation"], "labelled_scaffolds": kept["labelled"]}, books


def _taught(
    config: SynthesisConfig, questions: Sequence[Question], run_dir: Path
) -> tuple[list[Scaffold], dict[str, Any]]:
    """Chains of a model that is asked, with image paths relative to ``run_dir``, and its books by template.

    What it answered is kept in ``teacher/`` when the run is killed.
    """
    folder = run_dir / "teacher"
    teaching = dataclasses.replace(config.teaching, backend=TEACHERS[config.teacher])
    run_teacher(teaching, questions, run_dir, folder)
    scaffolds = [
        dataclasses.replace(one, images=tuple(image.removeprefix("../") for image in one.images))
        for one in read_jsonl(folder / SCAFFOLDS, Scaffold)
    ]
    report = json.loads((folder / TEACHER_REPORT).read_text(encoding="utf-8"))
    false_claims = {kind: counts["false"] for kind, counts in report["claims"].items() if counts["false"]}
    books = {}
    for name, row in report["templates"].items():
        mine = [one for one in scaffolds if one.scaffold_id.rsplit("/", 2)[1] == name]
        books[name] = {
            "written": row["answered"],
            "kept": row["kept"],
            "dropped_by_reason": row["rejected"],
            "facts_tested": sum(one.n_facts for one in mine),
            "false_facts_by_kind": false_claims if len(report["templates"]) == 1 else {},
            "pairing_labels_seen": sum(one.pairing_labels_seen for one in mine),
        }
    return scaffolds, books


def _passed(drafts: Iterable[Draft], checker: FactChecker) -> list[Scaffold]:
    checked = (checker.filter(draft.scaffold, draft.metadata) for draft in drafts)
    return [scaffold for scaffold in checked if scaffold is not None]


def _write(
    config: SynthesisConfig,
    run_dir: Path,
    pairs: Sequence[Pair],
    questions: dict[str, Sequence[Question]],
    scaffolds: dict[str, list[Scaffold]],
) -> None:
    """What is left to write: pairs and questions are in their files."""
    for stem, items in scaffolds.items():
        write_jsonl(run_dir / f"{stem}.jsonl", items)
    write_authors_jsonl(run_dir / "authors_train.jsonl", questions["train"])
    if not config.parquet:
        return
    folder = run_dir / "parquet"
    folder.mkdir(exist_ok=True)
    if pairs:
        write_pairs_parquet(folder / "pairs.parquet", pairs, root=run_dir)
    for split, items in questions.items():
        if items:
            write_questions_parquet(folder / f"questions_{split}.parquet", items, root=run_dir)


def _stream(sources: Sequence[Source], run_dir: Path, total: int | None) -> Iterator[Pair]:
    for source in sources:
        yield from progress(source.pairs(run_dir), description=f"pairs of {source.name}", total=total, unit="pairs")
