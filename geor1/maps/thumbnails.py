"""Small WebP copies of pictures, made by several threads, that carry nothing but pixels (no EXIF, no GPS).

The more different pictures a page shows, the smaller each is, so that 10,000 stay within 20 MB of base64 text. Bytes a
picture and milliseconds to decode, shrink and encode it in one thread of a 2-core machine (Pillow 13, WebP quality 45,
method 2, and 0 from 7500 on; JPEG of the same look is 40 to 70 % larger and 0.3 to 1 ms faster): of noisy 512 px JPEG
files, of OSV-5M photos (682 x 512 px and more) and of the miniature world's pictures (224 x 56 and 84 x 84 px):

======== ========= ============ ============ ============
pictures side (px) noisy        OSV-5M       miniature
======== ========= ============ ============ ============
 <= 1000       320 9.1 kB 5.3   4.0 kB 3.9   1.4 kB 0.5
 <= 2500       224 4.6 kB 3.0   2.3 kB 2.0   1.4 kB 0.5
 <= 5000       160 2.7 kB 2.1   1.4 kB 1.5   1.0 kB 0.5
 <= 7500       112 1.6 kB 1.5   1.0 kB 0.9   1.2 kB 0.4
<= 10000        96 1.3 kB 1.3   0.9 kB 0.8   1.1 kB 0.4
    more        80 0.9 kB 1.2   0.7 kB 0.8   0.8 kB 0.3
======== ========= ============ ============ ============

Sides are whole macroblocks of 16 px: 104 px cost what 112 px do. Decoding is most of the time of the small ones.
``side`` is that of a square of the same area: a panorama is wider and lower.
"""

from __future__ import annotations

import base64
import dataclasses
import io
import logging
import math
import os
import posixpath
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

from PIL import Image, ImageOps, UnidentifiedImageError

logger = logging.getLogger(__name__)

FORMATS = ("JPEG", "PNG", "WEBP")  # bytes are sniffed against these; a file's name says nothing
MAX_SOURCE_PIXELS = 60_000_000
THUMBNAIL_TYPE = "image/webp"
TIERS = ((1000, 320, 2), (2500, 224, 2), (5000, 160, 2), (7500, 112, 0), (10_000, 96, 0))  # most pictures, side, method
SMALLEST = (80, 0)  # side in pixels and WebP method beyond; method 0 is a tenth quicker than 2 in all, and 5 % larger
MAX_CHARACTERS = 20_000_000  # of base64, all pictures of a page together
_QUALITY = 45
_WIDEST = 3.0  # a panorama's longest side in sides of the square of the same area
_BATCH = 256  # pictures between two looks at what is spent


@dataclasses.dataclass(frozen=True)
class Thumbnails:
    """The pictures of a page, each distinct one once.

    Attributes:
        bodies: Base64 text of each, in the order they were asked for.
        index: Path -> index in ``bodies``; a path that is not there has none.
        failures: Path -> why it could not be read.
        left_out: Paths beyond the number or the characters allowed.
        side_px: Side of a square picture.
    """

    bodies: list[str]
    index: dict[str, int]
    failures: dict[str, str]
    left_out: set[str]
    side_px: int

    def of(self, path: str) -> int:
        """Index of a picture's thumbnail, or -1."""
        return self.index.get(posixpath.normpath(path) if path else path, -1)


def make_thumbnails(
    paths: Iterable[str],
    images_dir: Path | None,
    *,
    limit: int,
    max_characters: int = MAX_CHARACTERS,
    threads: int | None = None,
) -> Thumbnails:
    """Shrink the pictures of a page.

    Args:
        paths: As in the records, relative to ``images_dir``; the most wanted first. A repeated one is made once.
        images_dir: Their folder; None embeds no picture.
        limit: Most pictures.
        max_characters: Most base64 characters, all together.
        threads: Workers; one a processor, at most 8, when None. The result does not depend on it.

    Returns:
        The thumbnails; what cannot be read is counted there and logged, not raised.
    """
    wanted = list(dict.fromkeys(posixpath.normpath(path) if path else path for path in paths))
    if images_dir is None:
        return Thumbnails([], {}, {}, set(), SMALLEST[0])
    served, beyond = wanted[:limit], set(wanted[limit:])
    side_px, method = next(((side, method) for most, side, method in TIERS if len(served) <= most), SMALLEST)
    made = Thumbnails([], {}, {}, beyond, side_px)
    spent = 0
    with ThreadPoolExecutor(threads or min(8, os.cpu_count() or 1)) as workers:
        for batch in (served[start : start + _BATCH] for start in range(0, len(served), _BATCH)):
            if spent >= max_characters:
                made.left_out.update(batch)
                continue
            bodies = workers.map(lambda path: _attempt(path, images_dir, side_px, method), batch)
            for path, body in zip(batch, bodies, strict=True):
                spent = _take(made, path, body, spent, max_characters)
    _report(made, limit)
    return made


