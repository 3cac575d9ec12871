"""Geodesy: hand-computed values first, then properties, then real benchmark files."""

import csv
import math
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from geor1.evaluation.columns import cell_clusters
from geor1.geodesy import (
    EARTH_RADIUS_KM,
    cell_label,
    destination,
    geoscore,
    great_circle_points,
    haversine_km,
    initial_bearing_deg,
    normalize_longitude_deg,
)

REAL_DATA = Path(os.environ.get("GEOR1_REAL_DATA", Path(__file__).parents[2] / "shared" / "data"))
QUARTER_KM = math.pi / 2 * EARTH_RADIUS_KM  # pole to equator
HALF_KM = math.pi * EARTH_RADIUS_KM

latitudes = st.floats(-90, 90)
longitudes = st.floats(-180, 180)


def distance(a: tuple[float, float], b: tuple[float, float]) -> float:
    return float(haversine_km(lat1=a[0], lon1=a[1], lat2=b[0], lon2=b[1]))


@pytest.mark.parametrize(
    ("a", "b", "km"),
    [
        ((0, 0), (0, 0), 0.0),
        ((0, 0), (0, 90), QUARTER_KM),
        ((0, 0), (90, 0), QUARTER_KM),
        ((0, 12), (-90, 77), QUARTER_KM),
        ((90, 0), (90, 123), 0.0),  # one pole, two meridians
        ((90, 0), (-90, 50), HALF_KM),
        ((0, 0), (0, 180), HALF_KM),
        ((45, 30), (-45, -150), HALF_KM),
        ((0, 179.5), (0, -179.5), HALF_KM / 180),  # across the antimeridian
        ((10, 180), (10, -180), 0.0),
        ((60, 0), (60, 180), HALF_KM / 3),  # over the pole: 30° + 30°
        ((0, 0), (45, 90), QUARTER_KM),  # cos c = cos 45° cos 90° = 0
        ((0, 0), (60, 60), EARTH_RADIUS_KM * math.acos(0.25)),  # cos c = cos 60° cos 60°
    ],
)
def test_distance_by_hand(a: tuple[float, float], b: tuple[float, float], km: float) -> None:
    assert distance(a, b) == pytest.approx(km, abs=1e-9)


@pytest.mark.parametrize("metres", [1e-3, 1.0, 100.0])
@pytest.mark.parametrize("latitude", [0.0, 51.5, -89.0])
def test_short_distances_keep_their_digits(latitude: float, metres: float) -> None:
    step_deg = math.degrees(metres / 1000 / EARTH_RADIUS_KM)
    assert distance((latitude, 7.0), (latitude + step_deg, 7.0)) == pytest.approx(metres / 1000, rel=1e-5)


@pytest.mark.parametrize("metres", [1.0, 10.0])
def test_nearly_antipodal_distances_keep_their_digits(metres: float) -> None:
    step_deg = math.degrees(metres / 1000 / EARTH_RADIUS_KM)
    assert HALF_KM - distance((20, 30), (-20 + step_deg, -150)) == pytest.approx(metres / 1000, rel=1e-5)


def test_distance_broadcasts() -> None:
    table = haversine_km(lat1=np.array([[0.0], [90.0]]), lon1=0.0, lat2=np.array([0.0, 45.0, 90.0]), lon2=0.0)
    np.testing.assert_allclose(table / QUARTER_KM, [[0, 0.5, 1], [1, 0.5, 0]], atol=1e-12)


def test_positions_must_be_named() -> None:
    with pytest.raises(TypeError):
        haversine_km(1, 2, 3, 4)  # type: ignore[misc]


def test_swapped_coordinates_are_named() -> None:
    with pytest.raises(ValueError, match=r"lat1=121\.47 is outside \[-90, 90\]; are latitude and longitude swapped\?"):
        haversine_km(lat1=121.47, lon1=31.2, lat2=0, lon2=0)
    with pytest.raises(ValueError, match="lon2: expected finite numbers"):
        haversine_km(lat1=0, lon1=0, lat2=0, lon2=math.nan)


