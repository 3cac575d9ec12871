"""VIGOR: panoramas and overlapping satellite tiles of four cities.

Layout (Jeff-Zilence/VIGOR; tudelft-iv/SliceMatch README): ``<City>/panorama/<id>,<latitude>,<longitude>,.jpg``,
``<City>/satellite/satellite_<latitude>_<longitude>.png``, and lists ``splits/<City>/pano_label_balanced.txt`` with 13
cells a line, separated by white space: panorama, then four times tile, offset, offset. The first tile is the positive,
the other three are **semi-positives**: neighbouring tiles that also show the spot, only farther from their centre. A
semi-positive is never a negative here: :meth:`VigorLayout.separation` keeps them apart by distance, and
:meth:`VigorLayout.check_questions` proves it of the questions made. (The authors' loader keeps panoramas
that share any of their four tiles out of one batch: ``dataloader.py``, ``check_overlap``.)

Tiles are Google's at zoom 20, 640 pixels wide (Jeff-Zilence/VIGOR, issue 14; the metres a pixel of each city in
tudelft-iv/CCVPE ``train_VIGOR.py`` agree to 1 %): 64 to 76 m. They overlap by half, so that a panorama lies up to a
quarter of the edge off the middle of its positive, each way.

How we differ: only the cross-area protocol (train New York and Seattle, test Chicago and San Francisco), since the
same-area one puts every city in both splits.
"""

from __future__ import annotations

import dataclasses
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import ClassVar

from geor1.geodesy import haversine_km
from geor1.records import Question
from geor1.synthesis.layouts.base import PairEntry, PairLayout, Refused, decimal, read_rows
from geor1.synthesis.negative_rule import NegativeRule
from geor1.synthesis.separation import Separation, half_diagonal, mercator_edge_m
from geor1.synthesis.sources import SourceError
from geor1.synthesis.swapped import require_near

_CITIES = {
    "NewYork": ("New York", "train"),
    "Seattle": ("Seattle", "train"),
    "Chicago": ("Chicago", "test"),
    "SanFrancisco": ("San Francisco", "test"),
}
_CENTRES_DEG = {  # folder -> latitude, longitude of the city's middle, to tell swapped numbers (GeoNames, rounded)
    "NewYork": (40.71, -74.01),
    "Seattle": (47.61, -122.33),
    "Chicago": (41.88, -87.63),
    "SanFrancisco": (37.77, -122.42),
}
_TILES = (1, 4, 7, 10)  # cells with tile names: the positive and three semi-positives
_MARGIN_M = 1.0
_SOUTH_DEG = 37.6  # of San Francisco: tiles show most there


