"""GeoX-Bench: ground views and satellite tiles of five data sets, with four candidate tiles a question.

Layout, read in IntMeGroup/GeoX-Bench ``Dataset_Index/LocationSelection/*.json``: a list of objects with ``image_id``
(repeated for the four headings in some files), ``GroundImage`` (``file_path``, ``real_location`` = "latitude,longitude"
of the camera, ``orientation``; a view of 90°, no panorama) and ``AerialCandidates``, four objects with ``AerialImage``
(``file_path``, maybe ``real_location``) and ``is_original``, exactly one true. Cities are not named. The images have to
be gathered from the five data sets; paths are below the folder of one of them.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from geor1.geodesy import haversine_km
from geor1.records import Candidate, Question
from geor1.synthesis.images import ImageError, neutral_name
from geor1.synthesis.layouts.base import PairEntry, PairLayout, Refused, decimal
from geor1.synthesis.placing import Placer
from geor1.synthesis.sources import SourceError


@dataclasses.dataclass(frozen=True, kw_only=True)
class GeoXLayout(PairLayout):
    """GeoX-Bench; everything is test.

    Attributes:
        index: One of its JSON files; image paths in it are below ``root``.
    """

    source: ClassVar[str] = "geox-bench"
    index: Path

    def published(self) -> Iterator[PairEntry | Refused]:
        """See :meth:`PairLayout.published`."""
        for row, _ in self._indexed():
            yield row

    def questions(self, out_dir: Path) -> list[Question]:
        """The benchmark's own questions: its candidates in its order; images as :meth:`PairLayout.pairs`.

        Raises:
            SourceError: As :meth:`PairLayout.entries`.
            ImageError: An image cannot be read.
        """
        placer = self.placer(out_dir)
        candidates = {row.name: found for row, found in self._indexed() if isinstance(row, PairEntry)}
        questions = []
        for entry in self.entries():
            try:
                questions.append(self._question(entry, candidates[entry.name], placer))
            except ImageError as error:
                self.books.refuse(entry.where, error)
        return questions

    def _question(self, entry: PairEntry, candidates: list[dict[str, Any]], placer: Placer) -> Question:
        options, answer = [], ""
        for number, candidate in enumerate(candidates):
            letter, path = chr(ord("A") + number), candidate["AerialImage"]["file_path"]
            right = candidate["is_original"]
            answer = letter if right else answer
            tile = neutral_name(self.source, path).removesuffix(".jpg")
            options.append(
                Candidate(
                    letter=letter,
                    pair_id=f"{self.source}/{entry.name}" if right else f"{self.source}/tile/{tile}",
                    satellite_image=self.place(placer, path, "satellite"),
                    distance_m=0.0 if right else _distance_m(entry, candidate["AerialImage"].get("real_location")),
                )
            )
        return Question(
            question_id=f"{self.source}/{entry.name}",
            pair_id=f"{self.source}/{entry.name}",
            source=self.source,
            split=entry.split,
            ground_image=self.place(placer, entry.ground, "ground"),
            candidates=tuple(options),
            answer=answer,
            latitude_deg=entry.latitude_deg,
            longitude_deg=entry.longitude_deg,
        )

    def _indexed(self) -> Iterator[tuple[PairEntry | Refused, list[dict[str, Any]]]]:
        """Pair and candidates of every object."""
        path = Path(self.index)
        if not path.is_file():
            raise SourceError(f"{path}: no such index; take one of GeoX-Bench's Dataset_Index/LocationSelection")
        try:
            listed = json.loads(path.read_text(encoding="utf-8"))
        except json.JSONDecodeError as error:
            raise SourceError(f"{path.name}: not JSON ({error.msg}, line {error.lineno}); was it cut?") from error
        for number, raw in enumerate(listed, start=1):
            where = f"{path.name} object {number}"
            found: tuple[PairEntry | Refused, list[dict[str, Any]]]
            try:
                found = _read(raw, where)
            except SourceError as error:
                found = Refused(where, error), []
            except (KeyError, TypeError, AttributeError) as error:
                text = f"{where}: not as published ({error!r}); is this a LocationSelection file?"
                found = Refused(where, SourceError(text)), []
            yield found


def _read(raw: dict[str, Any], where: str) -> tuple[PairEntry, list[dict[str, Any]]]:
    ground, candidates = raw["GroundImage"], raw["AerialCandidates"]
    original = [one["AerialImage"]["file_path"] for one in candidates if one["is_original"]]
    if len(original) != 1:
        raise SourceError(f"{where}, 'AerialCandidates': expected one original, got {len(original)}")
    latitude_deg, longitude_deg = _position(ground["real_location"], where)
    entry = PairEntry(
        name=f"{raw['image_id']}_{ground['orientation']}",
        ground=ground["file_path"],
        satellite=original[0],
        split="test",
        latitude_deg=latitude_deg,
        longitude_deg=longitude_deg,
        where=where,
    )
    return entry, candidates


def _position(text: str, where: str) -> tuple[float, float]:
    latitude, _, longitude = text.partition(",")
    return decimal(where, "real_location", latitude, 90.0), decimal(where, "real_location", longitude, 180.0)


def _distance_m(entry: PairEntry, location: str | None) -> float | None:
    if not location or entry.latitude_deg is None or entry.longitude_deg is None:
        return None
    latitude_deg, longitude_deg = _position(location, entry.name)
    distance_km = haversine_km(lat1=entry.latitude_deg, lon1=entry.longitude_deg, lat2=latitude_deg, lon2=longitude_deg)
    return round(float(distance_km) * 1000, 1)
