"""Hard negatives: tiles of other places of the same neighbourhood.

Negatives that share climate, colour and image source with the true tile leave nothing to a policy that looks at those:
it guesses at 1/K. Distance does the choosing. Near enough to look alike, far enough that no negative tile shows the
camera's own spot.

A k-d tree over unit vectors finds the neighbours of a place in time that depends on how many there are, not on how
large the data set is; nothing is kept between questions. The straight line through the Earth decides, which is the
great circle's distance to a micrometre and knows neither poles nor the antimeridian.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.spatial import cKDTree

from geor1.answers.chains import DIRECTIONS
from geor1.geodesy import EARTH_RADIUS_KM, haversine_km
from geor1.records import Pair

DIFFICULTIES = ("easy", "mixed", "hard")
EMBEDDED_MOST = 4096
"""Most places compared by embedding for one question; where more qualify, so many are drawn evenly first."""
_EARTH_M = 1000.0 * EARTH_RADIUS_KM
_ROUNDING_M = 1e-6  # a place that lies on a limit is within it


class NegativesError(ValueError):
    """Too few places qualify as negatives; the message says how many, by which rule, and what to change."""


class Band(NamedTuple):
    """A ring around the camera from which a share of the negatives is drawn.

    Attributes:
        from_m: Nearest, great circle.
        to_m: Farthest.
        share: Of the negatives, in (0, 1].
    """

    from_m: float
    to_m: float
    share: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class NegativeRule:
    """Which other places may stand beside the true tile.

    Attributes:
        min_separation_m: Nearest allowed, great circle; at least a tile's diagonal, so that no negative contains the
            camera.
        max_radius_m: Farthest allowed.
        difficulty: Among those, ``easy`` takes the tiles least like the truth, ``hard`` the most, ``mixed`` draws
            evenly. Likeness is the cosine of the embeddings where there are some, else the number of directions that
            show the same, where the facts of the four directions are known.
        bands: Rings that do not overlap, near to far, whose shares add up to 1; empty draws from the whole range. Where
            a ring has too few places, the others fill in; places in a gap between rings never qualify.
        same: Facts (or ``city``) in which a negative must agree with the truth, where both are known.
    """

    min_separation_m: float = 120.0
    max_radius_m: float = 4000.0
    difficulty: str = "mixed"
    bands: tuple[Band, ...] = ()
    same: tuple[str, ...] = ("city", "season")

    def __post_init__(self) -> None:
        if not 0.0 <= self.min_separation_m < self.max_radius_m:
            raise ValueError(
                f"min_separation_m={self.min_separation_m}, max_radius_m={self.max_radius_m}: expected 0 <= min < max"
            )
        if self.difficulty not in DIFFICULTIES:
            raise ValueError(f"difficulty={self.difficulty!r}: expected one of {DIFFICULTIES}")
        last_m = self.min_separation_m
        for band in self.bands:
            if not (last_m <= band.from_m < band.to_m <= self.max_radius_m and 0.0 < band.share <= 1.0):
                raise ValueError(
                    f"bands={[tuple(one) for one in self.bands]}: expected [from_m, to_m, share] near to far without "
                    f"overlap within {self.min_separation_m:g} to {self.max_radius_m:g} m, each share in (0, 1]"
                )
            last_m = band.to_m
        if self.bands and not math.isclose(sum(band.share for band in self.bands), 1.0, abs_tol=1e-6):
            raise ValueError(f"bands={[tuple(one) for one in self.bands]}: expected shares that add up to 1")


@dataclasses.dataclass(frozen=True)
class _Group:
    """Pairs of one source and split.

    Attributes:
        numbers: Of the pairs, by latitude (in the order given where they have no position).
        tree: Over their unit vectors; None where they have no position.
    """

    numbers: np.ndarray
    tree: cKDTree | None


class Neighbourhoods:
    """All pairs of a data set, ready to be asked for the negatives of each.

    Candidates come from the same source and split. Where a pair has no position, distance is unknown and the other
    unplaced pairs of its source stand in for the neighbourhood. Places whose four directions hold the same features as
    the truth never qualify, nor do pairs that share its tile: such a question would have two right answers.

    Args:
        pairs: Read once here and one at a time later.
        rule: Which places qualify.
        embeddings: float [N, D], a row a pair, for ``difficulty`` ``hard`` and ``easy``; may be memory-mapped.
    """

    def __init__(self, pairs: Sequence[Pair], rule: NegativeRule, *, embeddings: np.ndarray | None = None) -> None:
        self.pairs = pairs
        self.rule = rule
        if embeddings is not None and (embeddings.ndim != 2 or len(embeddings) != len(pairs)):
            raise ValueError(
                f"embeddings: expected [{len(pairs)}, D], a row for each pair in the order of pairs.jsonl, got "
                f"{list(embeddings.shape)}"
            )
        self._embeddings = embeddings
        columns = _columns(pairs, rule.same)
        self.cities, self._train = columns.cities, columns.train
        self._latitude, self._longitude = columns.latitude, columns.longitude
        self._features, self._same, self._tiles = columns.features, columns.same, columns.tiles
        self._shared_tiles = len(np.unique(self._tiles)) < len(pairs)
        phi, lam = np.radians(self._latitude), np.radians(self._longitude)
        self._vectors = np.stack([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)], axis=1)
        self._group_of = columns.groups
        self._leaves_gaps = _leave_gaps(rule)
        self._groups = [self._make_group(columns.groups == code) for code in range(columns.groups.max(initial=-1) + 1)]

    def numbers_of(self, split: str) -> np.ndarray:
        """Numbers of the pairs of a split, in order."""
        return np.flatnonzero(self._train == (split == "train"))

    def count(self, number: int) -> int:
        """How many tiles may stand beside that of a pair."""
        near, _ = self._near(number)
        return len(np.unique(self._tiles[near])) if self._shared_tiles else len(near)

    def eligible(self, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """All that qualify as negatives of a pair.

        Args:
            number: Position of the pair in the sequence given to the constructor.

        Returns:
            Numbers, distances in metres (NaN unknown) and shared directions, each [M]; found anew at each call.
        """
        near, shared = self._near(number)
        return near, self._distances_m(number, near), shared

    def choose(self, number: int, count: int, rng: np.random.Generator) -> list[tuple[int, float | None]]:
        """Draw negatives of one pair.

        Args:
            number: Position of the pair in the sequence given to the constructor.
            count: How many, K - 1 for a question.
            rng: Decides the draw and its order.

        Returns:
            ``count`` ``(number, distance in metres or None)`` of distinct tiles, in random order, never ``number``
            itself.

        Raises:
            NegativesError: Fewer than ``count`` places qualify.
        """
        near, shared = self._near(number)
        if len(near) < count:
            raise NegativesError(self._too_few(number, len(near), count))
        order = self.ranked(number, near, shared, rng)
        banded = self.rule.bands and self._latitude[number] == self._latitude[number]
        picked = self._by_band(number, near, order, count, rng) if banded else self._first(near, order, count)
        if len(picked) < count:
            raise NegativesError(self._too_few(number, len(picked), count))
        ranked = self.rule.difficulty != "mixed"
        return self.beside(number, near[rng.permutation(picked) if ranked or banded else picked])

    def ranked(self, number: int, near: np.ndarray, shared: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Places in the order in which the rule's difficulty takes them, ties at random.

        Args:
            number: Position of the pair in the sequence given to the constructor.
            near: Numbers that qualify, and
            shared: the directions that each shares, as from :meth:`eligible`.
            rng: Decides the order.

        Returns:
            Positions in ``near``.
        """
        order = rng.permutation(len(near))
        if self.rule.difficulty == "mixed":
            return order
        order, likeness = self._likeness(number, near, shared, order)
        return order[np.argsort(likeness if self.rule.difficulty == "easy" else -likeness, kind="stable")]

    def beside(self, number: int, others: np.ndarray) -> list[tuple[int, float | None]]:
        """Other places with their distances from a pair in metres, to a decimetre; None where unknown."""
        distances = self._distances_m(number, others)
        return [(int(k), None if math.isnan(m) else round(float(m), 1)) for k, m in zip(others, distances, strict=True)]

    def lookalike(self, number: int, fewest: int, rng: np.random.Generator) -> int | None:
        """Draw a pair of another neighbourhood that shows the same as this one in several directions.

        Args:
            number: Position of the pair in the sequence given to the constructor.
            fewest: Directions shared at least, 1 to 4; each number from here to 4 that occurs is equally likely.
            rng: Decides the draw.

        Returns:
            The position of a pair of the same split and source outside ``max_radius_m``, or None where no such pair
            exists or positions are unknown.
        """
        group = self._groups[self._group_of[number]]
        if group.tree is None:
            return None
        shared = self._agreeing(number, group.numbers).sum(axis=1)
        alike = (shared >= fewest) & ~np.isin(group.numbers, self._within(number, group))
        counts = np.unique(shared[alike])
        if not len(counts):
            return None
        return int(rng.choice(group.numbers[alike & (shared == rng.choice(counts))]))

    def _make_group(self, members: np.ndarray) -> _Group:
        numbers = np.flatnonzero(members)
        numbers = numbers[np.argsort(self._latitude[numbers], kind="stable")]
        placed = bool(len(numbers)) and not math.isnan(self._latitude[numbers[0]])
        return _Group(numbers, cKDTree(self._vectors[numbers]) if placed else None)

    def _near(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Numbers and shared directions of all that qualify."""
        group = self._groups[self._group_of[number]]
        near = group.numbers if group.tree is None else self._within(number, group, self.rule.min_separation_m)
        keep = near != number
        if self._shared_tiles:
            keep &= self._tiles[near] != self._tiles[number]
        for codes in self._same:
            if codes[number] >= 0:
                keep &= (codes[near] == codes[number]) | (codes[near] < 0)
        near = near[keep]
        if self._leaves_gaps and group.tree is not None:
            near = near[np.any(self._rings(self._distances_m(number, near)), axis=0)]
        if (self._features[number] < 0).all():
            return near, np.zeros(len(near), dtype=np.int64)
        equal = self._agreeing(number, near)
        same_scene = equal.all(axis=1)
        return near[~same_scene], equal.sum(axis=1)[~same_scene]

    def _within(self, number: int, group: _Group, from_m: float = 0.0) -> np.ndarray:
        """Members of a group at most ``max_radius_m`` away, by latitude; all from 0 m on include the pair itself."""
        assert group.tree is not None
        here = self._vectors[number]
        found = group.tree.query_ball_point(here, _chord(self.rule.max_radius_m + _ROUNDING_M), return_sorted=True)
        inside = np.fromiter(found, dtype=np.int64, count=len(found))
        if from_m > _ROUNDING_M:
            too_near = group.tree.query_ball_point(here, _chord(from_m - _ROUNDING_M), return_sorted=True)
            inside = np.delete(inside, np.searchsorted(inside, too_near))
        return group.numbers[inside]

    def _distances_m(self, number: int, others: np.ndarray) -> np.ndarray:
        if math.isnan(self._latitude[number]):
            return np.full(len(others), math.nan)
        return 1000.0 * haversine_km(
            lat1=self._latitude[number],
            lon1=self._longitude[number],
            lat2=self._latitude[others],
            lon2=self._longitude[others],
        )

    def _likeness(
        self, number: int, near: np.ndarray, shared: np.ndarray, order: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Which places are compared, and how alike each is."""
        if self._embeddings is None:
            return order, shared[order]
        order = order[:EMBEDDED_MOST]
        rows = np.asarray(self._embeddings[np.sort(near[order])], dtype=np.float32)  # sorted, for a mapped file
        rows = rows[np.argsort(np.argsort(near[order], kind="stable"), kind="stable")]
        own = np.asarray(self._embeddings[number], dtype=np.float32)
        norms = np.linalg.norm(rows, axis=1) * np.linalg.norm(own)
        return order, np.divide(rows @ own, norms, out=np.zeros(len(rows), np.float32), where=norms > 0)

    def _first(self, near: np.ndarray, order: np.ndarray, count: int) -> np.ndarray:
        """The first ``count`` of an order, of tiles that are shared only one each."""
        if not self._shared_tiles:
            return order[:count]
        _, first = np.unique(self._tiles[near[order]], return_index=True)
        return order[np.sort(first)[:count]]

    def _by_band(
        self, number: int, near: np.ndarray, order: np.ndarray, count: int, rng: np.random.Generator
    ) -> np.ndarray:
        """Of an order, so many of each band as its share says, rounded at random; the rest where there is some."""
        order = self._first(near, order, len(order))
        wanted = _rounded([band.share * count for band in self.rule.bands], rng)
        distances = self._distances_m(number, near[order])
        picked = np.zeros(len(order), dtype=bool)
        for ring, some in zip(self._rings(distances), wanted, strict=True):
            picked[np.flatnonzero(ring & ~picked)[:some]] = True
        picked[np.flatnonzero(~picked)[: count - int(picked.sum())]] = True  # all lie in some ring, see _near
        return order[picked]

    def _rings(self, distances: np.ndarray) -> list[np.ndarray]:
        """Which places lie in each band, limits included."""
        return [
            (distances >= band.from_m - _ROUNDING_M) & (distances <= band.to_m + _ROUNDING_M)
            for band in self.rule.bands
        ]

    def _agreeing(self, number: int, others: np.ndarray) -> np.ndarray:
        """``[len(others), 4]``: in which directions each shows what the pair shows; False where either is unknown."""
        return (self._features[others] == self._features[number]) & (self._features[number] >= 0)

    def _too_few(self, number: int, found: int, count: int) -> str:
        pair, rule = self.pairs[number], self.rule
        where = f"pair {pair.pair_id!r} ({pair.split}, {pair.source})"
        if pair.latitude_deg is None:
            return f"{where}: needs {count} negatives, found {found} other pairs without position; lower candidates"
        rings = [(band.from_m, band.to_m) for band in rule.bands] or [(rule.min_separation_m, rule.max_radius_m)]
        reach = " or ".join(f"{from_m:g} to {to_m:g} m" for from_m, to_m in rings)
        wider = "widen bands" if rule.bands else "raise max_radius_m"
        return (
            f"{where}: needs {count} negatives, found {found} other places {reach} away; {wider}, lower candidates, "
            "or give denser pairs"
        )


class _Columns(NamedTuple):
    """What the choice needs of the pairs, [N] each: integers equal where texts are, -1 where unknown."""

    latitude: np.ndarray
    longitude: np.ndarray
    train: np.ndarray
    groups: np.ndarray
    cities: np.ndarray
    tiles: np.ndarray
    features: np.ndarray  # [N, 4]
    same: list[np.ndarray]


def _columns(pairs: Sequence[Pair], same: Sequence[str]) -> _Columns:
    """One pass over the pairs."""
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
    columns = [text[:, k] for k in range(len(DIRECTIONS), text.shape[1])]
    return _Columns(*position, train, of_group, columns[0], tile, text[:, : len(DIRECTIONS)].copy(), columns[1:])


def _leave_gaps(rule: NegativeRule) -> bool:
    """Whether a place within the range can lie in no band."""
    starts = [band.from_m for band in rule.bands] + [rule.max_radius_m]
    ends = [rule.min_separation_m] + [band.to_m for band in rule.bands]
    return bool(rule.bands) and starts != ends


def _chord(distance_m: float) -> float:
    """Straight line between two places of the unit sphere that lie so far apart on the Earth, at most its diameter."""
    return 2.0 * math.sin(min(distance_m / _EARTH_M, math.pi) / 2.0)


def _rounded(parts: Sequence[float], rng: np.random.Generator) -> list[int]:
    """Whole numbers with the same sum, each up or down by less than one, right on average."""
    whole = [math.floor(part + 1e-9) for part in parts]
    rest = np.maximum(np.array(parts) - whole, 0.0)
    missing = round(sum(parts)) - sum(whole)
    if missing:
        for index in rng.choice(len(parts), size=missing, replace=False, p=rest / rest.sum()):
            whole[index] += 1
    return whole
