"""Fixtures of the evaluation tests."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "asking"))  # for scripted_server, whatever the import mode
sys.path.insert(0, str(Path(__file__).parent))  # for evaluation_cases
from evaluation_cases import write_questions

from geor1.records import Question


def real_data_folder() -> Path | None:
    """Folder of the real files, or None when this machine has none."""
    named = os.environ.get("GEOR1_REAL_DATA")
    folder = Path(named) if named else Path(__file__).resolve().parents[3] / "shared" / "data"
    return folder if folder.is_dir() else None


@pytest.fixture
def real_files() -> Callable[[str], Path]:
    """Path of a real file by name under the data folder; skips, saying so, when it is absent."""

    def find(name: str) -> Path:
        folder = real_data_folder()
        if folder is None or not (folder / name).exists():
            pytest.skip(f"real data {name!r} absent: set GEOR1_REAL_DATA to the folder that holds it")
        return folder / name

    return find


@pytest.fixture
def questions(tmp_path: Path) -> Sequence[Question]:
    """Four three-option questions with their images under ``tmp_path/data``."""
    return write_questions(tmp_path / "data")
