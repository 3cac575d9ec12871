"""Runs a training stage in a process of its own that kills itself (SIGKILL) after a given step, for the resume tests.

Usage: python killed_run.py STAGE STEP CONFIG_JSON DATA RUN_DIR [CHECKPOINT]; STEP 0 lets it finish.
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
    if stage == "sft":
        from geor1.sft.config import SftConfig
        from geor1.sft.run import run_sft

        run_sft(SftConfig(**json.loads(config)), Path(data), Path(run_dir))
    else:
        from geor1.grpo.config import GrpoConfig
        from geor1.grpo.run import run_grpo

        run_grpo(GrpoConfig(**json.loads(config)), Path(data), Path(checkpoint[0]), Path(run_dir))


if __name__ == "__main__":
    main(*sys.argv[1:])
