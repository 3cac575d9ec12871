"""Scores by group, and whether the groups really differ.

The best of twenty equal groups always beats the worst: a gap is only bias as far as it exceeds the gap that the same
groups would show if the labels meant nothing. So every gap stands beside that expected one, with a permutation p-value.
Small groups are shown as too few, with their n; they take no part in a gap, and neither does the group of unknowns.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from geor1.evaluation.geolocation import distances_km
from geor1.evaluation.slices import UNKNOWN, Columns, slice_labels
from geor1.evaluation.statistics import FloatArray, Interval, bootstrap_interval, holm, proportion_interval
from geor1.geodesy import geoscore
from geor1.records import Prediction

RADII_KM = (25.0, 200.0, 750.0, 2500.0)  # city, region, country, continent
MIN_N = 20
MIN_CLUSTERS = 5  # resampling fewer independent places says nothing of others


@dataclasses.dataclass(frozen=True)
class GroupScore:
    """One group of a slice.

    Attributes:
        name: The group's label.
        n: Predictions (rotations of one question each count).
        n_items: Distinct items.
        n_clusters: Independent clusters among them.
        n_missed: Predictions without a usable answer; they count as wrong, infinitely far, GeoScore 0.
        too_few: Fewer items than the minimum, or fewer than MIN_CLUSTERS clusters; then ``metrics`` is empty.
        metrics: ``accuracy`` (pairing), or ``accuracy_<r>_km``, ``median_km`` and ``geoscore`` (geolocation).
    """

    name: str
    n: int
    n_items: int
    n_clusters: int
    n_missed: int
    too_few: bool
    metrics: dict[str, Interval]


@dataclasses.dataclass(frozen=True)
class Gap:
    """Best against worst group.

    Attributes:
        measure: What is compared, a mean such as ``accuracy``.
        groups: Groups compared.
        best: The best group, and
        worst: the worst one.
        difference: Best minus worst; the interval re-chooses both in every draw, and so leans upwards as the measured
            difference itself does: read it beside ``expected_difference``.
        ratio: Best over worst; infinite when the worst is 0 and the best is not.
        expected_difference: Mean difference when labels are shuffled: what noise alone shows with these group sizes.
        p_difference: Share of shuffles whose difference is at least the measured one, the measured one counted in.
        p_any: The same for the weighted variance between groups, which does not hang on the two extreme groups.
        p_any_holm: ``p_any`` adjusted for the number of slices looked at.
    """

    measure: str
    groups: int
    best: str
    worst: str
    difference: Interval
    ratio: Interval
    expected_difference: float
    p_difference: float
    p_any: float
    p_any_holm: float


@dataclasses.dataclass(frozen=True)
class SliceScores:
    """All groups of one slice, largest first, and their gap (None with fewer than two known groups of enough items)."""

    name: str
    overall: GroupScore
    groups: tuple[GroupScore, ...]
    gap: Gap | None


def bias_report(
    predictions: Sequence[Prediction],
    *,
    columns: Columns | None = None,
    names: Sequence[str] | None = None,
    clusters: Sequence[Hashable] | None = None,
    gap_measure: str | None = None,
    min_n: int = MIN_N,
    resamples: int = 1000,
    seed: int = 0,
) -> list[SliceScores]:
    """Score one model under one condition by every slice.

    Args:
        predictions: Of one model, task and condition.
        columns: Further columns by item id (see :mod:`geor1.evaluation.slices`).
        names: Slices wanted; all when None.
        clusters: One label a prediction, such as :func:`geor1.evaluation.slices.place_cells`; the item when None.
        gap_measure: Measure whose gap is tested; ``accuracy``, or ``accuracy_750_km`` for geolocation, when None.
        min_n: Items that a group needs.
        resamples: Bootstrap draws and shuffles.
        seed: Seed of both.

    Returns:
        One entry a slice, in order; ``p_any_holm`` is adjusted over them.

    Raises:
        ValueError: Nothing to score, models, tasks or conditions mixed, a true position missing, an unknown measure, or
            labels of another length.
    """
    values = _measures(predictions)
    measure = gap_measure or ("accuracy" if "accuracy" in values else "accuracy_750_km")
    if measure not in values or measure == "median_km":
        raise ValueError(f"gap_measure: expected one of {sorted(set(values) - {'median_km'})}, got {measure!r}")
    members = [p.item_id for p in predictions] if clusters is None else list(clusters)
    if len(members) != len(predictions):
        raise ValueError(f"clusters: expected one label for each of {len(predictions)} predictions, got {len(members)}")

    def score(name: str, at: NDArray[np.intp]) -> GroupScore:
        """The predictions at these places as one group."""
        return _score_group(name, at, predictions, values, members, min_n, resamples, seed)

    overall = score("all", np.arange(len(predictions)))
    slices = []
    for name, labels in slice_labels(predictions, columns=columns, names=names).items():
        sizes = Counter(labels)
        order = sorted(sizes, key=lambda label: (-sizes[label], label))
        groups = tuple(score(label, np.flatnonzero(np.array(labels) == label)) for label in order)
        compared = [group.name for group in groups if not group.too_few and group.name != UNKNOWN]
        gap = None
        if len(compared) > 1:
            gap = group_gap(
                values[measure], labels, compared, measure=measure, clusters=members, resamples=resamples, seed=seed
            )
        slices.append(SliceScores(name, overall, groups, gap))
    return _adjusted(slices)


def group_gap(
    values: ArrayLike,
    labels: Sequence[str],
    groups: Sequence[str],
    *,
    measure: str = "accuracy",
    clusters: Sequence[Hashable] | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> Gap:
    """Difference between the best and the worst group mean, against what shuffled labels show.

    What is shuffled are the parts of clusters that lie in one group: whole clusters where a cluster has one label (a
    place has one country). Where clusters spread over groups (the weather changes in a city) the test errs towards
    finding nothing.

    Args:
        values: One finite number a prediction, larger being better, shape (N,).
        labels: Group of each.
        groups: The groups compared, at least two; others take no part.
        measure: Name of the values, for the result.
        clusters: One label a prediction; each on its own when None.
        resamples: Bootstrap draws and shuffles.
        seed: Seed of both.

    Raises:
        ValueError: Fewer than two groups, one without values, lengths that differ, or a value that is not finite.
    """
    data, kept = np.asarray(values, dtype=float), [index for index, label in enumerate(labels) if label in groups]
    members = list(range(len(data))) if clusters is None else list(clusters)
    if not len(data) == len(labels) == len(members):
        raise ValueError(
            f"group_gap: {len(data)} values, {len(labels)} labels, {len(members)} clusters; expected one each"
        )
    if len(set(groups)) < 2 or not set(groups) <= set(labels):
        raise ValueError(f"group_gap: expected two or more groups with values, got {list(groups)}")
    if not np.isfinite(data).all():
        raise ValueError("group_gap: expected finite values; compare accuracies or GeoScores, not distances")
    data = data[kept]
    group_of = np.array([list(groups).index(labels[index]) for index in kept])
    cluster_of = _codes([members[index] for index in kept])
    means = np.bincount(group_of, data) / np.bincount(group_of)
    best, worst = int(means.argmax()), int(means.argmin())
    draws = _bootstrap_means(data, group_of, cluster_of, resamples, seed)
    high, low = np.nanmax(draws, axis=1), np.nanmin(draws, axis=1)
    difference, between = _shuffled(data, group_of, cluster_of, resamples, seed)
    measured = float(means[best] - means[worst])
    p_any = _p_value(difference=between, measured=_between(means, np.bincount(group_of)))
    return Gap(
        measure=measure,
        groups=len(groups),
        best=groups[best],
        worst=groups[worst],
        difference=_interval(measured, high - low, len(data)),
        ratio=_interval(float(_ratio(means[best], means[worst])), _ratio(high, low), len(data)),
        expected_difference=float(difference.mean()),
        p_difference=_p_value(difference=difference, measured=measured),
        p_any=p_any,
        p_any_holm=p_any,
    )


def slice_rows(scores: SliceScores) -> list[dict[str, Any]]:
    """The slice as flat rows, everything first; a metric is None where a group is too small, or infinite."""
    measures = list(scores.overall.metrics) or [name for group in scores.groups for name in group.metrics]
    rows = []
    for group in (scores.overall, *scores.groups):
        row: dict[str, Any] = {"label": group.name, **{n: getattr(group, n) for n in ("n", "n_items", "n_clusters")}}
        row |= {"n_missed": group.n_missed, "too_few": group.too_few}
        for name in dict.fromkeys(measures):
            interval = group.metrics.get(name)
            ends = (interval.estimate, interval.low, interval.high) if interval else (math.inf,) * 3
            texts = (name, f"{name}_low", f"{name}_high")
            row |= {text: end if math.isfinite(end) else None for text, end in zip(texts, ends, strict=True)}
        rows.append(row)
    return rows


def _measures(predictions: Sequence[Prediction]) -> dict[str, FloatArray]:
    """One value a prediction for each measure of its task; a miss is 0, or infinitely far."""
    kinds = sorted({(p.model, p.task, p.condition) for p in predictions})
    if len(kinds) != 1:
        raise ValueError(f"bias_report: expected predictions of one model, task and condition, got {kinds}")
    if kinds[0][1] == "pairing":
        return {"accuracy": np.array([p.correct for p in predictions], dtype=float)}
    distances = distances_km(predictions)
    within = {f"accuracy_{radius:g}_km": (distances <= radius).astype(float) for radius in RADII_KM}
    return within | {"median_km": distances, "geoscore": np.asarray(geoscore(distances), dtype=float)}


def _score_group(
    name: str,
    at: NDArray[np.intp],
    predictions: Sequence[Prediction],
    values: dict[str, FloatArray],
    clusters: Sequence[Hashable],
    min_n: int,
    resamples: int,
    seed: int,
) -> GroupScore:
    inside, members = [predictions[i] for i in at], [clusters[i] for i in at]
    n_items, n_clusters = len({p.item_id for p in inside}), len(set(members))
    too_few = n_items < min_n or n_clusters < MIN_CLUSTERS
    metrics = {}
    for measure, every in values.items() if not too_few else ():
        if measure.startswith("accuracy"):
            hits = [bool(value) for value in every[at]]
            metrics[measure] = proportion_interval(hits, members, resamples=resamples, seed=seed)
        else:
            statistic = (lambda x: float(np.median(x))) if measure == "median_km" else None
            metrics[measure] = bootstrap_interval(
                every[at], statistic=statistic, clusters=members, resamples=resamples, seed=seed
            )
    missed = sum(p.status != "ok" for p in inside)
    return GroupScore(name, len(inside), n_items, n_clusters, missed, too_few, metrics)


def _adjusted(slices: Sequence[SliceScores]) -> list[SliceScores]:
    """Holm's adjustment of ``p_any`` over the slices that have a gap."""
    adjusted = iter(holm([entry.gap.p_any for entry in slices if entry.gap]))
    return [
        entry
        if entry.gap is None
        else dataclasses.replace(entry, gap=dataclasses.replace(entry.gap, p_any_holm=next(adjusted)))
        for entry in slices
    ]


