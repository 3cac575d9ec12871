"""Negatives: hand-computed distances first, then what must hold of every draw."""

from __future__ import annotations

import collections
import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geor1.synthesis.negative_rule import NegativeRule
from geor1.synthesis.negatives import NegativesError, Neighbourhoods

from .hand_made import line_of_places, place

WIDE = NegativeRule(min_separation_m=120.0, max_radius_m=4000.0)


def draw(hood: Neighbourhoods, number: int, count: int, seed: int = 0) -> list[tuple[int, float | None]]:
    return hood.choose(number, count, np.random.default_rng(seed))


def test_distances_are_those_of_the_ruler() -> None:
    chosen = dict(draw(Neighbourhoods(line_of_places(), WIDE), 0, 7))
    assert {number: pytest.approx(200.0 * number, abs=0.1) for number in range(1, 8)} == chosen


def test_too_near_and_too_far_places_never_qualify() -> None:
    rule = NegativeRule(min_separation_m=250.0, max_radius_m=650.0)
    hood = Neighbourhoods(line_of_places(), rule)
    assert {number for seed in range(50) for number, _ in draw(hood, 3, 2, seed)} == {0, 1, 5, 6}


def test_too_few_negatives_say_what_to_change() -> None:
    hood = Neighbourhoods(line_of_places(), NegativeRule(min_separation_m=250.0, max_radius_m=450.0))
    with pytest.raises(NegativesError, match=r"hand/Quito-0.*needs 4 negatives, found 1 .*250 to 450 m.*max_radius_m"):
        draw(hood, 0, 4)


def test_same_arrangement_is_never_a_negative() -> None:
    twin = place(99, north_m=900.0, words="water forest houses towers")
    hood = Neighbourhoods([*line_of_places(), twin], WIDE)
    assert 8 not in {number for number, _ in draw(hood, 0, 7)}
    with pytest.raises(NegativesError):
        draw(hood, 0, 8)


def test_other_split_and_other_source_are_no_neighbours() -> None:
    others = [
        *line_of_places(split="test", city="Loja"),
        *(dataclasses.replace(pair, source="other") for pair in line_of_places(city="Cuenca")),
    ]
    hood = Neighbourhoods([*line_of_places(), *others], WIDE)
    assert len(hood.eligible(0)[0]) == 7


@pytest.mark.parametrize(("difficulty", "expected"), [("hard", {1, 2}), ("easy", {4, 5, 6, 7})])
def test_difficulty_orders_by_shared_directions(difficulty: str, expected: set[int]) -> None:
    hood = Neighbourhoods(line_of_places(), dataclasses.replace(WIDE, difficulty=difficulty))
    seen = {number for seed in range(40) for number, _ in draw(hood, 0, 2, seed)}
    assert seen == expected


def test_without_positions_the_source_is_the_neighbourhood() -> None:
    pairs = [
        dataclasses.replace(pair, latitude_deg=None, longitude_deg=None, facts={}) for pair in line_of_places()[:5]
    ]
    chosen = draw(Neighbourhoods(pairs, WIDE), 2, 4)
    assert sorted(number for number, _ in chosen) == [0, 1, 3, 4]
    assert {distance for _, distance in chosen} == {None}
    with pytest.raises(NegativesError, match="without position"):
        draw(Neighbourhoods(pairs, WIDE), 2, 5)


