"""Images as a model gets them: known by their bytes, decoded, upright, RGB, and free of everything but pixels."""

from __future__ import annotations

import base64
import functools
import hashlib
import io
from pathlib import Path

from PIL import Image, ImageOps

GREY = (128, 128, 128)
# Formats that are decoded, by their first bytes; nothing else reaches a decoder, whatever the file is called.
_SIGNATURES = (
    ("JPEG", 0, b"\xff\xd8\xff"),
    ("PNG", 0, b"\x89PNG\r\n\x1a\n"),
    ("WEBP", 8, b"WEBP"),
    ("GIF", 0, b"GIF8"),
    ("BMP", 0, b"BM"),
    ("TIFF", 0, b"II*\x00"),
    ("TIFF", 0, b"MM\x00*"),
)


class ImageFileError(OSError):
    """An image file that cannot be decoded; the message names it."""


def sniff_format(data: bytes) -> str | None:
    """Name an image format from the leading bytes, whatever the file is called; None for anything unknown.

    >>> sniff_format(bytes.fromhex("ffd8ffe000104a46"))
    'JPEG'
    """
    return next((name for name, at, mark in _SIGNATURES if data[at : at + len(mark)] == mark), None)


def load_image(path: Path | str) -> Image.Image:
    """Decode an image whole, turn it upright, and keep nothing of the file but its pixels.

    EXIF is dropped (GPS in it is the answer), and so are colour profiles and comments; the orientation is applied
    first. The format is read from the bytes, not from the name: of ten published models tested on the same photos,
    seven lost the 14 whose extension did not fit their bytes.

    Args:
        path: Image file: JPEG, PNG, WebP, GIF (its first picture), BMP or TIFF.

    Returns:
        RGB image without metadata.

    Raises:
        FileNotFoundError: No such file.
        ImageFileError: Not an image of these formats, or cut off.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"image {path} is missing; the questions file names it: run 01_data_synthesis again")
    data = path.read_bytes()
    kind = sniff_format(data)
    try:
        if kind is None:
            raise ValueError(f"expected JPEG, PNG, WebP, GIF, BMP or TIFF bytes, got {data[:8]!r}")
        with Image.open(io.BytesIO(data), formats=[kind]) as opened:
            pixels = ImageOps.exif_transpose(opened).convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ImageFileError(
            f"image {path} ({len(data)} bytes) cannot be decoded: {error}; replace the file, or run 01_data_synthesis "
            "again"
        ) from error
    return Image.frombytes("RGB", pixels.size, pixels.tobytes())


@functools.lru_cache(maxsize=64)
def grey(width_px: int, height_px: int) -> Image.Image:
    """A uniform grey image for the blind control; one object a size, which generation then encodes once."""
    return Image.new("RGB", (width_px, height_px), GREY)


def pixels_sha256(image: Image.Image) -> str:
    """SHA-256 of an RGB image's size and pixels, which is what is shown, however it is then encoded."""
    return hashlib.sha256(f"{image.width}x{image.height} ".encode() + image.tobytes()).hexdigest()


def data_url(image: Image.Image) -> str:
    """An image as a ``data:`` URL holding a bare PNG: lossless, no metadata, no name.

    Args:
        image: From :func:`load_image` or :func:`grey`.
    """
    buffer = io.BytesIO()
    Image.frombytes("RGB", image.size, image.convert("RGB").tobytes()).save(buffer, format="PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
