"""The fact check: every fact that a chain states is held against metadata, and chains with a false one are dropped.

It reads the text, not the mind of whoever wrote it, so it serves a teacher model as well as the built-in writer.
Checked are what lies in each direction of ground view and tiles, the same/other marks and their counts, climate and the
other facts of the region, names of countries and cities, and the coordinates of the answer.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterable, Mapping, Sequence

from geor1.answers import ParseFailure, check_facts, parse_coordinates, stated_facts
from geor1.answers.chains import DIRECTIONS
from geor1.geodesy import haversine_km
from geor1.records import Candidate, Pair, Question, Scaffold

COORDINATE_TOLERANCE_KM = 100.0
"""Whole degrees are at most 79 km from the truth (half a degree each way at the equator)."""


@dataclasses.dataclass(frozen=True)
class Metadata:
    """What is known about the images of a scaffold.

    Attributes:
        ground: Facts of the panorama's scene.
        tiles: Letter -> facts of that tile.
        latitude_deg: True position of the panorama, if known.
        longitude_deg: True position of the panorama, if known.
        names: True names of its city and country, if known.
    """

    ground: Mapping[str, str]
    tiles: Mapping[str, Mapping[str, str]]
    latitude_deg: float | None
    longitude_deg: float | None
    names: frozenset[str]

    @classmethod
    def of(cls, ground: Pair | Question, options: Sequence[Candidate]) -> Metadata:
        """Metadata of a panorama with its lettered tiles."""
        return cls(
            ground=ground.facts,
            tiles={option.letter: option.facts for option in options},
            latitude_deg=ground.latitude_deg,
            longitude_deg=ground.longitude_deg,
            names=frozenset(name for name in (ground.city, ground.country) if name),
        )


@dataclasses.dataclass(frozen=True)
class Verdict:
    """Outcome of one check.

    Attributes:
        n_facts: Stated facts that could be tested.
        false_kinds: Kind of each false one: ``ground``, ``tile``, ``mark``, ``matches``, ``climate`` …, ``name``,
            ``coordinates``.
    """

    n_facts: int
    false_kinds: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether no stated fact is false."""
        return not self.false_kinds

    @property
    def reason(self) -> str:
        """The kind to book a dropped chain under; a wrong mark or count only if nothing else is wrong."""
        return min(self.false_kinds, key=lambda kind: kind in ("mark", "matches"))


class FactChecker:
    """Checks scaffolds and keeps the books.

    Attributes:
        kept: Chains without a false fact, by kind of chain.
        dropped: Chains with one, by reason.
        false_facts: False facts by kind (a chain may hold several).
        facts_tested: Facts tested in all.
    """

    def __init__(self, names: Iterable[str] = (), *, tolerance_km: float = COORDINATE_TOLERANCE_KM) -> None:
        """Prepare.

        Args:
            names: City and country names to look for in the text; one that is not the panorama's own is a false fact.
            tolerance_km: How far stated coordinates may lie from the truth.
        """
        self.tolerance_km = tolerance_km
        self._names: dict[str, dict[tuple[str, ...], str]] = {}  # by first word, as most words begin no name
        for name in names:
            self._names.setdefault(name.split()[0], {})[tuple(name.split())] = name
        self.kept: collections.Counter[str] = collections.Counter()
        self.dropped: collections.Counter[str] = collections.Counter()
        self.false_facts: collections.Counter[str] = collections.Counter()
        self.facts_tested = 0

    def check(self, completion: str, metadata: Metadata, *, kind: str) -> Verdict:
        """Hold one chain against metadata.

        Args:
            completion: The text, chain and answer.
            metadata: What is known.
            kind: ``pairing`` or ``geolocation``; the latter answers with coordinates.
        """
        stated = stated_facts(completion)
        n_facts, _, wrong = check_facts(stated, metadata.ground, metadata.tiles)
        false_kinds = [fact_kind(fact.subject, fact.key) for fact in wrong]
        mentioned = self.names_in(completion)
        named_twice = sum(fact.key in ("country", "city") for fact in stated)
        n_facts += max(0, len(mentioned) - named_twice)
        if "name" not in false_kinds and any(name not in metadata.names for name in mentioned):
            false_kinds.append("name")
        if kind == "geolocation" and metadata.latitude_deg is not None and metadata.longitude_deg is not None:
            n_facts += 1
            if not self._coordinates_hold(completion, metadata):
                false_kinds.append("coordinates")
        return Verdict(n_facts, tuple(false_kinds))

    def filter(self, scaffold: Scaffold, metadata: Metadata) -> Scaffold | None:
        """The scaffold with ``n_facts`` filled in, or None if the check drops it; booked either way."""
        verdict = self.check(scaffold.completion, metadata, kind=scaffold.kind)
        self.facts_tested += verdict.n_facts
        self.false_facts.update(verdict.false_kinds)
        if not verdict.passed:
            self.dropped[verdict.reason] += 1
            return None
        self.kept[scaffold.kind] += 1
        return dataclasses.replace(scaffold, n_facts=verdict.n_facts)

    def names_in(self, text: str) -> list[str]:
        """Known city and country names that a text mentions, the longest reading first, as written (case counts)."""
        words = [word.strip(".,;:!?()[]'\"") for word in text.split()]
        found = []
        start = 0
        while start < len(words):
            length = 1
            if words[start] in self._names:
                candidates = self._names[words[start]]
                lengths = [n for n in map(len, candidates) if tuple(words[start : start + n]) in candidates]
                if lengths:
                    length = max(lengths)
                    found.append(candidates[tuple(words[start : start + length])])
            start += length
        return found

    def _coordinates_hold(self, completion: str, metadata: Metadata) -> bool:
        answer = parse_coordinates(completion)
        if isinstance(answer, ParseFailure):
            return False
        distance_km = haversine_km(
            lat1=answer.latitude_deg,
            lon1=answer.longitude_deg,
            lat2=metadata.latitude_deg,
            lon2=metadata.longitude_deg,
        )
        return bool(distance_km <= self.tolerance_km)


def fact_kind(subject: str, key: str) -> str:
    """Under which kind a fact is counted.

    >>> fact_kind("ground", "north"), fact_kind("B", "north"), fact_kind("B", "north_same"), fact_kind("ground", "city")
    ('ground', 'tile', 'mark', 'name')
    """
    if key.endswith("_same"):
        return "mark"
    if key in DIRECTIONS:
        return "ground" if subject == "ground" else "tile"
    return "name" if key in ("country", "city") else key
