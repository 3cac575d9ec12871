"""Published cross-view data sets as sources of pairs: what their readers share.

Every layout is a :class:`geor1.synthesis.sources.Source`: it re-encodes both views without metadata under names that
tell nothing (published names often hold the coordinates) and yields :class:`geor1.records.Pair`.
"""

from __future__ import annotations

import abc
import dataclasses
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from geor1.benchmarks.items import BenchmarkError
from geor1.records import Pair
from geor1.synthesis.images import JPEG_QUALITY, encode_jpeg, fit, load_image, neutral_name
from geor1.synthesis.sources import IMAGES_FOLDER, images_dir

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True)
class PairEntry:
    """One published pair.

    Attributes:
        name: Unique within the data set.
        ground: Ground image, relative to the root.
        satellite: Satellite tile, relative to the root; pairs may share one.
        split: ``train`` or ``test``.
        latitude_deg: Of the camera, or None.
        longitude_deg: Likewise.
        city: If known.
        country: If known.
        country_code: ISO 3166-1 alpha-2, if known.
    """

    name: str
    ground: str
    satellite: str
    split: str
    latitude_deg: float | None = None
    longitude_deg: float | None = None
    city: str | None = None
    country: str | None = None
    country_code: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class PairLayout(abc.ABC):
    """Base of the layouts.

    Attributes:
        root: The data set's folder.
        split: Deliver only ``train`` or only ``test``; None delivers both (stage 01 then refuses data sets whose
            published splits share a city).
        panorama_px: Width and height of the ground images written; (0, 0) keeps each image's own size.
        tile_px: Edge of the tiles written; 0 keeps each tile's own size.
        quality: JPEG quality of both views.
        skip_missing: Leave out pairs whose files are not there, with a count in the log; else that is an error.
    """

    source: ClassVar[str]

    root: Path
    split: str | None = None
    panorama_px: tuple[int, int] = (0, 0)
    tile_px: int = 0
    quality: int = JPEG_QUALITY
    skip_missing: bool = False

    @property
    def name(self) -> str:
        """Stands in ``Pair.source``."""
        return self.source

    @abc.abstractmethod
    def published(self) -> Iterator[PairEntry]:
        """All pairs of the data set's own lists, in their order.

        Raises:
            BenchmarkError: A list is missing or does not fit.
        """

    def entries(self) -> list[PairEntry]:
        """The pairs of the wanted split whose files are there.

        Raises:
            BenchmarkError: As :meth:`published`; an image path leaves the root, a name occurs twice, a file is missing
                (unless ``skip_missing``), or nothing is left.
        """
        wanted = [entry for entry in self.published() if self.split in (None, entry.split)]
        names = {entry.name for entry in wanted}
        if len(names) < len(wanted):
            raise BenchmarkError(f"{self.source}: expected unique names, got {len(wanted)} pairs, {len(names)} names")
        there = [entry for entry in wanted if self._present(entry)]
        if len(there) < len(wanted):
            _log.warning(
                "%s: %d of %d pairs left out, files missing", self.source, len(wanted) - len(there), len(wanted)
            )
        if not there:
            raise BenchmarkError(f"{self.root}: expected pairs of {self.source} (split {self.split}), found none")
        return there

    def pairs(self, out_dir: Path) -> Iterator[Pair]:
        """Write the images and yield the pairs; see :class:`geor1.synthesis.sources.Source`.

        Raises:
            BenchmarkError: As :meth:`entries`.
            ImageError: An image cannot be read.
        """
        entries = self.entries()
        images_dir(out_dir)
        written: set[str] = set()
        for entry in entries:
            ground = self.copy_image(entry.ground, "ground", out_dir, written)
            satellite = self.copy_image(entry.satellite, "satellite", out_dir, written)
            facts = {name: getattr(entry, name) for name in ("city", "country", "country_code")}
            yield Pair(
                pair_id=f"{self.source}/{entry.name}",
                source=self.source,
                split=entry.split,
                ground_image=ground,
                satellite_image=satellite,
                latitude_deg=entry.latitude_deg,
                longitude_deg=entry.longitude_deg,
                **facts,
                facts={name: text for name, text in facts.items() if text},
            )

    def copy_image(self, relative: str, view: str, out_dir: Path, written: set[str]) -> str:
        """Re-encode one image, once.

        Args:
            relative: Path below the root.
            view: ``ground`` or ``satellite``.
            out_dir: Folder of the data set.
            written: Paths written so far; added to.

        Returns:
            The path written, relative to ``out_dir``.
        """
        target = f"{IMAGES_FOLDER}/{neutral_name(self.source, relative, view)}"
        if target not in written:
            width, height = self.panorama_px if view == "ground" else (self.tile_px, self.tile_px)
            image = fit(load_image(self.root / relative), width_px=width, height_px=height, view=view)
            (out_dir / target).write_bytes(encode_jpeg(image, quality=self.quality))
            written.add(target)
        return target

    def _present(self, entry: PairEntry) -> bool:
        root = Path(self.root).resolve()
        for relative in (entry.ground, entry.satellite):
            file = (root / relative).resolve()
            if not file.is_relative_to(root):
                raise BenchmarkError(f"{self.source}: image path {relative!r} of {entry.name!r} leaves the folder")
            if not file.is_file():
                if self.skip_missing:
                    return False
                raise BenchmarkError(
                    f"{file}: image of pair {entry.name!r} is missing; complete the download, or set skip_missing=True"
                )
        return True


def read_cells(path: Path, count: int, separator: str | None) -> Iterator[tuple[str, list[str]]]:
    """Lines of a list without a header, each as its place (``file line 3``) and its cells.

    Args:
        path: Text file.
        count: Cells that every line must have.
        separator: Between cells; None is any white space.

    Raises:
        BenchmarkError: No such file, or a line with another number of cells.
    """
    if not path.is_file():
        raise BenchmarkError(f"{path}: no such list; is this the root of the data set?")
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, start=1):
            cells = [cell.strip() for cell in line.split(separator)]
            if not line.strip():
                continue
            if len(cells) != count:
                raise BenchmarkError(
                    f"{path.name} line {number}: expected {count} cells, got {len(cells)}: {line[:80]!r}"
                )
            yield f"{path.name} line {number}", cells


def decimal(where: str, column: str, text: str, limit: float) -> float:
    """A number in [-limit, limit].

    Raises:
        BenchmarkError: It is none.
    """
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not -limit <= value <= limit:
        raise BenchmarkError(f"{where}, column {column!r}: expected degrees in [-{limit:g}, {limit:g}], got {text!r}")
    return value
