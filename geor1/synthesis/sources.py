"""Where pairs come from: one small interface, whatever lies behind it."""

from __future__ import annotations

import collections
import dataclasses
import logging
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

from geor1.records import Pair

if TYPE_CHECKING:
    from geor1.synthesis.separation import Separation

IMAGES_FOLDER = "images"
"""Every source writes its images into this folder of the data set."""
_EXAMPLES = 20  # broken rows kept by name
_log = logging.getLogger(__name__)


class SourceError(ValueError):
    """A source that cannot deliver: what was expected, what came, where, and what to do next."""


@runtime_checkable
class Source(Protocol):
    """Anything that delivers ground/satellite pairs.

    Attributes:
        name: Stands in ``Pair.source`` of every pair delivered.
    """

    name: str

    def pairs(self, out_dir: Path) -> Iterator[Pair]:
        """Write the images under ``out_dir / "images"`` and yield the pairs.

        Args:
            out_dir: Folder of the data set; image paths in the pairs are relative to it.

        Yields:
            Pairs in an order that depends on the source's own settings only.
        """
        ...

    def separation(self, tile_extent_m: float) -> Separation | None:
        """How far apart two of its cameras must stand so that neither's tile shows the other.

        Args:
            tile_extent_m: Edge of a tile that the user states, in metres; 0 for none.

        Returns:
            None where nothing is known of the tiles.
        """
        ...


def images_dir(out_dir: Path) -> Path:
    """The image folder of a data set, made if absent."""
    folder = out_dir / IMAGES_FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@dataclasses.dataclass
class Books:
    """What a source read and what it left out.

    Attributes:
        skip_broken: Leave out rows whose cells or images cannot be used, counted here, instead of stopping.
        n_broken: Rows left out.
        broken: What was wrong with the first of them, by place.
        remarks: Where a data set differs from what was published as a whole, by place.
        images: Images by what was done with them (:mod:`geor1.synthesis.placing`).
    """

    skip_broken: bool = False
    n_broken: int = 0
    broken: dict[str, str] = dataclasses.field(default_factory=dict)
    remarks: dict[str, str] = dataclasses.field(default_factory=dict)
    images: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)

    def remark(self, where: str, text: str) -> None:
        """Note what differs from the data set as published, once a place; nothing stops at it.

        Args:
            where: File or folder.
            text: What differs there.
        """
        if self.remarks.get(where) != text:
            self.remarks[where] = text
            _log.warning("%s: %s", where, text)

    def refuse(self, where: str, error: ValueError) -> None:
        """Stop at a broken row, or count it.

        Args:
            where: File and row.
            error: What is wrong with it.

        Raises:
            ValueError: The same error with its place, unless broken rows are skipped.
        """
        text = str(error) if str(error).startswith(where) else f"{where}: {error}"
        if not self.skip_broken:
            raise type(error)(text) from error
        self.n_broken += 1
        if len(self.broken) < _EXAMPLES:
            self.broken[where] = text
            _log.warning("left out: %s", text)


def chosen_rows(groups: Iterable[str], per_group: int, seed: int) -> np.ndarray | None:
    """A seeded choice of rows, so many of each group.

    Args:
        groups: The group of each row, such as its city, in the order of the rows.
        per_group: Most rows of a group; 0 keeps all.
        seed: Decides which; the choice within a group depends on no other group.

    Returns:
        Whether each row is kept, bool [N]; None for all.
    """
    codes: dict[str, int] = {}
    of_row = np.fromiter((codes.setdefault(group, len(codes)) for group in groups), dtype=np.int32)
    if not per_group:
        return None
    keep = np.zeros(len(of_row), dtype=bool)
    for group, code in codes.items():
        rows = np.flatnonzero(of_row == code)
        rng = np.random.default_rng([seed, 41, zlib.crc32(group.encode())])
        keep[rng.permutation(rows)[:per_group]] = True
    return keep
