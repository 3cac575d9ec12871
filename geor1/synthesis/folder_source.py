"""A folder of real pairs: ``NN_ground.jpg`` beside ``NN_satellite.jpg``, positions in an optional CSV."""

from __future__ import annotations

import csv
import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

from geor1.records import Pair, RecordError, check_coordinates
from geor1.synthesis.images import JPEG_QUALITY, encode_jpeg, fit, load_image, neutral_name
from geor1.synthesis.sources import IMAGES_FOLDER, SourceError, images_dir

VIEWS = ("ground", "satellite")
_FILE = re.compile(r"^(?P<name>.+)_(?P<view>ground|satellite)\.(?:jpe?g|png|webp)$", re.IGNORECASE)
_COLUMNS = {
    "name": ("name", "id", "pair", "pair_id"),
    "latitude_deg": ("latitude_deg", "lat_deg", "latitude", "lat"),
    "longitude_deg": ("longitude_deg", "lon_deg", "longitude", "lon", "lng"),
    "city": ("city",),
    "country": ("country",),
    "country_code": ("country_code",),
    "split": ("split",),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class FolderSource:
    """Pairs of one folder.

    Attributes:
        folder: Holds ``<name>_ground.<ext>`` and ``<name>_satellite.<ext>`` (jpg, jpeg, png or webp), and at most one
            ``*.csv`` with a header: ``name``, ``lat``, ``lon`` and, if known, ``city``, ``country``, ``country_code``,
            ``split``.
        split: Split of pairs for which the CSV names none.
        panorama_px: Width and height of the ground images written; (0, 0) keeps each image's own size.
        tile_px: Edge of the tiles written; 0 keeps each tile's own size.
        quality: JPEG quality of both views.
    """

    folder: Path
    split: str = "test"
    panorama_px: tuple[int, int] = (0, 0)
    tile_px: int = 0
    quality: int = JPEG_QUALITY

    @property
    def name(self) -> str:
        """``folder:`` and the folder's name."""
        return f"folder:{Path(self.folder).resolve().name}"

    def pairs(self, out_dir: Path) -> Iterator[Pair]:
        """Re-encode the images without metadata and yield the pairs by name; see :class:`Source`.

        Raises:
            SourceError: No such folder, no pairs in it, a partner is missing, or the CSV does not fit.
            ImageError: An image is missing, truncated or no image.
        """
        found = find_partners(Path(self.folder))
        rows = read_positions(Path(self.folder), known=set(found))
        target = images_dir(out_dir)
        for name, files in sorted(found.items()):
            written = {}
            for view in VIEWS:
                width, height = self.panorama_px if view == "ground" else (self.tile_px, self.tile_px)
                image = fit(load_image(files[view]), width_px=width, height_px=height, view=view)
                file_name = neutral_name(self.name, name, view)
                (target / file_name).write_bytes(encode_jpeg(image, quality=self.quality))
                written[view] = f"{IMAGES_FOLDER}/{file_name}"
            yield self._pair(name, written, rows.get(name, {}))

    def _pair(self, name: str, written: dict[str, str], row: dict[str, str]) -> Pair:
        return Pair(
            pair_id=f"{self.name}/{name}",
            source=self.name,
            split=row.get("split", self.split),
            ground_image=written["ground"],
            satellite_image=written["satellite"],
            latitude_deg=float(row["latitude_deg"]) if "latitude_deg" in row else None,
            longitude_deg=float(row["longitude_deg"]) if "longitude_deg" in row else None,
            city=row.get("city"),
            country=row.get("country"),
            country_code=row.get("country_code"),
            facts={key: row[key] for key in ("city", "country", "country_code") if key in row},
        )


def folder_sources(root: Path, **settings: object) -> list[FolderSource]:
    """One source for a folder of pairs, or one for each sub-folder that holds pairs.

    Args:
        root: A folder of pairs, or a folder of such folders (``cvusa/``, ``cvcities/`` …).
        settings: Fields of :class:`FolderSource` other than ``folder``.

    Raises:
        SourceError: No such folder, or no pairs in it or right below it.
    """
    root = Path(root)
    if not root.is_dir():
        raise SourceError(
            f"{root}: no such folder of pairs; give a folder with NN_ground.jpg and NN_satellite.jpg files"
        )
    folders = [folder for folder in (root, *sorted(root.iterdir())) if folder.is_dir() and _pair_files(folder)]
    if not folders:
        raise SourceError(f"{root}: expected NN_ground.jpg and NN_satellite.jpg files in it or right below, found none")
    return [FolderSource(folder=folder, **settings) for folder in folders]  # type: ignore[arg-type]


def find_partners(folder: Path) -> dict[str, dict[str, Path]]:
    """The two files of each pair in a folder.

    Args:
        folder: See :class:`FolderSource`.

    Returns:
        Name -> view -> file.

    Raises:
        SourceError: No such folder, no pairs, two files for one view, or a missing partner.
    """
    if not folder.is_dir():
        raise SourceError(f"{folder}: no such folder of pairs; check the path")
    found: dict[str, dict[str, Path]] = {}
    for path, name, view in _pair_files(folder):
        if view in found.setdefault(name, {}):
            raise SourceError(
                f"{folder}: pair {name!r} has two {view} images, {found[name][view].name} and {path.name}"
            )
        found[name][view] = path
    if not found:
        raise SourceError(f"{folder}: expected NN_ground.jpg and NN_satellite.jpg files, found none")
    for name, files in sorted(found.items()):
        missing = [view for view in VIEWS if view not in files]
        if missing:
            present = next(iter(files.values())).name
            raise SourceError(f"{folder}: {present} has no partner {name}_{missing[0]}.jpg; add it or remove {present}")
    return found


def read_positions(folder: Path, *, known: set[str]) -> dict[str, dict[str, str]]:
    """Rows of a folder's CSV by pair name, under this project's field names.

    Args:
        folder: With at most one ``*.csv``.
        known: Names of the pairs present.

    Returns:
        Pair name -> field -> text; empty cells are left out. Empty if there is no CSV.

    Raises:
        SourceError: Several CSVs, a column missing, an unknown or repeated name, or coordinates that are none.
    """
    tables = sorted(folder.glob("*.csv"))
    if not tables:
        return {}
    if len(tables) > 1:
        raise SourceError(
            f"{folder}: expected one CSV of positions, found {[table.name for table in tables]}; keep one"
        )
    rows: dict[str, dict[str, str]] = {}
    with tables[0].open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        columns = _match_columns(reader.fieldnames or [], tables[0])
        for raw in reader:
            where = f"{tables[0]} line {reader.line_num}"
            row = {field: (raw[column] or "").strip() for field, column in columns.items()}
            row = {field: value for field, value in row.items() if value}
            name = row.get("name", "")
            if name not in known:
                raise SourceError(
                    f"{where}: pair {name!r} has no images in the folder; known are {sorted(known)[:5]} …"
                )
            if name in rows:
                raise SourceError(f"{where}: pair {name!r} has a row already; keep one")
            _check_row(row, where)
            rows[name] = row
    return rows


def _pair_files(folder: Path) -> list[tuple[Path, str, str]]:
    matches = [(path, _FILE.match(path.name)) for path in sorted(folder.iterdir())]
    return [(path, match["name"], match["view"].lower()) for path, match in matches if match]


def _match_columns(header: list[str] | tuple[str, ...], table: Path) -> dict[str, str]:
    lowered = {column.strip().lower(): column for column in header}
    columns = {
        field: lowered[next(alias for alias in aliases if alias in lowered)]
        for field, aliases in _COLUMNS.items()
        if any(alias in lowered for alias in aliases)
    }
    missing = [field for field in ("name", "latitude_deg", "longitude_deg") if field not in columns]
    if missing:
        raise SourceError(
            f"{table} line 1: no column for {missing[0]}; expected one of {_COLUMNS[missing[0]]}, found {list(header)}"
        )
    return columns


def _check_row(row: dict[str, str], where: str) -> None:
    numbers: dict[str, float | None] = {"latitude_deg": None, "longitude_deg": None}
    for field in numbers:
        if field in row:
            try:
                numbers[field] = float(row[field])
            except ValueError as error:
                raise SourceError(f"{where}: {field}: expected decimal degrees, got {row[field]!r}") from error
    try:
        check_coordinates(latitude_deg=numbers["latitude_deg"], longitude_deg=numbers["longitude_deg"])
    except RecordError as error:
        raise SourceError(f"{where}: {error}") from error
    if row.get("split", "test") not in ("train", "test"):
        raise SourceError(f"{where}: split: expected 'train' or 'test', got {row['split']!r}")
