"""What was made, in counts: ``report.json``."""

from __future__ import annotations

import array
import collections
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from geor1.answers.chains import DIRECTIONS
from geor1.records import Pair, Question
from geor1.synthesis.sources import Books
from geor1.world.gazetteer import cities


class PairTally:
    """Counts of pairs, taken as they pass.

    Args:
        label: What to call them in the report; None for their own splits.

    Attributes:
        n: How many passed.
        is_train: One byte a pair, 1 for the train split.
        by_split: Pairs by split, or by label.
        by_source: Pairs by source.
        cities: City and country code of every pair whose city is known.
        countries: Those known.
        by_place: Pairs by city and country code.
    """

    def __init__(self, label: str | None = None) -> None:
        self.label = label
        self.n = 0
        self.is_train = bytearray()
        self.by_split: collections.Counter[str] = collections.Counter()
        self.by_source: collections.Counter[str] = collections.Counter()
        self.countries: set[str] = set()
        self.by_place: collections.Counter[tuple[str, str | None]] = collections.Counter()

    @property
    def cities(self) -> set[tuple[str, str | None]]:
        """City and country code of every pair whose city is known."""
        return {place for place in self.by_place if place[0]}

    def count(self, pairs: Iterable[Pair]) -> Iterator[Pair]:
        """Hand pairs on, counted."""
        for pair in pairs:
            self.n += 1
            self.is_train.append(pair.split == "train")
            self.by_split[self.label or pair.split] += 1
            self.by_source[pair.source] += 1
            self.by_place[pair.city or "", pair.country_code] += 1
            if pair.country:
                self.countries.add(pair.country)
            yield pair


class QuestionTally:
    """Counts of questions, taken as they pass.

    Attributes:
        n: How many passed.
        answers: Questions by letter of the right tile.
        hardest: Questions by directions that the most similar negative shares with the truth.
        distances_m: Of every negative whose distance is known; eight bytes each.
    """

    def __init__(self) -> None:
        self.n = 0
        self.answers: collections.Counter[str] = collections.Counter()
        self.hardest: collections.Counter[int | None] = collections.Counter()
        self.distances_m = array.array("d")

    def count(self, questions: Iterable[Question]) -> Iterator[Question]:
        """Hand questions on, counted."""
        for question in questions:
            self.n += 1
            self.answers[question.answer] += 1
            self.hardest[hardest_negative(question)] += 1
            self.distances_m.extend(
                option.distance_m
                for option in question.candidates
                if option.letter != question.answer and option.distance_m is not None
            )
            yield question


def build_report(
    tallies: Sequence[PairTally],
    questions: dict[str, QuestionTally],
    left_out: dict[str, list[str]],
    chains: dict[str, Any],
    seconds: dict[str, float],
) -> dict[str, Any]:
    """Counts of everything made and dropped.

    Args:
        tallies: Of the pairs.
        questions: Split (``train``, ``test``, ``real``) -> counts of its questions.
        left_out: Split -> ids of pairs with too few negatives.
        chains: Books of the fact check by kind of chain.
        seconds: Wall time by step.
    """
    by_split: collections.Counter[str] = collections.Counter({"train": 0, "test": 0})
    by_source: collections.Counter[str] = collections.Counter()
    by_place: collections.Counter[tuple[str, str | None]] = collections.Counter()
    for tally in tallies:
        by_split.update(tally.by_split)
        by_source.update(tally.by_source)
        by_place.update(tally.by_place)
    return {
        "pairs": dict(by_split),
        "pairs_by_source": dict(by_source),
        "questions": {split: tally.n for split, tally in questions.items()},
        "left_out_for_too_few_negatives": {split: len(ids) for split, ids in left_out.items()},
        "answers": {split: dict(sorted(tally.answers.items())) for split, tally in questions.items()},
        "directions_shared_with_hardest_negative": {
            split: dict(sorted(("unknown" if key is None else str(key), n) for key, n in tally.hardest.items()))
            for split, tally in questions.items()
        },
        "cities": len([place for place in by_place if place[0]]),
        "countries": len(set().union(*(tally.countries for tally in tallies))),
        "pairs_by_continent": _continents(by_place),
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


def _continents(by_place: collections.Counter[tuple[str, str | None]]) -> dict[str, int]:
    continent = {(city.name, city.country_code): city.continent for city in cities()}
    counts: collections.Counter[str] = collections.Counter()
    for (city, code), n in by_place.items():
        if (city, code or "") in continent:
            counts[continent[city, code or ""]] += n
    return dict(sorted(counts.items()))


def source_report(books: Books) -> dict[str, Any]:
    """What the sources left out, where they differ from what was published, and what was done with their images."""
    return {
        "broken": books.n_broken,
        "broken_first": books.broken,
        "differs_from_published": books.remarks,
        "images": dict(sorted(books.images.items())),
    }


def distances_m(
    questions: dict[str, QuestionTally], bands: Sequence[tuple[float, float, float]]
) -> dict[str, dict[str, float]]:
    """How far the negatives are, in metres, by split: least, median, most, and the share in each band asked for."""
    found = {}
    for split, tally in questions.items():
        away = np.array(tally.distances_m)
        if len(away):
            found[split] = {"min": float(away.min()), "median": float(np.median(away)), "max": float(away.max())}
            for low, high, _ in bands:
                share = float(np.mean((away >= low) & (away <= high)))
                found[split][f"share {low:g} to {high:g}"] = round(share, 4)
    return found


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
