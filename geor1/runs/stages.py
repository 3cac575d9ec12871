"""Run folders: ``runs/<profile>/<stage>/<key>/``.

A folder holds ``config.json``, ``attempts.jsonl`` (one line each time work began), ``log.txt``, whatever the stage
writes and, written last and atomically, ``manifest.json``. The same run asked for again returns at once; one that was
killed is called again in the same folder and resumes from what the stage finds there; two processes never work in one
folder.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import filelock

from geor1.runs import jobs
from geor1.runs.errors import RunLockedError
from geor1.runs.files import atomic_write_text, disk_full_is_clear, require_free_disk, write_json
from geor1.runs.finishing import drop_trainer, finish_run
from geor1.runs.keys import code_version, enclosing_run, fingerprint, no_part_of_key, run_key
from geor1.runs.logs import announce, log_to
from geor1.runs.manifest import check_products, read_manifest
from geor1.runs.processes import LAUNCH_FILE, TRAINING_STAGES, LaunchConfig, check_fits, launch_config
from geor1.runs.profiles import check_stage
from geor1.runs.provenance import git_state, hardware, package_versions, peak_memory, reset_peak_memory
from geor1.runs.stopping import clear_stop, stop_on_signals
from geor1.runs.typed import field_defaults, to_plain

RECORD_VARIABLE = "GEOR1_RUN_RECORD"  # the launcher's file, where run_stage writes which folder it works in
MIN_FREE_BYTES = 50_000_000  # less than this free, and a stage does not begin
LOCK_TIMEOUT_S = 24 * 3600.0
ASKED_FOR: dict[Path, dict[str, Any]] = {}  # run folders that upstream returned in this process: their overrides
_ANNOUNCE_WAIT_AFTER_S = 2.0
_SEED_NAME = re.compile(r"(^|_)seeds?$")


@dataclasses.dataclass(frozen=True)
class RunFolder:
    """A finished run.

    Attributes:
        path: The run folder.
        key: Its key, also its name.
        manifest: Content of ``manifest.json``.
        cached: True if the run had been finished before.
    """

    path: Path
    key: str
    manifest: dict[str, Any]
    cached: bool

    @property
    def product(self) -> Path:
        """What the stage's function returned: a file or folder in the run folder, or the folder itself."""
        return self.path / self.manifest["product"]

    @property
    def metrics(self) -> dict[str, Any]:
        """The summary figures of the run (``metrics_summary.json`` of the stage)."""
        return self.manifest["metrics"]


def run_stage(
    stage: str,
    profile: str,
    config: Any,
    function: Callable[..., Path],
    inputs: Mapping[str, Any],
    runs_dir: Path | str,
    *,
    launch: LaunchConfig | None = None,
    min_free_bytes: int = MIN_FREE_BYTES,
    lock_timeout_s: float = LOCK_TIMEOUT_S,
) -> RunFolder:
    """Run a stage once: return the finished run of that key, or make it.

    Args:
        stage: Stage name, e.g. ``03_grpo``.
        profile: Profile name, a folder level.
        config: Frozen dataclass of the stage.
        function: Called as ``function(config, **inputs, run_dir=folder)``; returns its product, a path in the folder.
            It resumes by itself from what lies there, and may leave ``metrics_summary.json`` for the manifest.
        inputs: Paths (or lists, dicts of paths, or None) by argument name.
        runs_dir: Folder of all runs.
        launch: Whether a training stage gets processes of its own (it then goes on if this one ends, and whoever asks
            for the same run next follows it); None takes the profile's ``launch`` section.
        min_free_bytes: Do not begin with less than this free on the disk.
        lock_timeout_s: How long to wait for another process that runs the same key, in seconds.

    Returns:
        The finished run.

    Raises:
        ConfigError: The stage's config and ``launch`` do not go together.
        ManifestError: A damaged manifest, a product changed after the run, or an input that is not finished.
        DiskFullError: Full disk; nothing half-written counts as finished.
        RunLockedError: Another process holds the key for longer than ``lock_timeout_s``.
        RunStoppedError: A training run was asked to stop (:mod:`geor1.runs.stopping`), and has saved a checkpoint.
        JobFailedError: Training in processes of its own failed.
    """
    stage = check_stage(stage)
    if launch is None:
        launch = launch_config(profile) if stage in TRAINING_STAGES else LaunchConfig()
    runs_dir = Path(runs_dir).resolve()
    inputs = {name: _as_paths(value) for name, value in inputs.items()}
    fingerprints = {name: fingerprint(value) for name, value in inputs.items()}
    folder = runs_dir / profile / stage / run_key(stage, config, fingerprints)
    _record(stage, folder)
    with _locked(folder, min_free_bytes, lock_timeout_s):
        if (found := _finished(stage, folder)) is not None:
            return found
        if jobs.is_running(folder):
            announce(f"{stage}: running already, followed from here ({_shown(folder)})")
            with stop_on_signals(folder):
                return RunFolder(folder, folder.name, jobs.follow(folder, stage, _steps(config)), cached=False)
        if (found := _finished(stage, folder)) is not None:  # its job ended between the two questions
            return found
        with disk_full_is_clear(folder):
            head = {"stage": stage, "profile": profile, "key": folder.name, **_parameters(config)}
            head["inputs"] = {name: _describe(inputs[name], fingerprints[name], runs_dir) for name in inputs}
            manifest = _execute(folder, head, config, function, inputs, launch)
            return RunFolder(folder, folder.name, manifest, cached=False)


