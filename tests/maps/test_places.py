"""Country, continent and climate of true places."""

from __future__ import annotations

import time

import numpy as np

from geor1.maps.places import true_places
from geor1.world.layers import country_outlines


def test_label_first_then_outline_then_unknown(geolocation):
    rows = [
        geolocation(truth=(48.85, 2.35), true_country="USA"),  # a label that contradicts the coordinate stands
        geolocation(truth=(48.85, 2.35), true_country=None),
        geolocation(truth=(55.0, 82.9), true_country="Russian Federation"),
        geolocation(truth=(0.0, -30.0), true_country="Atlantis"),
        geolocation(truth=None, true_country="Czech Republic"),
        geolocation(truth=None, true_country=None),
    ]
    places = true_places(rows)
    assert places.country == ["United States", "France", "Russia", "unknown", "Czechia", "unknown"]
    assert places.continent == ["North America", "Europe", "Asia", "unknown", "Europe", "unknown"]
    assert places.climate[:3] == ["temperate", "temperate", "continental"] and places.climate[4:] == ["unknown"] * 2
    assert places.koppen[:3] == ["Cfb", "Cfb", "Dfb"] and places.koppen[4:] == ["unknown"] * 2


def test_countries_join_the_outlines(geolocation):
    features = [feature["properties"] for feature in country_outlines()["features"]]
    names = {entry["name"] for entry in features if entry["kind"] == "country" and entry.get("code")}
    rows = [geolocation(truth=None, true_country=name) for name in sorted(names)]
    assert set(true_places(rows).country) == names


def test_nothing_and_a_hundred_thousand(geolocation):
    assert true_places([]).country == []
    random = np.random.default_rng(0)
    points = zip(random.uniform(-60, 75, 100_000), random.uniform(-180, 180, 100_000), strict=True)
    rows = [geolocation(truth=(float(lat), float(lon)), true_country=None) for lat, lon in points]
    start = time.process_time()
    places = true_places(rows)
    assert time.process_time() - start < 8.0
    assert 0.2 < np.mean(np.array(places.country) != "unknown") < 0.5  # land
