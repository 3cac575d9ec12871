"""Images as a model gets them: decoded, upright, RGB, and free of everything but pixels."""

from __future__ import annotations

import functools
from pathlib import Path

from PIL import Image, ImageOps

GREY = (128, 128, 128)


class ImageFileError(OSError):
    """An image file that cannot be decoded; the message names it."""


def load_image(path: Path | str) -> Image.Image:
    """Decode an image whole, turn it upright, and keep nothing of the file but its pixels.

    EXIF is dropped (GPS in it is the answer); its orientation is applied first. The format is read from the bytes, not
    from the name.

    Args:
        path: Image file.

    Returns:
        RGB image without metadata.

    Raises:
        FileNotFoundError: No such file.
        ImageFileError: Not an image, or cut off.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"image {path} is missing; the questions file names it: run 01_data_synthesis again")
    try:
        with Image.open(path) as opened:
            pixels = ImageOps.exif_transpose(opened).convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        size = path.stat().st_size
        raise ImageFileError(
            f"image {path} ({size} bytes) cannot be decoded: {error}; replace the file, or run 01_data_synthesis again"
        ) from error
    return Image.frombytes("RGB", pixels.size, pixels.tobytes())


@functools.lru_cache(maxsize=64)
def grey(width_px: int, height_px: int) -> Image.Image:
    """A uniform grey image for the blind control; one object a size, which generation then encodes once."""
    return Image.new("RGB", (width_px, height_px), GREY)
