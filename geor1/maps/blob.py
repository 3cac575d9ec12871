"""The compact blob of the page's data: typed columns and strings in one gzip stream, as text.

Layout, before gzip and base64: a little-endian u32 with the length H of the header, the header (JSON in UTF-8, padded
with spaces so that 4 + H is a multiple of 8), then the sections, each starting at a multiple of 8 from the start of the
data. ``header["columns"]`` says for each section ``[dtype, offset, length]``; a string store ``s`` is the two columns
``s.offsets`` (u32, bytes, count + 1) and ``s.bytes`` (u8, UTF-8). The browser unpacks it with ``DecompressionStream``
and views each section as a typed array, without a copy and without an object a row.
"""

from __future__ import annotations

import base64
import gzip
import json
import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

VERSION = 2
DTYPES: dict[str, str] = {"u8": "<u1", "u16": "<u2", "u32": "<u4", "i32": "<i4", "f32": "<f4"}
_ALIGNMENT = 8  # bytes; a typed array of 4-byte values needs 4
_LEVEL = 6  # of gzip; 9 takes three times as long for 1 % less


class BlobWriter:
    """Collects columns, then packs them; a name can be given once."""

    def __init__(self) -> None:
        self._sections: dict[str, tuple[str, bytes, int]] = {}

    def add(self, name: str, values: npt.ArrayLike, dtype: str) -> None:
        """Add a column.

        Args:
            name: Its name.
            values: Shape (N,).
            dtype: A key of ``DTYPES``.

        Raises:
            ValueError: The name is taken, the shape is not (N,), or an integer does not fit the type.
        """
        array = np.asarray(values)
        if name in self._sections:
            raise ValueError(f"blob: column {name!r} is there already")
        if array.ndim != 1:
            raise ValueError(f"blob: column {name!r}: expected shape (N,), got {array.shape}")
        kind = np.dtype(DTYPES[dtype])
        if kind.kind != "f" and array.size:
            limits = np.iinfo(kind)
            low, high = array.min(), array.max()
            if low < limits.min or high > limits.max:
                raise ValueError(f"blob: column {name!r}: {low} … {high} does not fit {dtype}")
        with np.errstate(over="ignore"):  # beyond float32 is infinity, which the page shows as unknown
            packed = array.astype(kind)
        self._sections[name] = (dtype, packed.tobytes(), array.size)

    def add_strings(self, name: str, values: Iterable[str]) -> None:
        """Add a string store, in order.

        Args:
            name: Of the store.
            values: Strings without lone surrogates (see :func:`geor1.maps.text.clean_text`).

        Raises:
            UnicodeEncodeError: A string holds a lone surrogate.
            ValueError: The name is taken.
        """
        encoded = [value.encode("utf-8") for value in values]
        offsets = np.zeros(len(encoded) + 1, dtype=np.int64)
        np.cumsum([len(part) for part in encoded], out=offsets[1:])
        self.add(f"{name}.offsets", offsets, "u32")
        self.add(f"{name}.bytes", np.frombuffer(b"".join(encoded), dtype=np.uint8), "u8")

    def add_lists(self, name: str, lengths: Sequence[int] | npt.NDArray[Any]) -> None:
        """Add the row starts of lists of ``lengths`` values (CSR): the column ``name``, one longer than the rows."""
        starts = np.zeros(len(lengths) + 1, dtype=np.int64)
        np.cumsum(np.asarray(lengths, dtype=np.int64), out=starts[1:])
        self.add(name, starts, "u32")

    def pack(self, header: Mapping[str, Any]) -> str:
        """The blob as base64 text; the same columns and header give the same text.

        Args:
            header: JSON-able, every float finite; ``version`` and ``columns`` are added.

        Returns:
            ASCII text.
        """
        columns: dict[str, list[Any]] = {}
        parts: list[bytes] = []
        offset = 0
        for name, (dtype, data, length) in self._sections.items():
            columns[name] = [dtype, offset, length]
            padding = -len(data) % _ALIGNMENT
            parts += [data, b"\0" * padding]
            offset += len(data) + padding
        document = {"version": VERSION, **header, "columns": columns}
        head = json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8")
        head += b" " * (-(4 + len(head)) % _ALIGNMENT)
        raw = struct.pack("<I", len(head)) + head + b"".join(parts)
        return base64.b64encode(gzip.compress(raw, _LEVEL, mtime=0)).decode("ascii")


class Blob:
    """A blob read back; what the page's script sees.

    Args:
        text: From :meth:`BlobWriter.pack`.

    Attributes:
        header: The header.
        columns: Name -> array, read-only.
        n: Rows.
    """

    def __init__(self, text: str) -> None:
        raw = gzip.decompress(base64.b64decode(text, validate=True))
        (length,) = struct.unpack_from("<I", raw)
        self.header: dict[str, Any] = json.loads(raw[4 : 4 + length])
        start = 4 + length
        self.columns: dict[str, npt.NDArray[Any]] = {
            name: np.frombuffer(raw, DTYPES[dtype], count, start + offset)
            for name, (dtype, offset, count) in self.header["columns"].items()
        }
        self.n: int = self.header["n"]

    def strings(self, name: str) -> list[str]:
        """All strings of a store."""
        offsets, data = self.columns[f"{name}.offsets"], self.columns[f"{name}.bytes"].tobytes()
        return [data[a:b].decode("utf-8") for a, b in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)]

    def lists(self, starts: str, values: str) -> list[list[Any]]:
        """Rows of a CSR pair of columns."""
        begin, data = self.columns[starts].tolist(), self.columns[values].tolist()
        return [data[a:b] for a, b in zip(begin[:-1], begin[1:], strict=True)]

    def words(self, name: str, table: str | None = None) -> list[str | None]:
        """A column of table indices as words (None beyond the table); the table of the column's own name by default."""
        words = self.header["tables"][table or name]
        return [words[index] if index < len(words) else None for index in self.columns[name].tolist()]


def unpack(text: str) -> Blob:
    """Read a blob back; see :class:`Blob`.

    >>> writer = BlobWriter()
    >>> writer.add("km", [1.5, float("nan")], "f32")
    >>> writer.add_strings("item", ["a", "é"])
    >>> blob = unpack(writer.pack({"n": 2}))
    >>> blob.columns["km"].tolist(), blob.strings("item"), blob.header["columns"]["km"]
    ([1.5, nan], ['a', 'é'], ['f32', 0, 2])
    """
    return Blob(text)
