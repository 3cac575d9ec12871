"""Stage 01 in one call: from a source of pairs to questions, chains of thought and data-set files."""

from __future__ import annotations

import dataclasses
import json
import logging
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from geor1.records import Pair, Question, Scaffold, read_jsonl, write_jsonl
from geor1.runs import progress, require_free_disk, write_json
from geor1.synthesis.authors_jsonl import AuthorsJsonlSource, pairs_of_questions, write_authors_jsonl
from geor1.synthesis.card import write_card
from geor1.synthesis.config import TEACHERS, SynthesisConfig
from geor1.synthesis.export import write_pairs_parquet, write_questions_parquet
from geor1.synthesis.facts import FactChecker
from geor1.synthesis.folder_source import folder_sources
from geor1.synthesis.images import level_times
from geor1.synthesis.negatives import NegativeRule, Neighbourhoods
from geor1.synthesis.probes import probe_folder, raise_alarm
from geor1.synthesis.questions import build_questions
from geor1.synthesis.report import build_report, summary
from geor1.synthesis.scaffolds import Draft, Teacher, geolocation, labelled_pairing, unmatched_pairing
from geor1.synthesis.sources import Source, SourceError, images_dir
from geor1.synthesis.teacher.run import REPORT as TEACHER_REPORT
from geor1.synthesis.teacher.run import SCAFFOLDS, run_teacher
from geor1.synthesis.world_source import WorldSource

BYTES_PER_PAIR = 60_000
"""Disk needed for one pair at the miniature's sizes, in images, records and Parquet together (a generous bound)."""

_log = logging.getLogger(__name__)


def run_synthesis(config: SynthesisConfig, run_dir: Path | str) -> Path:
    """Synthesise the data of one experiment.

    A killed run is simply started again: images are written over by the same bytes, and each JSONL appears whole.

    Args:
        config: What to synthesise.
        run_dir: Folder for the products: ``pairs.jsonl``, ``questions_train.jsonl``, ``questions_test.jsonl``,
            ``questions_real.jsonl`` (with ``pairs_folder``), ``scaffolds.jsonl``, ``labelled_scaffolds.jsonl``,
            ``authors_train.jsonl``, ``images/``, ``parquet/``, ``README.md`` (dataset card) and ``report.json``.

    Returns:
        ``run_dir``.

    Raises:
        SourceError, ImageError: The source cannot deliver.
        NegativesError: A pair has too few negatives.
        DiskFullError: The disk cannot hold the result.
        LeakError: The probes found a leak and ``probe_alarm`` is ``stop``; the report is written all the same.
    """
    started = time.monotonic()
    run_dir = Path(run_dir)
    run_dir.mkdir(parents=True, exist_ok=True)
    if config.source == "world":
        require_free_disk(run_dir, BYTES_PER_PAIR * (config.train_pairs + config.test_pairs))
    pairs, questions, left_out = _questions(config, run_dir)
    seconds = {"pairs_and_questions": time.monotonic() - started}
    real_pairs, questions["real"] = _real_questions(config, run_dir)
    check_disjoint_cities(pairs)
    _log.info("%d pairs, %s questions", len(pairs), {split: len(items) for split, items in questions.items()})

    started = time.monotonic()
    scaffolds, chains = _scaffolds(config, pairs, questions["train"])
    if config.teacher != "world":
        scaffolds["scaffolds"], taught = _taught(config, questions["train"], run_dir)
        chains.update(taught)
    seconds["scaffolds"] = time.monotonic() - started

    started = time.monotonic()
    pairs_of = {split: [pair for pair in pairs if pair.split == split] for split in ("train", "test")}
    pairs_of["real"] = real_pairs
    _write(config, run_dir, [*pairs, *real_pairs], questions, scaffolds)
    level_times(images_dir(run_dir))
    seconds["files"] = time.monotonic() - started
    report = build_report(pairs_of, questions, left_out, chains, seconds)
    if config.probes:
        report["probes"] = probe_folder(run_dir, seed=config.seed, workers=config.workers)
    write_card(run_dir, report, dataclasses.asdict(config))
    write_json(run_dir / "report.json", report)
    write_json(run_dir / "metrics_summary.json", summary(report))
    if config.probes:
        raise_alarm(report["probes"], config.probe_alarm)
    return run_dir


