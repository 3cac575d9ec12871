"""Hard negatives: tiles of other places of the same neighbourhood.

Negatives that share climate, colour and image source with the true tile leave nothing to a policy that looks at those:
it guesses at 1/K. Distance does the choosing. Near enough to look alike, far enough that no negative tile shows the
camera's own spot.

A k-d tree over unit vectors finds the neighbours of a place in time that depends on how many there are, not on how
large the data set is; nothing is kept between questions. The straight line through the Earth decides, which is the
great circle's distance to a micrometre and knows neither poles nor the antimeridian. Where positions are unknown a
draw from all that agree stands in for the neighbours, so that time does not depend on the data set's size there either.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from scipy.spatial import cKDTree

from geor1.geodesy import EARTH_RADIUS_KM, haversine_km
from geor1.records import Pair
from geor1.synthesis.columns import Pool, read_columns
from geor1.synthesis.likeness import cosines
from geor1.synthesis.negative_rule import NegativeRule

UNPLACED_MOST = 4096
"""Most pairs without position that one question looks at; of more, so many are drawn evenly first."""
NEAREST = 64
"""Pairs looked at first to see whether there are enough: 9 within 120 m where CV-Cities' are, and a few more."""
TOGETHER, NEIGHBOURS_TOGETHER = 128, 1_000_000
"""Questions compared by embedding at once, and neighbours of them together: 128 Paris panoramas have 700,000."""
_EARTH_M = 1000.0 * EARTH_RADIUS_KM
_ROUNDING_M = 1e-6  # a place that lies on a limit is within it


class NegativesError(ValueError):
    """Too few places qualify as negatives; the message says how many, by which rule, and what to change."""


@dataclasses.dataclass(frozen=True)
class _Group:
    """Pairs of one source and split.

    Attributes:
        numbers: Of the pairs, by latitude (in the order given where they have no position).
        tree: Over their unit vectors; None where they have no position.
        pool: By the facts in which negatives must agree; empty where they have a position.
    """

    numbers: np.ndarray
    tree: cKDTree | None
    pool: Pool


