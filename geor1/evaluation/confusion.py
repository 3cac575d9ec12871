"""Geographic confusion: which country, or continent, is taken for which.

A predicted country comes from the reply's text or from where its coordinate falls; the two may differ, and how often
they do is a figure of its own. Every prediction is counted: what has no usable answer stands under ``unusable``, a text
that names no one country, or a coordinate on the open sea, under ``unknown``.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from geor1.evaluation.slices import UNKNOWN, predicted_codes, true_places
from geor1.evaluation.statistics import Interval, wilson_interval
from geor1.records import Prediction
from geor1.world.regions import continent, country_code, country_names

UNUSABLE = "unusable"
Level = Literal["country", "continent"]
Evidence = Literal["text", "coordinate"]


@dataclasses.dataclass(frozen=True)
class Confusion:
    """Counts of true against predicted.

    Attributes:
        level: ``country`` or ``continent``.
        evidence: ``text`` or ``coordinate``.
        true: Row labels, most frequent first.
        predicted: Column labels: those of the rows in the same order, then what was predicted beyond them by
            frequency, then ``unknown`` and ``unusable``.
        counts: Shape (rows, columns).
    """

    level: str
    evidence: str
    true: tuple[str, ...]
    predicted: tuple[str, ...]
    counts: NDArray[np.int64]

    @property
    def n(self) -> int:
        """All predictions."""
        return int(self.counts.sum())

    @property
    def true_totals(self) -> dict[str, int]:
        """Predictions by what is true."""
        return dict(zip(self.true, self.counts.sum(axis=1).tolist(), strict=True))

    @property
    def predicted_totals(self) -> dict[str, int]:
        """Predictions by what was predicted."""
        return dict(zip(self.predicted, self.counts.sum(axis=0).tolist(), strict=True))

    @property
    def accuracy(self) -> float:
        """Share on the diagonal, over everything; a truth that is unknown cannot be right."""
        known = [label != UNKNOWN for label in self.true]
        return float(np.diagonal(self.counts)[known].sum() / self.n)

    def largest(self, count: int = 10) -> list[tuple[str, str, int]]:
        """The most frequent confusions as (true, predicted, n), unknown and unusable left out."""
        found = [
            (true, predicted, int(self.counts[row, column]))
            for row, true in enumerate(self.true)
            for column, predicted in enumerate(self.predicted)
            if true != predicted and UNKNOWN not in (true, predicted) and predicted != UNUSABLE
        ]
        return sorted((entry for entry in found if entry[2]), key=lambda entry: (-entry[2], entry))[:count]


@dataclasses.dataclass(frozen=True)
class Disagreement:
    """How often two sources of a country contradict each other.

    Attributes:
        share: Contradictions among the predictions where both name a country, Wilson interval.
        items: Those that contradict, as (item id, first, second) with country codes.
    """

    share: Interval | None
    items: tuple[tuple[str, str, str], ...]


def confusion(predictions: Sequence[Prediction], *, level: Level = "country", evidence: Evidence = "text") -> Confusion:
    """Count true against predicted countries or continents.

    Args:
        predictions: Geolocation predictions.
        level: ``country`` or ``continent``.
        evidence: Take the prediction from the reply's ``text`` or from the outline that its ``coordinate`` falls into.

    Raises:
        ValueError: No predictions, or an unknown level or evidence.
    """
    if not predictions or level not in ("country", "continent") or evidence not in ("text", "coordinate"):
        raise ValueError(
            f"confusion: expected predictions, level 'country' or 'continent' and evidence 'text' or 'coordinate', "
            f"got {len(predictions)} predictions, {level!r}, {evidence!r}"
        )
    true = [_label(place.code, level, place.latitude_deg, place.longitude_deg) for place in true_places(predictions)]
    return _count(true, _predicted(predictions, level, evidence), level, evidence)


def text_against_coordinate(predictions: Sequence[Prediction]) -> Disagreement:
    """How often a reply's country and the outline of its own coordinate differ: a model contradicting itself.

    Where the outlines are coarse (towns on a border) the two differ without fault of the model, in about 1 of 100.
    """
    named = [country_code(p.country) for p in predictions]
    return _disagreement(predictions, named, predicted_codes(predictions))


def label_against_coordinate(predictions: Sequence[Prediction]) -> Disagreement:
    """How often the data set's country and the outline of its own coordinate differ: wrong truth, mostly."""
    places = true_places(predictions)
    named = [country_code(p.true_country) for p in predictions]
    return _disagreement(predictions, named, [place.outline_code for place in places])


def _predicted(predictions: Sequence[Prediction], level: Level, evidence: Evidence) -> list[str]:
    """Label of each prediction; without coordinates, a reply's text may still name a country."""
    if evidence == "text":
        labels = [_label(country_code(p.country), level, p.latitude_deg, p.longitude_deg) for p in predictions]
        usable = [bool((p.country or "").strip()) for p in predictions]
    else:
        codes = predicted_codes(predictions)
        usable = [p.status == "ok" for p in predictions]
        labels = [
            _label(code, level, p.latitude_deg, p.longitude_deg) for code, p in zip(codes, predictions, strict=True)
        ]
    return [label if ok else UNUSABLE for label, ok in zip(labels, usable, strict=True)]


def _label(code: str | None, level: Level, latitude_deg: float | None, longitude_deg: float | None) -> str:
    if level == "country":
        return country_names().get(code or "", UNKNOWN)
    return continent(code, latitude_deg=latitude_deg, longitude_deg=longitude_deg) or UNKNOWN


def _count(true: Sequence[str], predicted: Sequence[str], level: str, evidence: str) -> Confusion:
    rows = _by_frequency(true)
    others = [label for label in _by_frequency(predicted) if label not in (*rows, UNKNOWN, UNUSABLE)]
    columns = list(dict.fromkeys([*rows, *others, UNKNOWN, UNUSABLE]))
    counts = np.zeros((len(rows), len(columns)), dtype=np.int64)
    row_of = {label: index for index, label in enumerate(rows)}
    column_of = {label: index for index, label in enumerate(columns)}
    np.add.at(counts, ([row_of[label] for label in true], [column_of[label] for label in predicted]), 1)
    return Confusion(level, evidence, tuple(rows), tuple(columns), counts)


def _by_frequency(labels: Sequence[str]) -> list[str]:
    sizes = Counter(labels)
    return sorted(sizes, key=lambda label: (label == UNKNOWN, -sizes[label], label))


def _disagreement(
    predictions: Sequence[Prediction], first: Sequence[str | None], second: Sequence[str | None]
) -> Disagreement:
    both = [(p.item_id, a, b) for p, a, b in zip(predictions, first, second, strict=True) if a and b]
    differing = tuple((item, a, b) for item, a, b in both if a != b)
    return Disagreement(wilson_interval(len(differing), len(both)) if both else None, differing)
