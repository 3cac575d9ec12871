"""Curves of a GRPO run, from the rows of its ``metrics.jsonl``."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter

from geor1.maps import colours
from geor1.maps.curves import LENGTH_KEYS, ZERO_VARIANCE_KEYS, Curve, term_keys
from geor1.maps.plots.style import label_of, quiet_grid, set_legend, set_title
from geor1.maps.rollout_log import RolloutGroup, RolloutLog

CURVE_COLOURS = {"tied": colours.UNUSABLE, "heldout": colours.TRUTH, "loss": colours.BLACK, "kl": colours.BLACK}
_LINES = (colours.BLUE, colours.VERMILLION, colours.GREEN, colours.PURPLE, colours.ORANGE, colours.SKY_BLUE)


def moving_mean(values: npt.ArrayLike, window: int) -> np.ndarray:
    """Mean over the last ``window`` values, fewer at the beginning; NaN is left out.

    Args:
        values: Shape (N,).
        window: At least 1.

    Returns:
        Shape (N,).

    Raises:
        ValueError: ``window`` is less than 1.

    >>> moving_mean([1.0, 3.0, 5.0], 2).tolist()
    [1.0, 2.0, 4.0]
    """
    if window < 1:
        raise ValueError(f"window={window}: expected at least 1")
    array = np.asarray(values, dtype=float)
    known = np.isfinite(array)
    total = np.concatenate([[0.0], np.cumsum(np.where(known, array, 0.0))])
    count = np.concatenate([[0], np.cumsum(known)])
    end = np.arange(1, array.size + 1)
    start = np.maximum(0, end - window)
    n = count[end] - count[start]
    return np.where(n > 0, (total[end] - total[start]) / np.maximum(n, 1), np.nan)


def reward_curves(
    ax: Axes,
    metrics: Sequence[Mapping[str, Any]],
    *,
    terms: Sequence[str] | None = None,
    window: int = 10,
    title: str | None = None,
) -> Axes:
    """Mean of each reward term by optimiser step: every step faint, the moving mean strong.

    Args:
        ax: Axes to draw on.
        metrics: Rows with ``step`` and ``rewards/<term>/mean`` (as TRL logs them) or ``reward/<term>``.
        terms: Terms to draw, in order; None draws all that the rows hold.
        window: Steps of the moving mean.
        title: Axes title; None for none.

    Returns:
        The axes.

    Raises:
        ValueError: A term asked for is in no row; the message says which are.
    """
    keys = term_keys(metrics)
    missing = [term for term in terms or () if term not in keys]
    if missing:
        raise ValueError(f"no reward term {missing[0]!r} in the metrics; there are {sorted(keys)}")
    for index, term in enumerate(terms if terms is not None else keys):
        _curve(ax, metrics, keys[term], _LINES[index % len(_LINES)], label_of(term), window)
    _step_axis(ax, f"mean reward (moving mean over {window} steps)")
    set_title(ax, title)
    set_legend(ax, loc="best")
    return ax


def zero_variance_share(
    ax: Axes, metrics: Sequence[Mapping[str, Any]], *, window: int = 10, title: str | None = None
) -> Axes:
    """Share of groups whose completions all got the same reward, and so taught nothing, by step.

    Args:
        ax: Axes to draw on.
        metrics: Rows with ``step`` and ``zero_variance_share`` or TRL's ``frac_reward_zero_std``.
        window: Steps of the moving mean.
        title: Axes title; None for none.

    Returns:
        The axes.

    Raises:
        ValueError: No row has either key.
    """
    _curve(ax, metrics, _find(metrics, ZERO_VARIANCE_KEYS), colours.UNUSABLE, "groups without variance", window)
    ax.set_ylim(0.0, 1.0)
    ax.yaxis.set_major_formatter(PercentFormatter(1.0))
    _step_axis(ax, "groups with zero reward variance")
    set_title(ax, title)
    return ax


def completion_length(
    ax: Axes,
    metrics: Sequence[Mapping[str, Any]],
    *,
    window: int = 10,
    limit: int | None = None,
    title: str | None = None,
) -> Axes:
    """Mean length of the completions in tokens, by step.

    Args:
        ax: Axes to draw on.
        metrics: Rows with ``step`` and ``completion_tokens`` or TRL's ``completions/mean_length``.
        window: Steps of the moving mean.
        limit: Longest completion allowed, drawn as a dashed line; None for none.
        title: Axes title; None for none.

    Returns:
        The axes.

    Raises:
        ValueError: No row has either key.
    """
    _curve(ax, metrics, _find(metrics, LENGTH_KEYS), colours.PREDICTION, "mean length", window)
    if limit is not None:
        ax.axhline(limit, color=colours.CHANCE, linestyle="--", linewidth=1.2, label=f"limit {limit:,}")
    _step_axis(ax, "completion length (tokens)")
    ax.set_ylim(bottom=0.0)
    set_title(ax, title)
    set_legend(ax, loc="best")
    return ax


def training_curve(ax: Axes, curve: Curve, *, window: int | None = None, title: str | None = None) -> Axes:
    """One curve of a run: every value faint, the moving mean strong.

    Args:
        ax: Axes to draw on.
        curve: From :func:`geor1.maps.curves.training_curves`.
        window: Values of the moving mean; None takes the curve's own, as the rollout page does. 1 draws points.
        title: Axes title; None for none.

    Returns:
        The axes.
    """
    colour = CURVE_COLOURS.get(curve.kind, colours.PREDICTION)
    steps, values = np.array(curve.steps, dtype=float), np.array(curve.values, dtype=float)
    window = curve.window if window is None else window
    if window > 1:
        ax.plot(steps, values, color=colour, linewidth=0.8, alpha=0.35)
    ax.plot(
        steps,
        moving_mean(values, window),
        color=colour,
        linewidth=2.0,
        marker="" if window > 1 else "o",
        markersize=3.5,
    )
    _step_axis(ax, curve.name)
    ax.yaxis.label.set_parse_math(False)
    set_title(ax, title)
    return ax


def tied_groups(ax: Axes, log: RolloutLog, *, title: str | None = None) -> Axes:
    """Logged groups by step, those that taught nothing (all advantages alike) apart.

    Args:
        ax: Axes to draw on.
        log: The rollouts.
        title: Axes title; None for none.

    Returns:
        The axes.
    """
    steps = log.steps
    counts = Counter((group.step, group.tied) for group in log.groups)
    tied, untied = ([counts[step, want] for step in steps] for want in (True, False))
    width = 0.8 * min((after - before for before, after in itertools.pairwise(steps)), default=1)
    ax.bar(steps, untied, width, color=colours.PREDICTION, label="not tied")
    ax.bar(steps, tied, width, bottom=untied, color=colours.UNUSABLE, hatch="//", edgecolor="white", label="tied")
    _step_axis(ax, "logged groups")
    ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    set_title(ax, title)
    set_legend(ax, loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=2)
    return ax


def group_rewards(
    ax: Axes, group: RolloutGroup, weights: Mapping[str, float] | None = None, *, title: str | None = None
) -> Axes:
    """The G completions of a group, each a bar of its weighted reward terms, with its letter and its advantage.

    Args:
        ax: Axes to draw on.
        group: The group.
        weights: Weights of the reward terms; one without a weight counts once.
        title: Axes title; None for none.

    Returns:
        The axes. Terms without weight are left out; a term that is NaN or absent adds nothing.
    """
    weights = weights or {}
    terms = [term for term in group.rollouts[0].rewards if weights.get(term, 1.0)]
    rows = np.arange(len(group.rollouts))
    ends = {+1: np.zeros(len(rows)), -1: np.zeros(len(rows))}  # positive parts go right of zero, negative ones left
    for index, term in enumerate(terms):
        found = np.array([rollout.rewards.get(term) for rollout in group.rollouts], dtype=float)  # None becomes NaN
        values = weights.get(term, 1.0) * np.where(np.isfinite(found), found, 0.0)
        start = np.where(values >= 0, ends[+1], ends[-1])
        ax.barh(rows, values, 0.7, left=start, color=_LINES[index % len(_LINES)], label=label_of(term))
        ends[+1] += np.maximum(values, 0.0)
        ends[-1] += np.minimum(values, 0.0)
    named = [choice or status.replace("_", " ") for choice, status in zip(group.choices, group.status, strict=True)]
    ax.set_yticks(rows, [f"#{row + 1} {name}" for row, name in enumerate(named)])
    _advantages(ax, group)
    ax.invert_yaxis()
    ax.axvline(0.0, color=colours.CHANCE, linewidth=1.0)
    ax.set_xlabel("weighted reward" + (f"; right: {label_of(group.answer)}" if group.answer else ""))
    quiet_grid(ax, "x")
    set_title(ax, title)
    set_legend(ax, loc="best")
    return ax


def _advantages(ax: Axes, group: RolloutGroup) -> None:
    """Signed advantages in the right margin, one a row."""
    for row, rollout in enumerate(group.rollouts):
        colour = {1.0: colours.PREDICTION, -1.0: colours.ERROR}.get(float(np.sign(rollout.advantage)), colours.UNUSABLE)
        text = f"{rollout.advantage:+.2f}".replace("-", "\u2212")
        ax.text(1.01, row, text, color=colour, transform=ax.get_yaxis_transform(), va="center", fontsize="small")
    ax.text(1.01, -0.7, "advantage", transform=ax.get_yaxis_transform(), va="center", fontsize="small")


def _find(metrics: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> str:
    for key in keys:
        if any(key in row for row in metrics):
            return key
    known = sorted({key for row in metrics for key in row})
    raise ValueError(f"expected one of {list(keys)} in the metrics; there are {known}")


def _curve(ax: Axes, metrics: Sequence[Mapping[str, Any]], key: str, colour: str, label: str, window: int) -> None:
    rows = [row for row in metrics if row.get(key) is not None]
    steps = np.array([row["step"] for row in rows], dtype=float)
    values = np.array([row[key] for row in rows], dtype=float)
    ax.plot(steps, values, color=colour, linewidth=0.8, alpha=0.35)
    ax.plot(steps, moving_mean(values, window), color=colour, linewidth=2.0, label=label)


def _step_axis(ax: Axes, ylabel: str) -> None:
    ax.set_xlabel("optimiser step")
    ax.set_ylabel(ylabel)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    quiet_grid(ax, "y")