@dataclasses.dataclass(frozen=True, kw_only=True)
class VigorLayout(PairLayout):
    """VIGOR.

    Attributes:
        labels: ``splits`` as published, or ``splits__corrected`` (SliceMatch: the offsets put right; same tiles).
    """

    source: ClassVar[str] = "vigor"
    tile_edge_m: ClassVar[float] = mercator_edge_m(640, zoom=20, latitude_deg=_SOUTH_DEG)
    tile_evidence: ClassVar[str] = "zoom 20 and 640 px by the authors, in San Francisco"
    labels: str = "splits"

    def published(self) -> Iterator[PairEntry | Refused]:
        """See :meth:`PairLayout.published`."""
        for row, _ in self._rows():
            yield row

    def shown_tiles(self) -> dict[str, frozenset[str]]:
        """Tiles that show the spot of each panorama: its positive and its semi-positives.

        Returns:
            Pair id -> paths of tiles below the root.
        """
        return {f"{self.source}/{entry.name}": tiles for entry, tiles in self._labelled()}

    def negative_rule(self, *, max_radius_m: float = 4000.0, difficulty: str = "mixed") -> NegativeRule:
        """A rule for negatives under which no tile that shows the spot is offered as one.

        Its least separation is that of :class:`NegativeRule`, or more where two panoramas farther apart share a tile.

        Args:
            max_radius_m: As in the rule.
            difficulty: As in the rule.
        """
        least = max(NegativeRule().min_separation_m, self.separation(0.0).least_m)
        return NegativeRule(min_separation_m=least, max_radius_m=max(max_radius_m, 2 * least), difficulty=difficulty)

    def separation(self, tile_extent_m: float) -> Separation:
        """By what a tile shows, or more where the lists have panoramas farther apart that share a tile."""
        by_tile = half_diagonal(tile_extent_m, self.tile_edge_m, self.tile_evidence, off_centre=0.25)
        by_lists = Separation(
            math.ceil(10 * self._farthest_m()) / 10, "panoramas so far apart share a tile in the lists"
        )
        return max((one for one in (by_tile, by_lists) if one), key=lambda one: one.least_m)

    def _farthest_m(self) -> float:
        """A metre more than the farthest two panoramas that share a tile are apart."""
        labelled = list(self._labelled())
        by_positive: dict[str, list[PairEntry]] = defaultdict(list)
        for entry, _ in labelled:
            by_positive[entry.satellite].append(entry)
        return _MARGIN_M + max(
            (_apart_m(entry, other) for entry, tiles in labelled for tile in tiles for other in by_positive[tile]),
            default=0.0,
        )

    def check_questions(self, questions: Iterable[Question]) -> int:
        """Make sure that no negative of a question shows its panorama's spot.

        Args:
            questions: Made of this data set's pairs.

        Returns:
            How many questions were checked.

        Raises:
            SourceError: One does.
        """
        labelled = list(self._labelled())
        positives = {f"{self.source}/{entry.name}": entry.satellite for entry, _ in labelled}
        shown = {f"{self.source}/{entry.name}": tiles for entry, tiles in labelled}
        checked = 0
        for question in questions:
            checked += 1
            strange = {question.pair_id, *(option.pair_id for option in question.candidates)} - set(positives)
            if strange:
                raise SourceError(f"question {question.question_id!r}: {sorted(strange)} are no pairs of VIGOR")
            for option in question.candidates:
                if option.letter != question.answer and positives[option.pair_id] in shown[question.pair_id]:
                    raise SourceError(
                        f"question {question.question_id!r}: option {option.letter} also shows the panorama's spot; "
                        "make the questions with VigorLayout.negative_rule()"
                    )
        return checked

    def _labelled(self) -> Iterator[tuple[PairEntry, frozenset[str]]]:
        """Pairs that fit, each with all tiles that show the panorama's spot."""
        for row, tiles in self._rows():
            if isinstance(row, PairEntry):
                yield row, tiles

    def _rows(self) -> Iterator[tuple[PairEntry | Refused, frozenset[str]]]:
        """Rows of all lists, each with all tiles that show the panorama's spot."""
        suffix = "__corrected" if self.labels.endswith("__corrected") else ""
        for folder in _CITIES:
            path = Path(self.root) / self.labels / folder / f"pano_label_balanced{suffix}.txt"
            for where, cells in read_rows(path, 13, None, name=f"{folder}/{path.name}"):
                try:
                    if isinstance(cells, SourceError):
                        raise cells
                    tiles = [f"{folder}/satellite/{cells[index]}" for index in _TILES]
                    row: tuple[PairEntry | Refused, frozenset[str]] = (
                        _entry(where, cells[0], tiles[0], folder),
                        frozenset(tiles),
                    )
                except SourceError as error:
                    row = Refused(where, error), frozenset()
                yield row


def _entry(where: str, panorama: str, tile: str, folder: str) -> PairEntry:
    parts = panorama.split(",")
    if len(parts) != 4:
        raise SourceError(f"{where}, column 1: expected <id>,<latitude>,<longitude>,.jpg, got {panorama!r}")
    latitude_deg = decimal(where, "1 (latitude)", parts[1], 90.0)
    longitude_deg = decimal(where, "1 (longitude)", parts[2], 180.0)
    city, split = _CITIES[folder]
    require_near(
        f"{where}, column 1",
        latitude_deg=latitude_deg,
        longitude_deg=longitude_deg,
        centre_deg=_CENTRES_DEG[folder],
        place=city,
    )
    return PairEntry(
        name=f"{folder}/{parts[0]}",
        ground=f"{folder}/panorama/{panorama}",
        satellite=tile,
        split=split,
        latitude_deg=latitude_deg,
        longitude_deg=longitude_deg,
        city=city,
        country="United States",
        country_code="US",
        where=where,
    )


def _apart_m(first: PairEntry, second: PairEntry) -> float:
    distance_km = haversine_km(
        lat1=first.latitude_deg,  # type: ignore[arg-type]
        lon1=first.longitude_deg,  # type: ignore[arg-type]
        lat2=second.latitude_deg,  # type: ignore[arg-type]
        lon2=second.longitude_deg,  # type: ignore[arg-type]
    )
    return float(distance_km) * 1000
