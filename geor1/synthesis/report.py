"""What was made, in counts: ``report.json``."""

from __future__ import annotations

import collections
from collections.abc import Iterable, Sequence
from typing import Any

from geor1.answers.chains import DIRECTIONS
from geor1.records import Pair, Question
from geor1.world.gazetteer import cities


def build_report(
    pairs_of: dict[str, list[Pair]],
    questions: dict[str, list[Question]],
    left_out: dict[str, list[str]],
    chains: dict[str, Any],
    seconds: dict[str, float],
) -> dict[str, Any]:
    """Counts of everything made and dropped.

    Args:
        pairs_of: Split (``train``, ``test``, ``real``) -> pairs.
        questions: Split (``train``, ``test``, ``real``) -> questions.
        left_out: Split -> ids of pairs with too few negatives.
        chains: Books of the fact check by kind of chain.
        seconds: Wall time by step.
    """
    pairs = [pair for items in pairs_of.values() for pair in items]
    splits = [split for split in questions if questions[split] or split != "real"]
    return {
        "pairs": {split: len(pairs_of[split]) for split in pairs_of if pairs_of[split] or split != "real"},
        "pairs_by_source": dict(collections.Counter(pair.source for pair in pairs)),
        "questions": {split: len(questions[split]) for split in splits},
        "left_out_for_too_few_negatives": {split: len(ids) for split, ids in left_out.items()},
        "answers": {
            split: dict(sorted(collections.Counter(question.answer for question in questions[split]).items()))
            for split in splits
        },
        "directions_shared_with_hardest_negative": {
            split: _counts(hardest_negative(question) for question in questions[split]) for split in splits
        },
        "cities": len({(pair.city, pair.country_code) for pair in pairs if pair.city}),
        "countries": len({pair.country for pair in pairs if pair.country}),
        "pairs_by_continent": _continents(pairs),
        "scaffolds": chains,
        "seconds": {name: round(value, 2) for name, value in seconds.items()},
    }


def hardest_negative(question: Question) -> int | None:
    """Directions (0 to 3) that the most similar negative shares with the truth; None where facts are unknown."""
    shared = [
        sum(option.facts.get(d) == question.facts[d] for d in DIRECTIONS)
        for option in question.candidates
        if option.letter != question.answer and "north" in option.facts and "north" in question.facts
    ]
    return max(shared, default=None)


def _counts(values: Iterable[Any]) -> dict[str, int]:
    counted = collections.Counter("unknown" if value is None else str(value) for value in values)
    return dict(sorted(counted.items()))


def _continents(pairs: Sequence[Pair]) -> dict[str, int]:
    continent = {(city.name, city.country_code): city.continent for city in cities()}
    keys = ((pair.city or "", pair.country_code or "") for pair in pairs)
    return dict(sorted(collections.Counter(continent[key] for key in keys if key in continent).items()))


def summary(report: dict[str, Any]) -> dict[str, float]:
    """The few figures of a report that belong into the manifest."""
    kept = sum(books["kept"] for books in report["scaffolds"].values())
    written = sum(books["written"] for books in report["scaffolds"].values())
    probed = {"nuisance_leaks": len(report["probes"]["leaks"])} if "probes" in report else {}
    return {
        **{f"questions_{split}": count for split, count in report["questions"].items()},
        "cities": report["cities"],
        "countries": report["countries"],
        "scaffolds_kept": kept,
        "scaffolds_kept_share": round(kept / written, 4) if written else 0.0,
        **probed,
    }
