"""Twenty GRPO steps at the paper's geometry on a GPU, and the same in small on a CPU: peak memory as predicted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from geor1.capacity.measure import RETURNING

ROOT = Path(__file__).resolve().parents[2]


def train(case: str) -> dict[str, float]:
    command = [sys.executable, str(Path(__file__).with_name("train_case.py")), case]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTORCH_ALLOC_CONF": "expandable_segments:True"}
    done = subprocess.run(
        command, capture_output=True, text=True, env={**environment, **(RETURNING if case == "small" else {})}
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.gpu
def test_the_3b_model_takes_the_predicted_memory() -> None:
    found = train("paper")
    assert found["measured"] == pytest.approx(found["predicted"], rel=0.1)


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads resident memory from /proc")
def test_its_small_twin_on_a_cpu() -> None:
    found = train("small")
    assert found["measured"] == pytest.approx(found["predicted"], rel=0.1)
