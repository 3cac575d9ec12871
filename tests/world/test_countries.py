"""Country of a coordinate and of a name: by hand, against another implementation, against the gazetteer."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.path import Path as Polygon

from geor1.world.countries import _inside, countries_at
from geor1.world.gazetteer import cities
from geor1.world.regions import M49, SMALL, continent, country_code, country_names, subregion

PLACES = {
    "London": (51.5074, -0.1278, "GB"), "Montreal": (45.5019, -73.5674, "CA"), "Quito": (-0.18, -78.47, "EC"),
    "Maseru, inside South Africa": (-29.31, 27.48, "LS"), "Singapore": (1.29, 103.85, "SG"),
    "Johor Bahru": (1.4927, 103.7414, "MY"), "Hong Kong": (22.2783, 114.1747, "HK"),
    "Shenzhen": (22.5431, 114.0579, "CN"),
    "Las Palmas": (28.12, -15.43, "ES"), "Funchal": (32.65, -16.91, "PT"), "Cayenne": (4.94, -52.33, "GF"),
    "Honolulu": (21.31, -157.86, "US"), "Valletta": (35.90, 14.51, "MT"), "Hargeisa": (9.56, 44.06, "SO"),
}  # fmt: skip


@pytest.mark.parametrize("name", PLACES)
def test_places_known_by_everyone(name: str) -> None:
    latitude, longitude, code = PLACES[name]
    assert countries_at([latitude], [longitude]) == [code]


def test_antimeridian_poles_and_open_sea() -> None:
    # Chukotka lies on both sides of 180°, and on it; so does Fiji.
    assert countries_at([66.0, 66.0, 66.0, 66.0, 66.0], [179.9, -179.9, 180.0, -180.0, 540.0]) == ["RU"] * 5
    assert countries_at([-16.8, -16.6, -17.8], [-179.9, 180.0, 178.0]) == ["FJ"] * 3
    assert countries_at([-90.0, -90.0, -89.9, 90.0], [0.0, 123.0, 77.0, 0.0]) == ["AQ", "AQ", "AQ", None]
    assert countries_at([0.0, -78.0], [-30.0, 180.0]) == [None, None]  # Atlantic; the Ross Sea off the shelf
    assert countries_at([], []) == []


def test_the_coast_belongs_to_the_nearest_country_within_reach() -> None:
    off_lisbon = ([38.7], [-9.9])  # some 35 km out
    assert countries_at(*off_lisbon) == ["PT"]
    assert countries_at(*off_lisbon, tolerance_km=5.0) == [None]
    assert countries_at([38.7], [-11.5]) == [None]  # 170 km out


def test_bad_coordinates_are_refused() -> None:
    with pytest.raises(ValueError, match="swapped"):
        countries_at([121.47], [31.23])
    with pytest.raises(ValueError, match="1 latitudes and 2 longitudes"):
        countries_at([1.0], [2.0, 3.0])
    with pytest.raises(ValueError, match="finite"):
        countries_at([1.0], [float("nan")])


def test_gazetteer_cities_agree() -> None:
    listed = cities()
    found = countries_at([city.latitude_deg for city in listed], [city.longitude_deg for city in listed])
    wrong = {city.name for city, code in zip(listed, found, strict=True) if code != city.country_code}
    print(f"{len(listed) - len(wrong)} of {len(listed)} gazetteer cities agree; not: {sorted(wrong)}")
    assert wrong == {"Beitbridge", "Mu-se", "Kasur", "Narva"}  # towns on a border river or line


def test_a_hundred_thousand_points_take_seconds() -> None:
    generator = np.random.default_rng(0)
    latitudes = np.degrees(np.arcsin(generator.uniform(-1, 1, 100_000)))
    longitudes = generator.uniform(-180, 180, 100_000)
    start = time.process_time()
    found = countries_at(latitudes, longitudes)
    taken_s = time.process_time() - start
    print(f"100,000 points: {taken_s:.2f} s")
    assert taken_s < 10.0
    land = sum(code is not None for code in found) / len(found)
    assert 0.29 < land < 0.36  # 29 % of the globe is land; the coast's tolerance adds some
    sample = np.arange(0, 100_000, 997)  # order and company of the points do not matter
    alone = [countries_at([latitudes[i]], [longitudes[i]])[0] for i in sample]
    assert alone == [found[i] for i in sample]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000))
def test_inside_agrees_with_matplotlib(seed: int) -> None:
    generator = np.random.default_rng(seed)
    ring = generator.uniform(-50, 50, (7, 2))
    ring = np.vstack([ring, ring[:1]])
    points = generator.uniform(-60, 60, (200, 2))
    points = points[np.argsort(points[:, 1])]
    ours = _inside(points[:, 1], points[:, 0], np.hstack([ring[:-1], ring[1:]]))
    # Even-odd of a ring is the parity of the triangles of its fan; matplotlib alone would fill by winding.
    fan = [Polygon(np.array([ring[0], ring[i], ring[i + 1]])) for i in range(1, len(ring) - 2)]
    theirs = np.logical_xor.reduce([triangle.contains_points(points) for triangle in fan])
    assert (ours == theirs).all()


def test_a_point_on_a_shared_border_belongs_to_one_side() -> None:
    left = np.array([[0, 0, 1, 0], [1, 0, 1, 1], [1, 1, 0, 1], [0, 1, 0, 0]], dtype=float)
    right = left + np.array([1, 0, 1, 0])
    at = (np.array([0.0, 0.25, 0.5]), np.array([1.0, 1.0, 1.0]))
    assert (_inside(*at, left) ^ _inside(*at, right)).all()


def test_names() -> None:
    same = {
        "NL": ("Netherlands", "The Netherlands", " netherlands ", "NL"), "US": ("USA", "U.S.A.", "United States"),
        "CZ": ("Czech Republic", "Czechia"), "CI": ("Côte d'Ivoire", "Cote d’Ivoire", "Ivory Coast"),
        "CW": ("Curaçao", "Curacao"), "CD": ("Congo (Kinshasa)",), "FK": ("Falkland Islands (Islas Malvinas)",),
        "KR": ("Korea, South", "South Korea"), "MO": ("Macau",), "TR": ("Türkiye", "Turkey"), "BS": ("The Bahamas",),
    }  # fmt: skip
    for code, names in same.items():
        assert [country_code(name) for name in names] == [code] * len(names)
    for nothing in (None, "", "Unknown", "N/A", "Likely USA", "Ukraine/Russia/Belarus", "North America", "us"):
        assert country_code(nothing) is None


def test_m49_is_a_partition_that_covers_every_country() -> None:
    codes = [code for _, members in M49.values() for code in members.split()]
    assert len(codes) == len(set(codes)) == 250  # 249 codes of ISO 3166-1 and XK
    assert all(subregion(code) for code in country_names()) and set(SMALL) <= set(codes)
    assert subregion("KE") == "Eastern Africa" and subregion("MX") == "Central America" and subregion("??") is None


def test_continents_agree_with_the_gazetteer_but_for_cyprus_and_timor() -> None:
    differing = {
        city.country_code
        for city in cities()
        if continent(city.country_code, latitude_deg=city.latitude_deg, longitude_deg=city.longitude_deg)
        != city.continent
    }
    assert differing == {"CY", "TL"}  # Asia in M49
    assert continent("RU", latitude_deg=66.0, longitude_deg=-175.0) == "Asia"
    assert continent(None) is None
