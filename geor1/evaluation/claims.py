"""The paper's claims beside our measurements: ``papers/claims.yaml`` + ``papers/results.json`` -> ``papers/README.md``.

The same command writes the result table into the repository's README.md. ``geor1 reproduce`` does both at its end;
after an edit of claims.yaml run ``python -m geor1.evaluation.claims``. ``--check`` only says whether both are current.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from geor1.evaluation.readme import result_table, with_table
from geor1.evaluation.results import ClaimsError, Measurement, Results, format_figure, read_results
from geor1.runs import atomic_write_text, notebooks_dir

GRADES = ("primary", "secondary", "low", "computed")
QUOTED = ("exact", "approximate")
COMMAND = "python -m geor1.evaluation.claims"
_DEFAULTS = ("unit", "who", "grade", "quoted")


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


def read_claims(path: Path | str) -> list[ClaimTable]:
    """Read and check claims.yaml.

    Raises:
        ClaimsError: A field is missing, unknown or out of its list, or a value is not a number.
    """
    content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    if not isinstance(content, dict) or not isinstance(content.get("tables"), list):
        raise ClaimsError(f"{Path(path).name}: expected a mapping with a list 'tables'")
    return [_table(raw, f"{Path(path).name} table {raw.get('id')!r}") for raw in content["tables"]]


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


def generated(papers: Path) -> dict[Path, str]:
    """What the generated files should hold.

    Args:
        papers: Folder of ``claims.yaml`` and, once measured, ``results.json``.

    Returns:
        Text by path: README.md of the folder and, if there is one, README.md of the folder above.

    Raises:
        ClaimsError: A source is malformed, or the README above has lost its markers.
        FileNotFoundError: No claims.yaml.
    """
    results = read_results(papers / "results.json")
    texts = {papers / "README.md": render(read_claims(papers / "claims.yaml"), results)}
    above = papers.resolve().parent / "README.md"
    if above.is_file():
        texts[above] = with_table(above.read_text(encoding="utf-8"), result_table(results))
    return texts


def regenerate(papers: Path | None = None) -> list[Path]:
    """Write the generated files; return their paths. Arguments and errors as :func:`generated`."""
    texts = generated(papers or papers_dir())
    for path, text in texts.items():
        atomic_write_text(path, text)
    return list(texts)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write both README.md, or with ``--check`` report whether they are current (1 if not)."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("--papers", type=Path, default=None, help="folder of claims.yaml and results.json")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a file is out of date")
    options = parser.parse_args(arguments)
    folder = options.papers or papers_dir()
    if not options.check:
        print(*regenerate(folder), sep="\n")
        return 0
    stale = False
    for path, text in generated(folder).items():
        current = path.is_file() and path.read_text(encoding="utf-8") == text
        print(f"{path}: {'current' if current else f'out of date; run {COMMAND}'}")
        stale |= not current
    return int(stale)


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
        lines.append(f"| {label} | {metric.replace('_', ' ')} | {format_figure(found, unit)} | {_size(found)} |")
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
    return format_figure(found, claim.unit) if found else "not measured"


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
