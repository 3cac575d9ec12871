"""Intervals and paired tests; every function is pure, seeded where it draws, and free of torch.

Intervals are two-sided. Where several predictions come from one item (rotations of a question) or from one place
(photos of one street), the values are not independent: give ``clusters``, and whole clusters are resampled.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from geor1.evaluation.resampling import Clusters, FloatArray, as_clusters, iterate_counts, median, resample

Statistic = Callable[[FloatArray], float]
Labels = Sequence[Hashable] | NDArray[Any]


@dataclasses.dataclass(frozen=True)
class Interval:
    """An estimate with its two-sided interval.

    Attributes:
        estimate: The statistic on the data itself.
        low: Lower end.
        high: Upper end.
        n: Values (or pairs of values) behind it.
    """

    estimate: float
    low: float
    high: float
    n: int


@dataclasses.dataclass(frozen=True)
class McNemarResult:
    """Exact McNemar test of two models on the same items, or its like for items that depend on each other.

    Attributes:
        first_only: Items that only the first got right.
        second_only: Items that only the second got right.
        n: All items.
        p_value: Two-sided; 1.0 when no item is discordant.
    """

    first_only: int
    second_only: int
    n: int
    p_value: float


def wilson_interval(successes: int, n: int, *, level: float = 0.95) -> Interval:
    """Wilson score interval of a proportion.

    Args:
        successes: 0 … n.
        n: Independent trials, at least 1.
        level: Coverage, e.g. 0.95.

    Raises:
        ValueError: ``n`` < 1 or ``successes`` outside 0 … n.

    Source: Wilson (1927); no continuity correction.

    >>> interval = wilson_interval(149, 259)
    >>> round(interval.low, 3), round(interval.high, 3)
    (0.514, 0.634)
    """
    if n < 1 or not 0 <= successes <= n:
        raise ValueError(f"wilson_interval: expected 0 <= successes <= n and n >= 1, got {successes} of {n}")
    z = float(stats.norm.ppf(0.5 + _checked_level(level) / 2))
    share = successes / n
    scale = 1 + z * z / n
    centre = (share + z * z / (2 * n)) / scale
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / scale
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == n else min(1.0, centre + half)
    return Interval(share, low, high, n)


def bootstrap_interval(
    values: ArrayLike,
    *,
    statistic: Statistic | str | None = None,
    clusters: Labels | None = None,
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
    method: str = "percentile",
) -> Interval:
    """Bootstrap interval of a statistic; infinite values are allowed (a missed distance is infinite).

    Args:
        values: One number an observation, shape (N,).
        statistic: ``"mean"`` (also None) or ``"median"``, both linear in N, or a function of the values, whose order
            means nothing.
        clusters: One label an observation; observations with the same label are drawn together.
        resamples: Bootstrap draws.
        level: Coverage.
        seed: Seed of the one generator used.
        method: ``"percentile"``, or ``"bca"``: bias-corrected and accelerated, the acceleration from leaving out one
            cluster at a time (a statistic other than the mean is then computed once a cluster).

    Raises:
        ValueError: No values, a NaN among them, labels of another length, an unknown method; for ``"bca"`` also an
            infinite value or statistic, or fewer than two clusters.

    Source: Efron & Tibshirani (1993), chapters 13 and 14; percentiles are order statistics, not interpolated.
    """
    data = _checked_values(values, "bootstrap_interval")
    if method not in ("percentile", "bca"):
        raise ValueError(f"method: expected 'percentile' or 'bca', got {method!r}")
    groups = as_clusters(len(data), clusters)
    draws = _draw(data, statistic, groups, resamples, seed)
    estimate = _evaluate(statistic, data)
    if method == "bca":
        low, high = _bca_percentiles(draws, estimate, _leave_one_out(data, statistic, groups), level)
    else:
        low, high = percentiles(draws, level)
    return Interval(estimate, low, high, len(data))


def proportion_interval(
    hits: Sequence[bool], clusters: Sequence[Hashable], *, resamples: int = 2000, seed: int = 0
) -> Interval:
    """Interval of a share: Wilson where every cluster has one member, else bootstrap over clusters.

    When all are right, or none, resampling sees no variation; Wilson's interval over the clusters stands then.

    Raises:
        ValueError: No hits, or clusters of another length.
    """
    right, independent = sum(map(bool, hits)), len(set(clusters))
    if independent == len(hits):
        return wilson_interval(right, len(hits))
    if right in (0, len(hits)):
        return dataclasses.replace(wilson_interval(independent if right else 0, independent), n=len(hits))
    return bootstrap_interval(np.asarray(hits, dtype=float), clusters=clusters, resamples=resamples, seed=seed)


def paired_bootstrap_difference(
    first: ArrayLike,
    second: ArrayLike,
    *,
    clusters: Labels | None = None,
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
    method: str = "percentile",
) -> Interval:
    """Bootstrap interval of mean(second) − mean(first) over the same observations.

    Args:
        first: One score an observation, shape (N,).
        second: Scores of the other model for the same observations in the same order, shape (N,).
        clusters: As in :func:`bootstrap_interval`.
        resamples: Bootstrap draws.
        level: Coverage.
        seed: Seed.
        method: As in :func:`bootstrap_interval`.

    Raises:
        ValueError: Lengths differ, or a score is not finite.
    """
    before, after = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    if before.shape != after.shape:
        raise ValueError(f"paired_bootstrap_difference: expected equal lengths, got {before.shape} and {after.shape}")
    if not (np.isfinite(before).all() and np.isfinite(after).all()):
        raise ValueError("paired_bootstrap_difference: expected finite scores, found NaN or infinity")
    options = {"clusters": clusters, "resamples": resamples, "level": level, "seed": seed, "method": method}
    return bootstrap_interval(after - before, **options)


def mcnemar_exact(first: Sequence[bool], second: Sequence[bool], *, clusters: Labels | None = None) -> McNemarResult:
    """Exact two-sided McNemar test.

    Args:
        first: Whether the first model got each item right.
        second: The same for the second model, same items in the same order.
        clusters: As in :func:`bootstrap_interval`. Each cluster's difference is then one observation whose sign is as
            likely to be the other, which without clusters is McNemar's own test.

    Raises:
        ValueError: Lengths differ.

    Source: McNemar (1947), in its exact binomial form; with clusters Fisher's randomization test (1935) on their sums.

    >>> round(mcnemar_exact([True] * 23 + [False] * 21, [False] * 23 + [True] * 21).p_value, 2)
    0.88
    """
    if len(first) != len(second):
        raise ValueError(f"mcnemar_exact: expected the same items for both, got {len(first)} and {len(second)}")
    before, after = np.asarray(first, dtype=bool), np.asarray(second, dtype=bool)
    first_only, second_only = int((before & ~after).sum()), int((after & ~before).sum())
    gained = after.astype(float) - before.astype(float)
    p_value = _sign_flip_p(as_clusters(len(gained), clusters).sums(gained).astype(int))
    return McNemarResult(first_only, second_only, len(first), p_value)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment of a family of p-values, in the order given.

    Raises:
        ValueError: A p-value outside [0, 1].

    Source: Holm (1979).

    >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    if any(not 0.0 <= p <= 1.0 for p in p_values):
        raise ValueError(f"holm: expected p-values in [0, 1], got {list(p_values)}")
    adjusted = [0.0] * len(p_values)
    running = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        running = max(running, (len(p_values) - rank) * p_values[index])
        adjusted[index] = min(1.0, running)
    return adjusted


def percentiles(draws: FloatArray, level: float) -> tuple[float, float]:
    """Both ends of a percentile interval: order statistics of the draws, NaN if there is none or any draw is NaN.

    Order statistics rather than interpolation: between a number and infinity there is nothing to interpolate.
    """
    tail = (1 - _checked_level(level)) / 2
    if not len(draws):
        return math.nan, math.nan
    low, high = np.quantile(draws, [tail, 1 - tail], method="inverted_cdf")
    return float(low), float(high)


def _sign_flip_p(sums: NDArray[np.int_]) -> float:
    """Chance that whole numbers with signs drawn at random add up to as much as they do, either way."""
    sizes = np.abs(sums[sums != 0])
    ones = int((sizes == 1).sum())
    chances = stats.binom.pmf(np.arange(ones + 1), ones, 0.5)  # of each sum of the ones: -ones, -ones + 2, ..., ones
    chances = np.insert(chances, np.arange(1, ones + 1), 0.0)
    for size in sizes[sizes > 1]:
        wider = np.zeros(len(chances) + 2 * int(size))
        wider[: len(chances)] += chances / 2
        wider[-len(chances) :] += chances / 2
        chances = wider
    reach = np.abs(np.arange(len(chances)) - len(chances) // 2)
    return min(1.0, float(chances[reach >= abs(int(sums.sum()))].sum()))


def _draw(
    data: FloatArray, statistic: Statistic | str | None, clusters: Clusters, resamples: int, seed: int
) -> FloatArray:
    """Bootstrap replicates of the statistic, shape (resamples,)."""
    if statistic in (None, "mean") and np.isfinite(data).all():
        sums, _ = resample(clusters, _with_ones(data), resamples=resamples, seed=seed)
        return sums[:, 0] / sums[:, 1]
    if statistic == "median":
        return resample(clusters, np.empty((len(data), 0)), median_of=data, resamples=resamples, seed=seed)[1]
    chunks = iterate_counts(clusters.n, resamples, seed)
    return np.array(
        [
            _evaluate(statistic, np.repeat(data, counts[clusters.codes].astype(np.intp)))
            for chunk in chunks
            for counts in chunk
        ]
    )


def _evaluate(statistic: Statistic | str | None, data: FloatArray) -> float:
    if callable(statistic):
        return float(statistic(data))
    if statistic not in (None, "mean", "median"):
        raise ValueError(f"statistic: expected 'mean', 'median' or a function, got {statistic!r}")
    return median(data) if statistic == "median" else float(data.mean())


def _leave_one_out(data: FloatArray, statistic: Statistic | str | None, clusters: Clusters) -> FloatArray:
    """The statistic without each cluster in turn, shape (M,)."""
    if clusters.n < 2:
        raise ValueError(f"method='bca': expected at least two clusters, got {clusters.n}")
    if not np.isfinite(data).all():
        raise ValueError("method='bca': expected finite values, found infinite ones; use method='percentile'")
    if statistic in (None, "mean"):
        sums = clusters.sums(_with_ones(data))
        rest = sums.sum(axis=0) - sums
        return rest[:, 0] / rest[:, 1]
    return np.array([_evaluate(statistic, data[clusters.codes != code]) for code in range(clusters.n)])


def _bca_percentiles(draws: FloatArray, estimate: float, left_out: FloatArray, level: float) -> tuple[float, float]:
    """Percentiles moved by the bias correction and the acceleration (Efron 1987)."""
    if not (np.isfinite(draws).all() and np.isfinite(left_out).all() and math.isfinite(estimate)):
        raise ValueError("method='bca': the statistic is NaN or infinite in places; use method='percentile'")
    if np.ptp(draws) == 0:
        return estimate, estimate
    below = (np.mean(draws < estimate) + np.mean(draws <= estimate)) / 2
    bias = stats.norm.ppf(below)
    spread = left_out.mean() - left_out
    acceleration = (spread**3).sum() / (6 * (spread**2).sum() ** 1.5) if spread.any() else 0.0
    z = stats.norm.ppf([0.5 - _checked_level(level) / 2, 0.5 + level / 2])
    shares = stats.norm.cdf(bias + (bias + z) / (1 - acceleration * (bias + z)))
    low, high = np.quantile(draws, shares, method="inverted_cdf")
    return float(low), float(high)


def _with_ones(data: FloatArray) -> FloatArray:
    return np.column_stack([data, np.ones(len(data))])


def _checked_values(values: ArrayLike, name: str) -> FloatArray:
    data = np.asarray(values, dtype=float)
    if data.ndim != 1 or len(data) == 0:
        raise ValueError(f"{name}: expected at least one value in one dimension, got shape {data.shape}")
    if np.isnan(data).any():
        raise ValueError(f"{name}: {int(np.isnan(data).sum())} values are NaN; score a miss as 0 or infinity instead")
    return data


def _checked_level(level: float) -> float:
    if not 0.0 < level < 1.0:
        raise ValueError(f"level: expected a coverage between 0 and 1, got {level}")
    return level
