"""MP16-Reason-Test: 12,000 Flickr photos with city and country.

Verified (lingli1996/GLOBE ``examples/train/grpo/globe/eval.py``, which reads the file): ``mp16-reason-test-12k.csv``
with a header, columns ``IMG_ID`` or ``id``, ``LAT`` or ``latitude``, ``LON`` or ``longitude``, ``city``, ``country``;
photos in one folder, named as the id, ``.jpg`` added where it is lacking. Not verified: further columns, and the place
of the download, since neither the file nor its page could be read.

How we differ: GLOBE asks for country and city and geocodes the names; we ask for coordinates, and count rows without
usable true coordinates as an error, where GLOBE passes over them.
"""

from __future__ import annotations

from pathlib import Path

from geor1.benchmarks.items import BenchmarkError, Item, check_unique, image_index, images_of, read_table
from geor1.geodesy import cell_label

NAME = "mp16-reason"
FILE = "mp16-reason-test-12k.csv"
_COLUMNS = {"id": ("IMG_ID", "id"), "latitude": ("LAT", "latitude"), "longitude": ("LON", "longitude")}


def load(folder: Path | str) -> list[Item]:
    """The test photos, in file order; slices country and city, cluster = 0.01° cell.

    Args:
        folder: Holds the CSV and, anywhere below, the photos.

    Raises:
        BenchmarkError: The file does not fit.
    """
    rows = read_table(Path(folder) / FILE, ("city", "country"))
    names = {field: next((n for n in known if n in rows[0].cells), "") for field, known in _COLUMNS.items()}
    absent = [field for field, name in names.items() if not name]
    if absent:
        raise BenchmarkError(f"{FILE}: no column for {absent[0]}; expected one of {_COLUMNS[absent[0]]}")
    index = image_index(folder)
    items = []
    for row in rows:
        latitude_deg, longitude_deg = row.position(names["latitude"], names["longitude"])
        images, flags = images_of(index, Path(row[names["id"]]).name.split(".")[0])
        texts = {name: row[name] for name in ("country", "city") if row[name]}
        items.append(
            Item(
                benchmark=NAME,
                item_id=row[names["id"]],
                images=images,
                truth=texts,
                latitude_deg=latitude_deg,
                longitude_deg=longitude_deg,
                slices=texts,
                cluster=cell_label(latitude_deg=latitude_deg, longitude_deg=longitude_deg),
                flags=flags,
            )
        )
    return check_unique(items, FILE)
