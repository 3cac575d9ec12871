"""Distances on other Earths than ours: quarter meridians and published geodesics, then the library that others use."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geor1.geodesy import geodesic_km, geoscore, haversine_km, onto_sphere

LATITUDES = st.floats(-90, 90)
LONGITUDES = st.floats(-180, 180)


def test_radius_scales_the_distance() -> None:
    quarter = haversine_km(lat1=0, lon1=0, lat2=0, lon2=90, radius_km=6378.137)
    assert quarter == pytest.approx(6378.137 * math.pi / 2, abs=1e-9)


def test_geodesic_by_hand() -> None:
    # One degree of the equator is an arc of the semi-major axis; the quarter meridian is 10,001.966 km.
    assert geodesic_km(lat1=0, lon1=10, lat2=0, lon2=11) == pytest.approx(6378.137 * math.pi / 180, abs=1e-9)
    assert geodesic_km(lat1=0, lon1=5, lat2=90, lon2=77) == pytest.approx(10001.9657293, abs=1e-6)
    assert geodesic_km(lat1=-90, lon1=0, lat2=90, lon2=0) == pytest.approx(2 * 10001.9657293, abs=1e-6)
    # From equator to equator, half-way round, the poles are nearer than the equator: WGS84 is flat there.
    assert geodesic_km(lat1=0, lon1=0, lat2=0, lon2=180) == pytest.approx(2 * 10001.9657293, abs=1e-6)
    assert geodesic_km(lat1=48.1, lon1=-3, lat2=48.1, lon2=-3) == 0.0


def test_geodesic_published() -> None:
    # Vincenty's and Rainsford's test line, in its WGS84 form (Karney 2013, table 2: an equatorial start, 19,989.83 km).
    assert geodesic_km(lat1=-30, lon1=0, lat2=29.9, lon2=179.8) == pytest.approx(19989.832827610, abs=1e-5)


def test_geodesic_agrees_with_geographiclib() -> None:
    geodesic = pytest.importorskip("geographiclib.geodesic").Geodesic.WGS84
    generator = np.random.default_rng(2)
    n = 600
    lat1, lat2 = generator.uniform(-90, 90, (2, n))
    lon1, lon2 = generator.uniform(-180, 180, (2, n))
    near_antipode, near = slice(0, 150), slice(150, 300)
    lat2[near_antipode] = np.clip(generator.normal(-lat1[near_antipode], 0.4), -90, 90)
    lon2[near_antipode] = lon1[near_antipode] + generator.normal(180, 0.4, 150)
    lat2[near] = np.clip(generator.normal(lat1[near], 1e-3), -90, 90)
    lon2[near] = generator.normal(lon1[near], 1e-3)
    ours = geodesic_km(lat1=lat1, lon1=lon1, lat2=lat2, lon2=lon2)
    theirs = [geodesic.Inverse(*line)["s12"] / 1000 for line in zip(lat1, lon1, lat2, lon2, strict=True)]
    assert np.abs(ours - theirs).max() < 1e-6  # a millimetre


@given(LATITUDES, LONGITUDES, LATITUDES, LONGITUDES)
def test_geodesic_is_symmetric_and_near_the_sphere(lat1: float, lon1: float, lat2: float, lon2: float) -> None:
    there = geodesic_km(lat1=lat1, lon1=lon1, lat2=lat2, lon2=lon2)
    back = geodesic_km(lat1=lat2, lon1=lon2, lat2=lat1, lon2=lon1)
    assert there == pytest.approx(back, abs=1e-6)
    assert there == pytest.approx(haversine_km(lat1=lat1, lon1=lon1, lat2=lat2, lon2=lon2), rel=0.006, abs=1e-6)


def test_geodesic_refuses_and_broadcasts() -> None:
    with pytest.raises(ValueError, match="swapped"):
        geodesic_km(lat1=91, lon1=0, lat2=0, lon2=0)
    assert geodesic_km(lat1=[[0.0], [1.0]], lon1=0, lat2=0, lon2=[0.0, 1.0, 2.0]).shape == (2, 3)


def test_onto_sphere_by_hand() -> None:
    latitude, longitude = onto_sphere(latitude_deg=[250.0, -91.0, 90.0, 45.0], longitude_deg=[0.0, 170.0, 3.0, 540.0])
    assert latitude.tolist() == [-70.0, -89.0, 90.0, 45.0]
    assert longitude.tolist() == [180.0, -10.0, 3.0, -180.0]


@given(st.floats(-400, 400), st.floats(-400, 400), LATITUDES, LONGITUDES)
def test_onto_sphere_keeps_the_unchecked_haversine(lat1: float, lon1: float, lat2: float, lon2: float) -> None:
    phi1, lam1, phi2, lam2 = map(math.radians, (lat1, lon1, lat2, lon2))
    h = math.sin((phi2 - phi1) / 2) ** 2 + math.cos(phi1) * math.cos(phi2) * math.sin((lam2 - lam1) / 2) ** 2
    latitude, longitude = onto_sphere(latitude_deg=lat1, longitude_deg=lon1)
    ours = haversine_km(lat1=latitude, lon1=longitude, lat2=lat2, lon2=lon2)
    assert math.sin(float(ours) / 6371 / 2) ** 2 == pytest.approx(h, abs=1e-9)


def test_geoscore_scale() -> None:
    assert geoscore(2000.0, scale_km=2000.0) == pytest.approx(5000 / math.e)
