"""The command ``geor1``: run a notebook, all of them, sweeps and seeds of them; draw predictions on a map; list what is
there; push a run.

Exit codes: 0 done; 1 a notebook failed, the disk is full or a manifest is damaged; 2 the command asks for something
that does not exist (notebook, profile, parameter) or gives a value of the wrong type; 85 SIGUSR1 or SIGTERM stopped a
training run, its checkpoint is saved, and the same command goes on from there (``papers/slurm``).
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from geor1.general.cli import add_general
from geor1.maps.cli import add_map
from geor1.runs.errors import ConfigError, MissingUpstreamError, NotebookFailedError
from geor1.runs.launch import Executed, execute, quiet_environment, stop_running
from geor1.runs.manifest import read_manifest
from geor1.runs.notebook import notebook_declarations
from geor1.runs.pipeline import finished_runs
from geor1.runs.processes import LAUNCH_VARIABLE, as_words, launch_config, parse_launch
from geor1.runs.profiles import (
    DEFAULT_PROFILE,
    STAGES,
    about_profile,
    check_stage,
    default_runs_dir,
    load_profile,
    notebooks_dir,
    own_seed,
    profile_names,
)
from geor1.runs.scores import Row, aggregate, format_table, read_paired, read_table, write_results
from geor1.runs.stopping import REQUEUE_EXIT_CODE, request_stop

_BAD_REQUEST, _FAILED = 2, 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: Without the program's name; default ``sys.argv``.

    Returns:
        The exit code.
    """
    options = _parser().parse_args(arguments)
    os.environ.update(quiet_environment(getattr(options, "profile", DEFAULT_PROFILE)))
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGUSR1, _stop)
    try:
        _set_launch(options)
        options.command(options)
    except ConfigError as error:
        return _complain(error, _BAD_REQUEST)
    except NotebookFailedError as error:
        codes = {"ConfigError": _BAD_REQUEST, "RunStoppedError": REQUEUE_EXIT_CODE}
        return _complain(error, codes.get(error.error_name, _FAILED))
    except (MissingUpstreamError, OSError, ValueError) as error:
        return _complain(error, _FAILED)
    except KeyboardInterrupt:
        return _complain("interrupted; run the same command again, it resumes", 130)
    return 0


def run_notebook(options: argparse.Namespace) -> None:
    """``geor1 run``: execute one notebook; the last line names its run folder."""
    done = execute(options.notebook, options.profile, _given(options.parameters), options.runs_dir)
    print(f"executed notebook: {done.notebook}")
    print(f"run folder: {done.run_dir}", flush=True)


def demo(options: argparse.Namespace) -> None:
    """``geor1 demo``: all five notebooks at one seed, then the score table and where to look."""
    seed = own_seed(options.profile) if options.seed is None else options.seed
    done = _run_all(options, seed)
    print(f"\nscores (profile {options.profile}, seed {seed})\n")
    print(format_table(read_table(done["04_evaluation"].run_dir)))
    print(f"\nnotebooks: {sum(run.wall_s for run in done.values()) / 60:.1f} minutes in all")
    print(f"map: {done['05_map_visualisation'].run_dir / 'map.html'}")
    for run in done.values():
        print(f"executed notebook: {run.notebook}")


def reproduce(options: argparse.Namespace) -> None:
    """``geor1 reproduce``: the demo at several seeds, then mean and spread, as JSON and in the tables that quote it."""
    tables: dict[int, list[Row]] = {}
    paired: dict[int, list[Row]] = {}
    minutes: dict[int, dict[str, float]] = {}
    for seed in options.seeds:
        done = _run_all(options, seed)
        scored = done["04_evaluation"].run_dir
        tables[seed], paired[seed] = read_table(scored), read_paired(scored)
        minutes[seed] = {stage: _minutes(run) for stage, run in done.items()}
        print(f"\nscores (profile {options.profile}, seed {seed})\n\n{format_table(tables[seed])}\n", flush=True)
    rows = aggregate(tables)
    seeds = " ".join(map(str, options.seeds))
    print(f"mean and standard deviation over seeds {seeds} (profile {options.profile})\n\n{format_table(rows)}")
    path = Path(options.output) if options.output else _results_path(options)
    command = f"geor1 reproduce --profile {options.profile} --seeds {seeds}"
    write_results(path, command, options.profile, tables, rows, paired=paired, minutes=minutes)
    print(f"\nwritten: {path}")
    _update_tables(path)


