"""A contact sheet of one question: the panorama with its compass, the lettered tiles, the right and the chosen one."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from PIL import Image

from geor1.maps import colours
from geor1.maps.plots.style import label_of, set_title

COMPASS = ("N", "E", "S", "W")


def contact_sheet(
    ax: Axes,
    ground: Image.Image,
    tiles: Mapping[str, Image.Image] | None = None,
    *,
    answer: str | None = None,
    choice: str | None = None,
    north_at: float | None = 0.5,
    title: str | None = None,
) -> Axes:
    """Draw a panorama above its candidate tiles.

    Args:
        ax: Axes to draw on; they lose their ticks and frame.
        ground: Panorama or photo.
        tiles: Letter -> satellite tile, in order; None or empty draws the panorama alone.
        answer: Letter of the right tile, outlined in the colour of truth.
        choice: Letter that a model chose, outlined dashed in the colour of prediction if right, of error if wrong.
        north_at: Where north lies in the panorama as a fraction of its width (0.5: the middle column, as the
            miniature world renders it); None for a picture without a known heading.
        title: Axes title; None for none.

    Returns:
        The axes. x runs over [0, 1]; the panorama fills the width.

    Raises:
        ValueError: ``answer`` is not among the tiles.
    """
    tiles = tiles or {}
    if answer is not None and tiles and answer not in tiles:
        raise ValueError(f"answer {answer!r} is not among the tiles {sorted(tiles)}")
    height = min(0.6, ground.height / ground.width)
    gap, band = 0.012, 0.07
    ax.imshow(
        np.asarray(ground.convert("RGB")), extent=(0.0, 1.0, 0.0, height), aspect="auto", interpolation="antialiased"
    )
    if north_at is not None:
        _compass(ax, north_at, height)
    size = (1.0 - gap * (len(tiles) - 1)) / max(len(tiles), 4)
    start = (1.0 - size * len(tiles) - gap * max(len(tiles) - 1, 0)) / 2.0
    for index, (letter, tile) in enumerate(tiles.items()):
        left, top = start + index * (size + gap), -band
        _tile(ax, tile, letter, left, top - size, size, answer, choice)
    ax.set_xlim(-0.005, 1.005)
    ax.set_ylim(-band - size - 0.085 if tiles else -0.01, height + (0.065 if north_at is not None else 0.01))
    ax.set_aspect("equal")
    ax.set_axis_off()
    set_title(ax, title)
    return ax


def _compass(ax: Axes, north_at: float, height: float) -> None:
    """Ticks above the panorama; the direction at its seam is written at both ends."""
    for quarter, name in enumerate(COMPASS):
        x = (north_at + quarter / 4.0) % 1.0
        for place in (0.0, 1.0) if min(x, 1.0 - x) < 1e-9 else (x,):
            ax.plot([place, place], [height, height + 0.014], color="black", linewidth=1.2, clip_on=False)
            ax.text(place, height + 0.02, name, ha="center", va="bottom", fontweight="bold")


def _tile(
    ax: Axes,
    tile: Image.Image,
    letter: str,
    left: float,
    bottom: float,
    size: float,
    answer: str | None,
    choice: str | None,
) -> None:
    extent = (left, left + size, bottom, bottom + size)
    ax.imshow(np.asarray(tile.convert("RGB")), extent=extent, aspect="auto", interpolation="antialiased")
    right, chosen = letter == answer, letter == choice
    words = [label_of(letter), *(["right"] if right else []), *(["chosen"] if chosen else [])]
    if right:
        ax.add_patch(
            Rectangle((left, bottom), size, size, fill=False, edgecolor=colours.TRUTH, linewidth=4.0, zorder=5)
        )
    if chosen:
        colour = colours.PREDICTION if right or answer is None else colours.ERROR
        inset = 0.05 * size if right else 0.0
        corner, side = (left + inset, bottom + inset), size - 2.0 * inset
        frame = Rectangle(corner, side, side, fill=False, edgecolor=colour, linewidth=3.0, linestyle="--", zorder=6)
        ax.add_patch(frame)
    weight = "bold" if right or chosen else "normal"
    ax.text(
        left + size / 2, bottom - 0.012, ", ".join(words), ha="center", va="top", fontweight=weight, parse_math=False
    )
