"""A folder of real pairs: ``NN_ground.jpg`` beside ``NN_satellite.jpg``, positions in an optional CSV."""

from __future__ import annotations

import csv
import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

from geor1.records import Pair, RecordError, check_coordinates
from geor1.synthesis.images import ImageError
from geor1.synthesis.placing import Placer, ordered_map
from geor1.synthesis.reading import Reader
from geor1.synthesis.sources import Books, SourceError, chosen_rows
from geor1.synthesis.swapped import refuse_swapped

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
    "season": ("season",),
}
_FACTS = ("city", "country", "country_code", "season")


@dataclasses.dataclass(frozen=True, kw_only=True)
class FolderSource(Reader):
    """Pairs of one folder.

    Attributes, besides those of :class:`~geor1.synthesis.reading.Reader`:
        folder: Holds ``<name>_ground.<ext>`` and ``<name>_satellite.<ext>`` (jpg, jpeg, png or webp), and at most one
            ``*.csv`` with a header: ``name``, ``lat``, ``lon`` and, if known, ``city``, ``country``, ``country_code``,
            ``split``, ``season``.
        split: Split of pairs for which the CSV names none.
    """

    folder: Path
    split: str = "test"

    @property
    def name(self) -> str:
        """``folder:`` and the folder's name."""
        return f"folder:{Path(self.folder).resolve().name}"

    def pairs(self, out_dir: Path) -> Iterator[Pair]:
        """Place the images without metadata and yield the pairs by name; see :class:`Source`.

        Raises:
            SourceError: No such folder, no pairs in it, a partner is missing, or the CSV does not fit.
            ImageError: An image is missing, truncated or no image (unless broken rows are skipped).
        """
        found = find_partners(Path(self.folder), books=self.books)
        rows = read_positions(Path(self.folder), known=set(found), books=self.books)
        names = [name for name in sorted(found) if name not in rows or rows[name]]
        groups = (
            f"{rows.get(name, {}).get('split', self.split)}/{rows.get(name, {}).get('city', '')}" for name in names
        )
        keep = chosen_rows(groups, self.pairs_per_city, self.seed)
        placer = self.placer(out_dir)

        def make(name: str) -> tuple[str, Pair | ImageError]:
            """The pair, or why there is none."""
            try:
                return name, self._pair(name, found[name], rows.get(name, {}), placer)
            except ImageError as error:
                return name, error

        wanted = (name for number, name in enumerate(names) if keep is None or keep[number])
        for name, made in ordered_map(make, wanted, self.workers):
            if isinstance(made, Pair):
                yield made
            else:
                self.books.refuse(f"{self.folder}: pair {name!r}", made)

    def _pair(self, name: str, files: dict[str, Path], row: dict[str, str], placer: Placer) -> Pair:
        return Pair(
            pair_id=f"{self.name}/{name}",
            source=self.name,
            split=row.get("split", self.split),
            ground_image=placer.place(files["ground"], self.name, name, view="ground"),
            satellite_image=placer.place(files["satellite"], self.name, name, view="satellite"),
            latitude_deg=float(row["latitude_deg"]) if "latitude_deg" in row else None,
            longitude_deg=float(row["longitude_deg"]) if "longitude_deg" in row else None,
            city=row.get("city"),
            country=row.get("country"),
            country_code=row.get("country_code"),
            facts={key: row[key] for key in _FACTS if key in row},
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


def find_partners(folder: Path, *, books: Books | None = None) -> dict[str, dict[str, Path]]:
    """The two files of each pair in a folder.

    Args:
        folder: See :class:`FolderSource`.
        books: Where pairs without a partner are entered; None stops at one.

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
    books = books or Books()
    for name in sorted(name for name, files in found.items() if len(files) < len(VIEWS)):
        present, missing = found[name], [view for view in VIEWS if view not in found[name]]
        file = next(iter(present.values())).name
        text = f"{folder}: {file} has no partner {name}_{missing[0]}.jpg; add it or remove {file}"
        books.refuse(str(folder), SourceError(text))
        del found[name]
    return found


def read_positions(folder: Path, *, known: set[str], books: Books | None = None) -> dict[str, dict[str, str]]:
    """Rows of a folder's CSV by pair name, under this project's field names.

    Args:
        folder: With at most one ``*.csv``.
        known: Names of the pairs present.
        books: Where rows that do not fit are entered; None stops at one.

    Returns:
        Pair name -> field -> text; empty cells are left out, and a row that does not fit is empty. Empty if there is no
        CSV.

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
        books = books or Books()
        for raw in reader:
            where = f"{tables[0]} line {reader.line_num}"
            row = {field: (raw[column] or "").strip() for field, column in columns.items()}
            row = {field: value for field, value in row.items() if value}
            name = row.get("name", "")
            try:
                _check_name(name, where, known, rows)
                rows[name] = {}
                _check_row(row, where)
            except SourceError as error:
                books.refuse(where, error)
                continue
            rows[name] = row
    return rows


def _check_name(name: str, where: str, known: set[str], rows: dict[str, dict[str, str]]) -> None:
    if name not in known:
        raise SourceError(f"{where}: pair {name!r} has no images in the folder; known are {sorted(known)[:5]} …")
    if name in rows:
        raise SourceError(f"{where}: pair {name!r} has a row already; keep one")


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
    latitude_deg, longitude_deg = numbers.values()
    if latitude_deg is not None and longitude_deg is not None:
        refuse_swapped(
            where,
            latitude_deg=latitude_deg,
            longitude_deg=longitude_deg,
            city=row.get("city"),
            country_code=row.get("country_code"),
        )
