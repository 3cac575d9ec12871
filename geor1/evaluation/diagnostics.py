"""Reasons of failure, position bias, and what a model's stated confidence is worth."""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from geor1.evaluation.pairing import PositionRecall, option_letters, score_pairing
from geor1.evaluation.statistics import Interval, bootstrap_interval, proportion_interval, wilson_interval
from geor1.records import Prediction


@dataclasses.dataclass(frozen=True)
class Reasons:
    """What became of one group's predictions.

    Attributes:
        group: The group's label.
        n: Predictions.
        counts: Every status that occurs anywhere, ``ok`` first, with its count here (0 included).
        unusable: Share of statuses other than ``ok``, Wilson interval.
    """

    group: str
    n: int
    counts: dict[str, int]
    unusable: Interval


@dataclasses.dataclass(frozen=True)
class PositionBias:
    """Whether a model prefers a letter.

    Attributes:
        choices: How often each letter was chosen; ``none`` for unusable completions.
        answers: How often the right answer stood at each letter; unequal when not every rotation was asked.
        chi2: χ² of the letters chosen against equal shares.
        p_value: Of ``chi2`` with K − 1 degrees of freedom, every completion taken as independent (0 choices: 1.0).
        p_value_by_item: The same by turning each item's choices round at random, all rotations of an item together;
            holds when the rotations of an item resemble each other.
        by_position: Recall for each position of the right answer.
        rstd: Standard deviation of the recalls over the positions asked (population form), 0 … 0.5.
        consistency: Items answered with one and the same option, whatever its letter, under every rotation; None where
            only one rotation was asked.
    """

    choices: dict[str, int]
    answers: dict[str, int]
    chi2: float
    p_value: float
    p_value_by_item: float
    by_position: tuple[PositionRecall, ...]
    rstd: float
    consistency: Interval | None


@dataclasses.dataclass(frozen=True)
class ConfidenceLevel:
    """Accuracy of the predictions that stated one confidence, or a range of it.

    Attributes:
        low: Least confidence in it.
        high: Greatest; equal to ``low`` where confidence takes few values.
        mean: Mean stated confidence.
        accuracy: Share right, Wilson interval or bootstrap by cluster; its ``n`` is the size.
    """

    low: float
    high: float
    mean: float
    accuracy: Interval


def failure_reasons(predictions: Sequence[Prediction], labels: Sequence[str] | None = None) -> list[Reasons]:
    """Counts by status for everything (``all``), then for each group, largest first.

    Args:
        predictions: Any task.
        labels: Group of each prediction, from :func:`geor1.evaluation.slices.slice_labels`.

    Raises:
        ValueError: No predictions, or labels of another length.
    """
    if not predictions or (labels is not None and len(labels) != len(predictions)):
        got = "none" if labels is None else len(labels)
        raise ValueError(f"failure_reasons: expected predictions with a label each, got {len(predictions)} and {got}")
    groups: dict[str, list[str]] = defaultdict(list)
    for p, label in zip(predictions, labels or [], strict=bool(labels)):
        groups[label].append(p.status)
    every = Counter(p.status for p in predictions)
    statuses = sorted(every, key=lambda status: (status != "ok", -every[status], status))
    ordered = sorted(groups, key=lambda label: (-len(groups[label]), label))
    found = [("all", [p.status for p in predictions]), *((label, groups[label]) for label in ordered)]
    return [_reasons(name, members, statuses) for name, members in found]


def position_bias(predictions: Sequence[Prediction], *, shuffles: int = 2000, seed: int = 0) -> PositionBias:
    """Letters chosen, recall by position, and consistency over rotations, of one model under one condition.

    Args:
        predictions: Pairing predictions, every item under the same rotations.
        shuffles: Random turns for ``p_value_by_item``.
        seed: Seed of those.

    Raises:
        ValueError: As :func:`geor1.evaluation.pairing.score_pairing`.

    Source: RStd and recall by position: Zheng et al. 2024, "Large Language Models Are Not Robust Multiple Choice
    Selectors"; theirs is in per cent.
    """
    score = score_pairing(predictions, resamples=1)
    letters = option_letters(score.n_options)
    by_item = _choices_by_item(predictions, letters)
    chosen = by_item.sum(axis=0)
    chi2, p_value = stats.chisquare(chosen) if chosen.sum() and len(letters) > 1 else (0.0, 1.0)
    recalls = [position.recall for position in score.by_position if position.recall is not None]
    return PositionBias(
        choices=score.choices,
        answers={position.letter: position.n for position in score.by_position},
        chi2=float(chi2),
        p_value=float(p_value),
        p_value_by_item=_turned_p_value(by_item, shuffles, seed),
        by_position=score.by_position,
        rstd=float(np.std(recalls)),
        consistency=_consistency(predictions, letters) if score.rotations > 1 else None,
    )


