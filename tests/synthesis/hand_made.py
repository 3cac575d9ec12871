"""A hand-made source: eight places on a line, known to the metre, with one-colour images."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from geor1.records import Pair
from geor1.synthesis.images import encode_jpeg, neutral_name
from geor1.synthesis.sources import IMAGES_FOLDER, images_dir

METRES_PER_DEGREE = 6371000.0 * np.pi / 180.0
ARRANGEMENTS = (
    "water forest houses towers",
    "water forest houses field",  # shares 3 directions with the first
    "water forest sand field",  # 2
    "water sand sand field",  # 1
    "sand sand sand field",  # 0
    "field water forest houses",
    "towers towers water sand",
    "houses field towers water",
)


def place(number: int, *, north_m: float, words: str, split: str = "train", city: str = "Quito") -> Pair:
    """A pair ``north_m`` metres north of the equator at 78° W."""
    north, east, south, west = words.split()
    return Pair(
        pair_id=f"hand/{city}-{number}",
        source="hand",
        split=split,
        ground_image=f"{IMAGES_FOLDER}/{neutral_name('hand', city, number, 'ground')}",
        satellite_image=f"{IMAGES_FOLDER}/{neutral_name('hand', city, number, 'satellite')}",
        latitude_deg=north_m / METRES_PER_DEGREE,
        longitude_deg=-78.0,
        city=city,
        country="Ecuador",
        country_code="EC",
        facts={
            "north": north,
            "east": east,
            "south": south,
            "west": west,
            "climate": "temperate",
            "hemisphere": "north",
            "traffic": "right",
            "coast": "no",
            "relief": "mountains",
            "country": "Ecuador",
            "city": city,
        },
    )


def line_of_places(split: str = "train", city: str = "Quito", step_m: float = 200.0) -> list[Pair]:
    """Eight places, 200 m from one to the next."""
    return [
        place(number, north_m=step_m * number, words=words, split=split, city=city)
        for number, words in enumerate(ARRANGEMENTS)
    ]


class HandMadeSource:
    """The eight places as a source."""

    name = "hand"

    def pairs(self, out_dir: Path) -> Iterator[Pair]:
        """Write 28-pixel images and yield the pairs."""
        images_dir(out_dir)
        for number, pair in enumerate(line_of_places()):
            for path in (pair.ground_image, pair.satellite_image):
                (out_dir / path).write_bytes(encode_jpeg(np.full((28, 28, 3), 20 * number, np.uint8)))
            yield pair

    def separation(self, tile_extent_m: float) -> None:
        """Nothing is known of its tiles."""
