"""Chains of thought: their exact form, that they are true, that a false one is found, that no pairing label leaks."""

from __future__ import annotations

import collections
import dataclasses

import numpy as np
import pytest

from geor1.answers import check_facts, parse_choice, parse_coordinates, stated_facts
from geor1.records import Pair
from geor1.synthesis.facts import FactChecker, Metadata
from geor1.synthesis.negative_rule import NegativeRule
from geor1.synthesis.negatives import Neighbourhoods
from geor1.synthesis.questions import build_questions
from geor1.synthesis.scaffolds import (
    Draft,
    Teacher,
    geolocation,
    geolocation_completion,
    labelled_pairing,
    pairing_completion,
    unmatched_pairing,
)

from .hand_made import line_of_places

PLACES = line_of_places()
HOOD = Neighbourhoods(PLACES, NegativeRule())
TRUTHFUL = Teacher(error_rate=0.0)
ERRING = Teacher(error_rate=1.0, countries=("Ecuador", "South Africa", "Peru"))
NAMES = ("Quito", "Ecuador", "South Africa", "Peru")


def test_pairing_chain_word_for_word() -> None:
    text = pairing_completion(PLACES[0].facts, {"A": PLACES[1].facts, "B": PLACES[4].facts}, "B")
    assert text == (
        "<think> climate temperate hemisphere north traffic right "
        ". north ground water A water same B sand other "
        ". east ground forest A forest same B sand other "
        ". south ground houses A houses same B sand other "
        ". west ground towers A field other B field other "
        ". matches A 3 B 0 "
        ". so tile B </think> <answer> B </answer>"
    )


def test_geolocation_chain_word_for_word() -> None:
    facts = {**PLACES[0].facts, "country": "South Africa"}
    assert geolocation_completion(facts, latitude_deg=-33.6, longitude_deg=18.4) == (
        "<think> north water east forest south houses west towers "
        ". climate temperate hemisphere north traffic right coast no relief mountains "
        ". country South Africa </think> <answer> -34 , 18 </answer>"
    )
    assert "<answer> 0 , 0 <" in geolocation_completion(facts, latitude_deg=-0.3, longitude_deg=-0.2)


def test_unmatched_chains_never_show_the_panoramas_own_tile() -> None:
    own = {pair.ground_image: pair.satellite_image for pair in PLACES}
    drafts = list(unmatched_pairing(HOOD, n=300, candidates=5, teacher=TRUTHFUL))
    assert len(drafts) == 300
    for draft in drafts:
        ground, *tiles = draft.scaffold.images
        assert own[ground] not in tiles and len(set(tiles)) == 5
        assert draft.scaffold.pairing_labels_seen == 0 and draft.scaffold.kind == "pairing"
    used = collections.Counter(draft.scaffold.images[0] for draft in drafts)
    assert max(used.values()) - min(used.values()) <= 1
    assert len({draft.scaffold.scaffold_id for draft in drafts}) == 300


def far_twin(number: int) -> Pair:
    """A pair half a degree away that looks as ``PLACES[number]`` does from its ground."""
    pair = PLACES[number]
    assert pair.latitude_deg is not None
    return dataclasses.replace(
        pair,
        pair_id=f"far/{number}",
        ground_image=f"images/far{number}_ground.jpg",
        satellite_image=f"images/far{number}_satellite.jpg",
        latitude_deg=pair.latitude_deg + 0.5,
    )


@pytest.mark.parametrize("hood", [HOOD, Neighbourhoods([*PLACES, *map(far_twin, range(8))], NegativeRule())])
def test_unmatched_conclusions_say_nothing(hood: Neighbourhoods) -> None:
    drafts = list(unmatched_pairing(hood, n=1000, candidates=5, teacher=TRUTHFUL, lookalikes=0.5))
    letters = collections.Counter(parse_choice(draft.scaffold.completion, "ABCDE") for draft in drafts)
    assert set(letters) == set("ABCDE") and all(150 < count < 250 for count in letters.values())  # 200 ± 13
    most = [
        parse_choice(draft.scaffold.completion, "ABCDE") in most_matches(draft)
        for draft in drafts
        if len(most_matches(draft)) == 1
    ]
    assert len(most) > 100 and abs(sum(most) / len(most) - 0.2) < 4 * (0.16 / len(most)) ** 0.5


