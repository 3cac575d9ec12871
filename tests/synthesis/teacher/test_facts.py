"""Claims of free prose: which are found, how each is judged, and how many are missed or made up."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence

import pytest
from prose_sentences import DEVELOPMENT, HELD_OUT, Labelled

from geor1.records import Pair
from geor1.synthesis.teacher.claims import MAX_CHARS, find_claims
from geor1.synthesis.teacher.places import Place, country_at, driving_side
from geor1.synthesis.teacher.verdicts import check_text
from geor1.synthesis.teacher.vocabulary import Names

NAMES = Names()


def counted(sentences: Sequence[Labelled]) -> tuple[int, int, int]:
    """Claims found rightly, found wrongly, and missed."""
    right = wrong = missed = 0
    for text, wanted in sentences:
        found = Counter(("country" if c.kind == "place" else c.kind, c.value) for c in find_claims(text, NAMES))
        right += (found & Counter(wanted)).total()
        wrong += (found - Counter(wanted)).total()
        missed += (Counter(wanted) - found).total()
    return right, wrong, missed


@pytest.mark.parametrize(
    ("sentences", "precision", "recall"),
    [(DEVELOPMENT, 1.0, 1.0), (HELD_OUT, 0.93, 0.95)],
    ids=["development", "held out"],
)
def test_precision_and_recall(sentences: Sequence[Labelled], precision: float, recall: float) -> None:
    right, wrong, missed = counted(sentences)
    print(
        f"\n{len(sentences)} sentences, {right + missed} claims: precision {right / (right + wrong):.3f}, "
        f"recall {right / (right + missed):.3f}"
    )
    assert len(sentences) >= 40
    assert right / (right + wrong) >= precision
    assert right / (right + missed) >= recall


SYDNEY = Place.of(
    Pair(
        pair_id="s", source="t", split="train", ground_image="g", satellite_image="s", latitude_deg=-33.87,
        longitude_deg=151.21, city="Sydney",
    )
)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "verdicts"),
    [
        ("This is Sydney, Australia.", {"city": "true", "country": "true"}),
        ("This is Sydney, Canada.", {"city": "true", "country": "false"}),
        ("The position is 33.9° S, 151.2° E.", {"coordinates": "true"}),
        ("The position is 33.9° N, 151.2° E.", {"coordinates": "false"}),
        ("The position is -33.87, -151.21.", {"coordinates": "false"}),
        ("The latitude is about 35° S.", {"latitude": "true"}),
        ("The latitude is 33.9 south.", {"latitude": "true"}),
        ("The latitude is 33.9 north.", {"latitude": "false"}),
        ("Latitude: -33.9, longitude: 151.2.", {"coordinates": "true"}),
        ("Latitude: -33.9, longitude: 153.0.", {"coordinates": "false"}),  # 166 km, each angle within 2°
        ("At 151.2° E, 33.9° S it is warm.", {"coordinates": "true"}),
        ("The latitude is 326.13.", {"latitude": "false"}),
        ("The longitude is -208.8.", {"longitude": "false"}),
        ("The coordinates are 133.9, 151.2.", {"coordinates": "false"}),
        ("Köppen class: Cfa, a humid subtropical climate.", {"koppen": "true", "climate": "true"}),
        ("It has a polar climate.", {"climate": "false"}),
        ("It has a Mediterranean climate.", {"climate": "unknown"}),
        ("We are in the southern hemisphere, in the Eastern Hemisphere.", {"hemisphere": "true"}),
        ("Cars drive on the right.", {"driving_side": "false"}),
        ("The cars are right-hand drive.", {"driving_side": "true"}),
        ("It is a coastal city.", {"coast": "true"}),
        ("It is an inland city.", {"coast": "false"}),
        ("We are in the city of Ushguli.", {"city": "false"}),
    ],
)
def test_verdicts_at_a_known_place(text: str, verdicts: dict[str, str]) -> None:
    claims = check_text(text, SYDNEY, NAMES)
    assert {claim.kind: claim.verdict for claim in claims} == verdicts
    assert all(text[claim.start : claim.end] == claim.text for claim in claims)


def test_longitudes_wrap_at_the_date_line_and_latitudes_do_not() -> None:
    suva = Place(latitude_deg=-16.5, longitude_deg=179.5)
    assert [claim.verdict for claim in check_text("The longitude is -179.5.", suva, NAMES)] == ["true"]
    pole = Place(latitude_deg=-89.5, longitude_deg=0.0)
    assert [claim.verdict for claim in check_text("The latitude is 89.5.", pole, NAMES)] == ["false"]


def test_nothing_known_nothing_judged() -> None:
    texts = [text for text, _ in DEVELOPMENT]
    claims = [claim for text in texts for claim in check_text(text, Place(), NAMES)]
    assert len(claims) > 60
    assert {claim.verdict for claim in claims} == {"unknown"}
    assert {claim.truth for claim in claims} == {None}


def test_countries_follow_from_positions_away_from_borders_alone() -> None:
    assert country_at(latitude_deg=40.0, longitude_deg=-4.0) == "Spain"
    assert country_at(latitude_deg=42.45, longitude_deg=2.86) is None  # Le Perthus, on the border to France
    assert country_at(latitude_deg=0.0, longitude_deg=-30.0) is None  # the Atlantic
    assert SYDNEY.country == "Australia" and SYDNEY.driving_side == "left"  # by the gazetteer's city near it
    assert driving_side("U.S.A.") == "right" and driving_side("Ruritania") is None


def test_words_of_the_miniature_are_enough_for_coarse_verdicts() -> None:
    place = Place(climate="temperate", coast="no", relief="flat", hemisphere="north", driving_side="left")
    text = "A temperate climate, a polar climate, a Mediterranean climate. It is a coastal city. The land is hilly. "
    text += "The region is mountainous. Traffic keeps left. Northern Hemisphere."
    assert [claim.verdict for claim in check_text(text, place, NAMES)] == [
        "true", "false", "unknown", "false", "unknown", "false", "true", "true",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "piece", ["Paris, ", "a climate ", "not ", "41.38° N ", '"', "drive on the left ", "A", "\n", "1"]
)
def test_long_texts_take_bounded_time(piece: str) -> None:
    text = piece * (200_000 // len(piece))
    began = time.process_time()
    claims = find_claims(text, NAMES)
    assert time.process_time() - began < 5.0
    assert all(claim.end <= MAX_CHARS for claim in claims)
