"""Where pairs come from: one small interface, whatever lies behind it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol, runtime_checkable

from geor1.records import Pair

IMAGES_FOLDER = "images"
"""Every source writes its images into this folder of the data set."""


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


def images_dir(out_dir: Path) -> Path:
    """The image folder of a data set, made if absent."""
    folder = out_dir / IMAGES_FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    return folder
