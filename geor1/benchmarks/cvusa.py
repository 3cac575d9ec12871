"""CVUSA (the 44,416 pairs of Zhai et al.'s subset): panoramas and aerial images all over the United States.

Layout, as Skyy93/Sample4Geo and viibridges/crossnet read it: ``splits/train-19zl.csv`` and ``splits/val-19zl.csv``
without header, cells aerial image, panorama, annotation (paths below the root); ``split_locations/all.csv`` without
header, row number = image number, cells aerial latitude, aerial longitude, ground latitude, ground longitude and one
more. The locations come with the full data set only; without that file the pairs have no position.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from geor1.benchmarks.items import BenchmarkError
from geor1.benchmarks.pair_layouts import PairEntry, PairLayout, decimal, read_cells

_SPLITS = {"train": "splits/train-19zl.csv", "test": "splits/val-19zl.csv"}
_LOCATIONS = "split_locations/all.csv"
_NUMBER = re.compile(r"(\d+)\.\w+$")


class CvUsaLayout(PairLayout):
    """CVUSA; the published validation list is the test split. Cities are not known."""

    source: ClassVar[str] = "cvusa"

    def published(self) -> Iterator[PairEntry]:
        """See :meth:`PairLayout.published`."""
        positions = self._positions()
        for split, file in _SPLITS.items():
            for where, (satellite, ground, _) in read_cells(Path(self.root) / file, 3, ","):
                match = _NUMBER.search(satellite)
                if match is None:
                    raise BenchmarkError(f"{where}, column 1: expected a numbered image, got {satellite!r}")
                number = int(match[1])
                if positions and not 1 <= number <= len(positions):
                    raise BenchmarkError(f"{where}: image {number} has no row in {_LOCATIONS} ({len(positions)} rows)")
                latitude_deg, longitude_deg = positions[number - 1] if positions else (None, None)
                yield PairEntry(
                    name=match[1],
                    ground=ground,
                    satellite=satellite,
                    split=split,
                    latitude_deg=latitude_deg,
                    longitude_deg=longitude_deg,
                    country="United States",
                    country_code="US",
                )

    def _positions(self) -> list[tuple[float, float]]:
        """Ground positions by image number less one; empty without the file."""
        path = Path(self.root) / _LOCATIONS
        if not path.is_file():
            return []
        return [
            (decimal(where, "3", cells[2], 90.0), decimal(where, "4", cells[3], 180.0))
            for where, cells in read_cells(path, 5, ",")
        ]
