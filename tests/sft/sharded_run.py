"""Trains three SFT steps as one of several processes, for the test that starts them.

Usage: python -m torch.distributed.run … sharded_run.py WORLD RUN_DIR HOW, the last of which is ``ddp`` or ``fsdp2``.
The first process writes ``log.json`` and ``weights.pt``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[1] / "models")]
# ruff: noqa: E402
import torch
from sharded_on_cpu import shard_on_cpu
from torch.distributed.tensor import DTensor

from geor1.models import sharding
from geor1.models.loading import load_model, load_processor
from geor1.models.training import gathered_weights, process_state
from geor1.sft.config import SftConfig
from geor1.sft.data import consumption_order, load_scaffolds
from geor1.sft.run import build_trainer

STEPS = 3


def main(world: str, run_dir: str, how: str) -> None:
    """Train; see the module's text."""
    folder, run = Path(world), Path(run_dir)
    torch.set_num_threads(1)
    process_state()
    config = SftConfig(
        base_model=str(folder / "base"), max_steps=STEPS, batch_size=4, micro_batch_size=2, save_steps=100, threads=1,
        learning_rate=1e-3, warmup_steps=0,
    )  # fmt: skip
    if how == "fsdp2":
        prepare = sharding.prepare_fsdp2

        def prepare_on_cpu(arguments: Any) -> None:
            """What the launcher's variables do on accelerators."""
            prepare(arguments)
            shard_on_cpu()

        sharding.prepare_fsdp2 = prepare_on_cpu
    scaffolds = load_scaffolds(folder / "data", "scaffolds.jsonl", 0)
    asked = [scaffolds[index] for index in consumption_order(scaffolds, config.batch_size, STEPS, 0)]
    model, processor = load_model(folder / "base"), load_processor(folder / "base")
    trainer = build_trainer(config, model, processor, asked, folder / "data", run, STEPS)
    trainer.train()
    assert isinstance(next(trainer.model.parameters()), DTensor) == (how == "fsdp2")
    weights = gathered_weights(trainer) or trainer.accelerator.unwrap_model(trainer.model).state_dict()
    if trainer.accelerator.is_main_process:
        torch.save({name: value.clone() for name, value in weights.items()}, run / "weights.pt")
        (run / "log.json").write_text(json.dumps([line for line in trainer.state.log_history if "loss" in line]))


if __name__ == "__main__":
    main(*sys.argv[1:])
