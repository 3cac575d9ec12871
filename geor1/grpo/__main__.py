"""``python -m geor1.grpo DATA CHECKPOINT RUN_DIR [--profile P]``: stage 03 alone, into a folder of your choice.

With several processes: ``accelerate launch --num_processes 8 -m geor1.grpo DATA CHECKPOINT RUN_DIR``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from geor1.grpo.config import GrpoConfig
from geor1.grpo.run import run_grpo
from geor1.models.training import process_state
from geor1.runs import configure
from geor1.runs.finishing import drop_trainer


def main() -> None:
    """Parse the arguments and run the stage."""
    parser = argparse.ArgumentParser(prog="python -m geor1.grpo", description=__doc__)
    parser.add_argument("data", type=Path, help="run folder of stage 01")
    parser.add_argument("checkpoint", type=Path, help="model folder to start from")
    parser.add_argument("run_dir", type=Path, help="folder for the products; a killed run there is resumed")
    parser.add_argument("--profile", default="miniature", help="profile whose parameters to use")
    arguments = parser.parse_args()
    config = configure(GrpoConfig, "03_grpo", arguments.profile)
    arguments.run_dir.mkdir(parents=True, exist_ok=True)
    product = run_grpo(config, arguments.data, arguments.checkpoint, arguments.run_dir)
    if process_state().is_main_process:
        drop_trainer(arguments.run_dir)
        print(product)


if __name__ == "__main__":
    main()
