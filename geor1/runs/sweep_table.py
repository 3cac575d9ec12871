"""The table of a sweep: one row a combination of values, mean and spread over seeds; as CSV and as Markdown."""

from __future__ import annotations

import csv
import io
import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from geor1.runs.errors import ConfigError, ManifestError
from geor1.runs.files import atomic_write_text
from geor1.runs.sweep import SWEEPS_FOLDER, Sweep, figure_of, shown

# Student's t, 97.5 %, for 1, 2, 3 … degrees of freedom; beyond the list the normal distribution's 1.960 is near enough.
# Source: scipy.stats.t.ppf(0.975, df), scipy 1.17.1 (tested).
T_975 = (
    12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281, 2.2010, 2.1788, 2.1604, 2.1448,
    2.1314, 2.1199, 2.1098, 2.1009, 2.0930, 2.0860, 2.0796, 2.0739, 2.0687, 2.0639, 2.0595, 2.0555, 2.0518, 2.0484,
    2.0452, 2.0423,
)  # fmt: skip
_NORMAL_975 = 1.9600


def judged(note: Mapping[str, Any] | None, metric: str, runs_dir: Path) -> Mapping[str, Any] | None:
    """Return a note as the table counts it: a finished point that has no such figure gets an ``error`` that says so.

    Args:
        note: One point's; None where it has not been run.
        metric: As in :class:`geor1.runs.sweep.Sweep`.
        runs_dir: Folder of all runs.
    """
    if note is None or "error" in note:
        return note
    try:
        figure_of(note, metric, runs_dir)
    except (ConfigError, ManifestError, OSError) as error:
        return {**note, "error": str(error)}
    return note


def sweep_rows(sweep: Sweep, notes: Sequence[Mapping[str, Any] | None], runs_dir: Path) -> list[dict[str, Any]]:
    """Return the rows of a sweep's table.

    Args:
        sweep: The sweep.
        notes: One a point, in the order of :attr:`Sweep.points`; None where it has not been run.
        runs_dir: Folder of all runs.

    Returns:
        One row a combination: its parameters; ``seeds``, how many gave a figure; ``mean``, ``sd`` (sample standard
        deviation), ``low`` and ``high`` (95 % interval of the mean over seeds, Student's t; all None where there are
        too few); ``failed`` and ``missing``, how many did not. Notes should be from :func:`judged`.
    """
    rows: dict[str, dict[str, Any]] = {}
    figures: dict[str, list[float]] = {}
    for (parameters, _), note in zip(sweep.points, notes, strict=True):
        key = shown(parameters)
        row = rows.setdefault(key, {**parameters, "seeds": 0, "failed": 0, "missing": 0})
        if note is None:
            row["missing"] += 1
        elif "error" in note:
            row["failed"] += 1
        else:
            figures.setdefault(key, []).append(figure_of(note, sweep.metric, runs_dir))
    ordered = []
    for key, row in rows.items():
        counts = {name: row.pop(name) for name in ("seeds", "failed", "missing")}
        values = figures.get(key, [])
        ordered.append({**row, **counts, "seeds": len(values), **summary(values)})
    return ordered


def summary(values: Sequence[float]) -> dict[str, float | None]:
    """Return mean, sample standard deviation and 95 % interval of the mean.

    >>> summary([0.4, 0.5, 0.6])["mean"], round(summary([0.4, 0.5, 0.6])["high"], 4)
    (0.5, 0.7484)
    """
    if len(values) < 2:
        return {"mean": values[0] if values else None, "sd": None, "low": None, "high": None}
    mean, sd = statistics.fmean(values), statistics.stdev(values)
    t = T_975[len(values) - 2] if len(values) - 2 < len(T_975) else _NORMAL_975
    half = t * sd / math.sqrt(len(values))
    return {"mean": mean, "sd": sd, "low": mean - half, "high": mean + half}


def write_table(
    sweep: Sweep, rows: Sequence[Mapping[str, Any]], notes: Sequence[Mapping[str, Any] | None], runs_dir: Path,
    command: str,
) -> list[Path]:  # fmt: skip
    """Write ``sweeps/<name>.csv`` and ``.md``.

    Args:
        sweep: The sweep.
        rows: From :func:`sweep_rows`.
        notes: One a point.
        runs_dir: Folder of all runs.
        command: What regenerates the table.

    Returns:
        Both paths.
    """
    folder = runs_dir / sweep.profile / SWEEPS_FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    table = atomic_write_text(folder / f"{sweep.name}.csv", text.getvalue())
    return [table, atomic_write_text(folder / f"{sweep.name}.md", _markdown(sweep, rows, notes, command))]


def _markdown(
    sweep: Sweep, rows: Sequence[Mapping[str, Any]], notes: Sequence[Mapping[str, Any] | None], command: str
) -> str:
    columns = list(rows[0])
    heads = [f"**{name.partition('.')[2] or name}**" if name in sweep.grid else name for name in columns]
    lines = [
        f"# {sweep.metric} over {', '.join(name.partition('.')[2] for name in sweep.grid)}",
        "",
        f"Profile {sweep.profile}, stages {' to '.join(dict.fromkeys((sweep.stages[0], sweep.stages[-1])))}, seeds "
        f"{' '.join(map(str, sweep.seeds))}. Mean over seeds, sample standard deviation, and the 95 % interval of the "
        "mean (Student's t); it holds the spread between seeds and nothing else.",
        "",
        f"`{command}`",
        "",
        "| " + " | ".join(heads) + " |",
        "|" + " --- |" * len(columns),
        *("| " + " | ".join(_cell(row[name]) for name in columns) + " |" for row in rows),
        "",
    ]
    failed = [note for note in notes if note is not None and "error" in note]
    if failed:
        lines += ["Failed:", ""]
        lines += [f"- {shown(note['parameters'], note['seed'])}: {_one_line(note['error'])}" for note in failed]
        lines.append("")
    return "\n".join(lines)


def _one_line(error: str) -> str:
    return error.splitlines()[0].replace("|", "\\|")


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
