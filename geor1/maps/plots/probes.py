"""What the anti-shortcut probes scored, against what guessing scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from geor1.maps import colours
from geor1.maps.plots.style import label_of, quiet_grid, set_legend, set_title

VERDICTS = {
    "ok": ("at chance", colours.PREDICTION, "o", "full"),
    "leak": ("leak", colours.ERROR, "X", "full"),
    "cue": ("weak content, above chance", colours.PREDICTION, "D", "none"),
    "underpowered": ("too few questions to say", colours.UNUSABLE, "s", "full"),
}
"""Verdict -> words, colour, marker, how the marker is filled."""


def probe_accuracy(ax: Axes, rows: Sequence[Mapping[str, Any]], *, title: str | None = None) -> Axes:
    """Accuracy of each probe with its 95 % interval, the guessing line, and the smallest leak each would have shown.

    Args:
        ax: Axes to draw on.
        rows: As in ``report.json`` under ``probes``, ``sets``, ``test``, ``probes``: ``name``, ``kind``, ``accuracy``,
            ``low``, ``high`` (shares in [0, 1], or None where a probe could not be tried), ``chance``, ``detectable``,
            ``constant``, ``verdict``; first row on top.
        title: Axes title; None for none.

    Returns:
        The axes.

    Raises:
        ValueError: An unknown verdict, or an accuracy outside its interval or [0, 1].
    """
    seen: set[str] = set()
    for y, row in enumerate(rows):
        if row["verdict"] not in VERDICTS:
            raise ValueError(f"{row['name']}: expected a verdict of {', '.join(VERDICTS)}, got {row['verdict']!r}")
        if row["accuracy"] is None:
            ax.text(0.0, y, " too few questions", va="center", color=colours.UNUSABLE, fontsize="small")
            continue
        _one(ax, y, row, first=row["verdict"] not in seen)
        seen.add(row["verdict"])
    bound = [row for row in rows if row["accuracy"] is not None and not row["constant"]]
    for number, row in enumerate(bound):
        label = "smallest leak it would show" if number == 0 else None
        ax.plot(row["detectable"], rows.index(row), "|", color=colours.CHANCE, markersize=11, label=label)
    chances = [row["chance"] for row in rows if row["chance"] is not None]
    if chances:
        chance = sum(chances) / len(chances)
        label = f"guessing, {100 * chance:.0f} %"
        ax.axvline(chance, color=colours.CHANCE, linestyle="--", linewidth=1.2, zorder=1, label=label)
    _finish(ax, rows, title)
    return ax


def _one(ax: Axes, y: int, row: Mapping[str, Any], *, first: bool) -> None:
    low, value, high = row["low"], row["accuracy"], row["high"]
    if not 0.0 <= low <= value <= high <= 1.0:
        raise ValueError(f"{row['name']}: expected 0 <= low <= accuracy <= high <= 1, got {low}, {value}, {high}")
    words, colour, marker, filled = VERDICTS[row["verdict"]]
    ax.errorbar(
        value,
        y,
        xerr=[[value - low], [high - value]],
        fmt=marker,
        color=colour,
        fillstyle=filled,
        markersize=7,
        capsize=3,
        linewidth=1.6,
        label=words if first else None,
    )
    if row["constant"]:
        ax.text(high + 0.012, y, "all options alike", va="center", color=colours.UNUSABLE, fontsize="small")


def _finish(ax: Axes, rows: Sequence[Mapping[str, Any]], title: str | None) -> None:
    ax.set_yticks(range(len(rows)), [label_of(str(row["name"]).replace("_", " ")) for row in rows], parse_math=False)
    ax.set_ylim(len(rows) - 0.4, -0.6)
    cues = [y for y, row in enumerate(rows) if row["kind"] == "cues"]
    if cues and min(cues) > 0:
        ax.axhline(min(cues) - 0.5, color=colours.BORDER, linewidth=0.9)  # below: reported only, no alarm
    ax.set_xlim(0.0, 1.0)
    ax.xaxis.set_major_formatter(PercentFormatter(1.0))
    ax.set_xlabel("right tile found by the probe alone (95 % interval)")
    quiet_grid(ax, "x")
    set_title(ax, title)
    set_legend(ax, loc="upper left", ncols=3, bbox_to_anchor=(-0.1, -0.12))  # a leak may lie anywhere
