"""Makes the helpers of this folder and of tests/models importable, here and in the processes that tests start."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PLACES = [str(HERE), str(HERE.parent / "models"), str(HERE.parent / "grpo")]
sys.path[:0] = [place for place in PLACES if place not in sys.path]


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a job runs is imported by name in another process."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(HERE.parents[1]), *PLACES]))
    monkeypatch.delenv("GEOR1_LAUNCH", raising=False)
