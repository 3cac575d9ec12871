"""Scenes: reproducible, apart from each other, and told apart by their directions."""

import itertools

import pytest

from geor1.geodesy import haversine_km
from geor1.world.gazetteer import cities
from geor1.world.scene import (
    DIRECTIONS,
    FEATURES,
    MIN_DIFFERENT_DIRECTIONS,
    MIN_SEPARATION_M,
    NEIGHBOURHOOD_RADIUS_M,
    different_directions,
    feature_weights,
    neighbourhood,
)


def test_the_same_city_and_seed_give_the_same_scenes_whatever_their_number():
    city = cities()[0]
    assert neighbourhood(city, 12, 3)[:5] == neighbourhood(city, 5, 3)
    assert neighbourhood(city, 5, 3) != neighbourhood(city, 5, 4)


@pytest.mark.parametrize("index", [0, 100, 200, -1])
def test_scenes_of_a_neighbourhood_are_apart_and_distinct(index):
    city = cities()[index]
    scenes = neighbourhood(city, 24, 0)
    for first, second in itertools.combinations(scenes, 2):
        apart_km = haversine_km(
            lat1=first.latitude_deg,
            lon1=first.longitude_deg,
            lat2=second.latitude_deg,
            lon2=second.longitude_deg,
        )
        assert apart_km * 1000 >= MIN_SEPARATION_M
        assert different_directions(first.features, second.features) >= MIN_DIFFERENT_DIRECTIONS
    for scene in scenes:
        off_km = haversine_km(
            lat1=scene.latitude_deg,
            lon1=scene.longitude_deg,
            lat2=city.latitude_deg,
            lon2=city.longitude_deg,
        )
        assert off_km * 1000 <= NEIGHBOURHOOD_RADIUS_M


def test_facts_name_directions_and_geography():
    scene = neighbourhood(cities()[0], 1, 0)[0]
    assert tuple(scene.facts[direction] for direction in DIRECTIONS) == scene.features
    assert set(scene.features) <= set(FEATURES)
    assert scene.facts["traffic"] == scene.city.driving_side
    assert scene.facts["hemisphere"] == ("north" if scene.latitude_deg >= 0 else "south")


def test_every_feature_can_occur_everywhere_and_the_coast_brings_water():
    water = FEATURES.index("water")
    by_coast = {"yes": [], "no": []}
    for city in cities():
        scene = neighbourhood(city, 1, 0)[0]
        weights = feature_weights(scene.place, population=city.population)
        assert weights.sum() == pytest.approx(1.0)
        assert weights.min() >= 0.08
        by_coast[scene.place.coast].append(weights[water])
    assert min(by_coast["yes"]) > sum(by_coast["no"]) / len(by_coast["no"])


def test_too_many_scenes_are_refused():
    with pytest.raises(ValueError, match="n=61: expected 1 to 60"):
        neighbourhood(cities()[0], 61, 0)
