"""Distances on the ellipsoid against GeographicLib's, everywhere and at the awkward places."""

from __future__ import annotations

import numpy as np
import pytest
from geographiclib.geodesic import Geodesic
from hypothesis import given
from hypothesis import strategies as st

from geor1.geodesy import geodesic_km

latitudes = st.floats(-90, 90)
longitudes = st.floats(-360, 360)


def exact_km(lat1: float, lon1: float, lat2: float, lon2: float) -> float:
    return Geodesic.WGS84.Inverse(lat1, lon1, lat2, lon2, Geodesic.DISTANCE)["s12"] / 1000


@pytest.mark.parametrize(
    "places",
    [
        (0, 0, 1, 0),  # a degree of latitude at the equator, 110.574 km
        (89, 0, 90, 77),  # and at the pole, 111.694 km
        (52.5, 179.9, 52.5, -179.9),  # over the antimeridian
        (90, 0, -90, 123),
        (48.8566, 2.3522, 48.8567, 2.3523),
        (48.8566, 2.3522, 40.7128, -74.006),
        (-33.8688, 151.2093, 41.9, 12.5),
        (0, 0, 0, 180),  # the shortest path leaves over a pole
        (0.5, 0, -0.5, 179.7),
        (30.0, 0.0, -29.9, 179.9),
    ],
)
def test_known_places(places: tuple[float, float, float, float]) -> None:
    lat1, lon1, lat2, lon2 = places
    assert geodesic_km(lat1=lat1, lon1=lon1, lat2=lat2, lon2=lon2) == pytest.approx(exact_km(*places), abs=2e-6)


@given(latitudes, longitudes, latitudes, longitudes)
def test_anywhere_to_some_millimetres(lat1: float, lon1: float, lat2: float, lon2: float) -> None:
    there = float(geodesic_km(lat1=lat1, lon1=lon1, lat2=lat2, lon2=lon2))
    exact = exact_km(lat1, lon1, lat2, lon2)
    assert there == pytest.approx(exact, abs=5e-6)
    assert there == pytest.approx(float(geodesic_km(lat1=lat2, lon1=lon2, lat2=lat1, lon2=lon1)), abs=5e-6)


def test_arrays_broadcast_and_bad_places_are_named() -> None:
    grid = geodesic_km(lat1=np.zeros((3, 1)), lon1=0, lat2=np.array([0, 45, 90]), lon2=0)
    assert grid.shape == (3, 3) and grid[0, 0] == 0
    with pytest.raises(ValueError, match=r"lat2=91.*swapped"):
        geodesic_km(lat1=0, lon1=0, lat2=91, lon2=0)
