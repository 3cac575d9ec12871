"""Stage 02 end to end on a very small model: learning, adapters, and a killed run that resumes exactly."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tiny_cases import small_checkpoint, write_questions
from trl.trainer import utils as trl_utils

from geor1.models.encoding import ImageReadError
from geor1.models.loading import load_model, load_processor
from geor1.runs import LaunchConfig, RunFolder, read_metrics, run_stage
from geor1.sft import run as sft_run
from geor1.sft.config import SftConfig
from geor1.sft.data import IGNORED, load_scaffolds
from geor1.sft.run import build_trainer, run_sft

KILLED_RUN = Path(__file__).parents[1] / "models" / "killed_run.py"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sft")
    write_questions(folder / "data", 12)
    small_checkpoint(folder / "base")
    return folder


def settings(world: Path, **changes: Any) -> dict[str, Any]:
    return {
        "base_model": str(world / "base"),
        "max_steps": 6,
        "batch_size": 4,
        "save_steps": 2,
        "threads": 1,
        **changes,
    }


def run_in_process(world: Path, step: int, changes: dict[str, Any], run_dir: Path) -> int:
    command = [sys.executable, str(KILLED_RUN), "sft", str(step), json.dumps(settings(world, **changes))]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.run([*command, str(world / "data"), str(run_dir)], env=environment, check=False).returncode


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_model(folder).state_dict()


def test_logits_are_made_where_a_label_is_and_change_nothing(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A TRL that decides elsewhere fails here first."""
    config = SftConfig(**settings(world))
    scaffolds = load_scaffolds(world / "data", config.scaffolds, 4)
    positions: list[int] = []
    stock = trl_utils._ChunkedLogProbFunction.apply

    def counting(hidden: torch.Tensor, *rest: Any) -> Any:
        positions.append(len(hidden))
        return stock(hidden, *rest)

    monkeypatch.setattr(trl_utils, "_ChunkedLogProbFunction", SimpleNamespace(apply=counting))

    def outcome() -> tuple[dict[str, torch.Tensor], list[torch.Tensor]]:
        model, processor = load_model(world / "base"), load_processor(world / "base")
        trainer = build_trainer(config, model, processor, scaffolds, world / "data", tmp_path / "run", 1)
        batch = next(iter(trainer.get_train_dataloader()))
        loss = trainer.compute_loss(trainer.model, dict(batch))
        loss.backward()
        return batch, [loss.detach(), *(parameter.grad for parameter in model.parameters())]

    batch, ours = outcome()
    monkeypatch.setattr(sft_run, "score_labels_only_on_cpu", lambda: None)
    monkeypatch.setattr(trl_utils, "_use_triton", lambda device: False)
    _, everywhere = outcome()
    labels = batch["labels"][:, 1:]
    assert positions == [int((labels != IGNORED).sum()), labels.numel()]
    torch.testing.assert_close(ours, everywhere, rtol=1e-5, atol=1e-7)


def test_training_learns_and_leaves_a_plain_folder(world: Path, tmp_path: Path) -> None:
    config = SftConfig(**settings(world, max_steps=30, learning_rate=1.0e-2, save_steps=50))
    product = run_sft(config, world / "data", tmp_path)
    assert product == tmp_path / "checkpoint"
    rows = read_metrics(tmp_path)
    assert [row["step"] for row in rows] == list(range(1, 31))
    assert rows[-1]["loss"] < 0.5 * rows[0]["loss"]
    assert load_processor(product).chat_template
    assert (tmp_path / "trainer" / "checkpoint-30" / "complete").is_file()  # until the manifest is written
    labels = json.loads((tmp_path / "labels_seen.json").read_text())
    lines = (world / "data" / "scaffolds.jsonl").read_text().splitlines()
    assert labels["pairing_labels_seen"] == sum(json.loads(line)["pairing_labels_seen"] for line in lines)
    assert labels["detail"]["pairing_chains"] == 12
    assert json.loads((tmp_path / "metrics_summary.json").read_text())["steps"] == 30


