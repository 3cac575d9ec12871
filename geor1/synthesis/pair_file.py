"""Pairs as lines of a file: written as they come, read again one at a time, never all in memory."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import overload

import numpy as np

from geor1.records import Pair, from_dict, to_json

CACHED = 16_384
"""Pairs kept after parsing; about 30 MB."""


class PairWriter:
    """Appends pairs to a JSONL file that appears whole or not at all.

    Args:
        path: Destination; its folder must exist.
    """

    def __init__(self, path: Path | str) -> None:
        self._path = Path(path)
        self._partial = self._path.with_name(self._path.name + ".partial")
        self._file = self._partial.open("wb")
        self._ends = [0]

    def extend(self, pairs: Iterable[Pair]) -> range:
        """Write pairs as they come.

        Returns:
            Their numbers in the file.
        """
        first = len(self._ends) - 1
        for pair in pairs:
            self._ends.append(self._ends[-1] + self._file.write(to_json(pair).encode() + b"\n"))
        return range(first, len(self._ends) - 1)

    def finish(self) -> PairFile:
        """Close the file, give it its name, and open it for reading."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._partial.replace(self._path)
        return PairFile(self._path, np.array(self._ends, dtype=np.int64))


class PairFile(Sequence[Pair]):
    """A JSONL file of pairs as a sequence.

    Args:
        path: The file.
        ends: Where each line ends, with a leading 0, int64 [N + 1]; read off the file if not given.
    """

    def __init__(self, path: Path | str, ends: np.ndarray | None = None) -> None:
        self._file = Path(path).open("rb")  # noqa: SIM115  (open as long as the sequence is used)
        if ends is None:
            ends = np.cumsum([0, *(len(line) for line in self._file)], dtype=np.int64)
        self._ends = ends
        self._read = functools.lru_cache(maxsize=CACHED)(self._parse)

    def __len__(self) -> int:
        return len(self._ends) - 1

    @overload
    def __getitem__(self, index: int) -> Pair: ...
    @overload
    def __getitem__(self, index: slice) -> PairView: ...
    def __getitem__(self, index: int | slice) -> Pair | PairView:
        if isinstance(index, slice):
            return PairView(self, range(len(self))[index])
        return self._read(range(len(self))[index])

    def __iter__(self) -> Iterator[Pair]:
        return (self._parse(number) for number in range(len(self)))  # past the cache, which it would sweep

    def _parse(self, number: int) -> Pair:
        start, end = int(self._ends[number]), int(self._ends[number + 1])
        return from_dict(json.loads(os.pread(self._file.fileno(), end - start, start)), Pair)


class PairView(Sequence[Pair]):
    """Some pairs of a sequence, not copied.

    Args:
        pairs: The sequence.
        numbers: Which of them, in order.
    """

    def __init__(self, pairs: Sequence[Pair], numbers: Sequence[int] | np.ndarray) -> None:
        self._pairs = pairs
        self._numbers = numbers

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, index: int) -> Pair: ...
    @overload
    def __getitem__(self, index: slice) -> PairView: ...
    def __getitem__(self, index: int | slice) -> Pair | PairView:
        if isinstance(index, slice):
            return PairView(self._pairs, self._numbers[index])
        return self._pairs[int(self._numbers[index])]
