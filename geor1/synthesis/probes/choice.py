"""Small models that choose one of K options: conditional logit on the columns, or on random hinges of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

PENALTIES = (1e-3, 1e-2, 1e-1)
HINGES = 48
"""Random features of the non-linear model."""
HINGE_INPUTS = 3
"""Columns that one random feature looks at."""
CLIP = 6.0
"""Standardised values are cut here, so that one odd file does not decide everything."""
TIE = 1e-7
"""Scores nearer than this count as equal."""
ITERATIONS = 40
CONVERGED = 1e-7
"""Gain of the loss (nats a question) below which a step was the last."""
SMALLEST_STEP = 1e-4
HELD_OUT = 0.25
"""Share of the fitting groups on which penalty and kind of model are chosen."""

Hinges = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Chooser:
    """A fitted model.

    Attributes:
        kind: ``linear``, ``hinges`` or ``nothing_varies``.
        columns: ``[D]`` which columns vary, as a mask.
        centre: Mean of each varying column.
        scale: Spread of each varying column over all options.
        within: Spread of each varying column within questions.
        hinges: Inputs ``[I, H]``, factors ``[I, H]`` and offsets ``[H]`` of the random features; None if linear.
        weights: Of the logit.
    """

    kind: str
    columns: np.ndarray
    centre: np.ndarray
    scale: np.ndarray
    within: np.ndarray
    hinges: Hinges | None
    weights: np.ndarray

    def scores(self, table: np.ndarray) -> np.ndarray:
        """``[N, K]`` scores of options, -inf where a question has no such option.

        Args:
            table: ``[N, K, D]``, NaN for missing options.
        """
        present = ~np.isnan(table).any(axis=2)
        if self.kind == "nothing_varies":
            return np.where(present, 0.0, -np.inf)
        return np.where(present, np.einsum("nkd,d->nk", self._design(table), self.weights), -np.inf)

    def _design(self, table: np.ndarray) -> np.ndarray:
        alike = standardised(table[:, :, self.columns], self.centre, self.scale, self.within)
        return alike[..., : self.columns.sum()] if self.hinges is None else _bent(alike, self.hinges)


def fit(table: np.ndarray, gold: np.ndarray, groups: np.ndarray, seed: int, *, bend: bool = True) -> Chooser:
    """Fit both kinds of model with each penalty, keep the one that predicts held-out groups best, fit it on everything.

    Args:
        table: ``[N, K, D]`` rows of options, NaN for missing options.
        gold: ``[N]`` number of the right option.
        groups: ``[N]`` groups that are held out together.
        seed: Decides held-out groups and random features.
        bend: Also try the non-linear model.

    Returns:
        The model. Where no column differs within any question it says so and prefers nothing.
    """
    rng = np.random.default_rng([seed, 73])
    blank = _frame(table, rng)
    if not blank[0].columns.any() or len(gold) < 2:
        return blank[0]
    held = _held_out(groups, rng)
    best: tuple[float, Chooser, float] | None = None
    for frame in blank if bend else blank[:1]:
        design = frame._design(table)
        present = ~np.isnan(table).any(axis=2)
        bow = curvature(design[~held], present[~held])
        for penalty in PENALTIES:
            weights = logit(design[~held], present[~held], gold[~held], penalty, bow)
            loss = _loss(np.einsum("nkd,d->nk", design[held], weights), present[held], gold[held])
            if best is None or loss < best[0] - 1e-6:
                best = (loss, frame, penalty)
    assert best is not None
    frame = best[1]
    weights = logit(frame._design(table), ~np.isnan(table).any(axis=2), gold, best[2])
    return dataclasses.replace(frame, weights=weights)


def hits(scores: np.ndarray, gold: np.ndarray) -> np.ndarray:
    """``[N]`` share of a hit: 1 for the right option alone on top, 1/m where m options tie for the top, else 0.

    >>> hits(np.array([[0.0, 2.0], [1.0, 1.0]]), np.array([1, 0])).tolist()
    [1.0, 0.5]
    """
    top = scores >= scores.max(axis=1, keepdims=True) - TIE
    return np.where(top[np.arange(len(gold)), gold], 1.0 / top.sum(axis=1), 0.0)


def standardised(table: np.ndarray, centre: np.ndarray, scale: np.ndarray, within: np.ndarray) -> np.ndarray:
    """``[N, K, 2D]``: each value against the other options of its question, then against all; 0 where missing."""
    present = ~np.isnan(table).any(axis=2, keepdims=True)
    value = np.where(present, table, 0.0)
    mean = value.sum(axis=1, keepdims=True) / np.maximum(present.sum(axis=1, keepdims=True), 1)
    both = [(value - mean) / within, (value - centre) / scale]
    return np.where(present, np.clip(np.concatenate(both, axis=2), -CLIP, CLIP), 0.0)


def curvature(design: np.ndarray, present: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues and eigenvectors of the loss's second derivative at weights 0, where all options are equally likely.

    Args:
        design: ``[N, K, D]``, 0 where an option is missing.
        present: ``[N, K]`` which options there are.
    """
    share = present / present.sum(axis=1, keepdims=True)
    mean = np.einsum("nk,nkd->nd", share, design)
    spread = ((design - mean[:, None]) * np.sqrt(share)[..., None]).reshape(-1, design.shape[2])
    return np.linalg.eigh(spread.T @ spread / len(design))


