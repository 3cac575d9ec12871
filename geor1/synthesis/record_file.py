"""Records as lines of a file: written as they come, read again one at a time, never all in memory."""

from __future__ import annotations

import array
import functools
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Generic, TypeVar, overload

import numpy as np

from geor1.records import from_dict, to_json

R = TypeVar("R")
CACHED = 16_384
"""Records kept after parsing unless told otherwise; of pairs about 30 MB."""


class RecordWriter(Generic[R]):
    """Appends records to a JSONL file that appears whole or not at all.

    Args:
        path: Destination; its folder must exist.
        kind: The dataclass of its lines.
        cached: Records that the finished file keeps after parsing.
    """

    def __init__(self, path: Path | str, kind: type[R], *, cached: int = CACHED) -> None:
        self._path, self._kind, self._cached = Path(path), kind, cached
        self._partial = self._path.with_name(self._path.name + ".partial")
        self._file = self._partial.open("w+b")
        self._ends = array.array("q", [0])

    def extend(self, records: Iterable[R]) -> range:
        """Write records as they come.

        Returns:
            Their numbers in the file.
        """
        first = len(self._ends) - 1
        for record in records:
            self._ends.append(self._ends[-1] + self._file.write(to_json(record).encode() + b"\n"))
        return range(first, len(self._ends) - 1)

    def finish(self, order: np.ndarray | None = None) -> RecordFile[R]:
        """Close the file, give it its name, and open it for reading.

        Args:
            order: Numbers of the records in the order in which they shall stand; None keeps that of writing.
        """
        ends = np.array(self._ends, dtype=np.int64)
        self._file.flush()
        if order is not None:
            ends = self._reorder(ends, order)
        os.fsync(self._file.fileno())
        self._file.close()
        self._partial.replace(self._path)
        return RecordFile(self._path, self._kind, ends, cached=self._cached)

    def _reorder(self, ends: np.ndarray, order: np.ndarray) -> np.ndarray:
        """Write the lines once more, a line at a time, and forget the first file."""
        unordered = self._path.with_name(self._path.name + ".unordered.partial")
        self._partial.replace(unordered)
        with self._file as lines:
            self._file = self._partial.open("wb")
            for number in order:
                start, end = int(ends[number]), int(ends[number + 1])
                self._file.write(os.pread(lines.fileno(), end - start, start))
        unordered.unlink()
        self._file.flush()
        return np.concatenate([[0], np.cumsum(np.diff(ends)[order])])


class RecordFile(Sequence[R]):
    """A JSONL file of records as a sequence.

    Args:
        path: The file.
        kind: The dataclass of its lines.
        ends: Where each line ends, with a leading 0, int64 [N + 1]; read off the file if not given.
        cached: Records kept after parsing.
    """

    def __init__(
        self, path: Path | str, kind: type[R], ends: np.ndarray | None = None, *, cached: int = CACHED
    ) -> None:
        self._file = Path(path).open("rb")  # noqa: SIM115  (open as long as the sequence is used)
        if ends is None:
            ends = np.cumsum([0, *(len(line) for line in self._file)], dtype=np.int64)
        self._kind, self._ends = kind, ends
        self._read = functools.lru_cache(maxsize=cached)(self._parse)

    def __len__(self) -> int:
        return len(self._ends) - 1

    @overload
    def __getitem__(self, index: int) -> R: ...
    @overload
    def __getitem__(self, index: slice) -> RecordView[R]: ...
    def __getitem__(self, index: int | slice) -> R | RecordView[R]:
        if isinstance(index, slice):
            return RecordView(self, range(len(self))[index])
        return self._read(range(len(self))[index])

    def __iter__(self) -> Iterator[R]:
        return (self._parse(number) for number in range(len(self)))  # past the cache, which it would sweep

    def _parse(self, number: int) -> R:
        start, end = int(self._ends[number]), int(self._ends[number + 1])
        return from_dict(json.loads(os.pread(self._file.fileno(), end - start, start)), self._kind)


class RecordView(Sequence[R]):
    """Some records of a sequence, not copied.

    Args:
        records: The sequence.
        numbers: Which of them, in order.
    """

    def __init__(self, records: Sequence[R], numbers: Sequence[int] | np.ndarray) -> None:
        self._records = records
        self._numbers = numbers

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, index: int) -> R: ...
    @overload
    def __getitem__(self, index: slice) -> RecordView[R]: ...
    def __getitem__(self, index: int | slice) -> R | RecordView[R]:
        if isinstance(index, slice):
            return RecordView(self._records, self._numbers[index])
        return self._records[int(self._numbers[index])]
