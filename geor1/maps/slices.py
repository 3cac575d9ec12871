"""Groups to filter by beyond model and place: from the data stage's questions, or from columns of a data set's CSV."""

from __future__ import annotations

import csv
import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

from geor1.maps.places import true_places
from geor1.maps.tables import UNKNOWN
from geor1.records import Prediction, Question, RecordError

logger = logging.getLogger(__name__)

Slice = dict[str, str]
"""Item id -> value."""

FACTS = ("relief", "coast", "hemisphere", "traffic")  # facts of a scene that are worth a filter
BANDS_M = (250.0, 500.0, 1000.0, 2000.0, 5000.0)  # upper ends of the bands of the nearest wrong tile's distance
MAX_VALUES = 200  # different values beyond which a column is a number or a name, not a group


def place_slices(predictions: Sequence[Prediction]) -> dict[str, Slice]:
    """Köppen-Geiger class of each item's true place."""
    classes = true_places(predictions).koppen
    found = {row.item_id: word for row, word in zip(predictions, classes, strict=True) if word != UNKNOWN}
    return _telling({"Köppen class": found})


def question_slices(questions: Iterable[Question]) -> dict[str, Slice]:
    """Source, distance of the nearest wrong tile, and scene facts of each question; only what differs among them."""
    slices: dict[str, Slice] = {name: {} for name in ("source", "nearest wrong tile", *FACTS)}
    for question in questions:
        wrong = [c.distance_m for c in question.candidates if c.letter != question.answer and c.distance_m is not None]
        slices["source"][question.question_id] = question.source
        if wrong:
            slices["nearest wrong tile"][question.question_id] = distance_band(min(wrong))
        for name in FACTS:
            if name in question.facts:
                slices[name][question.question_id] = question.facts[name]
    return _telling(slices)


def distance_band(distance_m: float) -> str:
    """The band of a distance, in words that sort as they should.

    >>> distance_band(120.0), distance_band(250.0), distance_band(9000.0)
    ('0–250 m', '250–500 m', '5000 m and more')
    """
    low = 0.0
    for high in BANDS_M:
        if distance_m < high:
            return f"{low:.0f}–{high:.0f} m"
        low = high
    return f"{low:.0f} m and more"


def label_slices(path: Path | str, key: str, columns: Sequence[str] | None = None) -> dict[str, Slice]:
    """Columns of a data set's CSV.

    Args:
        path: CSV with a header.
        key: Column of the item id.
        columns: Columns wanted; when None, all that hold 2 to MAX_VALUES different values.

    Raises:
        RecordError: A column is missing, or the file is no CSV in UTF-8.
    """
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            there, rows = list(reader.fieldnames or []), list(reader)
    except (csv.Error, UnicodeDecodeError) as error:
        raise RecordError(f"{Path(path).name}: expected a CSV file with a header, in UTF-8: {error}") from error
    missing = [name for name in (key, *(columns or ())) if name not in there]
    if missing:
        raise RecordError(f"{Path(path).name}: no column {missing[0]!r}; it has {there}")
    wanted = list(columns) if columns is not None else [name for name in there if name != key]
    slices = {name: {row[key]: row[name] or "" for row in rows if row[key]} for name in wanted}
    return slices if columns is not None else _telling(slices)


def _telling(slices: dict[str, Slice]) -> dict[str, Slice]:
    """Those with 2 to MAX_VALUES different values; the names of the others are logged."""
    counts = {name: len({value for value in values.values() if value}) for name, values in slices.items()}
    beyond = [name for name, count in counts.items() if count > MAX_VALUES]
    if beyond:
        logger.info("no filter by %s: more than %d different values", ", ".join(beyond), MAX_VALUES)
    return {name: values for name, values in slices.items() if 2 <= counts[name] <= MAX_VALUES}
