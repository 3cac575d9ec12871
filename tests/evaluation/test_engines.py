"""What holds the models of stage 04: room for the questions asked, and one model at a time in memory."""

from __future__ import annotations

import dataclasses
import sys
import weakref
from pathlib import Path

import pytest
import vllm_package
from evaluation_cases import FakeGeneration, write_questions

from geor1.asking.backends import InProcess, Request
from geor1.evaluation.config import EvaluationConfig
from geor1.evaluation.run import SCORES, run_evaluation
from geor1.records import write_jsonl
from geor1.runs import ConfigError

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


def three_models(folder: Path) -> dict[str, Path]:
    write_jsonl(folder / "data" / "questions_test.jsonl", write_questions(folder / "data", 3))
    return {label: folder / label for label in ("base", "sft", "grpo")}


@pytest.mark.parametrize("share", [0.9, 0.4])
def test_an_engine_is_shut_down_before_the_next_one_starts(
    engines: type[vllm_package.LLM], tmp_path: Path, share: float
) -> None:
    """The stand-in refuses, as vLLM does, where its share of the memory is not free."""
    models = three_models(tmp_path)
    config = dataclasses.replace(CONFIG, vllm_gpu_memory=share)
    run_evaluation(config, tmp_path / "data", models, tmp_path / "run")
    assert [engine.settings["model"] for engine in engines.made] == [str(path) for path in models.values()]
    assert [engine.settings["gpu_memory_utilization"] for engine in engines.made] == [share] * 3
    assert not any(engine.share for engine in engines.made)


def test_an_engine_is_shut_down_after_an_error(
    engines: type[vllm_package.LLM], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "reply", None)
    with pytest.raises(RuntimeError, match="the engine died"):
        run_evaluation(CONFIG, tmp_path / "data", three_models(tmp_path), tmp_path / "run")
    assert [engine.share for engine in engines.made] == [0.0]


def test_a_model_in_process_is_dropped_and_comes_back() -> None:
    class Model:
        pass

    loaded: list[weakref.ref[Model]] = []

    def load() -> tuple[Model, None]:
        model = Model()
        loaded.append(weakref.ref(model))
        return model, None

    def generate(model: Model, processor: None, prompts: list[str], images: object, **_: object) -> list:
        return [FakeGeneration("nonsense") for _ in prompts]

    backend = InProcess(load, 2, generate=generate)
    for turn in (1, 2):
        assert len(list(backend.complete([Request("where?", (), 4, 0.0, 0)]))) == 1
        assert len(loaded) == turn and loaded[-1]() is not None
        backend.close()
        assert loaded[-1]() is None


def test_a_share_of_the_memory_is_one() -> None:
    with pytest.raises(ConfigError, match=r"vllm_gpu_memory=1.5: expected above 0, at most 1"):
        EvaluationConfig(vllm_gpu_memory=1.5)
