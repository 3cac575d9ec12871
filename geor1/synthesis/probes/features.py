"""What one image file gives away without anybody looking at what it shows: bytes, headers, levels, edges."""

from __future__ import annotations

import dataclasses
import io
import math
import zlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from geor1.synthesis.images import LEVEL_TIME_S, ImageError, sniff_format

BINS = 8
"""Bins of each colour channel's histogram."""
SAMPLED_PX = 256
"""Levels and colours of larger images are read at every second, third … pixel of a row and a column."""
THUMBNAIL_PX = 6
"""Edge of the thumbnail by which tiles are compared with each other."""
PERCENTILES = (1, 5, 25, 50, 75, 95, 99)
TAG_BUCKETS = 8
"""Metadata keys fall into so many buckets by hash, so that any field can be told from any other, nearly always."""
LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
"""Weights of red, green and blue. Source: ITU-R BT.601, as in JPEG."""


@dataclasses.dataclass(frozen=True)
class ImageFacts:
    """Measurements of one file, by what they measure.

    Attributes:
        size: ``[1]`` log of the file's bytes.
        jpeg: Format, quantisation tables, sampling, bits a pixel, blockiness.
        dimensions: Width, height, log of the aspect, channels.
        metadata: Presence, number and hashed keys of EXIF and other metadata.
        brightness: Mean, spread, percentiles and oddities of the grey levels (0 to 255).
        colour: Histogram of each channel, means, saturation.
        seam: Border lines, padding, transparency, periodic lines, mark in the centre.
        thumbnail: ``[THUMBNAIL_PX² · 3]`` mean colours of a coarse grid.
        modified_s: Modification time in seconds, whole nanoseconds kept as far as a float does.
    """

    size: np.ndarray
    jpeg: np.ndarray
    dimensions: np.ndarray
    metadata: np.ndarray
    brightness: np.ndarray
    colour: np.ndarray
    seam: np.ndarray
    thumbnail: np.ndarray
    modified_s: float


def read_facts(paths: Iterable[Path], *, workers: int = 2) -> dict[Path, ImageFacts]:
    """Measure files, each once.

    Args:
        paths: Image files; repeated ones are read once.
        workers: Threads; changes no result.

    Returns:
        Path -> measurements.

    Raises:
        ImageError: A file is missing, cut short or no image.
    """
    distinct = list(dict.fromkeys(paths))
    with ThreadPoolExecutor(max(1, workers)) as pool:
        return dict(zip(distinct, pool.map(image_facts, distinct), strict=True))


