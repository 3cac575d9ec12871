"""Real training through ``accelerate launch``: two processes against one, and a process that is killed."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tiny_cases import small_checkpoint, write_questions

from geor1.grpo.config import GrpoConfig
from geor1.grpo.run import run_grpo
from geor1.models.loading import load_model
from geor1.models.training import refuse_spread_adapters
from geor1.runs import ConfigError, JobFailedError, LaunchConfig, RunFolder, RunStoppedError, read_metrics, run_stage
from geor1.runs.jobs.files import JobFiles
from geor1.sft.config import SftConfig
from geor1.sft.run import run_sft

TWO = LaunchConfig(processes=2, launcher="ddp", report_to="none")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    write_questions(folder / "data", 12)
    small_checkpoint(folder / "base", seed=1, spread=2.0)
    return folder


def sft(world: Path, runs_dir: Path, launch: LaunchConfig, **changes: Any) -> RunFolder:
    values = {"base_model": str(world / "base"), "max_steps": 6, "batch_size": 4, "save_steps": 2, "threads": 1}
    config = SftConfig(**{**values, **changes})
    return run_stage("02_scaffold_sft", "smoke", config, run_sft, {"data": world / "data"}, runs_dir, launch=launch)


@pytest.fixture(scope="module")
def shared(world: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """An uninterrupted run of two processes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
        return sft(world, tmp_path_factory.mktemp("shared"), TWO)


def at_step(runs_dir: Path, step: int, act: Any) -> threading.Thread:
    """Call ``act(run_dir)`` from a thread as soon as the run has written that step."""

    def watch() -> None:
        while True:
            folder = next(runs_dir.glob("smoke/*/*"), None)
            if folder is not None and any(row["step"] >= step for row in read_metrics(folder)):
                act(folder)
                return
            time.sleep(0.02)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    return thread


def child_of(folder: Path, rank: int) -> int:
    """The process id of one of the processes that train."""
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            words = path.read_bytes().split(b"\0")
            named = str(folder).encode() in (path.parent / "cmdline").read_bytes()
        except OSError:
            continue
        if named and f"RANK={rank}".encode() in words and b"LOCAL_WORLD_SIZE=2" in words:
            return int(path.parent.name)
    raise AssertionError(f"no process of rank {rank}")


def test_two_processes_take_the_steps_of_one(world: Path, shared: RunFolder, tmp_path: Path) -> None:
    alone = sft(world, tmp_path, LaunchConfig(report_to="none"))
    assert shared.manifest["launch"]["processes"] == 2 and shared.key == alone.key
    left, right = read_metrics(shared.path), read_metrics(alone.path)
    assert [row["step"] for row in left] == [row["step"] for row in right] == [1, 2, 3, 4, 5, 6]
    for ours, theirs in zip(left, right, strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-5)
        assert ours["grad_norm"] == pytest.approx(theirs["grad_norm"], rel=1e-4)
    assert (shared.product / "model.safetensors").is_file() and not (shared.path / "trainer").exists()


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds processes in /proc")
def test_a_killed_process_ends_the_job_and_the_next_attempt_gives_the_same_trace(
    world: Path, shared: RunFolder, tmp_path: Path
) -> None:
    killed: list[float] = []

    def kill(folder: Path) -> None:
        os.kill(child_of(folder, 1), signal.SIGKILL)
        killed.append(time.monotonic())

    at_step(tmp_path, 3, kill)
    with pytest.raises(JobFailedError, match=r"process 1 \(pid \d+\) was ended by SIGKILL; out of memory\?") as caught:
        sft(world, tmp_path, TWO, max_steps=6)
    assert time.monotonic() - killed[0] < 20
    assert "job.log" in str(caught.value) and "it resumes from its last checkpoint" in str(caught.value)
    resumed = sft(world, tmp_path, TWO)
    assert resumed.manifest["attempts"] == 2
    assert read_metrics(resumed.path) == read_metrics(shared.path)


@pytest.mark.slow
def test_a_stopped_job_saves_and_resumes_exactly(world: Path, shared: RunFolder, tmp_path: Path) -> None:
    def stop(folder: Path) -> None:
        os.kill(json.loads(JobFiles(folder).running.read_text())["pid"], signal.SIGUSR1)

    at_step(tmp_path, 1, stop)
    with pytest.raises(RunStoppedError, match=r"stopped by SIGUSR1 after step \d of 6; a checkpoint is saved"):
        sft(world, tmp_path, TWO)
    (folder,) = tmp_path.glob("smoke/*/*")
    stopped_at = len(read_metrics(folder))
    assert (folder / "trainer" / f"checkpoint-{stopped_at}" / "complete").is_file()
    assert read_metrics(sft(world, tmp_path, TWO).path) == read_metrics(shared.path)


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["deepspeed_zero2", "deepspeed_zero3"])
def test_deepspeed_takes_the_steps_of_one_process_killed_or_not(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, launcher: str
) -> None:
    pytest.importorskip("deepspeed", reason="no DeepSpeed here (pip install deepspeed, wheel, ninja; CPUs will do)")
    monkeypatch.setenv("DS_ACCELERATOR", "cpu")
    alone = sft(world, tmp_path / "alone", LaunchConfig(report_to="none"))
    spread = LaunchConfig(processes=2, launcher=launcher, report_to="none")
    at_step(tmp_path / "killed", 3, lambda folder: os.kill(child_of(folder, 1), signal.SIGKILL))
    with pytest.raises(JobFailedError, match="was ended by SIGKILL"):
        sft(world, tmp_path / "killed", spread)
    resumed = sft(world, tmp_path / "killed", spread)
    for ours, theirs in zip(read_metrics(resumed.path), read_metrics(alone.path), strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-5)
    whole = load_model(alone.product).state_dict()
    for name, value in load_model(resumed.product).state_dict().items():
        torch.testing.assert_close(value, whole[name], rtol=1e-4, atol=1e-5)


