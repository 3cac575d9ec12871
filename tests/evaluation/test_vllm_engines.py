"""Stage 04 with vLLM in its own process, which a stand-in for the package replaces."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import pytest
import vllm_package
from evaluation_cases import write_questions

from geor1.evaluation.config import EvaluationConfig
from geor1.evaluation.run import SCORES, run_evaluation
from geor1.records import write_jsonl

CONFIG = EvaluationConfig(
    backend="vllm", n_questions=3, rotations=1, n_control=2, n_geolocation=1, bootstrap_resamples=100
)


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch) -> type[vllm_package.LLM]:
    monkeypatch.setitem(sys.modules, "vllm", vllm_package.package())
    return vllm_package.LLM


@pytest.mark.parametrize(("options", "real_options"), [(8, 3), (3, 9)])
def test_room_is_for_the_images_of_the_questions_asked(
    engines: type[vllm_package.LLM], tmp_path: Path, options: int, real_options: int
) -> None:
    """As many tiles as stage 01 was told to offer, in test and in real questions."""
    data = tmp_path / "data"
    write_jsonl(data / "questions_test.jsonl", write_questions(data, 3, options))
    real = [
        dataclasses.replace(one, question_id=f"r{one.question_id}") for one in write_questions(data, 2, real_options)
    ]
    write_jsonl(data / "questions_real.jsonl", real)
    run_evaluation(CONFIG, data, {"base": tmp_path / "base"}, tmp_path / "run")
    assert (tmp_path / "run" / SCORES).is_file()
    (engine,) = engines.made
    assert engine.settings["limit_mm_per_prompt"] == {"image": 1 + max(options, real_options), "video": 0}
