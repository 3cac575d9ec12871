"""TensorBoard holds what metrics.jsonl holds, resumed or not; other trackers by one parameter."""

from __future__ import annotations

import functools
import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tiny_cases import small_checkpoint, write_questions

from geor1.models import training
from geor1.models.tracking import NoTracker, TensorBoardTracker, numbers, open_tracker, require_tracker
from geor1.runs import ConfigError, LaunchConfig, RunStoppedError, append_metrics, read_metrics, truncate_metrics
from geor1.runs.processes import LAUNCH_FILE
from geor1.runs.typed import to_plain
from geor1.sft.config import SftConfig
from geor1.sft.run import run_sft

with_tensorboard = pytest.mark.skipif(
    importlib.util.find_spec("tensorboard") is None, reason="no TensorBoard here; pip install geor1[tracking]"
)


def scalars(run_dir: Path) -> dict[int, dict[str, float]]:
    """The event files read back: figures by step and name."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run_dir / "tensorboard"), size_guidance={"scalars": 0})
    events.Reload()
    found: dict[int, dict[str, float]] = {}
    for name in events.Tags()["scalars"]:
        for event in events.Scalars(name):
            found.setdefault(event.step, {})[name] = event.value
    return found


def expected(run_dir: Path) -> dict[int, dict[str, Any]]:
    rows = {row["step"]: numbers(row) for row in read_metrics(run_dir)}
    return {step: {name: pytest.approx(value, rel=1e-6) for name, value in row.items()} for step, row in rows.items()}


def launch(run_dir: Path, **values: Any) -> None:
    run_dir.mkdir(parents=True, exist_ok=True)
    (run_dir / LAUNCH_FILE).write_text(json.dumps(to_plain(LaunchConfig(**values))))


@with_tensorboard
def test_a_stopped_and_resumed_training_shows_each_step_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_questions(tmp_path / "data", 8)
    small_checkpoint(tmp_path / "base")
    run_dir = tmp_path / "run"
    launch(run_dir, report_to="tensorboard")
    config = SftConfig(base_model=str(tmp_path / "base"), max_steps=5, batch_size=4, save_steps=2, threads=1)
    with monkeypatch.context() as patch:
        patch.setattr(training, "stop_requested", lambda folder: "noon" if len(read_metrics(folder)) == 2 else "")
        with pytest.raises(RunStoppedError, match="stopped by noon after step 3 of 5"):
            run_sft(config, tmp_path / "data", run_dir)
    assert scalars(run_dir) == expected(run_dir) and len(expected(run_dir)) == 3
    run_sft(config, tmp_path / "data", run_dir)
    assert scalars(run_dir) == expected(run_dir) and sorted(expected(run_dir)) == [1, 2, 3, 4, 5]
    assert "loss" in scalars(run_dir)[5]


@with_tensorboard
def test_steps_taken_back_are_gone_and_what_is_no_number_is_left_out(tmp_path: Path) -> None:
    append_metrics(tmp_path, 0, **{"heldout/accuracy": 0.25})
    append_metrics(tmp_path, 1, loss=1.5, note="text", rate=float("nan"))
    append_metrics(tmp_path, 2, loss=9.0)
    truncate_metrics(tmp_path, 1)
    for attempt in (1, 2):
        tracker = TensorBoardTracker(tmp_path)
        if attempt == 2:
            tracker.log(2, {"loss": 0.5, "flag": True})
        tracker.close()
    assert scalars(tmp_path) == {0: {"heldout/accuracy": 0.25}, 1: {"loss": 1.5}, 2: {"loss": 0.5}}


def test_an_absent_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for name in ("tensorboard", "trackio", "wandb"):
        with pytest.raises(
            ConfigError, match=rf"report_to='{name}': the package {name} is not installed here; pip inst"
        ):
            require_tracker(name)
    assert type(open_tracker("auto", tmp_path, resumed=False)) is NoTracker
    assert type(open_tracker("none", tmp_path, resumed=False)) is NoTracker


@pytest.mark.parametrize("package", ["trackio", "wandb"])
def test_a_remote_tracker_is_told_each_step_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    calls: list[tuple[str, Any]] = []
    stand_in = ModuleType(package)
    stand_in.__spec__ = importlib.util.spec_from_loader(package, None)
    stand_in.init = lambda **given: calls.append(("init", given))  # type: ignore[attr-defined]
    stand_in.log = lambda values, step: calls.append(("log", (step, values)))  # type: ignore[attr-defined]
    stand_in.finish = lambda: calls.append(("finish", None))  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, package, stand_in)
    run_dir = tmp_path / "smoke" / "03_grpo" / "abc"
    run_dir.mkdir(parents=True)
    told = {"steps": 3, "vllm_server_url": "http://me:secret@node7:8000", "base_model": "/disk/me/base"}
    (run_dir / "config.json").write_text(json.dumps({"parameters": told}))
    append_metrics(run_dir, 0, accuracy=0.25)
    for resumed, step in ((False, 1), (True, 2)):
        tracker = open_tracker(package, run_dir, resumed=resumed)
        tracker.log(step, {"loss": 1.0 / step, "note": "text"})
        tracker.close()
    assert [call for call in calls if call[0] == "log"] == [
        ("log", (0, {"accuracy": 0.25})), ("log", (1, {"loss": 1.0})), ("log", (2, {"loss": 0.5})),
    ]  # fmt: skip
    begun = [given for name, given in calls if name == "init"]
    assert {given["name"] for given in begun} == {"smoke-03_grpo-abc"} and begun[0]["resume"] == "allow"
    assert begun[0]["config"] == {"parameters": {"steps": 3, "vllm_server_url": "", "base_model": "base"}}
    assert ("id" in begun[0]) == (package == "wandb")


def test_an_absent_package_is_refused_before_the_model_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_questions(tmp_path / "data", 4)
    launch(tmp_path / "run", report_to="wandb")
    monkeypatch.setitem(sys.modules, "wandb", None)
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "wandb" else find(name, *rest))
    config = SftConfig(base_model=str(tmp_path / "no_such_model"), max_steps=1, batch_size=4, threads=1)
    with pytest.raises(ConfigError, match="report_to='wandb': the package wandb is not installed here"):
        run_sft(config, tmp_path / "data", tmp_path / "run")


@pytest.mark.parametrize("fails", ["init", "log", "finish"])
def test_a_failing_tracker_never_changes_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, fails: str
) -> None:
    calls: list[str] = []
    stand_in = ModuleType("wandb")
    stand_in.__spec__ = importlib.util.spec_from_loader("wandb", None)

    def call(what: str, /, *args: Any, **given: Any) -> None:
        calls.append(what)
        if what == fails:
            raise ConnectionError("no route to host")

    for name in ("init", "log", "finish"):
        setattr(stand_in, name, functools.partial(call, name))
    monkeypatch.setitem(sys.modules, "wandb", stand_in)
    write_questions(tmp_path / "data", 8)
    small_checkpoint(tmp_path / "base")
    launch(tmp_path / "run", report_to="wandb")
    config = SftConfig(base_model=str(tmp_path / "base"), max_steps=3, batch_size=4, save_steps=2, threads=1)
    assert (run_sft(config, tmp_path / "data", tmp_path / "run") / "model.safetensors").is_file()
    assert [row["step"] for row in read_metrics(tmp_path / "run")] == [1, 2, 3]
    (warning,) = [record.getMessage() for record in caplog.records if record.name == "geor1.tracking"]
    words = {"init": "opened", "log": "told step 1", "finish": "closed"}
    assert warning.startswith(f"wandb could not be {words[fails]} (ConnectionError: no route to host); the run goes on")
    assert calls == {"init": ["init"], "log": ["init", "log"], "finish": ["init", *3 * ["log"], "finish"]}[fails]