def most_matches(draft: Draft) -> list[str]:
    """Letters of the tiles that agree with the panorama in most directions."""
    counts = {
        letter: sum(tile[d] == draft.metadata.ground[d] for d in ("north", "east", "south", "west"))
        for letter, tile in draft.metadata.tiles.items()
    }
    return [letter for letter, count in counts.items() if count == max(counts.values())]


def test_lookalikes_are_of_other_neighbourhoods_and_agree_in_many_directions() -> None:
    hood = Neighbourhoods([*PLACES, *map(far_twin, range(8))], NegativeRule())
    positions = {pair.satellite_image: (pair.latitude_deg, pair.facts) for pair in hood.pairs}
    own = {pair.ground_image: (pair.satellite_image, pair.latitude_deg, pair.facts) for pair in hood.pairs}
    far = 0
    drafts = list(unmatched_pairing(hood, n=200, candidates=5, teacher=TRUTHFUL, lookalikes=1.0))
    for draft in drafts:
        ground, *tiles = draft.scaffold.images
        itself, latitude, facts = own[ground]
        assert itself not in tiles
        elsewhere = [tile for tile in tiles if abs(positions[tile][0] - latitude) > 0.4]
        assert len(elsewhere) == 1
        shared = sum(positions[elsewhere[0]][1][d] == facts[d] for d in ("north", "east", "south", "west"))
        assert shared >= 3
        far += shared == 4
    assert far > 40  # both numbers of agreeing directions occur, wherever both exist


def test_without_lookalikes_or_positions_the_neighbourhood_serves() -> None:
    unplaced = [dataclasses.replace(pair, latitude_deg=None, longitude_deg=None) for pair in PLACES]
    hood = Neighbourhoods(unplaced, NegativeRule())
    assert len(list(unmatched_pairing(hood, n=20, candidates=5, teacher=TRUTHFUL, lookalikes=1.0))) == 20
    rng = np.random.default_rng(0)
    assert hood.lookalike(0, 3, rng) is None
    assert HOOD.lookalike(0, 3, rng) is None  # all within the radius


def test_most_same_concludes_from_the_chains_own_words() -> None:
    for draft in unmatched_pairing(HOOD, n=100, candidates=5, teacher=TRUTHFUL, conclusion="most_same"):
        assert parse_choice(draft.scaffold.completion, "ABCDE") in most_matches(draft)


def test_labelled_chains_conclude_right_and_say_so() -> None:
    questions, _ = build_questions(HOOD, split="train", questions_per_pair=2)
    drafts = list(labelled_pairing(questions, n=10, teacher=TRUTHFUL))
    assert len(drafts) == 10
    for question, draft in zip(questions, drafts, strict=False):
        assert parse_choice(draft.scaffold.completion, "ABCDE") == question.answer
        assert draft.scaffold.images == (question.ground_image, *(c.satellite_image for c in question.candidates))
        assert draft.scaffold.pairing_labels_seen == 1


@pytest.mark.parametrize("kind", ["unmatched", "geolocation", "labelled"])
def test_true_chains_parse_back_with_every_fact_true(kind: str) -> None:
    checker = FactChecker(NAMES)
    expected = {"geolocation": 4 + 3 + 2 + 1 + 1}.get(kind, 3 + 4 + 4 * 5 * 2 + 5)
    for draft in drafts_of(kind, TRUTHFUL, 200):
        kept = checker.filter(draft.scaffold, draft.metadata)
        assert kept is not None and kept.n_facts == expected
        stated = stated_facts(kept.completion)
        counted = check_facts(stated, draft.metadata.ground, draft.metadata.tiles)
        assert counted.n_true == counted.n_stated == len(stated)
    assert not checker.dropped and not checker.false_facts


