"""Sets that are asked about once for each of their places: what they promise, on places whose likeness is known."""

from __future__ import annotations

import collections
import itertools

import numpy as np
import pytest

from geor1.geodesy import haversine_km
from geor1.records import Pair
from geor1.runs import ConfigError
from geor1.synthesis.config import SynthesisConfig
from geor1.synthesis.negatives import NegativeRule, Neighbourhoods
from geor1.synthesis.questions import build_questions
from geor1.synthesis.shared_sets import shared_sets

K = 5


def a_town(n: int, *, cities: int = 1) -> list[Pair]:
    """Places within two kilometres of the middle of their town, about as far as the rule lets two of them stand."""
    rng = np.random.default_rng(0)
    return [
        Pair(
            pair_id=f"p{number}", source="toy", split="train", ground_image=f"g{number}", satellite_image=f"s{number}",
            latitude_deg=10.0 * (number % cities) + rng.uniform(-0.013, 0.013),
            longitude_deg=rng.uniform(-0.013, 0.013), city=f"town {number % cities}",
        )
        for number in range(n)
    ]  # fmt: skip


def middle_of(question, levels: dict[str, float]) -> str:
    """The letter of the tile that a policy without eyes for the panorama takes: the median of its set."""
    ordered = sorted(question.candidates, key=lambda option: levels[option.pair_id])
    return ordered[len(ordered) // 2].letter


@pytest.mark.parametrize("difficulty", ["hard", "easy", "mixed"])
def test_the_set_says_nothing_of_the_answer(difficulty: str) -> None:
    pairs = a_town(400)
    levels = np.random.default_rng(1).normal(size=(400, 1))
    vectors = np.concatenate([np.cos(levels), np.sin(levels)], axis=1)
    hood = Neighbourhoods(pairs, NegativeRule(difficulty=difficulty), embeddings=vectors)
    of_id = {pair.pair_id: float(level) for pair, level in zip(pairs, levels[:, 0], strict=True)}
    shared, alone = build_questions(hood, split="train", candidates=K, share_sets=True)
    own, _ = build_questions(hood, split="train", candidates=K)
    asked = collections.defaultdict(list)
    for question in shared:
        asked[frozenset(option.pair_id for option in question.candidates)].append(question.pair_id)
    assert all(sorted(answers) == sorted(tiles) for tiles, answers in asked.items()), "once for each of its places"
    assert len(shared) + len(alone) == 400 and len(alone) < 20
    for name in ("median", "most northern"):
        hits = [
            (middle_of(q, of_id) if name == "median" else max(q.candidates, key=lambda o: o.pair_id).letter) == q.answer
            for q in shared
        ]
        assert sum(hits) * K == len(shared), f"{name}: exactly 1/K"
    blind = np.mean([middle_of(question, of_id) == question.answer for question in own])
    assert (blind > 0.25) == (difficulty == "hard"), "sets of one's own give the middle away"


def test_members_fit_each_other_and_no_place_is_in_two_sets() -> None:
    pairs, rule = a_town(300), NegativeRule(min_separation_m=150.0, max_radius_m=1500.0)
    sets, alone = shared_sets(Neighbourhoods(pairs, rule), range(300), K, np.random.default_rng(2))
    members = [number for one in sets for number in one]
    assert len(set(members)) == len(members) and sorted([*members, *alone]) == list(range(300))
    for one in sets:
        for a, b in itertools.combinations(one, 2):
            apart_m = 1000 * haversine_km(
                lat1=pairs[a].latitude_deg, lon1=pairs[a].longitude_deg,
                lat2=pairs[b].latitude_deg, lon2=pairs[b].longitude_deg,
            )  # fmt: skip
            assert 150.0 <= apart_m <= 1500.0


def test_a_hard_set_is_of_one_kind() -> None:
    pairs = a_town(60)
    kinds = np.arange(60) % 3
    hood = Neighbourhoods(pairs, NegativeRule(difficulty="hard"), embeddings=np.eye(3)[kinds] + 0.01)
    sets, _ = shared_sets(hood, range(60), K, np.random.default_rng(3))
    pure = [len(set(kinds[one])) == 1 for one in sets]
    assert np.mean(pure) > 0.7, "only the last are what is left"


def test_letters_are_balanced_rounds_differ_and_a_city_has_its_share() -> None:
    hood = Neighbourhoods(a_town(200, cities=4), NegativeRule())
    questions, alone = build_questions(
        hood, split="train", candidates=K, questions_per_pair=2, questions_per_city=20, share_sets=True
    )
    assert len(questions) == 2 * 4 * 20 and alone == []
    assert collections.Counter(q.city for q in questions) == {f"town {n}": 40 for n in range(4)}
    assert set(collections.Counter(q.answer for q in questions).values()) == {32}
    assert len({q.question_id for q in questions}) == len(questions)
    sets = [{frozenset(o.pair_id for o in q.candidates) for q in questions if q.question_id.endswith(turn)}
            for turn in ("q0", "q1")]  # fmt: skip
    assert not sets[0] & sets[1]
    again, _ = build_questions(
        hood, split="train", candidates=K, questions_per_pair=2, questions_per_city=20, share_sets=True
    )
    assert again == questions


def test_rings_have_no_place_in_it() -> None:
    with pytest.raises(ConfigError, match=r"bands=.*expected none with share_sets"):
        SynthesisConfig(share_sets=True, bands=((120.0, 4000.0, 1.0),))
