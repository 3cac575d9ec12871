"""One machine's part of a job: ``python -m geor1.runs.jobs.machine RUN_DIR [RANK]`` becomes ``accelerate launch``."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from geor1.runs.jobs.files import JobFiles, die_with_parent, read_json
from geor1.runs.processes import LaunchConfig, accelerate_command
from geor1.runs.stopping import STOP_SIGNALS

# torch's launcher (elastic) must outlive the signals that ask for a stop: it would end its processes before they have
# saved. And when one of them has died it should not wait half a minute for the others.
_AGENT = {"PET_SIGNALS_TO_HANDLE": "SIGQUIT", "PET_SHUTDOWN_TIMEOUT": "5"}


def main(run_dir: str, rank: int, *, tied: bool = True) -> None:
    """Become the launcher of this machine's processes; does not return.

    Args:
        run_dir: The run folder, on a disk that all machines share.
        rank: Number of this machine, from 0.
        tied: Whether to end with the process that started this one.
    """
    if tied:
        die_with_parent()
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)  # inherited; the processes that train set handlers of their own
    files = JobFiles(Path(run_dir).resolve())
    spec = read_json(files.spec)
    if spec is None:
        raise FileNotFoundError(f"{files.spec}: no job was started in this run folder; start it on the first machine")
    job_dir = files.folder / f"machine-{rank}"
    job_dir.mkdir(exist_ok=True)
    module = ["geor1.runs.jobs.child", str(files.run_dir)]
    command = accelerate_command(LaunchConfig(**spec["launch"]), job_dir, module, rank=rank, python=sys.executable)
    sys.stdout.flush()
    os.execve(command[0], command, {**os.environ, **_AGENT})


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2] if len(sys.argv) > 2 else os.environ["SLURM_NODEID"]))
