"""Image files that are safe to show a model: known by their bytes, re-encoded, without metadata, with neutral names.

GPS in EXIF is the answer, and so is a file name such as ``paris_0012.jpg``. Every image of a data set therefore either
passes through :func:`encode_jpeg` at one quality, or, where it needs no resizing, through
:mod:`geor1.synthesis.placing`, which takes the metadata away and leaves the pixels.
"""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

JPEG_QUALITY = 92
"""JPEG quality of every image encoded, panorama and tile alike."""

LEVEL_TIME_S = 946_684_800
"""Modification time of every image of a data set: 1 January 2000, 00:00 UTC."""

_SIGNATURES = {"JPEG": (b"\xff\xd8\xff", 0), "PNG": (b"\x89PNG\r\n\x1a\n", 0), "WEBP": (b"WEBP", 8)}


class ImageError(ValueError):
    """An image file that is missing, cut short or no image; the message names it and says what to do."""


def sniff_format(data: bytes) -> str | None:
    """Name the image format from the leading bytes, whatever the file is called.

    Args:
        data: At least the first 12 bytes.

    Returns:
        ``JPEG``, ``PNG`` or ``WEBP``; None for anything else.

    >>> sniff_format(bytes.fromhex("ffd8ffe000104a464946"))
    'JPEG'
    """
    for name, (signature, offset) in _SIGNATURES.items():
        if data[offset : offset + len(signature)] == signature:
            return name
    return None


def load_image(path: Path | str) -> Image.Image:
    """Read an image whole, upright, as RGB and without any metadata.

    Args:
        path: A JPEG, PNG or WebP file.

    Returns:
        An RGB image that carries pixels only.

    Raises:
        ImageError: The file is missing, empty, not one of the three formats, or cut short.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise ImageError(f"{path}: image file is missing; restore it or drop the pair") from error
    return decode_image(data, str(path))


def decode_image(data: bytes, name: str) -> Image.Image:
    """Decode the bytes of an image file, as :func:`load_image` does.

    Args:
        data: JPEG, PNG or WebP.
        name: What to call it in messages.

    Raises:
        ImageError: Not one of the three formats, or cut short.
    """
    kind = sniff_format(data)
    if kind is None:
        raise ImageError(
            f"{name}: expected JPEG, PNG or WebP bytes, got {data[:8]!r} ({len(data)} bytes); convert the file"
        )
    try:
        with Image.open(io.BytesIO(data), formats=[kind]) as opened:
            pixels = ImageOps.exif_transpose(opened).convert("RGB")
    except (OSError, SyntaxError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise ImageError(f"{name}: {kind} file cannot be decoded ({error}); fetch it again or drop the pair") from error
    return Image.frombytes("RGB", pixels.size, pixels.tobytes())


def encode_jpeg(image: Image.Image | np.ndarray, *, quality: int = JPEG_QUALITY) -> bytes:
    """Encode pixels as a bare JPEG (no EXIF, no colour subsampling, so small coloured features keep their colour).

    Args:
        image: RGB image, or ``uint8 [H, W, 3]``.
        quality: 1 to 95.

    Returns:
        The file's bytes.
    """
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=quality, subsampling=0)
    return buffer.getvalue()


def fit(image: Image.Image, *, width_px: int, height_px: int, view: str) -> Image.Image:
    """Bring a real photo to the size a model was trained on, keeping what its geometry means.

    A tile is cut to a centred square shape, so the camera stays in the middle. A panorama keeps all its columns (they
    are the compass); rows beyond the wanted shape are cut evenly above and below, so the horizon stays in the middle.

    Args:
        image: RGB image.
        width_px: Wanted width; 0 keeps the size as it is.
        height_px: Wanted height; 0 keeps the size as it is.
        view: ``ground`` or ``satellite``.

    Returns:
        An image of ``width_px`` × ``height_px``.
    """
    if width_px == 0 or height_px == 0:
        return image
    if view == "satellite":
        return ImageOps.fit(image, (width_px, height_px), method=Image.Resampling.BICUBIC)
    band = min(image.height, round(image.width * height_px / width_px))
    top = (image.height - band) // 2
    cut = image.crop((0, top, image.width, top + band))
    return cut.resize((width_px, height_px), Image.Resampling.BICUBIC)


def neutral_name(*key: object) -> str:
    """A file name that depends on the key but tells nothing of it.

    Args:
        key: What identifies the image, e.g. source, seed, number and view. Both views of a place get unrelated names.

    Returns:
        20 hexadecimal digits and ``.jpg``.
    """
    digest = hashlib.sha256("\x1f".join(str(part) for part in key).encode()).hexdigest()
    return f"{digest[:20]}.jpg"


def level_times(folder: Path) -> None:
    """Give all files of a folder one modification time.

    The views of a pair are written one after the other, so the times alone would tell which belong together. A hard
    link is left alone: its time is that of somebody's own image, and stays behind when the set is copied.

    Args:
        folder: Images of a finished data set; folders below are left as they are.
    """
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_file(follow_symlinks=False) and entry.stat().st_nlink == 1:
                os.utime(entry.path, (LEVEL_TIME_S, LEVEL_TIME_S))
