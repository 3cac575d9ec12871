"""Plots of bias and failure: accuracy by group, confusion of countries, reasons of failure, calibration.

Each takes plain rows, draws on ``ax`` and gives it back. No group is left out silently: small ones are drawn grey or
counted in a line, what does not fit a matrix is summed as ``other``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from geor1.maps import colours
from geor1.maps.plots.style import label_of, quiet_grid, set_legend, set_title

GroupRow = tuple[str, int, float | None, float | None, float | None]
"""Label, n, and share with its interval; all three None for a group too small to judge."""

# Colour and hatch of a reason by rank: no two reasons differ in colour alone.
_REASONS = (
    (colours.UNUSABLE, ""), (colours.ORANGE, "//"), (colours.SKY_BLUE, ".."), (colours.PURPLE, "xx"),
    (colours.YELLOW, "\\\\"), (colours.BLACK, ""),
)  # fmt: skip


def group_accuracy(
    ax: Axes,
    groups: Sequence[GroupRow],
    *,
    overall: tuple[float, float, float],
    max_small: int = 4,
    xlabel: str = "accuracy",
    title: str | None = None,
) -> Axes:
    """One dot with its interval a group, best on top, and the overall share as a line with its interval as a band.

    Args:
        ax: Axes to draw on; about 0.28 inches of height a group.
        groups: (label, n, share, low, high), shares in [0, 1]; share, low and high None for a group too small.
        overall: Share, low and high over everything.
        max_small: Small groups named, the largest ones; the rest is counted in one line.
        xlabel: What the shares are.
        title: Axes title; None for none.

    Returns:
        The axes.

    Raises:
        ValueError: A share lies outside [0, 1] or outside its interval.
    """
    judged = sorted(((label, n, *_checked(label, values)) for label, n, *values in groups if None not in values),
                    key=lambda row: (-row[2], row[0]))  # fmt: skip
    small = sorted(((label, n) for label, n, *values in groups if None in values), key=lambda row: (-row[1], row[0]))
    share, low, high = _checked("overall", overall)
    ax.axvspan(low, high, color="#E3E3E3", linewidth=0)
    ax.axvline(share, color=colours.CHANCE, linestyle="--", linewidth=1.2)
    ticks = [f"{label_of(label)} ({n:,})" for label, n, *_ in judged]
    for y, (_, _, value, lower, upper) in enumerate(judged):
        ax.errorbar(value, y, xerr=[[value - lower], [upper - value]], fmt="o", color=colours.PREDICTION,
                    capsize=3, linewidth=1.5, markersize=5)  # fmt: skip
    rest = small[max_small:]
    named = small[:max_small] + ([(f"{len(rest)} more groups", sum(n for _, n in rest))] if rest else [])
    for label, n in named:
        ax.text(0.01, len(ticks), "too few to judge", color=colours.UNUSABLE, va="center", style="italic", fontsize=9)
        ticks.append(f"{label_of(label)} ({n:,})")
    ax.set_yticks(range(len(ticks)), ticks, parse_math=False)
    for tick in ax.get_yticklabels()[len(judged) :]:
        tick.set_color(colours.UNUSABLE)
    ax.set_ylim(len(ticks) - 0.4, -0.6)
    ax.set_xlim(0.0, 1.02)
    ax.xaxis.set_major_formatter(PercentFormatter(1.0))
    ax.set_xlabel(f"{label_of(xlabel)} (dashed: all, {100 * share:.1f} %)", parse_math=False)
    ax.set_ylabel("group (n)")
    quiet_grid(ax, "x")
    set_title(ax, title)
    return ax


def confusion_matrix(
    ax: Axes,
    true: Sequence[str],
    predicted: Sequence[str],
    counts: npt.ArrayLike,
    *,
    top: int = 12,
    title: str | None = None,
) -> Axes:
    """Counts of true (rows) against predicted (columns), shaded by share of the row.

    Args:
        ax: Axes to draw on; about 0.5 inches a row and column.
        true: Row labels, most frequent first.
        predicted: Column labels.
        counts: Shape (rows, columns), whole numbers.
        top: Rows shown, with the columns of the same labels; the rest is summed as ``other``, and ``unknown`` and
            ``unusable`` keep columns of their own.
        title: Axes title; None for none.

    Returns:
        The axes.

    Raises:
        ValueError: The shape does not fit the labels, or nothing was counted.
    """
    table = np.asarray(counts)
    if table.shape != (len(true), len(predicted)) or not table.sum():
        raise ValueError(f"confusion_matrix: expected counts of shape {(len(true), len(predicted))}, got {table.shape}")
    shown = [label for label in true if label != "unknown"][:top]
    tail = [label for label in ("unknown", "unusable") if label in predicted]
    columns = [*shown, "other", *tail]
    rows = [*shown, *(["other"] if len(shown) < len(true) else [])]
    small = np.zeros((len(rows), len(columns)), dtype=int)
    at_row = [rows.index(label if label in shown else "other") for label in true]
    at_column = [columns.index(label if label in columns else "other") for label in predicted]
    np.add.at(small, np.ix_(at_row, at_column), table)
    totals = small.sum(axis=1, keepdims=True)
    shares = np.divide(small, totals, out=np.zeros(small.shape), where=totals > 0)
    if "other" in rows:
        shares[-1] = 0.0  # other against other says nothing of right or wrong
    ax.imshow(shares, cmap="Blues", vmin=0.0, vmax=1.0, aspect="auto")
    for row, column in zip(*np.nonzero(small), strict=True):
        colour = "white" if shares[row, column] > 0.55 else "black"
        ax.text(column, row, f"{small[row, column]:,}", ha="center", va="center", color=colour, fontsize=9)
    ax.set_xticks(range(len(columns)), [label_of(label) for label in columns], parse_math=False,
                  rotation=50, ha="right", rotation_mode="anchor")  # fmt: skip
    names = [f"{label_of(label)} ({n:,})" for label, n in zip(rows, totals.ravel(), strict=True)]
    ax.set_yticks(range(len(rows)), names, parse_math=False)
    ax.set_xlabel("predicted (shade: share of the row)")
    ax.set_ylabel("true (n)", labelpad=8)
    set_title(ax, title)
    return ax


def failure_bars(ax: Axes, groups: Sequence[tuple[str, int, Mapping[str, int]]], *, title: str | None = None) -> Axes:
    """Share of unusable answers by reason, one bar a group in the order given, first on top.

    Args:
        ax: Axes to draw on.
        groups: (label, n, status -> count); the status ``ok`` is not drawn.
        title: Axes title; None for none.

    Returns:
        The axes.

    Raises:
        ValueError: The counts of a group do not sum to its n.
    """
    totals: dict[str, int] = {}
    for label, n, counts in groups:
        if sum(counts.values()) != n:
            raise ValueError(f"failure_bars: {label}: counts sum to {sum(counts.values())}, n is {n}")
        for reason, count in counts.items():
            totals[reason] = totals.get(reason, 0) + count
    ranked = sorted((reason for reason in totals if reason != "ok"), key=lambda reason: (-totals[reason], reason))
    sizes = np.array([max(n, 1) for _, n, _ in groups], dtype=float)
    cut = len(ranked) if len(ranked) <= len(_REASONS) else len(_REASONS) - 1
    parts = [(label_of(reason), [reason]) for reason in ranked[:cut]]
    parts += [("other reasons", ranked[cut:])] if ranked[cut:] else []
    left = np.zeros(len(groups))
    for (name, reasons), (colour, hatch) in zip(parts, _REASONS, strict=False):
        widths = np.array([sum(counts.get(reason, 0) for reason in reasons) for _, _, counts in groups]) / sizes
        ax.barh(range(len(groups)), widths, 0.66, left=left, color=colour, hatch=hatch, edgecolor="white",
                linewidth=0.4, label=name)  # fmt: skip
        left += widths
    for y, (share, size) in enumerate(zip(left, sizes, strict=True)):
        ax.text(share, y, f" {round(share * size):,} of {round(size):,}", va="center", fontsize=9)
    ax.set_yticks(range(len(groups)), [label_of(label) for label, *_ in groups], parse_math=False)
    ax.set_ylim(len(groups) - 0.4, -0.6)
    ax.set_xlim(0.0, min(1.25, max(0.02, 1.3 * float(left.max(initial=0.0)))))
    ax.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    ax.set_xlabel("answers that could not be used")
    quiet_grid(ax, "x")
    set_title(ax, title)
    set_legend(ax, loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=3)
    return ax


def calibration_curve(
    ax: Axes,
    levels: Sequence[tuple[float, int, float, float, float]],
    *,
    ylabel: str = "accuracy",
    title: str | None = None,
) -> Axes:
    """Accuracy with its interval against stated confidence; the diagonal where confidences are probabilities.

    Args:
        ax: Axes to draw on.
        levels: (mean stated confidence, n, share, low, high) in rising order, shares in [0, 1].
        ylabel: What the shares are, e.g. ``within 25 km``.
        title: Axes title; None for none.

    Returns:
        The axes.

    Raises:
        ValueError: A share lies outside [0, 1] or outside its interval.
    """
    checked = [(stated, n, *_checked(f"confidence {stated:g}", values)) for stated, n, *values in levels]
    stated = [row[0] for row in checked]
    shares, lows, highs = (np.array([row[i] for row in checked]) for i in (2, 3, 4))
    ax.errorbar(stated, shares, yerr=[shares - lows, highs - shares], fmt="o-", color=colours.PREDICTION,
                capsize=4, linewidth=1.5)  # fmt: skip
    if stated and max(stated) <= 1.0 and min(stated) >= 0.0:
        ax.plot([0, 1], [0, 1], color=colours.CHANCE, linestyle="--", linewidth=1.0, label="as stated")
        ax.set_xlim(-0.03, 1.03)
    else:
        ax.margins(x=0.12)
    for x, n, _, _, high in checked:
        ax.annotate(f"n = {n:,}", (x, high), xytext=(0, 5), textcoords="offset points", ha="center", fontsize=9)
    if len(stated) <= 10:
        ax.set_xticks(stated, [f"{value:g}" if value == int(value) else f"{value:.2f}" for value in stated])
    ax.set_ylim(0.0, 1.12)
    ax.set_yticks(np.linspace(0.0, 1.0, 6))
    ax.yaxis.set_major_formatter(PercentFormatter(1.0))
    ax.set_xlabel("stated confidence")
    ax.set_ylabel(label_of(ylabel), parse_math=False)
    quiet_grid(ax)
    set_title(ax, title)
    set_legend(ax, loc="lower right")
    return ax


def _checked(label: str, values: Sequence[float | None]) -> tuple[float, float, float]:
    """Share, low and high, in order and in [0, 1]; a share that is 1 up to rounding is let stand."""
    share, low, high = (float(value) if value is not None else float("nan") for value in values)
    if not -1e-9 <= low <= share + 1e-9 <= high + 2e-9 <= 1.0 + 1e-8:
        raise ValueError(f"{label}: expected 0 <= low <= share <= high <= 1, got {low}, {share}, {high}")
    return share, min(low, share), max(high, share)
