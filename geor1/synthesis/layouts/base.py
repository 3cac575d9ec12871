"""What the readers of published cross-view data sets share.

Every layout is a :class:`geor1.synthesis.sources.Source`: it places both views without metadata under names that tell
nothing (published names often hold the coordinates) and yields :class:`geor1.records.Pair`, a row at a time.
"""

from __future__ import annotations

import abc
import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import ClassVar

from geor1.records import Pair, Question, RecordError
from geor1.synthesis.images import ImageError
from geor1.synthesis.placing import Placer, ordered_map
from geor1.synthesis.reading import Reader
from geor1.synthesis.separation import Separation, half_diagonal
from geor1.synthesis.sources import Books, SourceError, chosen_rows


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
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
        where: The list and row that it stands in, for messages.
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
    where: str = ""


@dataclasses.dataclass(frozen=True)
class Refused:
    """A row of a list that does not fit.

    Attributes:
        where: File and row.
        error: What is wrong with it.
    """

    where: str
    error: SourceError


@dataclasses.dataclass(frozen=True, kw_only=True)
class PairLayout(Reader, abc.ABC):
    """Base of the layouts.

    Attributes, besides those of :class:`~geor1.synthesis.reading.Reader`:
        root: The data set's folder.
        split: Deliver only ``train`` or only ``test``; None delivers both (stage 01 then refuses data sets whose
            published splits share a city).
    """

    source: ClassVar[str]
    tile_edge_m: ClassVar[float] = 0.0
    """Edge of the largest tile on the ground, by what is published; 0 where nothing is."""
    tile_evidence: ClassVar[str] = ""
    """Who says so."""

    root: Path
    split: str | None = None

    @property
    def name(self) -> str:
        """Stands in ``Pair.source``."""
        return self.source

    @abc.abstractmethod
    def published(self) -> Iterator[PairEntry | Refused]:
        """All pairs of the data set's own lists, in their order; rows that do not fit as :class:`Refused`.

        Raises:
            SourceError: A list is missing or does not fit at all.
        """

    def remarks(self) -> Iterator[tuple[str, str]]:
        """Where the folder differs from what was published as a whole, each as its place and what differs there."""
        yield from ()

    def entries(self) -> Iterator[PairEntry]:
        """The pairs wanted, as they are read; the lists are read twice, so that no more than names is held in memory.

        Raises:
            SourceError: As :meth:`published`; a row does not fit, an image path leaves the root, or a file is missing
                (unless broken rows are skipped); a name occurs twice; or nothing is left.
        """
        keep = chosen_rows(self._groups(), self.pairs_per_city, self.seed)
        for where, text in self.remarks():
            self.books.remark(where, text)
        delivered = 0
        for number, entry in enumerate(self._wanted(self.books)):
            if keep is not None and not keep[number]:
                continue
            try:
                self._check_files(entry)
            except SourceError as error:
                self.books.refuse(entry.where or entry.name, error)
                continue
            delivered += 1
            yield entry
        if not delivered:
            raise SourceError(f"{self.root}: expected pairs of {self.source} (split {self.split}), found none")

    def pairs(self, out_dir: Path) -> Iterator[Pair]:
        """Place the images and yield the pairs; see :class:`geor1.synthesis.sources.Source`.

        Raises:
            SourceError: As :meth:`entries`.
            ImageError: An image cannot be read (unless broken rows are skipped).
        """
        placer = self.placer(out_dir)
        for entry, made in ordered_map(functools.partial(self._try, placer), self.entries(), self.workers):
            if isinstance(made, Pair):
                yield made
            else:
                self.books.refuse(entry.where or entry.name, made)

    def place(self, placer: Placer, relative: str, view: str) -> str:
        """Place one image.

        Args:
            placer: From :meth:`placer`.
            relative: Path below the root.
            view: ``ground`` or ``satellite``.

        Returns:
            The path written, relative to the data set.
        """
        return placer.place(Path(self.root) / relative, self.source, relative, view=view)

    def separation(self, tile_extent_m: float) -> Separation | None:
        """See :meth:`geor1.synthesis.sources.Source.separation`."""
        return half_diagonal(tile_extent_m, self.tile_edge_m, self.tile_evidence)

    def check_questions(self, questions: Iterable[Question]) -> int:
        """Make sure that no negative shows its panorama's spot, where the data set says which tiles do.

        Returns:
            How many questions were checked; 0 where the data set says nothing.

        Raises:
            SourceError: One does.
        """
        return 0

    def _try(self, placer: Placer, entry: PairEntry) -> tuple[PairEntry, Pair | ValueError]:
        """The pair, or why there is none; for :func:`ordered_map`, which must not stop at it."""
        try:
            return entry, self._pair(placer, entry)
        except (ImageError, RecordError) as error:
            return entry, error

    def _pair(self, placer: Placer, entry: PairEntry) -> Pair:
        facts = {name: getattr(entry, name) for name in ("city", "country", "country_code")}
        return Pair(
            pair_id=f"{self.source}/{entry.name}",
            source=self.source,
            split=entry.split,
            ground_image=self.place(placer, entry.ground, "ground"),
            satellite_image=self.place(placer, entry.satellite, "satellite"),
            latitude_deg=entry.latitude_deg,
            longitude_deg=entry.longitude_deg,
            **facts,
            facts={name: text for name, text in facts.items() if text},
        )

    def _wanted(self, books: Books | None = None) -> Iterator[PairEntry]:
        """Rows of the wanted split that fit; what does not fit is entered into the books, if any."""
        for row in self.published():
            if isinstance(row, PairEntry):
                if self.split in (None, row.split):
                    yield row
            elif books is not None:
                books.refuse(row.where, row.error)

    def _groups(self) -> Iterator[str]:
        """Split and city of every row wanted, names checked on the way."""
        names: set[str] = set()
        for entry in self._wanted():
            if entry.name in names:
                raise SourceError(
                    f"{entry.where}: {self.source} has a pair {entry.name!r} already; names must be unique, keep one"
                )
            names.add(entry.name)
            yield f"{entry.split}/{entry.city or ''}"

    def _check_files(self, entry: PairEntry) -> None:
        root = Path(self.root).resolve()
        for relative in (entry.ground, entry.satellite):
            file = (root / relative).resolve()
            if not file.is_relative_to(root):
                raise SourceError(f"{self.source}: image path {relative!r} of {entry.name!r} leaves the folder")
            if not file.is_file():
                raise SourceError(
                    f"{file}: image of pair {entry.name!r} is missing; complete the download, or set skip_broken=True"
                )


