"""The scripts of papers/slurm on a real Slurm: an array sweep, and a preempted job that resumes."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import slurm_cluster
from slurm_cluster import ask, wait_until

from geor1.runs import read_metrics

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "papers" / "slurm"
STEPS = 40
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1500),
    pytest.mark.skipif(bool(slurm_cluster.missing()), reason=f"no Slurm to be started: {slurm_cluster.missing()}"),
]


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with slurm_cluster.cluster(tmp_path_factory.mktemp("slurm")) as environment:
        yield {**environment, "GEOR1": f"{sys.executable} -m geor1", "PYTHONPATH": str(ROOT)}


def submit(environment: dict[str, str], *words: object) -> str:
    answer = ask(environment, "sbatch", *map(str, words))
    return re.fullmatch(r"Submitted batch job (\d+)\s*", answer)[1]  # type: ignore[index]


def queue(environment: dict[str, str]) -> str:
    return ask(environment, "squeue", "-h", "-o", "%i %P %T %r").strip()


def test_an_array_job_is_a_sweep(slurm: dict[str, str], tmp_path: Path) -> None:
    words = ["02", "learning_rate=5.0e-4,1.0e-3,2.0e-3", "--until", "02", "--profile", "smoke"]
    printed = tmp_path / "%a.out"
    small = ("-n1", "-c1", "--mem=0")  # the script asks for what a real model takes
    words += ["--runs-dir", str(tmp_path)]
    submit(slurm, "--array=0-2", *small, f"--output={printed}", SCRIPTS / "sweep.sbatch", *words)
    wait_until(lambda: not queue(slurm), 600, f"still in the queue: {queue(slurm)}")
    texts = [(tmp_path / f"{task}.out").read_text() for task in range(3)]
    assert all("written: " in text for text in texts), texts
    assert sum("01_data_synthesis: running in" in text for text in texts) == 1  # shared by the three
    (table,) = (tmp_path / "smoke" / "sweeps").glob("*.csv")
    rows = table.read_text().splitlines()
    assert [row.split(",")[:4] for row in rows[1:]] == [[rate, "1", "0", "0"] for rate in ("0.0005", "0.001", "0.002")]


def _job_log(runs_dir: Path) -> str:
    return "".join(path.read_text() for path in runs_dir.glob("smoke/02_scaffold_sft/*/job.log"))


@pytest.mark.parametrize("launch", ["", "processes=1"], ids=["in process", "launched"])
def test_a_preempted_job_saves_is_put_back_and_resumes(slurm: dict[str, str], tmp_path: Path, launch: str) -> None:
    changes = {"smoke": {"02_scaffold_sft": {"max_steps": STEPS, "save_steps": 1000}}}
    more = {"RUNS_DIR": str(tmp_path), "LAUNCH": launch, "GEOR1_OVERRIDES": json.dumps(changes)}
    environment = {**slurm, **more}
    printed = tmp_path / "job.out"
    job = submit(environment, "-n1", "-c2", f"--output={printed}", SCRIPTS / "run.sbatch", "smoke", "02")

    def steps() -> int:
        folder = next(tmp_path.glob("smoke/02_scaffold_sft/[0-9a-f]*"), None)
        return len(read_metrics(folder)) if folder else 0

    wait_until(lambda: steps() >= 2, 300, "no step was taken")
    submit(environment, "--partition=high", "-n1", "-c2", f"--output={tmp_path}/high.out", "--wrap", "echo urgent")
    wait_until(lambda: (tmp_path / "high.out").exists(), 200, f"not preempted: {queue(slurm)}\n{printed.read_text()}")
    wait_until(lambda: not queue(slurm), 300, f"still in the queue: {queue(slurm)}")
    text = printed.read_text()
    stopped = re.search(rf"stopped by SIGUSR1 after step (\d+) of {STEPS}; a checkpoint is saved", text)
    assert stopped and 2 <= int(stopped[1]) < STEPS, text
    assert f"resuming from checkpoint-{stopped[1]} of {STEPS} steps" in text + _job_log(tmp_path)
    assert f"job {job}: a checkpoint is saved, put back into the queue (restart 0)" in text
    assert f"job {job}: finished after 1 restarts" in text, text
    (manifest,) = tmp_path.glob("smoke/02_scaffold_sft/*/manifest.json")
    assert json.loads(manifest.read_text())["attempts"] == 2
    assert [row["step"] for row in read_metrics(manifest.parent)] == list(range(1, STEPS + 1))
    if os.environ.get("GEOR1_SHOW"):
        print(text)
