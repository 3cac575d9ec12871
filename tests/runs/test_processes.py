"""How training is launched: the parameters, where they come from, and what accelerate makes of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import job_cases
import pytest
import yaml
from slurm_cluster import free_port

from geor1.cli import main
from geor1.grpo.config import GrpoConfig
from geor1.runs import ConfigError, JobFailedError, LaunchConfig, launch_config, run_stage
from geor1.runs.jobs.files import JobFiles
from geor1.runs.jobs.supervise import _command
from geor1.runs.processes import (
    LAUNCHERS,
    accelerate_command,
    accelerate_settings,
    deepspeed_settings,
    require_devices,
    require_package,
)
from geor1.sft.config import SftConfig


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"launcher": "dpp", "processes": 2}, "launcher: expected one of .*'ddp'.*got 'dpp'"),
        ({"launcher": "ddp"}, "processes: expected at least 1 with launcher='ddp', got 0"),
        ({"processes": -1}, "processes: expected at least 0"),
        ({"processes": 3, "machines": 2}, "processes: expected a multiple of machines=2, got 3"),
        ({"machines": 2}, "processes: expected their number on all 2 machines together"),
        ({"processes": 2, "launcher": "fsdp2", "accelerate_config": "a.yaml"}, "leave one of them out"),
        ({"report_to": "mlflow"}, "report_to: expected one of"),
    ],
)
def test_what_does_not_fit_is_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        LaunchConfig(**values)


def test_profile_then_environment_then_overrides(toy_notebooks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    profile = toy_notebooks / "profiles" / "big.yaml"
    profile.write_text("launch: {processes: 8, launcher: fsdp2}\n03_grpo: {steps: 3}\n")
    assert launch_config("big") == LaunchConfig(processes=8, launcher="fsdp2")
    monkeypatch.setenv("GEOR1_LAUNCH", "processes=4 checkpoint_url='s3://a b'")
    assert launch_config("big") == LaunchConfig(processes=4, launcher="fsdp2", checkpoint_url="s3://a b")
    assert launch_config("big", launcher="ddp").launcher == "ddp"
    assert launch_config("a name that a script made up").processes == 4
    monkeypatch.delenv("GEOR1_LAUNCH")
    assert launch_config("miniature") == LaunchConfig()
    profile.write_text("launch: {proceses: 8}")
    with pytest.raises(ConfigError, match=r"no parameter 'proceses'; did you mean 'processes'\?"):
        launch_config("big")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["processs=2"], "launch: no parameter 'processs'; did you mean 'processes'?"),
        (["processes=two"], "launch: processes: expected a whole number, got 'two'"),
        (["processes"], "launch: expected name=value, as in processes=2, got 'processes'"),
        (["launcher=fsdp2"], "processes: expected at least 1 with launcher='fsdp2', got 0"),
    ],
)
def test_a_wrong_launch_is_one_line_and_code_2(
    toy_notebooks: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    message: str,
) -> None:
    monkeypatch.setenv("GEOR1_LAUNCH", "")
    assert main(["run", "03", "--launch", *words]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("config", "launch", "message"),
    [
        (SftConfig(lora=True), {"launcher": "fsdp2"}, "lora: .*'fsdp2' each process holds a part.*launcher=ddp"),
        (SftConfig(lora=True, quantize="nf4"), {"launcher": "deepspeed_zero3"}, "lora: .*'deepspeed_zero3'"),
        (GrpoConfig(lora=True, rollouts="vllm_colocate"), {"launcher": "fsdp2"}, "lora: .*'fsdp2'"),
        (GrpoConfig(), {"launcher": "fsdp2"}, "rollouts: with launcher='fsdp2'.*expected rollouts=vllm_colocate"),
        (GrpoConfig(resample_rounds=1), {}, "resample_rounds: 4 processes .*expected 0"),
        (SftConfig(batch_size=6), {}, "batch_size: expected a multiple of 4 processes times micro_batch_size=1, got 6"),
        (GrpoConfig(prompts_per_step=8, prompts_per_pass=4), {}, "4 processes times prompts_per_pass=4, got 8"),
    ],
)
def test_what_a_launcher_cannot_do_is_refused_before_anything_starts(
    tmp_path: Path, config: Any, launch: dict[str, Any], message: str
) -> None:
    stage = "02_scaffold_sft" if isinstance(config, SftConfig) else "03_grpo"
    with pytest.raises(ConfigError, match=message):
        run_stage(stage, "smoke", config, never, {}, tmp_path, launch=LaunchConfig(processes=4, **launch))
    assert not list(tmp_path.rglob(".job")) and not list(tmp_path.rglob("attempts.jsonl"))


def never(config: Any, run_dir: Path) -> Path:
    raise AssertionError("it was started")


@pytest.mark.parametrize("launcher", ["ddp", "deepspeed_zero2"])
def test_what_goes_together_is_let_through(launcher: str) -> None:
    launch = LaunchConfig(processes=4, launcher=launcher)
    SftConfig(lora=True, quantize="nf4", batch_size=16, micro_batch_size=2).check_launch(launch)
    GrpoConfig(lora=True, prompts_per_step=8, prompts_per_pass=2).check_launch(launch)
    GrpoConfig(rollouts="vllm_colocate").check_launch(LaunchConfig(processes=4, launcher="fsdp2"))
    GrpoConfig(resample_rounds=1, prompts_per_step=7, prompts_per_pass=0).check_launch(LaunchConfig())


def test_a_finished_run_is_there_whatever_launches_the_next(tmp_path: Path) -> None:
    config = job_cases.PickyConfig(steps=1)
    with pytest.raises(ConfigError, match="picky: expected one process, got 2"):
        run_stage("03_grpo", "smoke", config, job_cases.toy_training, {}, tmp_path, launch=LaunchConfig(processes=2))
    run_stage("03_grpo", "smoke", config, job_cases.toy_training, {}, tmp_path, launch=LaunchConfig())
    again = LaunchConfig(processes=2)
    assert run_stage("03_grpo", "smoke", config, job_cases.toy_training, {}, tmp_path, launch=again).cached


@pytest.mark.parametrize("launcher", LAUNCHERS)
@pytest.mark.parametrize("machines", [1, 2])
def test_accelerate_reads_what_is_written_for_it(tmp_path: Path, launcher: str, machines: int) -> None:
    from accelerate.commands.config.config_args import ClusterConfig
    from accelerate.commands.launch import launch_command_parser

    launch = LaunchConfig(processes=8, launcher=launcher, machines=machines, main_process_ip="10.0.0.1")
    if launcher.startswith("deepspeed"):  # which need not be installed to be looked at
        path = tmp_path / "accelerate.yaml"
        path.write_text(yaml.safe_dump(accelerate_settings(launch, tmp_path)))
    else:
        command = accelerate_command(launch, tmp_path, ["some.module", "folder"], rank=1, python="python")
        options = launch_command_parser().parse_args(command[3:])
        path = Path(options.config_file)
        assert (options.num_processes, options.module, options.training_script) == (8, True, "some.module")
        assert options.training_script_args == ["folder"]
        if machines == 2:
            assert (options.num_machines, options.machine_rank, options.main_process_ip) == (2, 1, "10.0.0.1")
            assert options.main_process_port == 29500 and options.same_network
    read = ClusterConfig.from_yaml_file(path)
    assert read.num_processes == 8 and read.num_machines == machines
    kinds = {"fsdp2": "FSDP", "deepspeed_zero2": "DEEPSPEED", "deepspeed_zero3": "DEEPSPEED"}
    assert str(read.distributed_type.value) == kinds.get(launcher, "MULTI_GPU")
    assert (read.fsdp_config.get("fsdp_version") == 2) == (launcher == "fsdp2")


def test_transformers_fills_in_deepspeed_s_blanks(tmp_path: Path) -> None:
    pytest.importorskip("deepspeed", reason="no DeepSpeed here")
    from transformers import TrainingArguments
    from transformers.integrations.deepspeed import HfTrainerDeepSpeedConfig

    size, norm = 4, 0.5
    arguments = TrainingArguments(str(tmp_path), per_device_train_batch_size=size, max_grad_norm=norm, use_cpu=True)
    filled = HfTrainerDeepSpeedConfig(deepspeed_settings(3))
    filled.trainer_config_process(arguments)
    assert filled.config["gradient_clipping"] == norm and filled.config["train_micro_batch_size_per_gpu"] == size
    assert filled.is_zero3() and HfTrainerDeepSpeedConfig(deepspeed_settings(2)).is_zero2()


def test_one_s_own_accelerate_file_and_an_absent_package(tmp_path: Path) -> None:
    own = LaunchConfig(accelerate_config=str(tmp_path / "own.yaml"))
    with pytest.raises(ConfigError, match=r"accelerate_config: no such file .*own.yaml"):
        accelerate_command(own, tmp_path, ["m"], python="python")
    (tmp_path / "own.yaml").write_text("distributed_type: MULTI_GPU\n")
    command = accelerate_command(own, tmp_path, ["m"], python="python")
    assert command[4] == str(tmp_path / "own.yaml") and "--num_processes" not in command
    with pytest.raises(ConfigError, match="launcher='x': the package no_such_package is not installed here"):
        require_package("no_such_package", "launcher='x'")


def pretend_gpus(folder: Path, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """Give the processes of a job a torch that sees so many GPUs and can do nothing else."""
    (folder / "torch").mkdir(parents=True)
    (folder / "torch" / "__init__.py").write_text(f"class cuda:\n    device_count = staticmethod(lambda: {count})\n")
    monkeypatch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)


def test_more_processes_than_gpus_are_refused_before_they_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend_gpus(tmp_path / "one", monkeypatch, 1)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    config = job_cases.ToyConfig(steps=1)
    message = r"ConfigError: processes: 4 processes, ddp: each of 4 on this machine needs a GPU .* 1 can be seen "
    with pytest.raises(JobFailedError, match=message + r"\(CUDA_VISIBLE_DEVICES=3\); .*processes=1"):
        run_stage("03_grpo", "smoke", config, never, {}, tmp_path / "runs", launch=LaunchConfig(processes=4))
    assert not list(tmp_path.glob("runs/**/calls-*.log")) and not list(tmp_path.glob("runs/**/accelerate.yaml"))


@pytest.mark.parametrize(
    ("processes", "machines", "visible", "fits"),
    [(4, 1, 0, True), (4, 1, 4, True), (4, 1, 3, False), (8, 2, 4, True), (8, 2, 3, False), (0, 1, 1, True)],
)
def test_each_process_of_a_machine_needs_a_gpu_where_there_are_any(
    monkeypatch: pytest.MonkeyPatch, processes: int, machines: int, visible: int, fits: bool
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    launch = LaunchConfig(processes=processes, machines=machines)
    if fits:
        require_devices(launch, visible)
    else:
        with pytest.raises(ConfigError, match=rf"{visible} can be seen; .* processes={visible * machines}$"):
            require_devices(launch, visible)


def test_srun_starts_all_machines_of_a_slurm_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_NUM_NODES", "2")
    command = _command(JobFiles(tmp_path), 2)
    assert command[:4] == ["srun", "--nodes=2", "--ntasks=2", "--ntasks-per-node=1"] and command[-1] == str(tmp_path)
    assert _command(JobFiles(tmp_path), 1)[-1] == _command(JobFiles(tmp_path), 3)[-1] == "0"


@pytest.mark.slow
def test_two_machines_meet(tmp_path: Path) -> None:
    """Both of them this one; the second joins by hand, as without Slurm."""
    launch = LaunchConfig(processes=2, machines=2, main_process_ip="127.0.0.1", main_process_port=free_port())
    joined: list[subprocess.Popen[bytes]] = []

    def join() -> None:
        while not (specs := list(tmp_path.glob("smoke/*/*/.job/spec.json"))):
            time.sleep(0.1)
        command = [sys.executable, "-m", "geor1", "join", str(specs[0].parents[1]), "--machine-rank", "1"]
        joined.append(subprocess.Popen(command))

    threading.Thread(target=join, daemon=True).start()
    config = job_cases.ToyConfig(steps=3)
    run = run_stage("03_grpo", "smoke", config, job_cases.toy_training, {}, tmp_path, launch=launch)
    assert joined[0].wait(60) == 0
    assert (run.path / "calls-0.log").exists() and (run.path / "calls-1.log").exists()
    assert json.loads((run.path / ".job" / "done-1.json").read_text())["wall_s"] > 0
