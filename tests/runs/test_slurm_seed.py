"""What papers/slurm/run.sbatch asks of the command ``geor1``, which a script that notes its words stands in for."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "papers" / "slurm" / "run.sbatch"


@pytest.mark.parametrize(("seed", "words"), [(None, ""), ("", ""), ("0", " -p seed=0"), ("7", " -p seed=7")])
def test_a_job_leaves_the_seed_to_the_profile_unless_told(tmp_path: Path, seed: str | None, words: str) -> None:
    noted, command = tmp_path / "noted", tmp_path / "geor1"
    command.write_text(f'#!/bin/sh\necho "$@" >> {noted}\n')
    command.chmod(0o755)
    environment = {name: value for name, value in os.environ.items() if name not in ("SEED", "RUNS_DIR", "LAUNCH")}
    environment |= {"GEOR1": str(command), "SLURM_JOB_ID": "1", **({} if seed is None else {"SEED": seed})}
    subprocess.run(["bash", SCRIPT, "paper"], env=environment, check=True, timeout=60)
    expected = [f"run {stage} --profile paper{words}" for stage in ("01", "02", "03", "04", "05")]
    assert noted.read_text().splitlines() == expected
