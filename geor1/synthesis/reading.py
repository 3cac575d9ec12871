"""What every source that reads files has in common: how images are written, how many pairs are taken."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from geor1.synthesis.images import JPEG_QUALITY
from geor1.synthesis.placing import Placer
from geor1.synthesis.separation import Separation, half_diagonal
from geor1.synthesis.sources import Books


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reader:
    """Base of the sources that read files.

    Attributes:
        panorama_px: Width and height of the ground images written; (0, 0) keeps each image's own size.
        tile_px: Edge of the tiles written; 0 keeps each tile's own size.
        quality: JPEG quality of what has to be encoded.
        pairs_per_city: Deliver at most so many pairs of each city and split, a seeded choice; 0 delivers all.
        seed: Decides that choice.
        workers: Threads that read and decode images; changes no result.
        books: What was read and what was left out; says whether broken rows and missing files stop.
    """

    panorama_px: tuple[int, int] = (0, 0)
    tile_px: int = 0
    quality: int = JPEG_QUALITY
    pairs_per_city: int = 0
    seed: int = 0
    workers: int = 1
    books: Books = dataclasses.field(default_factory=Books, compare=False)

    def placer(self, out_dir: Path) -> Placer:
        """What writes this source's images."""
        return Placer(out_dir, self.panorama_px, self.tile_px, self.quality, self.books.images)

    def separation(self, tile_extent_m: float) -> Separation | None:
        """By what the user says of the tiles; see :meth:`geor1.synthesis.sources.Source.separation`."""
        return half_diagonal(tile_extent_m)
