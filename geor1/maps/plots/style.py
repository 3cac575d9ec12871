"""Font sizes, lines and the treatment of untrusted text that all plots share."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes

from geor1.maps.text import plain_text

STYLE: dict[str, Any] = {
    "font.size": 11.0,
    "axes.titlesize": 12.0,
    "axes.labelsize": 11.0,
    "xtick.labelsize": 10.0,
    "ytick.labelsize": 10.0,
    "legend.fontsize": 10.0,
    "figure.dpi": 110,
    "savefig.dpi": 150,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.constrained_layout.use": True,
}  # for ``with matplotlib.rc_context(STYLE)``


def set_title(ax: Axes, title: str | None) -> None:
    """A title that is text, whatever ``$`` it holds; None leaves the axes as they are."""
    if title is not None:
        ax.set_title(plain_text(title, 160), loc="left", parse_math=False)


def set_legend(ax: Axes, **options: Any) -> None:
    """A legend whose labels are never read as mathematics; none at all when nothing has a label."""
    if not ax.get_legend_handles_labels()[1]:
        return
    legend = ax.legend(frameon=False, **options)
    for text in legend.get_texts():
        text.set_parse_math(False)


def label_of(name: str) -> str:
    """A label that matplotlib shows as it is: cleaned, one line, without the leading underscore that would hide it."""
    return plain_text(name, 80).lstrip("_") or "(no name)"


def quiet_grid(ax: Axes, axis: str = "both") -> None:
    """Thin grid lines behind the data."""
    ax.grid(True, axis=axis, color="#DDE2E6", linewidth=0.7)  # type: ignore[arg-type]
    ax.set_axisbelow(True)
