"""Is a hit rate above 1/K more than luck, and how small a leak would have been seen? Needs numpy only."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Sequence

import numpy as np

ALPHA = 0.05
"""Chance of any false alarm among all nuisance probes of all sets of questions, at most."""
POWER = 0.8
"""With what chance a leak of the smallest detectable size is found."""
WIDEST_BLIND_SPOT = 0.10
"""A probe that could miss a leak of more than this above 1/K has too few questions to say ``ok``."""
_NORMAL = statistics.NormalDist()


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What came of one probe.

    Attributes:
        accuracy: Share of hits, ties split.
        low: Lower end of the 95 % interval of that probe alone.
        high: Upper end.
        chance: Mean of 1/K.
        n: Questions tested.
        n_effective: The same, less what is lost because questions of one group resemble each other.
        p_value: Of a hit rate this high or higher if 1/K were true; with two ``sides``, of one as far from it.
        constant: All options were alike to this probe in every question, so there was nothing to read.
        sides: 2 where a hit rate below 1/K is an alarm as well.
    """

    accuracy: float
    low: float
    high: float
    chance: float
    n: int
    n_effective: float
    p_value: float
    constant: bool
    sides: int = 1


def outcome(hits: np.ndarray, chances: np.ndarray, clusters: np.ndarray, tied: bool, *, sides: int = 1) -> Outcome:
    """Judge the hits of one probe.

    A probe far below 1/K reads something too, only the other way round than where it learnt.

    Args:
        hits: ``[N]`` in [0, 1].
        chances: ``[N]`` 1/K of each question.
        clusters: ``[N]`` clusters of questions that may be hit or missed together; see
            :func:`~geor1.synthesis.probes.trial.trial`.
        tied: Every question's options were all alike to the probe.
        sides: 1 for above 1/K alone, 2 for below it as well.
    """
    n, share, chance = len(hits), float(np.mean(hits)), float(np.mean(chances))
    effective = n / design_effect(np.asarray(hits) - chances, clusters, chance)
    low, high = wilson(share, effective)
    whole = math.floor(effective)
    p_value = 1.0 if tied else upper_tail(math.floor(share * effective + 1e-9), whole, chance)
    if sides == 2 and not tied:
        below = upper_tail(whole - math.ceil(share * effective - 1e-9), whole, 1 - chance)  # of as many misses
        p_value = min(1.0, 2 * min(p_value, below))
    return Outcome(share, low, high, chance, n, effective, p_value, tied, sides)


def design_effect(residuals: np.ndarray, clusters: np.ndarray, chance: float) -> float:
    """How much larger the variance of a mean is than with independent questions, never below 1.

    Args:
        residuals: ``[N]`` hit less chance.
        clusters: ``[N]`` cluster of each.
        chance: Mean of 1/K, whose binomial variance stands for independence.
    """
    _, number = np.unique(clusters, return_inverse=True)
    sums = np.bincount(number, weights=residuals - residuals.mean())
    m = len(sums)
    if m < 2 or m == len(residuals):
        return 1.0
    variance = float((sums**2).sum()) * m / (m - 1) / len(residuals)
    share = chance + float(residuals.mean())
    return max(1.0, variance / max(share * (1 - share), chance * (1 - chance)))


def wilson(share: float, n: float, level: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a share among ``n`` (possibly effective, fractional) trials.

    Source: Wilson (1927).

    >>> [round(end, 3) for end in wilson(149 / 259, 259)]
    [0.514, 0.634]
    """
    z = _NORMAL.inv_cdf(0.5 + level / 2)
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half))


def upper_tail(hits: int, n: int, chance: float) -> float:
    """Exact P(X ≥ hits) of a binomial.

    >>> round(upper_tail(2, 3, 0.5), 6)
    0.5
    """
    return 1.0 if hits <= 0 else min(1.0, float(_binomial(n, chance)[hits:].sum()))


def _binomial(n: int, chance: float) -> np.ndarray:
    """``[n + 1]`` probabilities of 0 … n hits, for ``chance`` strictly between 0 and 1."""
    logs = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, n + 1)))])  # of factorials
    counts = np.arange(n + 1)
    return np.exp(logs[n] - logs - logs[::-1] + counts * math.log(chance) + (n - counts) * math.log1p(-chance))


def smallest_detectable(n: float, chance: float, tests: int) -> float:
    """Accuracy that Holm's first, strictest step finds with a chance of :data:`POWER`.

    Args:
        n: Questions (effective).
        chance: 1/K.
        tests: Probes judged together.

    Returns:
        In (chance, 1]; 1.0 where not even a probe that is always right would be found.
    """
    whole = math.floor(n)
    tails = np.cumsum(_binomial(whole, chance)[::-1])[::-1]
    if tails[-1] > ALPHA / tests:
        return 1.0
    critical = int(np.argmax(tails <= ALPHA / tests))
    low, high = chance, 1.0
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (low, middle) if upper_tail(critical, whole, middle) >= POWER else (middle, high)
    return high


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment, in the order given.

    Source: Holm (1979).

    >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    adjusted, running = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        running = max(running, (len(p_values) - rank) * p_values[index])
        adjusted[index] = min(1.0, running)
    return adjusted


def verdict(found: Outcome, adjusted_p: float, detectable: float, *, nuisance: bool) -> str:
    """``leak`` (a nuisance away from 1/K) or ``cue`` (weak content above it); ``underpowered``; else ``ok``."""
    if adjusted_p <= ALPHA:
        return "leak" if nuisance else "cue"
    if found.constant:
        return "ok"
    return "underpowered" if detectable - found.chance > WIDEST_BLIND_SPOT else "ok"
