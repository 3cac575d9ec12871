"""Facts marked in the text that the page shows."""

from __future__ import annotations

import dataclasses
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geor1.evaluation.pairing import rotate
from geor1.maps.blob import unpack
from geor1.maps.marks import Mark, Marker, facts_by_letter, shown_marks
from geor1.maps.payload import Limits, build_payload
from geor1.maps.samples import to_samples
from geor1.maps.text import clean_text
from geor1.records import Candidate, Question

VIEWS = {"A": "water", "B": "sand", "C": "forest"}
CHAIN = "<think> \U0001f600 . climate arid .\r\nnorth ground water A sand other B water same C forest other . </think>"


@pytest.fixture
def question() -> Question:
    candidates = [Candidate(letter=x, pair_id=x, satellite_image=x, facts={"north": VIEWS[x]}) for x in "ABC"]
    return Question(
        question_id="q1", pair_id="A", source="world", split="test", ground_image="g", candidates=tuple(candidates),
        answer="A", facts={"north": "water", "climate": "polar"},
    )  # fmt: skip


def utf16(text: str, begin: int, end: int) -> str:
    return text.encode("utf-16-le")[2 * begin : 2 * end].decode("utf-16-le")


def test_letters_turn_as_the_evaluation_turns_them(question):
    for rotation in range(5):
        asked = rotate(question, rotation)
        assert facts_by_letter(question, rotation) == {c.letter: c.facts for c in asked.candidates}


def test_marks_of_a_turned_question(question, pairing):
    # turned by one place: A is C's forest, B the right tile's water, C is B's sand
    prediction = pairing("B", "B", rotation=1, raw=CHAIN, facts_stated=8, facts_true=5)
    marks = Marker({"q1": question}).marks(prediction)
    assert [(CHAIN[mark.begin : mark.end], mark.holds) for mark in marks] == [
        ("climate arid", False), ("ground water", True), ("A sand", False), ("other", True), ("B water", True),
        ("same", True), ("C forest", False), ("other", True),
    ]  # fmt: skip


def test_only_what_the_model_saw_and_only_if_the_counts_agree(question, pairing, caplog):
    seen = pairing("B", "B", rotation=1, raw=CHAIN, facts_stated=8, facts_true=5)
    marker = Marker({"q1": question})
    assert len(marker.marks(seen)) == 8
    for other in ({"condition": "blind"}, {"item_id": "elsewhere"}):
        assert marker.marks(dataclasses.replace(seen, **other)) == []
    assert marker.differing == 0
    assert marker.marks(dataclasses.replace(seen, facts_true=4)) == [] and marker.differing == 1
    marker.report()
    assert "facts of 1 completions are not marked" in caplog.text


def test_marks_in_the_page_are_utf16_offsets_of_the_text_in_the_page(question, pairing):
    prediction = pairing("B", "B", rotation=1, raw=CHAIN, facts_stated=8, facts_true=5)
    rows = [pairing(item_id="other", raw="x"), prediction]
    for limit, count in ((4000, 8), (60, 4)):
        payload = build_payload(
            to_samples(rows), title="t", limits=Limits(text_characters=limit), questions={"q1": question}
        )
        blob = unpack(payload.blob)
        text = blob.strings("text")[blob.columns["text"][1]]
        begins, ends, holds = (blob.lists("fact.start", f"fact.{name}") for name in ("begin", "end", "holds"))
        assert begins[0] == [] and len(begins[1]) == count
        shown = [utf16(text, a, b) for a, b in zip(begins[1], ends[1], strict=True)]
        assert shown[:3] == ["climate arid", "ground water", "A sand"] and holds[1][:3] == [0, 1, 0]
    assert blob.header["facts_unmarked"] == 0


parts = st.lists(st.sampled_from(["\r\n", "\r", "\n", "\U0001f600", "\x00", "\ud800", "\ufeff", "é", "w1", "w22", " "]))


@given(parts, st.integers(0, 60))
def test_marks_move_with_the_text_whatever_it_holds(pieces, limit):
    raw = "".join(pieces)
    marks = [Mark(match.start(), match.end(), True) for match in re.finditer(r"w\d+", raw)]
    text = clean_text(raw, limit)
    kept = [mark for mark in marks if mark.end <= limit]
    moved = shown_marks(raw, marks, limit)
    assert [utf16(text, mark.begin, mark.end) for mark in moved] == [raw[mark.begin : mark.end] for mark in kept]
