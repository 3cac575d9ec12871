"""Country outlines that a flat map can draw: every ring cut where it crosses the antimeridian."""

from __future__ import annotations

import functools
import itertools
from typing import Any

Ring = list[list[float]]


@functools.cache
def natural_earth() -> dict[str, Any]:
    """The package's land and country outlines, cut at ±180°, as GeoJSON with longitude first."""
    from geor1.world.layers import country_outlines

    return cut_at_antimeridian(country_outlines())


def cut_at_antimeridian(outlines: dict[str, Any]) -> dict[str, Any]:
    """Cut polygons whose rings run across ±180° (Russia, Fiji) or around a pole (Antarctica) into flat pieces.

    Args:
        outlines: GeoJSON FeatureCollection of Polygons and MultiPolygons, [longitude, latitude] in degrees.

    Returns:
        A FeatureCollection of MultiPolygons whose longitudes lie in [-180, 180] and never jump. Other geometries are
        left out. What needs no cut comes back with the same coordinates.

    Raises:
        ValueError: Not a FeatureCollection.
    """
    if outlines.get("type") != "FeatureCollection" or not isinstance(outlines.get("features"), list):
        raise ValueError(f"outlines: expected a GeoJSON FeatureCollection, got type {outlines.get('type')!r}")
    features = []
    for feature in outlines["features"]:
        geometry = feature.get("geometry") or {}
        polygons = {"Polygon": [geometry.get("coordinates")], "MultiPolygon": geometry.get("coordinates")}.get(
            geometry.get("type", ""), []
        )
        pieces = [piece for polygon in polygons for piece in _cut_polygon(polygon)]
        features.append(
            {
                "type": "Feature",
                "properties": feature.get("properties") or {},
                "geometry": {"type": "MultiPolygon", "coordinates": pieces},
            }
        )
    return {"type": "FeatureCollection", "features": features}


def rings(outlines: dict[str, Any]) -> list[tuple[str, Ring]]:
    """All rings of cut outlines as (``land`` or ``country``, [[longitude, latitude], …])."""
    return [
        (str(feature["properties"].get("kind", "country")), ring)
        for feature in outlines["features"]
        for polygon in feature["geometry"]["coordinates"]
        for ring in polygon
    ]


def _cut_polygon(polygon: list[Ring]) -> list[list[Ring]]:
    if not any(abs(a[0] - b[0]) > 180 for ring in polygon for a, b in itertools.pairwise(ring)):
        return [polygon]
    unwrapped = [_unwrap(ring) for ring in polygon]
    pieces = []
    for shift in (-360.0, 0.0, 360.0):
        cut = [_clip(_clip(ring, -180.0 + shift, +1), 180.0 + shift, -1) for ring in unwrapped]
        kept = [[[lon - shift, lat] for lon, lat in ring] for ring in cut if len(ring) >= 4]
        if kept:
            pieces.append(kept)
    return pieces


def _unwrap(ring: Ring) -> Ring:
    """The ring without jumps, longitudes beyond ±180 allowed; one that circles a pole is closed along the pole."""
    points = [[ring[0][0], ring[0][1]]]
    for lon, lat in ring[1:]:
        turns = round((points[-1][0] - lon) / 360.0)
        points.append([lon + 360.0 * turns, lat])
    if abs(points[-1][0] - points[0][0]) > 180.0:
        pole = 90.0 if sum(lat for _, lat in points) > 0 else -90.0
        points += [[points[-1][0], pole], [points[0][0], pole], points[0]]
    return points


def _clip(ring: Ring, edge: float, side: int) -> Ring:
    """The part of a closed ring with side * (longitude - edge) >= 0 (Sutherland and Hodgman, 1974)."""
    kept: Ring = []
    for (lon_a, lat_a), (lon_b, lat_b) in itertools.pairwise(ring):
        inside_a, inside_b = side * (lon_a - edge) >= 0, side * (lon_b - edge) >= 0
        if inside_a:
            kept.append([lon_a, lat_a])
        if inside_a != inside_b:
            kept.append([edge, lat_a + (edge - lon_a) / (lon_b - lon_a) * (lat_b - lat_a)])
    if kept:
        kept.append(kept[0])
    return kept
