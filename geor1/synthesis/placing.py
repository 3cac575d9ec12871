"""Bring an image into a data set: linked where nothing has to change, stripped where only metadata has to go.

What is left in the data set never carries metadata (GPS in EXIF is the answer). A JPEG or PNG that needs no resizing
keeps its pixels bit for bit: it is hard-linked if it carries no metadata, else copied without them. Everything else is
decoded, brought to size and encoded as a bare JPEG. Every image is decoded once, if only at an eighth of its size, so
that a file that is cut short is found here and not in the middle of training.
"""

from __future__ import annotations

import collections
import dataclasses
import io
import logging
import os
import re
import struct
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from PIL import Image, UnidentifiedImageError

from geor1.synthesis.images import JPEG_QUALITY, ImageError, decode_image, encode_jpeg, fit, neutral_name, sniff_format
from geor1.synthesis.sources import IMAGES_FOLDER, images_dir

A = TypeVar("A")
B = TypeVar("B")
LINKED, COPIED, STRIPPED, ENCODED = "linked", "copied", "stripped", "encoded"
"""What was done with an image: hard-linked; copied unchanged (another disk, or not a file); rid of its metadata without
touching pixels; decoded and encoded."""
_ORIENTATION = 0x0112
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # neither stuffing, nor a restart, nor padding
_PNG_KEPT = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
# Of the application segments only two tell how to decode: name and length, marker included. Others use their numbers
# too: Mapillary keeps place and device in a fourteenth one.
_JPEG_KEPT = ((b"JFIF\x00", 18), (b"Adobe", 16))
_log = logging.getLogger(__name__)


@dataclasses.dataclass
class Placer:
    """Writes the images of one source.

    Attributes:
        out_dir: Folder of the data set.
        panorama_px: Width and height of the ground images; (0, 0) keeps each image's own size.
        tile_px: Edge of the tiles; 0 keeps each tile's own size.
        quality: JPEG quality of what has to be encoded.
        counts: Images by what was done with them; several threads may add.
    """

    out_dir: Path
    panorama_px: tuple[int, int] = (0, 0)
    tile_px: int = 0
    quality: int = JPEG_QUALITY
    counts: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)

    def __post_init__(self) -> None:
        images_dir(self.out_dir)
        self._tiles: dict[str, str] = {}
        self._lock = threading.Lock()

    def place(self, image: Path | bytes, *key: object, view: str) -> str:
        """Write one image; a tile that several pairs share is written once.

        Args:
            image: A file, or the bytes of one.
            key: What identifies the image, for :func:`geor1.synthesis.images.neutral_name`.
            view: ``ground`` or ``satellite``.

        Returns:
            The path written, relative to ``out_dir``.

        Raises:
            ImageError: The file is missing, cut short or no image.
        """
        stem = neutral_name(*key, view).removesuffix(".jpg")
        suffix = self._tiles.get(stem)
        if suffix is None:
            width, height = self.panorama_px if view == "ground" else (self.tile_px, self.tile_px)
            size_px = (width, height) if width and height else None
            data, suffix, how = prepare(image, size_px=size_px, view=view, quality=self.quality)
            target = self.out_dir / IMAGES_FOLDER / f"{stem}{suffix}"
            if how == LINKED and isinstance(image, Path):
                how = link_or_copy(image, target)
            else:
                write_whole(target, data)
            with self._lock:
                self.counts[how] += 1
                if view == "satellite":
                    self._tiles[stem] = suffix
        return f"{IMAGES_FOLDER}/{stem}{suffix}"


def prepare(image: Path | bytes, *, size_px: tuple[int, int] | None, view: str, quality: int) -> tuple[bytes, str, str]:
    """What is to stand in the data set for an image.

    Args:
        image: A file, or the bytes of one.
        size_px: Wanted width and height; None keeps the image's own.
        view: ``ground`` or ``satellite``, see :func:`geor1.synthesis.images.fit`.
        quality: JPEG quality, where it has to be encoded.

    Returns:
        Bytes without metadata, suffix of the file name, and one of :data:`LINKED` (the file itself will do),
        :data:`COPIED`, :data:`STRIPPED` and :data:`ENCODED`.

    Raises:
        ImageError: The file is missing, cut short or no image.
    """
    name = str(image) if isinstance(image, Path) else "image bytes"
    data = read_bytes(image) if isinstance(image, Path) else image
    kind = sniff_format(data)
    if kind in ("JPEG", "PNG") and _usable_as_it_is(data, kind, name, size_px):
        bare = bare_jpeg(data, name) if kind == "JPEG" else bare_png(data, name)
        same = LINKED if isinstance(image, Path) else COPIED
        return bare, ".jpg" if kind == "JPEG" else ".png", same if len(bare) == len(data) else STRIPPED
    width, height = size_px or (0, 0)
    pixels = fit(decode_image(data, name), width_px=width, height_px=height, view=view)
    return encode_jpeg(pixels, quality=quality), ".jpg", ENCODED


