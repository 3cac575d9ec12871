"""Small data sets for the probes, leak-free or with one planted leak."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from geor1.records import Candidate, Question, write_jsonl
from geor1.synthesis.images import encode_jpeg, level_times, neutral_name

TILE_PX, PLACES, BLOCKS, K = 32, 7, 50, 5
Leak = Callable[[Image.Image], bytes]


@dataclasses.dataclass(frozen=True)
class Planted:
    """What is done to the file of every right tile.

    Attributes:
        encode: Pixels -> bytes of the file.
        name: Number of the question -> name of the file.
        favour_b: Share of questions that have their right tile moved to B.
    """

    encode: Leak = encode_jpeg
    name: Callable[[int], str] = lambda number: neutral_name("right", number)
    favour_b: float = 0.0


def texture(rng: np.random.Generator, level: float) -> Image.Image:
    """Blotches of one neighbourhood's brightness; places of it differ by about four grey levels, as tiles do."""
    coarse = rng.normal(level + 4.0 * rng.normal(), 25.0, size=(8, 8, 3))
    blotches = np.kron(coarse, np.ones((TILE_PX // 8, TILE_PX // 8, 1)))
    return Image.fromarray(np.clip(blotches + rng.normal(0.0, 6.0, blotches.shape), 0, 255).astype(np.uint8))


def data_set(
    folder: Path,
    planted: Planted | None = None,
    *,
    in_test: Planted | None = None,
    seed: int = 0,
    train_blocks: int = BLOCKS,
) -> Path:
    """``BLOCKS`` neighbourhoods a split of ``PLACES`` places, each asked about once; right tiles in files of their own.

    The copy of the right tile is a file of its own without a leak too, so that the leak is the only difference.
    """
    planted = planted or Planted()
    by_split = {"train": planted, "test": in_test or planted}
    images = folder / "images"
    images.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    number = 0
    for split, blocks in (("train", train_blocks), ("test", BLOCKS)):
        questions, planted = [], by_split[split]
        for block in range(blocks):
            level = rng.uniform(90.0, 160.0)
            tiles, grounds = [texture(rng, level) for _ in range(PLACES)], []
            for place in range(PLACES):
                for view in ("tile", "ground"):
                    name = neutral_name(split, block, place, view)
                    image = tiles[place] if view == "tile" else texture(rng, level)
                    (images / name).write_bytes(encode_jpeg(image))
                grounds.append(f"images/{name}")
            for place in range(PLACES):
                number += 1
                own = f"images/{planted.name(number)}"
                (folder / own).write_bytes(planted.encode(tiles[place]))
                questions.append(_question(split, block, place, grounds[place], own, planted.favour_b, rng))
        write_jsonl(folder / f"questions_{split}.jsonl", [questions[k] for k in rng.permutation(len(questions))])
    level_times(images)
    return folder


def _question(
    split: str, block: int, place: int, ground: str, own: str, favour_b: float, rng: np.random.Generator
) -> Question:
    others = rng.permutation([other for other in range(PLACES) if other != place])[: K - 1].tolist()
    gold = 1 if rng.uniform() < favour_b else int(rng.integers(K))
    order = [*others[:gold], place, *others[gold:]]
    return Question(
        question_id=f"{split}/{block}/{place}/q0",
        pair_id=f"{split}/{block}/{place}",
        source="leaky",
        split=split,
        ground_image=ground,
        candidates=tuple(
            Candidate(
                letter="ABCDE"[k],
                pair_id=f"{split}/{block}/{one}",
                satellite_image=own if one == place else f"images/{neutral_name(split, block, one, 'tile')}",
            )
            for k, one in enumerate(order)
        ),
        answer="ABCDE"[gold],
    )


def brighter(image: Image.Image) -> bytes:
    """Two grey levels more."""
    return encode_jpeg(np.minimum(np.asarray(image).astype(np.int64) + 2, 255).astype(np.uint8))


def darker(image: Image.Image) -> bytes:
    """Two grey levels less."""
    return encode_jpeg(np.maximum(np.asarray(image).astype(np.int64) - 2, 0).astype(np.uint8))


def tagged(image: Image.Image) -> bytes:
    """One EXIF field."""
    exif = Image.Exif()
    exif[0x0131] = "editor"  # Software
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=92, subsampling=0, exif=exif)
    return buffer.getvalue()


def bordered(image: Image.Image) -> bytes:
    """The outermost pixels grey."""
    pixels = np.asarray(image).copy()
    pixels[[0, -1]] = 128
    pixels[:, [0, -1]] = 128
    return encode_jpeg(pixels)


def longer(image: Image.Image) -> bytes:
    """The same picture in more bytes: filler after its end."""
    return encode_jpeg(image) + bytes(150)


def recompressed(image: Image.Image) -> bytes:
    """Saved once before at a low quality, then like the others."""
    poor = Image.open(io.BytesIO(encode_jpeg(image, quality=60)))
    return encode_jpeg(poor.convert("RGB"))


def wider(image: Image.Image) -> bytes:
    """One pixel more each way."""
    return encode_jpeg(image.resize((TILE_PX + 1, TILE_PX + 1), Image.Resampling.BICUBIC))


PLANTED: dict[str, tuple[Planted, str]] = {
    "another JPEG quality": (Planted(encode=lambda image: encode_jpeg(image, quality=88)), "jpeg"),
    "compressed twice": (Planted(encode=recompressed), "jpeg"),
    "two grey levels": (Planted(encode=brighter), "brightness"),
    "one EXIF field": (Planted(encode=tagged), "metadata"),
    "one pixel of border": (Planted(encode=bordered), "seam"),
    "a larger file": (Planted(encode=longer), "file_size"),
    "one pixel larger": (Planted(encode=wider), "dimensions"),
    "letter B more often": (Planted(favour_b=0.25), "blind"),
    "the file's name": (Planted(name=lambda number: f"pos{neutral_name('right', number)}"), "text"),
}
"""Leak -> how to plant it, and the probe that must find it."""
