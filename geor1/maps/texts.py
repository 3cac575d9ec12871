"""The completions in the page, each distinct one once within a budget, and the facts marked in them."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np

from geor1.maps.blob import BlobWriter
from geor1.maps.marks import Mark, Marker, shown_marks
from geor1.maps.text import clean_text
from geor1.records import Prediction

logger = logging.getLogger(__name__)

TEXT_LEFT_OUT = "… [this completion is left out: the page holds those of the worst samples]"
_LEFT_OUT = 1  # its index; 0 is the empty completion


def write_texts(
    blob: BlobWriter,
    rows: Sequence[Prediction],
    order: Sequence[int],
    *,
    each: int,
    together: int,
    marker: Marker,
) -> int:
    """Add the column ``text``, the store of completions, and the marks ``fact.…`` in them.

    Args:
        blob: Where to.
        rows: N predictions.
        order: Their indices, the ones to serve first in front.
        each: Longest completion in characters; the rest is counted in the text itself.
        together: Characters of all different completions.
        marker: Finds the facts.

    Returns:
        How many predictions go without their completion.
    """
    stored = ["", TEXT_LEFT_OUT]
    index_of: dict[str, int] = {"": 0}
    column = np.zeros(len(rows), dtype=np.int64)
    left = together
    for place in order:
        raw = rows[place].raw
        index = index_of.get(raw)
        if index is None:
            text = clean_text(raw, each)
            index = index_of[raw] = len(stored) if len(text) <= left else _LEFT_OUT
            if index != _LEFT_OUT:
                stored.append(text)
                left -= len(text)
        column[place] = index
    blob.add("text", column, "u32")
    blob.add_strings("text", stored)
    _write_marks(blob, [_marks(row, index, each, marker) for row, index in zip(rows, column.tolist(), strict=True)])
    marker.report()
    without = int((column == _LEFT_OUT).sum())
    if without:
        logger.info("%d completions are left out beyond %d characters in all", without, together)
    return without


def _marks(row: Prediction, index: int, limit: int, marker: Marker) -> list[Mark]:
    found = marker.marks(row)
    return shown_marks(row.raw, found, limit) if index != _LEFT_OUT else []


def _write_marks(blob: BlobWriter, marks: Sequence[Sequence[Mark]]) -> None:
    blob.add_lists("fact.start", [len(found) for found in marks])
    flat = [mark for found in marks for mark in found]
    for name, kind in (("begin", "u32"), ("end", "u32"), ("holds", "u8")):
        blob.add(f"fact.{name}", np.array([getattr(mark, name) for mark in flat], dtype=np.int64), kind)
