"""``geor1 eval general``: general benchmarks run in public harnesses, and what they say of base and ours.

::

    geor1 eval general run --suite lmms-eval --python LMMS/bin/python --url http://127.0.0.1:8000/v1 --model geo \\
        --tasks mmmu_val,gpqa_diamond_cot_zeroshot --out general/ours
    geor1 eval general import --suite lmms-eval general/ours --out general/ours.jsonl
    geor1 eval general retention general/base.jsonl general/ours.jsonl --margin 1.5
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from geor1.general.commands import SUITES, Request, build_command, default_prefix, pitfalls
from geor1.general.logs import import_logs
from geor1.general.run import run_harness
from geor1.general.samples import GeneralSample, read_samples
from geor1.records import write_jsonl
from geor1.runs import ConfigError, write_json


def add_general(commands: Any) -> None:
    """Add ``general`` and its subcommands to a parser's commands."""
    text = "MEGA-Bench, MMMU and GPQA in public harnesses: run, import, compare base and ours"
    general = commands.add_parser("general", help=text, description=text)
    # Not one of the small profiles, which need no model hub and say so: a harness fetches its data from there.
    general.set_defaults(profile="general")
    verbs = general.add_subparsers(required=True, metavar="verb")

    def add(name: str, command: Any, text: str) -> argparse.ArgumentParser:
        """A verb with its help text."""
        verb = verbs.add_parser(name, help=text, description=text)
        verb.set_defaults(command=command)
        return verb

    _harness_options(add("command", print_command, "print the exact command, run nothing"))
    run = add("run", run_general, "run a harness in its own environment; run again to go on")
    _harness_options(run)
    run.add_argument("--dry-run", action="store_true", help="only print the command")
    imports = add("import", import_general, "read a harness's sample logs into one file")
    imports.add_argument("logs", type=Path, help="a log, or the folder of a run")
    imports.add_argument("--suite", required=True, choices=SUITES)
    imports.add_argument("--out", type=Path, required=True, help="JSONL file to write")
    imports.add_argument("--metric", help="which score to take where a log holds several")
    imports.add_argument("--filter", type=int, metavar="N", help="lmms-eval: which answer filter to take, from 1")
    _retention_options(add("retention", compare, "are abilities kept? base and ours on identical items"))


def print_command(options: argparse.Namespace) -> None:
    """``geor1 eval general command``: the command alone, ready for a shell; what is known to go wrong as comments."""
    request = _request(options)
    for sentence in pitfalls(request):
        print(f"# {sentence}")
    print(build_command(request, _prefix(options)))


def run_general(options: argparse.Namespace) -> None:
    """``geor1 eval general run``: the last line names the file that says what was run."""
    if options.dry_run:
        print_command(options)
        return
    request = _request(options)
    for sentence in pitfalls(request):
        print(f"note: {sentence}")
    print(f"finished: {run_harness(request, _prefix(options))}")


def import_general(options: argparse.Namespace) -> None:
    """``geor1 eval general import``: mean score and items of each task, then the file."""
    imported = import_logs(options.suite, options.logs, metric=options.metric, filter_number=options.filter)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    write_jsonl(options.out, imported.samples)
    for task in dict.fromkeys(sample.task for sample in imported.samples):
        samples = [sample for sample in imported.samples if sample.task == task]
        mean = sum(sample.score for sample in samples) / len(samples)
        failed = sum(not sample.replied for sample in samples)
        text = f"; {failed} without a reply, scored as wrong" if failed else ""
        print(f"{task}: n {len(samples)}, {samples[0].metric} {mean * 100:.2f} of 100{_over_groups(samples)}{text}")
    for note in imported.notes:
        print(f"note: {note}")
    print(f"written: {options.out}")


