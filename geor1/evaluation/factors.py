"""What goes with success: a penalised logistic regression, judged on places it has not seen.

An in-sample fit finds factors in noise. Here the fit is only worth reading when its cross-validated AUC lies clearly
above 0.5; folds and bootstrap draws take whole clusters (places), so that a place never judges itself.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special, stats

from geor1.evaluation.statistics import Interval

FloatArray = NDArray[np.float64]

OTHER = "(rare levels)"


@dataclasses.dataclass(frozen=True)
class Factor:
    """One level of one feature.

    Attributes:
        feature: Name of the feature, e.g. ``setting``.
        level: Its value, e.g. ``urban``.
        n: Predictions that have it.
        log_odds: Log odds of success against the average level of the feature (the levels sum to 0), shrunk towards 0
            by the penalty; the interval is a bootstrap over clusters.
    """

    feature: str
    level: str
    n: int
    log_odds: Interval


@dataclasses.dataclass(frozen=True)
class SuccessModel:
    """The fit and what it is worth.

    Attributes:
        n: Predictions.
        n_clusters: Independent clusters.
        auc: Chance that a success gets a higher score than a failure of the same held-out fold (ties half), with its
            bootstrap interval over clusters; 0.5 is worthless.
        factors: By feature, then level.
    """

    n: int
    n_clusters: int
    auc: Interval
    factors: tuple[Factor, ...]


def success_model(
    features: Mapping[str, Sequence[str]],
    success: Sequence[bool],
    *,
    clusters: Sequence[Hashable],
    penalty: float = 1.0,
    min_n: int = 10,
    folds: int = 5,
    resamples: int = 200,
    seed: int = 0,
) -> SuccessModel:
    """Regress success on categorical features.

    Args:
        features: Feature name -> one level a prediction.
        success: Whether each prediction is right.
        clusters: One label a prediction; same place, same label.
        penalty: Weight of half the squared coefficients (scikit-learn's 1 / C); the intercept is free.
        min_n: Levels that fewer predictions have are taken together as OTHER.
        folds: Parts of the cross-validation, over clusters.
        resamples: Bootstrap draws.
        seed: Seed of folds and bootstrap.

    Raises:
        ValueError: Lengths differ, no feature, only successes or only failures, penalty not positive, fewer clusters
            than folds or fewer than two folds, or no fold that holds both outcomes.

    Source: benchmark-reverse-geocoding ``analysis/analyse_factors.py`` fits the same model (one-hot, L2, C = 1) and
    reports it in sample, without intervals.
    """
    right, members = np.asarray(success, dtype=float), list(clusters)
    _check(features, right, members, penalty, folds)
    columns = {name: _frequent(column, min_n) for name, column in features.items()}
    names = [(name, level) for name, column in columns.items() for level in sorted(set(column))]
    design = np.array([[float(x == level) for x in columns[name]] for name, level in names]).T  # [N, levels]
    numbers = {label: number for number, label in enumerate(dict.fromkeys(members))}
    cluster_of, n_clusters = np.array([numbers[label] for label in members]), len(numbers)
    generator = np.random.default_rng(seed)
    fold_of = generator.permutation(np.arange(n_clusters) % folds)[cluster_of]
    scores = np.empty(len(right))
    for fold in range(folds):
        held = fold_of == fold
        scores[held] = design[held] @ _fit(design, right, (~held).astype(float), penalty)[1:]
    aucs, fits = [], []
    for _ in range(resamples):
        drawn = np.bincount(generator.integers(n_clusters, size=n_clusters), minlength=n_clusters)
        weights = drawn[cluster_of].astype(float)
        aucs.append(_auc(scores, right, fold_of, weights))
        fits.append(_fit(design, right, weights, penalty)[1:])
    estimate = _fit(design, right, np.ones(len(right)), penalty)[1:]
    low, high = np.quantile(np.array(fits), [0.025, 0.975], axis=0)
    sizes = design.sum(axis=0).astype(int).tolist()
    ends = zip(estimate.tolist(), low.tolist(), high.tolist(), sizes, strict=True)
    factors = tuple(
        Factor(*name, n, Interval(value, lower, upper, len(right)))
        for name, (value, lower, upper, n) in zip(names, ends, strict=True)
    )
    auc = _auc(scores, right, fold_of, np.ones(len(right)))
    worst, best = np.nanquantile(aucs, [0.025, 0.975])
    return SuccessModel(len(right), n_clusters, Interval(auc, float(worst), float(best), len(right)), factors)


def _frequent(column: Sequence[str], min_n: int) -> list[str]:
    sizes = Counter(column)
    return [level if sizes[level] >= min_n else OTHER for level in column]


def _fit(design: FloatArray, right: FloatArray, weights: FloatArray, penalty: float) -> FloatArray:
    """Intercept and coefficients that minimise the weighted log loss plus the penalty; convex, so the start is free."""
    full = np.column_stack([np.ones(len(right)), design])
    shrink = np.full(full.shape[1], penalty)
    shrink[0] = 1e-6  # holds the intercept where a draw has one outcome alone

    def loss(beta: FloatArray) -> tuple[float, FloatArray]:
        """Value and gradient."""
        logits = full @ beta
        value = weights @ (np.logaddexp(0.0, logits) - right * logits) + 0.5 * shrink @ beta**2
        return float(value), full.T @ (weights * (special.expit(logits) - right)) + shrink * beta

    return optimize.minimize(loss, np.zeros(full.shape[1]), jac=True, method="L-BFGS-B").x


def _auc(scores: FloatArray, right: FloatArray, fold_of: NDArray[np.intp], weights: FloatArray) -> float:
    """Share of ranked pairs of a success and a failure, within folds (scores of different fits do not compare).

    The Mann-Whitney count with weights; NaN when no fold has both outcomes.
    """
    ordered = pairs = 0.0
    for fold in np.unique(fold_of):
        at = fold_of == fold
        level = stats.rankdata(scores[at].round(9), method="dense").astype(int) - 1
        good = np.bincount(level, weights[at] * right[at])
        bad = np.bincount(level, weights[at] * (1.0 - right[at]))
        ordered += float(good @ (np.cumsum(bad) - bad / 2.0))
        pairs += float(good.sum() * bad.sum())
    return ordered / pairs if pairs else float("nan")


def _check(
    features: Mapping[str, Sequence[str]], right: FloatArray, members: Sequence[Hashable], penalty: float, folds: int
) -> None:
    sizes = {len(right), len(members), *(len(column) for column in features.values())}
    if not features or len(sizes) > 1:
        raise ValueError(f"success_model: expected features, success and clusters of one length, got lengths {sizes}")
    if not 0 < right.sum() < len(right):
        raise ValueError(f"success_model: {int(right.sum())} of {len(right)} are right; nothing to tell apart")
    if not penalty > 0 or folds < 2 or len(set(members)) < folds:
        raise ValueError(
            f"success_model: expected penalty > 0 and 2 or more folds with a cluster each, got penalty={penalty}, "
            f"folds={folds}, {len(set(members))} clusters"
        )
