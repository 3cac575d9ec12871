"""The blob: what goes in comes out, in a layout that typed arrays can view."""

from __future__ import annotations

import base64
import gzip
import json
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geor1.maps.blob import DTYPES, BlobWriter, unpack

texts = st.text(st.characters(exclude_categories=["Cs"]))


def test_the_layout_by_hand():
    writer = BlobWriter()
    writer.add("a", [1, 2, 3], "u8")
    writer.add("b", [70_000], "u32")
    writer.add_strings("s", ["x", "", "é"])
    text = writer.pack({"n": 3, "title": "é"})
    raw = gzip.decompress(base64.b64decode(text))
    (length,) = struct.unpack("<I", raw[:4])
    header = json.loads(raw[4 : 4 + length].decode("utf-8"))
    assert (4 + length) % 8 == 0
    assert header["version"] == 2 and header["title"] == "é"
    assert header["columns"] == {
        "a": ["u8", 0, 3], "b": ["u32", 8, 1], "s.offsets": ["u32", 16, 4], "s.bytes": ["u8", 32, 3],
    }  # fmt: skip
    data = raw[4 + length :]
    assert data == struct.pack("<3B5xI4x4I3s5x", 1, 2, 3, 70_000, 0, 1, 1, 3, "xé".encode())
    assert gzip.decompress(base64.b64decode(text)) and base64.b64decode(text)[4:8] == b"\0\0\0\0"  # no time stamp


@given(st.lists(texts), st.lists(st.floats(width=32)), st.sampled_from(sorted(set(DTYPES) - {"f32"})), st.data())
def test_round_trip(strings, numbers, dtype, data):
    limits = np.iinfo(DTYPES[dtype])
    whole = data.draw(st.lists(st.integers(int(limits.min), int(limits.max))))
    writer = BlobWriter()
    writer.add("whole", whole, dtype)
    writer.add_strings("s", strings)
    writer.add("numbers", numbers, "f32")
    writer.add_lists("start", [len(text) for text in strings])
    packed = writer.pack({"n": 0})
    blob = unpack(packed)
    assert blob.columns["whole"].tolist() == whole and blob.strings("s") == strings
    np.testing.assert_array_equal(blob.columns["numbers"], np.array(numbers, dtype=np.float32))
    assert np.diff(blob.columns["start"].astype(int)).tolist() == [len(text) for text in strings]
    assert all(offset % 8 == 0 for _, offset, _ in blob.header["columns"].values())
    assert packed == writer.pack({"n": 0})


@pytest.mark.parametrize(("values", "dtype"), [([256], "u8"), ([-1], "u8"), ([65536], "u16"), ([2**31], "i32")])
def test_what_does_not_fit_is_refused(values, dtype):
    with pytest.raises(ValueError, match=r"column 'x': .* does not fit"):
        BlobWriter().add("x", values, dtype)


def test_a_name_twice_a_table_and_a_lone_surrogate_are_refused():
    writer = BlobWriter()
    writer.add("x", [1], "u8")
    with pytest.raises(ValueError, match="column 'x' is there already"):
        writer.add("x", [1], "u8")
    with pytest.raises(ValueError, match=r"expected shape \(N,\), got \(1, 1\)"):
        writer.add("y", [[1]], "u8")
    with pytest.raises(UnicodeEncodeError):
        writer.add_strings("s", ["\ud800"])
