"""The layers of the miniature Earth: what is known of any place from a few small global grids.

The grids in ``geor1/world/data/layers.npz`` were downsampled once by ``scripts/build_layers.py``; sources and licences
stand in ``geor1/world/data/LICENSES.md``. Over the sea the land layers hold the nearest land's values, so every
coordinate has an answer. Cells are 1/12° (climate, coast), 1/6° (elevation, relief) and 0.2° (colour), that is 9 to
22 km: right for a neighbourhood's character, not for a street.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

CLIMATES = {"A": "tropical", "B": "arid", "C": "temperate", "D": "continental", "E": "polar"}
"""Köppen main group -> the word used in facts and chains of thought."""

RELIEF_CLASSES = (("flat", 180.0), ("hills", 500.0), ("mountains", float("inf")))
"""Relief word and the elevation range (metres, within about 20 km) below which it applies."""

COAST_WITHIN_KM = 15.0
"""A place is coastal when the sea lies within this distance; the grid's own error is about 5 km."""

COAST_CAP_KM = 250.0
"""Distances to the sea beyond this are given as this."""


@dataclass(frozen=True, kw_only=True)
class PlaceFacts:
    """What the layers say of one place.

    Attributes:
        koppen: Köppen-Geiger class, e.g. ``Cfb``.
        climate: Its main group in a word: tropical, arid, temperate, continental or polar.
        elevation_m: Mean land elevation of the 1/6° cell in metres, in steps of 28 m.
        relief: ``flat``, ``hills`` or ``mountains``.
        relief_m: Elevation range within about 20 km, metres.
        coast: ``yes`` when the sea is within 15 km (give or take 5), else ``no``; lakes are not sea.
        coast_km: Distance to the nearest mostly-sea cell of 1/24°, km; 0 on the sea, at most 250.
        surface_rgb: Mean colour of the land from above, 0-255, as in Blue Marble; dark, a forest is about (30, 45, 20).
        hemisphere: ``north`` (the equator included) or ``south``.
    """

    koppen: str
    climate: str
    elevation_m: float
    relief: str
    relief_m: float
    coast: str
    coast_km: float
    surface_rgb: tuple[int, int, int]
    hemisphere: str


def describe_place(*, latitude_deg: float, longitude_deg: float) -> PlaceFacts:
    """Look a coordinate up in the layers; a few microseconds after the first call.

    Args:
        latitude_deg: WGS84 latitude in [-90, 90].
        longitude_deg: WGS84 longitude in [-180, 180].

    Returns:
        The facts of the grid cells that hold the point; over the sea those of the nearest land, with ``coast_km`` 0.

    Raises:
        ValueError: If a coordinate is out of range or not a number.

    Example:
        >>> facts = describe_place(latitude_deg=55.75, longitude_deg=37.62)  # Moscow
        >>> facts.koppen, facts.climate, facts.hemisphere, facts.coast
        ('Dfb', 'continental', 'north', 'no')
    """
    _check(latitude_deg, longitude_deg)
    grids = _grids()
    koppen = _koppen_names()[int(_cell(grids["koppen"], latitude_deg, longitude_deg))]
    relief_m = 20.0 * int(_cell(grids["relief"], latitude_deg, longitude_deg))  # stored in units of 20 m
    coast_km = float(_cell(grids["coast_km"], latitude_deg, longitude_deg))
    red, green, blue = _cell(grids["surface_rgb"], latitude_deg, longitude_deg).tolist()
    return PlaceFacts(
        koppen=koppen,
        climate=CLIMATES[koppen[0]],
        elevation_m=28.0 * int(_cell(grids["elevation"], latitude_deg, longitude_deg)) - 450.0,  # pvlib's code
        relief=next(word for word, limit in RELIEF_CLASSES if relief_m < limit),
        relief_m=relief_m,
        coast="yes" if coast_km <= COAST_WITHIN_KM else "no",
        coast_km=coast_km,
        surface_rgb=(red, green, blue),
        hemisphere="north" if latitude_deg >= 0 else "south",
    )


