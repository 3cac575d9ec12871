"""Read the sample log of lmms-eval: ``<output_path>/<model>/<date>_samples_<task>.jsonl``, one JSON object a line.

Layout verified at commit 75571cfe in ``lmms_eval/loggers/evaluation_tracker.py`` (file names; ``doc`` and ``arguments``
are dropped, ``input`` and ``target`` added, single replies taken out of their lists) and ``lmms_eval/evaluator.py``
(the other fields; the scores stand beside them under their metrics' names; a task with k answer filters logs each item
k times, in k passes that carry no name). The task's version stands in ``<date>_results.json`` beside the log.

Two things of the harness matter for the figures. A request that failed is scored as the reply
``[LMMS_EVAL_REQUEST_FAILED …``. And for MMMU it logs no score but what it will score (``answer``, ``parsed_pred``,
``question_type``): multiple choice is scored here by its rule, equality of letters; open questions are left out, and
counted, because ``tasks/mmmu/utils.py`` keeps one reading of the reply as a string where its scoring goes through a
list of readings, so that it compares single characters and counts every open question as wrong (seen by calling
its ``parse_open_response`` and ``eval_open`` on right answers).
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from geor1.general.commands import LMMS_EVAL
from geor1.general.samples import GeneralSample, Imported, chosen_metric, digest, is_reply, score_of
from geor1.records import RecordError, iterate_json_lines

FILE_NAME = re.compile(r"(?P<date>.+?)_samples_(?P<task>.+)\.jsonl")
_NOT_SCORES = {"doc_id", "target", "input", "resps", "filtered_resps", "token_counts", "doc_hash", "input_media"}
_MMMU_FIELDS = {"answer", "parsed_pred", "question_type"}

Row = Mapping[str, Any]


def read_lmms_eval(path: Path | str, *, metric: str | None = None, filter_number: int | None = None) -> Imported:
    """The samples of one log.

    Args:
        path: ``<date>_samples_<task>.jsonl``.
        metric: Which score to take; needed where the log holds several.
        filter_number: Which of the task's answer filters to take, from 1, in the order of its configuration; needed
            where it has several, ignored where it has one.

    Raises:
        RecordError: A line is cut or lacks a field, a score is missing, NaN or outside [0, 1], an item occurs twice,
            or ``metric`` or ``filter_number`` is needed.
    """
    path = Path(path)
    named = FILE_NAME.fullmatch(path.name)
    if named is None:
        raise RecordError(f"{path.name}: expected the name <date>_samples_<task>.jsonl that lmms-eval gives its logs")
    rows = [(where, _checked(row, where)) for where, row in iterate_json_lines(path)]
    if not rows:
        raise RecordError(f"{path.name}: empty; did the run end before its first item?")
    rows = _one_filter(rows, filter_number, path.name)
    if named["task"].startswith("megabench_"):
        raise RecordError(
            f"{path.name}: holds replies without scores; run MEGA-Bench's evaluator on the submission, "
            "see geor1 general command, and import its megabench_score_<subset>.json"
        )
    name = chosen_metric(_scores(rows[0][1], metric), metric, rows[0][0])
    version = _version(path.with_name(f"{named['date']}_results.json"), named["task"])
    samples, left_out = [], 0
    for where, row in rows:
        score = _score(row.get(name), name, where)
        if score is None:
            left_out += 1
            continue
        samples.append(
            GeneralSample(
                suite=LMMS_EVAL, task=named["task"], task_version=version, item_id=str(row["doc_id"]),
                asked=digest(row.get("input"), row["target"]), metric=name, score=score, group=None,
                replied=_replied(row), source=where,
            )
        )  # fmt: skip
    if not samples:
        raise RecordError(f"{path.name}: none of its {left_out} items is multiple choice; nothing can be compared")
    note = f"{named['task']}: {left_out} open questions left out, whose logged readings cannot be scored"
    return Imported(tuple(samples), (note,) if left_out else ())


def _checked(row: Any, where: str) -> Row:
    if not isinstance(row, dict) or "doc_id" not in row or "target" not in row:
        raise RecordError(f"{where}: expected an object with 'doc_id' and 'target', a sample of lmms-eval")
    return row


def _one_filter(rows: Sequence[tuple[str, Row]], filter_number: int | None, name: str) -> list[tuple[str, Row]]:
    """The rows of one pass over the items, where every filter is a pass of its own."""
    counts = Counter(str(row["doc_id"]) for _, row in rows)
    passes = max(counts.values())
    size = len(rows) // passes
    chunks = [rows[start : start + size] for start in range(0, len(rows), size)]
    if any({str(row["doc_id"]) for _, row in chunk} != set(counts) for chunk in chunks):
        _refuse_duplicate(rows)
    if passes == 1:
        return list(rows)
    if filter_number is None:
        raise RecordError(
            f"{name}: every item occurs {passes} times, as with a task of {passes} answer filters; choose one with "
            f"--filter 1 … {passes}, in the order of the task's filter_list"
        )
    if not 1 <= filter_number <= passes:
        raise RecordError(f"{name}: holds {passes} answer filters, asked for number {filter_number}")
    return list(chunks[filter_number - 1])


def _refuse_duplicate(rows: Sequence[tuple[str, Row]]) -> None:
    seen: dict[str, str] = {}
    for where, row in rows:
        first = seen.setdefault(str(row["doc_id"]), where)
        if first != where:
            raise RecordError(
                f"{where}: doc_id {row['doc_id']} occurs twice, first at {first}, and the other items do not; "
                "was one log appended to another?"
            )


def _scores(row: Row, metric: str | None) -> list[str]:
    names = [name for name, value in row.items() if name not in _NOT_SCORES and _is_score(value)]
    if metric is None and "mmmu_acc" in names:  # mmmu_acc_pass_at_k beside it holds the same
        return ["mmmu_acc"]
    return names


def _is_score(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | float) or _is_mmmu(value)


def _is_mmmu(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() >= _MMMU_FIELDS


def _score(value: Any, metric: str, where: str) -> float | None:
    if not _is_mmmu(value):
        return score_of(value, metric, where)
    if value["question_type"] != "multiple-choice":
        return None
    return float(value["answer"] in value["parsed_pred"])


def _replied(row: Row) -> bool:
    raw = row.get("resps", row.get("filtered_resps"))
    texts = _flat(raw)
    return bool(texts) and all(is_reply(text) for text in texts)


def _flat(value: Any) -> list[str]:
    if isinstance(value, list):
        return [text for part in value for text in _flat(part)]
    return [] if value is None else [str(value)]


def _version(results: Path, task: str) -> str | None:
    if not results.is_file():
        return None
    try:
        versions = json.loads(results.read_text(encoding="utf-8"))["versions"]
    except (ValueError, KeyError, TypeError) as error:
        raise RecordError(f"{results.name}: expected the results of lmms-eval with 'versions' ({error!r})") from error
    return str(versions[task]) if task in versions else None
