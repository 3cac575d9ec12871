"""The neighbour index against brute force over all places, its rings and likeness, and how its time and memory grow."""

from __future__ import annotations

import collections
import dataclasses
import time
import tracemalloc

import numpy as np
import pytest

from geor1.geodesy import haversine_km
from geor1.records import Pair
from geor1.synthesis import negatives
from geor1.synthesis.bench import Size, made_up_pairs, measure
from geor1.synthesis.likeness import cosines
from geor1.synthesis.negative_rule import Band, NegativeRule
from geor1.synthesis.negatives import NegativesError, Neighbourhoods
from geor1.synthesis.questions import build_questions

from .hand_made import line_of_places, place

BANDS = (Band(120.0, 500.0, 0.5), Band(500.0, 4000.0, 0.5))


def pairs_at(latitudes: np.ndarray, longitudes: np.ndarray, **changes: object) -> list[Pair]:
    base = dataclasses.replace(place(0, north_m=0.0, words="sand sand sand sand"), facts={}, **changes)
    return [
        dataclasses.replace(
            base, pair_id=str(k), satellite_image=str(k), latitude_deg=float(lat), longitude_deg=float(lon)
        )
        for k, (lat, lon) in enumerate(zip(latitudes, longitudes, strict=True))
    ]


@pytest.mark.parametrize(
    ("latitude", "longitude"), [(0.0, 0.0), (48.8, 2.3), (90.0, 0.0), (-90.0, 0.0), (12.0, 180.0), (89.98, 180.0)]
)
@pytest.mark.parametrize("limits", [(120.0, 4000.0), (0.0, 900.0), (2000.0, 30_000.0), (1e6, 1.9e7)])
def test_what_qualifies_is_what_brute_force_says(
    latitude: float, longitude: float, limits: tuple[float, float]
) -> None:
    rng = np.random.default_rng(3)
    latitudes = np.clip(latitude + rng.normal(0, 0.02, 300), -90, 90)
    longitudes = (longitude + rng.normal(0, 0.03, 300) / max(1e-3, np.cos(np.radians(latitude))) + 180) % 360 - 180
    latitudes[:20], longitudes[:20] = rng.uniform(-90, 90, 20), rng.uniform(-180, 180, 20)
    hood = Neighbourhoods(
        pairs_at(latitudes, longitudes), NegativeRule(min_separation_m=limits[0], max_radius_m=limits[1])
    )
    for number in range(0, 300, 7):
        away_m = 1000 * haversine_km(lat1=latitudes[number], lon1=longitudes[number], lat2=latitudes, lon2=longitudes)
        inside = (away_m >= limits[0]) & (away_m <= limits[1])
        inside[number] = False
        near, distances, _ = hood.eligible(number)
        assert set(near) == set(np.flatnonzero(inside))
        assert distances == pytest.approx(away_m[near], abs=1e-6)


def test_the_limits_themselves_are_within_them() -> None:
    pairs = pairs_at(np.arange(4) * 1000.0 / 111_194.92664455873, np.zeros(4))
    hood = Neighbourhoods(pairs, NegativeRule(min_separation_m=1000.0, max_radius_m=2000.0))
    assert sorted(hood.eligible(0)[0]) == [1, 2] and sorted(hood.eligible(2)[0]) == [0, 1, 3]


def test_pairs_that_share_a_tile_are_no_negatives_and_tiles_stand_once() -> None:
    pairs = line_of_places()
    pairs[1] = dataclasses.replace(pairs[1], satellite_image=pairs[0].satellite_image)
    pairs[3] = dataclasses.replace(pairs[3], satellite_image=pairs[2].satellite_image)
    unplaced = [dataclasses.replace(p, latitude_deg=None, longitude_deg=None, facts={}) for p in pairs]
    for some in (pairs, unplaced):
        hood = Neighbourhoods(some, NegativeRule())
        assert 1 not in hood.eligible(0)[0] and hood.count(0) == 5
        for seed in range(30):
            chosen = hood.choose(0, 5, np.random.default_rng(seed))
            tiles = {some[number].satellite_image for number, _ in chosen}
            assert len(tiles) == 5 and pairs[0].satellite_image not in tiles
        with pytest.raises(NegativesError, match="needs 6 negatives, found"):
            hood.choose(0, 6, np.random.default_rng(0))


def test_city_and_season_agree_where_known() -> None:
    seasons = ("summer", "summer", "winter", None, "summer", "winter", None, "summer")
    pairs = [
        dataclasses.replace(
            pair,
            city="Loja" if number == 7 else pair.city,
            facts=({"season": season} if season else {}),
        )
        for number, (pair, season) in enumerate(zip(line_of_places(), seasons, strict=True))
    ]
    assert set(Neighbourhoods(pairs, NegativeRule()).eligible(0)[0]) == {1, 3, 4, 6}
    assert set(Neighbourhoods(pairs, NegativeRule()).eligible(3)[0]) == {0, 1, 2, 4, 5, 6}
    assert set(Neighbourhoods(pairs, NegativeRule(same=())).eligible(0)[0]) == set(range(1, 8))


