"""Hard negatives: tiles of other places of the same neighbourhood.

Negatives that share climate, colour and image source with the true tile leave nothing to a policy that looks at those:
it guesses at 1/K. Distance does the choosing. Near enough to look alike, far enough that no negative tile shows the
camera's own spot.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Sequence

import numpy as np

from geor1.answers.chains import DIRECTIONS
from geor1.geodesy import EARTH_RADIUS_KM, haversine_km
from geor1.records import Pair

DIFFICULTIES = ("easy", "mixed", "hard")


class NegativesError(ValueError):
    """Too few places qualify as negatives; the message says how many, by which rule, and what to change."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class NegativeRule:
    """Which other places may stand beside the true tile.

    Attributes:
        min_separation_m: Nearest allowed, great circle; at least a tile's diagonal, so that no negative contains the
            camera.
        max_radius_m: Farthest allowed.
        difficulty: Among those, ``easy`` takes tiles that share the fewest directions with the truth, ``hard`` the
            most, ``mixed`` draws evenly. Applies where the facts of the four directions are known.
    """

    min_separation_m: float = 120.0
    max_radius_m: float = 4000.0
    difficulty: str = "mixed"

    def __post_init__(self) -> None:
        if not 0.0 <= self.min_separation_m < self.max_radius_m:
            raise ValueError(
                f"min_separation_m={self.min_separation_m}, max_radius_m={self.max_radius_m}: expected 0 <= min < max"
            )
        if self.difficulty not in DIFFICULTIES:
            raise ValueError(f"difficulty={self.difficulty!r}: expected one of {DIFFICULTIES}")


