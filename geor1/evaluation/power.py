"""What a comparison on identical items can show: the smallest difference it would find, and that one is not worse.

Normal theory throughout; ``n`` counts independent units, so give clusters where items are not independent.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from geor1.evaluation.resampling import as_clusters
from geor1.evaluation.statistics import Labels


@dataclasses.dataclass(frozen=True)
class NonInferiority:
    """Whether the second model is not worse than the first by more than a margin.

    Attributes:
        difference: mean(second) − mean(first).
        lower: Lower end of its one-sided interval at 1 − alpha.
        margin: Loss that would still be accepted, positive, in units of the scores.
        p_value: One-sided, of the hypothesis that the loss is the margin or more.
        non_inferior: ``p_value`` < alpha, which is ``lower`` > −margin.
        n: Items.
        n_clusters: Independent units.
    """

    difference: float
    lower: float
    margin: float
    p_value: float
    non_inferior: bool
    n: int
    n_clusters: int


def non_inferiority(
    first: ArrayLike, second: ArrayLike, *, margin: float, clusters: Labels | None = None, alpha: float = 0.025
) -> NonInferiority:
    """One-sided paired t-test of the second model against the first less a margin.

    Args:
        first: One finite score an item (0 and 1 for right answers), shape (N,).
        second: Scores of the other model for the same items in the same order, shape (N,).
        margin: Loss that would still be accepted, > 0, in units of the scores; to be chosen before looking.
        clusters: One label an item; items with the same label are one unit, the standard error is that of a ratio.
        alpha: One-sided level; 0.025 agrees with a two-sided 95 % interval.

    Raises:
        ValueError: Lengths differ, a score is not finite, fewer than two units, or margin or alpha out of range.

    Source: CPMP/EWP/482/99 (EMA, 2000) for the principle; cluster-robust standard error with M / (M − 1), t on M − 1.

    >>> result = non_inferiority([1, 1, 0, 1], [1, 1, 1, 0], margin=0.9)
    >>> result.difference, round(result.lower, 3), result.non_inferior
    (0.0, -1.299, False)
    """
    before, after = _paired(first, second)
    if not 0 < margin < math.inf:
        raise ValueError(f"margin={margin}: expected a positive loss in units of the scores")
    groups = as_clusters(len(before), clusters)
    if groups.n < 2:
        raise ValueError(f"non_inferiority: expected at least two independent units, got {groups.n}")
    gains = after - before
    difference = float(gains.mean())
    residuals = groups.sums(gains - difference)
    error = math.sqrt(groups.n / (groups.n - 1) * float(residuals @ residuals)) / len(gains)
    quantile = float(stats.t.ppf(1 - _level(alpha, "alpha"), groups.n - 1))
    lower = difference - quantile * error
    if error > 0:
        p_value = float(stats.t.sf((difference + margin) / error, groups.n - 1))
    else:
        p_value = 0.0 if difference > -margin else 1.0
    return NonInferiority(difference, lower, margin, p_value, lower > -margin, len(gains), groups.n)


def detectable_mean_difference(
    differences: ArrayLike, *, clusters: Labels | None = None, alpha: float = 0.05, power: float = 0.8
) -> float:
    """Smallest true mean difference that a paired comparison like this one finds with a given chance.

    Args:
        differences: second − first of each item, shape (N,), finite; or of a pilot of the same size.
        clusters: One label an item, as in :func:`non_inferiority`.
        alpha: Two-sided level.
        power: Chance of finding it.

    Returns:
        In units of the scores: (z(1 − alpha / 2) + z(power)) times the standard error; 0 if all differences are equal.

    Raises:
        ValueError: As :func:`non_inferiority`.

    >>> round(detectable_mean_difference([-1.0, 1.0] * 50), 3)  # 2.8016 x sqrt(100 / 99) / 10
    0.282
    """
    gains = np.asarray(differences, dtype=float)
    gains, _ = _paired(gains, gains)
    groups = as_clusters(len(gains), clusters)
    if groups.n < 2:
        raise ValueError(f"detectable_mean_difference: expected at least two independent units, got {groups.n}")
    residuals = groups.sums(gains - gains.mean())
    error = math.sqrt(groups.n / (groups.n - 1) * float(residuals @ residuals)) / len(gains)
    upper = stats.norm.ppf(1 - _level(alpha, "alpha") / 2)
    return float((upper + stats.norm.ppf(_level(power, "power"))) * error)


def detectable_accuracy_difference(
    n: int, discordant_share: float, *, alpha: float = 0.05, power: float = 0.8
) -> float:
    """Smallest true difference of two accuracies that McNemar's test on n items finds with a given chance.

    Args:
        n: Items, independent of each other.
        discordant_share: Share of items that exactly one of the two models gets right, in (0, 1].
        alpha: Two-sided level.
        power: Chance of finding it.

    Returns:
        Difference of the accuracies, in (0, discordant_share]; infinity where even a one-sided disagreement of that
        share is too little to be found.

    Raises:
        ValueError: n < 1 or a share out of range.

    Source: Connor (1987): n d² = (z(1 − alpha / 2) √s + z(power) √(s − d²))², solved for d with s the discordant share.

    >>> round(detectable_accuracy_difference(259, 44 / 259), 3)
    0.071
    """
    if n < 1 or not 0 < discordant_share <= 1:
        raise ValueError(f"expected n >= 1 and a discordant share in (0, 1], got n={n}, {discordant_share}")
    a = float(stats.norm.ppf(1 - _level(alpha, "alpha") / 2))
    b = float(stats.norm.ppf(_level(power, "power")))
    inside = n + b * b - a * a
    if inside < 0:
        return math.inf
    difference = math.sqrt(discordant_share) * (a * math.sqrt(n) + b * math.sqrt(inside)) / (n + b * b)
    return difference if difference <= discordant_share else math.inf


def _paired(first: ArrayLike, second: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    before, after = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    if before.shape != after.shape or before.ndim != 1 or not len(before):
        raise ValueError(f"expected two lists of scores of the same items, got shapes {before.shape} and {after.shape}")
    if not (np.isfinite(before).all() and np.isfinite(after).all()):
        raise ValueError("expected finite scores, found NaN or infinity; use GeoScores or log distances, not distances")
    return before, after


def _level(value: float, name: str) -> float:
    if not 0 < value < 1:
        raise ValueError(f"{name}={value}: expected a probability between 0 and 1")
    return value
