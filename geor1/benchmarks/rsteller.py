"""RSTeller: where in the United States was this aerial image taken.

Verified (SlytherinGe/RSTeller README): webdataset shards whose members are ``<patch>.jpg`` (448 × 448 px at 0.6 m),
``<patch>.txt`` and ``<patch>.json`` = ``{"metadata": {"patch_id", "image_name"}, "annotations": […]}``. There is no
position in it; ``image_name``, e.g. ``m_4107501_ne_18_060_20221108``, names the NAIP quarter quadrangle, and its centre
stands for the position here (flag ``quarter_quadrangle``): at most 3.5 km off north-south and as much (times cos
latitude) east-west, so accuracy at 1 km means nothing. Not verified: the columns of the separate RSTeller_metadata set,
and what task Geo-R1 made of it.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from geor1.benchmarks.items import NO_IMAGE, BenchmarkError, Item
from geor1.geodesy import cell_label

NAME = "rsteller"
_QUADRANGLE = re.compile(r"^m_(\d{2})(\d{3})(\d{2})_(nw|ne|sw|se)_(\d{2})_\d{3}_(\d{4})\d{4}(?:_\d{8})?$")
_QUAD_DEG = 0.125  # 7.5 minutes; eight by eight to a degree
_QUARTER_DEG = _QUAD_DEG / 2


def load(folder: Path | str) -> list[Item]:
    """Patches in the order of their numbers; slices ``utm_zone`` and ``year``, cluster = quarter quadrangle.

    Args:
        folder: Members of one or more shards, extracted (``tar -xf``): JSON and JPEG files, anywhere below.

    Raises:
        BenchmarkError: No JSON files, or one that does not fit.
    """
    folder = Path(folder)
    files = sorted(folder.rglob("*.json"), key=lambda path: (path.parent, len(path.stem), path.stem))
    if not files:
        raise BenchmarkError(f"{folder}: expected <patch>.json files of RSTeller, found none; extract a shard here")
    return [_item(path, folder) for path in files]


def quarter_quadrangle(image_name: str) -> tuple[float, float] | None:
    """Centre of the NAIP quarter quadrangle that an image name speaks of.

    Args:
        image_name: ``m_<lat><lon><quad>_<quarter>_<utm zone>_<resolution>_<date>``. Latitude and longitude (west) are
            the south-east corner of a one-degree block, its 64 quadrangles are numbered row by row from the north-west.

    Returns:
        Latitude and longitude in degrees, or None if it is no such name.

    Source: USGS quadrangle numbering, as NAIP uses it.

    >>> quarter_quadrangle("m_3712213_sw_10_060_20220101")  # San Francisco North: 37.75 … 37.875, -122.5 … -122.375
    (37.78125, -122.46875)
    """
    match = _QUADRANGLE.match(image_name)
    number = int(match[3]) if match else 0
    if match is None or not 1 <= number <= 64:
        return None
    row, column = divmod(number - 1, 8)
    north = int(match[1]) + 1 - row * _QUAD_DEG
    west = -(int(match[2]) + 1) + column * _QUAD_DEG
    south_half, east_half = match[4][0] == "s", match[4][1] == "e"
    return north - _QUARTER_DEG * (south_half + 0.5), west + _QUARTER_DEG * (east_half + 0.5)


def _item(path: Path, folder: Path) -> Item:
    metadata = _metadata(path)
    name = metadata["image_name"]
    position = quarter_quadrangle(name) if isinstance(name, str) else None
    if position is None:
        raise BenchmarkError(f"{path.name}, field 'image_name': expected m_<quadrangle>_<quarter>_…, got {name!r}")
    match = _QUADRANGLE.match(name)
    image = path.with_suffix(".jpg")
    found = image.is_file()
    return Item(
        benchmark=NAME,
        item_id=str(metadata["patch_id"]),
        images=(image.relative_to(folder).as_posix(),) if found else (),
        truth={"country": "United States"},
        latitude_deg=position[0],
        longitude_deg=position[1],
        slices={"utm_zone": match[5], "year": match[6]},  # type: ignore[index]
        cluster=cell_label(latitude_deg=position[0], longitude_deg=position[1]),
        flags=("quarter_quadrangle",) if found else ("quarter_quadrangle", NO_IMAGE),
    )


def _metadata(path: Path) -> dict[str, Any]:
    try:
        metadata = json.loads(path.read_text(encoding="utf-8"))["metadata"]
        absent = [name for name in ("patch_id", "image_name") if name not in metadata]
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise BenchmarkError(f"{path.name}: expected an object with 'metadata' ({error!r}); was it cut?") from error
    if absent:
        raise BenchmarkError(f"{path.name}: field {absent[0]!r} is missing in 'metadata'")
    return metadata
