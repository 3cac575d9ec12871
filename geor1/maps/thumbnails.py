"""Small JPEG copies of a prediction's pictures, as data URIs that carry nothing but pixels (no EXIF, no GPS)."""

from __future__ import annotations

import base64
import io
import logging
from pathlib import Path, PurePosixPath

from PIL import Image, ImageOps, UnidentifiedImageError

logger = logging.getLogger(__name__)

FORMATS = ("JPEG", "PNG", "WEBP")  # bytes are sniffed against these; a file's name says nothing
MAX_SOURCE_PIXELS = 60_000_000


class ThumbnailStore:
    """Makes each picture's thumbnail once, however many samples show it, and stops at a count.

    Args:
        images_dir: Folder that the pictures' paths are relative to; None embeds no picture.
        limit: Most thumbnails to embed.
        quality: JPEG quality, 1 … 95.

    Attributes:
        uris: The data URIs, in the order first asked for.
        failures: Path -> why it could not be embedded.
        left_out: Paths asked for after the limit was reached.
    """

    def __init__(self, images_dir: Path | None, *, limit: int, quality: int = 72) -> None:
        self.images_dir = images_dir
        self.limit = limit
        self.quality = quality
        self.uris: list[str] = []
        self.failures: dict[str, str] = {}
        self.left_out: set[str] = set()
        self._index: dict[tuple[str, int], int] = {}

    def add(self, path: str, size_px: int) -> int:
        """Index of the picture's thumbnail in :attr:`uris`, or -1 if there is none.

        Args:
            path: As in the record: relative to ``images_dir``.
            size_px: Longest side of the thumbnail in pixels.
        """
        key = (path, size_px)
        if key in self._index:
            return self._index[key]
        if self.images_dir is None or path in self.failures:
            return -1
        if len(self.uris) >= self.limit:
            self.left_out.add(path)
            return -1
        try:
            uri = thumbnail_uri(resolve(path, self.images_dir), size_px, quality=self.quality)
        except (OSError, ValueError) as error:
            self.failures[path] = str(error)
            return -1
        self._index[key] = len(self.uris)
        self.uris.append(uri)
        return self._index[key]

    def report(self) -> None:
        """Log, once, how many pictures are missing and why the first one is."""
        if self.failures:
            first = next(iter(self.failures.items()))
            logger.warning(
                "%d pictures could not be read and are shown as missing; first: %r: %s", len(self.failures), *first
            )
        if self.left_out:
            logger.info("%d pictures left out beyond max_thumbnails=%d", len(self.left_out), self.limit)


def resolve(path: str, images_dir: Path) -> Path:
    """The file that a record's picture path names.

    Raises:
        ValueError: The path is absolute, empty, holds NUL, or is no path at all (a URL, a data URI).
    """
    if not path or "\x00" in path or ":" in path.split("/")[0] or PurePosixPath(path).is_absolute():
        raise ValueError(f"expected a path relative to {images_dir.name}/, got {path[:80]!r}")
    return images_dir / path


def thumbnail_uri(path: Path, size_px: int, *, quality: int = 72) -> str:
    """A picture shrunk and re-encoded as ``data:image/jpeg;base64,…``.

    Args:
        path: JPEG, PNG or WebP file; the bytes decide, not the name.
        size_px: Longest side in pixels; a smaller picture keeps its size.
        quality: JPEG quality.

    Raises:
        FileNotFoundError: No such file.
        ValueError: Not a readable picture: other format, truncated, or absurdly large.
    """
    return to_data_uri(open_picture(path, size_px), quality=quality)


def open_picture(path: Path, size_px: int) -> Image.Image:
    """Load a picture as RGB, upright, at most ``size_px`` on its longest side, without any metadata.

    Raises:
        FileNotFoundError: No such file.
        ValueError: As :func:`thumbnail_uri`.
    """
    try:
        with Image.open(path, formats=FORMATS) as image:
            if image.width * image.height > MAX_SOURCE_PIXELS:
                raise ValueError(f"{path.name}: {image.width} x {image.height} px is beyond {MAX_SOURCE_PIXELS} pixels")
            image.draft("RGB", (2 * size_px, 2 * size_px))
            upright = ImageOps.exif_transpose(image).convert("RGB")
    except FileNotFoundError:
        raise
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, ValueError) as error:
        raise ValueError(f"{path.name}: expected a whole {', '.join(FORMATS)} file: {error}") from error
    upright.thumbnail((size_px, size_px), Image.Resampling.LANCZOS)
    clean = Image.new("RGB", upright.size)
    clean.paste(upright)
    return clean


def to_data_uri(image: Image.Image, *, quality: int = 72) -> str:
    """Encode an RGB picture as a JPEG data URI."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
