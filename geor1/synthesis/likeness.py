"""How alike tiles are by their embeddings, for many questions at once: one product of matrices, a block at a time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

ROWS = 4096
"""Rows converted and multiplied at once: 16 MB at 1,024 numbers a row."""


def cosines(rows: np.ndarray, numbers: Sequence[int], others: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Cosine of each row with others of its own.

    Questions of one town are compared with much the same tiles, so that each tile is read and converted once for all of
    them.

    Args:
        rows: [N, D], may be memory-mapped and of half precision.
        numbers: The rows to compare, B of them.
        others: Of each, the rows that it is compared with, [M].

    Returns:
        float32 [M] for each; 0 where a row is all zeros.
    """
    first = min((int(some.min()) for some in others if len(some)), default=0)
    last = max((int(some.max()) for some in others if len(some)), default=-1)
    wanted = np.zeros(last + 1 - first, dtype=bool)
    for some in others:
        wanted[some - first] = True
    place = np.cumsum(wanted) - 1
    columns = np.flatnonzero(wanted) + first
    own = _units(rows, np.asarray(numbers))
    table = np.empty((len(own), len(columns)), dtype=np.float32)
    for start in range(0, len(columns), ROWS):
        table[:, start : start + ROWS] = own @ _units(rows, columns[start : start + ROWS]).T
    return [table[k, place[some - first]] for k, some in enumerate(others)]


def _units(rows: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Rows of length 1, or of zeros, float32."""
    some = np.asarray(rows[numbers], dtype=np.float32)
    norms = np.sqrt(np.einsum("nd,nd->n", some, some))
    some /= np.where(norms > 0, norms, 1.0)[:, None]
    return some
