"""The common shape of a benchmark: items with their truth, replies, and tables read with errors that name the cell."""

from __future__ import annotations

import csv
import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from geor1.answers import ParseFailure
from geor1.records import RecordError, check_coordinates

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
NO_IMAGE = "no_image"
MISSING = "missing"  # status of a question that no reply came for


class BenchmarkError(ValueError):
    """Files of a benchmark that do not fit its layout: what was expected, what came, and in which file, row, column."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Item:
    """One thing to ask about.

    Attributes:
        benchmark: Name in the registry.
        item_id: Unique within the benchmark.
        images: Paths relative to the benchmark's folder, in prompt order; empty when the image is not there
            (flag ``no_image``).
        truth: Right answers, question id -> text.
        latitude_deg: True latitude, WGS84, in [-90, 90].
        longitude_deg: True longitude, WGS84, in [-180, 180].
        slices: What tables are cut by, e.g. city, country, continent, band.
        cluster: Items with the same label are not independent (one street, one spot); resample them together.
        flags: Known defects of this label or image; such items stay in and can be left out by name.
    """

    benchmark: str
    item_id: str
    images: tuple[str, ...]
    truth: dict[str, str]
    latitude_deg: float
    longitude_deg: float
    slices: dict[str, str]
    cluster: str
    flags: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reply:
    """One completion of a model; lines of a JSONL file (:func:`geor1.records.read_jsonl`).

    Attributes:
        item_id: As in :class:`Item`.
        question: Question id of the benchmark.
        raw: The completion as generated.
    """

    item_id: str
    question: str
    raw: str


@dataclasses.dataclass(frozen=True)
class Benchmark:
    """One benchmark.

    Attributes:
        name: Registry name.
        about: One line.
        load: Folder -> items; raises :class:`BenchmarkError`.
        prompts: Folder -> question id -> prompt with one ``<image>`` marker an image.
        parse: Question id and completion -> what was answered, or why it cannot be used.
        score: Items and replies -> the benchmark's score; an item without reply counts as wrong.
    """

    name: str
    about: str
    load: Callable[[Path], list[Item]]
    prompts: Callable[[Path], dict[str, str]]
    parse: Callable[[str, str], Any | ParseFailure]
    score: Callable[..., Any]


@dataclasses.dataclass(frozen=True)
class Row:
    """One row of a CSV.

    Attributes:
        where: ``file row 12`` (the first row below the header is 1).
        cells: Column -> text, stripped; missing cells are empty.
    """

    where: str
    cells: dict[str, str]

    def __getitem__(self, column: str) -> str:
        return self.cells[column]

    def get(self, column: str) -> str:
        """Text of a column, empty where the file has no such column."""
        return self.cells.get(column, "")

    def number(self, column: str) -> float:
        """A finite number.

        Raises:
            BenchmarkError: Anything else.
        """
        try:
            value = float(self.cells[column])
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise BenchmarkError(f"{self.where}, column {column!r}: expected a number, got {self.cells[column]!r}")
        return value

    def position(self, latitude: str = "latitude", longitude: str = "longitude") -> tuple[float, float]:
        """Latitude and longitude in degrees, from these columns.

        Raises:
            BenchmarkError: Not numbers, or out of range.
        """
        lat_deg, lon_deg = self.number(latitude), self.number(longitude)
        try:
            check_coordinates(latitude_deg=lat_deg, longitude_deg=lon_deg)
        except RecordError as error:
            raise BenchmarkError(f"{self.where}, columns {latitude!r} and {longitude!r}: {error}") from error
        return lat_deg, lon_deg


def read_table(path: Path | str, needed: Sequence[str]) -> list[Row]:
    """Rows of a CSV with a header.

    Args:
        path: UTF-8, with or without a byte order mark.
        needed: Columns that must be there.

    Raises:
        BenchmarkError: No such file, no rows, a column is missing, or a row is longer or shorter than the header.
    """
    path = Path(path)
    rows = []
    with open_text(path) as file:
        reader = csv.DictReader(file, restkey="", restval=None)
        header = reader.fieldnames or []
        absent = [column for column in needed if column not in header]
        if absent:
            raise BenchmarkError(
                f"{path.name}: column {absent[0]!r} is missing; expected {list(needed)}, found {header}"
            )
        for number, raw in enumerate(reader, start=1):
            where = f"{path.name} row {number}"
            if ("" in raw and "" not in header) or None in raw.values():
                raise BenchmarkError(f"{where}: expected {len(header)} cells as in the header; was the file cut?")
            rows.append(Row(where, {column: str(cell).strip() for column, cell in raw.items()}))
    if not rows:
        raise BenchmarkError(f"{path.name}: expected rows below the header, found none")
    return rows


def open_text(path: Path) -> Any:
    """Open a text file of a benchmark for reading.

    Raises:
        BenchmarkError: No such file; the message says how to get it.
    """
    try:
        return path.open(encoding="utf-8-sig", newline="")
    except FileNotFoundError as error:
        raise BenchmarkError(f"{path}: no such file; `geor1 data list` says where the benchmark comes from") from error


def image_index(folder: Path | str) -> dict[str, str]:
    """All images below a folder, by file name without its extensions.

    Args:
        folder: The benchmark's folder.

    Returns:
        Stem -> path relative to the folder; empty if there are no images.
    """
    folder = Path(folder)
    files = (path for path in sorted(folder.rglob("*")) if path.suffix.lower() in IMAGE_SUFFIXES)
    return {path.name.split(".")[0]: path.relative_to(folder).as_posix() for path in files}


def images_of(index: dict[str, str], stem: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Image paths and flags of an item whose one image has this stem."""
    return ((index[stem],), ()) if stem in index else ((), (NO_IMAGE,))


def check_unique(items: Iterable[Item], file: str) -> list[Item]:
    """The items as a list.

    Raises:
        BenchmarkError: An id occurs twice.
    """
    listed, seen = list(items), set()
    for item in listed:
        if item.item_id in seen:
            raise BenchmarkError(f"{file}: id {item.item_id!r} occurs more than once; keep one row")
        seen.add(item.item_id)
    return listed


def replies_by_key(replies: Iterable[Reply], items: Sequence[Item]) -> dict[tuple[str, str], str]:
    """Completions by item and question.

    Raises:
        BenchmarkError: Two replies to one question, or a reply to an item that is not among these.
    """
    known = {item.item_id for item in items}
    found: dict[tuple[str, str], str] = {}
    for reply in replies:
        key = (reply.item_id, reply.question)
        if reply.item_id not in known:
            raise BenchmarkError(f"reply to item {reply.item_id!r}: no such item; are these replies to other items?")
        if key in found:
            raise BenchmarkError(f"item {key[0]!r}, question {key[1]!r}: two replies; keep one")
        found[key] = reply.raw
    return found


def select(items: Iterable[Item], **slices: str) -> Iterator[Item]:
    """The items whose slices have these values, e.g. ``select(items, band="hard", city="paris")``."""
    return (item for item in items if all(item.slices.get(name) == value for name, value in slices.items()))