def _finished(stage: str, folder: Path) -> RunFolder | None:
    """The run as it was finished before, with its products checked; None if it is not finished."""
    manifest = read_manifest(folder)
    if manifest is None:
        return None
    check_products(folder, manifest)
    if stage in TRAINING_STAGES:
        drop_trainer(folder)  # left where a kill came just after the manifest
    announce(f"{stage}: finished before, taken from {_shown(folder)}")
    return RunFolder(folder, folder.name, manifest, cached=True)


def _execute(
    folder: Path,
    head: dict[str, Any],
    config: Any,
    function: Callable[..., Path],
    inputs: Mapping[str, Any],
    launch: LaunchConfig,
) -> dict[str, Any]:
    """Call the stage, here or in processes of its own, and return the manifest."""
    check_fits(config, launch)
    attempts = _count_attempt(folder)
    write_json(folder / "config.json", {name: head[name] for name in ("stage", "profile", "parameters")})
    clear_stop(folder)
    again = f" (attempt {attempts}, resuming from what is there)" if attempts > 1 else ""
    announce(f"{head['stage']}: running in {_shown(folder)}{again}")
    trains = head["stage"] in TRAINING_STAGES
    if trains:
        write_json(folder / LAUNCH_FILE, to_plain(launch))
    content = {
        **head,
        **({"launch": to_plain(launch)} if trains else {}),
        "code": {"version": code_version(head["stage"]), "git": git_state()},
        "packages": package_versions(),
        "seeds": {name: value for name, value in head["parameters"].items() if _SEED_NAME.search(name)},
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "attempts": attempts,
    }
    with stop_on_signals(folder) if trains else contextlib.nullcontext():
        if trains and launch.launched:
            jobs.start(folder, content, config, function, inputs, launch)
            return jobs.follow(folder, head["stage"], _steps(config))
        return _call(folder, content, config, function, inputs)


def _call(
    folder: Path, content: dict[str, Any], config: Any, function: Callable[..., Path], inputs: Mapping[str, Any]
) -> dict[str, Any]:
    """Call the stage in this process."""
    reset_peak_memory()
    clock = time.perf_counter()
    with log_to(folder):
        product = Path(function(config, **inputs, run_dir=folder))
    wall_s = time.perf_counter() - clock
    return finish_run(folder, content, product, wall_s=wall_s, peak_memory_bytes=peak_memory(), hardware=hardware())


def _steps(config: Any) -> int | None:
    """How many optimiser steps a config asks for, if it says so."""
    return getattr(config, "steps", 0) or getattr(config, "max_steps", 0) or None


@contextlib.contextmanager
def _locked(folder: Path, min_free_bytes: int, timeout_s: float) -> Iterator[None]:
    """Hold the lock of a run folder; the system frees it when its process ends, however it ends."""
    if not (folder / "manifest.json").exists():
        require_free_disk(folder, min_free_bytes)
    with disk_full_is_clear(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(folder / ".lock")
        try:
            lock.acquire(timeout=min(_ANNOUNCE_WAIT_AFTER_S, timeout_s))
        except filelock.Timeout:
            announce(f"another process is running {_shown(folder)}; waiting for it")
            try:
                lock.acquire(timeout=max(timeout_s - _ANNOUNCE_WAIT_AFTER_S, 0.0), poll_interval=0.2)
            except filelock.Timeout as error:
                raise RunLockedError(
                    f"{folder}: another process has been running this key for {timeout_s:.0f} s; "
                    "wait for it, stop it, or ask for other parameters"
                ) from error
    try:
        yield
    finally:
        lock.release()


def _parameters(config: Any) -> dict[str, Any]:
    parameters = {"parameters": to_plain(config), "defaults": field_defaults(type(config))}
    return {**parameters, "no_part_of_key": no_part_of_key(config)}


def _as_paths(value: Any) -> Any:
    """Return the same structure with absolute paths: a stage may change its working directory."""
    if isinstance(value, (str, Path)):
        return Path(value).resolve()
    if isinstance(value, Mapping):
        return {name: _as_paths(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_as_paths(item) for item in value]
    return value


def _describe(value: Any, print_: Any, runs_dir: Path) -> Any:
    """Return fingerprints with their paths, which are relative to the folder of all runs where they lie in it."""
    if isinstance(value, Mapping):
        return {name: _describe(item, print_[name], runs_dir) for name, item in value.items()}
    if isinstance(value, list):
        return [_describe(item, part, runs_dir) for item, part in zip(value, print_, strict=True)]
    if value is None:
        return None
    path = enclosing_run(value) or value
    inside = path.is_relative_to(runs_dir)
    place = path.relative_to(runs_dir) if inside else path
    return {**print_, "path": place.as_posix(), "in_runs": inside, "asked_for": ASKED_FOR.get(path)}


def _count_attempt(folder: Path) -> int:
    path = folder / "attempts.jsonl"
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    line = json.dumps({"started": time.time(), "process": os.getpid()}) + "\n"
    atomic_write_text(path, before + line)
    return before.count("\n") + 1


def _record(stage: str, folder: Path) -> None:
    """Tell the launcher, if one started this process, which folder the stage works in."""
    if record := os.environ.get(RECORD_VARIABLE):
        with open(record, "a", encoding="utf-8") as handle:
            handle.write(json.dumps({"stage": stage, "path": str(folder)}) + "\n")


def _shown(folder: Path) -> str:
    """Return the last four parts of a run folder's path: runs/<profile>/<stage>/<key>."""
    return "/".join(folder.parts[-4:])
