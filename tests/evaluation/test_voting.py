"""Several samples of a question: votes, ties, and the chance that one of k is right."""

from __future__ import annotations

import itertools

import pytest

from geor1.evaluation.voting import pass_at_k, vote_credit, voting_row
from geor1.records import Prediction


def answers(item: str, *choices: str | None, answer: str = "A", rotation: int = 0) -> list[Prediction]:
    return [
        Prediction(
            model="m",
            task="pairing",
            item_id=item,
            raw="",
            status="ok" if choice else "no_answer",
            choice=choice,
            answer=answer,
            rotation=rotation,
            sample=sample,
        )
        for sample, choice in enumerate(choices)
    ]


@pytest.mark.parametrize("samples", range(1, 7))
def test_pass_at_k_is_the_mean_over_all_draws(samples: int) -> None:
    for correct in range(samples + 1):
        outcomes = [True] * correct + [False] * (samples - correct)
        for k in range(1, samples + 1):
            draws = [any(draw) for draw in itertools.combinations(outcomes, k)]
            assert pass_at_k(samples, correct, k) == pytest.approx(sum(draws) / len(draws))


@pytest.mark.parametrize("wrong", [(3, 1, 4), (3, 1, 0), (3, 4, 1), (3, -1, 1)])
def test_impossible_counts_are_refused(wrong: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="pass_at_k"):
        pass_at_k(*wrong)


def test_a_row_by_hand() -> None:
    """Right by vote, half by a tie, and not at all; one of four, two of four, none right."""
    predictions = [
        *answers("a", "A", "A", "B", "C"),
        *answers("b", "A", "B", "A", "B"),
        *answers("c", "B", None, "B", "B"),
    ]
    row = voting_row(predictions)
    assert (row["label"], row["n"], row["samples"]) == ("m", 3, 4)
    assert row["majority"] == pytest.approx((1 + 0.5 + 0) / 3)
    assert row["pass_at_1"] == pytest.approx((2 / 4 + 2 / 4 + 0) / 3)
    assert row["pass_at_2"] == pytest.approx((5 / 6 + 5 / 6 + 0) / 3)
    assert row["pass_at_4"] == pytest.approx(2 / 3)
    assert row["majority_low"] <= row["majority"] <= row["majority_high"]


def test_votes_are_taken_rotation_by_rotation() -> None:
    row = voting_row([*answers("a", "A", "A"), *answers("a", "A", "A", answer="B", rotation=1)])
    assert (row["n"], row["majority"], row["pass_at_2"]) == (1, 0.5, 0.5)
    assert vote_credit(["B", "A", "A", "B", "C"], "B") == 0.5


def test_samples_must_be_even() -> None:
    with pytest.raises(ValueError, match="one number of samples"):
        voting_row([*answers("a", "A", "A"), *answers("b", "A")])