def a_town(n: int = 1000, *, seed: int = 5) -> list[Pair]:
    rng = np.random.default_rng(seed)
    return pairs_at(*(rng.uniform(-0.03, 0.03, (2, n))))


def test_bands_get_their_shares() -> None:
    hood = Neighbourhoods(a_town(), NegativeRule(bands=BANDS))
    questions, _ = build_questions(hood, split="train", candidates=4)
    away = np.array([o.distance_m for q in questions for o in q.candidates if o.letter != q.answer])
    assert len(away) == 3000 and away.min() >= 120.0 and away.max() <= 4000.0
    counts = collections.Counter(
        sum(o.distance_m <= 500.0 for o in q.candidates if o.letter != q.answer) for q in questions
    )
    assert 0.45 < np.mean(away <= 500.0) < 0.55  # half of three is one or two, as drawn
    assert counts[1] + counts[2] > 900 and min(counts[1], counts[2]) > 400
    plain, _ = build_questions(Neighbourhoods(a_town(), NegativeRule()), split="train", candidates=4)
    assert np.mean([o.distance_m <= 500 for q in plain for o in q.candidates if o.letter != q.answer]) < 0.05
    nearer = collections.Counter(min(q.candidates, key=lambda o: o.distance_m or 9e9).letter for q in questions)
    assert min(nearer.values()) > 200  # letters say nothing of the band


def test_an_empty_band_is_filled_from_the_others() -> None:
    pairs = pairs_at(np.arange(6) * 700.0 / 111_194.9, np.zeros(6))
    chosen = Neighbourhoods(pairs, NegativeRule(bands=BANDS)).choose(0, 4, np.random.default_rng(0))
    assert len({number for number, _ in chosen} - {0}) == 4  # none lies within 500 m
    gap = NegativeRule(bands=(Band(120.0, 800.0, 0.5), Band(2000.0, 4000.0, 0.5)))
    with pytest.raises(NegativesError, match=r"needs 5 .*found 4 .* 120 to 800 m or 2000 to 4000 m away; widen bands"):
        Neighbourhoods(pairs, gap).choose(0, 5, np.random.default_rng(0))  # 1400 m lies in no band


@pytest.mark.parametrize("first_m", [500.0, 2000.0])
def test_what_is_counted_is_what_can_be_drawn(first_m: float) -> None:
    """Places in a gap between bands count for nothing, so that a pair with too few others is left out and no error."""
    pairs = pairs_at(np.array([0.0, 300.0, 1000.0, 1300.0, 1600.0]) / 111_194.92664455873, np.zeros(5))
    rule = NegativeRule(bands=(Band(120.0, first_m, 0.5), Band(2000.0, 4000.0, 0.5)))
    hood = Neighbourhoods(pairs, rule)
    away = [[abs(a - b) for b in (0, 300, 1000, 1300, 1600) if a != b] for a in (0, 300, 1000, 1300, 1600)]
    expected = [sum(119.9 <= m <= first_m for m in row) for row in away]
    assert [hood.count(number) for number in range(5)] == [len(hood.eligible(n)[0]) for n in range(5)] == expected
    questions, left_out = build_questions(hood, split="train", candidates=3, skip_isolated=True)
    assert len(left_out) == sum(count < 2 for count in expected) and len(questions) == 5 - len(left_out)
    with pytest.raises(NegativesError, match="widen bands"):
        hood.choose(0, expected[0] + 1, np.random.default_rng(0))


@pytest.mark.parametrize(
    "bands",
    [
        (Band(100.0, 500.0, 1.0),),
        (Band(120.0, 5000.0, 1.0),),
        (Band(120.0, 500.0, 0.5), Band(400.0, 4000.0, 0.5)),
        (Band(120.0, 500.0, 0.5), Band(500.0, 4000.0, 0.6)),
        (Band(500.0, 120.0, 1.0),),
        (Band(120.0, 500.0, 0.0), Band(500.0, 4000.0, 1.0)),
    ],
)
def test_nonsense_bands_are_refused(bands: tuple[Band, ...]) -> None:
    with pytest.raises(ValueError, match="bands="):
        NegativeRule(bands=bands)


