"""The gazetteer: hand-checked cities, spread, and splits that share no neighbourhood."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pytest

from geor1.world.gazetteer import City, cities
from geor1.world.layers import CLIMATES, country_outlines, describe_place

CONTINENTS = {"Africa", "Asia", "Europe", "North America", "South America", "Oceania"}


def climate_of(city: City) -> str:
    return describe_place(latitude_deg=city.latitude_deg, longitude_deg=city.longitude_deg).climate


@pytest.mark.parametrize(
    ("name", "country", "continent", "side"),
    [
        ("Tokyo", "Japan", "Asia", "left"),
        ("Moscow", "Russia", "Europe", "right"),
        ("Novosibirsk", "Russia", "Asia", "right"),
        ("Alice Springs", "Australia", "Oceania", "left"),
        ("Nairobi", "Kenya", "Africa", "left"),
        ("Cairo", "Egypt", "Africa", "right"),
        ("Bangkok", "Thailand", "Asia", "left"),
        ("Kingston", "Jamaica", "North America", "left"),
        ("Paramaribo", "Suriname", "South America", "left"),
        ("Quito", "Ecuador", "South America", "right"),
        ("Amsterdam", "The Netherlands", "Europe", "right"),
        ("Dublin", "Ireland", "Europe", "left"),
        ("Mexico City", "Mexico", "North America", "right"),
    ],
)
def test_known_cities(name: str, country: str, continent: str, side: str) -> None:
    [city] = [city for city in cities() if city.name == name and city.country == country]
    assert (city.continent, city.driving_side) == (continent, side)


def test_one_driving_side_a_country() -> None:
    sides = {(city.country, city.driving_side) for city in cities()}
    assert len(sides) == len({country for country, _ in sides})


def test_counts_and_spread() -> None:
    chosen = cities()
    assert len(chosen) >= 240 and len({city.country_code for city in chosen}) >= 80
    assert {city.continent for city in chosen} == CONTINENTS
    assert max(Counter(city.country_code for city in chosen).values()) <= 10
    assert Counter(city.driving_side for city in chosen)["left"] >= 0.25 * len(chosen)
    assert sum(city.latitude_deg < 0 for city in chosen) >= 0.2 * len(chosen)
    populations = [city.population for city in chosen]
    assert 15_000 <= min(populations) < 20_000 and max(populations) > 10_000_000
    facts = [describe_place(latitude_deg=city.latitude_deg, longitude_deg=city.longitude_deg) for city in chosen]
    assert 0.3 < sum(fact.coast == "yes" for fact in facts) / len(facts) < 0.7
    assert min(Counter(fact.relief for fact in facts).values()) >= 60
    assert len({fact.koppen for fact in facts}) >= 18


def test_records_are_sound() -> None:
    chosen = cities()
    assert len({city.city_id for city in chosen}) == len(chosen)
    for city in chosen:
        assert re.fullmatch(r"[a-z0-9-]+", city.city_id), city
        assert re.fullmatch(r"[A-Z]{2}", city.country_code), city
        assert re.fullmatch(r"[A-Za-z]+( [A-Za-z]+)*", city.country), city  # plain words for a word-level tokenizer
        assert -60 < city.latitude_deg < 75 and -180 <= city.longitude_deg <= 180
        assert city.driving_side in ("left", "right") and city.split in ("train", "test")


def test_splits_are_disjoint_and_complete() -> None:
    train, test = cities("train"), cities("test")
    assert len(train) + len(test) == len(cities())
    assert not {city.city_id for city in train} & {city.city_id for city in test}
    assert 0.17 <= len(test) / len(cities()) <= 0.23
    for split in (train, test):
        assert {city.continent for city in split} == CONTINENTS
        assert {climate_of(city) for city in split} == set(CLIMATES.values())
        assert {city.driving_side for city in split} == {"left", "right"}
    assert {city.country for city in test} <= {city.country for city in train}


def test_cities_lie_100_km_apart() -> None:
    latitude, longitude = np.radians([(city.latitude_deg, city.longitude_deg) for city in cities()]).T
    across = np.cos(latitude)
    vectors = np.stack([across * np.cos(longitude), across * np.sin(longitude), np.sin(latitude)], axis=1)
    angle = np.arccos(np.clip(vectors @ vectors.T, -1, 1))
    np.fill_diagonal(angle, np.pi)
    assert angle.min() * 6371.0 >= 99.9


def test_country_names_agree_with_the_outlines() -> None:
    by_code = {
        feature["properties"]["code"]: feature["properties"]["name"]
        for feature in country_outlines()["features"]
        if feature["properties"]["kind"] == "country"
    }
    differing = {city.country for city in cities() if by_code.get(city.country_code, city.country) != city.country}
    assert not differing


def test_unknown_split_is_named() -> None:
    with pytest.raises(ValueError, match="train"):
        cities("validation")
