"""How commands end: what a user can mend is a sentence, a defect of ours a traceback."""

from __future__ import annotations

import errno
import sys
from pathlib import Path

import pytest

from geor1.asking.command import plain_errors
from geor1.asking.journal import only_writer
from geor1.benchmarks import __main__ as benchmarks
from geor1.evaluation import __main__ as evaluation
from geor1.records import Candidate, Question, write_jsonl
from geor1.runs import RunLockedError


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), r"DiskFullError: .*out: the disk is full .*same command"),
        (RuntimeError("I/O error: No space left on device (os error 28)"), r"DiskFullError: .*the disk is full"),
        (RunLockedError("another process writes"), r"RunLockedError: another process writes"),
        (PermissionError(errno.EACCES, "Permission denied", "/data"), r"PermissionError: .*Permission denied"),
        (KeyError("a benchmark's own"), r"KeyError: "),
        (KeyboardInterrupt(), r"interrupted: .* same command"),
    ],
)
def test_what_a_user_can_mend_is_said(error: BaseException, said: str, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=said), plain_errors(tmp_path / "out", KeyError):
        raise error


def test_a_defect_keeps_its_traceback(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), plain_errors(tmp_path):
        _ = 1 / 0


def test_an_evaluation_without_data_and_one_that_another_process_writes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "argv", ["evaluation", str(tmp_path), str(tmp_path / "run"), "base=nowhere"])
    with pytest.raises(SystemExit, match=r"MissingUpstreamError: .*geor1 run 01_data_synthesis"):
        evaluation.main()
    options = tuple(Candidate(letter=x, pair_id=x, satellite_image=f"{x}.png") for x in "AB")
    where = {"pair_id": "A", "source": "world", "split": "test", "ground_image": "g.png"}
    asked = Question(question_id="A/q0", candidates=options, answer="A", **where)
    write_jsonl(tmp_path / "questions_test.jsonl", [asked])
    with only_writer(tmp_path / "run"), pytest.raises(SystemExit, match=r"RunLockedError: .*run"):
        evaluation.main()


def test_a_parameter_that_does_not_exist_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for main, first in ((evaluation.main, []), (benchmarks.main, ["im2gps3k"])):
        words = ["command", *first, str(tmp_path), str(tmp_path / "out"), "base=x", "--profile", "minature"]
        monkeypatch.setattr(sys, "argv", words)
        with pytest.raises(SystemExit, match=r"ConfigError: .*minature"):
            main()
