"""Run a harness's command in its own environment, once: finished logs are not made a second time."""

from __future__ import annotations

import datetime
import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from geor1.general.commands import Command, Request, build_command
from geor1.general.logs import find_logs
from geor1.runs import ConfigError, RunLockedError, announce, atomic_write_text, sha256_of_file, write_json

REQUEST, FINISHED, LOG, SCRIPT = "request.json", "finished.json", "harness.log", "command.sh"
_TAIL_LINES = 12


class HarnessError(ChildProcessError):
    """The harness stopped with an error, or ended without the logs that it was asked for."""


def run_harness(request: Request, prefix: tuple[str, ...]) -> Path:
    """Run a harness unless this folder holds its finished logs.

    Written into the folder: ``request.json`` (what was asked), ``command.sh`` (the exact command), ``harness.log``
    (its output), its own files, and, last, ``finished.json`` (logs with their sha256, exit time, wall time).

    Args:
        request: What to measure; its folder is made where absent.
        prefix: How the harness is started, see :func:`geor1.general.commands.build_command`.

    Returns:
        ``finished.json``.

    Raises:
        ConfigError: The folder holds another request, or the program does not exist.
        HarnessError: The harness failed; the message ends with the last lines of its log. Run again to go on.
        RunLockedError: Another process is running in this folder.
    """
    command = build_command(request, prefix)
    request.out.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(request.out / ".lock", timeout=0):
            return _run_once(request, command)
    except Timeout as error:
        raise RunLockedError(f"{request.out}: another process is running there; wait for it") from error


def _run_once(request: Request, command: Command) -> Path:
    _check_request(request)
    finished = request.out / FINISHED
    if finished.is_file() and _intact(finished):
        announce(f"finished before, not run again: {finished}")
        return finished
    if shutil.which(command.words[0]) is None:
        raise ConfigError(f"{command.words[0]}: no such program; name the harness's own with --python or --prefix")
    write_json(request.out / REQUEST, request.identity)
    atomic_write_text(request.out / SCRIPT, f"#!/bin/sh\n{command}\n")
    log = request.out / LOG
    announce(f"running {request.suite}; its output goes to {log}")
    started = time.time()
    with log.open("ab") as output:
        output.write(f"\n$ {command}\n".encode())
        output.flush()
        done = subprocess.run(
            command.words, cwd=command.folder, env={**os.environ, **command.environment},
            stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip
    if done.returncode != 0:
        raise HarnessError(f"{request.suite} stopped with exit code {done.returncode}; {_advice(log)}")
    logs = _logs(request, log)
    write_json(finished, {
        **request.identity, "url": request.url, "command": str(command), "wall_s": round(time.time() - started, 3),
        "started": datetime.datetime.fromtimestamp(started, datetime.UTC).isoformat(timespec="seconds"),
        "logs": {str(path.relative_to(request.out)): sha256_of_file(path) for path in logs},
    })  # fmt: skip
    return finished


def _check_request(request: Request) -> None:
    """Refuse a folder that holds another request: its caches and logs are of other answers."""
    path = request.out / REQUEST
    if not path.is_file():
        return
    earlier = json.loads(path.read_text(encoding="utf-8"))
    differing = [name for name, value in request.identity.items() if earlier.get(name) != value]
    if differing:
        changes = "; ".join(f"{name} was {earlier.get(name)!r}, is {request.identity[name]!r}" for name in differing)
        raise ConfigError(f"{request.out} holds another run ({changes}); choose another --out")


def _intact(finished: Path) -> bool:
    logs: dict[str, Any] = json.loads(finished.read_text(encoding="utf-8"))["logs"]
    changed = [name for name, digest in logs.items() if _digest(finished.parent / name) != digest]
    if changed:
        announce(f"{finished}: logs that are gone or changed since: {', '.join(changed)}; running again")
    return not changed


def _digest(path: Path) -> str | None:
    return sha256_of_file(path) if path.is_file() else None


def _logs(request: Request, log: Path) -> list[Path]:
    """The logs of this run; the harnesses go on, and exit with 0, where they could not score or save a task."""
    try:
        found, _ = find_logs(request.suite, request.out)
    except FileNotFoundError as error:
        raise HarnessError(f"{request.suite} ended with exit code 0, but {error}; {_advice(log)}") from error
    if len(found) < len(request.tasks):
        names = ", ".join(path.name for path in found)
        raise HarnessError(
            f"{request.suite} ended with exit code 0, but {len(request.tasks)} tasks were asked for and "
            f"{len(found)} logs are there ({names}); {_advice(log)}"
        )
    return found


def _advice(log: Path) -> str:
    tail = log.read_text(encoding="utf-8", errors="replace").rstrip().splitlines()[-_TAIL_LINES:]
    return f"run the same command again to go on. Its output is {log}; the last lines:\n" + "\n".join(tail)
