"""The bootstrap's engine: whole clusters drawn with replacement, by how often each is drawn.

A resample of M clusters is M counts. Means are ratios of sums, and a sum over a resample is its counts times the
clusters' sums, so that a chunk of resamples is one matrix product whatever the number of metrics. A median needs only
the values near the middle: how many lie below them is one more sum.

Axis letters: N values, M clusters, R resamples, C columns.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Hashable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.intp]

_BLOCK = 2**14  # clusters counted at once, a power of two at most 2**16: their counts fit the cache
_CHUNK_CELLS = 2**24  # counts held at once: 128 MB
_MOST_ROWS = 256
_WINDOW_SIGMAS = 4.0  # a resample whose median lies outside is looked up in all values; about one in 15,000


@dataclasses.dataclass(frozen=True)
class Clusters:
    """Which values are drawn together.

    Attributes:
        codes: Cluster of each value, 0 … n - 1, shape (N,).
        n: Clusters.
    """

    codes: IntArray
    n: int

    def sums(self, values: ArrayLike) -> FloatArray:
        """Sum of the values of each cluster: (N,) -> (M,), or (N, C) -> (M, C)."""
        values = np.asarray(values, dtype=float)
        if values.ndim == 1:
            return np.bincount(self.codes, weights=values, minlength=self.n)
        return np.column_stack([self.sums(column) for column in values.T])


def as_clusters(n: int, labels: Sequence[Hashable] | NDArray | None) -> Clusters:
    """Clusters from one label a value, in order of appearance; every value its own cluster when None.

    Raises:
        ValueError: Labels of another length, or a missing one (None or NaN).
    """
    if labels is None:
        return Clusters(np.arange(n, dtype=np.intp), n)
    if len(labels) != n:
        raise ValueError(f"clusters: expected one label for each of the {n} values, got {len(labels)}")
    array = labels if isinstance(labels, np.ndarray) else np.fromiter(labels, dtype=object, count=n)
    codes, found = pd.factorize(array)
    if len(codes) and codes.min() < 0:
        raise ValueError(
            f"clusters: {int((codes < 0).sum())} labels are None or NaN; give each such value its own label"
        )
    return Clusters(codes.astype(np.intp), len(found))


def draw_counts(generator: np.random.Generator, counts: FloatArray) -> None:
    """Fill each row with how often each of n clusters occurs in n draws with replacement, (R, n).

    Exact, also where the clusters are many: how many draws fall into each block of them is multinomial, and within a
    block every cluster is equally likely.
    """
    rows, n = counts.shape
    if n > _BLOCK:
        for row in counts:
            _draw_by_blocks(generator, row)
        return
    drawn = generator.integers(n, size=(rows, n))
    drawn += np.arange(0, rows * n, n)[:, None]
    counts[:] = np.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n)


def _draw_by_blocks(generator: np.random.Generator, counts: FloatArray) -> None:
    n = len(counts)
    sizes = np.minimum(_BLOCK, n - np.arange(0, n, _BLOCK))
    words = generator.integers(2**64 - 1, size=-(-n // 4), dtype=np.uint64, endpoint=True)
    random_bits = words.view(np.uint16)  # 16 of them a draw: a fraction of the cost of drawing below n
    start, used = 0, 0
    for size, total in zip(sizes.tolist(), generator.multinomial(n, sizes / n).tolist(), strict=True):
        if size == _BLOCK:
            drawn = random_bits[used : used + total] & (_BLOCK - 1)
        else:
            drawn = generator.integers(size, size=total, dtype=np.uint16)
        counts[start : start + size] = np.bincount(drawn, minlength=size)
        start, used = start + size, used + total


def iterate_counts(n: int, resamples: int, seed: int, *, width: int = 0) -> Iterator[FloatArray]:
    """Yield the counts of ``resamples`` resamples in chunks, each (R, n); a thread draws the next one meanwhile.

    A chunk holds at most 128 MB, and is overwritten by the next but one.

    Args:
        n: Clusters.
        resamples: Rows in all.
        seed: Of the one generator used (SFC64).
        width: Further numbers a row that the caller will hold.

    Raises:
        ValueError: ``resamples`` < 1.
    """
    if resamples < 1:
        raise ValueError(f"resamples: expected at least 1, got {resamples}")
    generator = np.random.Generator(np.random.SFC64(seed))
    rows = max(1, min(_MOST_ROWS, resamples, _CHUNK_CELLS // max(n, width)))
    starts = range(0, resamples, rows)
    memory = np.empty((min(2, len(starts)), rows, n))

    def fill(index: int) -> FloatArray:
        """Draw chunk ``index`` of all."""
        chunk = memory[index % 2][: resamples - starts[index]]
        draw_counts(generator, chunk)
        return chunk

    with ThreadPoolExecutor(max_workers=1) as thread:
        upcoming = thread.submit(fill, 0)
        for index in range(len(starts)):
            chunk = upcoming.result()
            if index + 1 < len(starts):
                upcoming = thread.submit(fill, index + 1)
            yield chunk


def resample(
    clusters: Clusters,
    columns: FloatArray,
    *,
    median_of: FloatArray | None = None,
    upper: bool = False,
    resamples: int,
    seed: int,
) -> tuple[FloatArray, FloatArray]:
    """Sums of columns, and the median of one array, over the same resamples.

    Args:
        clusters: What is drawn together.
        columns: Finite numbers, shape (N, C); C may be 0.
        median_of: Values whose median is wanted, shape (N,); infinite ones count, NaN are left out. None for none.
        upper: Whether the upper of two middle values is the median, not their mean.
        resamples: Draws.
        seed: Of the generator.

    Returns:
        Sums, (resamples, C), and medians, (resamples,), NaN where nothing is left to take it of.
    """
    finder = None if median_of is None else _MedianFinder(clusters, median_of, upper)
    sums = clusters.sums(columns) if columns.shape[1] else np.empty((clusters.n, 0))
    added = sums if finder is None else np.column_stack([sums, finder.below, finder.sizes])
    parts, medians = [], []
    for counts in iterate_counts(clusters.n, resamples, seed, width=finder.width if finder else 0):
        drawn = counts @ added
        parts.append(drawn[:, : columns.shape[1]])
        if finder is not None:
            medians.append(finder.medians(counts, below=drawn[:, -2], total=drawn[:, -1]))
    return np.concatenate(parts), np.concatenate(medians) if medians else np.empty(0)


def median(values: ArrayLike, *, upper: bool = False) -> float:
    """Median that lets infinities stand: the mean of the two middle values, infinite if either is; NaN of none.

    Args:
        values: Shape (N,), no NaN.
        upper: Take the upper of the two middle values, as ``sorted(values)[len(values) // 2]`` does.
    """
    ordered = np.sort(np.asarray(values, dtype=float))
    if not len(ordered):
        return math.nan
    return float(_middle(ordered[(len(ordered) - 1) // 2], ordered[len(ordered) // 2], upper))


class _MedianFinder:
    """Medians of resamples from the sorted values near the median, exactly."""

    def __init__(self, clusters: Clusters, values: FloatArray, upper: bool) -> None:
        kept = np.flatnonzero(~np.isnan(values))
        order = kept[np.argsort(values[kept], kind="stable")]
        self.values, self.codes, self.upper = values[order], clusters.codes[order], upper
        self.sizes = np.bincount(self.codes, minlength=clusters.n).astype(float)
        middle = len(order) // 2
        excess = np.bincount(self.codes[:middle], minlength=clusters.n) - self.sizes / 2
        half = math.ceil(_WINDOW_SIGMAS * math.sqrt(float(excess @ excess))) + 1
        self.start, self.stop = max(0, middle - half), min(len(order), middle + half)
        self.below = np.bincount(self.codes[: self.start], minlength=clusters.n).astype(float)
        self.width = self.stop - self.start

    def medians(self, counts: FloatArray, *, below: FloatArray, total: FloatArray) -> FloatArray:
        """Median of each resample.

        Args:
            counts: How often each cluster was drawn, (R, M).
            below: Values drawn from below the window, (R,).
            total: Values drawn, (R,).
        """
        reach = counts[:, self.codes[self.start : self.stop]]
        np.cumsum(reach, axis=1, out=reach)
        reach += below[:, None]
        window = np.append(self.values[self.start : self.stop], math.nan)
        ranks = np.floor((total - 1) / 2), np.floor(total / 2)  # from 0
        low, high = (window[(reach <= rank[:, None]).sum(axis=1)] for rank in ranks)
        result = _middle(low, high, self.upper)
        last = reach[:, -1] if self.width else np.zeros(len(total))
        for row in np.flatnonzero((below > ranks[0]) | (last <= ranks[1])):
            result[row] = self._searched(counts[row], total[row])
        return result

    def _searched(self, counts: FloatArray, total: float) -> float:
        if total == 0:
            return math.nan
        reach = np.cumsum(counts[self.codes])
        low, high = (self.values[np.searchsorted(reach, rank, side="right")] for rank in ((total - 1) // 2, total // 2))
        return float(_middle(low, high, self.upper))


def _middle(low: ArrayLike, high: ArrayLike, upper: bool) -> FloatArray:
    """Mean of two middle values, or the upper one; equal ones as they are, since infinity - infinity is nothing."""
    low, high = np.asarray(low, dtype=float), np.asarray(high, dtype=float)
    return high.copy() if upper else np.where(low == high, low, (low + high) / 2)