def sweep(options: argparse.Namespace) -> None:
    """``geor1 sweep``: every combination of parameter values at several seeds, then one table."""
    from geor1.runs.sweep import point_file, read_sweep, run_point
    from geor1.runs.sweep_table import judged, sweep_rows, write_table

    runs_dir = Path(options.runs_dir).resolve() if options.runs_dir else default_runs_dir()
    wanted = read_sweep(
        options.stage, options.values, profile=options.profile, seeds=options.seeds, until=options.until,
        metric=options.metric,
    )  # fmt: skip
    count = len(wanted.points)
    if options.index is not None and not 0 <= options.index < count:
        raise ConfigError(f"--index {options.index}: expected 0 to {count - 1}, this sweep has {count} elements")
    for index in range(count) if options.index is None else [options.index]:
        run_point(wanted, index, runs_dir)
    files = [point_file(wanted, index, runs_dir) for index in range(count)]
    read = [json.loads(path.read_text(encoding="utf-8")) if path.exists() else None for path in files]
    notes = [judged(note, wanted.metric, runs_dir) for note in read]
    rows = sweep_rows(wanted, notes, runs_dir)
    command = f"geor1 sweep {options.stage} {' '.join(options.values)} --profile {options.profile} --seeds "
    command += " ".join(map(str, wanted.seeds)) + f" --until {options.until} --metric {wanted.metric}"
    print(f"\n{wanted.metric}\n\n{format_table(rows)}\n")
    for path in write_table(wanted, rows, notes, runs_dir, command):
        print(f"written: {path}")
    failed = [note for note in notes if note is not None and "error" in note]
    if failed and (options.index is None or "error" in (notes[options.index] or {})):
        without = sum("finished" in note for note in failed)
        what = f"; {without} finished without {wanted.metric}: name another --metric" if without else ""
        raise NotebookFailedError(f"{len(failed)} of {count} elements failed; the same command tries them again{what}")


def push(options: argparse.Namespace) -> None:
    """``geor1 push``: a finished run as a repository of the Hugging Face hub."""
    from geor1.runs.push import prepare, upload

    folder, kind = prepare(
        Path(options.run_dir), options.repo_id, options.licence, Path(options.to) if options.to else None
    )
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    print(f"{kind} {options.repo_id}: {folder} ({size / 1e6:.1f} MB)")
    if options.dry_run:
        print("nothing was uploaded (--dry-run)")
        return
    from huggingface_hub import HfApi

    print(upload(folder, kind, options.repo_id, HfApi(), private=not options.public))


def stop(options: argparse.Namespace) -> None:
    """``geor1 stop``: let the training in a run folder save a checkpoint and end."""
    folder = Path(options.run_dir)
    if not (folder / "attempts.jsonl").is_file():
        raise ConfigError(f"{folder}: expected a run folder (geor1 where lists them)")
    request_stop(folder, "geor1 stop")
    print(f"{folder}: it stops after its present step")


def join(options: argparse.Namespace) -> None:
    """``geor1 join``: start this machine's processes of a job that the first machine has started."""
    from geor1.runs.jobs.machine import main as become_launcher

    become_launcher(options.run_dir, options.machine_rank, tied=False)


def list_profiles(_: argparse.Namespace) -> None:
    """``geor1 profiles``: the profiles that exist, with what they say of themselves."""
    for name in profile_names():
        print(f"{name:<20} {about_profile(name).description}".rstrip())


def show_where(options: argparse.Namespace) -> None:
    """``geor1 where``: folders, and the finished runs of a profile, newest first."""
    runs_dir = Path(options.runs_dir).resolve() if options.runs_dir else default_runs_dir()
    stages = [check_stage(options.notebook)] if options.notebook else list(STAGES)
    load_profile(options.profile)
    print(f"notebooks: {notebooks_dir()}\nruns: {runs_dir / options.profile}")
    for stage in stages:
        for run in finished_runs(stage, options.profile, runs_dir):
            minutes = run.manifest["wall_s"] / 60
            print(f"{run.manifest['started']}  {minutes:6.1f} min  {_seeds(run.manifest):<10} {run.path}")


