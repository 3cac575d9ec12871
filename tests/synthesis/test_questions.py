"""Questions: one right tile each, its letter uniform, everything seeded."""

from __future__ import annotations

import collections
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from geor1.records import Question, read_jsonl, write_jsonl
from geor1.synthesis.negative_rule import NegativeRule
from geor1.synthesis.negatives import NegativesError, Neighbourhoods
from geor1.synthesis.questions import balanced_positions, build_questions, letters_of, plan_questions, write_questions

from .hand_made import line_of_places, place
from .layout_cases import peak_bytes

HOOD = Neighbourhoods(line_of_places() + line_of_places("test", "Loja"), NegativeRule())


@pytest.mark.parametrize("candidates", [2, 5, 8])
@pytest.mark.parametrize("split", ["train", "test"])
def test_each_question_has_one_true_tile(candidates: int, split: str) -> None:
    questions, left_out = build_questions(HOOD, split=split, candidates=candidates, questions_per_pair=3)
    assert len(questions) == 24 and left_out == []
    assert len({question.question_id for question in questions}) == 24
    for question in questions:
        assert question.split == split
        assert [option.letter for option in question.candidates] == list(letters_of(candidates))
        right = [option for option in question.candidates if option.pair_id == question.pair_id]
        assert [option.letter for option in right] == [question.answer]
        assert right[0].distance_m == 0.0 and right[0].facts == question.facts
        others = [option for option in question.candidates if option.pair_id != question.pair_id]
        assert all(option.distance_m >= 120.0 for option in others)
        assert len({option.satellite_image for option in question.candidates}) == candidates
        assert all(option.facts["city"] == question.city for option in others)


@pytest.mark.parametrize(("n", "candidates"), [(0, 5), (1, 5), (10, 5), (13, 5), (400, 7)])
def test_gold_positions_are_balanced_up_to_the_remainder(n: int, candidates: int) -> None:
    counts = np.bincount(balanced_positions(n, candidates, np.random.default_rng(1)), minlength=candidates)
    assert counts.sum() == n and counts.max() - counts.min() <= 1


def test_answers_of_a_file_are_balanced() -> None:
    questions, _ = build_questions(HOOD, split="train", questions_per_pair=13)
    counts = collections.Counter(question.answer for question in questions)
    assert sorted(counts.values()) == [20, 21, 21, 21, 21]


def test_negatives_stand_everywhere_equally_often() -> None:
    questions, _ = build_questions(HOOD, split="train", questions_per_pair=200)
    for letter in "ABCDE":
        shown = collections.Counter(q.candidates["ABCDE".index(letter)].pair_id for q in questions)
        assert min(shown.values()) > 130 and max(shown.values()) < 280  # 200 expected


def test_seed_decides_everything() -> None:
    first, again, other = (build_questions(HOOD, split="train", seed=seed)[0] for seed in (3, 3, 4))
    assert first == again != other


def test_isolated_pairs_stop_or_are_counted() -> None:
    lonely = place(50, north_m=50_000.0, words="sand sand sand sand")
    hood = Neighbourhoods([*line_of_places(), lonely], NegativeRule())
    with pytest.raises(NegativesError, match="Quito-50"):
        build_questions(hood, split="train")
    questions, left_out = build_questions(hood, split="train", skip_isolated=True)
    assert left_out == ["hand/Quito-50"] and len(questions) == 8


def test_records_survive_their_file(tmp_path) -> None:
    questions, _ = build_questions(HOOD, split="train")
    assert read_jsonl(write_jsonl(tmp_path / "q.jsonl", questions), Question) == questions


@pytest.mark.parametrize("candidates", [0, 1, 27])
def test_number_of_options_is_checked(candidates: int) -> None:
    with pytest.raises(ValueError, match="2 to 26"):
        letters_of(candidates)


@pytest.mark.parametrize("skip_isolated", [False, True])
def test_written_as_they_are_made_they_are_the_same(tmp_path: Path, skip_isolated: bool) -> None:
    settings = {"split": "train", "questions_per_pair": 7, "seed": 5, "skip_isolated": skip_isolated}
    questions, left_out = build_questions(HOOD, **settings)
    plan = plan_questions(HOOD, **settings)
    seen: list[str] = []

    def watch(made: Iterator[Question]) -> Iterator[Question]:
        """Note each question before it is written."""
        for question in made:
            seen.append(question.question_id)
            yield question

    written = write_questions(tmp_path / "q.jsonl", plan, watch)
    assert list(written) == questions == read_jsonl(tmp_path / "q.jsonl", Question) and plan.left_out == left_out
    assert sorted(seen) == sorted(question.question_id for question in questions) and len(seen) == 56


def test_a_question_that_cannot_be_made_leaves_no_file(tmp_path: Path) -> None:
    lonely = place(50, north_m=50_000.0, words="sand sand sand sand")
    plan = plan_questions(Neighbourhoods([*line_of_places(), lonely], NegativeRule()), split="train")
    with pytest.raises(NegativesError):
        write_questions(tmp_path / "q.jsonl", plan)
    assert not (tmp_path / "q.jsonl").exists()


def test_memory_does_not_grow_with_the_questions(tmp_path: Path) -> None:
    """3,200 questions take 3 MB as a list; written as they are made, a fraction, which half as many hardly change."""

    def write(turns: int) -> int:
        """Questions written."""
        plan = plan_questions(HOOD, split="train", questions_per_pair=turns)
        return len(write_questions(tmp_path / "q.jsonl", plan))

    assert write(100) == 800
    half, whole = (peak_bytes(lambda turns=turns: write(turns)) for turns in (200, 400))
    listed_half = peak_bytes(lambda: build_questions(HOOD, split="train", questions_per_pair=200))
    assert whole < listed_half / 2 and whole - half < listed_half / 10
