"""Pairs read from their file one at a time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from geor1.records import Pair, read_jsonl
from geor1.synthesis.pair_file import PairFile, PairView, PairWriter

from .hand_made import line_of_places


def test_a_file_of_pairs_is_the_list(tmp_path: Path) -> None:
    pairs = [*line_of_places(city="Ürümqi"), *line_of_places()]
    writer = PairWriter(tmp_path / "pairs.jsonl")
    assert writer.extend(pairs[:8]) == range(8) and not (tmp_path / "pairs.jsonl").exists()
    assert writer.extend(pairs[8:]) == range(8, 16)
    file = writer.finish()
    assert list(file) == pairs == read_jsonl(tmp_path / "pairs.jsonl", Pair) and not list(tmp_path.glob("*.partial"))
    assert len(file) == 16 and file[3] == pairs[3] and file[-1] == pairs[-1] and list(file[2:9:3]) == pairs[2:9:3]
    assert list(PairFile(tmp_path / "pairs.jsonl")) == pairs
    with pytest.raises(IndexError):
        file[16]


def test_a_view_copies_nothing() -> None:
    pairs = line_of_places()
    view = PairView(pairs, np.array([5, 1, 3]))
    assert (
        list(view) == [pairs[5], pairs[1], pairs[3]] and view[0] is pairs[5] and list(view[1:]) == [pairs[1], pairs[3]]
    )


def test_no_pairs(tmp_path: Path) -> None:
    writer = PairWriter(tmp_path / "pairs.jsonl")
    writer.extend([])
    assert list(writer.finish()) == [] and (tmp_path / "pairs.jsonl").read_text() == ""