def list_data(_: argparse.Namespace) -> None:
    """``geor1 data list``: public data sets, with size, licence and home page."""
    from geor1.benchmarks.catalogue import DATA_SETS

    for data in DATA_SETS.values():
        how = "" if data.files else "by hand"
        print(f"{data.name:<12} {data.about}\n{'':<12} {'; '.join(filter(None, (data.size, data.licence, how)))}")
        print(f"{'':<12} {data.home}")


def fetch_data(options: argparse.Namespace) -> None:
    """``geor1 data fetch``: one public data set, whole or not at all."""
    from geor1.benchmarks.catalogue import data_set
    from geor1.benchmarks.fetch import fetch

    fetch(data_set(options.name), options.to, accept_licence=options.accept_licence)


def _run_all(options: argparse.Namespace, seed: int) -> dict[str, Executed]:
    done = {}
    for number, stage in enumerate(STAGES, start=1):
        print(f"[{number}/{len(STAGES)}] {stage} (profile {options.profile}, seed {seed})", flush=True)
        declared = notebook_declarations(notebooks_dir() / f"{stage}.ipynb")
        given = {"seed": seed} if "seed" in declared else {}
        done[stage] = execute(stage, options.profile, given, options.runs_dir)
        print(f"[{number}/{len(STAGES)}] {stage}: {done[stage].wall_s / 60:.1f} minutes", flush=True)
    return done


def _minutes(run: Executed) -> float:
    """What a notebook took; where its stage had been finished before, at least what that took."""
    manifest = read_manifest(run.run_dir)
    return max(run.wall_s, manifest["wall_s"] if manifest else 0.0) / 60


def _results_path(options: argparse.Namespace) -> Path:
    """Where results go unless told otherwise: ``papers/`` quotes the default profile and no other."""
    if options.profile == DEFAULT_PROFILE:
        return notebooks_dir().parent / "papers" / "results.json"
    runs_dir = Path(options.runs_dir).resolve() if options.runs_dir else default_runs_dir()
    return runs_dir / options.profile / "results.json"


def _update_tables(results: Path) -> None:
    """Write anew the tables that quote a results file, where it lies beside the claims that they compare it with."""
    if results.name != "results.json" or not (results.parent / "claims.yaml").is_file():
        return
    from geor1.evaluation.claims import regenerate

    for path in regenerate(results.parent):
        print(f"written: {path}")


def _stop(number: int, _: Any) -> None:
    """SIGTERM or SIGUSR1: let the training save first; where none runs, unwind, so that kernels are shut down."""
    if not stop_running(signal.Signals(number).name):
        sys.exit(128 + number if number == signal.SIGTERM else REQUEUE_EXIT_CODE)


def _set_launch(options: argparse.Namespace) -> None:
    """Hand ``--launch`` to the notebooks' kernels, after a look at it together with the profile's section."""
    if getattr(options, "launch", None):
        given = parse_launch(options.launch)
        if given.get("accelerate_config"):  # relative to where the command is given, not to the notebooks
            given["accelerate_config"] = str(Path(given["accelerate_config"]).resolve())
        os.environ[LAUNCH_VARIABLE] = as_words(given)
        launch_config(options.profile)


def _given(parameters: Sequence[str]) -> dict[str, str]:
    given = {}
    for parameter in parameters:
        name, equals, value = parameter.partition("=")
        if not equals or not name.strip().isidentifier():
            raise ConfigError(f"-p {parameter}: expected name=value, as in -p steps=200")
        given[name.strip()] = value
    return given


def _seeds(manifest: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in manifest["seeds"].items())


