"""Processes that wait for a copy of a checkpoint wait long: their own timeout, not only the trainer's argument."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from geor1.models.training import trainer_settings
from geor1.runs import LaunchConfig
from geor1.runs.processes import LAUNCH_FILE
from geor1.runs.typed import to_plain

# The trainer's arguments are made after the processes have met, as in the stages.
ASK = """
import sys
from pathlib import Path
import torch
from transformers import TrainingArguments
from geor1.models import training
run_dir = Path(sys.argv[1])
training.prepare(run_dir, 1)
settings = training.trainer_settings(run_dir, seed=0, learning_rate=1e-3, steps=1, save_steps=1)
TrainingArguments(**settings).device
group = torch.distributed.distributed_c10d._get_default_group()
seconds = group._get_backend(torch.device("cpu")).options._timeout.total_seconds()
if training.process_state().is_main_process:
    Path(sys.argv[2]).write_text(str(seconds))
torch.distributed.destroy_process_group()
"""


def launch(run_dir: Path, url: str) -> Path:
    run_dir.mkdir()
    (run_dir / LAUNCH_FILE).write_text(json.dumps(to_plain(LaunchConfig(checkpoint_url=url))))
    return run_dir


def test_the_trainer_waits_longer_where_checkpoints_are_copied(tmp_path: Path) -> None:
    given = {"seed": 0, "learning_rate": 1.0e-3, "steps": 1, "save_steps": 1}
    assert trainer_settings(launch(tmp_path / "a", ""), **given)["ddp_timeout"] == 1800
    assert trainer_settings(launch(tmp_path / "b", "memory://bucket"), **given)["ddp_timeout"] == 6 * 3600


def test_two_processes_wait_as_long_as_the_arguments_say(tmp_path: Path) -> None:
    run_dir = launch(tmp_path / "run", "memory://bucket")
    script, answer = tmp_path / "ask.py", tmp_path / "answer.txt"
    script.write_text(ASK)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", str(script)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [*command, str(run_dir), str(answer)], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert float(answer.read_text()) == 6 * 3600