def _bootstrap_means(
    data: FloatArray, group_of: NDArray[Any], cluster_of: NDArray[Any], resamples: int, seed: int
) -> FloatArray:
    """Group means when clusters are drawn with replacement, shape (resamples, groups); NaN for a group not drawn."""
    shape = (int(cluster_of.max()) + 1, int(group_of.max()) + 1)
    sums = sparse.csr_matrix((data, (cluster_of, group_of)), shape=shape)
    counts = sparse.csr_matrix((np.ones_like(data), (cluster_of, group_of)), shape=shape)
    generator = np.random.default_rng(seed)
    means = np.empty((resamples, shape[1]))
    for index in range(resamples):
        weights = np.bincount(generator.integers(shape[0], size=shape[0]), minlength=shape[0]).astype(float)
        drawn = weights @ counts
        means[index] = np.divide(weights @ sums, drawn, out=np.full(shape[1], np.nan), where=drawn > 0)
    return means


def _shuffled(
    data: FloatArray, group_of: NDArray[Any], cluster_of: NDArray[Any], resamples: int, seed: int
) -> tuple[FloatArray, FloatArray]:
    """Difference and variance between group means when the groups are dealt anew to the parts of clusters."""
    n_groups = int(group_of.max()) + 1
    parts, part_of = np.unique(cluster_of * n_groups + group_of, return_inverse=True)
    sums, counts, dealt = np.bincount(part_of, data), np.bincount(part_of), parts % n_groups
    generator = np.random.default_rng(seed)
    difference, between = np.empty(resamples), np.empty(resamples)
    for index in range(resamples):
        dealt = generator.permutation(dealt)
        sizes = np.bincount(dealt, counts)
        means = np.bincount(dealt, sums) / sizes
        difference[index], between[index] = np.ptp(means), _between(means, sizes)
    return difference, between


def _between(means: FloatArray, sizes: ArrayLike) -> float:
    """Sum of squares between groups."""
    weights = np.asarray(sizes, dtype=float)
    return float((weights * (means - np.average(means, weights=weights)) ** 2).sum())


def _p_value(*, difference: FloatArray, measured: float) -> float:
    """Permutation p-value; the measured value counts as one of the shuffles, so that it is never 0."""
    return float((1 + (difference >= measured - 1e-12 * max(1.0, abs(measured))).sum()) / (1 + len(difference)))


def _ratio(best: ArrayLike, worst: ArrayLike) -> FloatArray:
    high, low = np.asarray(best, dtype=float), np.asarray(worst, dtype=float)
    ratio = np.divide(high, low, out=np.full(high.shape, np.inf), where=low > 0)
    return np.where(high == low, 1.0, ratio)


def _interval(estimate: float, draws: FloatArray, n: int) -> Interval:
    low, high = np.quantile(draws, [0.025, 0.975], method="inverted_cdf")
    return Interval(estimate, float(low), float(high), n)


def _codes(labels: Sequence[Hashable]) -> NDArray[np.intp]:
    seen: dict[Hashable, int] = {}
    return np.array([seen.setdefault(label, len(seen)) for label in labels], dtype=np.intp)
