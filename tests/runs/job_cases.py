"""Toy stages for the tests of jobs, importable by name, and a caller of ``run_stage`` in a process of its own.

Usage: python job_cases.py RUNS_DIR STEPS PROCESSES; prints the run folder when it is done.
"""

from __future__ import annotations

import dataclasses
import os
import sys
import time
from pathlib import Path

from geor1.runs import ConfigError, LaunchConfig, RunFolder, RunStoppedError, append_metrics, read_metrics, run_stage
from geor1.runs.stopping import stop_requested


@dataclasses.dataclass(frozen=True)
class ToyConfig:
    """Steps of a tenth of a second; ``seed`` makes runs differ."""

    steps: int = 10
    seed: int = 0
    fails_at: int = 0


@dataclasses.dataclass(frozen=True)
class PickyConfig(ToyConfig):
    """Goes with one process only."""

    def check_launch(self, launch: LaunchConfig) -> None:
        """Refuse two."""
        if launch.processes > 1:
            raise ConfigError(f"picky: expected one process, got {launch.processes}")


def toy_training(config: ToyConfig, run_dir: Path) -> Path:
    """Count steps, from where an earlier attempt left off, and note each call."""
    rank = os.environ.get("RANK", "0")
    with open(run_dir / f"calls-{rank}.log", "a", encoding="utf-8") as calls:
        calls.write(f"{os.getpid()}\n")
    done = len(read_metrics(run_dir))
    for step in range(done + 1, config.steps + 1):
        time.sleep(0.1)
        if rank == "0":
            append_metrics(run_dir, step, loss=1 / step)
        if step == config.fails_at:
            raise ValueError(f"step {step} went wrong")
        if why := stop_requested(run_dir):
            raise RunStoppedError(f"stopped by {why} after step {step}")
    (run_dir / "metrics_summary.json").write_text(f'{{"steps": {config.steps}}}')
    return run_dir


def run(runs_dir: Path, processes: int = 1, **values: int) -> RunFolder:
    """Ask for a toy run."""
    launch = LaunchConfig(processes=processes)
    return run_stage("03_grpo", "smoke", ToyConfig(**values), toy_training, {}, runs_dir, launch=launch)


if __name__ == "__main__":
    import job_cases  # by its importable name, not as __main__

    print(job_cases.run(Path(sys.argv[1]), int(sys.argv[3]), steps=int(sys.argv[2])).path)
