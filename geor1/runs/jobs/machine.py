"""One machine's part of a job: ``python -m geor1.runs.jobs.machine RUN_DIR [RANK]`` becomes ``accelerate launch``."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from geor1.runs.errors import ConfigError
from geor1.runs.files import write_json
from geor1.runs.jobs.files import JobFiles, die_with_parent, read_json
from geor1.runs.processes import LaunchConfig, accelerate_command, require_devices
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
    launch = LaunchConfig(**spec["launch"])
    module = ["geor1.runs.jobs.child", str(files.run_dir)]
    try:
        require_devices(launch, _visible_devices())
        command = accelerate_command(launch, job_dir, module, rank=rank, python=sys.executable)
    except ConfigError as error:  # what a process that trains would leave for its supervisor
        first = rank * launch.processes // launch.machines
        write_json(files.error(first), {"type": "ConfigError", "message": str(error), "time": time.time()})
        raise
    sys.stdout.flush()
    os.execve(command[0], command, {**os.environ, **_AGENT})


def _visible_devices() -> int:
    """GPUs that this machine's processes will see; asked here, so that no notebook's process begins with CUDA."""
    import torch

    return torch.cuda.device_count()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2] if len(sys.argv) > 2 else os.environ["SLURM_NODEID"]))
