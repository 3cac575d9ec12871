"""Read the details of lighteval: ``<output_dir>/details/<model>/<date>/details_<task>_<date>.parquet``.

Layout verified at commit 3fd15266 in ``src/lighteval/logging/evaluation_tracker.py`` (file names; one row an item with
the columns ``doc``, ``metric``, ``model_response``), ``logging/info_loggers.py``, ``tasks/requests.py`` (``doc``:
``id``, ``query``, ``choices``, ``gold_index``) and ``models/model_output.py`` (``model_response``: ``text``), and on a
file that the ``EvaluationTracker`` of release 0.13.0 wrote of made-up replies. Details are written only with
``--save-details``; versions stand in ``<output_dir>/results/<model>/results_<date>.json``. A request that failed for
good is logged as an empty text, and scored as wrong.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from geor1.general.commands import LIGHTEVAL
from geor1.general.samples import GeneralSample, Imported, check_unique, chosen_metric, digest, is_reply, score_of
from geor1.records import RecordError
from geor1.runs.errors import ConfigError

FILE_NAME = re.compile(r"details_(?P<task>.+)_(?P<date>\d{4}-\d\d-\d\dT[^_]+)\.parquet")
_COLUMNS = ["doc", "metric", "model_response"]


def read_lighteval(path: Path | str, *, metric: str | None = None) -> Imported:
    """The samples of one details file.

    Args:
        path: ``details_<task>_<date>.parquet``.
        metric: Which score to take; needed where the file holds several.

    Raises:
        ConfigError: pyarrow is not installed.
        RecordError: The file is cut or has other columns, a score is missing, NaN or outside [0, 1], or an item
            occurs twice.
    """
    path = Path(path)
    named = FILE_NAME.fullmatch(path.name)
    if named is None:
        raise RecordError(f"{path.name}: expected the name details_<task>_<date>.parquet that lighteval gives them")
    rows = _rows(path)
    name = chosen_metric(
        [key for key, value in rows[0]["metric"].items() if value is not None], metric, _place(path, 1)
    )
    version = _version(path, named["date"], named["task"])
    samples = [
        _sample(row, name, named["task"], version, _place(path, row_number)) for row_number, row in enumerate(rows, 1)
    ]
    check_unique(samples)
    return Imported(tuple(samples))


def _rows(path: Path) -> list[dict[str, Any]]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise ConfigError(f"{path.name}: parquet needs pyarrow: pip install pyarrow") from error
    try:
        table = parquet.ParquetFile(path)
        missing = [name for name in _COLUMNS if name not in table.schema_arrow.names]
        if missing:
            raise RecordError(f"{path.name}: no column {missing}; it holds {table.schema_arrow.names}")
        rows = table.read(columns=_COLUMNS).to_pylist()
    except pyarrow.ArrowException as error:
        raise RecordError(f"{path.name}: not a whole parquet file ({error}); was it cut?") from error
    if not rows:
        raise RecordError(f"{path.name}: holds no items")
    for number, row in enumerate(rows, 1):
        if not all(isinstance(row[name], Mapping) for name in _COLUMNS) or not {"id", "query"} <= row["doc"].keys():
            raise RecordError(f"{_place(path, number)}: expected structs doc (with id, query), metric, model_response")
    return rows


def _sample(row: dict[str, Any], metric: str, task: str, version: str | None, where: str) -> GeneralSample:
    doc, texts = row["doc"], row["model_response"].get("text") or []
    return GeneralSample(
        suite=LIGHTEVAL, task=task, task_version=version, item_id=str(doc["id"]),
        asked=digest(doc["query"], doc.get("choices"), doc.get("gold_index")), metric=metric,
        score=score_of(row["metric"].get(metric), metric, where), group=None,
        replied=any(is_reply(text) for text in texts), source=where,
    )  # fmt: skip


def _version(path: Path, date: str, task: str) -> str | None:
    """From the results file, which lies where the details do with ``results`` in place of ``details``."""
    parts = path.resolve().parts
    if "details" not in parts[:-1]:
        return None
    at = len(parts) - 2 - parts[-2::-1].index("details")
    results = Path(*parts[:at], "results", *parts[at + 1 : -2], f"results_{date}.json")
    if not results.is_file():
        return None
    try:
        versions = json.loads(results.read_text(encoding="utf-8"))["versions"]
    except (ValueError, KeyError, TypeError) as error:
        raise RecordError(f"{results.name}: expected the results of lighteval with 'versions' ({error!r})") from error
    return str(versions[task]) if task in versions else None


def _place(path: Path, number: int) -> str:
    return f"{path.name} row {number}"
