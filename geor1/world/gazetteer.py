"""The cities of the miniature Earth: a fixed choice from GeoNames, split by city into train and test.

``scripts/build_gazetteer.py`` made the choice; GeoNames data are CC BY 4.0 (``geor1/world/data/LICENSES.md``).
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass

from geor1.world.layers import data_file

SPLITS = ("train", "test")


@dataclass(frozen=True, kw_only=True)
class City:
    """One city.

    Attributes:
        city_id: Readable, file-name safe and unique, e.g. ``quito-ec``.
        name: English or local name as in GeoNames.
        country: English short name in plain words, e.g. ``Ivory Coast``.
        country_code: ISO 3166-1 alpha-2.
        continent: Africa, Asia, Europe, North America, South America or Oceania (Russia is parted at
            60° E, Hawaii counts as Oceania).
        latitude_deg: WGS84.
        longitude_deg: WGS84.
        population: Inhabitants, at least 15,000.
        driving_side: Side of the road that traffic keeps to, ``left`` or ``right``.
        split: ``train`` or ``test``.
    """

    city_id: str
    name: str
    country: str
    country_code: str
    continent: str
    latitude_deg: float
    longitude_deg: float
    population: int
    driving_side: str
    split: str


def cities(split: str | None = None) -> tuple[City, ...]:
    """The chosen cities, in the fixed order of the file (continent, country, name).

    All lie at least 100 km apart, so no test city is near a train city; every test city's country has a train city.

    Args:
        split: ``train``, ``test``, or None for all.

    Returns:
        The cities.

    Raises:
        ValueError: If `split` is another word.

    Example:
        >>> [city.driving_side for city in cities() if city.name == "Tokyo"]
        ['left']
    """
    if split is None:
        return _all_cities()
    if split not in SPLITS:
        raise ValueError(f"split: expected one of {SPLITS} or None, got {split!r}")
    return tuple(city for city in _all_cities() if city.split == split)


@functools.lru_cache(maxsize=1)
def _all_cities() -> tuple[City, ...]:
    return tuple(City(**entry) for entry in json.loads(data_file("cities.json").read_text(encoding="utf-8")))
