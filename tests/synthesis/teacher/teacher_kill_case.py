"""What a child process of the kill test runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from teacher_cases import settings

from geor1.asking.backends import UnansweredError
from geor1.records import Question, read_jsonl
from geor1.synthesis.teacher.jobs import Shard
from geor1.synthesis.teacher.run import run_teacher

TEMPLATES = ("positive", "distractors", "search", "geolocation")


def teach(url: str, folder: str, out: str, shard: str = "0/1", **changes: Any) -> None:
    """Ask the served teacher about the questions of ``folder/data``; status 3 if completions are missing."""
    data = Path(folder) / "data"
    questions = read_jsonl(data / "questions_train.jsonl", Question)
    config = settings(server_url=url, templates=TEMPLATES, **changes)
    try:
        run_teacher(config, questions, data, Path(folder) / out, shard=Shard.parse(shard))
    except UnansweredError:
        raise SystemExit(3) from None
