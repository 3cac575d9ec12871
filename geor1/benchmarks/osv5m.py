"""OpenStreetView-5M: the test set's ``test.csv``, or the 50 rows of its human study, ``select.csv``.

Verified (osv5m/osv5m ``osv5m.py``, first lines): ``test.csv`` has a header, columns ``id``, ``latitude``,
``longitude``, ``country`` (ISO alpha-2 codes), ``region``, ``sub-region``, ``city``, ``sequence`` and many more; empty
cells where a place has none. ``select.csv`` (gastruc/osv5m): ``id``, ``true_lat``, ``true_lon``, ``country``,
``region``, ``area``, ``city``. Not verified: the folders inside the zips of photos; photos (``<id>.jpg``) are found
anywhere below the folder.
"""

from __future__ import annotations

from pathlib import Path

from geor1.benchmarks.items import BenchmarkError, Item, check_unique, image_index, images_of, read_table
from geor1.geodesy import cell_label

NAME = "osv5m"
_LAYOUTS = {  # file -> column of each field
    "test.csv": {"latitude": "latitude", "longitude": "longitude", "area": "sub-region"},
    "select.csv": {"latitude": "true_lat", "longitude": "true_lon", "area": "area"},
}
_SAME = ("country", "region", "city")


def load(folder: Path | str) -> list[Item]:
    """Photos in file order; slices country, region, area, city; cluster = sequence where known, else 0.01° cell.

    Args:
        folder: Holds ``test.csv`` or ``select.csv`` (the first that is there) and, anywhere below, the photos.

    Raises:
        BenchmarkError: Neither file is there, or it does not fit.
    """
    folder = Path(folder)
    file = next((name for name in _LAYOUTS if (folder / name).is_file()), None)
    if file is None:
        raise BenchmarkError(f"{folder}: expected test.csv or select.csv of OpenStreetView-5M, found neither")
    columns = _LAYOUTS[file] | {name: name for name in _SAME}
    index = image_index(folder)
    items = []
    for row in read_table(folder / file, ("id", *columns.values())):
        latitude_deg, longitude_deg = row.position(columns["latitude"], columns["longitude"])
        images, flags = images_of(index, row["id"])
        names = {name: row[columns[name]] for name in (*_SAME, "area") if row[columns[name]]}
        items.append(
            Item(
                benchmark=NAME,
                item_id=row["id"],
                images=images,
                truth={name: names[name] for name in ("city", "country") if name in names},
                latitude_deg=latitude_deg,
                longitude_deg=longitude_deg,
                slices=names,
                cluster=row.get("sequence") or cell_label(latitude_deg=latitude_deg, longitude_deg=longitude_deg),
                flags=flags,
            )
        )
    return check_unique(items, file)
