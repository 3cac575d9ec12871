"""Near-duplicates among many texts, found exactly and in time that grows with the number of texts.

Two texts are near-duplicates when their sets of five-word shingles have a Jaccard similarity of at least a threshold t.
MinHash would estimate that; prefix filtering decides it. Sort every set by one fixed order of all shingles: two sets A
and B with J >= t share an element among the first |A| - ceil(t |A|) + 1 of A and likewise of B. So an index of those
prefixes names every candidate, whose similarity is then counted. With rare shingles first, prefixes hold what few texts
share, and phrases that every text repeats are never looked up.

Source: Chaudhuri, Ganti, Kaushik 2006, "A primitive operator for similarity joins in data cleaning"; Bayardo, Ma,
Srikant 2007, "Scaling up all pairs similarity search".
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

SHINGLE_WORDS = 5
_BUCKETS = 1 << 22
_WORD = re.compile(r"\w+")
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio, odd (Knuth, TAOCP 3, 6.4)

Shingles = NDArray[np.uint64]


class Shingler:
    """Turns texts into sets of hashed shingles; one object for all texts that are to be compared.

    Words are numbered as they come, so that two shingles of other words differ unless 64 bits of hash collide.
    """

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def __call__(self, text: str) -> Shingles:
        """Sorted, distinct hashes of the text's five-word runs; of a shorter text, of all its words together."""
        numbers = self._numbers
        words = [numbers.setdefault(word, len(numbers) + 1) for word in _WORD.findall(text.casefold())]
        ids = np.array(words, dtype=np.uint64)
        length = min(SHINGLE_WORDS, len(ids))
        hashes = np.zeros(max(0, len(ids) - length + 1), dtype=np.uint64)
        with np.errstate(over="ignore"):
            for offset in range(length):
                hashes = (hashes + ids[offset : offset + len(hashes)]) * _MULTIPLIER
                hashes ^= hashes >> np.uint64(29)
        return np.unique(hashes)


def jaccard(first: Shingles, second: Shingles) -> float:
    """Shared shingles over all shingles of both, 0 to 1; 1 for two empty sets."""
    shared = len(np.intersect1d(first, second, assume_unique=True))
    union = len(first) + len(second) - shared
    return shared / union if union else 1.0


def near_duplicates(sets: Sequence[Shingles], threshold: float) -> list[int | None]:
    """For each set, the first earlier kept one that it is a near-duplicate of.

    Sets are taken in order; one is kept unless its similarity to one kept before reaches the threshold.

    Args:
        sets: Sorted, distinct hashes, from one :class:`Shingler`.
        threshold: Jaccard similarity, above 0, at most 1.

    Returns:
        Index of the kept set that it repeats, or None where it is kept.

    Raises:
        ValueError: Threshold out of range.
    """
    if not 0.0 < threshold <= 1.0:
        raise ValueError(f"threshold={threshold}: expected above 0, at most 1")
    frequency = _frequencies(sets)
    index: dict[int, list[int]] = {}
    empty: int | None = None
    found: list[int | None] = []
    for number, hashes in enumerate(sets):
        prefix = _prefix(hashes, frequency, threshold)
        candidates = sorted({other for shingle in prefix for other in index.get(shingle, ())})
        repeats = next((other for other in candidates if _alike(hashes, sets[other], threshold)), None)
        if not len(hashes):
            repeats, empty = empty, number if empty is None else empty
        if repeats is None:
            for shingle in prefix:
                index.setdefault(shingle, []).append(number)
        found.append(repeats)
    return found


def _alike(first: Shingles, second: Shingles, threshold: float) -> bool:
    smaller, larger = sorted((len(first), len(second)))
    return smaller >= threshold * larger - 1e-9 and jaccard(first, second) >= threshold - 1e-12


def _frequencies(sets: Iterable[Shingles]) -> NDArray[np.int64]:
    """In how many sets each bucket of shingles occurs; a bucket is a shingle, or a few that share it."""
    counts = np.zeros(_BUCKETS, dtype=np.int64)
    for hashes in sets:
        np.add.at(counts, hashes % np.uint64(_BUCKETS), 1)
    return counts


def _prefix(hashes: Shingles, frequency: NDArray[np.int64], threshold: float) -> list[int]:
    length = len(hashes) - math.ceil(threshold * len(hashes) - 1e-9) + 1 if len(hashes) else 0
    order = np.lexsort((hashes, frequency[hashes % np.uint64(_BUCKETS)]))
    return hashes[order[:length]].tolist()
