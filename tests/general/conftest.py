"""Fixtures of the tests of general abilities: a harness that is a small script."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for harness_logs, whatever the import mode


@pytest.fixture
def fake_harness() -> str:
    """Words that start the fake harness."""
    return f"{sys.executable} {Path(__file__).with_name('fake_harness.py')}"
