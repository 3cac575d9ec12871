"""CV-Cities: 223,736 panoramas and satellite tiles of 16 cities, the data that Geo-R1 trained on.

Layout (GaoShuang98/CVCities ``cvcities_base/dataset/cvcities.py``): ``<city>/img_info.csv`` without header, cells
name, **longitude**, latitude, city, satellite path, panorama path; paths below the root. The split by city is theirs
(``calc_distance/calc_distance_cvcities.py``): ten cities to train, six to test. Cities whose folder is not there are
left out; that, and lists longer or shorter than published, is logged and entered into the report. How much ground a
tile shows is published nowhere that we could read, so the user states it.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from geor1.synthesis.layouts.base import PairEntry, PairLayout, Refused, decimal, parsed, read_rows
from geor1.synthesis.sources import SourceError
from geor1.synthesis.swapped import require_near

_FILE = "img_info.csv"
CITIES = {  # folder -> city, country, code, split
    "barcelona": ("Barcelona", "Spain", "ES", "train"),
    "captown": ("Cape Town", "South Africa", "ZA", "train"),
    "london": ("London", "United Kingdom", "GB", "test"),
    "losangeles": ("Los Angeles", "United States", "US", "train"),
    "maynila": ("Manila", "Philippines", "PH", "train"),
    "melbourne": ("Melbourne", "Australia", "AU", "train"),
    "mexico": ("Mexico City", "Mexico", "MX", "train"),
    "newyork": ("New York", "United States", "US", "train"),
    "paris": ("Paris", "France", "FR", "train"),
    "rio": ("Rio de Janeiro", "Brazil", "BR", "test"),
    "santiago": ("Santiago", "Chile", "CL", "train"),
    "seattle": ("Seattle", "United States", "US", "test"),
    "singapore": ("Singapore", "Singapore", "SG", "test"),
    "sydney": ("Sydney", "Australia", "AU", "test"),
    "taipei": ("Taipei", "Taiwan", "TW", "test"),
    "tokyo": ("Tokyo", "Japan", "JP", "train"),
}
CENTRES_DEG = {  # folder -> latitude, longitude of the city's middle, to tell swapped cells (GeoNames, rounded)
    "barcelona": (41.39, 2.16),
    "captown": (-33.93, 18.42),
    "london": (51.51, -0.13),
    "losangeles": (34.05, -118.24),
    "maynila": (14.60, 120.98),
    "melbourne": (-37.81, 144.96),
    "mexico": (19.43, -99.13),
    "newyork": (40.71, -74.01),
    "paris": (48.85, 2.35),
    "rio": (-22.91, -43.18),
    "santiago": (-33.46, -70.65),
    "seattle": (47.61, -122.33),
    "singapore": (1.29, 103.85),
    "sydney": (-33.87, 151.21),
    "taipei": (25.05, 121.53),
    "tokyo": (35.69, 139.69),
}
PAIRS = {  # folder -> pairs published (calc_distance_cvcities.py and METHOD's reading of it)
    "barcelona": 18364,
    "captown": 10586,
    "london": 13617,
    "losangeles": 18178,
    "maynila": 9971,
    "melbourne": 18247,
    "mexico": 19805,
    "newyork": 19996,
    "paris": 20214,
    "rio": 13165,
    "santiago": 16525,
    "seattle": 13654,
    "singapore": 5564,
    "sydney": 3940,
    "taipei": 10842,
    "tokyo": 11068,
}


class CvCitiesLayout(PairLayout):
    """CV-Cities."""

    source: ClassVar[str] = "cv-cities"

    def published(self) -> Iterator[PairEntry | Refused]:
        """See :meth:`PairLayout.published`."""
        present = [folder for folder in CITIES if (Path(self.root) / folder / _FILE).is_file()]
        if not present:
            raise SourceError(f"{self.root}: expected <city>/{_FILE} of CV-Cities, found none of {list(CITIES)}")
        for folder in present:
            rows = read_rows(Path(self.root) / folder / _FILE, 6, ",", name=f"{folder}/{_FILE}")
            yield from parsed(rows, functools.partial(_entry, folder))

    def remarks(self) -> Iterator[tuple[str, str]]:
        """Cities that are not there, and lists of another length than published."""
        for folder, (*_, split) in CITIES.items():
            if self.split not in (None, split):
                continue
            path, name = Path(self.root) / folder / _FILE, f"{folder}/{_FILE}"
            if not path.is_file():
                yield name, f"not there, so that this city of the {split} split is left out ({PAIRS[folder]} pairs)"
            elif (n := sum(1 for _ in read_rows(path, 6, ","))) != PAIRS[folder]:
                yield name, f"{n} rows where {PAIRS[folder]} were published"


def _entry(folder: str, where: str, cells: list[str]) -> PairEntry:
    name, longitude, latitude, _, satellite, panorama = cells
    city, country, code, split = CITIES[folder]
    latitude_deg = decimal(where, "3 (latitude)", latitude, 90.0)
    longitude_deg = decimal(where, "2 (longitude)", longitude, 180.0)
    require_near(
        f"{where}, columns 2 (longitude) and 3 (latitude)",
        latitude_deg=latitude_deg,
        longitude_deg=longitude_deg,
        centre_deg=CENTRES_DEG[folder],
        place=city,
    )
    return PairEntry(
        name=f"{folder}/{name}",
        ground=panorama,
        satellite=satellite,
        split=split,
        latitude_deg=latitude_deg,
        longitude_deg=longitude_deg,
        city=city,
        country=country,
        country_code=code,
        where=where,
    )
