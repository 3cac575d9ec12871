"""``python -m geor1.evaluation DATA RUN_DIR LABEL=CHECKPOINT …``: stage 04 alone, into a folder of your choice."""

from __future__ import annotations

import argparse
from pathlib import Path

from geor1.evaluation.config import EvaluationConfig
from geor1.evaluation.run import SCORES, run_evaluation
from geor1.runs import configure


def main() -> None:
    """Parse the arguments, run the stage, name its scores."""
    parser = argparse.ArgumentParser(prog="python -m geor1.evaluation", description=__doc__)
    parser.add_argument("data", type=Path, help="run folder of 01_data_synthesis")
    parser.add_argument("run_dir", type=Path, help="folder for predictions and scores")
    parser.add_argument("models", nargs="+", metavar="LABEL=CHECKPOINT", help="row label and checkpoint folder")
    parser.add_argument("--profile", default="miniature", help="profile whose parameters to use")
    parser.add_argument("--pairs-dir", type=Path, help="run folder of 01_data_synthesis on real pairs")
    parser.add_argument("--real-data", type=Path, help="folder with other models' outputs (imageo/, geoguess/)")
    given = parser.parse_args()
    models = dict(_labelled(parser, text) for text in given.models)
    config = configure(EvaluationConfig, "04_evaluation", given.profile)
    run_dir = run_evaluation(config, given.data, models, given.run_dir, given.pairs_dir, given.real_data)
    print(run_dir / SCORES)


def _labelled(parser: argparse.ArgumentParser, text: str) -> tuple[str, Path]:
    label, equals, path = text.partition("=")
    if not (label and equals and path):
        parser.error(f"expected LABEL=CHECKPOINT, e.g. grpo=runs/miniature/03_grpo/…/checkpoint, got {text!r}")
    return label, Path(path)


if __name__ == "__main__":
    main()
