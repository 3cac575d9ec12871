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

from geor1.runs.errors import ManifestError, RunLockedError
from geor1.runs.files import atomic_write_text, disk_full_is_clear, require_free_disk, write_json
from geor1.runs.keys import code_version, enclosing_run, fingerprint, run_key
from geor1.runs.logs import announce, log_to
from geor1.runs.manifest import check_products, list_products, read_manifest, write_manifest
from geor1.runs.metrics import SUMMARY_FILE
from geor1.runs.profiles import check_stage
from geor1.runs.provenance import git_state, hardware, package_versions, peak_memory, reset_peak_memory
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
        min_free_bytes: Do not begin with less than this free on the disk.
        lock_timeout_s: How long to wait for another process that runs the same key, in seconds.

    Returns:
        The finished run.

    Raises:
        ManifestError: A damaged manifest, a product changed after the run, or an input that is not finished.
        DiskFullError: Full disk; nothing half-written counts as finished.
        RunLockedError: Another process holds the key for longer than ``lock_timeout_s``.
    """
    stage = check_stage(stage)
    runs_dir = Path(runs_dir).resolve()
    inputs = {name: _as_paths(value) for name, value in inputs.items()}
    fingerprints = {name: fingerprint(value) for name, value in inputs.items()}
    folder = runs_dir / profile / stage / run_key(stage, config, fingerprints)
    _record(stage, folder)
    with _locked(folder, min_free_bytes, lock_timeout_s):
        manifest = read_manifest(folder)
        if manifest is not None:
            check_products(folder, manifest)
            announce(f"{stage}: finished before, taken from {_shown(folder)}")
            return RunFolder(folder, folder.name, manifest, cached=True)
        with disk_full_is_clear(folder):
            head = {"stage": stage, "profile": profile, "key": folder.name, **_parameters(config)}
            head["inputs"] = {name: _describe(inputs[name], fingerprints[name], runs_dir) for name in inputs}
            return RunFolder(folder, folder.name, _execute(folder, head, config, function, inputs), cached=False)


def _execute(
    folder: Path, head: dict[str, Any], config: Any, function: Callable[..., Path], inputs: Mapping[str, Any]
) -> dict[str, Any]:
    """Call the stage and write the manifest; return it."""
    attempts = _count_attempt(folder)
    write_json(folder / "config.json", {name: head[name] for name in ("stage", "profile", "parameters")})
    again = f" (attempt {attempts}, resuming from what is there)" if attempts > 1 else ""
    announce(f"{head['stage']}: running in {_shown(folder)}{again}")
    started = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    reset_peak_memory()
    clock = time.perf_counter()
    with log_to(folder):
        product = Path(function(config, **inputs, run_dir=folder)).resolve()
    wall_s = time.perf_counter() - clock
    if not product.exists() or not product.is_relative_to(folder):
        raise ManifestError(f"{head['stage']} returned {product}; expected an existing path in its run folder {folder}")
    content = {
        **head,
        "product": product.relative_to(folder).as_posix(),
        "products": list_products(folder),
        "code": {"version": code_version(head["stage"]), "git": git_state()},
        "packages": package_versions(),
        "hardware": hardware(),
        "seeds": {name: value for name, value in head["parameters"].items() if _SEED_NAME.search(name)},
        "started": started,
        "attempts": attempts,
        "wall_s": float(wall_s),  # of the last attempt
        "peak_memory_bytes": peak_memory(),
        "metrics": _summary(folder),
    }
    return write_manifest(folder, content)


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
    return {"parameters": to_plain(config), "defaults": field_defaults(type(config))}


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


def _summary(folder: Path) -> dict[str, Any]:
    path = folder / SUMMARY_FILE
    if not path.exists():
        return {}
    try:
        summary = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ManifestError(f"{path}: not JSON ({error}); the stage should write an object of figures") from error
    if not isinstance(summary, dict):
        raise ManifestError(f"{path}: expected an object of figures, got {type(summary).__name__}")
    return summary


def _record(stage: str, folder: Path) -> None:
    """Tell the launcher, if one started this process, which folder the stage works in."""
    if record := os.environ.get(RECORD_VARIABLE):
        with open(record, "a", encoding="utf-8") as handle:
            handle.write(json.dumps({"stage": stage, "path": str(folder)}) + "\n")


def _shown(folder: Path) -> str:
    """Return the last four parts of a run folder's path: runs/<profile>/<stage>/<key>."""
    return "/".join(folder.parts[-4:])
