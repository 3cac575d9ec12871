"""``geor1 map`` and ``python -m geor1.maps``: predictions of one run or several as one page, with its figures.

::

    geor1 map runs/miniature/04_evaluation/0123abcd --data runs/miniature/01_data_synthesis/89ef --out my_map
    geor1 map seed0=runs/a/04_evaluation/1 seed1=runs/b/04_evaluation/2 --title "Two seeds" --base blue-marble
    geor1 map imported.jsonl --labels pcw_labels.csv --label-key image_id
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from geor1.runs import ConfigError, configure

STAGE = "05_map_visualisation"
DESCRIPTION = "predictions of one run or several as one offline page"


def add_map(commands: Any) -> None:
    """Add ``map`` to a parser's commands."""
    parser = commands.add_parser("map", help=DESCRIPTION, description=DESCRIPTION)
    _options(parser)
    parser.set_defaults(command=draw_map)


def draw_map(options: argparse.Namespace) -> None:
    """``geor1 map``: the last line names the page."""
    from geor1.maps.config import MapConfig
    from geor1.maps.run import run_map
    from geor1.maps.slices import label_slices
    from geor1.maps.sources import parse_sources

    sources = parse_sources(options.sources)
    if (options.labels is None) != (options.label_key is None):
        raise ConfigError("--labels FILE.csv and --label-key COLUMN belong together: give both, or neither")
    labels = None
    if options.labels is not None:
        labels = label_slices(options.labels, options.label_key, options.label_columns)
    given = {name: getattr(options, name) for name in ("title", "base", "attribution")}
    config = configure(MapConfig, STAGE, options.profile)
    config = dataclasses.replace(config, **{name: value for name, value in given.items() if value is not None})
    drawn = run_map(config, sources, options.data, options.out, grpo=options.grpo, labels=labels)
    print(drawn / "map.html")


def main(arguments: Sequence[str] | None = None) -> None:
    """``python -m geor1.maps``: the same as ``geor1 map``."""
    parser = argparse.ArgumentParser(prog="python -m geor1.maps", description=DESCRIPTION)
    _options(parser)
    draw_map(parser.parse_args(arguments))


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "sources", nargs="+", metavar="[LABEL=]PATH", help="run folder of 04_evaluation, or a predictions.jsonl"
    )
    parser.add_argument("--out", type=Path, default=Path("map"), help="folder for page and figures (default: map)")
    parser.add_argument("--data", type=Path, help="run folder of 01_data_synthesis: questions, facts, places")
    parser.add_argument("--grpo", type=Path, help="run folder of 03_grpo: its rollouts as a page of their own")
    parser.add_argument("--labels", type=Path, metavar="FILE.csv", help="table whose columns become filters")
    parser.add_argument("--label-key", metavar="COLUMN", help="its column of item ids")
    parser.add_argument("--label-columns", nargs="+", metavar="COLUMN", help="columns wanted (default: all that group)")
    parser.add_argument("--title", help="title of the page")
    parser.add_argument("--base", help="outlines (default), blue-marble, or a URL of tiles with {z}, {x} and {y}")
    parser.add_argument("--attribution", help="whom the owner of the tiles wants named")
    parser.add_argument("--profile", default="miniature", help="profile whose parameters to use")
