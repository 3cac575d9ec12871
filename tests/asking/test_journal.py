"""One answer a key, and checkpoints known by their content."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from geor1.asking.journal import PredictionJournal, key_of
from geor1.asking.selection import weights_sha256
from geor1.records import Prediction, RecordError


def test_an_answer_occurs_once_and_is_never_replaced(tmp_path: Path) -> None:
    line = Prediction(model="m", task="pairing", item_id="q", raw="x", status="ok")
    journal = PredictionJournal(tmp_path / "g.jsonl")
    journal.append([dataclasses.replace(line, status="timeout"), line])
    with pytest.raises(RecordError, match=r"g.jsonl, .*q normal rotation 0 sample 0 occurs twice"):
        journal.append([dataclasses.replace(line, status="timeout")])
    assert PredictionJournal(tmp_path / "g.jsonl").get(key_of(line)) == line


def test_weights_are_known_by_their_content(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    for folder in (first, second):
        folder.mkdir()
        (folder / "model.safetensors").write_bytes(b"weights")
        (folder / "config.json").write_text("{}")
    assert weights_sha256(first) == weights_sha256(second) != None  # noqa: E711
    (first / "labels_seen.json").write_text("{}")
    assert weights_sha256(first) == weights_sha256(second)
    before = weights_sha256(first)
    (first / "chat_template.jinja").write_text("{{ messages }}")
    assert weights_sha256(first) != before
    (second / "model.safetensors").write_bytes(b"weightS")
    assert weights_sha256(second) not in (before, weights_sha256(first))
    assert weights_sha256("gpt-4.1") == "name:gpt-4.1"
    (tmp_path / "empty").mkdir()
    assert weights_sha256(tmp_path / "empty") is None
