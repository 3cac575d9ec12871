"""Which other places may stand beside the true tile: how near, how far, how alike."""

from __future__ import annotations

import dataclasses
import math
from typing import NamedTuple

DIFFICULTIES = ("easy", "mixed", "hard")


class Band(NamedTuple):
    """A ring around the camera from which a share of the negatives is drawn.

    Attributes:
        from_m: Nearest, great circle.
        to_m: Farthest.
        share: Of the negatives, in (0, 1].
    """

    from_m: float
    to_m: float
    share: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class NegativeRule:
    """Which other places may stand beside the true tile.

    Attributes:
        min_separation_m: Nearest allowed, to the camera and to each other, great circle; at least half a tile's
            diagonal, so that no negative contains the camera (:mod:`geor1.synthesis.separation` says what that is).
        max_radius_m: Farthest allowed.
        difficulty: Among those, ``easy`` takes the tiles least like the truth, ``hard`` the most, ``mixed`` draws
            evenly. Likeness is the cosine of the embeddings where there are some, else the number of directions that
            show the same, where the facts of the four directions are known.
        bands: Rings that do not overlap, near to far, whose shares add up to 1; empty draws from the whole range. Where
            a ring has too few places, the others fill in; places in a gap between rings never qualify.
        same: Facts (or ``city``) in which a negative must agree with the truth, where both are known.
    """

    min_separation_m: float = 120.0
    max_radius_m: float = 4000.0
    difficulty: str = "mixed"
    bands: tuple[Band, ...] = ()
    same: tuple[str, ...] = ("city", "season")

    def __post_init__(self) -> None:
        if not 0.0 <= self.min_separation_m < self.max_radius_m:
            raise ValueError(
                f"min_separation_m={self.min_separation_m}, max_radius_m={self.max_radius_m}: expected 0 <= min < max"
            )
        if self.difficulty not in DIFFICULTIES:
            raise ValueError(f"difficulty={self.difficulty!r}: expected one of {DIFFICULTIES}")
        last_m = self.min_separation_m
        for band in self.bands:
            if not (last_m <= band.from_m < band.to_m <= self.max_radius_m and 0.0 < band.share <= 1.0):
                raise ValueError(
                    f"bands={[tuple(one) for one in self.bands]}: expected [from_m, to_m, share] near to far without "
                    f"overlap within {self.min_separation_m:g} to {self.max_radius_m:g} m, each share in (0, 1]"
                )
            last_m = band.to_m
        if self.bands and not math.isclose(sum(band.share for band in self.bands), 1.0, abs_tol=1e-6):
            raise ValueError(f"bands={[tuple(one) for one in self.bands]}: expected shares that add up to 1")

    @property
    def leaves_gaps(self) -> bool:
        """Whether a place within the range can lie in no band."""
        starts = [band.from_m for band in self.bands] + [self.max_radius_m]
        ends = [self.min_separation_m] + [band.to_m for band in self.bands]
        return bool(self.bands) and starts != ends