def logit(
    design: np.ndarray,
    present: np.ndarray,
    gold: np.ndarray,
    penalty: float,
    bend: tuple[np.ndarray, np.ndarray] | None = None,
) -> np.ndarray:
    """Weights of the conditional logit: softmax over the options of each question, mean loss plus penalty/2 · |w|².

    Newton's steps with the curvature at 0, halved until the loss falls. A probe that finds little stays near 0, where
    these are Newton's own; one that finds much chooses rightly long before it has converged. The large products are
    ``einsum`` on purpose: those of a threaded BLAS cost thrice the time where cores are shared.

    Args:
        design: ``[N, K, D]``.
        present: ``[N, K]`` which options there are.
        gold: ``[N]`` right option.
        penalty: L2, > 0, which makes the optimum unique.
        bend: From :func:`curvature`, where it is known.

    Source: D. McFadden, "Conditional logit analysis of qualitative choice behavior", 1974.
    """
    values, vectors = bend or curvature(design, present)
    n = len(gold)
    weights = np.zeros(design.shape[2])
    right = np.zeros(present.shape)
    right[np.arange(n), gold] = 1.0
    scores = np.zeros(present.shape)
    value = _loss(scores, present, gold)
    for _ in range(ITERATIONS):
        surprise = _softmax(scores, present) - right
        gradient = np.einsum("nk,nkd->d", surprise, design) / n + penalty * weights
        step = vectors @ ((vectors.T @ gradient) / (np.maximum(values, 0.0) + penalty))
        forward, size = np.einsum("nkd,d->nk", design, step), 1.0
        while size > SMALLEST_STEP:
            trial = weights - size * step
            tried = _loss(scores - size * forward, present, gold) + penalty / 2 * float(trial @ trial)
            if tried < value:
                break
            size /= 2
        if size <= SMALLEST_STEP:
            break
        weights, scores, gain, value = trial, scores - size * forward, value - tried, tried
        if gain < CONVERGED:
            break
    return weights


def _frame(table: np.ndarray, rng: np.random.Generator) -> tuple[Chooser, Chooser]:
    """Both kinds of model without weights, with the spreads of this table."""
    present = ~np.isnan(table).any(axis=2)
    rows = table[present]
    mean = np.nanmean(table, axis=1, keepdims=True)
    within = np.sqrt(np.nanmean((table - mean) ** 2, axis=(0, 1)))
    columns = within > 1e-9 * np.maximum(1.0, np.abs(rows).max(axis=0))
    centre, scale = rows[:, columns].mean(axis=0), rows[:, columns].std(axis=0)
    count = int(columns.sum())
    kind = "linear" if count else "nothing_varies"
    linear = Chooser(kind, columns, centre, scale, within[columns], None, np.zeros(count))
    return linear, dataclasses.replace(linear, kind="hinges" if count else kind, hinges=_random_hinges(count, rng))


def _random_hinges(count: int, rng: np.random.Generator) -> Hinges:
    """Which columns each hinge looks at, with what factors, and where it bends."""
    few = min(HINGE_INPUTS, 2 * count)
    inputs = [rng.choice(2 * count, size=few, replace=False) if few else np.zeros(0, int) for _ in range(HINGES)]
    factors = rng.normal(size=(few, HINGES))
    norms = np.linalg.norm(factors, axis=0)
    return np.array(inputs).T, factors / np.where(norms > 0, norms, 1.0), rng.normal(size=HINGES)


def _bent(alike: np.ndarray, hinges: Hinges) -> np.ndarray:
    """Random hinges beside the linear columns and their absolute values."""
    inputs, factors, offsets = hinges
    linear = alike[..., : alike.shape[2] // 2]
    bent = offsets + sum(alike[..., inputs[k]] * factors[k] for k in range(len(inputs)))
    return np.concatenate([np.maximum(bent, 0.0), linear, np.abs(linear)], axis=2)


def _held_out(groups: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Mask of questions to choose by: whole groups, or single questions where there is one group only."""
    names = np.unique(groups)
    if len(names) > 1:
        held = np.isin(groups, rng.permutation(names)[: max(1, round(HELD_OUT * len(names)))])
    else:
        held = rng.permutation(len(groups)) < max(1, round(HELD_OUT * len(groups)))
    return held if not held.all() else ~held


def _softmax(scores: np.ndarray, present: np.ndarray) -> np.ndarray:
    scores = np.where(present, scores, -np.inf)
    shares = np.exp(scores - scores.max(axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True)


def _loss(scores: np.ndarray, present: np.ndarray, gold: np.ndarray) -> float:
    share = _softmax(scores, present)[np.arange(len(gold)), gold]
    return float(-np.log(np.maximum(share, 1e-300)).mean())


def folds_of(groups: np.ndarray, count: int) -> Sequence[np.ndarray]:
    """Masks of at most ``count`` parts of about equal size, no group in two of them."""
    names, sizes = np.unique(groups, return_counts=True)
    parts: list[list[int]] = [[] for _ in range(min(count, len(names)))]
    filled = [0] * len(parts)
    for position in np.argsort(-sizes, kind="stable"):
        smallest = int(np.argmin(filled))
        parts[smallest].append(int(names[position]))
        filled[smallest] += int(sizes[position])
    return [np.isin(groups, part) for part in parts]
