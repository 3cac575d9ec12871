"""Text made safe, and JSON that may stand inside a script element."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from geor1.maps.text import clean_text, finite, plain_text, script_json

anything = st.text(alphabet=st.characters(exclude_categories=()), max_size=60)  # lone surrogates included


@given(anything)
def test_script_json_comes_back_unchanged_and_cannot_leave_its_script(text):
    blob = script_json({"text": text})
    assert json.loads(blob) == {"text": text}
    assert not set(blob) & {"<", ">", "&", "\u2028", "\u2029"}
    blob.encode("utf-8")


@given(anything)
def test_clean_text_can_be_written_and_loses_no_printable_character(text):
    clean = clean_text(text)
    clean.encode("utf-8")
    assert "\x00" not in clean and "\r" not in clean
    printable = [c for c in text if c.isprintable()]
    assert [c for c in clean if c in printable][: len(printable)] == printable or "\ufffd" in printable


def test_clean_text_by_hand():
    assert clean_text("a\x00b\ud800c\x1b") == "a␀b\ufffdc␛"
    assert clean_text("x" * 10, limit=3) == "xxx … [7 more characters]"
    assert plain_text(" two\n\tlines ") == "two lines"


def test_finite():
    assert finite(1.23456, 2) == 1.23
    assert finite(float("nan"), 2) is None
    assert finite(float("-inf"), 2) is None
    assert finite(None, 2) is None
