"""What a checkpoint takes: the formula against the files of real runs, and by hand where no run is possible here."""

from __future__ import annotations

import dataclasses
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_cases import write_questions

from geor1.capacity.disk import disk_bytes, product_bytes, saved_bytes
from geor1.capacity.memory import Counts, Holding, count, counts, trained
from geor1.capacity.profile import read_profile
from geor1.models.loading import BASE_MODEL_PATH, load_model

ROOT = Path(__file__).resolve().parents[2]
KILLED_RUN = ROOT / "tests" / "models" / "killed_run.py"
FULL = Holding(sharing="ddp", devices=2, lora_rank=0, quantized=False, freeze_vision=True, reference=False)


@pytest.fixture(scope="module")
def numbers() -> Counts:
    return count(load_model(BASE_MODEL_PATH))


def checkpoint(folder: Path, stage: str, **changes: object) -> int:
    """Bytes of what two processes of stage 02 leave to resume from; the model is the package's own."""
    write_questions(folder / "data", 4)
    config = {"max_steps": 1, "save_steps": 1, "batch_size": 2, "threads": 1, "freeze_vision": True, **changes}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--master_addr=127.0.0.1"]
    command += [f"--master_port={port}", KILLED_RUN, stage, "0", json.dumps(config), folder / "data", folder / "run"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    files = [path for path in (folder / "run" / "trainer" / "checkpoint-1").rglob("*") if path.is_file()]
    return sum(path.stat().st_size for path in files)


@pytest.mark.parametrize(
    ("stage", "sharing", "changes"),
    [("sft", "ddp", {}), ("sft", "ddp", {"lora": True}), ("sft_fsdp2", "fsdp2", {})],
    ids=["ddp", "adapters", "fsdp2"],
)
def test_a_real_checkpoint_has_the_predicted_bytes(
    numbers: Counts, tmp_path: Path, stage: str, sharing: str, changes: dict[str, object]
) -> None:
    """Beside them lie names, states of random numbers and the like: less than a megabyte, whatever the model's size."""
    holding = dataclasses.replace(FULL, sharing=sharing, lora_rank=16 if changes else 0)
    beside = checkpoint(tmp_path, stage, **changes) - saved_bytes(numbers, holding)
    assert 0 < beside < 1.0e6
    assert numbers.tied == 76_928 and numbers.total == 1_258_688


def test_deepspeed_s_files_by_hand() -> None:
    """As DeepSpeed 0.19.8 wrote them for two CPU processes, where weights were float32 and frozen ones not copied."""
    numbers = counts(read_profile("paper").architecture)
    total, train = numbers.total, numbers.total - numbers.vision
    second, third = (dataclasses.replace(FULL, sharing=f"deepspeed_zero{stage}") for stage in (2, 3))
    assert saved_bytes(numbers, third) == 2 * total + 2 * numbers.vision + 12 * train
    assert saved_bytes(numbers, second) == 2 * total + 2 * (total + numbers.vision) + 12 * train
    small = counts(read_profile("qwen2.5-vl-3b").architecture)
    whole = dataclasses.replace(second, freeze_vision=False)
    assert saved_bytes(small, whole) == 2 * small.tied + (2 + 2 + 12) * small.total
    adapters = dataclasses.replace(second, lora_rank=16)
    assert saved_bytes(numbers, adapters) == 16 * trained(numbers, adapters) == 16 * 16 * numbers.adapters


def test_a_run_s_disk_holds_three_checkpoints_or_two_and_the_product() -> None:
    numbers = counts(read_profile("qwen2.5-vl-3b").architecture)
    assert numbers.tied == 151_936 * 2048
    spread = dataclasses.replace(FULL, sharing="fsdp2")
    assert disk_bytes(numbers, spread) == 3 * saved_bytes(numbers, spread)
    adapters = dataclasses.replace(FULL, lora_rank=16)
    assert disk_bytes(numbers, adapters) == 2 * saved_bytes(numbers, adapters) + 4 * numbers.total
    assert product_bytes(numbers, dataclasses.replace(FULL, sharing="deepspeed_zero3")) == 2 * numbers.total