@given(latitudes, longitudes, latitudes, longitudes)
@example(0.0, 0.0, 0.0, 180.0)
def test_distance_is_symmetric_and_bounded(lat1: float, lon1: float, lat2: float, lon2: float) -> None:
    there, back = distance((lat1, lon1), (lat2, lon2)), distance((lat2, lon2), (lat1, lon1))
    assert there == pytest.approx(back, abs=1e-9)
    assert 0.0 <= there <= HALF_KM + 1e-9
    assert distance((lat1, lon1), (lat1, lon1)) == 0.0


@given(latitudes, longitudes, latitudes, longitudes, latitudes, longitudes)
def test_triangle_inequality(lat1: float, lon1: float, lat2: float, lon2: float, lat3: float, lon3: float) -> None:
    a, b, c = (lat1, lon1), (lat2, lon2), (lat3, lon3)
    assert distance(a, c) <= distance(a, b) + distance(b, c) + 1e-6


@given(latitudes, longitudes, latitudes, longitudes, st.integers(-3, 3))
def test_distance_ignores_full_turns(lat1: float, lon1: float, lat2: float, lon2: float, turns: int) -> None:
    turned = distance((lat1, lon1 + 360 * turns), (lat2, lon2))
    assert turned == pytest.approx(distance((lat1, lon1), (lat2, lon2)), abs=1e-6)


@pytest.mark.parametrize(
    ("a", "b", "bearing"),
    [
        ((0, 0), (1, 0), 0),
        ((0, 0), (0, 1), 90),
        ((0, 0), (-1, 0), 180),
        ((0, 0), (0, -1), 270),
        ((0, 179), (0, -179), 90),  # the short way round
        ((60, 0), (60, 180), 0),  # over the pole
        ((50, 10), (50, 10), 0),
        ((0, 0), (45, 90), 45),  # tan b = sin 90° cos 45° / sin 45° = 1
        ((90, 0), (0, 90), 90),  # at the pole, north means along the given meridian
    ],
)
def test_bearing_by_hand(a: tuple[float, float], b: tuple[float, float], bearing: float) -> None:
    assert float(initial_bearing_deg(lat1=a[0], lon1=a[1], lat2=b[0], lon2=b[1])) == pytest.approx(bearing, abs=1e-9)


@pytest.mark.parametrize(
    ("start", "bearing", "km", "end"),
    [
        ((0, 0), 90, QUARTER_KM, (0, 90)),
        ((0, 0), 0, QUARTER_KM / 2, (45, 0)),
        ((0, 170), 90, HALF_KM / 9, (0, -170)),
        ((80, 0), 0, HALF_KM / 9, (80, 180)),  # over the pole
        ((-90, 0), 0, QUARTER_KM, (0, 0)),
        ((12, 34), 270, 0, (12, 34)),
        ((10, 0), 0, -HALF_KM / 18, (0, 0)),
    ],
)
def test_destination_by_hand(start: tuple[float, float], bearing: float, km: float, end: tuple[float, float]) -> None:
    latitude, longitude = destination(
        latitude_deg=start[0], longitude_deg=start[1], bearing_deg=bearing, distance_km=km
    )
    assert distance((float(latitude), float(longitude)), end) == pytest.approx(0.0, abs=1e-6)
    assert -180 <= longitude <= 180


@given(st.floats(-89.9, 89.9), longitudes, st.floats(0, 359.999), st.floats(0.001, 19000))
def test_destination_undoes_distance_and_bearing(lat: float, lon: float, bearing: float, km: float) -> None:
    latitude, longitude = destination(latitude_deg=lat, longitude_deg=lon, bearing_deg=bearing, distance_km=km)
    assert distance((lat, lon), (float(latitude), float(longitude))) == pytest.approx(km, abs=1e-6)
    found = float(initial_bearing_deg(lat1=lat, lon1=lon, lat2=latitude, lon2=longitude))
    turn = abs((found - bearing + 180) % 360 - 180)
    assert turn * min(math.sin(km / EARTH_RADIUS_KM), 1) * EARTH_RADIUS_KM * math.pi / 180 < 1e-6  # km sideways


