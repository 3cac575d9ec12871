"""Starting a job detached, and following it from a notebook that may be closed."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from geor1.runs.bars import Progress
from geor1.runs.errors import JobFailedError, ManifestError, RunStoppedError
from geor1.runs.files import write_json
from geor1.runs.jobs.files import JobFiles, as_text, is_alive, log_tail, name_of, read_json
from geor1.runs.logs import announce
from geor1.runs.manifest import read_manifest
from geor1.runs.metrics import METRICS_FILE
from geor1.runs.processes import LaunchConfig
from geor1.runs.typed import to_plain

_START_TIMEOUT_S = 60.0
_POLL_S = 0.2
_OWN_VARIABLES = ("GEOR1_RUN_RECORD", "JPY_SESSION_NAME", "JPY_PARENT_PID", "MPLBACKEND")  # of a notebook's kernel
_SHOWN = ("loss", "reward", "mean_token_accuracy")
_STARTED: dict[Path, subprocess.Popen[bytes]] = {}  # by this process: asked for their end, lest they stay as zombies


def is_running(run_dir: Path) -> bool:
    """Tell whether a job of this run folder is alive, here or on another machine."""
    return is_alive(JobFiles(run_dir))


def start(
    run_dir: Path,
    content: Mapping[str, Any],
    config: Any,
    function: Callable[..., Path],
    inputs: Mapping[str, Any],
    launch: LaunchConfig,
) -> None:
    """Start the processes that run a stage, detached: they go on when this one ends.

    Args:
        run_dir: The run folder; the caller holds its lock.
        content: What the manifest will say, but for what only the end can tell.
        config: The stage's config.
        function: As in :func:`geor1.runs.run_stage`; a function of a module.
        inputs: Paths by argument name.
        launch: With ``launched`` true.

    Raises:
        ConfigError: The function or the config's class cannot be imported elsewhere.
        JobFailedError: It did not start.
    """
    files = JobFiles(run_dir)
    files.clear()
    if launch.machines > 1 and not launch.main_process_ip:
        launch = LaunchConfig(**{**to_plain(launch), "main_process_ip": socket.gethostname()})
    spec = {
        "function": name_of(function),
        "config_class": name_of(type(config)),
        "config": to_plain(config),
        "inputs": {name: as_text(value) for name, value in inputs.items()},
        "launch": to_plain(launch),
        "content": dict(content),
    }
    write_json(files.spec, spec)
    environment = {name: value for name, value in os.environ.items() if name not in _OWN_VARIABLES}
    environment["GEOR1_PROGRESS"] = "lines"
    with open(files.log, "ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "geor1.runs.jobs.supervise", str(run_dir)],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True,
        )  # fmt: skip
    _STARTED[run_dir] = process
    deadline = time.monotonic() + _START_TIMEOUT_S
    while not files.outcome.exists() and not is_alive(files):
        if process.poll() is not None or time.monotonic() > deadline:
            raise JobFailedError(f"the training did not start; the end of {files.log}:\n{log_tail(files)}")
        time.sleep(0.02)
    announce(f"{content['stage']}: {launch.described}, which goes on if this notebook is closed; log: {files.log}")
    if launch.machines > 1 and os.environ.get("SLURM_JOB_NUM_NODES") != str(launch.machines):
        announce(f"on each other machine, N from 1: geor1 join {run_dir} --machine-rank N")


def follow(run_dir: Path, description: str, total: int | None) -> dict[str, Any]:
    """Show how far a job is until it ends.

    Args:
        run_dir: The run folder.
        description: What the progress line says.
        total: Optimiser steps in all, if known.

    Returns:
        The manifest.

    Raises:
        RunStoppedError: It was asked to stop, and has saved a checkpoint.
        JobFailedError: It failed, or died without a word.
    """
    files, steps = JobFiles(run_dir), _Steps(run_dir / METRICS_FILE)
    try:
        with Progress(description, total=total, unit="step") as shown:
            while True:
                alive = is_alive(files)  # asked before the outcome is looked for, which is written before the end
                outcome = read_json(files.outcome)
                count, values = steps.read()
                if count > shown.count:
                    shown.update(count - shown.count, **values)
                if outcome is not None or not alive:
                    break
                time.sleep(_POLL_S)
    except KeyboardInterrupt:
        announce(f"the training goes on; run this cell again to follow it, or stop it with: geor1 stop {run_dir}")
        raise
    if process := _STARTED.pop(run_dir, None):
        process.wait()
    return _judge(files, outcome or read_json(files.outcome))


def _judge(files: JobFiles, outcome: dict[str, Any] | None) -> dict[str, Any]:
    if outcome is None:
        raise JobFailedError(
            f"{files.run_dir}: the training ended without a word: its supervisor was killed, or the machine went "
            f"down. Ask again, it resumes from its last checkpoint; the end of {files.log}:\n{log_tail(files)}"
        )
    if outcome["state"] == "stopped":
        raise RunStoppedError(outcome["message"])
    if outcome["state"] == "failed":
        raise JobFailedError(
            f"{outcome['message']}\nAsk again when the cause is gone, it resumes from its last checkpoint"
        )
    manifest = read_manifest(files.run_dir)
    if manifest is None:
        raise ManifestError(f"{files.run_dir}: the training finished, and its manifest.json is gone; ask again")
    return manifest


class _Steps:
    """Reads what was added to ``metrics.jsonl`` since the last time; begins anew where a resumed run cut it back."""

    def __init__(self, path: Path) -> None:
        self._path, self._offset, self._count = path, 0, 0
        self._values: dict[str, float] = {}

    def read(self) -> tuple[int, dict[str, float]]:
        """Return the last step, and its figures for the eye."""
        try:
            with open(self._path, "rb") as handle:
                if handle.seek(0, os.SEEK_END) < self._offset:
                    self._offset = 0
                handle.seek(self._offset)
                new = handle.read()
        except FileNotFoundError:
            return self._count, self._values
        whole = new[: new.rfind(b"\n") + 1]
        self._offset += len(whole)
        for line in whole.splitlines():
            try:
                row = json.loads(line)
            except ValueError:
                continue  # cut back and written again between two looks
            self._count = row.get("step", self._count)
            self._values = {name: row[name] for name in _SHOWN if row.get(name) is not None}
        return self._count, self._values
