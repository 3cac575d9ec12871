"""Intervals and paired tests; every function is pure, seeded where it draws, and free of torch.

Intervals are two-sided. Where several predictions come from one item (rotations of a question) or from one place
(photos of one street), the values are not independent: give ``clusters``, and whole clusters are resampled.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Hashable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

FloatArray = NDArray[np.float64]
Statistic = Callable[[FloatArray], float]

_CHUNK = 256  # resamples drawn at once; bounds memory at _CHUNK x n


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
    """Exact McNemar test of two models on the same items.

    Attributes:
        first_only: Items that only the first got right.
        second_only: Items that only the second got right.
        n: All items.
        p_value: Two-sided exact binomial p; 1.0 when no item is discordant.
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
    statistic: Statistic | None = None,
    clusters: Sequence[Hashable] | None = None,
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Percentile bootstrap interval of a statistic; infinite values are allowed (a missed distance is infinite).

    Args:
        values: One number an observation, shape (N,).
        statistic: Maps values to a number; the mean when None.
        clusters: One label an observation; observations with the same label are drawn together.
        resamples: Bootstrap draws.
        level: Coverage.
        seed: Seed of the one generator used.

    Raises:
        ValueError: No values, a NaN among them, or labels of another length.
    """
    data = _checked_values(values, "bootstrap_interval")
    draws = _draw(data, statistic, clusters, resamples, seed)
    estimate = float(data.mean()) if statistic is None else float(statistic(data))
    low, high = _percentiles(draws, level)
    return Interval(estimate, low, high, len(data))


def paired_bootstrap_difference(
    first: ArrayLike,
    second: ArrayLike,
    *,
    clusters: Sequence[Hashable] | None = None,
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Percentile bootstrap interval of mean(second) − mean(first) over the same observations.

    Args:
        first: One score an observation, shape (N,).
        second: Scores of the other model for the same observations in the same order, shape (N,).
        clusters: As in :func:`bootstrap_interval`.
        resamples: Bootstrap draws.
        level: Coverage.
        seed: Seed.

    Raises:
        ValueError: Lengths differ, or a score is not finite.
    """
    before, after = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    if before.shape != after.shape:
        raise ValueError(f"paired_bootstrap_difference: expected equal lengths, got {before.shape} and {after.shape}")
    if not (np.isfinite(before).all() and np.isfinite(after).all()):
        raise ValueError("paired_bootstrap_difference: expected finite scores, found NaN or infinity")
    return bootstrap_interval(after - before, clusters=clusters, resamples=resamples, level=level, seed=seed)


def mcnemar_exact(first: Sequence[bool], second: Sequence[bool]) -> McNemarResult:
    """Exact two-sided McNemar test.

    Args:
        first: Whether the first model got each item right.
        second: The same for the second model, same items in the same order.

    Raises:
        ValueError: Lengths differ.

    Source: McNemar (1947), in its exact binomial form.

    >>> round(mcnemar_exact([True] * 23 + [False] * 21, [False] * 23 + [True] * 21).p_value, 2)
    0.88
    """
    if len(first) != len(second):
        raise ValueError(f"mcnemar_exact: expected the same items for both, got {len(first)} and {len(second)}")
    first_only = sum(1 for a, b in zip(first, second, strict=True) if a and not b)
    second_only = sum(1 for a, b in zip(first, second, strict=True) if b and not a)
    discordant = first_only + second_only
    p_value = float(stats.binomtest(first_only, discordant, 0.5).pvalue) if discordant else 1.0
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


def _draw(
    data: FloatArray, statistic: Statistic | None, clusters: Sequence[Hashable] | None, resamples: int, seed: int
) -> FloatArray:
    """Bootstrap replicates of the statistic, shape (resamples,)."""
    if resamples < 1:
        raise ValueError(f"resamples: expected at least 1, got {resamples}")
    groups = _groups(len(data), clusters)
    generator = np.random.default_rng(seed)
    if statistic is None:
        return _draw_means(data, groups, resamples, generator)
    replicates = np.empty(resamples)
    for index in range(resamples):
        drawn = generator.integers(len(groups), size=len(groups))
        replicates[index] = statistic(data[np.concatenate([groups[i] for i in drawn])])
    return replicates


def _draw_means(
    data: FloatArray, groups: list[NDArray[np.intp]], resamples: int, generator: np.random.Generator
) -> FloatArray:
    sums = np.array([data[group].sum() for group in groups])
    counts = np.array([len(group) for group in groups], dtype=float)
    parts = []
    for start in range(0, resamples, _CHUNK):
        drawn = generator.integers(len(groups), size=(min(_CHUNK, resamples - start), len(groups)))
        parts.append(sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1))
    return np.concatenate(parts)


def _groups(n: int, clusters: Sequence[Hashable] | None) -> list[NDArray[np.intp]]:
    if clusters is None:
        return list(np.arange(n, dtype=np.intp).reshape(n, 1))
    if len(clusters) != n:
        raise ValueError(f"clusters: expected one label for each of the {n} values, got {len(clusters)}")
    members: dict[Hashable, list[int]] = {}
    for index, label in enumerate(clusters):
        members.setdefault(label, []).append(index)
    return [np.array(indices, dtype=np.intp) for indices in members.values()]


def _percentiles(draws: FloatArray, level: float) -> tuple[float, float]:
    tail = (1 - _checked_level(level)) / 2
    # Order statistics rather than interpolation: between a number and infinity there is nothing to interpolate.
    low, high = np.quantile(draws, [tail, 1 - tail], method="inverted_cdf")
    return float(low), float(high)


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
