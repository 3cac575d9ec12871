"""``python -m geor1.synthesis.teacher RUN_FOLDER``: have a teacher write chains about a run's questions.

Several processes, on several machines that see the same folder: ``--shard 0/4`` … ``--shard 3/4``, then ``--merge``.
"""

from __future__ import annotations

import argparse
import dataclasses
import logging
import typing
from pathlib import Path
from typing import Any

from geor1.asking.command import plain_errors
from geor1.records import Question, read_jsonl
from geor1.runs import ConfigError, MissingUpstreamError, configure
from geor1.runs.show import attribute_texts
from geor1.synthesis.config import SynthesisConfig
from geor1.synthesis.teacher.config import TeacherConfig
from geor1.synthesis.teacher.jobs import Shard
from geor1.synthesis.teacher.run import TABLE, run_teacher

QUESTIONS = "questions_train.jsonl"


def main() -> None:
    """Parse the arguments, ask, print the table."""
    given = _parser().parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    out = given.out or given.run_folder / "teacher"
    with plain_errors(out):
        config = _config(given)
        run_teacher(config, _questions(given.run_folder), given.run_folder, out, shard=given.shard, merge=given.merge)
    print(out if given.shard.count > 1 else (out / TABLE).read_text(encoding="utf-8"))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m geor1.synthesis.teacher", description=__doc__)
    parser.add_argument("run_folder", type=Path, help=f"run folder of 01_data_synthesis with {QUESTIONS}")
    parser.add_argument("--out", type=Path, help="folder for the results; RUN_FOLDER/teacher if not given")
    parser.add_argument("--profile", default="miniature", help="profile whose section 'teaching' to start from")
    parser.add_argument("--shard", type=_shard, default=Shard(), metavar="I/N", help="ask one of n shares, i from 0")
    parser.add_argument("--merge", action="store_true", help="ask nothing; put the shards' generations together")
    hints, texts = typing.get_type_hints(TeacherConfig), attribute_texts(TeacherConfig)
    for field in dataclasses.fields(TeacherConfig):
        option = f"--{field.name.replace('_', '-')}"
        kind = hints[field.name]
        how: dict[str, Any] = (
            {"type": kind, "metavar": kind.__name__.upper()} if kind in (int, float, str) else {"nargs": "+"}
        )
        if kind is bool:
            how = {"action": argparse.BooleanOptionalAction}
        parser.add_argument(option, default=None, help=texts[field.name].replace("%", "%%"), **how)
    return parser


def _shard(text: str) -> Shard:
    try:
        return Shard.parse(text)
    except ConfigError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _config(given: argparse.Namespace) -> TeacherConfig:
    profile = configure(SynthesisConfig, "01_data_synthesis", given.profile).teaching
    names = [field.name for field in dataclasses.fields(TeacherConfig)]
    chosen = {name: getattr(given, name) for name in names if getattr(given, name) is not None}
    if "templates" in chosen:
        chosen["templates"] = tuple(chosen["templates"])
    return dataclasses.replace(profile, **chosen)


def _questions(folder: Path) -> list[Question]:
    path = folder / QUESTIONS
    if not path.is_file():
        raise MissingUpstreamError(f"{path} is missing; make it with: geor1 run 01_data_synthesis")
    return read_jsonl(path, Question)


if __name__ == "__main__":
    main()
