"""Hand-made files and replies shared by the tests of benchmarks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from geor1.benchmarks.items import Item, Reply


def answered(text: str) -> str:
    return f"<think> hm </think> <answer> {text} </answer>"


def replies(items: Sequence[Item], question: str, text: str) -> list[Reply]:
    return [Reply(item_id=item.item_id, question=question, raw=answered(text)) for item in items]


def write(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def picture(path: Path, seed: int, *, width: int = 32, height: int = 16) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    exif = Image.Exif()
    exif[0x010E] = "47.1, 8.2"  # a description that gives the place away
    image.save(path, exif=exif)
    return path
