"""``python -m geor1.benchmarks NAME FOLDER OUT LABEL=CHECKPOINT …``: ask models a public benchmark and score them.

Names and where the data come from: ``geor1 data list``. With ``--backend server`` a checkpoint is the name under which
the server serves the model.
"""

from __future__ import annotations

import argparse
import functools
from pathlib import Path

from geor1.asking.backends import Backend
from geor1.asking.command import plain_errors
from geor1.asking.generating import Asking
from geor1.asking.selection import asking_of, choose_backend
from geor1.benchmarks.ask import run_benchmark
from geor1.benchmarks.items import BenchmarkError
from geor1.benchmarks.registry import BENCHMARKS, benchmark
from geor1.evaluation.__main__ import add_backend_options, backend_overrides, labelled
from geor1.evaluation.config import EvaluationConfig
from geor1.runs import configure


def _answerer(config: EvaluationConfig, label: str, checkpoint: Path, images: int) -> tuple[Backend, Asking]:
    return choose_backend(config, checkpoint, images_per_prompt=images), asking_of(config, label, checkpoint)


def main() -> None:
    """Parse the arguments, ask, name the scores."""
    parser = argparse.ArgumentParser(prog="python -m geor1.benchmarks", description=__doc__)
    parser.add_argument("name", choices=sorted(BENCHMARKS), help="which benchmark")
    parser.add_argument("folder", type=Path, help="its labels and photos")
    parser.add_argument("out", type=Path, help="folder for completions and scores; the same again goes on")
    parser.add_argument("models", nargs="+", metavar="LABEL=CHECKPOINT", help="row label and checkpoint folder")
    parser.add_argument("--profile", default="miniature", help="profile whose parameters of 04_evaluation to use")
    parser.add_argument("--first", type=int, default=0, help="take the first items only")
    parser.add_argument("--max-new-tokens", type=int, help="limit of a completion")
    add_backend_options(parser)
    given = parser.parse_args()
    overrides = backend_overrides(given)
    if given.max_new_tokens is not None:
        overrides["max_new_tokens"] = given.max_new_tokens
    named = [labelled(parser, text) for text in given.models]
    with plain_errors(given.out, BenchmarkError):
        config = configure(EvaluationConfig, "04_evaluation", given.profile, **overrides)
        if config.samples > 1:
            parser.error("--samples: benchmarks are asked once")
        models = {label: functools.partial(_answerer, config, label, path) for label, path in named}
        options = {"first": given.first, "resamples": config.bootstrap_resamples, "seed": config.seed}
        print(run_benchmark(benchmark(given.name), given.folder, models, given.out, **options))


if __name__ == "__main__":
    main()
