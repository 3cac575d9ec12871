"""``python -m geor1.evaluation DATA RUN_DIR LABEL=CHECKPOINT …``: stage 04 alone, into a folder of your choice."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from geor1.asking.command import plain_errors
from geor1.asking.config import BACKENDS
from geor1.evaluation.config import EvaluationConfig
from geor1.evaluation.run import SCORES, run_evaluation
from geor1.runs import configure

_OVERRIDES = (
    "backend",
    "server_url",
    "revision",
    "any_server",
    "key_variable",
    "concurrency",
    "timeout_s",
    "max_attempts",
    "keep_errors",
    "temperature",
    "samples",
)


def main() -> None:
    """Parse the arguments, run the stage, name its scores."""
    parser = argparse.ArgumentParser(prog="python -m geor1.evaluation", description=__doc__)
    parser.add_argument("data", type=Path, help="run folder of 01_data_synthesis")
    parser.add_argument("run_dir", type=Path, help="folder for predictions and scores")
    parser.add_argument("models", nargs="+", metavar="LABEL=CHECKPOINT", help="row label and checkpoint folder")
    parser.add_argument("--profile", default="miniature", help="profile whose parameters to use")
    parser.add_argument("--pairs-dir", type=Path, help="run folder of 01_data_synthesis on real pairs")
    parser.add_argument("--real-data", type=Path, help="folder with other models' outputs (imageo/, geoguess/)")
    add_backend_options(parser)
    given = parser.parse_args()
    models = dict(labelled(parser, text) for text in given.models)
    with plain_errors(given.run_dir):
        config = configure(EvaluationConfig, "04_evaluation", given.profile, **backend_overrides(given))
        run_dir = run_evaluation(config, given.data, models, given.run_dir, given.pairs_dir, given.real_data)
    print(run_dir / SCORES)


def add_backend_options(parser: argparse.ArgumentParser) -> None:
    """Options that stand before the profile's values; none is set by default."""
    parser.add_argument(
        "--backend", choices=BACKENDS, help="who generates; for a server, CHECKPOINT is the model's name"
    )
    parser.add_argument("--server-url", help="base address with /v1, e.g. http://127.0.0.1:8000/v1 of vllm serve")
    parser.add_argument("--revision", help="which weights the server's name stands for, where it cannot tell")
    parser.add_argument("--any-server", action="store_true", default=None, help="go on though it reports another model")
    parser.add_argument("--key-variable", help="environment variable that holds the server's key")
    parser.add_argument("--concurrency", type=int, help="requests under way at a time")
    parser.add_argument("--timeout-s", type=float, help="longest wait for a reply, in seconds")
    parser.add_argument("--max-attempts", type=int, help="attempts a request before it counts as an error")
    parser.add_argument("--keep-errors", action="store_true", default=None, help="score errors instead of asking again")
    parser.add_argument("--temperature", type=float, help="0 for greedy decoding")
    parser.add_argument("--samples", type=int, help="completions of every question")


def backend_overrides(given: argparse.Namespace) -> dict[str, Any]:
    """The fields of :class:`EvaluationConfig` that the options of :func:`add_backend_options` set."""
    return {name: getattr(given, name) for name in _OVERRIDES if getattr(given, name) is not None}


def labelled(parser: argparse.ArgumentParser, text: str) -> tuple[str, Path]:
    """Row label and checkpoint of an argument; a usage error if it is not ``LABEL=CHECKPOINT``."""
    label, equals, path = text.partition("=")
    if not (label and equals and path):
        parser.error(f"expected LABEL=CHECKPOINT, e.g. grpo=runs/miniature/03_grpo/…/checkpoint, got {text!r}")
    return label, Path(path)


if __name__ == "__main__":
    main()
