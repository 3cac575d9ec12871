"""The process that outlives the notebook: ``python -m geor1.runs.jobs.supervise RUN_DIR``.

It starts the processes that train, says every few seconds that it is alive, passes requests to stop on, and at the end
writes the manifest of a finished run, or how the job failed.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import filelock

from geor1.runs.files import write_json
from geor1.runs.finishing import finish_run
from geor1.runs.jobs.files import ATTEMPT_MARK, BEAT_EVERY_S, JobFiles, log_tail, read_json, root_cause, write_running
from geor1.runs.stopping import STOP_SIGNALS, request_stop


def main(run_dir: str) -> int:
    """Run the job of a run folder to its end.

    Args:
        run_dir: The run folder.

    Returns:
        The exit code: 0 finished, stopped as asked, or another supervisor has the job; 1 failed.
    """
    files = JobFiles(Path(run_dir))
    lock = filelock.FileLock(files.folder / "lock")
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        return 0
    write_running(files)
    print(f"{ATTEMPT_MARK}{time.strftime('%Y-%m-%d %H:%M:%S')} on {socket.gethostname()}", flush=True)
    for number in STOP_SIGNALS:
        signal.signal(number, lambda got, _: request_stop(files.run_dir, signal.Signals(got).name))
    try:
        outcome = _run(files)
    except Exception as error:  # whatever it is, those who follow must hear of it
        outcome = {"state": "failed", "message": f"{type(error).__name__}: {error}"}
        print(f"supervisor: {outcome['message']}", flush=True)
    write_json(files.outcome, outcome)
    files.running.unlink(missing_ok=True)
    return int(outcome["state"] == "failed")


def beat(files: JobFiles) -> None:
    """Say that the job is alive; a disk that refuses for a moment ends no training.

    Args:
        files: The job's files. ``running.json`` is written anew where its time cannot be set.
    """
    try:
        os.utime(files.running)
    except OSError:
        try:
            write_running(files)
        except OSError as error:
            print(f"supervisor: warning: no sign of life written ({error}); tried again at the next beat", flush=True)


def _run(files: JobFiles) -> dict[str, Any]:
    """Start the processes, wait for them, and say how it ended."""
    spec = read_json(files.spec)
    assert spec is not None, f"{files.spec}: the job's file is gone"
    process = subprocess.Popen(_command(files, spec["launch"]["machines"]), stdin=subprocess.DEVNULL)
    while True:
        try:
            code = process.wait(BEAT_EVERY_S)
            break
        except subprocess.TimeoutExpired:
            beat(files)
    if code == 0 and (stopped := read_json(files.stopped)) is not None:
        return {"state": "stopped", "message": stopped["message"]}
    first = read_json(files.done(0))
    if code != 0 or first is None:
        cause = root_cause(files) or _only_error(files) or f"the launcher ended with code {code}"
        return {"state": "failed", "message": f"{cause}\nthe end of {files.log}:\n{log_tail(files)}"}
    finish_run(
        files.run_dir,
        {**spec["content"], "packages": first["packages"]},
        Path(first["product"]),
        wall_s=first["wall_s"],
        peak_memory_bytes=_peaks(files),
        hardware=first["hardware"],
    )
    return {"state": "finished"}


def _command(files: JobFiles, machines: int) -> list[str]:
    """This machine's part alone, or everyone's where a Slurm job holds as many nodes."""
    part = [sys.executable, "-m", "geor1.runs.jobs.machine", str(files.run_dir)]
    if machines > 1 and os.environ.get("SLURM_JOB_NUM_NODES") == str(machines):
        return ["srun", f"--nodes={machines}", f"--ntasks={machines}", "--ntasks-per-node=1", "--overlap",
                "--kill-on-bad-exit=1", *part]  # fmt: skip
    return [*part, "0"]


def _peaks(files: JobFiles) -> dict[str, int]:
    """The largest peak of memory among the processes."""
    notes = [read_json(path) or {} for path in sorted(files.folder.glob("done-*.json"))]
    peaks = [note["peak_memory_bytes"] for note in notes]
    return {name: max(peak.get(name, 0) for peak in peaks) for name in peaks[0]}


def _only_error(files: JobFiles) -> str:
    """The exception that came first, where accelerate started one process and no torch launcher watched it."""
    errors = [read_json(path) or {} for path in files.folder.glob("error-*.json")]
    first = min(errors, key=lambda error: error["time"], default=None)
    return f"{first['type']}: {first['message']}" if first else ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
