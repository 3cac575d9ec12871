"""Several processes: DDP and FSDP2 against one process on the same batch, and a killed run of two that resumes."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_cases import small_checkpoint, write_questions

from geor1.grpo.config import GrpoConfig
from geor1.grpo.run import trl_settings
from geor1.models import training
from geor1.models.loading import load_model
from geor1.runs import ConfigError, read_metrics
from geor1.sft.config import SftConfig
from geor1.sft.run import run_sft

HERE = Path(__file__).parent
SETTINGS: dict[str, Any] = {
    "steps": 3,
    "prompts_per_step": 4,
    "group_size": 4,
    "max_completion_tokens": 8,
    "learning_rate": 1.0e-3,
    "warmup_steps": 0,
    "loss_type": "dapo",
    "eval_every": 2,
    "threads": 1,
}
COMPARED = ("loss", "grad_norm", "reward", "reward_std", "entropy", "kl", "heldout/log_prob", "work/forward_tflop")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("grpo")
    write_questions(folder / "data", 12)
    small_checkpoint(folder / "base", seed=1, spread=2.0)
    return folder


@pytest.fixture(scope="module")
def untied(world: Path) -> Path:
    """The same with a head that shares no weights with the embeddings, as the 7B model has."""
    folder = world / "untied"
    small_checkpoint(folder / "base", seed=1, spread=2.0, tied_embeddings=False)
    (folder / "data").symlink_to(world / "data")
    return folder


def launch(processes: int, script: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", str(processes)]
    command += ["--master_addr", "127.0.0.1", "--master_port", str(port), str(script), *arguments]
    settings = {**os.environ, "PYTHONPATH": str(HERE.parents[1]), "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, env=settings, check=False, capture_output=True, text=True, timeout=300)


def train(world: Path, run_dir: Path, processes: int, how: str, changes: dict[str, Any]) -> tuple[list, list]:
    run_dir.mkdir()
    given = json.dumps({**SETTINGS, **changes})
    done = launch(processes, HERE / "distributed_run.py", str(world), str(run_dir), given, how)
    assert done.returncode == 0, done.stderr[-3000:]
    weights = [json.loads((run_dir / f"weights{rank}.json").read_text()) for rank in range(processes)]
    return json.loads((run_dir / "log.json").read_text()), weights


@pytest.mark.parametrize(
    ("how", "changes"),
    [
        ("ddp", {"lora": True, "beta": 0.04, "prompts_per_pass": 1, "gradient_checkpointing": True}),
        ("fsdp2", {"rollouts": "vllm_colocate"}),
    ],
)
def test_two_processes_take_the_steps_of_one(world: Path, tmp_path: Path, how: str, changes: dict[str, Any]) -> None:
    alone, weights_alone = train(world, tmp_path / "alone", 1, "ddp", {**changes, "rollouts": "in_process"})
    shared, weights = train(world, tmp_path / "shared", 2, how, changes)
    assert len(shared) == 3
    for left, right in zip(shared, alone, strict=True):
        for key in COMPARED:
            assert (key in left) == (key in right)
            if key in right:
                assert left[key] == pytest.approx(right[key], rel=2e-5, abs=2e-6), key
    assert json.loads((tmp_path / "shared" / "sharded.json").read_text()) is (how == "fsdp2")
    for name, value in weights_alone[0].items():
        assert weights[0][name] == pytest.approx(value, rel=1e-4, abs=1e-4), name
    if how == "ddp":  # with FSDP the first process alone gets them whole
        assert weights[0] == weights[1]


def test_a_head_of_its_own_is_sharded_rightly(untied: Path, tmp_path: Path) -> None:
    """With everything that the profile of the 7B model and its ablations turn on."""
    changes = {"rollouts": "vllm_colocate", "gradient_checkpointing": True, "logits_chunk_tokens": 3, "beta": 0.04}
    test_two_processes_take_the_steps_of_one(untied, tmp_path, "fsdp2", changes)


def test_in_bfloat16_the_loss_sees_log_probabilities_in_float32(untied: Path, tmp_path: Path) -> None:
    """Else the trainer would have stopped; and rounding is all that differs from whole weights in float32."""
    changes = {"rollouts": "vllm_colocate", "steps": 2}
    rounded, _ = train(untied, tmp_path / "rounded", 2, "fsdp2_bfloat16", changes)
    exact, _ = train(untied, tmp_path / "exact", 1, "ddp", {**changes, "rollouts": "in_process"})
    assert [row["entropy"] for row in rounded] == pytest.approx([row["entropy"] for row in exact], rel=0.02)
    assert rounded[0]["entropy"] != exact[0]["entropy"]


def test_sft_of_a_head_of_its_own_takes_the_same_steps_sharded(untied: Path, tmp_path: Path) -> None:
    logs, weights = [], []
    for how in ("ddp", "fsdp2"):
        (tmp_path / how).mkdir()
        done = launch(2, HERE.parent / "sft" / "sharded_run.py", str(untied), str(tmp_path / how), how)
        assert done.returncode == 0, done.stderr[-3000:]
        logs.append(json.loads((tmp_path / how / "log.json").read_text()))
        weights.append(torch.load(tmp_path / how / "weights.pt"))
    for left, right in zip(*logs, strict=True):
        assert left["loss"] == pytest.approx(right["loss"], rel=1e-5)
        assert left["grad_norm"] == pytest.approx(right["grad_norm"], rel=1e-5)
    assert weights[0].keys() == weights[1].keys() and "lm_head.weight" in weights[0]
    for name, value in weights[0].items():
        torch.testing.assert_close(weights[1][name], value, rtol=1e-5, atol=1e-6, msg=name)


def test_a_killed_run_of_two_processes_resumes(world: Path, tmp_path: Path) -> None:
    """Their own sampling, questions shared out; the first process dies at step 3, the launcher ends the other."""
    changes = {"steps": 4, "prompts_per_step": 2, "save_steps": 2, "eval_every": 2, "n_eval": 4, "freeze_vision": True}
    given = json.dumps({**SETTINGS, **changes})
    script, data, base = HERE.parent / "models" / "killed_run.py", str(world / "data"), str(world / "base")
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert launch(2, script, "grpo", "0", given, data, str(whole), base).returncode == 0
    assert launch(2, script, "grpo", "3", given, data, str(killed), base).returncode != 0
    assert not (killed / "checkpoint").exists()
    assert launch(2, script, "grpo", "0", given, data, str(killed), base).returncode == 0
    trace = read_metrics(whole)
    assert [row["step"] for row in trace] == [0, 1, 2, 3, 4]
    assert read_metrics(killed) == trace
    for name, value in load_model(whole / "checkpoint").state_dict().items():
        assert value.equal(load_model(killed / "checkpoint").state_dict()[name]), name


def test_weights_that_are_shared_out_are_saved_once_and_resumed_from(world: Path, tmp_path: Path) -> None:
    """Stage 02 with FSDP2 as its launcher sets it, killed at step 3, against one process that is not."""
    settings = {"base_model": str(world / "base"), "max_steps": 4, "batch_size": 4, "save_steps": 2, "threads": 1}
    run_sft(SftConfig(**settings, freeze_vision=True), world / "data", tmp_path / "alone")
    script, given = HERE.parent / "models" / "killed_run.py", json.dumps({**settings, "freeze_vision": True})
    killed = tmp_path / "killed"
    assert launch(2, script, "sft_fsdp2", "3", given, str(world / "data"), str(killed)).returncode != 0
    saved = killed / "trainer" / "checkpoint-2"
    assert {path.name for path in saved.iterdir() if path.is_dir()} == {"pytorch_model_fsdp_0", "optimizer_0"}
    assert not [*saved.glob("*.safetensors"), *saved.glob("*.bin")], "the weights lie there twice"
    assert len(list(saved.glob("pytorch_model_fsdp_0/*.distcp"))) == 2, "each process writes its own"
    done = launch(2, script, "sft_fsdp2", "0", given, str(world / "data"), str(killed))
    assert done.returncode == 0 and "resuming from checkpoint-2" in done.stdout + done.stderr, done.stderr[-3000:]
    for ours, theirs in zip(read_metrics(killed), read_metrics(tmp_path / "alone"), strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-5)
    whole = load_model(tmp_path / "alone" / "checkpoint").state_dict()
    for name, value in load_model(killed / "checkpoint").state_dict().items():
        torch.testing.assert_close(value, whole[name], rtol=1e-4, atol=1e-5)


def test_processes_share_the_questions_of_a_step_out_evenly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training.process_state(), "num_processes", 3)
    with pytest.raises(ConfigError, match="multiple of 3 processes"):
        trl_settings(GrpoConfig(**SETTINGS), tmp_path, [1.0])
    assert trl_settings(GrpoConfig(**{**SETTINGS, "prompts_per_step": 6}), tmp_path, [1.0]).steps_per_generation == 1