@pytest.mark.parametrize("lora", [False, True], ids=["full", "lora"])
def test_a_killed_run_resumes_with_the_same_trace_and_weights(world: Path, tmp_path: Path, lora: bool) -> None:
    run_sft(SftConfig(**settings(world, lora=lora)), world / "data", tmp_path / "whole")
    assert run_in_process(world, 5, {"lora": lora}, tmp_path / "killed") == -signal.SIGKILL
    assert [row["step"] for row in read_metrics(tmp_path / "killed")] == [1, 2, 3, 4, 5]
    assert (tmp_path / "killed" / "trainer" / "checkpoint-4" / "complete").is_file()
    run_sft(SftConfig(**settings(world, lora=lora)), world / "data", tmp_path / "killed")
    assert read_metrics(tmp_path / "killed") == read_metrics(tmp_path / "whole")
    whole, killed = (weights(tmp_path / name / "checkpoint") for name in ("whole", "killed"))
    assert all(torch.equal(whole[name], killed[name]) for name in whole)


def test_a_run_that_dies_before_its_manifest_goes_on_from_its_last_checkpoint(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask() -> RunFolder:
        config, here = SftConfig(**settings(world)), LaunchConfig(report_to="none")
        return run_stage("02_scaffold_sft", "smoke", config, run_sft, {"data": world / "data"}, tmp_path, launch=here)

    def killed(run_dir: Path, content: dict[str, Any]) -> dict[str, Any]:
        raise SystemExit("killed while the products were hashed")

    with monkeypatch.context() as patch:
        patch.setattr("geor1.runs.finishing.write_manifest", killed)
        with pytest.raises(SystemExit):
            ask()
    (folder,) = (tmp_path / "smoke" / "02_scaffold_sft").iterdir()
    before, trained = read_metrics(folder), weights(folder / "checkpoint")
    timings = (folder / "timings.jsonl").read_text()  # anew with every step that is trained
    again = ask()
    assert again.manifest["attempts"] == 2 and read_metrics(folder) == before
    assert (folder / "timings.jsonl").read_text() == timings
    resumed = weights(again.product)
    assert trained.keys() == resumed.keys() and all(torch.equal(trained[name], resumed[name]) for name in trained)
    assert not (folder / "trainer").exists()
    assert not any(product["path"].startswith("trainer/") for product in again.manifest["products"])
    (folder / "trainer" / "checkpoint-6").mkdir(parents=True)  # the kill came just after the manifest
    assert ask().cached and not (folder / "trainer").exists()


def test_a_half_written_checkpoint_is_not_resumed_from(world: Path, tmp_path: Path) -> None:
    run_sft(SftConfig(**settings(world)), world / "data", tmp_path / "whole")
    assert run_in_process(world, 5, {}, tmp_path / "killed") == -signal.SIGKILL
    (tmp_path / "killed" / "trainer" / "checkpoint-4" / "complete").unlink()
    (tmp_path / "killed" / "trainer" / "checkpoint-4" / "model.safetensors").write_bytes(b"torn")
    run_sft(SftConfig(**settings(world)), world / "data", tmp_path / "killed")
    assert read_metrics(tmp_path / "killed") == read_metrics(tmp_path / "whole")


def test_adapters_are_merged_and_spare_the_vision_transformer(world: Path, tmp_path: Path) -> None:
    product = run_sft(SftConfig(**settings(world, lora=True, learning_rate=1.0e-2)), world / "data", tmp_path)
    before, after = weights(world / "base"), weights(product)
    assert set(before) == set(after)
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved
    assert all("language_model" in name and "proj" in name for name in moved)


def test_a_frozen_vision_transformer_stays(world: Path, tmp_path: Path) -> None:
    product = run_sft(SftConfig(**settings(world, freeze_vision=True)), world / "data", tmp_path)
    before, after = weights(world / "base"), weights(product)
    assert all(torch.equal(before[name], after[name]) for name in before if "visual" in name)
    assert any(not torch.equal(before[name], after[name]) for name in before if "visual" not in name)


def test_accumulated_passes_equal_one_pass(world: Path, tmp_path: Path) -> None:
    for name, size in (("one", 0), ("two", 2)):
        run_sft(SftConfig(**settings(world, micro_batch_size=size)), world / "data", tmp_path / name)
    one, two = (read_metrics(tmp_path / name) for name in ("one", "two"))
    for left, right in zip(one, two, strict=True):
        assert left["loss"] == pytest.approx(right["loss"], rel=1e-5)
        assert left["grad_norm"] == pytest.approx(right["grad_norm"], rel=1e-4)


def test_a_missing_image_is_named(world: Path, tmp_path: Path) -> None:
    data = write_questions(tmp_path / "data", 4)
    (data / "images" / "train-001-B.png").unlink()
    with pytest.raises(ImageReadError, match=r"train-001-B\.png"):
        run_sft(SftConfig(**settings(world)), data, tmp_path / "run")