@pytest.mark.parametrize(("difficulty", "sign"), [("hard", -1), ("easy", 1)])
@pytest.mark.parametrize("bands", [(), BANDS])
def test_embeddings_choose_the_nearest_in_cosine(difficulty: str, sign: int, bands: tuple[Band, ...]) -> None:
    pairs = a_town(400)
    vectors = np.random.default_rng(0).normal(size=(400, 16)).astype(np.float16)
    vectors *= np.random.default_rng(1).uniform(0.5, 3.0, (400, 1)).astype(np.float16)  # length must not matter
    hood = Neighbourhoods(pairs, NegativeRule(difficulty=difficulty, bands=bands), embeddings=vectors)
    unit = vectors.astype(np.float64) / np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    for number in range(0, 400, 40):
        near, distances, _ = hood.eligible(number)
        alike = sign * (unit[near] @ unit[number])
        chosen = {other for other, _ in hood.choose(number, 4, np.random.default_rng(number))}
        near, distances = near[np.argsort(alike)], distances[np.argsort(alike)]
        expected: list[int] = []
        for ring, some in [(distances <= 500.0, 2), (distances > 500.0, 2)] if bands else [(distances > 0.0, 4)]:
            wanted = len(expected) + some
            for other in near[ring].tolist():
                away_m = [metres_between(pairs[other], pairs[one]) for one in expected]
                if len(expected) < wanted and min(away_m, default=120.0) >= 120.0:
                    expected.append(other)
        assert chosen == set(expected) or len(expected) < 4


def test_embeddings_of_many_questions_are_those_of_one() -> None:
    """Compared together, a block of rows at a time, each question gets what it gets alone; zeros are like nothing."""
    rng = np.random.default_rng(2)
    rows = rng.normal(size=(9000, 8)).astype(np.float16)
    rows[7] = 0
    numbers = [7, 100, 8999]
    others = [rng.choice(9000, 5000, replace=False), np.array([7, 3]), np.empty(0, dtype=np.int64)]
    exact = rows.astype(np.float64)
    exact /= np.maximum(np.linalg.norm(exact, axis=1, keepdims=True), 1e-9)
    for number, some, found in zip(numbers, others, cosines(rows, numbers, others), strict=True):
        assert found == pytest.approx(exact[some] @ exact[number], abs=1e-5) and found.dtype == np.float32
    hood = Neighbourhoods(a_town(300), NegativeRule(difficulty="hard"), embeddings=rows[:300])
    together = list(hood.choose_each(range(300), 3, np.random.default_rng(0)))
    rng = np.random.default_rng(0)
    assert together == [hood.choose(number, 3, rng) for number in range(300)]


def test_every_neighbour_is_compared_before_the_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many there are: the most alike of each ring stand in the question, none is lost to a draw."""
    monkeypatch.setattr(negatives, "UNPLACED_MOST", 50)
    pairs = a_town(2000)
    vectors = np.random.default_rng(0).normal(size=(2000, 4)).astype(np.float32)
    hood = Neighbourhoods(pairs, NegativeRule(difficulty="hard", bands=BANDS), embeddings=vectors)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    near, distances, _ = hood.eligible(0)
    assert len(near) > 1000
    expected: set[int] = set()
    for ring in (distances <= 500.0, distances > 500.0):
        expected |= set(near[ring][np.argsort(-(unit[near[ring]] @ unit[0]))[:2]].tolist())
    assert {other for other, _ in hood.choose(0, 4, np.random.default_rng(0))} == expected


@pytest.mark.parametrize("parts", [[0.9, 0.9, 0.2], [1.6, 0.8, 0.6], [0.5, 0.5], [2.0, 1.0]])
def test_shares_are_rounded_in_proportion(parts: list[float]) -> None:
    rng = np.random.default_rng(0)
    drawn = np.array([negatives._rounded(parts, rng) for _ in range(20_000)])
    assert (drawn.sum(axis=1) == round(sum(parts))).all() and (np.abs(drawn - parts) < 1).all()
    assert drawn.mean(axis=0) == pytest.approx(parts, abs=0.015)  # four standard errors


def unplaced(n: int, *, cities: int = 3) -> list[Pair]:
    """Pairs without position: one in ten of no known city, two of each twenty of one tile."""
    base = dataclasses.replace(place(0, north_m=0.0, words="sand sand sand sand"), facts={})
    return [
        dataclasses.replace(
            base,
            pair_id=str(k),
            satellite_image=str(k if k % 20 else k + 1),
            latitude_deg=None,
            longitude_deg=None,
            city=None if k % 10 == 9 else f"city {k % cities}",
        )
        for k in range(n)
    ]


def test_of_many_pairs_without_position_some_are_drawn_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = unplaced(300)
    whole = Neighbourhoods(pairs, NegativeRule())
    monkeypatch.setattr(negatives, "UNPLACED_MOST", 20)
    monkeypatch.setattr(negatives, "NEAREST", 8)
    hood = Neighbourhoods(pairs, NegativeRule())
    for number in (0, 9, 21):
        city = pairs[number].city
        fits = {k for k, p in enumerate(pairs) if None in (city, p.city) or p.city == city}
        fits -= {k for k in fits if pairs[k].satellite_image == pairs[number].satellite_image}
        assert set(hood.eligible(number)[0]) == set(whole.eligible(number)[0]) == fits
        tiles = len({pairs[k].satellite_image for k in fits})
        assert hood.count(number) == tiles and hood.enough(number, tiles) and not hood.enough(number, tiles + 1)
        rng = np.random.default_rng(number)
        drawn = collections.Counter(other for _ in range(3000) for other, _ in hood.choose(number, 4, rng))
        assert set(drawn) == fits
        share = np.array([drawn[k] for k in sorted(fits) if k % 20 > 1])
        assert abs(share / share.mean() - 1).max() < 5 / np.sqrt(share.mean())
        assert len(hood.choose(number, tiles, rng)) == tiles  # more than are drawn: all are looked at
        with pytest.raises(NegativesError, match="other pairs without position"):
            hood.choose(number, tiles + 1, rng)


def metres_between(first: Pair, second: Pair) -> float:
    places = {"lat1": first.latitude_deg, "lon1": first.longitude_deg}
    places |= {"lat2": second.latitude_deg, "lon2": second.longitude_deg}
    return 1000.0 * float(haversine_km(**places))


def test_time_grows_no_faster_than_the_number_of_pairs_without_position(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pass over the group for each pair would take 16 times as long for four times the pairs."""
    monkeypatch.setattr(negatives, "UNPLACED_MOST", 256)
    spent = []
    for n in (2000, 8000):
        pairs = unplaced(n)
        started = time.process_time()
        build_questions(Neighbourhoods(pairs, NegativeRule(same=())), split="train", skip_isolated=True)
        spent.append(time.process_time() - started)
    assert spent[1] < 8 * spent[0]