@pytest.mark.parametrize(("longitude", "latitude"), [(180.0, 0.0), (0.0, 89.9999)])
def test_antimeridian_and_pole(longitude: float, latitude: float) -> None:
    pairs = line_of_places()[:3]
    other = -179.998 if longitude == 180.0 else 180.0
    moved = [
        dataclasses.replace(pairs[0], latitude_deg=latitude, longitude_deg=longitude),
        dataclasses.replace(pairs[1], latitude_deg=latitude - 0.002, longitude_deg=other),
    ]
    assert [number for number, _ in draw(Neighbourhoods(moved, WIDE), 0, 1)] == [1]


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 3000), st.floats(0, 3000)), min_size=6, max_size=30, unique=True),
    st.integers(0, 2**16),
)
def test_every_draw_keeps_the_rule(offsets: list[tuple[float, float]], seed: int) -> None:
    base = place(0, north_m=0.0, words="sand sand sand sand")
    pairs = [
        dataclasses.replace(
            base,
            pair_id=str(k),
            satellite_image=str(k),
            latitude_deg=north / 111_195.0,
            longitude_deg=east / 111_195.0,
            facts={},
        )
        for k, (north, east) in enumerate(offsets)
    ]
    rule = NegativeRule(min_separation_m=300.0, max_radius_m=1500.0)
    hood = Neighbourhoods(pairs, rule)
    for number in range(len(pairs)):
        eligible = len(hood.eligible(number)[0])
        near = [np.hypot(a - offsets[number][0], b - offsets[number][1]) for a, b in offsets]
        assert sum(301 < d < 1499 for d in near) <= eligible <= sum(299 < d < 1501 for d in near)
        most = max(count for count in range(4) if hood.enough(number, count))
        assert min(1, eligible) <= most <= eligible
        chosen = draw(hood, number, most, seed)
        assert len({other for other, _ in chosen} - {number}) == len(chosen) == most
        for (one, _), (other, _) in itertools.combinations(chosen, 2):
            assert np.hypot(*np.subtract(offsets[one], offsets[other])) >= 299.5
        assert all(299.9 <= distance <= 1500.1 for _, distance in chosen if distance is not None)


def test_wrong_tiles_keep_apart_from_each_other() -> None:
    # Nine places 1 km and more away, seven of them one crossroads: the seven are one negative.
    crossroads = [place(k, north_m=1000.0 + 5.0 * k, words=f"{k} {k} {k} {k}") for k in range(1, 8)]
    alone = [place(8, north_m=2000.0, words="8 8 8 8"), place(9, north_m=-1500.0, words="9 9 9 9")]
    hood = Neighbourhoods([place(0, north_m=0.0, words="0 0 0 0"), *crossroads, *alone], WIDE)
    seen = collections.Counter(other for seed in range(300) for other, _ in draw(hood, 0, 3, seed))
    assert seen[8] == seen[9] == sum(seen[k] for k in range(1, 8)) == 300
    assert min(seen[k] for k in range(1, 8)) > 20  # 43 expected, standard deviation 6
    assert hood.count(0) == 9 and hood.enough(0, 3) and not hood.enough(0, 4)
    with pytest.raises(NegativesError, match=r"needs 4 negatives, found 3 .*120 m from each other"):
        draw(hood, 0, 4)


def test_where_the_first_drawn_stands_in_the_way_another_set_is_found() -> None:
    # The middle one of three overlaps both others: whoever draws it first finds no second.
    pairs = [place(k, north_m=north, words=f"{k} {k} {k} {k}") for k, north in enumerate((0.0, 900.0, 1000.0, 1100.0))]
    hood = Neighbourhoods(pairs, WIDE)
    drawn = [draw(hood, 0, 2, seed) for seed in range(60)]
    assert {frozenset(number for number, _ in one) for one in drawn} == {frozenset({1, 3})}
    assert {one[0][0] for one in drawn} == {1, 3}


def test_draw_is_even_and_seeded() -> None:
    hood = Neighbourhoods(line_of_places(), WIDE)
    assert draw(hood, 4, 3, seed=5) == draw(hood, 4, 3, seed=5)
    counts = collections.Counter(number for seed in range(700) for number, _ in draw(hood, 4, 2, seed))
    assert set(counts) == {0, 1, 2, 3, 5, 6, 7}
    assert min(counts.values()) > 150 and max(counts.values()) < 250  # 200 expected, standard deviation 12


@pytest.mark.parametrize(
    "wrong", [{"min_separation_m": 500.0, "max_radius_m": 400.0}, {"min_separation_m": -1.0}, {"difficulty": "brutal"}]
)
def test_nonsense_rules_are_refused(wrong: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        NegativeRule(**wrong)
