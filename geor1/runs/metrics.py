"""``metrics.jsonl`` of a run folder: one line a step, appended, cut back when a run resumes from an earlier step."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

from geor1.runs.errors import ManifestError
from geor1.runs.files import atomic_write_text, disk_full_is_clear

METRICS_FILE = "metrics.jsonl"
SUMMARY_FILE = "metrics_summary.json"


def append_metrics(run_dir: Path | str, step: int, **values: Any) -> None:
    """Append one line to ``metrics.jsonl``.

    A line torn by a killed process is removed first. NaN and infinity, which JSON lacks, are written as null.

    Args:
        run_dir: The run folder.
        step: Optimiser step that the values belong to, from 1.
        **values: Numbers, strings or None by name.

    Raises:
        DiskFullError: If the disk is full.
    """
    path = Path(run_dir) / METRICS_FILE
    line = json.dumps({"step": step, **{name: _finite(value) for name, value in values.items()}}, ensure_ascii=False)
    with disk_full_is_clear(path), open(path, "a+b") as handle:
        _drop_torn_line(handle)
        handle.write(line.encode("utf-8") + b"\n")


def read_metrics(run_dir: Path | str) -> list[dict[str, Any]]:
    """Return the lines of ``metrics.jsonl`` in file order; an empty list if there is no such file.

    Args:
        run_dir: The run folder.

    Returns:
        One dict a line, with at least ``step``. A last line torn by a killed process is left out.

    Raises:
        ManifestError: If any other line is not a JSON object with a ``step``.
    """
    path = Path(run_dir) / METRICS_FILE
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    rows = []
    for number, line in enumerate(lines[:-1], start=1):  # what follows the last newline is torn or empty
        try:
            row = json.loads(line)
        except ValueError as error:
            raise ManifestError(f"{path} line {number}: not JSON ({error}); remove that line by hand") from error
        if not isinstance(row, dict) or not isinstance(row.get("step"), int):
            raise ManifestError(f"{path} line {number}: expected an object with an integer 'step', got {line[:80]!r}")
        rows.append(row)
    return rows


def truncate_metrics(run_dir: Path | str, last_step: int) -> None:
    """Drop every line after ``last_step``, atomically: a resumed run writes those steps again.

    Args:
        run_dir: The run folder.
        last_step: The step of the checkpoint that the run resumes from; 0 drops all lines.
    """
    if not (Path(run_dir) / METRICS_FILE).exists():
        return
    kept = [row for row in read_metrics(run_dir) if row["step"] <= last_step]
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in kept)
    atomic_write_text(Path(run_dir) / METRICS_FILE, text)


def _finite(value: Any) -> Any:
    if isinstance(value, (str, bool, int)) or value is None:
        return value
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    number = float(value)  # numpy and torch scalars too
    return number if math.isfinite(number) else None


def _drop_torn_line(handle: Any) -> None:
    """Cut an append-mode file back to its last newline."""
    end = handle.seek(0, os.SEEK_END)
    if end == 0:
        return
    handle.seek(end - 1)
    if handle.read(1) == b"\n":
        return
    handle.seek(0)
    handle.truncate(handle.read().rfind(b"\n") + 1)