class _Near(NamedTuple):
    """What may stand beside one pair: numbers, and directions shared with it, [M] each."""

    number: int
    others: np.ndarray
    shared: np.ndarray


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
        columns = read_columns(pairs, rule.same)
        self.cities, self._train = columns.cities, columns.train
        self._latitude, self._longitude = columns.latitude, columns.longitude
        self._features, self._same, self._tiles = columns.features, columns.same, columns.tiles
        self._shared_tiles = len(np.unique(self._tiles)) < len(pairs)
        phi, lam = np.radians(self._latitude), np.radians(self._longitude)
        self._vectors = np.stack([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)], axis=1)
        self._group_of = columns.groups
        self._groups = [self._make_group(columns.groups == code) for code in range(columns.groups.max(initial=-1) + 1)]

    def numbers_of(self, split: str) -> np.ndarray:
        """Numbers of the pairs of a split, in order."""
        return np.flatnonzero(self._train == (split == "train"))

    def count(self, number: int) -> int:
        """How many tiles may stand beside that of a pair."""
        return self._distinct(self._near(number).others)

    def enough(self, number: int, count: int) -> bool:
        """Whether :meth:`choose` finds so many; looks at a few first, at all only if it must."""
        return len(self._spread(number, count)) == count

    def eligible(self, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """All that qualify as negatives of a pair.

        Args:
            number: Position of the pair in the sequence given to the constructor.

        Returns:
            Numbers, distances in metres (NaN unknown) and shared directions, each [M]; found anew at each call.
        """
        _, near, shared = self._near(number)
        return near, self._distances_m(number, near), shared

    def choose(self, number: int, count: int, rng: np.random.Generator) -> list[tuple[int, float | None]]:
        """Draw negatives of one pair; see :meth:`choose_each`."""
        return next(self.choose_each([number], count, rng))

    def choose_each(
        self, numbers: Iterable[int], count: int, rng: np.random.Generator
    ) -> Iterator[list[tuple[int, float | None]]]:
        """Draw negatives of one pair after the other.

        Args:
            numbers: Positions of the pairs in the sequence given to the constructor.
            count: How many negatives of each, K - 1 for a question.
            rng: Decides the draws and their order.

        Yields:
            For each ``count`` ``(number, distance in metres or None)`` in random order, of tiles that keep
            ``min_separation_m`` from each other too; never the pair itself.

        Raises:
            NegativesError: Fewer than ``count`` places qualify.
        """
        for together in self._together(numbers, count, rng):
            for found, likeness in zip(together, self._likeness(together), strict=True):
                yield self._choose(found, likeness, count, rng)

    def _choose(
        self, found: _Near, likeness: np.ndarray | None, count: int, rng: np.random.Generator
    ) -> list[tuple[int, float | None]]:
        number, near, _ = found
        order = self._order(found, likeness, rng)
        banded = self.rule.bands and self._latitude[number] == self._latitude[number]
        chosen = self._by_band(number, near[order], count, rng) if banded else self._apart(near[order], count)
        again = likeness is not None or banded
        if len(chosen) < count:  # the first of them stood in the way of others
            chosen, again = self._spread(number, count), True
        if len(chosen) < count:
            raise NegativesError(self._too_few(number, len(chosen), count))
        return self.beside(number, np.array(rng.permutation(chosen) if again else chosen, dtype=np.int64))

    def ranked(self, number: int, rng: np.random.Generator) -> np.ndarray:
        """All that qualify as negatives of a pair, in the order in which the rule's difficulty takes them.

        Args:
            number: Position of the pair in the sequence given to the constructor.
            rng: Decides between those that are equally alike.

        Returns:
            Their numbers.
        """
        found = self._near(number)
        return found.others[self._order(found, self._likeness([found])[0], rng)]

    def _order(self, found: _Near, likeness: np.ndarray | None, rng: np.random.Generator) -> np.ndarray:
        order = rng.permutation(len(found.others))
        if likeness is None:
            return order
        likeness = likeness[order]
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
        if math.isnan(self._latitude[numbers[0]]):
            return _Group(numbers, None, Pool(numbers, self._same[numbers]))
        return _Group(numbers, cKDTree(self._vectors[numbers]), Pool(numbers[:0], self._same[:0]))

    def _together(self, numbers: Iterable[int], count: int, rng: np.random.Generator) -> Iterator[list[_Near]]:
        """What may stand beside each pair, of many pairs at once where embeddings are compared, else of one."""
        waiting: list[_Near] = []
        for number in numbers:
            sampled = self._sampled(number)
            if waiting and (
                sampled  # its draw is due when all before it are done
                or self._embeddings is None
                or len(waiting) == TOGETHER
                or sum(len(found.others) for found in waiting) >= NEIGHBOURS_TOGETHER
            ):
                yield waiting
                waiting = []
            waiting.append(self._sample(number, count, rng) if sampled else self._near(number))
        if waiting:
            yield waiting

    def _sampled(self, number: int) -> bool:
        """Whether so many agree with a pair without position that a draw of them must do."""
        group = self._groups[self._group_of[number]]
        return group.tree is None and group.pool.size(self._same[number]) > UNPLACED_MOST

    def _sample(self, number: int, count: int, rng: np.random.Generator) -> _Near:
        size = self._groups[self._group_of[number]].pool.size(self._same[number])
        places = rng.choice(size, UNPLACED_MOST, replace=False)
        some = self._near(number, places)
        return some if self._distinct(some.others) >= count else self._near(number)

    def _spread(self, number: int, count: int) -> list[int]:
        """Up to ``count`` that qualify and keep apart, without a draw: of the nearest, else of all by latitude."""
        group = self._groups[self._group_of[number]]
        if group.tree is not None:
            _, few = group.tree.query(self._vectors[number], k=min(NEAREST, len(group.numbers)))
        else:
            few = np.arange(min(NEAREST, group.pool.size(self._same[number])))
        found = self._apart(self._near(number, np.atleast_1d(few)).others, count)
        return found if len(found) == count else self._apart(self._near(number).others, count)

    def _apart(self, numbers: np.ndarray, count: int, beside: Sequence[int] = ()) -> list[int]:
        """The first of some pairs, ``count`` with those they stand beside, none of whose tiles shows another's camera.

        The right tile shows no camera but its own; wrong ones nearer to each other would say that they are wrong.
        """
        kept = list(beside)
        tiles = {int(self._tiles[number]) for number in kept}
        least = _chord(max(self.rule.min_separation_m - _ROUNDING_M, 0.0)) ** 2
        for number in numbers.tolist():
            if len(kept) == count:
                break
            here = self._vectors[number]
            if self._tiles[number] in tiles or any(((self._vectors[one] - here) ** 2).sum() < least for one in kept):
                continue
            kept.append(number)
            tiles.add(int(self._tiles[number]))
        return kept

    def _distinct(self, numbers: np.ndarray) -> int:
        """Of how many tiles these pairs are."""
        return len(np.unique(self._tiles[numbers])) if self._shared_tiles else len(numbers)

    def _near(self, number: int, places: np.ndarray | None = None) -> _Near:
        """All that qualify, or of some places only: of the group's, or of the pool's where positions are unknown."""
        group = self._groups[self._group_of[number]]
        codes = self._same[number]
        if group.tree is None:
            near = group.pool.take(codes, places)
        elif places is None:
            near = self._within(number, group, self.rule.min_separation_m)
        else:
            near = group.numbers[places]
            away_m = self._distances_m(number, near)
            limits_m = self.rule.min_separation_m - _ROUNDING_M, self.rule.max_radius_m + _ROUNDING_M
            near = near[(away_m >= limits_m[0]) & (away_m <= limits_m[1])]
        keep = near != number
        if self._shared_tiles:
            keep &= self._tiles[near] != self._tiles[number]
        if group.tree is not None:
            for column in np.flatnonzero(codes >= 0):
                theirs = self._same[near, column]
                keep &= (theirs == codes[column]) | (theirs < 0)
        near = near[keep]
        if self.rule.leaves_gaps and group.tree is not None:
            near = near[np.any(self._rings(self._distances_m(number, near)), axis=0)]
        if (self._features[number] < 0).all():
            return _Near(number, near, np.zeros(len(near), dtype=np.int64))
        equal = self._agreeing(number, near)
        same_scene = equal.all(axis=1)
        return _Near(number, near[~same_scene], equal.sum(axis=1)[~same_scene])

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

    def _likeness(self, together: Sequence[_Near]) -> Sequence[np.ndarray | None]:
        """How alike each place is to the pair beside which it may stand; None where that decides nothing."""
        if self.rule.difficulty == "mixed":
            return [None] * len(together)
        if self._embeddings is None:
            return [found.shared for found in together]
        return cosines(self._embeddings, [found.number for found in together], [found.others for found in together])

    def _by_band(self, number: int, near: np.ndarray, count: int, rng: np.random.Generator) -> list[int]:
        """The first of each band, so many as its share says, rounded at random; the rest where there is some."""
        wanted = _rounded([band.share * count for band in self.rule.bands], rng)
        chosen: list[int] = []
        for ring, some in zip(self._rings(self._distances_m(number, near)), wanted, strict=True):
            chosen = self._apart(near[ring], len(chosen) + some, chosen)
        return self._apart(near, count, chosen)  # all lie in some ring, see _near

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
            f"{where}: needs {count} negatives, found {found} other places, {rule.min_separation_m:g} m from each "
            f"other, {reach} away; {wider}, lower candidates, or give denser pairs"
        )


def _chord(distance_m: float) -> float:
    """Straight line between two places of the unit sphere that lie so far apart on the Earth, at most its diameter."""
    return 2.0 * math.sin(min(distance_m / _EARTH_M, math.pi) / 2.0)


def _rounded(parts: Sequence[float], rng: np.random.Generator) -> list[int]:
    """Whole numbers with the same sum, each up or down by less than one, and each right on average.

    The rests are laid end to end and marks set at every whole number from a random start on: a part is rounded up with
    a chance of just its rest, which drawing parts one after the other by their rests does not give.
    """
    whole = [math.floor(part + 1e-9) for part in parts]
    rest = np.maximum(np.array(parts) - whole, 0.0)
    missing = round(sum(parts)) - sum(whole)
    if missing:
        ends = np.cumsum(rest)
        marks = (rng.random() + np.arange(missing)) / missing
        for index in np.searchsorted(ends / ends[-1], marks, side="right"):
            whole[index] += 1
    return whole
