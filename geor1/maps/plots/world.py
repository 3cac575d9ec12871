"""World maps: outlines, sampled places, and errors as great-circle arcs that survive the antimeridian."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.path import Path
from matplotlib.ticker import FuncFormatter, MultipleLocator

from geor1.geodesy import great_circle_points
from geor1.maps import colours
from geor1.maps.outlines import cut_at_antimeridian, natural_earth
from geor1.maps.plots.style import label_of, set_legend, set_title
from geor1.maps.samples import Sample, to_samples, worst_first
from geor1.records import Prediction

TRUE_LATITUDE_DEG = 40.0  # of the equirectangular projection: shapes are right there, north and south
MANY = 400


def world_axes(ax: Axes, *, south_deg: float = -60.0, north_deg: float = 85.0) -> Axes:
    """Prepare axes as an equirectangular world map with degrees on its edges.

    Args:
        ax: Axes to prepare.
        south_deg: Lower edge, degrees of latitude.
        north_deg: Upper edge.

    Returns:
        The axes; longitude is x, latitude is y, in degrees.
    """
    ax.set_xlim(-180.0, 180.0)
    ax.set_ylim(south_deg, north_deg)
    ax.set_aspect(1.0 / math.cos(math.radians(TRUE_LATITUDE_DEG)))
    ax.set_facecolor(colours.OCEAN)
    ax.xaxis.set_major_locator(MultipleLocator(60.0))
    ax.yaxis.set_major_locator(MultipleLocator(30.0))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _degrees(value, "E", "W")))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _degrees(value, "N", "S")))
    for spine in ax.spines.values():
        spine.set_visible(True)
        spine.set_color(colours.BORDER)
    ax.tick_params(color=colours.BORDER)
    return ax


def draw_outlines(ax: Axes, outlines: Mapping[str, Any] | None = None) -> Axes:
    """Draw land and borders beneath whatever the axes hold.

    Args:
        ax: Axes in degrees of longitude and latitude.
        outlines: GeoJSON FeatureCollection; None takes Natural Earth's from the package.

    Returns:
        The axes.
    """
    world = natural_earth() if outlines is None else cut_at_antimeridian(dict(outlines))
    land: list[Path] = []
    borders: list[Path] = []
    for feature in world["features"]:
        paths = [_polygon_path(polygon) for polygon in feature["geometry"]["coordinates"]]
        (land if feature["properties"].get("kind") == "land" else borders).extend(paths)
    fill = land or borders
    ax.add_collection(PathCollection(fill, facecolor=colours.LAND, edgecolor="none", zorder=0.5), autolim=False)
    edges = PathCollection(borders, facecolor="none", edgecolor=colours.BORDER, linewidth=0.4, zorder=0.6)
    ax.add_collection(edges, autolim=False)
    return ax


def error_map(
    ax: Axes,
    predictions: Sequence[Prediction],
    *,
    outlines: Mapping[str, Any] | None = None,
    max_arcs: int = 4000,
    title: str | None = None,
) -> Axes:
    """Truth, prediction and the arc between them, or, for pairing, places by right and wrong.

    Args:
        ax: Axes to draw on.
        predictions: Of one model or several. With several, arcs and predictions take the models' colours.
        outlines: As in :func:`draw_outlines`.
        max_arcs: Most arcs to draw, the longest ones; every point is drawn.
        title: Axes title; None for none.

    Returns:
        The axes.

    Raises:
        RecordError: A true position is out of range.
    """
    samples = to_samples(predictions)
    draw_outlines(world_axes(ax), outlines)
    located = [sample for sample in samples if sample.prediction.task == "geolocation"]
    if located:
        _draw_errors(ax, located, max_arcs)
    else:
        _draw_outcomes(ax, samples)
    south = min([-60.0, *(p[0] - 2.0 for sample in samples for p in (sample.truth, sample.guess) if p is not None)])
    ax.set_ylim(max(-90.0, south), 90.0 if any(s.truth and s.truth[0] > 84 for s in samples) else 85.0)
    set_title(ax, title)
    set_legend(ax, loc="lower left", markerscale=1.6)
    return ax


def place_map(
    ax: Axes,
    latitude_deg: npt.ArrayLike,
    longitude_deg: npt.ArrayLike,
    groups: Sequence[str] | None = None,
    *,
    outlines: Mapping[str, Any] | None = None,
    title: str | None = None,
) -> Axes:
    """Where places were sampled, coloured by group such as train and test.

    Args:
        ax: Axes to draw on.
        latitude_deg: Shape (N,), degrees.
        longitude_deg: Shape (N,), degrees.
        groups: N group names; None for one group.
        outlines: As in :func:`draw_outlines`.
        title: Axes title; None for none.

    Returns:
        The axes.

    Raises:
        ValueError: The three differ in length.
    """
    lat, lon = np.asarray(latitude_deg, dtype=float).ravel(), np.asarray(longitude_deg, dtype=float).ravel()
    names = ["places"] * lat.size if groups is None else list(groups)
    if not lat.size == lon.size == len(names):
        raise ValueError(
            f"expected equal lengths, got {lat.size} latitudes, {lon.size} longitudes, {len(names)} groups"
        )
    draw_outlines(world_axes(ax), outlines)
    palette = colours.model_colours(list(dict.fromkeys(names))) | colours.SPLITS | {"places": colours.TRUTH}
    for index, name in enumerate(dict.fromkeys(names)):
        chosen = np.array([group == name for group in names])
        label = f"{label_of(name)} (n = {int(chosen.sum()):,})"
        marker = "os^vD"[index % 5]
        _points(ax, lon[chosen], lat[chosen], marker, palette[name], label, size=16.0)
    set_title(ax, title)
    set_legend(ax, loc="lower left", markerscale=1.4)
    return ax


def _draw_errors(ax: Axes, samples: Sequence[Sample], max_arcs: int) -> None:
    models = list(dict.fromkeys(sample.prediction.model for sample in samples))
    palette = colours.model_colours(models)
    order = [index for index in worst_first(samples) if samples[index].error_km is not None][:max_arcs]
    alpha = float(np.clip(12.0 / math.sqrt(len(order) + 1.0), 0.06, 0.8))
    for model in models:
        mine = [samples[index] for index in order if samples[index].prediction.model == model]
        lines = [segment[:, ::-1] for sample in mine for segment in _arc(sample)]
        colour = colours.ERROR if len(models) == 1 else palette[model]
        ax.add_collection(LineCollection(lines, colors=colour, linewidths=0.8, alpha=alpha, zorder=2), autolim=False)
        guesses = np.array([s.guess for s in samples if s.guess and s.prediction.model == model], dtype=float).reshape(
            -1, 2
        )
        name = "prediction" if len(models) == 1 else f"{label_of(model)}: prediction"
        colour = colours.PREDICTION if len(models) == 1 else palette[model]
        _points(ax, guesses[:, 1], guesses[:, 0], "D", colour, f"{name} (n = {len(guesses):,})")
    for unusable, marker, colour, name in (
        (False, "o", colours.TRUTH, "truth"),
        (True, "s", colours.UNUSABLE, "unusable"),
    ):
        truths = {s.truth for s in samples if s.truth and (s.outcome == "unusable") == unusable}
        places = np.array(sorted(truths), dtype=float).reshape(-1, 2)
        if len(places) or not unusable:
            _points(ax, places[:, 1], places[:, 0], marker, colour, f"{name} ({len(places):,} places)")


def _draw_outcomes(ax: Axes, samples: Sequence[Sample]) -> None:
    styles = (("right", "o", colours.TRUTH), ("unusable", "s", colours.UNUSABLE), ("wrong", "X", colours.ERROR))
    for outcome, marker, colour in styles:
        chosen = [sample.truth for sample in samples if sample.outcome == outcome]
        places = np.array([place for place in chosen if place], dtype=float).reshape(-1, 2)
        label = f"{outcome} (n = {len(chosen):,})"
        _points(ax, places[:, 1], places[:, 0], marker, colour, label, size=18.0, alpha=0.8)


def _points(
    ax: Axes,
    x: npt.ArrayLike,
    y: npt.ArrayLike,
    marker: str,
    colour: str,
    label: str,
    *,
    size: float | None = None,
    alpha: float = 1.0,
) -> None:
    count = np.size(x)
    area = size if size is not None else (9.0 if count > MANY else 20.0)
    ax.scatter(
        x, y, s=area, marker=marker, c=colour, label=label, linewidths=0.3, edgecolors="white", zorder=3, alpha=alpha
    )


def _arc(sample: Sample) -> list[np.ndarray]:
    if sample.truth is None or sample.guess is None or sample.error_km is None:
        return []
    n = max(2, min(90, int(sample.error_km / 150.0) + 2))
    lat1, lon1, lat2, lon2 = *sample.truth, *sample.guess
    return great_circle_points(lat1=lat1, lon1=lon1, lat2=lat2, lon2=lon2, n=n)


def _polygon_path(polygon: Sequence[Sequence[Sequence[float]]]) -> Path:
    rings = [Path(np.asarray(ring, dtype=float)[:, :2], closed=True) for ring in polygon]
    return Path.make_compound_path(*rings)


def _degrees(value: float, positive: str, negative: str) -> str:
    return f"{abs(value):.0f}°{positive if value > 0 else negative if value < 0 else ''}"
