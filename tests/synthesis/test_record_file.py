"""The file of records is the list of them, in memory a record at a time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from geor1.records import Pair, read_jsonl
from geor1.synthesis.record_file import RecordFile, RecordView, RecordWriter

from .hand_made import line_of_places


def test_a_file_of_pairs_is_the_list(tmp_path: Path) -> None:
    pairs = [*line_of_places(city="Ürümqi"), *line_of_places()]
    writer = RecordWriter(tmp_path / "pairs.jsonl", Pair)
    assert writer.extend(pairs[:8]) == range(8) and not (tmp_path / "pairs.jsonl").exists()
    assert writer.extend(pairs[8:]) == range(8, 16)
    file = writer.finish()
    assert list(file) == pairs == read_jsonl(tmp_path / "pairs.jsonl", Pair) and not list(tmp_path.glob("*.partial"))
    assert len(file) == 16 and file[3] == pairs[3] and file[-1] == pairs[-1] and list(file[2:9:3]) == pairs[2:9:3]
    assert list(RecordFile(tmp_path / "pairs.jsonl", Pair)) == pairs
    with pytest.raises(IndexError):
        file[16]


def test_lines_can_be_put_in_another_order(tmp_path: Path) -> None:
    pairs = [*line_of_places(city="Ürümqi"), *line_of_places()]
    writer = RecordWriter(tmp_path / "pairs.jsonl", Pair)
    writer.extend(pairs)
    order = np.random.default_rng(0).permutation(16)
    file = writer.finish(order)
    expected = [pairs[k] for k in order]
    assert list(file) == expected == read_jsonl(tmp_path / "pairs.jsonl", Pair) and file[5] == expected[5]
    assert [path.name for path in tmp_path.iterdir()] == ["pairs.jsonl"]


def test_a_view_copies_nothing() -> None:
    pairs = line_of_places()
    view = RecordView(pairs, np.array([5, 1, 3]))
    assert (
        list(view) == [pairs[5], pairs[1], pairs[3]] and view[0] is pairs[5] and list(view[1:]) == [pairs[1], pairs[3]]
    )


@pytest.mark.parametrize("order", [None, np.empty(0, dtype=np.int64)])
def test_no_pairs(tmp_path: Path, order: np.ndarray | None) -> None:
    writer = RecordWriter(tmp_path / "pairs.jsonl", Pair)
    writer.extend([])
    assert list(writer.finish(order)) == [] and (tmp_path / "pairs.jsonl").read_text() == ""
