"""Rotations and pairing scores: tiny tables counted by hand, then properties."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geor1.evaluation.pairing import item_accuracies, rotate, rotations, score_pairing, tile_sets
from geor1.evaluation.statistics import wilson_interval
from geor1.records import Candidate, Prediction, Question


def make_question(count: int = 5, answer: str = "B", name: str = "q0") -> Question:
    letters = [chr(ord("A") + i) for i in range(count)]
    candidates = tuple(Candidate(letter=x, pair_id=f"p{x}", satellite_image=f"{x}.png") for x in letters)
    return Question(
        question_id=name,
        pair_id=f"p{answer}",
        source="world",
        split="test",
        ground_image="g.png",
        candidates=candidates,
        answer=answer,
    )


def predict(item: str, rotation: int, answer: str, choice: str | None, **fields: object) -> Prediction:
    status = fields.pop("status", "ok" if choice else "no_answer")
    return Prediction(
        model="m",
        task="pairing",
        item_id=item,
        raw="",
        status=status,
        rotation=rotation,
        choice=choice,
        answer=answer,
        **fields,
    )  # type: ignore[arg-type]


def test_rotate_by_hand() -> None:
    turned = rotate(make_question(3, "C"), 1)
    assert [(c.letter, c.satellite_image) for c in turned.candidates] == [
        ("A", "C.png"),
        ("B", "A.png"),
        ("C", "B.png"),
    ]
    assert turned.answer == "A"


@given(st.integers(2, 11), st.integers(0, 30), st.data())
def test_rotation_keeps_the_true_tile_and_returns_after_k(count: int, shift: int, data: st.DataObject) -> None:
    answer = chr(ord("A") + data.draw(st.integers(0, count - 1)))
    question = make_question(count, answer)
    turned = rotate(question, shift)
    true_tile = next(c.pair_id for c in turned.candidates if c.letter == turned.answer)
    assert true_tile == question.pair_id
    assert [c.letter for c in turned.candidates] == [c.letter for c in question.candidates]
    assert rotate(turned, count - shift % count) == question


def test_rotations_put_the_answer_everywhere_once() -> None:
    asked = rotations(make_question(5, "D"), 99)
    assert [shift for shift, _ in asked] == [0, 1, 2, 3, 4]
    assert sorted(q.answer for _, q in asked) == list("ABCDE")
    with pytest.raises(ValueError, match="at least 1"):
        rotations(make_question(), 0)


def test_always_a_is_chance_under_rotation_and_zero_circular() -> None:
    table = [
        predict(f"q{i}", shift, q.answer, "A")
        for i, gold in enumerate("AABCDE")
        for shift, q in rotations(make_question(5, gold), 5)
    ]
    score = score_pairing(table)
    assert score.accuracy.estimate == pytest.approx(0.2)
    assert score.accuracy.low == score.accuracy.high == pytest.approx(0.2)
    assert score.circular.estimate == 0.0
    assert score.accuracy_single is not None
    assert score.accuracy_single.estimate == pytest.approx(2 / 6)
    assert [p.recall for p in score.by_position] == [1.0, 0.0, 0.0, 0.0, 0.0]
    assert score.choices == {"A": 30, "B": 0, "C": 0, "D": 0, "E": 0, "none": 0}
    assert score.chance == 0.2


def test_score_by_hand() -> None:
    table = [
        predict("q0", 0, "A", "A", completion_tokens=10, facts_stated=4, facts_true=3),
        predict("q0", 1, "B", "B", completion_tokens=20),
        predict("q1", 0, "B", "A", completion_tokens=30, facts_stated=4, facts_true=4),
        predict("q1", 1, "C", None, status="hedged", finished=False),
    ]
    score = score_pairing(table, n_options=3)
    assert (score.n_items, score.rotations, score.n_options) == (2, 2, 3)
    assert score.accuracy.estimate == 0.5
    assert (score.accuracy.low, score.accuracy.high) == (0.0, 1.0)
    assert score.circular.estimate == 0.5
    assert score.failures == {"hedged": 1}
    assert score.n_failures == 1
    assert score.choices == {"A": 2, "B": 1, "C": 0, "none": 1}
    assert [(p.n, p.correct) for p in score.by_position] == [(1, 1), (2, 1), (1, 0)]
    assert score.facts_true_share == pytest.approx(7 / 8)
    assert score.completion_tokens == 20.0
    assert score.unfinished == 0.25
    assert item_accuracies(table) == {"q0": 1.0, "q1": 0.0}


def test_questions_on_the_same_tiles_count_as_one_where_one_knows_all_of_them() -> None:
    # Forty sets of five; the model knows a set or does not: forty observations, not two hundred.
    asked = [(f"s{i}q{k}", f"s{i}", i % 2 == 0) for i in range(40) for k in range(5)]
    table = [predict(item, 0, "A", "A" if right else "B") for item, _, right in asked]
    alone = score_pairing(table)
    grouped = score_pairing(table, groups={item: one for item, one, _ in asked})
    assert (alone.n_independent, grouped.n_items, grouped.n_independent) == (200, 200, 40)
    forty = wilson_interval(20, 40)
    for interval in (grouped.accuracy, grouped.accuracy_single, grouped.circular):
        assert interval is not None
        assert interval.estimate == 0.5
        assert interval.high - interval.low == pytest.approx(forty.high - forty.low, abs=0.03)
    assert alone.accuracy.high - alone.accuracy.low < 0.5 * (grouped.accuracy.high - grouped.accuracy.low)
    with pytest.raises(KeyError):
        score_pairing(table, groups={})


def test_tile_sets_know_nothing_of_order_and_answer() -> None:
    asked = make_question(5, "B", "q0")
    sets = tile_sets([asked, dataclasses.replace(rotate(asked, 2), question_id="q1"), make_question(4, "A", "q2")])
    assert sets["q0"] == sets["q1"] != sets["q2"]


def test_nonsense_only_scores_zero_with_its_reasons() -> None:
    score = score_pairing([predict(f"q{i}", 0, "A", None, status="empty") for i in range(3)], n_options=5)
    assert score.accuracy.estimate == 0.0
    assert (score.accuracy.low, score.accuracy.high) == pytest.approx((0.0, 1.96**2 / (3 + 1.96**2)), abs=1e-4)
    assert score.failures == {"empty": 3}
    assert score.facts_true_share is None
    assert score.completion_tokens is None


def test_options_are_inferred_from_the_images() -> None:
    assert score_pairing([predict("q", 0, "A", "A", images=("g", "1", "2", "3", "4"))]).n_options == 4


def test_refusals() -> None:
    with pytest.raises(ValueError, match="got none"):
        score_pairing([])
    with pytest.raises(ValueError, match="one model and condition"):
        score_pairing([predict("q", 0, "A", "A"), predict("r", 0, "A", "A", condition="blind")])
    with pytest.raises(ValueError, match="a rotation twice"):
        score_pairing([predict("q", 0, "A", "A"), predict("q", 0, "A", "A")])
    with pytest.raises(ValueError, match="finish the interrupted run"):
        score_pairing([predict("q", 0, "A", "A"), predict("q", 1, "B", "A"), predict("r", 0, "A", "A")])
