"""Runs a training stage in a process of its own that kills itself (SIGKILL) after a given step, for the resume tests.

Usage: python killed_run.py STAGE STEP CONFIG_JSON DATA RUN_DIR [CHECKPOINT]; STEP 0 lets it finish. STAGE is ``sft``,
``sft_fsdp2`` (its weights shared out as the launcher ``fsdp2`` does it, without GPUs) or ``grpo``.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any


def main(stage: str, step: str, config: str, data: str, run_dir: str, *checkpoint: str) -> None:
    """Run the stage; see the module's text."""
    from geor1.models.training import RunFolderCallback

    log = RunFolderCallback.on_log

    def log_and_die(self: Any, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        log(self, args, state, control, **kwargs)
        if state.global_step == int(step):
            os.kill(os.getpid(), signal.SIGKILL)

    RunFolderCallback.on_log = log_and_die  # type: ignore[method-assign]
    if stage.startswith("sft"):
        from geor1.sft.config import SftConfig
        from geor1.sft.run import run_sft

        if stage == "sft_fsdp2":
            _share_weights_out()
        run_sft(SftConfig(**json.loads(config)), Path(data), Path(run_dir))
    else:
        from geor1.grpo.config import GrpoConfig
        from geor1.grpo.run import run_grpo

        run_grpo(GrpoConfig(**json.loads(config)), Path(data), Path(checkpoint[0]), Path(run_dir))


def _share_weights_out() -> None:
    """Let stage 02 train with FSDP2, once its trainer's arguments, which begin accelerate's state anew, are there."""
    from sharded_on_cpu import shard_on_cpu

    from geor1.sft import run

    settings = run.trl_settings

    def settings_then_share(*arguments: Any) -> Any:
        made = settings(*arguments)
        shard_on_cpu()
        return made

    run.trl_settings = settings_then_share


if __name__ == "__main__":
    main(*sys.argv[1:])
