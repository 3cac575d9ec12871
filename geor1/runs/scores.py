"""The score table of an evaluation run: read, printed, aggregated over seeds.

The evaluation writes ``scores.json`` with a key ``table``: a list of rows, each a flat object that begins with a
``label`` and goes on with figures (``n``, ``accuracy``, ``low``, ``high`` …). Nothing here knows what they mean.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from geor1.runs.errors import ManifestError
from geor1.runs.files import write_json
from geor1.runs.provenance import git_state, hardware, package_versions

Row = dict[str, Any]


def read_table(run_dir: Path) -> list[Row]:
    """Return the rows of ``scores.json``.

    Args:
        run_dir: Run folder of an evaluation.

    Raises:
        ManifestError: If the file is missing or holds no such table.
    """
    path = run_dir / "scores.json"
    try:
        table = json.loads(path.read_text(encoding="utf-8"))["table"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ManifestError(
            f"{path}: no score table ({type(error).__name__}: {error}); run 04_evaluation again"
        ) from error
    if not isinstance(table, list) or not all(isinstance(row, dict) and "label" in row for row in table):
        raise ManifestError(f"{path}: 'table' should be a list of rows with a label; run 04_evaluation again")
    return table


def read_paired(run_dir: Path) -> list[Row]:
    """Return the paired comparisons of ``scores.json``; none if it holds none. Errors as :func:`read_table`."""
    read_table(run_dir)  # says what is wrong with the file
    return json.loads((run_dir / "scores.json").read_text(encoding="utf-8")).get("paired", [])


def format_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows as aligned text; columns in the order of their first appearance, floats with three decimals.

    >>> print(format_table([{"label": "base", "n": 400, "accuracy": 0.25}, {"label": "GRPO", "n": 400}]))
    label    n  accuracy
    base   400     0.250
    GRPO   400
    """
    columns = list(dict.fromkeys(name for row in rows for name in row))
    grid = [columns, *([_cell(row.get(name)) for name in columns] for row in rows)]
    widths = [max(len(line[index]) for line in grid) for index in range(len(columns))]
    is_text = [all(isinstance(row.get(name), str | None) for row in rows) for name in columns]
    lines = []
    for line in grid:
        cells = zip(line, widths, is_text, strict=True)
        lines.append(
            "  ".join(cell.ljust(width) if text else cell.rjust(width) for cell, width, text in cells).rstrip()
        )
    return "\n".join(lines)


def aggregate(tables: Mapping[int, Sequence[Mapping[str, Any]]]) -> list[Row]:
    """Aggregate score tables over seeds: rows with the same text cells become one.

    Args:
        tables: Rows by seed.

    Returns:
        One row each, in order of first appearance: the text cells, ``seeds`` (how many), counts that never differ, and
        for every other figure its mean and ``<name>_sd``, the sample standard deviation (None for one seed).
    """
    groups: dict[tuple[tuple[str, str], ...], list[Mapping[str, Any]]] = {}
    for rows in tables.values():
        for row in rows:
            identity = tuple((name, value) for name, value in row.items() if isinstance(value, str))
            groups.setdefault(identity, []).append(row)
    return [_merged(dict(identity), members) for identity, members in groups.items()]


def write_results(
    path: Path,
    command: str,
    profile: str,
    tables: Mapping[int, Sequence[Mapping[str, Any]]],
    rows: Sequence[Row],
    *,
    paired: Mapping[int, Sequence[Mapping[str, Any]]] | None = None,
    minutes: Mapping[int, Mapping[str, float]] | None = None,
) -> Path:
    """Write the aggregated table with the tables behind it and where they come from; return the path.

    Args:
        path: A JSON file.
        command: What regenerates it.
        profile: Profile name.
        tables: Rows by seed.
        rows: From :func:`aggregate`.
        paired: Comparisons of models on identical questions, by seed.
        minutes: What each notebook took, by seed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "command": command,
        "profile": profile,
        "seeds": list(tables),
        "table": list(rows),
        "by_seed": {str(seed): list(table) for seed, table in tables.items()},
        "paired_by_seed": {str(seed): list(table) for seed, table in (paired or {}).items()},
        "minutes_by_seed": {str(seed): dict(stages) for seed, stages in (minutes or {}).items()},
        "git": git_state(),
        "packages": package_versions(),
        "hardware": hardware(),
    }
    return write_json(path, content)


def _merged(identity: Row, members: Sequence[Mapping[str, Any]]) -> Row:
    merged: Row = {**identity, "seeds": len(members)}
    for name in dict.fromkeys(name for row in members for name in row):
        values = [row[name] for row in members if isinstance(row.get(name), int | float)]
        if not values:
            continue
        if all(isinstance(value, int) and value == values[0] for value in values):
            merged[name] = values[0]  # counts that are the same at every seed
        else:
            merged[name] = statistics.fmean(values)
            merged[f"{name}_sd"] = statistics.stdev(values) if len(values) > 1 else None
    return merged


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.3f}"
    if isinstance(value, (list, tuple)):
        return " … ".join(map(_cell, value))
    return str(value)
