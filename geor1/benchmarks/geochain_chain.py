"""Whether the answers of one GeoChain chain agree with each other, be they right or wrong."""

from __future__ import annotations

import dataclasses
import functools
import operator
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from geor1.answers import Coordinates, ParseFailure
from geor1.benchmarks.geochain import CITIES, EQUATOR_DEG
from geor1.benchmarks.items import MISSING
from geor1.benchmarks.names import country_name
from geor1.evaluation.statistics import Interval, wilson_interval
from geor1.world.gazetteer import cities


@dataclasses.dataclass(frozen=True)
class Consistency:
    """Images where two answers of a chain could be held against each other, and where they agree (Wilson interval).

    Attributes:
        check: Which answers.
        n: Images where both were usable.
        agree: None where n is 0.
    """

    check: str
    n: int
    agree: Interval | None


def chain_checks(parsed: Sequence[Mapping[str, Any]]) -> list[Consistency]:
    """Whether answers of one chain agree with each other, right or wrong.

    Args:
        parsed: One image's answers by rank each; questions that were not asked are absent.

    Returns:
        Big city against small town (the labels are exact opposites), continent against country (of the benchmark's
        countries; Russia is in Europe and Asia), equator and hemisphere against the coordinates.
    """
    votes: dict[str, list[bool]] = {check: [] for check in _CHECKS}
    for row in parsed:
        usable = {rank: answer for rank, answer in row.items() if not isinstance(answer, ParseFailure)}
        for check, (ranks, agree) in _CHECKS.items():
            if all(rank in usable and usable[rank] != MISSING for rank in ranks):
                verdict = agree(*(usable[rank] for rank in ranks))
                if verdict is not None:
                    votes[check].append(verdict)
    return [
        Consistency(check, len(verdicts), wilson_interval(sum(verdicts), len(verdicts)) if verdicts else None)
        for check, verdicts in votes.items()
    ]


@functools.cache
def _continents() -> dict[str, set[str]]:
    """Continents of the countries that the benchmark or the gazetteer knows, by folded usual name."""
    known: dict[str, set[str]] = defaultdict(set)
    for place in (*CITIES.values(), *cities()):
        known[country_name(place.country)].add(place.continent)
    return dict(known)


def _continent_agrees(continent: str, country: str) -> bool | None:
    known = _continents().get(country)
    return None if known is None else continent in known


def _equator_agrees(near: str, position: Coordinates) -> bool:
    return (near == "Yes") == (abs(position.latitude_deg) < EQUATOR_DEG)


def _hemisphere_agrees(northern: str, position: Coordinates) -> bool:
    return (northern == "Yes") == (position.latitude_deg > 0)


_CHECKS: dict[str, tuple[tuple[str, str], Callable[..., bool | None]]] = {
    "big city against small town (16, 17)": (("16", "17"), operator.ne),
    "continent against country (8, 10)": (("8", "10"), _continent_agrees),
    "equator against coordinates (5, 21)": (("5", "21"), _equator_agrees),
    "hemisphere against coordinates (7, 21)": (("7", "21"), _hemisphere_agrees),
}