def _complain(error: object, code: int) -> int:
    print(f"geor1: {error}", file=sys.stderr, flush=True)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="geor1", description="Geo-R1 from data to map, in five notebooks.")
    commands = parser.add_subparsers(required=True, metavar="command")

    def add(name: str, command: Any, text: str, *, profile: bool = True) -> argparse.ArgumentParser:
        """A subcommand with its help text and, unless told otherwise, the options of a profile."""
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(command=command)
        if profile:
            sub.add_argument("--profile", default=DEFAULT_PROFILE, help=f"parameter set (default {DEFAULT_PROFILE})")
            sub.add_argument("--runs-dir", help="folder of all runs (default: runs/ of the checkout)")
            text = "how training is launched, e.g. processes=8 launcher=fsdp2 report_to=wandb"
            sub.add_argument("--launch", nargs="+", metavar="name=value", help=text)
        return sub

    run = add("run", run_notebook, "execute one notebook into its run folder")
    run.add_argument("notebook", help="name or number, e.g. 03_grpo or 03")
    text = "a parameter of the notebook, or any field of its stage's config"
    run.add_argument("-p", dest="parameters", action="append", default=[], metavar="name=value", help=text)
    shown = add("demo", demo, "execute all five notebooks, print the scores")
    shown.add_argument("--seed", type=int, help="seed of every stage (default: the profile's own)")
    several = add("reproduce", reproduce, "the demo at several seeds, with mean and spread")
    several.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    several.add_argument(
        "--output",
        help=f"JSON file (default: papers/results.json; runs/<profile>/results.json unless {DEFAULT_PROFILE})",
    )
    add("profiles", list_profiles, "list the profiles", profile=False)
    add("where", show_where, "list folders and finished runs").add_argument("notebook", nargs="?")
    add_map(commands)
    _add_sweep(add("sweep", sweep, "every combination of parameter values at several seeds, and a table"))
    _add_push(add("push", push, "a finished run as a repository of the Hugging Face hub", profile=False))
    stopped = add("stop", stop, "let the training in a run folder save a checkpoint and end", profile=False)
    stopped.add_argument("run_dir", help="run folder")
    joined = add("join", join, "start this machine's part of a training on several machines", profile=False)
    joined.add_argument("run_dir", help="run folder, as the first machine printed it")
    joined.add_argument("--machine-rank", type=int, required=True, help="number of this machine, from 1")
    text = "measure what the notebooks do not"
    add_general(commands.add_parser("eval", help=text, description=text).add_subparsers(required=True, metavar="what"))
    _add_data(commands)
    return parser


def _add_sweep(swept: argparse.ArgumentParser) -> None:
    """The arguments of ``geor1 sweep``."""
    swept.add_argument("stage", help="first notebook of each element, e.g. 03; what comes before it is shared")
    swept.add_argument(
        "values", nargs="+", metavar="parameter=value,value",
        help="a parameter of that stage's config, or stage.parameter of a later one",
    )  # fmt: skip
    swept.add_argument("--seeds", type=int, nargs="+", help="seeds of each element (default: the profile's own)")
    swept.add_argument("--until", default="04", help="last notebook (default 04)")
    swept.add_argument("--metric", default="", help="label.column of the score table, or a figure of the summary")
    swept.add_argument("--index", type=int, help="run this element alone, from 0: a Slurm array's task")


def _add_push(pushed: argparse.ArgumentParser) -> None:
    """The arguments of ``geor1 push``."""
    pushed.add_argument("run_dir", help="finished run folder of 01 (a data set), 02 or 03 (a model)")
    pushed.add_argument("repo_id", help="owner/name")
    pushed.add_argument("--dry-run", action="store_true", help="write the folder that would be uploaded, and stop")
    pushed.add_argument("--to", metavar="DIR", help="that folder (default: runs/<profile>/hub/<stage>-<key>)")
    pushed.add_argument("--licence", default="", help="the hub's name of a licence, e.g. apache-2.0")
    pushed.add_argument("--public", action="store_true", help="make a new repository public, not private")


def _add_data(commands: Any) -> None:
    """The subcommands of ``geor1 data``."""
    text = "public data sets: list them, fetch one"
    data = commands.add_parser("data", help=text, description=text).add_subparsers(required=True, metavar="action")
    listed = data.add_parser("list", help="what there is, its licence and home page")
    listed.set_defaults(command=list_data)
    fetched = data.add_parser("fetch", help="fetch one, resuming what was begun, and check it")
    fetched.set_defaults(command=fetch_data)
    fetched.add_argument("name", help="as listed")
    fetched.add_argument("--to", required=True, metavar="DIR", help="folder of all data sets")
    fetched.add_argument("--accept-licence", action="store_true", help="you have read the licence and accept it")