def read_rows(
    path: Path, count: int, separator: str | None, *, name: str = "", counted: bool = False
) -> Iterator[tuple[str, list[str] | SourceError]]:
    """Lines of a list without a header, each as its place (``file line 3``) and its cells, or what is wrong with them.

    Args:
        path: Text file.
        count: Cells that every line must have.
        separator: Between cells; None is any white space.
        name: What to call the file; its own name, if not given.
        counted: Whether the number of a row means something; blank lines between rows are then an error.

    Raises:
        SourceError: No such file, or a blank line before a row that is counted.
    """
    if not path.is_file():
        raise SourceError(f"{path}: no such list; is this the root of the data set?")
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        blank = 0
        for number, line in enumerate(file, start=1):
            if not line.strip():
                blank = blank or number
                continue
            if blank and counted:
                raise SourceError(
                    f"{name or path.name} line {blank}: expected {count} cells, got a blank line, after which each row "
                    "would count as another; restore its row, or remove it if none is lost"
                )
            cells = [cell.strip() for cell in line.split(separator)]
            where = f"{name or path.name} line {number}"
            if len(cells) == count:
                yield where, cells
            else:
                yield where, SourceError(f"{where}: expected {count} cells, got {len(cells)}: {line[:80]!r}")


def parsed(
    rows: Iterable[tuple[str, list[str] | SourceError]], make: Callable[[str, list[str]], PairEntry]
) -> Iterator[PairEntry | Refused]:
    """Rows as entries; one that does not fit is handed on, so that the next ones can still be read.

    Args:
        rows: From :func:`read_rows`.
        make: Place and cells -> entry; raises :class:`SourceError`.
    """
    for where, cells in rows:
        try:
            if isinstance(cells, SourceError):
                raise cells
            entry: PairEntry | Refused = make(where, cells)
        except SourceError as error:
            entry = Refused(where, error)
        yield entry


def decimal(where: str, column: str, text: str, limit: float) -> float:
    """A number in [-limit, limit].

    Raises:
        SourceError: It is none.
    """
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not -limit <= value <= limit:
        swapped = "; are latitude and longitude swapped?" if limit < abs(value) <= 180.0 else ""
        raise SourceError(
            f"{where}, column {column!r}: expected degrees in [-{limit:g}, {limit:g}], got {text!r}{swapped}"
        )
    return value
