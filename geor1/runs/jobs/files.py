"""The files by which a job's processes and those who follow it speak to each other: ``.job/`` of a run folder."""

from __future__ import annotations

import ctypes
import dataclasses
import importlib
import json
import os
import re
import signal
import socket
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from geor1.runs.errors import ConfigError
from geor1.runs.files import write_json

JOB_FOLDER = ".job"
LOG_FILE = "job.log"  # what all processes of the job print
BEAT_EVERY_S = 5.0
SILENT_AFTER_S = 120.0  # without a beat for so long, a supervisor on another machine counts as dead
ATTEMPT_MARK = "=== "  # begins the line in the log with which a supervisor begins
_LAUNCHER = "torch/distributed/elastic/multiprocessing/api.py"
_TAIL_LINES = 25
_TAIL_BYTES = 64 << 10


@dataclasses.dataclass(frozen=True)
class JobFiles:
    """Paths of a run folder's job.

    Attributes:
        run_dir: The run folder.
    """

    run_dir: Path

    @property
    def folder(self) -> Path:
        """Folder of all that is not for people."""
        return self.run_dir / JOB_FOLDER

    @property
    def spec(self) -> Path:
        """What is to be run."""
        return self.folder / "spec.json"

    @property
    def running(self) -> Path:
        """Host, process id and start time of the supervisor; its time of change is the last sign of life."""
        return self.folder / "running.json"

    @property
    def outcome(self) -> Path:
        """How the job ended."""
        return self.folder / "outcome.json"

    @property
    def stopped(self) -> Path:
        """Written by the first process when a stop that was asked for is done."""
        return self.folder / "stopped.json"

    @property
    def log(self) -> Path:
        """What all processes printed, attempt after attempt."""
        return self.run_dir / LOG_FILE

    def done(self, rank: int) -> Path:
        """What a process says of itself when it has finished."""
        return self.folder / f"done-{rank}.json"

    def error(self, rank: int) -> Path:
        """The exception that ended a process."""
        return self.folder / f"error-{rank}.json"

    def clear(self) -> None:
        """Remove what an earlier attempt left."""
        self.folder.mkdir(exist_ok=True)
        for pattern in ("outcome.json", "stopped.json", "running.json", "done-*.json", "error-*.json"):
            for path in self.folder.glob(pattern):
                path.unlink()


def read_json(path: Path) -> dict[str, Any] | None:
    """Return a JSON object, or None if the file is not there (they are written atomically)."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None


# --- which process is alive ------------------------------------------------------------------------------------------


def start_time(pid: int) -> str:
    """Return what tells a process from a later one of the same number: its start, in the system's own ticks.

    Empty if there is no such process, or only its exit status is left. Where there is no ``/proc``, ``alive``.
    """
    if not Path("/proc/self/stat").exists():
        try:
            os.kill(pid, 0)
        except OSError:
            return ""
        return "alive"
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return "" if fields[0] in "ZX" else fields[19]


def write_running(files: JobFiles) -> None:
    """Say that this process supervises the job."""
    pid = os.getpid()
    write_json(files.running, {"host": socket.gethostname(), "pid": pid, "started": start_time(pid)})


def is_alive(files: JobFiles) -> bool:
    """Tell whether the supervisor that ``running.json`` names is there: by its number and start time on this machine,
    by its last sign of life on another."""
    found = read_json(files.running)
    if found is None:
        return False
    if found["host"] == socket.gethostname():
        return bool(found["started"]) and start_time(found["pid"]) == found["started"]
    try:
        return time.time() - files.running.stat().st_mtime < SILENT_AFTER_S
    except FileNotFoundError:
        return False


def die_with_parent() -> None:
    """Let the system end this process with the one that started it, however that ends (Linux; elsewhere no effect)."""
    if not sys.platform.startswith("linux"):
        return
    parent = os.getppid()
    set_parent_death_signal = 1  # PR_SET_PDEATHSIG of linux/prctl.h
    ctypes.CDLL(None, use_errno=True).prctl(set_parent_death_signal, signal.SIGKILL)
    if os.getppid() != parent:  # it ended just before
        os.kill(os.getpid(), signal.SIGKILL)


# --- functions and inputs by name ------------------------------------------------------------------------------------


def name_of(item: Any) -> str:
    """Return ``module:name`` of a function or class.

    Raises:
        ConfigError: Another process could not import it.
    """
    name = f"{item.__module__}:{item.__qualname__}"
    if item.__module__ == "__main__" or "<" in item.__qualname__:
        raise ConfigError(
            f"{name}: processes of its own import what they run; put it into a module, or set processes=0"
        )
    return name


def by_name(name: str) -> Any:
    """Return what :func:`name_of` named."""
    module, _, attributes = name.partition(":")
    item = importlib.import_module(module)
    for attribute in attributes.split("."):
        item = getattr(item, attribute)
    return item


def as_text(value: Any) -> Any:
    """Return paths, in lists and dicts, as JSON."""
    if isinstance(value, Mapping):
        return {"dict": {name: as_text(item) for name, item in value.items()}}
    if isinstance(value, list):
        return {"list": [as_text(item) for item in value]}
    return None if value is None else {"path": str(value)}


def as_paths(value: Any) -> Any:
    """Return what :func:`as_text` wrote."""
    if value is None:
        return None
    if "dict" in value:
        return {name: as_paths(item) for name, item in value["dict"].items()}
    return [as_paths(item) for item in value["list"]] if "list" in value else Path(value["path"])


# --- what went wrong -------------------------------------------------------------------------------------------------


def log_tail(files: JobFiles) -> str:
    """Return the last lines of the job's log, up to where torch's launcher begins to say that something failed."""
    lines = _log_lines(files)
    told = next((place for place, line in enumerate(lines) if _LAUNCHER in line), 0)
    return "\n".join(lines[: told or None][-_TAIL_LINES:]) or "(it printed nothing)"


def _log_lines(files: JobFiles) -> list[str]:
    """The lines of the last attempt, as far as the end of the log holds them; a bar's repaints are left out."""
    if not files.log.exists():
        return []
    with open(files.log, "rb") as handle:
        end = handle.seek(0, os.SEEK_END)
        handle.seek(max(0, end - _TAIL_BYTES))
        text = handle.read().decode("utf-8", errors="replace")
    lines = [line.rpartition("\r")[2] for line in text.splitlines() if line.strip()]
    begun = max((place for place, line in enumerate(lines) if line.startswith(ATTEMPT_MARK)), default=-1)
    return lines[begun + 1 :]


def root_cause(files: JobFiles) -> str:
    """Return one sentence on which process failed first, as torch's launcher saw it; empty if it does not say."""
    found = re.findall(
        r"Root Cause \(first observed failure\):.*?rank\s*: (\d+).*?exitcode\s*: (-?\d+) \(pid: (\d+)\)",
        "\n".join(_log_lines(files)),
        re.DOTALL,
    )
    if not found:
        return ""
    rank, code, pid = found[-1]
    if int(code) < 0:
        name = signal.Signals(-int(code)).name
        hint = "; out of memory? " if name == "SIGKILL" else "; "
        return f"process {rank} (pid {pid}) was ended by {name}{hint}the others were ended with it"
    error = read_json(files.error(int(rank)))
    return f"process {rank} stopped with {error['type']}: {error['message']}" if error else f"process {rank} failed"
