"""Country of a coordinate: point in polygon on the packaged Natural Earth outlines, offline and in bulk.

The outlines are 1:110m: a border or coast may be off by 20 km or more, and what it lacks are discs
(:data:`geor1.world.regions.SMALL` and ``ISLANDS``). Right for tables by country; not for a town on a border.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree

from geor1.geodesy import EARTH_RADIUS_KM, haversine_km, normalize_longitude_deg
from geor1.world.layers import country_outlines
from geor1.world.regions import ISLANDS, SMALL, country_code

FloatArray = NDArray[np.float64]
Edges = NDArray[np.float64]  # [E, 4]: lon1, lat1, lon2, lat2 in degrees

COAST_TOLERANCE_KM = 50.0
"""A point outside every outline belongs to the nearest country within this distance: the outlines cut off capes,
islands and harbours."""

_SAMPLE_KM = 5.0  # spacing of the points that stand for an outline when the nearest is looked for


def countries_at(
    latitudes_deg: ArrayLike, longitudes_deg: ArrayLike, *, tolerance_km: float = COAST_TOLERANCE_KM
) -> list[str | None]:
    """Country code of each coordinate; 100,000 coordinates take about a second.

    Args:
        latitudes_deg: WGS84, in [-90, 90], shape (N,).
        longitudes_deg: WGS84, shape (N,); any turn, 180 and -180 being one meridian.
        tolerance_km: How far outside an outline a point may lie and still belong to it (see COAST_TOLERANCE_KM).

    Returns:
        ISO 3166-1 alpha-2 codes; None on the open sea. Northern Cyprus is CY and Somaliland SO, as GeoNames has them;
        French Guiana is GF, not part of France.

    Raises:
        ValueError: Lengths differ, or a coordinate is out of range or not finite.

    >>> countries_at([48.85, 1.29, 0.0], [2.35, 103.85, -30.0])
    ['FR', 'SG', None]
    """
    latitudes = np.asarray(latitudes_deg, dtype=float).reshape(-1)
    longitudes = np.asarray(normalize_longitude_deg(longitudes_deg), dtype=float).reshape(-1)
    if latitudes.shape != longitudes.shape:
        raise ValueError(f"countries_at: got {len(latitudes)} latitudes and {len(longitudes)} longitudes")
    if not (np.abs(latitudes) <= 90.0).all():
        raise ValueError("countries_at: a latitude is outside [-90, 90]; are latitude and longitude swapped?")
    codes = np.full(len(latitudes), "", dtype="<U2")
    order = np.argsort(latitudes, kind="stable")
    for outline in _outlines():
        codes[order[_inside(latitudes[order], longitudes[order], outline.edges)]] = outline.code
    outside = np.flatnonzero(codes == "")
    codes[outside] = _nearest(latitudes[outside], longitudes[outside], tolerance_km)
    small = [(code, *disc) for code, (_, *disc) in SMALL.items()]
    for discs, claimed in ((ISLANDS, codes == ""), (small, np.full(len(codes), True))):
        for code, latitude, longitude, radius_km in discs:
            away_km = haversine_km(lat1=latitudes, lon1=longitudes, lat2=latitude, lon2=longitude)
            codes[claimed & (away_km <= radius_km)] = code
    codes[(codes == "FR") & (longitudes < -30.0)] = "GF"
    return [str(code) or None for code in codes]


@dataclasses.dataclass(frozen=True)
class _Outline:
    code: str
    edges: Edges


@functools.cache
def _outlines() -> tuple[_Outline, ...]:
    """The countries with a code, in file order, holes among the edges (the even-odd rule leaves them out)."""
    found = []
    for feature in country_outlines()["features"]:
        properties = feature["properties"]
        code = properties.get("code") or country_code(properties.get("name"))
        if properties["kind"] != "country" or code is None:
            continue
        rings = [ring for polygon in feature["geometry"]["coordinates"] for ring in polygon]
        edges = [(*a, *b) for ring in rings for a, b in itertools.pairwise(ring)]
        found.append(_Outline(code, np.array(edges, dtype=float)))
    return tuple(found)


def _inside(latitudes: FloatArray, longitudes: FloatArray, edges: Edges) -> NDArray[np.bool_]:
    """Even-odd rule for points sorted by latitude: an edge can only concern the points between its two latitudes.

    An edge holds its lower end and not its upper one, so that a point on a vertex or shared border counts once.
    """
    inside = np.zeros(len(latitudes), dtype=bool)
    low, high = np.minimum(edges[:, 1], edges[:, 3]), np.maximum(edges[:, 1], edges[:, 3])
    starts = np.searchsorted(latitudes, low, side="left")
    ends = np.searchsorted(latitudes, high, side="left")
    for index in np.flatnonzero(ends > starts):
        lon1, lat1, lon2, lat2 = edges[index]
        at = slice(starts[index], ends[index])
        inside[at] ^= longitudes[at] < lon1 + (latitudes[at] - lat1) / (lat2 - lat1) * (lon2 - lon1)
    return inside


def _nearest(latitudes: FloatArray, longitudes: FloatArray, tolerance_km: float) -> NDArray[np.str_]:
    """Code of the nearest outline on the sphere within the tolerance, else the empty text."""
    tree, codes = _outline_points()
    reach = chord(tolerance_km)
    if not len(latitudes):
        return np.empty(0, dtype="<U2")
    _, found = tree.query(unit_vectors(latitudes, longitudes), distance_upper_bound=reach)
    return np.append(codes, "")[found]  # the tree answers "none" with its size


@functools.cache
def _outline_points() -> tuple[cKDTree, NDArray[np.str_]]:
    """Points every 5 km or closer along all outlines, without the edges that only close a cut along ±180° or a pole."""
    latitudes, longitudes, codes = [], [], []
    for outline in _outlines():
        lon1, lat1, lon2, lat2 = outline.edges.T
        drawn = ~((np.abs(lon1) == 180.0) & (lon1 == lon2)) & ~((lat1 == -90.0) & (lat2 == -90.0))
        lengths = haversine_km(lat1=lat1, lon1=lon1, lat2=lat2, lon2=lon2)
        for edge, length in zip(outline.edges[drawn], lengths[drawn], strict=True):
            steps = np.linspace(0.0, 1.0, 1 + max(1, int(np.ceil(length / _SAMPLE_KM))))[:-1]
            longitudes.append(edge[0] + steps * (edge[2] - edge[0]))
            latitudes.append(edge[1] + steps * (edge[3] - edge[1]))
            codes.append(np.full(len(steps), outline.code))
    points = unit_vectors(np.concatenate(latitudes), np.concatenate(longitudes))
    return cKDTree(points), np.concatenate(codes)


def unit_vectors(latitudes_deg: ArrayLike, longitudes_deg: ArrayLike) -> FloatArray:
    """Positions on the unit sphere, shape (N, 3), for trees of nearest neighbours: a chord c is 2 asin(c / 2) away."""
    phi, lam = np.radians(np.asarray(latitudes_deg, dtype=float)), np.radians(np.asarray(longitudes_deg, dtype=float))
    return np.stack([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)], axis=-1)


def chord(distance_km: float) -> float:
    """Straight line through the unit sphere between positions ``distance_km`` (at most half the globe) apart."""
    return float(2.0 * np.sin(min(distance_km / EARTH_RADIUS_KM, np.pi) / 2.0))
