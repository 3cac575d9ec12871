"""Answers given away before the conclusion: how many are found in labelled sentences, and how many are made up."""

from __future__ import annotations

import time
from collections.abc import Sequence

import pytest
from leak_sentences import DEVELOPMENT, FIRST_HELD_OUT, HELD_OUT, Labelled

from geor1.evaluation.statistics import wilson_interval
from geor1.synthesis.teacher.leaks import names_answer


def counted(sentences: Sequence[Labelled]) -> tuple[int, int, int]:
    """Leaks found, leaks missed, and sentences taken for one wrongly."""
    found = [(leaks, names_answer(text, "B", 1, 5)) for text, leaks in sentences]
    return found.count((True, True)), found.count((True, False)), found.count((False, True))


@pytest.mark.parametrize(
    ("sentences", "recall", "precision"),
    [(DEVELOPMENT, 1.0, 1.0), (FIRST_HELD_OUT, 0.95, 0.95), (HELD_OUT, 0.75, 0.9)],
    ids=["development", "first held out", "held out"],
)
def test_precision_and_recall(sentences: Sequence[Labelled], recall: float, precision: float) -> None:
    right, missed, wrong = counted(sentences)
    shares = wilson_interval(right, right + missed), wilson_interval(right, right + wrong)
    print(f"\n{len(sentences)} sentences, {right + missed} leaks: recall {shares[0]}, precision {shares[1]}")
    assert len({text for text, _ in sentences}) == len(sentences) >= 60
    assert shares[0].estimate >= recall
    assert shares[1].estimate >= precision


@pytest.mark.parametrize(
    ("before", "leaks"),
    [
        ("Consider tile C. This one fits on every count.", True),
        ("Consider tile D. This one fits on every count.", False),
        ("All other tiles can be excluded.", True),
        ("A, B, D and E do not match.", True),
        ("The remaining candidates, however, are excluded.", True),
        ("A, B, D and E cannot be ruled out.", False),
        ("Tiles A and B lack the canal and are excluded, while C and D keep it. E is out.", False),
        ("Tile C is not the match.", False),
        ("Tile C is not the place.", False),
        ("Whether C is correct is open.", False),
        ("C rather than D is the match.", True),
    ],
)
def test_verdicts_over_sentences(before: str, leaks: bool) -> None:
    assert names_answer(before, "C", 2, 5) is leaks


def test_a_lone_tile_has_no_others() -> None:
    assert not names_answer("The other trees are excluded from view. B shows a road.", "B", 0, 1)
    assert names_answer("Tile B shows the canal. It matches the panorama perfectly.", "B", 0, 1)


@pytest.mark.parametrize("piece", ["the other ", "none of the others ", "B ", "in B everything ", "not a b c ", "it. "])
def test_long_texts_take_bounded_time(piece: str) -> None:
    began = time.process_time()
    names_answer(piece * (20_000 // len(piece)), "B", 1, 5)
    assert time.process_time() - began < 3.0
