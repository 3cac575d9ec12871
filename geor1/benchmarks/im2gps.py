"""IM2GPS3k (2,997 labelled of 3,000 Flickr photos) and YFCC4k (4,536).

Verified (TIBHannover/GeoEstimation ``meta/im2gps3k_places365.csv``, all rows): a header, columns ``IMG_ID`` (a file
name), ``AUTHOR``, ``LAT``, ``LON``, ``S3_Label``, ``S16_Label``, ``S365_Label`` and three probabilities. Its first
version, still in circulation, has **the names of the two coordinate columns swapped**: ``LON`` holds latitudes.
Coordinates out of range give that away, and such a file is read the right way round (flag ``header_swapped``). Not
verified: a file of this layout for YFCC4k (``yfcc4k_places365.csv``), named so by several repositories that read it.
"""

from __future__ import annotations

from pathlib import Path

from geor1.benchmarks.items import (
    BenchmarkError,
    Item,
    Row,
    check_unique,
    image_index,
    images_of,
    read_table,
)
from geor1.geodesy import cell_label

FILES = {"im2gps3k": "im2gps3k_places365.csv", "yfcc4k": "yfcc4k_places365.csv"}
_SCENES = {"0": "indoor", "1": "natural", "2": "urban"}


def load_im2gps3k(folder: Path | str) -> list[Item]:
    """IM2GPS3k; see :func:`load`."""
    return load(folder, "im2gps3k")


def load_yfcc4k(folder: Path | str) -> list[Item]:
    """YFCC4k; see :func:`load`."""
    return load(folder, "yfcc4k")


def load(folder: Path | str, name: str) -> list[Item]:
    """Photos in file order; slice ``scene``, cluster = photographer where known, else 0.01° cell.

    Args:
        folder: Holds the CSV and, anywhere below, the photos.
        name: ``im2gps3k`` or ``yfcc4k``.

    Raises:
        BenchmarkError: The file does not fit, or coordinates are out of range either way round.
    """
    file = FILES[name]
    rows = read_table(Path(folder) / file, ("IMG_ID", "LAT", "LON"))
    latitude, longitude, flags = _columns(rows, file)
    index = image_index(folder)
    items = []
    for row in rows:
        latitude_deg, longitude_deg = row.position(latitude, longitude)
        images, missing = images_of(index, Path(row["IMG_ID"]).name.split(".")[0])
        scene = _SCENES.get(row.get("S3_Label"))
        items.append(
            Item(
                benchmark=name,
                item_id=row["IMG_ID"],
                images=images,
                truth={},
                latitude_deg=latitude_deg,
                longitude_deg=longitude_deg,
                slices={"scene": scene} if scene else {},
                cluster=row.get("AUTHOR") or cell_label(latitude_deg=latitude_deg, longitude_deg=longitude_deg),
                flags=(*flags, *missing),
            )
        )
    return check_unique(items, file)


def _columns(rows: list[Row], file: str) -> tuple[str, str, tuple[str, ...]]:
    """The columns that hold latitude and longitude, and the flag if their names are swapped."""
    beyond = {name: any(abs(row.number(name)) > 90 for row in rows) for name in ("LAT", "LON")}
    if all(beyond.values()):
        raise BenchmarkError(f"{file}, columns 'LAT' and 'LON': both hold values beyond 90; neither is a latitude")
    return ("LON", "LAT", ("header_swapped",)) if beyond["LAT"] else ("LAT", "LON", ())
