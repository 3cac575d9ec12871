"""The paper's claims beside our measurements: ``papers/claims.yaml`` + ``papers/results.json`` -> ``papers/README.md``.

Run ``python -m geor1.evaluation.claims`` after either file changed; ``--check`` only says whether README.md is current.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from geor1.runs import atomic_write_text, notebooks_dir

GRADES = ("primary", "secondary", "low", "computed")
QUOTED = ("exact", "approximate")
COMMAND = "python -m geor1.evaluation.claims"
_DEFAULTS = ("unit", "who", "grade", "quoted")


class ClaimsError(ValueError):
    """claims.yaml or results.json does not have the form expected; the message says where."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Claim:
    """One figure that somebody states.

    Attributes:
        table: Title of its table.
        model: What was evaluated.
        metric: What was measured.
        unit: Unit of the value.
        value: The figure.
        who: Who says so.
        grade: ``primary``, ``secondary``, ``low`` or ``computed``.
        quoted: ``exact`` or ``approximate``.
        ours: (label, metric) of our score table that stands beside it, or None.
    """

    table: str
    model: str
    metric: str
    unit: str
    value: float
    who: str
    grade: str
    quoted: str
    ours: tuple[str, str] | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClaimTable:
    """Claims that belong together, with where they come from and what is not known of them."""

    title: str
    note: str
    source: str
    claims: tuple[Claim, ...]


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
    """Content of results.json: measurements by (label, metric), labels in table order, and the command behind them."""

    command: str
    profile: str
    seeds: tuple[int, ...]
    labels: tuple[str, ...]
    figures: Mapping[tuple[str, str], Measurement]


def read_claims(path: Path | str) -> list[ClaimTable]:
    """Read and check claims.yaml.

    Raises:
        ClaimsError: A field is missing, unknown or out of its list, or a value is not a number.
    """
    content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    if not isinstance(content, dict) or not isinstance(content.get("tables"), list):
        raise ClaimsError(f"{Path(path).name}: expected a mapping with a list 'tables'")
    return [_table(raw, f"{Path(path).name} table {raw.get('id')!r}") for raw in content["tables"]]


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
        labels = tuple(dict.fromkeys(label for rows in by_seed.values() for label in rows))
        return Results(content["command"], content["profile"], tuple(by_seed), labels, _figures(by_seed, labels))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ClaimsError(f"{path.name}: not written by geor1 reproduce ({error!r}); run it again") from error


def render(tables: Sequence[ClaimTable], results: Results | None) -> str:
    """The text of papers/README.md."""
    parts = [_HEAD, _measured_section(tables, results), "## Every figure, table by table\n", _GRADES_NOTE]
    for table in tables:
        parts.append(_table_section(table, results))
    parts.append(_UNKNOWN)
    return "\n".join(parts)


def papers_dir() -> Path:
    """Folder of the papers: beside the notebooks."""
    return notebooks_dir().parent / "papers"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write papers/README.md, or with ``--check`` report whether it is current (1 if not)."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("--papers", type=Path, default=None, help="folder of claims.yaml and results.json")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if README.md is out of date")
    options = parser.parse_args(arguments)
    folder = options.papers or papers_dir()
    text = render(read_claims(folder / "claims.yaml"), read_results(folder / "results.json"))
    readme = folder / "README.md"
    if options.check:
        current = readme.is_file() and readme.read_text(encoding="utf-8") == text
        print(f"{readme}: {'current' if current else f'out of date; run {COMMAND}'}")
        return 0 if current else 1
    atomic_write_text(readme, text)
    print(readme)
    return 0


def _table(raw: Mapping[str, Any], where: str) -> ClaimTable:
    unknown = set(raw) - {"id", "title", "note", "source", "claims", *_DEFAULTS}
    missing = {"id", "title", "note", "source", "claims"} - set(raw)
    if unknown or missing:
        raise ClaimsError(f"{where}: unknown fields {sorted(unknown)}, missing fields {sorted(missing)}")
    defaults = {name: raw[name] for name in _DEFAULTS if name in raw}
    claims = tuple(
        _claim({**defaults, **entry}, raw["title"], f"{where} claim {number}")
        for number, entry in enumerate(raw["claims"], start=1)
    )
    return ClaimTable(title=raw["title"], note=raw["note"].strip(), source=raw["source"], claims=claims)


def _claim(raw: dict[str, Any], table: str, where: str) -> Claim:
    names = {field.name for field in dataclasses.fields(Claim)} - {"table"}
    unknown, missing = set(raw) - names, names - {"ours"} - set(raw)
    if unknown or missing:
        raise ClaimsError(f"{where}: unknown fields {sorted(unknown)}, missing fields {sorted(missing)}")
    if raw["grade"] not in GRADES or raw["quoted"] not in QUOTED:
        raise ClaimsError(f"{where}: expected a grade of {GRADES} and quoted of {QUOTED}, got {raw}")
    if isinstance(raw["value"], bool) or not isinstance(raw["value"], int | float):
        raise ClaimsError(f"{where}: value should be a number, got {raw['value']!r}")
    ours = raw.pop("ours", None)
    if ours is not None and set(ours) != {"label", "metric"}:
        raise ClaimsError(f"{where}: ours should hold label and metric, got {ours!r}")
    return Claim(table=table, **raw, ours=(ours["label"], ours["metric"]) if ours else None)


def _figures(
    by_seed: Mapping[int, Mapping[str, Mapping[str, Any]]], labels: Sequence[str]
) -> dict[tuple[str, str], Measurement]:
    figures = {}
    for label in labels:
        rows = {seed: table[label] for seed, table in by_seed.items() if label in table}
        for metric in dict.fromkeys(name for row in rows.values() for name in row):
            values = {s: row[metric] for s, row in rows.items() if _is_number(row.get(metric))}
            if values:
                figures[label, metric] = _measurement(values, [rows[seed] for seed in values], metric)
    return figures