def test_arc_without_crossing_is_one_segment() -> None:
    (segment,) = great_circle_points(lat1=0, lon1=0, lat2=0, lon2=90, n=4)
    np.testing.assert_allclose(segment, [[0, 0], [0, 30], [0, 60], [0, 90]], atol=1e-12)


def test_arc_bends_towards_the_pole() -> None:
    (segment,) = great_circle_points(lat1=45, lon1=0, lat2=45, lon2=90, n=3)
    np.testing.assert_allclose(segment[1], [math.degrees(math.atan(math.sqrt(2))), 45], atol=1e-9)


@pytest.mark.parametrize(("lon1", "lon2"), [(170, -170), (-170, 170), (530, 190)])
def test_arc_is_cut_at_the_antimeridian(lon1: float, lon2: float) -> None:
    first, second = great_circle_points(lat1=10, lon1=lon1, lat2=-10, lon2=lon2, n=11)
    assert first[-1, 1] == -second[0, 1] and abs(first[-1, 1]) == 180
    assert first[-1, 0] == second[0, 0] == pytest.approx(0, abs=1e-9)
    for segment in (first, second):
        assert np.abs(np.diff(segment[:, 1])).max() < 10


def test_arc_between_antipodes_leaves_northwards() -> None:
    points = np.vstack(great_circle_points(lat1=0, lon1=0, lat2=0, lon2=180, n=5))
    assert points[:, 0].max() == pytest.approx(90)
    np.testing.assert_allclose(np.abs(points[-1]), [0, 180])  # one meridian, two names


def test_arc_of_no_length() -> None:
    (segment,) = great_circle_points(lat1=5, lon1=180, lat2=5, lon2=180, n=3)
    np.testing.assert_allclose(np.abs(segment), [[5, 180]] * len(segment))


def test_arc_needs_two_points() -> None:
    with pytest.raises(ValueError, match="n=1: expected at least 2"):
        great_circle_points(lat1=0, lon1=0, lat2=0, lon2=1, n=1)


@given(latitudes, longitudes, latitudes, longitudes)
@example(0.0, 180.0, 0.0, -170.0)
@example(-90.0, 0.0, 90.0, 0.0)
@example(0.0, 180.0, 0.0, -180.0)
@example(80.0, -1.0, 80.0, 178.0)
def test_arc_lies_on_the_shortest_path(lat1: float, lon1: float, lat2: float, lon2: float) -> None:
    segments = great_circle_points(lat1=lat1, lon1=lon1, lat2=lat2, lon2=lon2, n=9)
    total = distance((lat1, lon1), (lat2, lon2))
    walked = 0.0
    for segment in segments:
        assert np.abs(segment[:, 0]).max() <= 90 and np.abs(segment[:, 1]).max() <= 180
        assert np.abs(np.diff(segment[:, 1])).max(initial=0) <= 180
        steps = haversine_km(lat1=segment[:-1, 0], lon1=segment[:-1, 1], lat2=segment[1:, 0], lon2=segment[1:, 1])
        walked += float(np.sum(steps))
    assert walked == pytest.approx(total, abs=1e-3)
    assert distance(tuple(segments[0][0]), (lat1, lon1)) < 1e-3
    assert distance(tuple(segments[-1][-1]), (lat2, lon2)) < 1e-3


@pytest.mark.parametrize(
    ("given_deg", "expected_deg"), [(0, 0), (180, 180), (-180, -180), (190, -170), (-190, 170), (540, -180), (359, -1)]
)
def test_longitude_normalised_by_hand(given_deg: float, expected_deg: float) -> None:
    assert float(normalize_longitude_deg(given_deg)) == expected_deg


