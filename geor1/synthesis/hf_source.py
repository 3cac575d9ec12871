"""Pairs of a Hugging Face dataset, on the Hub or on this disk, whose columns are named.

Rows are streamed: what is in memory at a time is a few rows, however large the set. Images may be bytes, paths, or the
``{"bytes", "path"}`` of the ``datasets`` library; they are placed as they are (:mod:`geor1.synthesis.placing`). A tile
that several rows hold, as the same bytes or the same path, is one tile: none of those rows is a negative of another.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from geor1.records import Pair, RecordError, check_coordinates
from geor1.runs.errors import did_you_mean
from geor1.synthesis.images import ImageError
from geor1.synthesis.placing import Placer, ordered_map
from geor1.synthesis.reading import Reader
from geor1.synthesis.sources import SourceError, chosen_rows
from geor1.synthesis.swapped import refuse_swapped

IMAGES = ("panorama", "tile")
TEXTS = ("name", "city", "country", "country_code", "split", "season")
NUMBERS = ("latitude", "longitude")
COLUMNS = (*IMAGES, *NUMBERS, *TEXTS)
"""What a column can be; ``panorama`` and ``tile`` are needed."""
ROWS_AT_ONCE = 16
"""Rows of a Parquet file decoded together."""
_FACTS = ("city", "country", "country_code", "season")
_LOADERS = {".parquet": "parquet", ".jsonl": "json", ".json": "json", ".csv": "csv", ".arrow": "arrow"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class HfSource(Reader):
    """Pairs of a dataset, whose rows are read twice for ``pairs_per_city``.

    Attributes, besides those of :class:`~geor1.synthesis.reading.Reader`:
        path: Name on the Hub (``owner/name``), a folder, or a Parquet, JSON Lines, CSV or Arrow file.
        columns: What each of ``panorama``, ``tile``, ``latitude``, ``longitude``, ``name``, ``city``, ``country``,
            ``country_code``, ``split`` and ``season`` is called there; those not named are looked for under their own
            name.
        subset: Configuration of the dataset; empty for its only one.
        part: Split of the dataset to read.
        revision: Commit or tag on the Hub; empty for the newest.
        image_folder: Where relative image paths start; None means the folder of ``path``.
        split: Split of rows for which no column says one.
    """

    path: str
    columns: Mapping[str, str] = dataclasses.field(default_factory=dict)
    subset: str = ""
    part: str = "train"
    revision: str = ""
    image_folder: Path | None = None
    split: str = "test"

    def __post_init__(self) -> None:
        for name in self.columns:
            if name not in COLUMNS:
                raise SourceError(
                    f"columns: expected {', '.join(COLUMNS)} as keys, got {name!r}{did_you_mean(name, COLUMNS)}"
                )

    @property
    def name(self) -> str:
        """``hf:`` and the last part of the path."""
        return f"hf:{Path(self.path).name}"

    def pairs(self, out_dir: Path) -> Iterator[Pair]:
        """Place the images and yield the pairs, row by row; see :class:`~geor1.synthesis.sources.Source`.

        Raises:
            SourceError: No such dataset or column, a name occurs twice, or a row does not fit, named by its number.
            ImageError: An image cannot be read (unless broken rows are skipped).
        """
        rows, present = self._rows()
        keep = chosen_rows(self._groups() if self.pairs_per_city else (), self.pairs_per_city, self.seed)
        placer = self.placer(out_dir)
        named = self._named(rows, present.get("name"))
        wanted = (one for one in named if keep is None or keep[one[0]])

        def make(named: tuple[int, str, dict[str, Any]]) -> tuple[str, Pair | ValueError]:
            """The pair, or why there is none."""
            number, name, row = named
            where = self._where(number)
            try:
                return where, self._pair(where, name, {key: row[column] for key, column in present.items()}, placer)
            except (ImageError, SourceError, RecordError) as error:
                return where, error

        delivered = 0
        for where, made in ordered_map(make, wanted, self.workers):
            if isinstance(made, Pair):
                delivered += 1
                yield made
            else:
                self.books.refuse(where, made)
        if not delivered:
            raise SourceError(f"{self.path} ({self.part}): expected rows with pairs, found none that can be used")

    def _where(self, number: int) -> str:
        return f"{self.path} ({self.part}) row {number + 1}"

    def _named(self, rows: Iterable[dict[str, Any]], column: str | None) -> Iterator[tuple[int, str, dict[str, Any]]]:
        """Number, name and cells of every row; the number is the name where no column gives one."""
        seen: set[str] = set()
        for number, row in enumerate(rows):
            name = str(number)
            if column is not None:
                name = "" if row[column] is None else str(row[column]).strip()
                name = name or str(number)
                if name in seen:
                    raise SourceError(
                        f"{self._where(number)}: {self.name} has a pair {name!r} already; names must be unique, keep "
                        "one, or name another column as name in columns"
                    )
                seen.add(name)
            yield number, name, row

    def _pair(self, where: str, name: str, row: dict[str, Any], placer: Placer) -> Pair:
        texts = {name: str(row[name]).strip() for name in TEXTS if row.get(name) not in (None, "")}
        position = {f"{name}_deg": _degrees(where, name, row[name]) for name in NUMBERS if row.get(name) is not None}
        split = texts.get("split", self.split)
        check_coordinates(**{field: position.get(field) for field in ("latitude_deg", "longitude_deg")})
        if len(position) == len(NUMBERS):
            refuse_swapped(where, **position, city=texts.get("city"), country_code=texts.get("country_code"))
        views = {}
        for column, view in zip(IMAGES, ("ground", "satellite"), strict=True):
            try:
                image = self._image(row[column])
                key = name if view == "ground" else _identity(image)
                views[view] = placer.place(image, self.name, key, view=view)
            except ImageError as error:
                raise ImageError(f"{where}, {column}: {error}") from error
        return Pair(
            pair_id=f"{self.name}/{name}",
            source=self.name,
            split="test" if split in ("val", "validation") else split,
            ground_image=views["ground"],
            satellite_image=views["satellite"],
            **{field: position.get(field) for field in ("latitude_deg", "longitude_deg")},
            **{key: texts.get(key) for key in ("city", "country", "country_code")},
            facts={key: texts[key] for key in _FACTS if key in texts},
        )

    def _image(self, cell: Any) -> Path | bytes:
        """What a cell holds: bytes, or a file inside the image folder."""
        if isinstance(cell, Mapping):
            cell = cell.get("bytes") or cell.get("path")
        if isinstance(cell, bytes):
            return cell
        if not isinstance(cell, str) or not cell:
            raise ImageError(f"expected image bytes or a path, got {type(cell).__name__} {str(cell)[:60]!r}")
        base = Path(self.path)
        root = Path(self.image_folder or (base if base.is_dir() else base.parent)).resolve()
        file = (root / cell).resolve()
        if not file.is_relative_to(root):
            raise ImageError(f"image path {cell!r} leaves {root}; give its folder as image_folder")
        return file

    def _groups(self) -> Iterator[str]:
        """Split and city of every row; of Parquet files no image is read for it."""
        _, present = self._rows()
        wanted = {name: present[name] for name in ("split", "city") if name in present}
        for row in self._load(tuple(wanted.values())):
            cells = {name: row[column] for name, column in wanted.items()}
            yield f"{cells.get('split') or self.split}/{cells.get('city') or ''}"

    def _rows(self) -> tuple[Any, dict[str, str]]:
        """The dataset, streaming, and which column holds what."""
        from datasets import Image

        rows = self._load()
        names = rows.column_names or list(next(iter(rows), {}))
        present = {name: self.columns.get(name, name) for name in COLUMNS}
        for name, column in list(present.items()):
            if column not in names:
                if name in IMAGES or name in self.columns:
                    raise SourceError(
                        f"{self.path}: no column {column!r} for {name!r}; found {names}. Name it in columns, as in "
                        f"columns: {{{name}: …}}"
                    )
                del present[name]
        for name in IMAGES:
            if rows.features and isinstance(rows.features.get(present[name]), Image):
                rows = rows.cast_column(present[name], Image(decode=False))
        return rows, present

    def _load(self, columns: tuple[str, ...] = ()) -> Any:
        """The rows, streaming; of Parquet files so many at a time as memory should hold, and some columns if asked."""
        from datasets import load_dataset_builder
        from datasets.exceptions import DatasetNotFoundError

        path = Path(self.path)
        kind = _LOADERS.get(path.suffix.lower()) if path.is_file() else None
        try:
            if kind:
                builder = load_dataset_builder(kind, data_files={self.part: str(path)})
            else:
                builder = load_dataset_builder(self.path, self.subset or None, revision=self.revision or None)
            if hasattr(builder.config, "fragment_scan_options"):
                _read_little(builder.config, columns)
            return builder.as_streaming_dataset(split=self.part)
        except (DatasetNotFoundError, FileNotFoundError, ConnectionError, ValueError) as error:
            raise SourceError(
                f"{self.path}: cannot be opened as a dataset ({error}); give owner/name on the Hub, a folder or a file"
            ) from error


def _read_little(config: Any, columns: tuple[str, ...]) -> None:
    """Parquet a few rows at a time: by itself pyarrow reads ahead and keeps the whole file."""
    from pyarrow.dataset import ParquetFragmentScanOptions

    config.batch_size = ROWS_AT_ONCE
    config.fragment_scan_options = ParquetFragmentScanOptions(pre_buffer=False, use_buffered_stream=True)
    if columns:
        config.columns = list(columns)


def _identity(image: Path | bytes) -> str:
    """The same for the same tile, whichever row holds it."""
    return image.as_posix() if isinstance(image, Path) else hashlib.sha256(image).hexdigest()


def _degrees(where: str, name: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise SourceError(f"{where}: {name}: expected decimal degrees, got {value!r}") from error
