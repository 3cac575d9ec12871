"""Rewards for saying where a picture was taken: how far off the answer is, and whether the country named is right.

They judge as the evaluation does, with its parser, alone on the machine; :func:`geor1.grpo.data.to_location_dataset`
makes rows for them. An answer out of form, out of range or cut at the limit earns nothing.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from geor1.answers import ParseFailure, is_well_formed, parse_coordinates, stated_facts
from geor1.geodesy import GEOSCORE_SCALE_KM, geodesic_km
from geor1.grpo.rewards import Completion, completion_text, ended_flags
from geor1.names import same_country


@dataclasses.dataclass(frozen=True, kw_only=True)
class DistanceReward:
    """``exp(-d / scale)`` of the geodesic d from the true place: 1 at the spot, 0 for a miss.

    Attributes:
        scale_km: Distance at which the reward has fallen to 1/e; that of GeoScore by default, so that the reward is
            GeoScore / 5000, but for the ellipsoid (at most 0.6 % of d).
        end_token_ids: As in :class:`geor1.grpo.rewards.AccuracyReward`.

    Source: OSV-5M's score (Astruc et al. 2024) as a reward; the paper rewards no distance.
    """

    __name__: ClassVar[str] = "distance"
    scale_km: float = GEOSCORE_SCALE_KM
    end_token_ids: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not (math.isfinite(self.scale_km) and self.scale_km > 0):
            raise ValueError(f"scale_km={self.scale_km}: expected a finite distance above 0")

    def __call__(
        self,
        completions: Sequence[Completion],
        *,
        latitude_deg: Sequence[float],
        longitude_deg: Sequence[float],
        completion_ids: Sequence[Sequence[int]] | None = None,
        finished: Sequence[bool] | None = None,
        **_: Any,
    ) -> list[float]:
        """Reward each of N completions.

        Args:
            completions: N completions.
            latitude_deg: N true latitudes.
            longitude_deg: N true longitudes.
            completion_ids: N token id lists, as TRL gives them.
            finished: N flags, False where generation was cut.

        Returns:
            N values in [0, 1].
        """
        ended = ended_flags(len(completions), completion_ids, finished, self.end_token_ids)
        places = [_place(completion_text(one)) if end else None for one, end in zip(completions, ended, strict=True)]
        named = [index for index, place in enumerate(places) if place is not None]
        rewards = np.zeros(len(completions))
        if named:
            stated = np.array([places[index] for index in named])
            distance_km = geodesic_km(
                lat1=np.asarray(latitude_deg, float)[named],
                lon1=np.asarray(longitude_deg, float)[named],
                lat2=stated[:, 0],
                lon2=stated[:, 1],
            )
            rewards[named] = np.exp(-distance_km / self.scale_km)
        return rewards.tolist()


@dataclasses.dataclass(frozen=True, kw_only=True)
class CountryReward:
    """1 for a well-formed, ended completion whose chain states the true country, under any of its usual names, else 0.

    Attributes:
        end_token_ids: As in :class:`geor1.grpo.rewards.AccuracyReward`.
    """

    __name__: ClassVar[str] = "country"
    end_token_ids: tuple[int, ...] = ()

    def __call__(
        self,
        completions: Sequence[Completion],
        *,
        country: Sequence[str],
        completion_ids: Sequence[Sequence[int]] | None = None,
        finished: Sequence[bool] | None = None,
        **_: Any,
    ) -> list[float]:
        """Reward each of N completions; ``country`` holds the true ones, other arguments as in the distance's."""
        ended = ended_flags(len(completions), completion_ids, finished, self.end_token_ids)
        rows = zip(completions, country, ended, strict=True)
        return [float(end and _names_country(completion_text(one), truth)) for one, truth, end in rows]


def _place(text: str) -> tuple[float, float] | None:
    if not is_well_formed(text):
        return None
    place = parse_coordinates(text)
    return None if isinstance(place, ParseFailure) else place


def _names_country(text: str, truth: str) -> bool:
    """Whether the chain names that country and no other as the picture's."""
    named = {fact.value for fact in stated_facts(text) if fact.subject == "ground" and fact.key == "country"}
    return is_well_formed(text) and len(named) == 1 and same_country(named.pop(), truth)
