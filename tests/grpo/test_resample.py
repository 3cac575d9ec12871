"""Replacing questions whose completions all earn the same."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tiny_cases import small_checkpoint, write_questions

from geor1.grpo.config import GrpoConfig
from geor1.grpo.data import load_questions, to_dataset
from geor1.grpo.resample import Group, joined, replace_ties, split
from geor1.grpo.rollout import Rollouts
from geor1.grpo.run import trl_settings
from geor1.grpo.trainer import GeoGRPOTrainer
from geor1.models.loading import load_model, load_processor

GROUP = 3


def rows(numbers: Sequence[int]) -> list[dict[str, Any]]:
    return [{"prompt": f"question {number}", "images": [], "number": number} for number in numbers]


class Sampler:
    """Groups that tie for the given numbers; remembers what it was asked."""

    def __init__(self, tying: set[int]) -> None:
        self.tying = tying
        self.asked: list[list[int]] = []

    def __call__(self, asked: Sequence[dict[str, Any]], round_: int) -> list[Group]:
        assert round_ == len(self.asked)
        self.asked.append([row["number"] for row in asked])
        return [Group(row, None, None, row["number"] in self.tying) for row in asked]  # type: ignore[arg-type]


def numbers(groups: Sequence[Group]) -> list[int]:
    return [group.row["number"] for group in groups]


def test_ties_give_way_to_questions_that_do_not_tie() -> None:
    sampler = Sampler(tying={1, 3, *range(10, 15)})
    groups, tied = replace_ties(rows(range(5)), sampler, rows(range(20)), rounds=20, seed=0)
    assert [number for number in numbers(groups) if number not in range(5)] == [numbers(groups)[1], numbers(groups)[3]]
    assert numbers(groups)[::2] == [0, 2, 4] and not any(group.tied for group in groups)
    assert tied[0] == 2 and tied[-1] == 0
    asked = [number for round_ in sampler.asked for number in round_]
    assert len(asked) == len(set(asked)), "no question twice in a step"


def test_rounds_end_and_what_ties_stays() -> None:
    sampler = Sampler(tying=set(range(100)))
    groups, tied = replace_ties(rows(range(4)), sampler, rows(range(100)), rounds=2, seed=0)
    assert numbers(groups) == [0, 1, 2, 3] and tied == [4, 4, 4] and len(sampler.asked) == 3


def test_a_training_set_that_is_used_up_ends_it_too() -> None:
    sampler = Sampler(tying=set(range(6)))
    groups, tied = replace_ties(rows(range(4)), sampler, rows(range(6)) * 2, rounds=9, seed=0)
    assert tied == [4, 2] and sorted(sampler.asked[1]) == [4, 5] and numbers(groups) == [0, 1, 2, 3]


def test_nothing_is_drawn_where_nothing_ties() -> None:
    sampler = Sampler(tying=set())
    groups, tied = replace_ties(rows([3, 1]), sampler, rows(range(9)), rounds=5, seed=0)
    assert numbers(groups) == [3, 1] and tied == [0] and sampler.asked == [[3, 1]]


def test_the_draw_is_the_seeds() -> None:
    drawn = []
    for seed in (0, 0, 1):
        sampler = Sampler(tying={0, 1, 2})
        replace_ties(rows(range(3)), sampler, rows(range(50)), rounds=1, seed=seed)
        drawn.append(sampler.asked[1])
    assert drawn[0] == drawn[1] != drawn[2]


def test_split_and_joined_are_each_others_inverse() -> None:
    whole = Rollouts([[1], [2], [3], [4]], [[0.1], [0.2], [0.3], [0.4]], [[1.0], [2.0], [3.0], [4.0]], 7)
    parts = split(whole, 2)
    assert parts[1].completion_ids == [[3], [4]] and parts[0].log_probs == [[0.1], [0.2]]
    again = joined([Group({}, None, part, False) for part in parts])  # type: ignore[arg-type]
    assert (again.completion_ids, again.log_probs, again.entropies) == (
        whole.completion_ids,
        whole.log_probs,
        whole.entropies,
    )


def test_training_learns_from_replacements(tmp_path: Path) -> None:
    """Two questions in three tie by their reward; with rounds enough no step trains on one of them."""
    write_questions(tmp_path / "data", 12)
    small_checkpoint(tmp_path / "base", seed=1, spread=2.0)
    questions = load_questions(tmp_path / "data", "train")
    dead = {question.question_id for question in questions[:8]}
    calls: list[list[str]] = []

    def alive(question_id: list[str], log_metric: Any, log_extra: Any, **_: Any) -> list[float]:
        calls.append(question_id[::GROUP])
        log_metric("dead", sum(name in dead for name in question_id) / len(question_id))
        log_extra("name", question_id)
        pairs = zip(question_id, range(len(question_id)), strict=True)
        return [0.5 if name in dead else float(place % GROUP) for name, place in pairs]

    def train(rounds: int, name: str) -> list[dict[str, float]]:
        calls.clear()
        config = GrpoConfig(
            steps=2, prompts_per_step=4, group_size=GROUP, max_completion_tokens=5, resample_rounds=rounds, threads=1
        )
        processor = load_processor(tmp_path / "base")
        trainer = GeoGRPOTrainer(
            model=load_model(tmp_path / "base"),
            reward_funcs=[alive],
            args=trl_settings(config, tmp_path / name, [1.0]),
            train_dataset=to_dataset(questions, tmp_path / "data"),
            processing_class=processor,
            run_dir=tmp_path / name,
            resample_rounds=rounds,
            rollouts_every=1,
        )
        trainer.train()
        assert len(trainer._logs["extra"]["name"]) == len(trainer._logs["completion"])
        return [line for line in trainer.state.log_history if "loss" in line]

    plain = train(0, "plain")
    assert [line["frac_reward_zero_std"] for line in plain] == [1.0, 1.0]  # the first eight questions are the dead ones
    assert "resampling/rounds" not in plain[0]
    replaced = train(9, "replaced")
    for line in replaced:
        assert line["frac_reward_zero_std"] == 0.0 and line["resampling/tied_at_first"] == 1.0
        assert line["dead"] == 0.0  # what a reward function logs is logged for the batch that is trained on
        assert 1 <= line["resampling/rounds"] <= 5  # eight others, four of them dead, at least one drawn a round
        assert line["work/completion_tokens"] > plain[0]["work/completion_tokens"]
    assert set(calls[-1]) == {question.question_id for question in questions[8:]}
