"""Distinct values with an index each, as the page's columns refer to them."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from geor1.maps.text import plain_text

logger = logging.getLogger(__name__)

LABEL_LIMIT = 200  # characters of an id, label or place name
UNKNOWN = "unknown"
OTHER = "(other)"


class Table:
    """Distinct labels in order of first appearance, at most ``size`` of them; what is beyond shares one entry.

    Args:
        name: For the message where the table is full.
        values: First entries.
        size: Most entries; with ``size`` 255, every index fits u8 and 255 is free for "none".
        limit: Longest label in characters.
    """

    def __init__(self, name: str, values: Sequence[str] = (), *, size: int = 65535, limit: int = LABEL_LIMIT) -> None:
        self.values: list[str] = list(values)
        self._name, self._size, self._limit = name, size, limit
        self._index = {value: index for index, value in enumerate(self.values)}
        self._seen: dict[str, int] = {}

    def add(self, text: str) -> int:
        """Index of a text as a label of one line, adding it if new."""
        index = self._seen.get(text)
        if index is None:
            index = self._seen[text] = self._place(plain_text(text, self._limit))
        return index

    def column(self, texts: Iterable[str]) -> npt.NDArray[np.int64]:
        """Indices of many texts, in order."""
        return np.fromiter((self.add(text) for text in texts), dtype=np.int64)

    def _place(self, label: str) -> int:
        if label in self._index:
            return self._index[label]
        if len(self.values) >= self._size - 1:
            if OTHER in self._index:
                return self._index[OTHER]
            logger.warning("%s: more than %d different values; the rest is shown as one", self._name, self._size - 1)
            label = OTHER
        self._index[label] = len(self.values)
        self.values.append(label)
        return self._index[label]
