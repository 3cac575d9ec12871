"""Rungs of pairing questions, by hand."""

from __future__ import annotations

import pytest

from geor1.evaluation.ladder import ALIKE, NEAREST, ladder_columns
from geor1.records import Candidate, Question

FACTS = {"north": "water", "east": "forest", "south": "sand", "west": "houses"}


def question(distances_m: tuple[float | None, ...], changed: int) -> Question:
    """The right tile A, and wrong ones at these distances, the first with this many of four facts changed."""
    candidates = [Candidate(letter="A", pair_id="p", satellite_image="a.png", facts=FACTS, distance_m=0.0)]
    for place, distance in enumerate(distances_m):
        count = changed if place == 0 else 4
        facts = {name: "other" if index < count else value for index, (name, value) in enumerate(FACTS.items())}
        letter = "BCDE"[place]
        candidates.append(
            Candidate(letter=letter, pair_id=letter, satellite_image=f"{letter}.png", facts=facts, distance_m=distance)
        )
    return Question(
        question_id="q",
        pair_id="p",
        source="s",
        split="test",
        ground_image="g.png",
        candidates=tuple(candidates),
        answer="A",
        facts=FACTS,
    )


@pytest.mark.parametrize(
    ("distances_m", "rung"),
    [
        ((500.0, 9e6), "below 2 km"),
        ((2_000.0, 9e6), "2 to 25 km"),
        ((9e6, 26e3), "25 to 200 km"),
        ((300e3, 9e6), "200 to 2500 km"),
        ((2.6e6, 9e6), "2500 km and more"),
        ((500.0, None), "unknown"),
    ],
)
def test_the_nearest_wrong_tile(distances_m: tuple[float | None, ...], rung: str) -> None:
    assert ladder_columns([question(distances_m, 4)])["q"][NEAREST] == rung


@pytest.mark.parametrize(
    ("changed", "rung"),
    [
        (0, "all facts (near-duplicate)"),
        (1, "three quarters and more"),
        (2, "half to three quarters"),
        (3, "below half of the facts"),
    ],
)
def test_the_most_alike_wrong_tile(changed: int, rung: str) -> None:
    assert ladder_columns([question((500.0, 600.0), changed)])["q"][ALIKE] == rung