def compare(options: argparse.Namespace) -> None:
    """``geor1 eval general retention``: the table; with ``--output`` also as JSON."""
    from geor1.general.retention import format_report, retention  # scipy, only here

    if options.base.resolve() == options.ours.resolve():
        raise ConfigError(f"{options.base}: given as base and as ours; nothing would be compared")
    report = retention(
        read_samples(options.base), read_samples(options.ours), margin_points=options.margin,
        tasks=_names(options.tasks) if options.tasks else None, intersect=options.intersect,
        resamples=options.resamples, level=options.level, seed=options.seed,
    )  # fmt: skip
    print(format_report(report))
    if options.output:
        content = {"base": str(options.base), "ours": str(options.ours), "seed": options.seed}
        content |= {"resamples": options.resamples, "retained": report.retained}
        write_json(options.output, {**content, **dataclasses.asdict(report)})
        print(f"written: {options.output}")


def _harness_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--suite", required=True, choices=SUITES)
    parser.add_argument("--url", required=True, help="OpenAI-compatible endpoint, e.g. http://127.0.0.1:8000/v1")
    parser.add_argument("--model", required=True, help="name under which the checkpoint is served")
    parser.add_argument("--tasks", required=True, help="e.g. mmmu_val,gpqa_diamond_cot_zeroshot; names of the suite")
    parser.add_argument("--out", type=Path, required=True, help="folder of this checkpoint's run; one a checkpoint")
    start = parser.add_mutually_exclusive_group(required=True)
    start.add_argument("--python", help="interpreter of the harness's environment")
    start.add_argument("--prefix", help="words that start the harness, e.g. 'PYTHON VLMEvalKit/run.py'")
    parser.add_argument("--max-new-tokens", type=int, default=4096, help="longest reply (default 4096)")
    parser.add_argument("--timeout", type=int, default=600, help="seconds for one request (default 600)")
    parser.add_argument("--concurrent", type=int, default=32, help="requests under way at once (default 32)")
    parser.add_argument("--limit", type=int, help="only the first N items of each task")


def _retention_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("base", type=Path, help="samples of the base model, from geor1 eval general import")
    parser.add_argument("ours", type=Path, help="samples of ours")
    parser.add_argument("--margin", type=float, default=1.5, help="tolerated loss in points of 100 (default 1.5)")
    parser.add_argument("--tasks", help="only these, separated by commas")
    parser.add_argument("--intersect", action="store_true", help="compare what both were asked, name what is left out")
    parser.add_argument("--level", type=float, default=0.95, help="coverage of the intervals (default 0.95)")
    parser.add_argument("--resamples", type=int, default=10_000, help="bootstrap draws (default 10000)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the bootstrap")
    parser.add_argument("--output", type=Path, help="JSON file to write")


def _over_groups(samples: Sequence[GeneralSample]) -> str:
    """The mean of the groups' means, which is MEGA-Bench's published figure; nothing where items have no group."""
    groups: dict[str, list[float]] = {}
    for sample in samples:
        if sample.group is not None:
            groups.setdefault(sample.group, []).append(sample.score)
    if not groups:
        return ""
    mean = sum(sum(scores) / len(scores) for scores in groups.values()) / len(groups)
    return f"; mean over its {len(groups)} tasks {mean * 100:.2f}"


def _request(options: argparse.Namespace) -> Request:
    return Request(
        suite=options.suite, url=options.url, model=options.model, tasks=_names(options.tasks),
        out=options.out.absolute(), max_new_tokens=options.max_new_tokens, timeout_s=options.timeout,
        concurrent=options.concurrent, limit=options.limit,
    )  # fmt: skip


def _prefix(options: argparse.Namespace) -> tuple[str, ...]:
    """The harness runs in its run's folder, so what is a path from here is made absolute (links are kept)."""
    words = shlex.split(options.prefix) if options.prefix else default_prefix(options.suite, options.python)
    return tuple(os.path.abspath(word) if os.path.isfile(word) else word for word in words)


def _names(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name.strip() for name in text.split(",")))
