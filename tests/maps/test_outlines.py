"""Outlines cut at the antimeridian."""

from __future__ import annotations

import itertools

import pytest

from geor1.maps.outlines import cut_at_antimeridian, natural_earth, rings


def collection(*polygons):
    geometry = {"type": "MultiPolygon", "coordinates": list(polygons)}
    return {
        "type": "FeatureCollection",
        "features": [{"type": "Feature", "properties": {"kind": "land"}, "geometry": geometry}],
    }


def area(ring):
    return abs(sum(a[0] * b[1] - b[0] * a[1] for a, b in itertools.pairwise(ring))) / 2


def test_what_needs_no_cut_is_unchanged(outlines):
    ((_, ring),) = rings(cut_at_antimeridian(outlines))
    assert ring == outlines["features"][0]["geometry"]["coordinates"][0]


def test_a_square_across_the_antimeridian_becomes_two_halves():
    square = [[170.0, 0.0], [-170.0, 0.0], [-170.0, 10.0], [170.0, 10.0], [170.0, 0.0]]
    pieces = [ring for _, ring in rings(cut_at_antimeridian(collection([square])))]
    spans = sorted((min(p[0] for p in ring), max(p[0] for p in ring)) for ring in pieces)
    assert spans == [(-180.0, -170.0), (170.0, 180.0)]
    assert [area(ring) for ring in pieces] == [100.0, 100.0]


def test_a_ring_around_the_pole_is_closed_along_it():
    ring = [[float(lon), -70.0] for lon in range(-180, 181, 30)]
    ring = [*ring[3:], *ring[1:4]]  # starts elsewhere, runs across
    (_, cut), *more = rings(cut_at_antimeridian(collection([ring])))
    assert sum(area(piece) for piece in [cut, *(piece for _, piece in more)]) == pytest.approx(360.0 * 20.0)


def test_natural_earth_covers_the_land_it_should():
    land = sum(area(ring) for kind, ring in rings(natural_earth()) if kind == "land")
    assert 0.30 < land / (360 * 180) < 0.40  # a third of the plate carrée, Antarctica being stretched


def test_not_a_collection():
    with pytest.raises(ValueError, match="expected a GeoJSON FeatureCollection, got type 'Feature'"):
        cut_at_antimeridian({"type": "Feature"})