def koppen_at(latitudes_deg: ArrayLike, longitudes_deg: ArrayLike) -> NDArray[np.str_]:
    """Köppen-Geiger class of each coordinate, as :func:`describe_place` gives it; 100,000 take about 10 ms.

    Args:
        latitudes_deg: WGS84 latitudes in [-90, 90], shape (N,); NaN where unknown.
        longitudes_deg: WGS84 longitudes in [-180, 180], shape (N,); NaN where unknown.

    Returns:
        Classes such as ``Cfb``, shape (N,); the empty text where a coordinate is NaN.

    Raises:
        ValueError: Lengths differ, or a coordinate is out of range.

    Example:
        >>> koppen_at([55.75, float("nan")], [37.62, 0.0]).tolist()  # Moscow, nowhere
        ['Dfb', '']
    """
    latitudes = np.asarray(latitudes_deg, dtype=float).reshape(-1)
    longitudes = np.asarray(longitudes_deg, dtype=float).reshape(-1)
    if latitudes.shape != longitudes.shape:
        raise ValueError(f"koppen_at: got {len(latitudes)} latitudes and {len(longitudes)} longitudes")
    known = ~(np.isnan(latitudes) | np.isnan(longitudes))
    for wrong in np.flatnonzero(known & ~((np.abs(latitudes) <= 90.0) & (np.abs(longitudes) <= 180.0)))[:1]:
        _check(float(latitudes[wrong]), float(longitudes[wrong]))
    grid = _grids()["koppen"]
    rows, columns = grid.shape[:2]
    row = np.minimum(((90.0 - latitudes[known]) / 180.0 * rows).astype(int), rows - 1)
    column = ((longitudes[known] + 180.0) / 360.0 * columns).astype(int) % columns
    found = np.full(len(latitudes), "", dtype="<U3")
    found[known] = np.array(_koppen_names())[grid[row, column]]
    return found


def surface_colours() -> NDArray[np.uint8]:
    """Blue Marble's colours over the whole Earth: rows from 90° north to 90° south, columns from -180° eastward.

    Returns:
        Shape (rows, columns, 3), 0.2° a cell; over the sea the nearest land's colour. Shared: do not change it.
    """
    return _grids()["surface_rgb"]


def sea_mask(shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Where the sea is, on a grid over the whole Earth laid as that of :func:`surface_colours`.

    Args:
        shape: Rows and columns.

    Returns:
        True where the coast grid's cell at a cell's centre is sea.
    """
    grid = _grids()["coast_km"]
    rows = ((np.arange(shape[0]) + 0.5) * grid.shape[0] / shape[0]).astype(int)
    columns = ((np.arange(shape[1]) + 0.5) * grid.shape[1] / shape[1]).astype(int)
    return grid[np.ix_(rows, columns)] == 0


@functools.lru_cache(maxsize=1)
def country_outlines() -> dict[str, Any]:
    """Natural Earth 1:110m outlines as a GeoJSON FeatureCollection, longitude first, two decimals.

    One feature has ``properties.kind == "land"`` (all land); the others ``"country"`` with ``name`` (as in the
    gazetteer) and ``code`` (ISO 3166-1 alpha-2, empty where there is none). Every geometry is a MultiPolygon, cut at
    the antimeridian. The object is shared between callers: do not change it.

    Returns:
        The parsed FeatureCollection.
    """
    return json.loads(data_file("countries.geojson").read_text(encoding="utf-8"))


def data_file(name: str) -> Traversable:
    """A file of ``geor1/world/data`` as a readable resource, wherever the package is installed.

    Args:
        name: File name, e.g. ``layers.npz``.

    Returns:
        The resource.

    Raises:
        FileNotFoundError: If the package was installed without its data.
    """
    resource = resources.files("geor1.world").joinpath("data", name)
    if not resource.is_file():
        raise FileNotFoundError(
            f"expected the package data file geor1/world/data/{name}, found none; reinstall geor1, "
            "or rebuild it with scripts/build_layers.py and scripts/build_gazetteer.py"
        )
    return resource


def _check(latitude_deg: float, longitude_deg: float) -> None:
    if not -90.0 <= latitude_deg <= 90.0:
        raise ValueError(f"latitude_deg={latitude_deg} is outside [-90, 90]; are latitude and longitude swapped?")
    if not -180.0 <= longitude_deg <= 180.0:
        raise ValueError(f"longitude_deg={longitude_deg} is outside [-180, 180]; wrap it first")


def _cell(grid: NDArray[np.uint8], latitude_deg: float, longitude_deg: float) -> NDArray[np.uint8]:
    """Value of the cell that holds the point; rows run north to south, columns from -180° eastward, +180° is -180°."""
    rows, columns = grid.shape[:2]
    row = min(int((90.0 - latitude_deg) / 180.0 * rows), rows - 1)
    column = int((longitude_deg + 180.0) / 360.0 * columns) % columns
    return grid[row, column]


@functools.lru_cache(maxsize=1)
def _grids() -> dict[str, NDArray[Any]]:
    """Read the archive once (about 0.1 s, 28 MB in memory)."""
    with data_file("layers.npz").open("rb") as handle, np.load(handle, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


@functools.lru_cache(maxsize=1)
def _koppen_names() -> tuple[str, ...]:
    return tuple(_grids()["koppen_names"].tolist())
