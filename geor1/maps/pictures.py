"""Which pictures stand on which card: sets of pictures, each set and each picture once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from geor1.maps.blob import BlobWriter
from geor1.maps.samples import Sample
from geor1.maps.thumbnails import Thumbnails, make_thumbnails
from geor1.records import Prediction

GROUND, TILE = 0, 1
NO_LETTER = 255
MOST_PICTURES = 27  # on one card: a panorama and tiles A … Z
_EMPTY: tuple[str, tuple[str, ...]] = ("", ())


class PictureSets:
    """The picture sets of N samples; set 0 is the empty one.

    Args:
        samples: N samples.
        order: Their indices, the ones to serve first in front.

    Attributes:
        of_row: Set of each sample, shape (N,).
    """

    def __init__(self, samples: Sequence[Sample], order: Iterable[int]) -> None:
        self._sets: dict[tuple[str, tuple[str, ...]], int] = {_EMPTY: 0}
        self.of_row: npt.NDArray[np.int64] = np.zeros(len(samples), dtype=np.int64)
        for index in order:
            prediction = samples[index].prediction
            if prediction.images:
                key = (prediction.task, prediction.images[:MOST_PICTURES])
                self.of_row[index] = self._sets.setdefault(key, len(self._sets))

    def thumbnails(self, images_dir: Path | None, *, limit: int) -> Thumbnails:
        """Make the thumbnails, the pictures of the sets in front first."""
        paths = (path for _, images in self._sets for path in images)
        return make_thumbnails(paths, images_dir, limit=limit)

    def write(self, blob: BlobWriter, thumbnails: Thumbnails) -> None:
        """Add the sets' columns and the offsets of the thumbnails' text to the blob."""
        roles: list[int] = []
        letters: list[int] = []
        thumbs: list[int] = []
        for task, images in self._sets:
            for place, path in enumerate(images):
                is_tile = task == "pairing" and place > 0
                roles.append(TILE if is_tile else GROUND)
                letters.append(place - 1 if is_tile else NO_LETTER)
                thumbs.append(thumbnails.of(path))
        blob.add("picset", self.of_row, "u32")
        blob.add_lists("picset.start", [len(images) for _, images in self._sets])
        blob.add("pic.role", np.array(roles, dtype=np.int64), "u8")
        blob.add("pic.letter", np.array(letters, dtype=np.int64), "u8")
        blob.add("pic.thumb", np.array(thumbs, dtype=np.int64), "i32")
        blob.add_lists("thumb.offsets", [len(body) for body in thumbnails.bodies])


def tile_path(prediction: Prediction, letter: str | None) -> str | None:
    """Path of a lettered tile of a pairing prediction, whose images are the panorama and then tiles A, B, C …

    >>> p = Prediction(model="m", task="pairing", item_id="q", raw="", status="ok", images=("g.jpg", "a.jpg", "b.jpg"))
    >>> tile_path(p, "B"), tile_path(p, "F")
    ('b.jpg', None)
    """
    if letter is None or len(letter) != 1:
        return None
    index = 1 + ord(letter) - ord("A")
    return prediction.images[index] if 1 <= index < len(prediction.images) else None
