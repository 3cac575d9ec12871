"""The benchmark runs, and its arithmetic is right."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from geor1.grpo.bench import saving
from geor1.grpo.bench_cases import CASES, PICTURES, SIZES, Bench


@pytest.mark.parametrize(("preset", "prompt_tokens"), [(p, case[0]) for p in CASES for case in CASES[p]])
def test_prompts_have_the_length_they_say(preset: str, prompt_tokens: int) -> None:
    assert prompt_tokens in PICTURES and preset in SIZES
    case = Bench("tiny", torch.device("cpu")).case(prompt_tokens, 8, 3, varied=True)
    assert len(case.prompt.input_ids) == prompt_tokens
    assert case.mask.sum(1)[0] == 8 and case.completions.shape == (3, 8)


def test_the_saving_by_hand() -> None:
    bench = Bench("tiny", torch.device("cpu"))
    case = bench.case(573, 64, 8, varied=False)
    found = saving(bench, case)
    assert found["tokens"] == pytest.approx(8 * (573 + 64) / (573 + 8 * 64))
    assert found["vision"] == 8
    assert found["tokens"] * 0.8 < found["language"] < found["together"] < 8


@pytest.mark.slow
def test_the_command_measures_and_writes(tmp_path: Path) -> None:
    out = tmp_path / "bench.json"
    command = [sys.executable, "-m", "geor1.grpo.bench", "--case", "573,8,2", "--repeats", "1", "--steps", "1"]
    done = subprocess.run(
        [*command, "--device", "cpu", "--threads", "1", "--json", str(out)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(out.read_text())["rows"]
    assert row["forward_backward"]["log_prob_error"] < 1e-5 and row["forward_backward"]["gradient_error"] < 1e-5
    assert row["forward_backward"]["ratio"]["median"] > 1 and row["step"]["ratio"]["median"] > 1
    assert 0 < row["peak_bytes"]["ours"] < row["peak_bytes"]["stock"]
    assert "whole step" in done.stdout