def image_facts(path: Path) -> ImageFacts:
    """Measure one file.

    Args:
        path: A JPEG, PNG or WebP file.

    Raises:
        ImageError: The file is missing, cut short or no image.
    """
    try:
        data = path.read_bytes()
        state = path.stat()
        # The time of a hard link is that of its source and stays behind when the set is copied or packed.
        modified_s = state.st_mtime if state.st_nlink == 1 else LEVEL_TIME_S
    except FileNotFoundError as error:
        raise ImageError(f"{path}: image file is missing; restore it or drop its questions") from error
    kind = sniff_format(data)
    if kind is None:
        raise ImageError(f"{path}: expected JPEG, PNG or WebP bytes, got {data[:8]!r} ({len(data)} bytes)")
    try:
        with Image.open(io.BytesIO(data), formats=[kind]) as opened:
            opened.load()
            headers, jpeg, seen_alpha = _metadata(opened), _jpeg(opened, data), _transparent(opened)
            dimensions = [opened.width, opened.height, math.log(opened.width / opened.height), len(opened.getbands())]
            pixels = np.asarray(opened.convert("RGB"))
    except (OSError, SyntaxError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise ImageError(
            f"{path}: {kind} file cannot be decoded ({error}); restore it or drop its questions"
        ) from error
    grey = pixels.astype(np.float32) @ LUMA
    step = max(1, min(pixels.shape[:2]) // SAMPLED_PX)
    return ImageFacts(
        size=_row([math.log(len(data))]),
        jpeg=_row([*jpeg, *_blockiness(grey)]),
        dimensions=_row(dimensions),
        metadata=_row(headers),
        brightness=_row(_brightness(grey[::step, ::step])),
        colour=_row(_colour(pixels[::step, ::step])),
        seam=_row([*_seam(grey), seen_alpha]),
        thumbnail=_thumbnail(pixels),
        modified_s=modified_s,
    )


def _row(values: Iterable[float]) -> np.ndarray:
    return np.array(list(values), dtype=np.float64)


def _metadata(image: Image.Image) -> list[float]:
    """Fields of EXIF and of whatever else stands beside the pixels; no value is kept, only which fields there are."""
    exif = image.getexif()
    keys = [f"exif {tag}" for tag in exif]
    for block in (0x8769, 0x8825):  # the sub-blocks of camera and GPS
        keys += [f"exif {block} {tag}" for tag in exif.get_ifd(block)]
    ordinary = {"jfif", "jfif_version", "jfif_unit", "jfif_density", "progressive", "progression", "exif"}
    keys += [f"info {key}" for key in image.info if key not in ordinary]
    buckets = [0.0] * TAG_BUCKETS
    for key in keys:
        buckets[zlib.crc32(key.encode()) % TAG_BUCKETS] += 1.0
    comment = image.info.get("comment", b"")
    return [float(bool(keys)), float(len(keys)), float(len(image.info.get("exif", b""))), float(len(comment)), *buckets]


def _jpeg(image: Image.Image, data: bytes) -> list[float]:
    tables: dict[int, Any] = getattr(image, "quantization", None) or {}
    means = [float(np.mean(tables[key])) if key in tables else 0.0 for key in (0, 1)]
    layers = getattr(image, "layer", None) or [(0, 0, 0)]
    return [
        float(("JPEG", "PNG", "WEBP").index(image.format or "JPEG")),
        *means,
        float(len(tables)),
        float(layers[0][1] * 10 + layers[0][2]),
        float(bool(image.info.get("progressive"))),
        8.0 * len(data) / (image.width * image.height),
    ]


def _transparent(image: Image.Image) -> float:
    if "A" not in image.getbands():
        return -1.0
    return float(np.mean(np.asarray(image.getchannel("A")) < 255))


def _blockiness(grey: np.ndarray) -> list[float]:
    """How much larger steps across the 8-pixel grid are than others, both ways: traces of an earlier compression."""
    found = []
    for axis in (0, 1):
        steps = np.abs(np.diff(grey, axis=axis)).mean(axis=1 - axis)
        on_grid = steps[7::8]
        rest = np.delete(steps, np.arange(7, len(steps), 8))
        found.append(float(on_grid.mean() - rest.mean()) if len(on_grid) and len(rest) else 0.0)
    second = np.abs(np.diff(grey, n=2, axis=1)) if grey.shape[1] > 2 else np.zeros(1)
    return [*found, float(second.mean())]


def _brightness(grey: np.ndarray) -> list[float]:
    levels = np.bincount(np.rint(grey).astype(np.int64).ravel(), minlength=256)[:256] / grey.size
    present = np.flatnonzero(levels)
    at = np.searchsorted(np.cumsum(levels), np.array(PERCENTILES) / 100.0)
    return [
        float(grey.mean()),
        float(grey.std()),
        *at.astype(float),
        float(present[0]),
        float(present[-1]),
        float(len(present)),
        float(levels[0]),
        float(levels[255]),
        float(levels[::2].sum()),
    ]


def _colour(pixels: np.ndarray) -> list[float]:
    flat = pixels.reshape(-1, 3)
    shares = [np.bincount(flat[:, c] >> 5, minlength=BINS) / len(flat) for c in range(3)]  # 256 levels / 8 bins = 2**5
    red, green, blue = pixels[..., 0], pixels[..., 1], pixels[..., 2]
    highest = np.maximum(np.maximum(red, green), blue)  # thrice as fast as max over an axis of three
    saturation = float((highest - np.minimum(np.minimum(red, green), blue)).mean())
    return [*np.concatenate(shares), *flat.mean(axis=0), saturation]


def _seam(grey: np.ndarray) -> list[float]:
    """Each side's outermost line against those further in; lines without texture; the strongest line; the centre."""
    found: list[float] = []
    textured = [grey.std(axis=1) >= 1.0, grey.std(axis=0) >= 1.0]
    sides = (
        (grey, textured[0]),
        (grey[::-1], textured[0][::-1]),
        (grey.T, textured[1]),
        (grey.T[::-1], textured[1][::-1]),
    )
    for side, alive in sides:
        outer, inner, inmost = side[0], side[min(1, len(side) - 1)], side[min(2, len(side) - 1)]
        found += [
            float(np.abs(outer - inner).mean() - np.abs(inner - inmost).mean()),
            float(outer.mean() - inmost.mean()),
            float(outer.std()),
            float(np.argmax(alive)) / len(side) if alive.any() else 1.0,
        ]
    for axis in (0, 1):
        steps = np.abs(np.diff(grey, axis=axis)).mean(axis=1 - axis)
        found += [float(steps.max() - np.median(steps)), float(_strongest_period(steps))]
    row, column = grey.shape[0] // 2, grey.shape[1] // 2
    ring = grey[max(0, row - 4) : row + 5, max(0, column - 4) : column + 5]
    return [*found, float(abs(grey[row, column] - np.median(ring)))]


def _strongest_period(steps: np.ndarray) -> float:
    """Largest share of the variation along a line that one frequency carries: seams at equal distances."""
    power = np.abs(np.fft.rfft(steps - steps.mean()))[1:] ** 2 if len(steps) > 1 else np.zeros(1)
    return power.max() / power.sum() if power.sum() > 0 else 0.0


def _thumbnail(pixels: np.ndarray) -> np.ndarray:
    small = Image.fromarray(pixels).resize((THUMBNAIL_PX, THUMBNAIL_PX), Image.Resampling.BOX)
    return np.asarray(small, dtype=np.float64).ravel()
