"""University-1652: street views, drone views and satellite tiles of 1,652 buildings of 72 universities.

Layout (layumi/University1652-Baseline, README "About Dataset"): ``train/street/<building>/*``,
``train/satellite/<building>/*`` (one tile a building), ``test/query_street/<building>/*`` and
``test/gallery_satellite/<building>/*``, of which 701 buildings of the 951 are asked about; ``train/google`` (noisy) and
the drone views are not read. The universities of the two splits are different ones. A building's number tells nothing
of its university, and positions are published as a KML tour beside the data set; a ``positions.csv`` with the header
``building,latitude,longitude`` in the root is read if it is there, else pairs have no position.

Several street views show one building, so several pairs share a tile: none of them is a negative of another.
"""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from geor1.synthesis.layouts.base import PairEntry, PairLayout, Refused, decimal
from geor1.synthesis.sources import SourceError

_FOLDERS = {"train": ("train/street", "train/satellite"), "test": ("test/query_street", "test/gallery_satellite")}
_POSITIONS = "positions.csv"
_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")


@dataclasses.dataclass(frozen=True, kw_only=True)
class University1652Layout(PairLayout):
    """University-1652, street view against satellite tile.

    Attributes:
        views_per_building: Street views taken of each building, the first by name; 0 takes all.
    """

    source: ClassVar[str] = "university-1652"
    views_per_building: int = 0

    def published(self) -> Iterator[PairEntry | Refused]:
        """See :meth:`PairLayout.published`."""
        root = Path(self.root)
        if not any((root / street).is_dir() for street, _ in _FOLDERS.values()):
            raise SourceError(f"{root}: expected train/street or test/query_street of University-1652, found neither")
        positions = self._positions()
        for split, (street, satellite) in _FOLDERS.items():
            folder = root / street
            for building in sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else ():
                where = f"{street}/{building.name}"
                tiles = _images(root / satellite / building.name)
                if len(tiles) != 1:
                    text = f"{where}: expected one tile in {satellite}/{building.name}, found {len(tiles)}"
                    yield Refused(where, SourceError(text))
                    continue
                position = positions.get(building.name, (None, None))
                for view in _images(building)[: self.views_per_building or None]:
                    yield PairEntry(
                        name=f"{building.name}/{view.stem}",
                        ground=view.relative_to(root).as_posix(),
                        satellite=tiles[0].relative_to(root).as_posix(),
                        split=split,
                        latitude_deg=position[0],
                        longitude_deg=position[1],
                        where=f"{where}/{view.name}",
                    )

    def remarks(self) -> Iterator[tuple[str, str]]:
        """Splits that are not there."""
        for split, (street, _) in _FOLDERS.items():
            if self.split in (None, split) and not (Path(self.root) / street).is_dir():
                yield street, f"not there, so that the {split} split is left out"

    def _positions(self) -> dict[str, tuple[float, float]]:
        """Latitude and longitude by building."""
        path = Path(self.root) / _POSITIONS
        if not path.is_file():
            return {}
        found = {}
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            missing = {"building", "latitude", "longitude"} - set(reader.fieldnames or ())
            if missing:
                raise SourceError(f"{path.name} line 1: no column {sorted(missing)[0]!r}; found {reader.fieldnames}")
            for row in reader:
                where = f"{path.name} line {reader.line_num}"
                found[row["building"]] = (
                    decimal(where, "latitude", row["latitude"], 90.0),
                    decimal(where, "longitude", row["longitude"], 180.0),
                )
        return found


def _images(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES) if folder.is_dir() else []