@pytest.mark.parametrize("kind", ["unmatched", "geolocation", "labelled"])
def test_every_error_of_the_teacher_is_found(kind: str) -> None:
    checker = FactChecker(NAMES)
    drafts = drafts_of(kind, ERRING, 400)
    assert [draft for draft in drafts if checker.filter(draft.scaffold, draft.metadata) is not None] == []
    assert sum(checker.dropped.values()) == len(drafts)
    if kind == "geolocation":
        assert {"ground", "climate", "name", "coordinates", "coast", "relief"} <= set(checker.dropped)
    else:
        assert {"ground", "tile", "climate", "hemisphere", "traffic"} <= set(checker.dropped)
        assert checker.dropped["tile"] > checker.dropped["ground"]


def test_error_rate_is_the_share_dropped() -> None:
    checker = FactChecker(NAMES)
    drafts = drafts_of("unmatched", Teacher(error_rate=0.1), 2000)
    kept = [draft for draft in drafts if checker.filter(draft.scaffold, draft.metadata)]
    assert 0.87 < len(kept) / 2000 < 0.93


def drafts_of(kind: str, teacher: Teacher, n: int) -> list:
    if kind == "geolocation":
        return list(geolocation(HOOD, n=n, teacher=teacher))
    if kind == "unmatched":
        return list(unmatched_pairing(HOOD, n=n, candidates=5, teacher=teacher))
    questions, _ = build_questions(HOOD, split="train", questions_per_pair=n // 8)
    return list(labelled_pairing(questions, n=n, teacher=teacher))


def test_pairs_without_facts_get_no_chains() -> None:
    bare = [pair.__class__(**{**vars(pair), "facts": {}}) for pair in PLACES]
    hood = Neighbourhoods(bare, NegativeRule())
    questions, _ = build_questions(hood, split="train")
    assert not list(unmatched_pairing(hood, n=10, candidates=5, teacher=TRUTHFUL))
    assert not list(geolocation(hood, n=10, teacher=TRUTHFUL))
    assert not list(labelled_pairing(questions, n=10, teacher=TRUTHFUL))


def test_test_places_get_no_chains() -> None:
    hood = Neighbourhoods(line_of_places("test", "Loja"), NegativeRule())
    assert not list(unmatched_pairing(hood, n=10, candidates=5, teacher=TRUTHFUL))


class TestFactCheck:
    METADATA = Metadata.of(PLACES[0], ())

    def verdict(self, chain: str, answer: str = "0 , -78") -> tuple[int, tuple[str, ...]]:
        text = f"<think> {chain} </think> <answer> {answer} </answer>"
        verdict = FactChecker(NAMES).check(text, self.METADATA, kind="geolocation")
        return verdict.n_facts, verdict.false_kinds

    def test_hand_counted(self) -> None:
        assert self.verdict("north water east sand . climate temperate . country Ecuador") == (5, ("ground",))

    def test_city_in_prose(self) -> None:
        assert self.verdict("This must be Quito, on the equator.") == (2, ())
        assert self.verdict("This must be Peru, or South Africa.") == (3, ("name",))

    @pytest.mark.parametrize(
        ("answer", "holds"),
        [("0.8 , -78", True), ("1 , -78", False), ("-78 , 0", False), ("nowhere", False), ("0 , 282", False)],
    )
    def test_coordinates(self, answer: str, holds: bool) -> None:
        # one degree of latitude is 111.2 km, tolerance 100 km
        assert self.verdict("north water", answer) == (2, () if holds else ("coordinates",))

    def test_whole_degrees_always_hold(self) -> None:
        text = geolocation_completion(PLACES[0].facts, latitude_deg=0.4999, longitude_deg=-77.5001)
        metadata = Metadata(PLACES[0].facts, {}, 0.4999, -77.5001, frozenset({"Ecuador", "Quito"}))
        assert parse_coordinates(text) == (0.0, -78.0)
        assert FactChecker(NAMES).check(text, metadata, kind="geolocation").passed

    def test_unfinished_and_empty_chains(self) -> None:
        checker = FactChecker(NAMES)
        assert not checker.check("", self.METADATA, kind="geolocation").passed
        assert not checker.check("<think> north water", self.METADATA, kind="geolocation").passed
        assert checker.check("", self.METADATA, kind="pairing").n_facts == 0
