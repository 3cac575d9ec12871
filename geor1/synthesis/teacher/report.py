"""The books of a teacher: what was asked, what came back, why it was rejected, what was kept, and what it cost."""

from __future__ import annotations

import collections
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from geor1.asking.backends import RequestFailure
from geor1.asking.journal import drop_torn_line
from geor1.runs.files import disk_full_is_clear
from geor1.synthesis.teacher.checks import REASONS, Checked
from geor1.synthesis.teacher.config import TeacherConfig
from geor1.synthesis.teacher.rounds import Sampled

ATTEMPTS = "attempts.jsonl"
_ERRORS = frozenset(failure.value for failure in RequestFailure)


def yield_report(by_template: Mapping[str, Sequence[Sampled]], config: TeacherConfig, seconds: Any) -> dict[str, Any]:
    """Counts by template and in all; asked = unanswered + errors + rejected + kept.

    Args:
        by_template: Template -> its jobs with their completions.
        config: With the prices.
        seconds: What :func:`seconds_spent` read.

    Returns:
        ``templates``, ``total``, ``claims`` (verdicts by kind) and ``seconds``, which alone depends on the machine.
    """
    groups = {name: list(items) for name, items in by_template.items()}
    everything = [one for items in groups.values() for one in items]
    return {
        "model": config.model,
        "templates": {name: _row(items, config) for name, items in groups.items()},
        "total": _row(everything, config),
        "claims": _claims(one for job in everything for one in job.checked),
        "seconds": seconds,
    }


def _row(jobs: Sequence[Sampled], config: TeacherConfig) -> dict[str, Any]:
    checked = [one for job in jobs for one in job.checked]
    first = collections.Counter(one.reasons[0] for one in checked if one.reasons)
    every = collections.Counter(reason for one in checked for reason in one.reasons)
    kept = sum(one.kept for one in checked)
    unanswered = sum(job.unanswered for job in jobs)
    errors = sum(count for reason, count in first.items() if reason in _ERRORS)
    tokens_in, tokens_out = (
        sum(getattr(one, name) or 0 for one in checked) for name in ("prompt_tokens", "completion_tokens")
    )
    usd = (tokens_in * config.usd_per_million_in + tokens_out * config.usd_per_million_out) / 1e6
    return {
        "questions": len(jobs),
        "questions_with_a_chain": sum(job.passed > 0 for job in jobs),
        "asked": len(checked) + unanswered,
        "unanswered": unanswered,
        "replaceable": sum(job.replaceable for job in jobs),
        "answered": len(checked) - errors,
        "rejected": {reason: first[reason] for reason in REASONS if first[reason]},
        "every_reason": {reason: every[reason] for reason in REASONS if every[reason]},
        "kept": kept,
        "yield": round(kept / len(checked), 4) if checked else 0.0,
        "prompt_tokens": tokens_in,
        "completion_tokens": tokens_out,
        "without_token_counts": sum(
            one.completion_tokens is None for one in checked if not _ERRORS.intersection(one.reasons[:1])
        ),
        "usd": round(usd, 6),
        "usd_per_chain": round(usd / kept, 6) if kept else None,
    }


def _claims(checked: Iterable[Checked]) -> dict[str, dict[str, int]]:
    counts: dict[str, collections.Counter[str]] = {}
    for one in checked:
        for claim in one.claims:
            counts.setdefault(claim.kind, collections.Counter())[claim.verdict] += 1
    return {
        kind: {verdict: counts[kind][verdict] for verdict in ("true", "false", "unknown")} for kind in sorted(counts)
    }


def add_attempt(folder: Path, shard: str, generated: int, seconds: Mapping[str, float]) -> None:
    """Note what one process did.

    Args:
        folder: Its folder of generations.
        shard: Which share it asked for, ``i/n``.
        generated: Completions that it wrote.
        seconds: Seconds of asking by template.

    Raises:
        DiskFullError: No space is left.
    """
    path = folder / ATTEMPTS
    line = {"shard": shard, "generated": generated, "seconds": {name: round(s, 3) for name, s in seconds.items()}}
    with disk_full_is_clear(path):
        if path.is_file():
            drop_torn_line(path)
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def seconds_spent(folders: Iterable[Path]) -> dict[str, Any]:
    """Seconds of asking by template, over all processes that ended by themselves (a killed one leaves no line).

    Args:
        folders: Folders of generations, with their ``attempts.jsonl``.
    """
    seconds: collections.Counter[str] = collections.Counter()
    processes = 0
    for folder in folders:
        path = folder / ATTEMPTS
        lines = path.read_text(encoding="utf-8").split("\n")[:-1] if path.is_file() else []  # not a torn last one
        for line in lines:
            attempt = json.loads(line)
            processes += 1
            for template, spent in attempt["seconds"].items():
                seconds[template] += spent
    return {
        "processes": processes,
        "templates": {name: round(spent, 2) for name, spent in sorted(seconds.items())},
        "total": round(seconds.total(), 2),
    }


def table(report: Mapping[str, Any]) -> str:
    """The report as Markdown tables, for people."""
    rows = {**report["templates"], "**total**": report["total"]}
    head = (
        "template",
        "questions",
        "asked",
        "answered",
        "kept",
        "yield",
        "tokens in",
        "tokens out",
        "USD",
        "USD / chain",
        "s",
    )
    spent = {**report["seconds"]["templates"], "**total**": report["seconds"]["total"]}
    lines = [f"Teacher: `{report['model']}`", "", _line(head), _line(("---",) + ("---:",) * (len(head) - 1))]
    for name, row in rows.items():
        price = "" if row["usd_per_chain"] is None else f"{row['usd_per_chain']:.4f}"
        counts = (row["questions"], row["asked"], row["answered"], row["kept"], f"{100 * row['yield']:.1f} %")
        tokens = (row["prompt_tokens"], row["completion_tokens"])
        lines.append(_line((name, *counts, *tokens, f"{row['usd']:.4f}", price, spent.get(name, 0.0))))
    names = list(rows)
    reasons = [reason for reason in REASONS if reason in report["total"]["rejected"]]
    lines += ["", _line(("rejected for", *names)), _line(("---",) + ("---:",) * len(names))]
    lines += [_line((reason, *(rows[name]["rejected"].get(reason, 0) for name in names))) for reason in reasons]
    lines.append(_line(("unanswered", *(rows[name]["unanswered"] for name in names))))
    if report["total"]["replaceable"]:
        lines.append(_line(("(near-duplicates not replaced)", *(rows[name]["replaceable"] for name in names))))
    lines += ["", _line(("claim", "true", "false", "unknown")), _line(("---", "---:", "---:", "---:"))]
    lines += [_line((kind, *counts.values())) for kind, counts in report["claims"].items()]
    return "\n".join(lines) + "\n"


def _line(cells: Iterable[object]) -> str:
    return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"
