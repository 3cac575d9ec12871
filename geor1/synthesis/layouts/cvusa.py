"""CVUSA (the 44,416 pairs of Zhai et al.'s subset): panoramas and aerial images all over the United States.

Layout, as Skyy93/Sample4Geo and viibridges/crossnet read it: ``splits/train-19zl.csv`` and ``splits/val-19zl.csv``
without header, cells aerial image, panorama, annotation (paths below the root); ``split_locations/all.csv`` without
header, row number = image number, cells aerial latitude, aerial longitude, ground latitude, ground longitude and one
more. The locations come with the full data set only; without that file the pairs have no position.

The aerial images are Bing's at zoom 19 (``bingmap/19``, ``…-19zl.csv``) and 750 pixels wide: 147 to 205 m of ground
between 49° and 24° north.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, TypeAlias

from geor1.synthesis.layouts.base import PairEntry, PairLayout, Refused, decimal, parsed, read_rows
from geor1.synthesis.separation import mercator_edge_m
from geor1.synthesis.sources import SourceError

_SPLITS = {"train": "splits/train-19zl.csv", "test": "splits/val-19zl.csv"}
_LOCATIONS = "split_locations/all.csv"
_BOUNDS_DEG = (24.0, 50.0, -125.0, -66.0)  # south, north, west, east of the contiguous United States
Position: TypeAlias = tuple[float, float] | SourceError
_NUMBER = re.compile(r"(\d+)\.\w+$")


class CvUsaLayout(PairLayout):
    """CVUSA; the published validation list is the test split. Cities are not known."""

    source: ClassVar[str] = "cvusa"
    tile_edge_m: ClassVar[float] = mercator_edge_m(750, zoom=19, latitude_deg=_BOUNDS_DEG[0])
    tile_evidence: ClassVar[str] = "zoom 19 by the lists' names, 750 px as published, at 24° north"

    def published(self) -> Iterator[PairEntry | Refused]:
        """See :meth:`PairLayout.published`."""
        positions = self._positions()
        for split, file in _SPLITS.items():
            rows = read_rows(Path(self.root) / file, 3, ",")
            yield from parsed(rows, functools.partial(_entry, positions, split))

    def _positions(self) -> list[Position]:
        """Ground positions by image number less one; empty without the file."""
        path = Path(self.root) / _LOCATIONS
        if not path.is_file():
            return []
        return [_position(where, cells) for where, cells in read_rows(path, 5, ",", counted=True)]


def _position(where: str, cells: list[str] | SourceError) -> Position:
    """Latitude and longitude, or what is wrong with the row: rows are counted, so that none can be left out here."""
    try:
        if isinstance(cells, SourceError):
            raise cells
        latitude_deg, longitude_deg = decimal(where, "3", cells[2], 90.0), decimal(where, "4", cells[3], 180.0)
        south, north, west, east = _BOUNDS_DEG
        if south <= longitude_deg <= north and west <= latitude_deg <= east:
            raise SourceError(
                f"{where}, columns 3 and 4: lat_deg={latitude_deg:g}, lon_deg={longitude_deg:g} is in the United "
                "States the other way round only: latitude and longitude are swapped; exchange the two columns"
            )
    except SourceError as error:
        return error
    return latitude_deg, longitude_deg


def _entry(positions: list[Position], split: str, where: str, cells: list[str]) -> PairEntry:
    satellite, ground, _ = cells
    match = _NUMBER.search(satellite)
    if match is None:
        raise SourceError(f"{where}, column 1: expected a numbered image, got {satellite!r}")
    number = int(match[1])
    if positions and not 1 <= number <= len(positions):
        raise SourceError(f"{where}: image {number} has no row in {_LOCATIONS} ({len(positions)} rows)")
    position = positions[number - 1] if positions else (None, None)
    if isinstance(position, SourceError):
        raise position
    return PairEntry(
        name=match[1],
        ground=ground,
        satellite=satellite,
        split=split,
        latitude_deg=position[0],
        longitude_deg=position[1],
        country="United States",
        country_code="US",
        where=where,
    )