def check_disjoint_cities(pairs: Iterable[Pair]) -> None:
    """Raise unless every known city stands in one split only.

    Raises:
        SourceError: A city stands in both.
    """
    split_of: dict[tuple[str, str | None], str] = {}
    for pair in pairs:
        if pair.city and split_of.setdefault((pair.city, pair.country_code), pair.split) != pair.split:
            raise SourceError(
                f"pair {pair.pair_id!r}: {pair.city} stands in both train and test; give all pairs of a city one split"
            )


def _questions(
    config: SynthesisConfig, run_dir: Path
) -> tuple[list[Pair], dict[str, list[Question]], dict[str, list[str]]]:
    """Pairs, questions by split, and the ids left out by split."""
    sizes = _sizes(config)
    if config.source == "authors_jsonl":
        folder = Path(config.image_folder) if config.image_folder else None
        given = AuthorsJsonlSource(
            path=Path(config.source_path), image_folder=folder, split=config.source_split, **sizes
        ).questions(run_dir)
        by_split = {split: [question for question in given if question.split == split] for split in ("train", "test")}
        return list(pairs_of_questions(given)), by_split, {}
    sources: Sequence[Source]
    if config.source == "folder":
        sources = folder_sources(Path(config.source_path), split=config.source_split, **sizes)
    else:
        sources = [_world(config)]
    pairs = _collect(
        sources, run_dir, total=config.train_pairs + config.test_pairs if config.source == "world" else None
    )
    hood = Neighbourhoods(pairs, _rule(config))
    questions, left_out = {}, {}
    for split in ("train", "test"):
        questions[split], left_out[split] = build_questions(
            hood,
            split=split,
            candidates=config.candidates,
            questions_per_pair=config.questions_per_pair if split == "train" else 1,
            seed=config.seed,
            skip_isolated=config.skip_isolated,
        )
    return pairs, questions, left_out


def _real_questions(config: SynthesisConfig, run_dir: Path) -> tuple[list[Pair], list[Question]]:
    """Pairs of ``pairs_folder`` and one question about each; images brought to the sizes of the rest."""
    if not config.pairs_folder:
        return [], []
    pairs = _collect(folder_sources(Path(config.pairs_folder), split="test", **_sizes(config)), run_dir, total=None)
    pairs = [dataclasses.replace(pair, split="test") for pair in pairs]
    questions, _ = build_questions(
        Neighbourhoods(pairs, _rule(config)), split="test", candidates=config.candidates, seed=config.seed
    )
    return pairs, questions


def _scaffolds(
    config: SynthesisConfig, pairs: Sequence[Pair], questions: Sequence[Question]
) -> tuple[dict[str, list[Scaffold]], dict[str, Any]]:
    """Checked chains by file, and the books of the fact check by kind; of others, the labelled alone."""
    train = [pair for pair in pairs if pair.split == "train"]
    hood = Neighbourhoods(train, _rule(config))
    countries = tuple(sorted({pair.country for pair in pairs if pair.country}))
    teacher = Teacher(error_rate=config.teacher_error_rate, countries=countries)
    names = {name for pair in pairs for name in (pair.city, pair.country) if name}
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

    Asked before anything is written but images: what it answered is kept in ``teacher/`` when the run is killed.
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
        mine = [one for one in scaffolds if one.scaffold_id.rpartition("/")[2].startswith(name)]
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
    questions: dict[str, list[Question]],
    scaffolds: dict[str, list[Scaffold]],
) -> None:
    records: dict[str, Sequence[Any]] = {
        "pairs": pairs,
        **{f"questions_{split}": items for split, items in questions.items() if items or split != "real"},
        **scaffolds,
    }
    for stem, items in records.items():
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


def _collect(sources: Sequence[Source], run_dir: Path, *, total: int | None) -> list[Pair]:
    return [
        pair
        for source in sources
        for pair in progress(source.pairs(run_dir), description=f"pairs of {source.name}", total=total, unit="pairs")
    ]


def _world(config: SynthesisConfig) -> WorldSource:
    return WorldSource(
        train_pairs=config.train_pairs,
        test_pairs=config.test_pairs,
        scenes_per_neighbourhood=config.scenes_per_neighbourhood,
        seed=config.seed,
        workers=config.workers,
        **_sizes(config),
    )


def _rule(config: SynthesisConfig) -> NegativeRule:
    return NegativeRule(
        min_separation_m=config.min_separation_m, max_radius_m=config.max_radius_m, difficulty=config.difficulty
    )


def _sizes(config: SynthesisConfig) -> dict[str, Any]:
    return {
        "panorama_px": (config.panorama_width_px, config.panorama_height_px),
        "tile_px": config.tile_px,
        "quality": config.jpeg_quality,
    }
