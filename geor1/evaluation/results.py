"""Our measurements: ``papers/results.json``, which ``geor1 reproduce`` writes, as figures with spread and intervals."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


class ClaimsError(ValueError):
    """claims.yaml, results.json or a README does not have the form expected; the message says where."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measurement:
    """One figure of ours.

    Attributes:
        mean: Mean over seeds.
        spread: Sample standard deviation over seeds; None for one seed.
        low: Lowest lower interval end of any seed; None where the figure has no interval.
        high: Highest upper end.
        n: Questions of each seed; None if they differ.
        seeds: Seeds.
    """

    mean: float
    spread: float | None
    low: float | None
    high: float | None
    n: int | None
    seeds: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Results:
    """Content of results.json.

    Attributes:
        command: What regenerates it.
        profile: Profile name.
        seeds: Seeds.
        labels: Rows of the score table, in its order.
        figures: By (label, metric).
        differences: Accuracy gained on identical questions, by comparison (``sft → grpo``).
        minutes: Mean over seeds, by notebook.
        hardware: Processor and cores.
    """

    command: str
    profile: str
    seeds: tuple[int, ...]
    labels: tuple[str, ...]
    figures: Mapping[tuple[str, str], Measurement]
    differences: Mapping[str, Measurement]
    minutes: Mapping[str, float]
    hardware: str


def read_results(path: Path | str) -> Results | None:
    """Read what ``geor1 reproduce`` wrote; None where it has not been run.

    Raises:
        ClaimsError: The file holds no tables by seed.
    """
    path = Path(path)
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        by_seed = {int(seed): {row["label"]: row for row in rows} for seed, rows in content["by_seed"].items()}
        paired = {int(s): {r["label"]: r for r in rows} for s, rows in content.get("paired_by_seed", {}).items()}
        machine = content.get("hardware", {})
        return Results(
            command=content["command"],
            profile=content["profile"],
            seeds=tuple(by_seed),
            labels=_labels(by_seed),
            figures=_figures(by_seed, bounded="accuracy"),
            differences={
                label: found
                for (label, metric), found in _figures(paired, bounded="difference").items()
                if metric == "difference"
            },
            minutes=_mean_minutes(content.get("minutes_by_seed", {})),
            hardware=f"{machine['processor']}, {machine['cores']} cores" if machine else "",
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ClaimsError(f"{path.name}: not written by geor1 reproduce ({error!r}); run it again") from error


def format_figure(found: Measurement, unit: str) -> str:
    """A figure as text: mean, ± its standard deviation over seeds, unit, [interval].

    Args:
        found: The figure; a share in [0, 1] if the unit is ``%``.
        unit: ``%``, any other unit, or nothing.

    >>> share = Measurement(mean=0.8, spread=0.02, low=0.74, high=0.85, n=400, seeds=(0, 1, 2))
    >>> format_figure(share, "%")
    '80.0 ± 2.0 % [74.0, 85.0]'
    """
    scale = 100.0 if unit == "%" else 1.0
    spread = f" ± {found.spread * scale:.1f}" if found.spread is not None else ""
    ends = ""
    if found.low is not None and found.high is not None:
        ends = f" [{found.low * scale:.1f}, {found.high * scale:.1f}]"
    return f"{found.mean * scale:.1f}{spread}{f' {unit}' if unit else ''}{ends}"


def _labels(by_seed: Mapping[int, Mapping[str, Any]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(label for rows in by_seed.values() for label in rows))


def _figures(
    by_seed: Mapping[int, Mapping[str, Mapping[str, Any]]], *, bounded: str
) -> dict[tuple[str, str], Measurement]:
    """Every number of tables by seed and label; ``low`` and ``high`` of a row are the interval of ``bounded``."""
    figures = {}
    for label in _labels(by_seed):
        rows = {seed: table[label] for seed, table in by_seed.items() if label in table}
        for metric in dict.fromkeys(name for row in rows.values() for name in row):
            values = {s: row[metric] for s, row in rows.items() if _is_number(row.get(metric))}
            if values:
                found = [rows[seed] for seed in values]
                figures[label, metric] = _measurement(values, found, has_interval=metric == bounded)
    return figures


def _measurement(values: Mapping[int, float], rows: Sequence[Mapping[str, Any]], *, has_interval: bool) -> Measurement:
    mean = sum(values.values()) / len(values)
    squares = sum((value - mean) ** 2 for value in values.values())
    sizes = {row.get("n") for row in rows}
    lows = [row["low"] for row in rows if has_interval and _is_number(row.get("low"))]
    highs = [row["high"] for row in rows if has_interval and _is_number(row.get("high"))]
    return Measurement(
        mean=mean,
        spread=(squares / (len(values) - 1)) ** 0.5 if len(values) > 1 else None,
        low=min(lows, default=None),
        high=max(highs, default=None),
        n=sizes.pop() if len(sizes) == 1 else None,
        seeds=tuple(values),
    )


def _mean_minutes(by_seed: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    stages = dict.fromkeys(stage for minutes in by_seed.values() for stage in minutes)
    taken = {stage: [minutes[stage] for minutes in by_seed.values() if stage in minutes] for stage in stages}
    return {stage: sum(values) / len(values) for stage, values in taken.items()}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
