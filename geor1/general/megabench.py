"""Read the scored replies of MEGA-Bench: one JSON file that its evaluator wrote, in either harness.

Layout verified in lmms-eval 75571cfe ``lmms_eval/tasks/megabench/evaluator.py`` (``--output_file``) and VLMEvalKit
e8e78f05 ``vlmeval/dataset/megabench.py`` (``megabench_score_<subset>.json``), and on a file of
TIGER-AI-Lab/MEGA-Bench ee324ab (``megabench/results/SI_results/Grok-2-vision-1212/data_with_scores_open.json``: 808
queries, whose mean and mean over tasks are those of its summary): ``data`` is a list of tasks with
``task_name`` and ``query_response``, a list of replies with ``global_idx``, ``response``, ``correct_answer`` and
``scores.query`` in [0, 1]; ``summary`` is written when all are scored. A query whose fields none could be scored has
−1, which counts as 0, as in the evaluator's own mean. lmms-eval's sample log of these tasks holds no scores.

The leaderboard's figure is the mean over tasks of each task's mean; import prints it too. What is compared is the mean
over queries, with the task as the cluster of the bootstrap: the queries of one task are not independent.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from geor1.general.samples import GeneralSample, Imported, check_unique, digest, is_reply, score_of
from geor1.records import RecordError

METRIC = "query_score"
_SUBSET = re.compile(r"_(core|open)(_si(?:ngle_image)?)?(?![a-z])")  # not the core of "score"


def read_megabench(path: Path | str, suite: str) -> Imported:
    """The samples of one file of scored replies.

    Args:
        path: Output of the evaluator; its name should say ``core`` or ``open``.
        suite: Harness that made the replies.

    Raises:
        RecordError: Not such a file, not finished, a query has no score, NaN or one above 1, or a query occurs twice.
    """
    path = Path(path)
    task = megabench_task(path)
    samples, unscored = [], 0
    for block in _tasks(path):
        for number, query in enumerate(block["query_response"], start=1):
            where = f"{path.name} task {block['task_name']} query {number}"
            if not isinstance(query, Mapping) or "global_idx" not in query:
                raise RecordError(f"{where}: expected a reply with 'global_idx'")
            value = (query.get("scores") or {}).get("query")
            if value == -1:
                unscored, value = unscored + 1, 0.0
            samples.append(
                GeneralSample(
                    suite=suite, task=task, task_version=None, item_id=f"{block['task_name']}/{query['global_idx']}",
                    asked=digest(query.get("query_text", query.get("question")), query.get("correct_answer")),
                    metric=METRIC, score=score_of(value, METRIC, where), group=block["task_name"],
                    replied=is_reply(query.get("response")), source=where,
                )
            )  # fmt: skip
    check_unique(samples)
    note = f"{task}: {unscored} queries that the evaluator could not score count as 0, as in its own mean"
    return Imported(tuple(samples), (note,) if unscored else ())


def megabench_task(path: Path) -> str:
    """Task name from a file name: ``megabench_core``, ``megabench_core_si``, ``megabench_open`` …

    Raises:
        RecordError: The name says neither core nor open.
    """
    found = _SUBSET.search(path.stem)
    if found is None:
        raise RecordError(f"{path.name}: say the subset in its name, e.g. megabench_score_core.json")
    return f"megabench_{found[1]}{'_si' if found[2] else ''}"


def _tasks(path: Path) -> list[dict[str, Any]]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise RecordError(f"{path.name} line {error.lineno}: not JSON ({error.msg}); was the file cut?") from error
    if not isinstance(content, dict) or not isinstance(content.get("data"), list) or not content["data"]:
        raise RecordError(f"{path.name}: expected 'data', a list of scored tasks; replies alone are not scored yet")
    if "summary" not in content:
        raise RecordError(f"{path.name}: no 'summary': the evaluator stopped before the end; run it again, it goes on")
    for block in content["data"]:
        if not isinstance(block, dict) or not isinstance(block.get("query_response"), list) or "task_name" not in block:
            raise RecordError(
                f"{path.name}: expected tasks with 'task_name' and 'query_response', got {str(block)[:80]}"
            )
    return content["data"]