def _take(made: Thumbnails, path: str, body: str | ValueError, spent: int, max_characters: int) -> int:
    """Put one picture where it belongs; returns the characters spent since the start."""
    if isinstance(body, ValueError):
        made.failures[path] = str(body)
    elif spent + len(body) > max_characters:
        made.left_out.add(path)
        return max_characters
    else:
        made.index[path] = len(made.bodies)
        made.bodies.append(body)
        return spent + len(body)
    return spent


def _attempt(path: str, images_dir: Path, side_px: int, method: int) -> str | ValueError:
    try:
        return thumbnail_body(resolve(path, images_dir), side_px, method=method)
    except (OSError, ValueError) as error:
        return ValueError(str(error))


def _report(made: Thumbnails, limit: int) -> None:
    """Log, once, how many pictures are missing and why the first one is."""
    if made.failures:
        first = next(iter(made.failures.items()))
        logger.warning(
            "%d pictures could not be read and are shown as missing; first: %r: %s", len(made.failures), *first
        )
    if made.left_out:
        logger.info("%d pictures left out beyond %d or %d characters", len(made.left_out), limit, MAX_CHARACTERS)


def resolve(path: str, images_dir: Path) -> Path:
    """The file that a record's picture path names.

    Raises:
        ValueError: The path is absolute, empty, holds NUL, or is no path at all (a URL, a data URI).
    """
    if not path or "\x00" in path or ":" in path.split("/")[0] or PurePosixPath(path).is_absolute():
        raise ValueError(f"expected a path relative to {images_dir.name}/, got {path[:80]!r}")
    return images_dir / path


def thumbnail_body(path: Path, side_px: int, *, method: int = 2) -> str:
    """A picture shrunk to the area of a square of ``side_px`` and re-encoded as WebP, in base64.

    Args:
        path: JPEG, PNG or WebP file; the bytes decide, not the name.
        side_px: A smaller picture keeps its size.
        method: WebP's effort, 0 … 6.

    Raises:
        FileNotFoundError: No such file.
        ValueError: Not a readable picture: other format, truncated, or absurdly large.
    """
    image = open_picture(path, round(_WIDEST * side_px), area_px=side_px * side_px)
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=_QUALITY, method=method)
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def open_picture(path: Path, size_px: int, *, area_px: int | None = None) -> Image.Image:
    """Load a picture as RGB, upright, without any metadata.

    Args:
        path: JPEG, PNG or WebP file.
        size_px: Longest side at most; a smaller picture keeps its size.
        area_px: Width times height at most, or None.

    Raises:
        FileNotFoundError: No such file.
        ValueError: As :func:`thumbnail_body`.
    """
    try:
        with Image.open(path, formats=FORMATS) as image:
            if image.width * image.height > MAX_SOURCE_PIXELS:
                raise ValueError(f"{path.name}: {image.width} x {image.height} px is beyond {MAX_SOURCE_PIXELS} pixels")
            scale = _scale(image.size, size_px, area_px)
            image.draft("RGB", (math.ceil(scale * image.width), math.ceil(scale * image.height)))
            upright = ImageOps.exif_transpose(image).convert("RGB")
    except FileNotFoundError:
        raise
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, ValueError) as error:
        raise ValueError(f"{path.name}: expected a whole {', '.join(FORMATS)} file: {error}") from error
    scale = _scale(upright.size, size_px, area_px)
    if scale < 1.0:
        width, height = (max(1, round(scale * side)) for side in upright.size)
        upright = upright.resize((width, height), Image.Resampling.BICUBIC)
    clean = Image.new("RGB", upright.size)
    clean.paste(upright)
    return clean


def _scale(size: tuple[int, int], size_px: int, area_px: int | None) -> float:
    """Factor in (0, 1] that brings a picture within its longest side and its area."""
    longest = size_px / max(size)
    return min(1.0, longest, math.sqrt(area_px / (size[0] * size[1])) if area_px else 1.0)
