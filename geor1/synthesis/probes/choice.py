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
ITERATIONS = 25
HELD_OUT = 0.25
"""Share of the fitting groups on which penalty and kind of model are chosen."""


@dataclasses.dataclass(frozen=True)
class Chooser:
    """A fitted model.

    Attributes:
        kind: ``linear``, ``hinges`` or ``nothing_varies``.
        columns: ``[D]`` which columns vary, as a mask.
        centre: Mean of each varying column.
        scale: Spread of each varying column over all options.
        within: Spread of each varying column within questions.
        hinges: Weights ``[2 D', H]`` and offsets ``[H]`` of the random features; None for a linear model.
        weights: Of the logit.
    """

    kind: str
    columns: np.ndarray
    centre: np.ndarray
    scale: np.ndarray
    within: np.ndarray
    hinges: tuple[np.ndarray, np.ndarray] | None
    weights: np.ndarray

    def scores(self, table: np.ndarray) -> np.ndarray:
        """``[N, K]`` scores of options, -inf where a question has no such option.

        Args:
            table: ``[N, K, D]``, NaN for missing options.
        """
        present = ~np.isnan(table).any(axis=2)
        if self.kind == "nothing_varies":
            return np.where(present, 0.0, -np.inf)
        return np.where(present, self._design(table) @ self.weights, -np.inf)

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
    if not blank[0].columns.any():
        return blank[0]
    held = _held_out(groups, rng)
    best: tuple[float, Chooser, float] | None = None
    for frame in blank if bend else blank[:1]:
        design = frame._design(table)
        present = ~np.isnan(table).any(axis=2)
        for penalty in PENALTIES:
            weights = newton(design[~held], present[~held], gold[~held], penalty)
            loss = _loss(design[held] @ weights, present[held], gold[held])
            if best is None or loss < best[0] - 1e-6:
                best = (loss, frame, penalty)
    assert best is not None
    frame = best[1]
    weights = newton(frame._design(table), ~np.isnan(table).any(axis=2), gold, best[2])
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


def newton(design: np.ndarray, present: np.ndarray, gold: np.ndarray, penalty: float) -> np.ndarray:
    """Weights of the conditional logit: softmax over the options of each question, mean loss plus penalty/2 · |w|².

    Args:
        design: ``[N, K, D]``.
        present: ``[N, K]`` which options there are.
        gold: ``[N]`` right option.
        penalty: L2, > 0, which makes the optimum unique.

    Source: D. McFadden, "Conditional logit analysis of qualitative choice behavior", 1974; Newton's method.
    """
    n, width = len(gold), design.shape[2]
    weights = np.zeros(width)
    chosen = design[np.arange(n), gold]
    value = _loss(design @ weights, present, gold)
    for _ in range(ITERATIONS):
        share = _softmax(design @ weights, present)
        mean = np.einsum("nk,nkd->nd", share, design)
        gradient = (mean - chosen).mean(axis=0) + penalty * weights
        if np.abs(gradient).max() < 1e-6:
            break
        spread = ((design - mean[:, None]) * np.sqrt(share)[..., None]).reshape(-1, width)
        hessian = spread.T @ spread / n + penalty * np.eye(width)
        step, size = np.linalg.solve(hessian, gradient), 1.0
        while size > 1e-4:  # halve until the loss falls
            trial = weights - size * step
            tried = _loss(design @ trial, present, gold) + penalty / 2 * float(trial @ trial)
            if tried < value:
                break
            size /= 2
        if size <= 1e-4:
            break
        weights, value = trial, tried
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


def _random_hinges(count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    weights = np.zeros((2 * count, HINGES))
    for unit in range(HINGES):
        inputs = rng.choice(2 * count, size=min(HINGE_INPUTS, 2 * count), replace=False)
        weights[inputs, unit] = rng.normal(size=len(inputs))
    norms = np.linalg.norm(weights, axis=0)
    return weights / np.where(norms > 0, norms, 1.0), rng.normal(size=HINGES)


def _bent(alike: np.ndarray, hinges: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Random hinges beside the linear columns and their absolute values."""
    weights, offsets = hinges
    linear = alike[..., : alike.shape[2] // 2]
    return np.concatenate([np.maximum(alike @ weights + offsets, 0.0), linear, np.abs(linear)], axis=2)


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
