"""``python -m geor1.synthesis.probes RUN_FOLDER``: the anti-shortcut probes alone, on a data set that exists."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from geor1.synthesis.probes.run import SHOWN_AT_MOST, probe_folder, summary_lines


def main() -> None:
    """Parse the arguments, run the probes, print the table; the exit status is 1 where a nuisance leaks."""
    parser = argparse.ArgumentParser(prog="python -m geor1.synthesis.probes", description=__doc__)
    parser.add_argument("run_folder", type=Path, help="folder with questions_*.jsonl and images/")
    parser.add_argument("--seed", type=int, default=0, help="decides sample, held-out groups, random features")
    parser.add_argument("--workers", type=int, default=2, help="threads that read images")
    parser.add_argument("--train", type=int, default=SHOWN_AT_MOST["train"], help="train questions at most")
    parser.add_argument("--test", type=int, default=SHOWN_AT_MOST["test"], help="test questions at most")
    parser.add_argument("--json", type=Path, help="also write the report here")
    arguments = parser.parse_args()
    limits = {"train": arguments.train, "test": arguments.test}
    report = probe_folder(arguments.run_folder, seed=arguments.seed, workers=arguments.workers, limits=limits)
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print("\n".join(summary_lines(report)))
    sys.exit(bool(report["leaks"]))


if __name__ == "__main__":
    main()
