"""What the choice of negatives needs of all pairs, as columns: read once, small, and never the records themselves."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from geor1.answers.chains import DIRECTIONS
from geor1.records import Pair


class Columns(NamedTuple):
    """One value a pair, [N] each unless said otherwise: integers equal where texts are, -1 where unknown.

    Attributes:
        latitude: Degrees, NaN unknown.
        longitude: Likewise.
        train: Whether of the train split.
        groups: By source, split, and whether the position is known.
        cities: By name and country.
        tiles: By satellite image.
        features: int32 [N, 4], what lies in each direction.
        same: int32 [N, k], the facts in which negatives must agree.
    """

    latitude: np.ndarray
    longitude: np.ndarray
    train: np.ndarray
    groups: np.ndarray
    cities: np.ndarray
    tiles: np.ndarray
    features: np.ndarray
    same: np.ndarray


def read_columns(pairs: Sequence[Pair], same: Sequence[str]) -> Columns:
    """One pass over the pairs.

    Args:
        pairs: The pairs.
        same: Names of facts, or ``city``.
    """
    codes: dict[object, int] = {}
    groups: dict[object, int] = {}
    tiles: dict[str, int] = {}
    n = len(pairs)
    position = np.full((2, n), math.nan)
    train, of_group, tile = np.zeros(n, bool), np.zeros(n, np.int32), np.zeros(n, np.int64)
    text = np.full((n, len(DIRECTIONS) + 1 + len(same)), -1, np.int32)
    for number, pair in enumerate(pairs):
        if pair.latitude_deg is not None and pair.longitude_deg is not None:
            position[:, number] = pair.latitude_deg, pair.longitude_deg
        train[number] = pair.split == "train"
        key = (pair.source, pair.split, pair.latitude_deg is not None)
        of_group[number] = groups.setdefault(key, len(groups))
        tile[number] = tiles.setdefault(pair.satellite_image, len(tiles))
        city = (pair.city, pair.country_code) if pair.city else None
        kept = (city if name == "city" else pair.facts.get(name) for name in same)
        for column, word in enumerate((*(pair.facts.get(d) for d in DIRECTIONS), city, *kept)):
            if word is not None:
                text[number, column] = codes.setdefault(word, len(codes))
    features, cities, kept_codes = np.split(text, [len(DIRECTIONS), len(DIRECTIONS) + 1], axis=1)
    return Columns(*position, train, of_group, cities[:, 0].copy(), tile, features.copy(), kept_codes.copy())


class Pool:
    """Pairs without position of one source and split, laid out by the facts in which negatives must agree.

    So those that agree with a pair are counted, and some of them drawn, without looking at the others.

    Args:
        numbers: Of the pairs.
        same: Codes of the facts, int [M, k], -1 unknown; unknown agrees with everything.
    """

    def __init__(self, numbers: np.ndarray, same: np.ndarray) -> None:
        self._keys, shelf = np.unique(same, axis=0, return_inverse=True)
        shelf = shelf.reshape(-1)
        self._numbers = numbers[np.argsort(shelf, kind="stable")]
        self._starts = np.concatenate([[0], np.cumsum(np.bincount(shelf, minlength=len(self._keys)))])
        self._fitting = functools.lru_cache(maxsize=1024)(self._find)

    def size(self, same: np.ndarray) -> int:
        """How many agree with these codes, [k]."""
        return int(self._fitting(tuple(same.tolist()))[1][-1])

    def take(self, same: np.ndarray, places: np.ndarray | None = None) -> np.ndarray:
        """Numbers of those that agree, in ascending order.

        Args:
            same: Codes, [k].
            places: Which of them, each in [0, size); None for all.
        """
        starts, ends = self._fitting(tuple(same.tolist()))
        places = np.arange(ends[-1]) if places is None else places
        shelf = np.searchsorted(ends, places, side="right")
        return np.sort(self._numbers[starts[shelf] + places - (ends[shelf] - np.diff(ends, prepend=0)[shelf])])

    def _find(self, same: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        """Where the shelves that agree start, and how many places there are up to the end of each."""
        codes = np.array(same, dtype=self._keys.dtype)
        fits = np.flatnonzero(((self._keys == codes) | (self._keys < 0) | (codes < 0)).all(axis=1))
        sizes = self._starts[fits + 1] - self._starts[fits]
        return self._starts[fits], np.cumsum(sizes)
