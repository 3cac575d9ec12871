"""``python -m geor1.synthesis RUN_DIR [PROFILE]``: stage 01 alone, into a folder of your choice."""

from __future__ import annotations

import argparse
from pathlib import Path

from geor1.runs import configure
from geor1.synthesis.config import SynthesisConfig
from geor1.synthesis.run import run_synthesis


def main() -> None:
    """Parse the two arguments and run the stage."""
    parser = argparse.ArgumentParser(prog="python -m geor1.synthesis", description=__doc__)
    parser.add_argument("run_dir", type=Path, help="folder for the products")
    parser.add_argument("profile", nargs="?", default="miniature", help="profile whose parameters to use")
    arguments = parser.parse_args()
    config = configure(SynthesisConfig, "01_data_synthesis", arguments.profile)
    print(run_synthesis(config, arguments.run_dir))


if __name__ == "__main__":
    main()
