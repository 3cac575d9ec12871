"""Find the sample logs below a harness's output folder, and read them whichever harness wrote them."""

from __future__ import annotations

from pathlib import Path

from geor1.general.commands import LIGHTEVAL, LMMS_EVAL, SUITES, VLMEVALKIT
from geor1.general.lighteval import FILE_NAME as LIGHTEVAL_NAME
from geor1.general.lighteval import read_lighteval
from geor1.general.lmms_eval import FILE_NAME as LMMS_EVAL_NAME
from geor1.general.lmms_eval import read_lmms_eval
from geor1.general.megabench import megabench_task, read_megabench
from geor1.general.samples import Imported, check_unique, joined
from geor1.general.vlmevalkit import SUFFIXES, data_set_of, read_vlmevalkit
from geor1.records import RecordError
from geor1.runs.errors import ConfigError

_MEGABENCH = ("megabench_score*.json", "*data_with_scores_*.json")  # of our advice and VLMEvalKit, as published


def import_logs(
    suite: str, path: Path | str, *, metric: str | None = None, filter_number: int | None = None
) -> Imported:
    """Every sample of a log, or of the newest log of each task below a folder.

    Args:
        suite: One of :data:`geor1.general.commands.SUITES`.
        path: A log, or the output folder of a run.
        metric: Which score to take where a log holds several (lmms-eval, lighteval).
        filter_number: Which answer filter to take, from 1, where a log holds several (lmms-eval).

    Raises:
        ConfigError: An unknown suite, or an option that it does not have.
        FileNotFoundError: No log there.
        RecordError: A log is broken, see the readers of each suite; or none holds the score asked for.
    """
    if suite not in SUITES:
        raise ConfigError(f"suite: expected one of {', '.join(SUITES)}, got {suite!r}")
    if (filter_number is not None and suite != LMMS_EVAL) or (metric is not None and suite == VLMEVALKIT):
        raise ConfigError(f"{suite} has one score an item: --filter is for lmms-eval, --metric for it and lighteval")
    logs, notes = find_logs(suite, path)
    parts = [_read(suite, log, metric, filter_number) for log in logs]
    imported = joined([*parts, Imported((), tuple(notes))])
    check_unique(imported.samples)
    if metric is not None and all(sample.metric != metric for sample in imported.samples):
        found = sorted({sample.metric for sample in imported.samples})
        raise RecordError(f"{path}: no log holds a score {metric!r}; they hold {found}")
    return imported


def find_logs(suite: str, path: Path | str) -> tuple[list[Path], list[str]]:
    """The logs of a run.

    Args:
        suite: Harness.
        path: A log itself, or a folder that is searched with all its folders.

    Returns:
        One log a task, the newest by the date in its name or folder, sorted, without lmms-eval's own log of a
        MEGA-Bench task whose scores lie there too; and a note for each older one left out.

    Raises:
        FileNotFoundError: The path is not there, or no log is below it.
    """
    path = Path(path)
    if path.is_file():
        return [path], []
    if not path.is_dir():
        raise FileNotFoundError(f"{path}: no such log or folder")
    newest: dict[str, tuple[str, Path]] = {}
    notes = []
    for task, date, log in sorted(_candidates(suite, path), key=lambda found: (found[0], found[1], found[2])):
        if task in newest:
            notes.append(f"{task}: older log left out: {newest[task][1].relative_to(path)}")
        newest[task] = (date, log)
    for task in [task for task, (_, log) in newest.items() if log.suffix == ".json"]:
        newest.pop(f"{task} replies", None)
    if not newest:
        raise FileNotFoundError(f"{path}: {_expected(suite)}")
    return sorted(log for _, log in newest.values()), notes


def _candidates(suite: str, folder: Path) -> list[tuple[str, str, Path]]:
    """(task, date, log) of everything that looks like a log of the suite."""
    scored = {log for pattern in _MEGABENCH for log in folder.rglob(pattern)} if suite != LIGHTEVAL else set()
    found = [(megabench_task(log), _folder_date(log), log) for log in scored]
    if suite == VLMEVALKIT:
        results = [log for log in folder.rglob("*_result.*") if log.suffix in SUFFIXES]
        return found + [(data_set_of(log), _folder_date(log), log) for log in results]
    pattern, glob = (LMMS_EVAL_NAME, "*.jsonl") if suite == LMMS_EVAL else (LIGHTEVAL_NAME, "details_*.parquet")
    named = [(pattern.fullmatch(log.name), log) for log in folder.rglob(glob)]
    return found + [(_task(name["task"]), name["date"], log) for name, log in named if name]


def _task(name: str) -> str:
    """lmms-eval's own log of a MEGA-Bench task holds replies only, and gives way to the file of their scores."""
    return f"{name} replies" if name.startswith("megabench_") else name


def _folder_date(log: Path) -> str:
    return log.parent.name


def _read(suite: str, log: Path, metric: str | None, filter_number: int | None) -> Imported:
    if log.suffix == ".pkl":
        raise RecordError(f"{log.name}: a pickle is never read, loading it would run code")
    if log.suffix == ".json" and suite != LIGHTEVAL:
        return read_megabench(log, suite)
    if suite == LMMS_EVAL:
        return read_lmms_eval(log, metric=metric, filter_number=filter_number)
    if suite == LIGHTEVAL:
        return read_lighteval(log, metric=metric)
    return read_vlmevalkit(log)


def _expected(suite: str) -> str:
    names = {
        LMMS_EVAL: "<date>_samples_<task>.jsonl (was --log_samples given?) or megabench_score_<subset>.json",
        LIGHTEVAL: "details_<task>_<date>.parquet (was --save-details given?)",
        VLMEVALKIT: "<model>_<data set>_<judge>_result.tsv or .xlsx, or megabench_score_<subset>.json",
    }
    return f"no log of {suite} below it; expected {names[suite]}"