def test_embeddings_must_fit_the_pairs() -> None:
    with pytest.raises(ValueError, match=r"embeddings: expected \[8, D\].*got \[7, 3\]"):
        Neighbourhoods(line_of_places(), NegativeRule(difficulty="hard"), embeddings=np.zeros((7, 3)))


def test_questions_per_city_choose_panoramas_and_keep_all_tiles() -> None:
    pairs = [*line_of_places(), *line_of_places(city="Cuenca", split="train")]
    pairs[8:] = [dataclasses.replace(p, longitude_deg=-70.0) for p in pairs[8:]]
    hood = Neighbourhoods(pairs, NegativeRule())
    questions, _ = build_questions(hood, split="train", questions_per_city=2)
    assert collections.Counter(q.city for q in questions) == {"Quito": 2, "Cuenca": 2}
    many = [build_questions(hood, split="train", questions_per_city=2, seed=s)[0] for s in range(20)]
    assert len({option.pair_id for qs in many for q in qs for option in q.candidates}) == 16
    assert len({q.pair_id for qs in many for q in qs}) > 10


def processor_s(pairs: list[Pair]) -> float:
    started = time.process_time()
    hood = Neighbourhoods(pairs, NegativeRule(max_radius_m=1000.0))
    build_questions(hood, split="train")
    return time.process_time() - started


def test_time_grows_no_faster_than_the_number_of_pairs() -> None:
    """Eight towns take eight times as long as one: a scan over all pairs would take 64 times."""
    towns = [
        [
            dataclasses.replace(
                pair,
                pair_id=f"{town}/{pair.pair_id}",
                satellite_image=f"{town}/{pair.pair_id}",
                longitude_deg=pair.longitude_deg + 2 * town,
            )
            for pair in a_town(700)
        ]
        for town in range(8)
    ]
    one = min(processor_s(towns[0]) for _ in range(3))
    eight = processor_s([pair for town in towns for pair in town])
    assert eight < 16 * one


def test_nothing_is_kept_between_questions() -> None:
    hood = Neighbourhoods(a_town(1500), NegativeRule())
    least = min(hood.count(number) for number in range(0, 1500, 100))
    assert least > 400
    hood.count(0)
    tracemalloc.start()
    for number in range(400):
        hood.count(number)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 400 * least * 8 / 4  # what the neighbours of all would take, four times


def test_made_up_pairs_have_cv_cities_numbers() -> None:
    pairs = list(made_up_pairs(1, 200.0))
    assert len(pairs) == 18364 and {pair.city for pair in pairs} == {"Barcelona"}
    latitudes = np.array([pair.latitude_deg for pair in pairs])
    side_km = np.ptp(latitudes) * 111.195
    assert 18364 / side_km**2 == pytest.approx(200.0, rel=0.02)


@pytest.mark.slow
def test_the_bench_keeps_its_limits_on_four_cities() -> None:
    row = measure(Size(n_cities=4, per_city=200))
    assert row["pairs"] == 60745 and row["questions"] == 800
    assert row["cpu_s"] < 60 and row["peak_bytes"] < 1e9
