"""``python -m geor1.maps PREDICTIONS RUN_DIR``: stage 05 alone, into a folder of your choice."""

from __future__ import annotations

import argparse
from pathlib import Path

from geor1.maps.config import MapConfig
from geor1.maps.run import run_map
from geor1.runs import configure


def main() -> None:
    """Parse the arguments, run the stage, name the page."""
    parser = argparse.ArgumentParser(prog="python -m geor1.maps", description=__doc__)
    parser.add_argument("predictions", type=Path, help="run folder of 04_evaluation, or a predictions.jsonl")
    parser.add_argument("run_dir", type=Path, help="folder for the page and the figures")
    parser.add_argument("--data", type=Path, help="run folder of 01_data_synthesis, for the map of places")
    parser.add_argument("--profile", default="miniature", help="profile whose parameters to use")
    given = parser.parse_args()
    config = configure(MapConfig, "05_map_visualisation", given.profile)
    print(run_map(config, given.predictions, given.data, given.run_dir) / "map.html")


if __name__ == "__main__":
    main()