def read_bytes(path: Path) -> bytes:
    """The bytes of an image file.

    Raises:
        ImageError: It is missing or cannot be read.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise ImageError(f"{path}: image file is missing; restore it or drop the pair") from error
    except OSError as error:
        raise ImageError(f"{path}: image file cannot be read ({error}); restore it or drop the pair") from error


def bare_jpeg(data: bytes, name: str) -> bytes:
    """A JPEG without EXIF, comments, profiles and whatever lies behind its end; pixels untouched.

    Raises:
        ImageError: Its segments do not add up.
    """
    kept, at, in_scan = [data[:2]], 2, False
    while marker := _MARKER.search(data, at):
        code, start = data[marker.start() + 1], marker.start()
        if code == 0xD9:
            return b"".join([*kept, data[at:start] if in_scan else b"", b"\xff\xd9"])
        if start + 4 > len(data):
            break
        end = start + 2 + struct.unpack(">H", data[start + 2 : start + 4])[0]
        if in_scan:  # anywhere else nothing belongs between two segments
            kept.append(data[at:start])
        in_scan = code == 0xDA
        if not (0xE0 <= code <= 0xEF or code == 0xFE) or (data[start + 4 : start + 9], end - start) in _JPEG_KEPT:
            kept.append(data[start:end])
        at = end
    raise ImageError(f"{name}: JPEG file has no end; fetch it again or drop the pair")


def bare_png(data: bytes, name: str) -> bytes:
    """A PNG without its text, time and EXIF chunks and whatever lies behind its end; pixels untouched.

    Raises:
        ImageError: Its chunks do not add up.
    """
    kept, at = [data[:8]], 8
    while at + 12 <= len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        if kind in _PNG_KEPT:
            kept.append(data[at : at + 12 + length])
        at += 12 + length
        if kind == b"IEND":
            return b"".join(kept)
    raise ImageError(f"{name}: PNG file has no end; fetch it again or drop the pair")


def link_or_copy(source: Path, target: Path) -> str:
    """Hard-link a file, or copy it where the file system does not link.

    Returns:
        :data:`LINKED` or :data:`COPIED`.
    """
    source = source.resolve()  # a link to a symbolic link would not be a link to the image
    if target.exists() and os.path.samefile(source, target):
        return LINKED
    partial = _partial(target)
    try:
        os.link(source, partial)
    except OSError as error:  # another disk, no such feature, or a file of another user
        _log.debug("%s: copied, as it cannot be linked (%s)", source, error)
        write_whole(target, source.read_bytes())
        return COPIED
    partial.replace(target)
    return LINKED


def write_whole(path: Path, data: bytes) -> None:
    """Write a file whole or not at all; a file that the path was linked to stays as it is."""
    partial = _partial(path)
    partial.write_bytes(data)
    partial.replace(path)


def _partial(path: Path) -> Path:
    """A place for a half-written file; what a killed run left there is unlinked, as it may be somebody's own image."""
    partial = path.with_name(f"{path.name}.{threading.get_ident()}.partial")
    partial.unlink(missing_ok=True)
    return partial


def ordered_map(make: Callable[[A], B], items: Iterable[A], workers: int) -> Iterator[B]:
    """``map`` in the order of the items, a few ahead in threads (reading and decoding release Python's lock).

    Args:
        make: Called once an item; its exception is raised when the item's turn comes.
        items: Taken as they are needed, never all at once.
        workers: Threads; 1 works in this one.
    """
    if workers <= 1:
        yield from map(make, items)
        return
    waiting: deque[Future[B]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="images") as pool:
        try:
            for item in items:
                waiting.append(pool.submit(make, item))
                if len(waiting) >= 4 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _usable_as_it_is(data: bytes, kind: str, name: str, size_px: tuple[int, int] | None) -> bool:
    """Whether only metadata separates the file from what is wanted; it is decoded to make sure that it is whole."""
    try:
        with Image.open(io.BytesIO(data), formats=[kind]) as opened:
            if size_px not in (None, opened.size) or opened.mode != "RGB":
                return False
            if opened.getexif().get(_ORIENTATION, 1) != 1:
                return False
            opened.draft("RGB", (max(1, opened.width // 8), max(1, opened.height // 8)))
            opened.load()
    except (OSError, SyntaxError, ValueError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise ImageError(f"{name}: {kind} file cannot be decoded ({error}); fetch it again or drop the pair") from error
    return True