def _measurement(values: Mapping[int, float], rows: Sequence[Mapping[str, Any]], metric: str) -> Measurement:
    mean = sum(values.values()) / len(values)
    squares = sum((value - mean) ** 2 for value in values.values())
    sizes = {row.get("n") for row in rows}
    lows = [row["low"] for row in rows if metric == "accuracy" and _is_number(row.get("low"))]
    highs = [row["high"] for row in rows if metric == "accuracy" and _is_number(row.get("high"))]
    return Measurement(
        mean=mean,
        spread=(squares / (len(values) - 1)) ** 0.5 if len(values) > 1 else None,
        low=min(lows, default=None),
        high=max(highs, default=None),
        n=sizes.pop() if len(sizes) == 1 else None,
        seeds=tuple(values),
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _measured_section(tables: Sequence[ClaimTable], results: Results | None) -> str:
    lines = ["## Claims that are measured here", ""]
    if results is None:
        lines.append("Nothing is measured yet: `papers/results.json` is absent. `make reproduce` writes it.")
    else:
        seeds = ", ".join(map(str, results.seeds))
        lines.append(f"Profile `{results.profile}`, seeds {seeds}; regenerated by `{results.command}`.")
        lines.append("Ours are the mean over seeds ± the standard deviation between them; in brackets the outermost")
        lines.append("ends of the seeds' 95 % intervals.")
    lines += ["", "| claim | theirs | grade | ours | n | seeds |", "|---|---|---|---|---|---|"]
    for claim in (claim for table in tables for claim in table.claims if claim.ours):
        name = f"{claim.model}: {claim.metric}"
        found = results.figures.get(claim.ours) if results and claim.ours else None
        lines.append(f"| {name} | {_value(claim)} | {claim.grade} | {_ours(claim, results)} | {_size(found)} |")
    if results is not None:
        lines += ["", *_own_rows(tables, results)]
    return "\n".join(lines) + "\n"


def _own_rows(tables: Sequence[ClaimTable], results: Results) -> list[str]:
    """Rows that the paper has no figure for: controls, other labels."""
    claimed = {claim.ours for table in tables for claim in table.claims}
    lines = ["Measured here, with no figure of the paper's beside it:", "", "| row | figure | ours | n | seeds |"]
    lines.append("|---|---|---|---|---|")
    for (label, metric), found in results.figures.items():
        if (label, metric) in claimed or metric in ("n", "low", "high"):
            continue
        unit = "" if metric in ("completion_tokens", "parse_failures", "pairing_labels_seen") else "%"
        lines.append(f"| {label} | {metric.replace('_', ' ')} | {_figure(found, unit)} | {_size(found)} |")
    return lines


def _table_section(table: ClaimTable, results: Results | None) -> str:
    lines = [f"### {table.title}", "", f"{table.note}", "", f"Source: {table.source}.", ""]
    lines += ["| model | metric | figure | who says so | grade | measured here |", "|---|---|---|---|---|---|"]
    for claim in table.claims:
        cells = (claim.model, claim.metric, _value(claim), claim.who, claim.grade, _ours(claim, results))
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _value(claim: Claim) -> str:
    number = f"{claim.value:,}".replace(",", " ")
    unit = "" if claim.unit in ("1", "share", "as listed") else f" {claim.unit}"
    return f"{'about ' if claim.quoted == 'approximate' else ''}{number}{unit}"


def _ours(claim: Claim, results: Results | None) -> str:
    found = results.figures.get(claim.ours) if results and claim.ours else None
    return _figure(found, claim.unit) if found else "not measured"


def _figure(found: Measurement, unit: str) -> str:
    scale, digits = (100.0, 1) if unit == "%" else (1.0, 1)
    spread = f" ± {found.spread * scale:.{digits}f}" if found.spread is not None else ""
    ends = (
        f" [{found.low * scale:.{digits}f}, {found.high * scale:.{digits}f}]"
        if found.low is not None and found.high is not None
        else ""
    )
    return f"{found.mean * scale:.{digits}f}{spread}{f' {unit}' if unit else ''}{ends}"


def _size(found: Measurement | None) -> str:
    return f"{found.n if found.n is not None else '–'} | {len(found.seeds)}" if found else "– | –"


_HEAD = f"""<!-- Written by `{COMMAND}` from claims.yaml and results.json; edit those, not this file. -->
# Claims against measurements

What is claimed for Geo-R1 (arXiv 2510.00072), who says so and how far that can be trusted, and what this repository
measures beside it. How the method works, what is unknown of it and where we depart: [geo-r1.md](geo-r1.md).
What was tried, failures included: [LOG.md](LOG.md). References: [references.bib](references.bib).
"""

_GRADES_NOTE = """\
Grades: **primary**, the authors' own text or code, or the compared work's own files; **secondary**, notes on the paper
and public reviews; **low**, an aggregator that mixes two papers of one name; **computed**, recomputed from public
files. The body of the paper could not be read, in either version: no figure here is copied from its tables.
"""

_UNKNOWN = """## Not known, and so not claimed

Options of a question and the rule for its negatives; the question's wording; whether the images were one composite or
several; image sizes; counts and splits of both training stages; the teacher and its prompts; the fact check's details;
the settings of supervised fine-tuning; the reward weights and the true range of the accuracy term; the number of
optimiser steps; GeoChain task by task; all but two rows of IMAGEO-GSS, and UPC; the middle radii of MP16-Reason; the
figures for RSTeller, GEO-Bench-VLM, MEGA-Bench, MMMU and GPQA; the list of the 25 and more tasks.
"""


if __name__ == "__main__":
    sys.exit(main())
