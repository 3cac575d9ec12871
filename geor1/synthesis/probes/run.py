"""All probes on one data set: learn on the train questions, try the test questions, report, alarm.

What only the train questions hold would be rewarded all the same, so those are tried too: each part of them but the
first by probes that learnt on the parts before it, places apart.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from geor1.records import Question
from geor1.synthesis.probes.features import read_facts
from geor1.synthesis.probes.options import PROBES, Shown, padded, show
from geor1.synthesis.probes.sample import Sampled, groups_of, sample_questions
from geor1.synthesis.probes.trial import Table, judge, trial
from geor1.synthesis.probes.verdict import Outcome

SHOWN_AT_MOST = {"train": 4000, "test": 2000}
"""Questions that probes look at; of a larger file, a seeded sample. 2,000 show a leak of 4 points above 1/5."""
FEWEST_TO_LEARN = 50
"""With fewer train questions, probes learn on the other groups of the tested questions instead."""
ALARMS = ("warn", "stop")

_log = logging.getLogger(__name__)


class LeakError(ValueError):
    """A nuisance alone finds the right tile; the message names probes and figures and says what to do."""


def probe_folder(
    folder: Path | str, *, seed: int = 0, workers: int = 2, limits: Mapping[str, int] | None = None
) -> dict[str, Any]:
    """Run all probes on a data set.

    Args:
        folder: Holds ``questions_train.jsonl``, ``questions_test.jsonl``, perhaps ``questions_real.jsonl``, and images.
        seed: Decides the sample, the held-out groups and the random features.
        workers: Threads that read images; changes no result.
        limits: Most questions of ``train`` and ``test`` (and ``real``); default :data:`SHOWN_AT_MOST`.

    Returns:
        ``sets`` (``test``, ``train``, ``real`` -> rows and counts), ``leaks`` (``test: jpeg`` …), ``cues``,
        ``seconds``.

    Raises:
        FileNotFoundError: No question file to test.
        ImageError: An image is missing or no image.
        RecordError: A line of a question file does not fit.
    """
    folder, started = Path(folder), time.monotonic()
    limits = {**SHOWN_AT_MOST, **(limits or {})}
    limits.setdefault("real", limits["test"])
    sampled = {
        split: sample_questions(folder / f"questions_{split}.jsonl", limits[split], seed)
        for split in ("train", "test", "real")
    }
    if not any((folder / f"questions_{split}.jsonl").is_file() for split in ("test", "real")):
        raise FileNotFoundError(f"{folder}: expected questions_test.jsonl, found none; give a folder of stage 01")
    questions = [question for one in sampled.values() for question in one.questions]
    paths = [folder / question.ground_image for question in questions]
    paths += [folder / option.satellite_image for question in questions for option in question.candidates]
    facts = read_facts(paths, workers=workers)
    shown = {split: show(one, facts, folder) for split, one in sampled.items()}
    sets, outcomes = {}, {}
    for split, learn_from in (("test", "train"), ("train", None), ("real", None)):
        if sampled[split].questions:
            learn = learn_from if learn_from and len(shown[learn_from]) >= FEWEST_TO_LEARN else None
            outcomes[split] = _try_all(sampled, shown, split, learn, seed)
            sets[split] = _counts(sampled, shown, split, learn)
    for split, rows in _rows(outcomes).items():
        sets[split]["probes"] = rows
    found = [(split, row) for split, one in sets.items() for row in one["probes"]]
    return {
        "sets": sets,
        "leaks": [f"{split}: {row['name']}" for split, row in found if row["verdict"] == "leak"],
        "cues": [f"{split}: {row['name']}" for split, row in found if row["verdict"] == "cue"],
        "seconds": round(time.monotonic() - started, 1),
    }


def summary_lines(report: Mapping[str, Any]) -> list[str]:
    """The report as a table for people, one line a probe."""
    lines = []
    for split, one in report["sets"].items():
        lines.append(
            f"{split}: {one['n_tested']} of {one['n_questions']} questions tried, learnt on {one['learnt_on']}; "
            f"chance {100 * one['chance']:.1f} %"
        )
        for row in one["probes"]:
            share = "      -               " if row["accuracy"] is None else _interval(row)
            note = "all options alike" if row["constant"] else f"sees leaks from {100 * row['detectable']:.0f} %"
            note += ", below 1/K" if row["verdict"] == "leak" and row["accuracy"] < row["chance"] else ""
            lines.append(f"  {row['name']:17} {row['kind']:6} {share}  {row['verdict']:12} {note}")
    return [*lines, f"leaks: {', '.join(report['leaks']) or 'none found'} ({report['seconds']:g} s)"]


def raise_alarm(report: Mapping[str, Any], alarm: str) -> None:
    """Log what the probes found, and stop on a leak where that is asked for.

    Args:
        report: From :func:`probe_folder`.
        alarm: ``warn`` or ``stop``.

    Raises:
        LeakError: A nuisance leaks and ``alarm`` is ``stop``.
    """
    rows = [(split, row) for split, one in report["sets"].items() for row in one["probes"]]
    weak = [f"{split}: {row['name']}" for split, row in rows if row["verdict"] == "underpowered"]
    _log.info(
        "probes: %s; weak content cues above chance: %s; too few questions for: %s; %.1f s",
        f"leaks {', '.join(report['leaks'])}" if report["leaks"] else "no leak found",
        ", ".join(report["cues"]) or "none",
        f"{len(weak)} of {len(rows)} probes",
        report["seconds"],
    )
    if not report["leaks"]:
        return
    named = [
        f"{split}: {row['name']} ({row['sees']}) {_interval(row).strip()} against {100 * row['chance']:.1f} %"
        for split, row in rows
        if row["verdict"] == "leak"
    ]
    text = (
        f"anti-shortcut probes: expected 1/K from what is not content, got {'; '.join(named)}; find what sets the "
        "right tile's file apart (report.json, probes) and mend the source, or keep the data with probe_alarm 'warn'"
    )
    if alarm == "stop":
        raise LeakError(text)
    _log.warning("%s", text)


def _interval(row: Mapping[str, Any]) -> str:
    return f"{100 * row['accuracy']:5.1f} % ({100 * row['low']:.1f} to {100 * row['high']:.1f})"


def _try_all(
    sampled: Mapping[str, Sampled], shown: Mapping[str, list[Shown]], split: str, learn: str | None, seed: int
) -> list[Outcome | None]:
    """What came of each probe on one split, learnt on another or on its own other groups."""
    groups = sampled[split].groups
    learn_groups = sampled[learn].groups if learn else groups
    # One panorama asked about again, or one set of tiles, is hit or missed together.
    together = groups_of([[question.ground_image, _set_of(question)] for question in sampled[split].questions])
    found = []
    for probe in PROBES:
        test = Table(padded(shown[split], probe), _gold(shown[split]), groups)
        known = Table(padded(shown[learn], probe), _gold(shown[learn]), learn_groups) if learn else None
        clusters = together if probe.nuisance else groups
        found.append(trial(test, known, clusters=clusters, seed=seed, bend=probe.name != "blind", below=probe.nuisance))
    return found


def _counts(
    sampled: Mapping[str, Sampled], shown: Mapping[str, list[Shown]], split: str, learn: str | None
) -> dict[str, Any]:
    one = sampled[split]
    learnt = f"{len(shown[learn])} of {sampled[learn].total} {learn} questions" if learn else "its other groups"
    return {
        "n_questions": one.total,
        "n_tested": len(one.questions),
        "learnt_on": learnt,
        "groups": len(np.unique(one.groups)),
        "chance": round(float(np.mean([1 / len(item.tiles) for item in shown[split]])), 4),
    }


def _rows(outcomes: Mapping[str, list[Outcome | None]]) -> dict[str, list[dict[str, Any]]]:
    """One row a probe; nuisances and cues are two families, each adjusted for the number of its tests in all sets."""
    rows: dict[str, list[dict[str, Any]]] = {split: [{} for _ in PROBES] for split in outcomes}
    for nuisance in (True, False):
        members = [(split, n) for split in outcomes for n, probe in enumerate(PROBES) if probe.nuisance == nuisance]
        judged = judge([outcomes[split][number] for split, number in members], nuisance=nuisance)
        for (split, number), figures in zip(members, judged, strict=True):
            probe = PROBES[number]
            rows[split][number] = {"name": probe.name, "kind": probe.kind, "sees": probe.sees, **figures}
    return rows


def _set_of(question: Question) -> str:
    return " ".join(sorted(option.satellite_image for option in question.candidates))


def _gold(shown: list[Shown]) -> np.ndarray:
    return np.array([ord(item.question.answer) - ord("A") for item in shown])