@given(st.floats(-1e6, 1e6))
def test_longitude_normalised_is_same_meridian(longitude_deg: float) -> None:
    wrapped = float(normalize_longitude_deg(longitude_deg))
    assert -180 <= wrapped <= 180
    assert math.cos(math.radians(wrapped - longitude_deg)) == pytest.approx(1)
    assert float(normalize_longitude_deg(wrapped)) == wrapped


def test_geoscore_by_hand() -> None:
    np.testing.assert_allclose(
        geoscore([0.0, 1492.7, 1492.7 * math.log(2), math.inf]), [5000, 5000 / math.e, 2500, 0], rtol=1e-12
    )


@pytest.mark.parametrize("bad", [-1.0, math.nan])
def test_geoscore_refuses_what_is_no_distance(bad: float) -> None:
    with pytest.raises(ValueError, match="expected values >= 0"):
        geoscore(bad)


@given(st.floats(0, 20000), st.floats(0, 20000))
def test_geoscore_falls_with_distance(a: float, b: float) -> None:
    assert (a <= b) == (geoscore(a) >= geoscore(b)) or math.isclose(a, b, rel_tol=1e-12, abs_tol=1e-9)


def columns(path: Path, *names: str) -> list[np.ndarray]:
    if not path.exists():
        pytest.skip(f"real data absent: {path} (set GEOR1_REAL_DATA)")
    with path.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if all(row[name] for name in names)]
    return [np.array([float(row[name]) for row in rows]) for name in names]


@pytest.mark.parametrize("suffix", ["", "_base"])
def test_osv5m_distances_and_scores(suffix: str) -> None:
    names = ["pred_lat", "pred_lon", "distance", "score"]
    path = REAL_DATA / "osv5m" / "select.csv"
    lat1, lon1, km, score, lat2, lon2 = columns(path, *(name + suffix for name in names), "true_lat", "true_lon")
    assert len(km) == 50
    np.testing.assert_allclose(haversine_km(lat1=lat1, lon1=lon1, lat2=lat2, lon2=lon2), km, rtol=1e-12)
    np.testing.assert_allclose(geoscore(km), score, rtol=1e-15)


@pytest.mark.parametrize("model", ["gpt-4o", "gemini-1.5-pro"])
def test_geoguess_distances(model: str) -> None:
    names = ("label_lat", "label_long", "predicted_lat", "predicted_long", "distance")
    lat1, lon1, lat2, lon2, km = columns(REAL_DATA / "geoguess" / f"{model}-full-bench.csv", *names)
    assert len(km) > 1500  # of 1,602: the rest have no readable prediction
    np.testing.assert_allclose(haversine_km(lat1=lat1, lon1=lon1, lat2=lat2, lon2=lon2), km, rtol=1e-9)


@given(st.floats(-89, 89), st.floats(-179, 179), st.floats(0, 0.0099))
def test_a_cell_is_a_hundredth_of_a_degree(latitude: float, longitude: float, step: float) -> None:
    def label(latitude_deg: float, longitude_deg: float) -> str:
        """The cell, and that arrays are cut alike."""
        label = cell_label(latitude_deg=latitude_deg, longitude_deg=longitude_deg)
        row, place = (int(part) for part in label.split(","))
        assert cell_clusters(latitude_deg=latitude_deg, longitude_deg=longitude_deg) == row * 36001 + place
        return label

    corner = (round(latitude, 2), round(longitude, 2))
    assert label(*corner) == label(corner[0] + step, corner[1] + step)
    assert label(*corner) != label(corner[0] + 0.0101, corner[1])


def test_cells_meet_at_the_antimeridian() -> None:
    west, east = (cell_label(latitude_deg=0.29, longitude_deg=side) for side in (-180.0, 180.0))
    assert west == east == "29,-18000"
    with pytest.raises(ValueError, match="size_deg=0"):
        cell_label(latitude_deg=0.0, longitude_deg=0.0, size_deg=0)
