"""Published layouts in miniature, of noise or of real images, for tests of the sources."""

from __future__ import annotations

import gc
import io
import shutil
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from geor1.synthesis.layouts.cv_cities import CENTRES_DEG


def peak_bytes(run: Callable[[], object]) -> int:
    """Most that a call holds at a time, the smaller of two: while one of them runs the interpreter may happen to double
    its table of interned strings (megabytes at once; ``pathlib`` interns names), which depends on the tests before."""
    peaks = []
    for _ in range(2):
        gc.collect()
        tracemalloc.start()
        run()
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    return min(peaks)


def picture(path: Path, seed: int, *, size: tuple[int, int] = (56, 28), gps: bool = True) -> Path:
    """A JPEG of noise that carries a position in its EXIF."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(picture_bytes(seed, size=size, gps=gps))
    return path


def picture_bytes(seed: int, *, size: tuple[int, int] = (56, 28), gps: bool = True) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3)).astype(np.uint8)
    options = {}
    if gps:
        exif = Image.Exif()
        exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 51.0, 30.0)})
        options["exif"] = exif
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="JPEG", **options)
    return buffer.getvalue()


def cv_cities(
    root: Path,
    n: int,
    *,
    cities: Sequence[str] = ("paris", "london"),
    images: Sequence[tuple[Path, Path]] = (),
    side_px: int = 28,
) -> Path:
    """CV-Cities with ``n`` pairs a city, 200 m from one to the next; of the images given, or of noise."""
    for city in cities:
        latitude, longitude = CENTRES_DEG[city]
        lines = []
        for number in range(n):
            views = {"pano": f"{city}/pano_images/{number}.jpg", "sat": f"{city}/sat_images/{number}.jpg"}
            if images:
                for source, path in zip(images[number % len(images)], views.values(), strict=True):
                    (root / path).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(source, root / path)
            else:
                picture(root / views["pano"], number, size=(2 * side_px, side_px))
                picture(root / views["sat"], number + 1000, size=(side_px, side_px))
            north_deg = 200.0 * number / 111_195.0
            lines.append(f"{number},{longitude},{latitude + north_deg},{city},{views['sat']},{views['pano']}")
        (root / city / "img_info.csv").write_text("\n".join(lines) + "\n")
    return root


def cvusa(root: Path, images: Sequence[tuple[Path, Path]]) -> Path:
    """CVUSA with one test pair for each pair of images (ground, satellite), 200 m apart in Oregon."""
    lines, positions = [], []
    for number, (ground, satellite) in enumerate(images, start=1):
        views = {f"streetview/panos/{number:07}.jpg": ground, f"bingmap/19/{number:07}.jpg": satellite}
        for path, source in views.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, root / path)
        lines.append(f"bingmap/19/{number:07}.jpg,streetview/panos/{number:07}.jpg,x/{number:07}.png")
        positions.append(f"43.0,-122.0,{43 + 200.0 * number / 111_195.0},-122.0,0")
    for file, rows in (
        ("splits/train-19zl.csv", []),
        ("splits/val-19zl.csv", lines),
        ("split_locations/all.csv", positions),
    ):
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_text("".join(f"{row}\n" for row in rows))
    return root


def university(root: Path, *, buildings: int = 6, views: int = 2) -> Path:
    """University-1652: so many buildings in each split, so many street views each."""
    for street, satellite, first in (
        ("train/street", "train/satellite", 800),
        ("test/query_street", "test/gallery_satellite", 0),
    ):
        for building in range(first, first + buildings):
            for view in range(views):
                picture(root / street / f"{building:04}" / f"{view + 1}.jpg", 10 * building + view)
            picture(root / satellite / f"{building:04}" / f"{building:04}.jpg", 10 * building + 9, size=(28, 28))
    return root


def real_pairs(real_data: Path, name: str) -> list[tuple[Path, Path]]:
    """Ground image and tile of each real pair."""
    folder = real_data / "pairs" / name
    return [(file, folder / file.name.replace("ground", "satellite")) for file in sorted(folder.glob("*_ground.jpg"))]
