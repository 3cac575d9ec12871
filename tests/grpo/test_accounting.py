"""Phases without gaps, and counted work against torch's own counter."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from families import FAMILIES, family_model
from tiny_cases import picture, small_checkpoint, write_questions
from torch.utils.flop_counter import FlopCounterMode

from geor1.grpo.accounting import PHASES, Peak, PhaseClock, Work, bounds, cost_model, count_work, measure_peak
from geor1.grpo.config import GrpoConfig
from geor1.grpo.prefix import score_completions
from geor1.grpo.run import run_grpo
from geor1.models.encoding import PromptEncoder
from geor1.runs import read_metrics


def test_every_moment_belongs_to_the_innermost_phase(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    clock = PhaseClock()
    clock.lap()
    with clock.phase("forward"):
        now[0] += 2.0
        with clock.phase("rollout"):
            now[0] += 5.0
        now[0] += 1.0
    now[0] += 0.5
    spent = {name: seconds for name, seconds in clock.lap().items() if seconds}
    assert spent == {"forward_s": 3.0, "rollout_s": 5.0, "other_s": 0.5}
    assert sum(clock.lap().values()) == 0.0
    with pytest.raises(ValueError, match="phase: expected one of"):
        clock.switch("lunch")


def test_an_error_leaves_the_phase() -> None:
    clock = PhaseClock()
    with pytest.raises(KeyError), clock.phase("rewards"):
        raise KeyError
    assert clock.switch("other") == "other"


@pytest.mark.parametrize("family", FAMILIES)
def test_counted_work_is_torchs_own_count(family: str) -> None:
    model, processor = family_model(family)
    encoder = PromptEncoder(processor)
    rng = np.random.default_rng(0)
    prompt = encoder.encode("north <image> A : <image> ?", [picture(rng, 224, 112), picture(rng, 112, 112)])
    tokens, mask = torch.randint(15, 40, (4, 30)), torch.ones(4, 30)
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        score_completions(model, encoder.stack([prompt]), tokens, mask, kernel="mask")
    cost = cost_model(model)
    work = count_work(
        len(prompt.input_ids),
        [image.grid_thw for image in prompt.images],
        [30] * 4,
        window_patches=cost.window_patches,
    )
    # Torch counts linear layers exactly, attention on CPU not at all; pairs are checked by hand below.
    attention = (
        cost.per_pair * (work.prompt_pairs + work.completion_pairs)
        + cost.per_vision_pair_full * work.vision_pairs_full
        + cost.per_vision_pair_window * work.vision_pairs_window
    )
    linear = cost.forward(work) - attention
    counted = counter.get_flop_counts()["Global"]
    matrices = sum(value for name, value in counted.items() if "attention" not in str(name) and "bmm" not in str(name))
    assert matrices == pytest.approx(linear, rel=0.01)


def test_pairs_of_a_small_case_by_hand() -> None:
    work = count_work(3, [(1, 4, 6)], [2, 0], window_patches=4)
    assert work == Work(
        prompt_tokens=3,
        prompt_pairs=6,
        patches=24,
        vision_pairs_full=24 * 24,
        vision_pairs_window=16 * 16 + 8 * 8,
        completion_tokens=2,
        read_tokens=1,
        completion_pairs=1 * 3 + 1,
    )
    assert work + work == count_work(3, [(1, 4, 6)] * 2, [2, 0, 2, 0], window_patches=4) + Work(
        prompt_tokens=3, prompt_pairs=6
    )


def test_bounds_follow_what_trains() -> None:
    model, _ = family_model("qwen2_5_vl")
    work = count_work(100, [(1, 8, 8)], [10, 10])
    slow = bounds(cost_model(model), Peak(1e6, 1e6), work, work, decode_steps=10, references=1)
    assert slow["backward"] == pytest.approx(2 * slow["forward"])
    assert slow["reference"] == slow["forward"]
    frozen = bounds(cost_model(model), Peak(1e6, 1e6), work, work, decode_steps=10, trains_vision=0)
    assert frozen["reference"] == 0
    assert slow["backward"] - frozen["backward"] == pytest.approx(2 * cost_model(model).vision(work) / 1e6)
    adapters = bounds(
        cost_model(model), Peak(1e6, 1e6), work, work, decode_steps=10, trains_vision=0, trains_language=0
    )
    assert adapters["backward"] == pytest.approx(frozen["backward"] / 2)
    assert slow["rollout"] > frozen["forward"] - cost_model(model).per_pair  # prompts and completions, both read


def test_the_machine_is_measured() -> None:
    peak = measure_peak(torch.device("cpu"), torch.float32)
    assert 1e9 < peak.flops_per_s < 1e13
    assert 1e8 < peak.bytes_per_s < 1e13


def test_phases_of_a_run_sum_to_its_wall_time(tmp_path: Path) -> None:
    write_questions(tmp_path / "data", 8)
    config = GrpoConfig(
        steps=4,
        prompts_per_step=2,
        group_size=2,
        max_completion_tokens=8,
        eval_every=2,
        n_eval=4,
        save_steps=2,
        threads=1,
    )
    run_grpo(config, tmp_path / "data", small_checkpoint(tmp_path / "base", spread=2.0), tmp_path / "run")
    lines = [json.loads(line) for line in (tmp_path / "run" / "timings.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3, 4]
    for line in lines:
        phases = {name: line[f"{name}_s"] for name in PHASES}
        assert sum(phases.values()) == pytest.approx(line["seconds"], rel=0.03, abs=0.01)
        assert all(phases[name] > 0 for name in ("data", "rollout", "rewards", "forward", "backward", "optimiser"))
        assert all(0 < line[f"{name}_bound_s"] <= phases[name] for name in ("rollout", "forward", "backward"))
        assert phases["other"] < 0.5 * line["seconds"] and phases["optimiser"] < 0.5 * line["seconds"]
    assert lines[1]["held_out_s"] > 0 and lines[2]["held_out_s"] == 0
    steps = [row for row in read_metrics(tmp_path / "run") if row["step"] > 0]
    assert all(row["work/prompt_tokens"] > 0 and row["work/completion_tokens"] > 0 for row in steps)
    assert not any(name.startswith("phase") for row in steps for name in row)