def confidence_correlation(
    confidences: ArrayLike,
    distances_km: ArrayLike,
    *,
    clusters: Sequence[Hashable] | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> Interval:
    """Spearman's rank correlation of stated confidence and distance; a model that knows its limits is well below 0.

    Args:
        confidences: What each reply states, any scale, shape (N,); leave out those that state none.
        distances_km: Error of each, infinity for a miss (ranked last).
        clusters: One label a prediction.
        resamples: Bootstrap draws.
        seed: Seed.

    Returns:
        The correlation in [-1, 1] with its bootstrap interval; 0 where one side does not vary (in a draw as well).

    Raises:
        ValueError: Lengths differ, fewer than two values, or a NaN.
    """
    stated, distances = _paired("confidence_correlation", confidences, distances_km)

    def spearman(indices: NDArray[np.float64]) -> float:
        """Of the predictions with these numbers."""
        at = indices.astype(int)
        first, second = stats.rankdata(stated[at]), stats.rankdata(distances[at])
        varies = np.ptp(first) > 0 and np.ptp(second) > 0
        return float(np.corrcoef(first, second)[0, 1]) if varies else 0.0

    numbers = np.arange(len(stated), dtype=float)
    return bootstrap_interval(numbers, statistic=spearman, clusters=clusters, resamples=resamples, seed=seed)


def calibration(
    confidences: ArrayLike,
    hits: ArrayLike,
    *,
    clusters: Sequence[Hashable] | None = None,
    bins: int = 10,
    seed: int = 0,
) -> list[ConfidenceLevel]:
    """Accuracy by stated confidence, in rising order.

    Args:
        confidences: What each reply states, any scale, shape (N,).
        hits: Whether each is right, e.g. within 25 km.
        clusters: One label a prediction.
        bins: One level a value while there are no more values than this; else as many ranges of about equal size.
        seed: Seed of the bootstrap.

    Raises:
        ValueError: Lengths differ, fewer than two values, or a NaN.
    """
    stated, right = _paired("calibration", confidences, hits)
    members = list(range(len(stated))) if clusters is None else list(clusters)
    values = np.unique(stated)
    edges = values if len(values) <= bins else np.unique(np.quantile(stated, np.arange(bins) / bins))
    level_of = np.searchsorted(edges, stated, side="right") - 1
    levels = []
    for level in np.unique(level_of):
        at = np.flatnonzero(level_of == level)
        interval = proportion_interval([bool(right[i]) for i in at], [members[i] for i in at], seed=seed)
        inside = stated[at]
        levels.append(ConfidenceLevel(float(inside.min()), float(inside.max()), float(inside.mean()), interval))
    return levels


def _reasons(group: str, members: Sequence[str], statuses: Sequence[str]) -> Reasons:
    counts = Counter(members)
    unusable = wilson_interval(len(members) - counts["ok"], len(members))
    return Reasons(group, len(members), {status: counts[status] for status in statuses}, unusable)


def _choices_by_item(predictions: Sequence[Prediction], letters: Sequence[str]) -> NDArray[np.float64]:
    """How often each item got each letter, shape (items, K)."""
    rows: dict[str, NDArray[np.float64]] = {}
    for p in predictions:
        row = rows.setdefault(p.item_id, np.zeros(len(letters)))
        if p.status == "ok" and p.choice:
            row[letters.index(p.choice)] += 1
    return np.array(list(rows.values()))


def _turned_p_value(by_item: NDArray[np.float64], shuffles: int, seed: int) -> float:
    """p of the sum of squared letter counts when each item's counts are turned by a random number of letters."""
    generator = np.random.default_rng(seed)
    items, letters = by_item.shape
    measured = (by_item.sum(axis=0) ** 2).sum()
    rows, columns = np.arange(items)[:, None], np.arange(letters)
    above = 0
    for _ in range(shuffles):
        turned = by_item[rows, (columns + generator.integers(letters, size=(items, 1))) % letters]
        above += int((turned.sum(axis=0) ** 2).sum() >= measured - 1e-9)
    return (1 + above) / (1 + shuffles)


def _consistency(predictions: Sequence[Prediction], letters: Sequence[str]) -> Interval:
    """Items with one option under all rotations: rotation r moved the option at index i to index (i + r) mod K."""
    options: dict[str, set[int | None]] = defaultdict(set)
    for p in predictions:
        usable = p.status == "ok" and p.choice is not None
        option = (letters.index(p.choice) - p.rotation) % len(letters) if usable and p.choice else None
        options[p.item_id].add(option)
    stable = sum(len(seen) == 1 and None not in seen for seen in options.values())
    return wilson_interval(stable, len(options))


def _paired(name: str, first: ArrayLike, second: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    one, other = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    if one.shape != other.shape or one.ndim != 1 or len(one) < 2 or np.isnan(one).any() or np.isnan(other).any():
        raise ValueError(f"{name}: expected two lists of equal length without NaN, got {one.shape} and {other.shape}")
    return one, other