class Neighbourhoods:
    """All pairs of a data set, ready to be asked for the negatives of each.

    Candidates come from the same source and split. Where a pair has no position, distance is unknown and the other
    unplaced pairs of its source stand in for the neighbourhood. Places whose four directions hold the same features as
    the truth never qualify: such a question would have two right answers.
    """

    def __init__(self, pairs: Sequence[Pair], rule: NegativeRule) -> None:
        self.pairs = list(pairs)
        self.rule = rule
        missing = math.nan
        self._latitude = np.array(
            [missing if p.latitude_deg is None else p.latitude_deg for p in self.pairs], dtype=float
        )
        self._longitude = np.array(
            [missing if p.longitude_deg is None else p.longitude_deg for p in self.pairs], dtype=float
        )
        self._features = _feature_codes(self.pairs)
        self._groups: dict[tuple[str, str, bool], np.ndarray] = {}
        members: dict[tuple[str, str, bool], list[int]] = {}
        for number, pair in enumerate(self.pairs):
            members.setdefault(self._group_key(pair), []).append(number)
        for key, numbers in members.items():
            order = np.array(numbers)
            self._groups[key] = order[np.argsort(self._latitude[order], kind="stable")]
        self.eligible = functools.lru_cache(maxsize=None)(self._eligible)

    def choose(self, number: int, count: int, rng: np.random.Generator) -> list[tuple[int, float | None]]:
        """Draw negatives of one pair.

        Args:
            number: Position of the pair in the list given to the constructor.
            count: How many, K - 1 for a question.
            rng: Decides the draw and its order.

        Returns:
            ``count`` distinct ``(number, distance in metres or None)``, in random order, never ``number`` itself.

        Raises:
            NegativesError: Fewer than ``count`` places qualify.
        """
        numbers, distances, shared = self.eligible(number)
        if len(numbers) < count:
            raise NegativesError(self._too_few(number, len(numbers), count))
        shuffled = rng.permutation(len(numbers))
        if self.rule.difficulty != "mixed":
            sign = 1 if self.rule.difficulty == "easy" else -1
            best = shuffled[np.argsort(sign * shared[shuffled], kind="stable")][:count]
            shuffled = rng.permutation(best)
        chosen = shuffled[:count]
        return [(int(numbers[k]), None if np.isnan(distances[k]) else round(float(distances[k]), 1)) for k in chosen]

    def lookalike(self, number: int, fewest: int, rng: np.random.Generator) -> int | None:
        """Draw a pair of another neighbourhood that shows the same as this one in several directions.

        Args:
            number: Position of the pair in the list given to the constructor.
            fewest: Directions shared at least, 1 to 4; each number from here to 4 that occurs is equally likely.
            rng: Decides the draw.

        Returns:
            The position of a pair of the same split and source outside ``max_radius_m``, or None where no such pair
            exists or positions are unknown.
        """
        pair = self.pairs[number]
        if pair.latitude_deg is None:
            return None
        group = self._groups[self._group_key(pair)]
        shared = self._agreeing(number, group).sum(axis=1)
        alike = (shared >= fewest) & ~np.isin(group, self._within(number, group)[0])
        counts = np.unique(shared[alike])
        if not len(counts):
            return None
        return int(rng.choice(group[alike & (shared == rng.choice(counts))]))

    def _eligible(self, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Numbers, distances in metres (NaN unknown) and shared directions of all that qualify."""
        pair = self.pairs[number]
        group = self._groups[self._group_key(pair)]
        if pair.latitude_deg is None:
            near = group[group != number]
            distances = np.full(len(near), math.nan)
        else:
            near, distances = self._within(number, group)
            apart = (near != number) & (distances >= self.rule.min_separation_m)
            near, distances = near[apart], distances[apart]
        equal = self._agreeing(number, near)
        same_scene = equal.all(axis=1)
        return near[~same_scene], distances[~same_scene], equal.sum(axis=1)[~same_scene]

    def _agreeing(self, number: int, others: np.ndarray) -> np.ndarray:
        """``[len(others), 4]``: in which directions each shows what the pair shows; False where either is unknown."""
        return (self._features[others] == self._features[number]) & (self._features[number] >= 0)

    def _within(self, number: int, group: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Members of a group at most ``max_radius_m`` away, the pair itself among them, with distances in metres."""
        latitude, longitude = self._latitude[number], self._longitude[number]
        reach_deg = math.degrees(self.rule.max_radius_m / 1000.0 / EARTH_RADIUS_KM) * 1.001
        band = self._latitude[group]
        low, high = np.searchsorted(band, [latitude - reach_deg, latitude + reach_deg])
        near = group[low:high]
        distances = 1000.0 * haversine_km(
            lat1=latitude,
            lon1=longitude,
            lat2=self._latitude[near],
            lon2=self._longitude[near],
        )
        keep = distances <= self.rule.max_radius_m
        return near[keep], distances[keep]

    def _too_few(self, number: int, found: int, count: int) -> str:
        pair, rule = self.pairs[number], self.rule
        where = f"pair {pair.pair_id!r} ({pair.split}, {pair.source})"
        if pair.latitude_deg is None:
            return f"{where}: needs {count} negatives, found {found} other pairs without position; lower candidates"
        return (
            f"{where}: needs {count} negatives, found {found} other places {rule.min_separation_m:g} to "
            f"{rule.max_radius_m:g} m away; raise max_radius_m, lower candidates, or give denser pairs"
        )

    @staticmethod
    def _group_key(pair: Pair) -> tuple[str, str, bool]:
        return pair.source, pair.split, pair.latitude_deg is not None


def _feature_codes(pairs: Sequence[Pair]) -> np.ndarray:
    """``[N, 4]`` integers, equal where two places show the same feature in a direction, -1 where unknown."""
    words: dict[str, int] = {}
    codes = np.full((len(pairs), len(DIRECTIONS)), -1)
    for number, pair in enumerate(pairs):
        for column, direction in enumerate(DIRECTIONS):
            word = pair.facts.get(direction)
            if word is not None:
                codes[number, column] = words.setdefault(word, len(words))
    return codes
