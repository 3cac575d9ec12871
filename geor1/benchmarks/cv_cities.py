"""CV-Cities: 223,736 panoramas and satellite tiles of 16 cities, the data that Geo-R1 trained on.

Layout (GaoShuang98/CVCities ``cvcities_base/dataset/cvcities.py``): ``<city>/img_info.csv`` without header, cells
name, **longitude**, latitude, city, satellite path, panorama path; paths below the root. The split by city is theirs:
ten cities to train, six to test. Cities whose folder is not there are left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from geor1.benchmarks.items import BenchmarkError
from geor1.benchmarks.pair_layouts import PairEntry, PairLayout, decimal, read_cells

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


class CvCitiesLayout(PairLayout):
    """CV-Cities."""

    source: ClassVar[str] = "cv-cities"

    def published(self) -> Iterator[PairEntry]:
        """See :meth:`PairLayout.published`."""
        present = [folder for folder in CITIES if (Path(self.root) / folder / _FILE).is_file()]
        if not present:
            raise BenchmarkError(f"{self.root}: expected <city>/{_FILE} of CV-Cities, found none of {list(CITIES)}")
        for folder in present:
            city, country, code, split = CITIES[folder]
            for where, cells in read_cells(Path(self.root) / folder / _FILE, 6, ","):
                name, longitude, latitude, _, satellite, panorama = cells
                yield PairEntry(
                    name=f"{folder}/{name}",
                    ground=panorama,
                    satellite=satellite,
                    split=split,
                    latitude_deg=decimal(where, "3 (latitude)", latitude, 90.0),
                    longitude_deg=decimal(where, "2 (longitude)", longitude, 180.0),
                    city=city,
                    country=country,
                    country_code=code,
                )
