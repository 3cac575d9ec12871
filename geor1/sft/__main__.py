"""``python -m geor1.sft DATA RUN_DIR [--profile P]``: stage 02 alone, into a folder of your choice.

With several processes: ``accelerate launch --multi_gpu --num_processes 8 -m geor1.sft DATA RUN_DIR``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from geor1.models.training import process_state
from geor1.runs import configure
from geor1.runs.finishing import drop_trainer
from geor1.sft.config import SftConfig
from geor1.sft.run import run_sft


def main() -> None:
    """Parse the arguments and run the stage."""
    parser = argparse.ArgumentParser(prog="python -m geor1.sft", description=__doc__)
    parser.add_argument("data", type=Path, help="run folder of stage 01")
    parser.add_argument("run_dir", type=Path, help="folder for the products; a killed run there is resumed")
    parser.add_argument("--profile", default="miniature", help="profile whose parameters to use")
    arguments = parser.parse_args()
    config = configure(SftConfig, "02_scaffold_sft", arguments.profile)
    arguments.run_dir.mkdir(parents=True, exist_ok=True)
    product = run_sft(config, arguments.data, arguments.run_dir)
    if process_state().is_main_process:
        drop_trainer(arguments.run_dir)
        print(product)


if __name__ == "__main__":
    main()
