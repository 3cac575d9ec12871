"""Parquet files with the images inside, as ``datasets.load_dataset("parquet", …)`` reads them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from geor1.answers import pairing_prompt
from geor1.records import Pair, Question

R = TypeVar("R")
ROWS_PER_GROUP = 5000
"""Rows written at once (130 MB at the miniature's sizes), or fewer:"""
BYTES_PER_GROUP = 256 << 20
"""Image bytes written at once; bounds memory where images are large."""
DICTIONARY_BYTES = 256 << 20
"""Room for one copy of each image of a row group: a tile that stands in several questions is stored once."""


def write_questions_parquet(path: Path | str, questions: Sequence[Question], *, root: Path) -> Path:
    """Write questions as a table that needs no other file.

    Args:
        path: Destination.
        questions: The rows.
        root: Folder that the image paths are relative to.

    Returns:
        The path written. Columns: ``question_id``, ``pair_id``, ``prompt``, ``ground_image`` (image), ``tiles`` (list
        of images in letter order), ``letters``, ``answer``, ``distances_m``, ``latitude_deg``, ``longitude_deg``,
        ``city``, ``country``, ``country_code``, ``source``, ``facts`` and ``tile_facts`` (JSON texts).
    """
    from datasets import Image, List, Value

    text, number = Value("string"), Value("float64")
    columns = {
        **dict.fromkeys(("question_id", "pair_id", "source", "prompt", "answer", "facts", "tile_facts"), text),
        **dict.fromkeys(("city", "country", "country_code"), text),
        **dict.fromkeys(("latitude_deg", "longitude_deg"), number),
        "ground_image": Image(),
        "tiles": List(Image()),
        "letters": List(text),
        "distances_m": List(number),
    }
    return _write_parquet(path, questions, columns, lambda question: _question_row(question, root))


def write_pairs_parquet(path: Path | str, pairs: Sequence[Pair], *, root: Path) -> Path:
    """Write pairs as a table that needs no other file.

    Args:
        path: Destination.
        pairs: The rows.
        root: Folder that the image paths are relative to.

    Returns:
        The path written. Columns: the fields of :class:`~geor1.records.Pair`, images as images, ``facts`` as JSON text.
    """
    from datasets import Image, Value

    text, number = Value("string"), Value("float64")
    columns = {
        **dict.fromkeys(("pair_id", "source", "split", "city", "country", "country_code", "facts"), text),
        **dict.fromkeys(("latitude_deg", "longitude_deg"), number),
        **dict.fromkeys(("ground_image", "satellite_image"), Image()),
    }
    return _write_parquet(path, pairs, columns, lambda pair: _pair_row(pair, root))


def _write_parquet(path: Path | str, records: Sequence[R], columns: dict[str, Any], row: Callable[[R], dict]) -> Path:
    import pyarrow
    import pyarrow.parquet
    from datasets import Features

    path = Path(path)
    partial = path.with_name(path.name + ".partial")
    schema = Features(columns).arrow_schema
    with pyarrow.parquet.ParquetWriter(partial, schema, dictionary_pagesize_limit=DICTIONARY_BYTES) as writer:
        for chunk in _chunks(row(record) for record in records):
            writer.write_table(pyarrow.Table.from_pylist(chunk, schema=schema))
    partial.replace(path)
    return path


def _question_row(question: Question, root: Path) -> dict[str, Any]:
    options = question.candidates
    letters = [option.letter for option in options]
    return {
        **_place(question),
        "question_id": question.question_id,
        "prompt": pairing_prompt(letters),
        "answer": question.answer,
        "ground_image": _image(question.ground_image, root),
        "tiles": [_image(option.satellite_image, root) for option in options],
        "letters": letters,
        "distances_m": [option.distance_m for option in options],
        "tile_facts": _json([option.facts for option in options]),
    }


def _pair_row(pair: Pair, root: Path) -> dict[str, Any]:
    images = {name: _image(getattr(pair, name), root) for name in ("ground_image", "satellite_image")}
    return {**_place(pair), "split": pair.split, **images}


def _place(record: Pair | Question) -> dict[str, Any]:
    names = ("pair_id", "source", "latitude_deg", "longitude_deg", "city", "country", "country_code")
    return {**{name: getattr(record, name) for name in names}, "facts": _json(record.facts)}


def _image(relative: str, root: Path) -> dict[str, Any]:
    return {"bytes": (root / relative).read_bytes(), "path": Path(relative).name}


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def _chunks(rows: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Rows in groups that are bounded in number and in bytes; never empty."""
    chunk: list[dict[str, Any]] = []
    n_bytes = 0
    for row in rows:
        chunk.append(row)
        images = [value for value in row.values() if isinstance(value, dict)] + row.get("tiles", [])
        n_bytes += sum(len(image["bytes"]) for image in images)
        if len(chunk) == ROWS_PER_GROUP or n_bytes >= BYTES_PER_GROUP:
            yield chunk
            chunk, n_bytes = [], 0
    if chunk:
        yield chunk
