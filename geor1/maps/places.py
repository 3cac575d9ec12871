"""Country, continent and climate of true places, in bulk."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from geor1.maps.tables import UNKNOWN
from geor1.records import Prediction
from geor1.world.countries import countries_at
from geor1.world.layers import CLIMATES, koppen_at
from geor1.world.regions import continent, country_code, country_names


class TruePlaces(NamedTuple):
    """What is known of N true places, one word each; ``unknown`` where nothing is.

    Attributes:
        country: English short name as the packaged outlines have it, so that a map of them can be joined.
        continent: Africa … South America (UN M49, the Americas and Russia parted by longitude).
        climate: tropical, arid, temperate, continental or polar (Köppen's main group).
        koppen: Köppen-Geiger class such as ``Cfb``.
    """

    country: list[str]
    continent: list[str]
    climate: list[str]
    koppen: list[str]


def true_places(predictions: Sequence[Prediction]) -> TruePlaces:
    """The true places of predictions, in order; 100,000 different ones take about two seconds.

    The country is what the label names, whatever its spelling; else the outline that the coordinate falls into.

    Args:
        predictions: Any task; true coordinates in range (see :func:`geor1.maps.samples.to_samples`).
    """
    positions = [(p.true_latitude_deg, p.true_longitude_deg) for p in predictions]
    known = [(math.nan, math.nan) if lat is None or lon is None else (lat, lon) for lat, lon in positions]
    distinct, inverse = np.unique(np.array(known, dtype=float).reshape(-1, 2), axis=0, return_inverse=True)
    real = ~np.isnan(distinct).any(axis=1)
    outline = np.full(len(distinct), None, dtype=object)
    outline[real] = countries_at(distinct[real, 0], distinct[real, 1])
    koppen = koppen_at(distinct[:, 0], distinct[:, 1])
    of_label = {name: country_code(name) for name in {p.true_country for p in predictions}}
    at = inverse.reshape(-1).tolist()
    codes = [of_label[p.true_country] or outline[index] for p, index in zip(predictions, at, strict=True)]
    names = country_names()
    classes = [str(koppen[index]) for index in at]
    return TruePlaces(
        country=[names.get(code or "", UNKNOWN) for code in codes],
        continent=[
            continent(code, latitude_deg=lat, longitude_deg=lon) or UNKNOWN
            for code, (lat, lon) in zip(codes, positions, strict=True)
        ],
        climate=[CLIMATES[name[0]] if name else UNKNOWN for name in classes],
        koppen=[name or UNKNOWN for name in classes],
    )
