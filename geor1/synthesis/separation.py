"""How far apart two cameras must stand so that neither's tile shows the other: no wrong option may contain the camera.

A tile is a square, north up, with its camera in the middle. It shows a place at most half its edge east or west and
half its edge north or south of there, so none that is farther away than half its diagonal.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator, Sequence

from geor1.records import Pair, Question
from geor1.synthesis.sources import Source, SourceError

_EQUATOR_M_PER_PX = 2 * math.pi * 6_378_137.0 / 256
"""Ground that a pixel shows at zoom 0 on the equator (web Mercator, tiles of 256 pixels)."""


@dataclasses.dataclass(frozen=True)
class Separation:
    """Least distance between two cameras of a data set.

    Attributes:
        least_m: The distance, great circle.
        why: Where it comes from, for the report.
    """

    least_m: float
    why: str


def mercator_edge_m(size_px: int, *, zoom: int, latitude_deg: float) -> float:
    """Ground along the edge of a web-Mercator image.

    Args:
        size_px: Edge of the image as the map service delivers it.
        zoom: Of the map service; each step halves the edge.
        latitude_deg: Where; the projection stretches by 1 / cos.

    >>> [round(mercator_edge_m(640, zoom=20, latitude_deg=latitude), 1) for latitude in (0.0, 60.0)]
    [95.5, 47.8]
    """
    return size_px * _EQUATOR_M_PER_PX / 2**zoom * math.cos(math.radians(latitude_deg))


def half_diagonal(
    stated_m: float, known_m: float = 0.0, evidence: str = "", *, off_centre: float = 0.0
) -> Separation | None:
    """The separation that tiles of an edge ask for.

    Args:
        stated_m: Edge that the user states, in metres; 0 states none.
        known_m: Edge of the largest tile that the source knows of, used where none is stated; 0 unknown.
        evidence: Who says so.
        off_centre: How far from the middle of its tile a camera may stand, as a share of the edge, each way.

    Returns:
        None where nothing is stated or known.

    >>> half_diagonal(100.0).least_m
    70.8
    """
    edge_m = stated_m or known_m
    if not edge_m:
        return None
    least_m = edge_m * (0.5 + off_centre) * math.sqrt(2.0)
    said = "tile_extent_m" if stated_m else evidence
    apart = f", its camera up to {off_centre:g} of the edge off the middle" if off_centre else ""
    return Separation(math.ceil(10 * least_m) / 10, f"half the diagonal of a tile of {edge_m:.1f} m ({said}){apart}")


def decide(min_separation_m: float, tile_extent_m: float, sources: Sequence[Source]) -> Separation | None:
    """The separation that negatives keep.

    Args:
        min_separation_m: What the user states; 0 leaves it to the tiles.
        tile_extent_m: Edge of the tiles that the user states, in metres; 0 leaves it to the sources.
        sources: All whose pairs stand together.

    Returns:
        None where neither the user nor some source says anything.

    Raises:
        SourceError: The user states less than the tiles allow.
    """
    found = [source.separation(tile_extent_m) for source in sources]
    known = [one for one in found if one is not None]
    needed = max(known, key=lambda one: one.least_m, default=None)
    if min_separation_m:
        if needed and min_separation_m < needed.least_m:
            raise SourceError(
                f"min_separation_m={min_separation_m:g}: expected at least {needed.least_m:g}, {needed.why}: a nearer "
                "tile can show the panorama's own spot; leave it out, or set tile_extent_m if your tiles show less"
            )
        checked = (
            f"at least {needed.least_m:g}: {needed.why}" if needed else "what a tile shows is not known: unchecked"
        )
        return Separation(min_separation_m, f"min_separation_m; {checked}")
    return needed if len(known) == len(found) else None


def of_questions(questions: Iterable[Question]) -> Separation | None:
    """The distance of the nearest wrong option that questions have; None where they state none."""
    away = (option.distance_m for one in questions for option in one.candidates if option.letter != one.answer)
    least_m = min((distance_m for distance_m in away if distance_m is not None), default=None)
    return None if least_m is None else Separation(least_m, "nearest wrong option of the questions given")


def require_known(pairs: Iterable[Pair], separation: Separation | None) -> Iterator[Pair]:
    """Hand pairs on, and raise at the first with a position if nothing says how near negatives may be.

    Raises:
        SourceError: So it is.
    """
    for pair in pairs:
        if separation is None and pair.latitude_deg is not None:
            raise SourceError(
                f"pair {pair.pair_id!r}: how much ground a tile of {pair.source} shows is not known, so nobody knows "
                "how near a negative may be without showing the panorama's own spot; set tile_extent_m (edge of a tile "
                "in metres), or min_separation_m (more than half its diagonal)"
            )
        yield pair
