"""Stage 03 end to end on a very small model: learning, products, and a killed run that resumes exactly."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_cases import small_checkpoint, write_questions

from geor1.grpo.config import GrpoConfig
from geor1.grpo.data import consumption_order, difficulty, load_questions, spread
from geor1.grpo.guard import SampleError
from geor1.grpo.run import freeze, run_grpo
from geor1.models.loading import load_model
from geor1.records import Candidate, Question, RecordError
from geor1.runs import ConfigError, read_metrics

KILLED_RUN = Path(__file__).parents[1] / "models" / "killed_run.py"
SETTINGS: dict[str, Any] = {
    "steps": 6,
    "prompts_per_step": 2,
    "group_size": 4,
    "max_completion_tokens": 8,
    "learning_rate": 1.0e-3,
    "warmup_steps": 1,
    "eval_every": 3,
    "n_eval": 4,
    "rollouts_every": 2,
    "save_steps": 2,
    "threads": 1,
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("grpo")
    write_questions(folder / "data", 9)
    small_checkpoint(folder / "base", seed=1, spread=2.0)
    return folder


def run(world: Path, run_dir: Path, **changes: Any) -> Path:
    return run_grpo(GrpoConfig(**{**SETTINGS, **changes}), world / "data", world / "base", run_dir)


def run_in_process(world: Path, step: int, changes: dict[str, Any], run_dir: Path) -> int:
    command = [sys.executable, str(KILLED_RUN), "grpo", str(step), json.dumps({**SETTINGS, **changes})]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    folders = [str(world / "data"), str(run_dir), str(world / "base")]
    return subprocess.run([*command, *folders], env=environment, check=False).returncode


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"lora": True, "beta": 0.04},
        {"num_iterations": 2, "prompts_per_pass": 1},
        {"freeze_vision": True, "gradient_checkpointing": True},
        {"resample_rounds": 2, "freeze_vision": True, "feature_store": "features"},
    ],
    ids=["full", "lora and KL", "two iterations, two passes", "frozen vision, layers computed again", "ties, features"],
)
def test_a_killed_run_resumes_with_the_same_trace_and_weights(
    world: Path, tmp_path: Path, changes: dict[str, Any]
) -> None:
    if stores := "feature_store" in changes:
        changes = {**changes, "feature_store": str(tmp_path / "features")}
    run(world, tmp_path / "whole", **changes)
    if stores:
        assert any(row.get("resampling/rounds") for row in read_metrics(tmp_path / "whole"))
        changes = {**changes, "feature_store": str(tmp_path / "features made anew")}
    assert run_in_process(world, 5, changes, tmp_path / "killed") == -signal.SIGKILL
    assert [row["step"] for row in read_metrics(tmp_path / "killed")] == [0, 1, 2, 3, 4, 5]
    assert (tmp_path / "killed" / "trainer" / "checkpoint-4" / "complete").is_file()
    run(world, tmp_path / "killed", **changes)
    for name in ("metrics.jsonl", "labels_seen.json", "metrics_summary.json"):
        assert (tmp_path / "killed" / name).read_text() == (tmp_path / "whole" / name).read_text(), name
    for name in ("whole", "killed"):
        assert (tmp_path / name / "rollouts.jsonl").is_file()
    rollouts = [(tmp_path / name / "rollouts.jsonl").read_text() for name in ("whole", "killed")]
    assert rollouts[0] == rollouts[1]
    whole, killed = (load_model(tmp_path / name / "checkpoint").state_dict() for name in ("whole", "killed"))
    assert all(torch.equal(whole[name], killed[name]) for name in whole)


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{}, {"lora": True}, {"num_iterations": 2}], ids=["full", "lora", "two iterations"])
def test_it_resumes_whatever_step_it_is_killed_at(world: Path, tmp_path: Path, changes: dict[str, Any]) -> None:
    run(world, tmp_path / "whole", **changes)
    for step in range(1, SETTINGS["steps"] + 1):
        folder = tmp_path / f"killed at {step}"
        assert run_in_process(world, step, changes, folder) == -signal.SIGKILL
        run(world, folder, **changes)
        for name in ("metrics.jsonl", "rollouts.jsonl", "metrics_summary.json"):
            assert (folder / name).read_text() == (tmp_path / "whole" / name).read_text(), (step, name)


def test_parameters_are_frozen_by_name(world: Path) -> None:
    model = load_model(world / "base")
    names = freeze(model, vision=False, pattern=r"visual\.(?!merger)")
    assert names and all("visual." in name and "merger" not in name for name in names)
    assert {name for name, parameter in model.named_parameters() if not parameter.requires_grad} == set(names)
    everything = freeze(load_model(world / "base"), vision=True, pattern="")
    assert set(names) < set(everything) and any("merger" in name for name in everything)
    with pytest.raises(ConfigError, match="finds no parameter; names are like"):
        freeze(model, vision=False, pattern="vision_tower")
    with pytest.raises(ConfigError, match="is no regular expression"):
        freeze(model, vision=False, pattern="visual(")
    with pytest.raises(ConfigError, match="leaves nothing to train"):
        freeze(model, vision=False, pattern=".")


def test_a_run_killed_before_its_first_checkpoint_starts_afresh(world: Path, tmp_path: Path) -> None:
    run(world, tmp_path / "whole", steps=2)
    assert run_in_process(world, 1, {"steps": 2}, tmp_path / "killed") == -signal.SIGKILL
    run(world, tmp_path / "killed", steps=2)
    assert (tmp_path / "killed" / "metrics.jsonl").read_text() == (tmp_path / "whole" / "metrics.jsonl").read_text()


def test_without_any_difference_in_reward_nothing_moves(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "geor1.grpo.run.make_rewards", lambda **_: ([lambda completions, **_: [0.0] * len(completions)], [1.0])
    )
    product = run(world, tmp_path, steps=2, eval_every=0)
    assert [row["frac_reward_zero_std"] for row in read_metrics(tmp_path)] == [1.0, 1.0]
    before, after = load_model(world / "base").state_dict(), load_model(product).state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_run_that_dies_after_its_last_step_ends_from_its_last_checkpoint(world: Path, tmp_path: Path) -> None:
    product = run(world, tmp_path, steps=4)
    before, trained = read_metrics(tmp_path), load_model(product).state_dict()
    shutil.rmtree(product)  # killed before the product was saved, or before the manifest
    resumed = load_model(run(world, tmp_path, steps=4)).state_dict()
    assert read_metrics(tmp_path) == before
    assert all(torch.equal(trained[name], resumed[name]) for name in trained)


def test_products_say_what_was_done(world: Path, tmp_path: Path) -> None:
    (tmp_path / "start").mkdir()
    start = small_checkpoint(tmp_path / "start" / "checkpoint", seed=1, spread=2.0)
    (tmp_path / "start" / "labels_seen.json").write_text('{"pairing_labels_seen": 5, "detail": {}}')
    config = GrpoConfig(**{**SETTINGS, "steps": 3})
    product = run_grpo(config, world / "data", start, tmp_path / "run")
    labels = json.loads((tmp_path / "run" / "labels_seen.json").read_text())
    assert labels == {"pairing_labels_seen": 11, "detail": {"start_checkpoint": 5, "questions": 6}}
    rows = read_metrics(tmp_path / "run")
    assert [row["step"] for row in rows] == [0, 1, 2, 3]
    assert [row["step"] for row in rows if "heldout/accuracy" in row] == [0, 3]
    for name in ("accuracy", "format", "length", "repetition"):
        assert f"rewards/{name}/mean" in rows[-1]
    assert {"frac_reward_zero_std", "completions/mean_length", "entropy", "reward", "loss"} <= set(rows[-1])
    rollouts = [json.loads(line) for line in (tmp_path / "run" / "rollouts.jsonl").read_text().splitlines()]
    assert Counter(one["step"] for one in rollouts) == {1: 8, 3: 8}
    assert (tmp_path / "run" / rollouts[0]["images"][0]).is_file()
    assert set(rollouts[0]["rewards"]) == {"accuracy", "format", "length", "repetition"}
    assert (product / "model.safetensors").is_file()
    assert list((tmp_path / "run" / "trainer").glob("checkpoint-3/complete"))  # until the manifest is written


def test_a_rewarded_token_becomes_likelier(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def begins_with_b(completions: list[Any], **_: Any) -> list[float]:
        return [float(completion[0]["content"].startswith("B")) for completion in completions]

    monkeypatch.setattr("geor1.grpo.run.make_rewards", lambda **_: ([begins_with_b], [1.0]))
    changes = {"steps": 30, "prompts_per_step": 4, "group_size": 8, "max_completion_tokens": 2, "save_steps": 50}
    run(world, tmp_path, **changes, learning_rate=1.0e-2, eval_every=0)
    rewards = [row["reward"] for row in read_metrics(tmp_path)]
    assert sum(rewards[-5:]) / 5 > 0.8 > 0.3 > sum(rewards[:3]) / 3


def test_the_released_rewards_run_too(world: Path, tmp_path: Path) -> None:
    run(world, tmp_path, steps=1, reward_preset="released_code")
    assert any(name.startswith("rewards/") for name in read_metrics(tmp_path)[-1])


def test_a_missing_image_is_named(world: Path, tmp_path: Path) -> None:
    data = write_questions(tmp_path / "data", 4)
    (data / "images" / "train-001-B.png").unlink()
    with pytest.raises(SampleError, match=r"sample 'train-001': image .*train-001-B\.png is missing"):
        run_grpo(GrpoConfig(**SETTINGS), data, world / "base", tmp_path / "run")


def question(facts: list[dict[str, str]], distances: list[float] | None = None) -> Question:
    candidates = tuple(
        Candidate(
            letter=chr(65 + place),
            pair_id=str(place),
            satellite_image="x.png",
            facts=one,
            distance_m=None if distances is None else distances[place],
        )
        for place, one in enumerate(facts)
    )
    return Question(
        question_id="q",
        pair_id="0",
        source="test",
        split="train",
        ground_image="g.png",
        candidates=candidates,
        answer="A",
    )


def test_difficulty_counts_what_negatives_share_with_the_right_tile() -> None:
    right = {"north": "water", "east": "sand"}
    assert difficulty(question([right, {"north": "field", "east": "towers"}])) == 0.0
    assert difficulty(question([right, {"north": "water", "east": "towers"}, right])) == 0.75
    assert difficulty(question([{}, {}], [0.0, 1000.0])) == 0.5


def test_order_is_random_or_easy_first_and_repeats_when_questions_run_out(world: Path) -> None:
    questions = load_questions(world / "data", "train")
    order = consumption_order(questions, 20, "random", 0)
    assert set(Counter(order[:9]).values()) == {1}
    assert len(order) == 20
    assert order == consumption_order(questions, 20, "random", 0) != consumption_order(questions, 20, "random", 1)
    hardness = [difficulty(questions[place]) for place in consumption_order(questions, 9, "easy_to_hard", 0)]
    assert hardness == sorted(hardness)
    assert hardness[0] < hardness[-1]


def test_far_negatives_come_first() -> None:
    near, far = question([{}] * 3, [0.0, 200.0, 400.0]), question([{}] * 3, [0.0, 5000.0, 300.0])
    assert consumption_order([near, far], 2, "far_to_near", 0) == [1, 0]
    with pytest.raises(RecordError, match="candidate B has no distance_m"):
        consumption_order([question([{}] * 2)], 1, "far_to_near", 0)


def test_held_out_questions_are_spread_over_the_file(world: Path) -> None:
    questions = load_questions(world / "data", "test")
    assert [one.question_id for one in spread(questions, 3)] == ["test-000", "test-003", "test-006"]
    assert spread(questions, 100) == questions


def test_missing_and_misplaced_questions_are_refused(world: Path, tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="01_data_synthesis"):
        load_questions(tmp_path, "train")
    text = (world / "data" / "questions_test.jsonl").read_text()
    (tmp_path / "questions_train.jsonl").write_text(text)
    with pytest.raises(RecordError, match="9 questions of another split"):
        load_questions(tmp_path, "train")


@pytest.mark.parametrize(
    ("wrong", "name"),
    [
        ({"steps": 0}, "steps"),
        ({"group_size": 1}, "group_size"),
        ({"temperature": 0.0}, "temperature"),
        ({"loss_type": "ppo"}, "loss_type"),
        ({"order": "hard_first"}, "order"),
        ({"reward_preset": "best"}, "reward_preset"),
        ({"prompts_per_pass": 5}, "prompts_per_pass"),
        ({"num_iterations": 3, "save_steps": 10}, "save_steps"),
    ],
)
def test_wrong_parameters_are_named(wrong: dict[str, Any], name: str) -> None:
    with pytest.raises(ConfigError, match=name):
        GrpoConfig(**wrong)