def test_adapters_cannot_be_merged_into_parts_of_weights() -> None:
    state = SimpleNamespace(deepspeed_plugin=SimpleNamespace(zero_stage=3))
    trainer = SimpleNamespace(
        model=SimpleNamespace(peft_config={}),
        accelerator=SimpleNamespace(state=state),
        is_deepspeed_enabled=True,
        is_fsdp_enabled=False,
    )
    with pytest.raises(ConfigError, match="expected launcher ddp or deepspeed_zero2"):
        refuse_spread_adapters(trainer)
    state.deepspeed_plugin.zero_stage = 2
    refuse_spread_adapters(trainer)


def scripted_grpo(config: GrpoConfig, world: Path, run_dir: Path) -> Path:
    """Stage 03's trainer on completions that a script draws, the same whatever the number of processes."""
    import distributed_run

    distributed_run.main(str(world), str(run_dir), json.dumps(dataclasses.asdict(config)), "ddp")
    return run_dir


@pytest.mark.slow
def test_launched_grpo_takes_the_steps_of_one_process(world: Path, tmp_path: Path) -> None:
    from test_distributed import COMPARED, SETTINGS

    logs = []
    for processes in (1, 2):
        config = GrpoConfig(**SETTINGS, beta=0.04, prompts_per_pass=1)
        launch = LaunchConfig(processes=processes, report_to="none")
        runs_dir = tmp_path / str(processes)
        run = run_stage("03_grpo", "smoke", config, scripted_grpo, {"world": world}, runs_dir, launch=launch)
        logs.append(json.loads((run.path / "log.json").read_text()))
    assert len(logs[0]) == len(logs[1]) == 3
    for alone, shared in zip(*logs, strict=True):
        # TRL weighs the means of KL and entropy that it logs by tokens over processes, not over passes: other figures
        for name in set(COMPARED) & set(alone) - {"kl", "entropy"}:
            assert shared[name] == pytest.approx(alone[name], rel=1e-5, abs=1e-6), name


@pytest.mark.slow
@pytest.mark.parametrize(
    ("launcher", "changes"),
    [
        ("deepspeed_zero2", {}),
        ("deepspeed_zero2", {"beta": 0.04}),
        ("deepspeed_zero3", {"rollouts": "vllm_colocate"}),  # in process it would need whole weights
    ],
)
def test_grpo_under_deepspeed_takes_the_steps_of_one_process(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, launcher: str, changes: dict[str, Any]
) -> None:
    from test_distributed import COMPARED, SETTINGS

    pytest.importorskip("deepspeed", reason="no DeepSpeed here (pip install deepspeed, wheel, ninja; CPUs will do)")
    monkeypatch.setenv("DS_ACCELERATOR", "cpu")
    logs = []
    spread = LaunchConfig(processes=2, launcher=launcher, report_to="none")
    for launch in (LaunchConfig(processes=1, report_to="none"), spread):
        how = changes if launch.launcher else {**changes, "rollouts": "in_process"}
        config = GrpoConfig(**{**SETTINGS, "eval_every": 0, "prompts_per_pass": 1, **how})
        runs_dir = tmp_path / str(launch.processes)
        run = run_stage("03_grpo", "smoke", config, scripted_grpo, {"world": world}, runs_dir, launch=launch)
        logs.append(json.loads((run.path / "log.json").read_text()))
    for alone, shared in zip(*logs, strict=True):
        for name in set(COMPARED) & set(alone) - {"kl", "entropy"}:
            assert shared[name] == pytest.approx(alone[name], rel=1e-5, abs=1e-6), name


@pytest.mark.slow
def test_a_process_of_grpo_is_killed_and_the_next_attempt_gives_the_same_trace(world: Path, tmp_path: Path) -> None:
    """Real sampling: two processes draw as two, so the uninterrupted run has two as well."""
    settings = {"steps": 4, "prompts_per_step": 2, "group_size": 4, "max_completion_tokens": 8, "warmup_steps": 0,
                "learning_rate": 1.0e-3, "save_steps": 2, "eval_every": 2, "n_eval": 4, "threads": 1}  # fmt: skip
    inputs = {"data": world / "data", "checkpoint": world / "base"}

    def train(name: str) -> RunFolder:
        return run_stage("03_grpo", "smoke", GrpoConfig(**settings), run_grpo, inputs, tmp_path / name, launch=TWO)

    whole = train("whole")
    at_step(tmp_path / "killed", 3, lambda folder: os.kill(child_of(folder, 1), signal.SIGKILL))
    with pytest.raises(JobFailedError, match="was ended by SIGKILL"):
        train("killed")
    assert read_metrics(train("killed").path) == read_metrics(whole.path)
