"""Slices: the groups that predictions fall into, by their true place and by columns the data set brings.

A slice is one label a prediction; what is not known is the group :data:`UNKNOWN`, never a row left out.

What the place slices are, and are not:

- ``country``: what the data set's label names, or the outline its coordinate falls into where the label names none.
  ``continent`` and ``subregion`` follow from it (UN M49; Russia parted at 60° E for the continent).
- ``climate``: Köppen's main group of the 9 km cell. ``hemisphere`` and ``latitude_band``: the coordinate.
- ``near_city``: whether one of the gazetteer's 350 chosen cities lies within 25 km, by its population. The gazetteer is
  a selection (cities at least 100 km apart): no listed city does **not** mean rural. Urban against rural comes from a
  column such as ``setting``, if the data set has one.
"""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from scipy.spatial import cKDTree

from geor1.evaluation.json_replies import find_object
from geor1.geodesy import cell_label
from geor1.records import Prediction, RecordError
from geor1.world.countries import chord, countries_at, unit_vectors
from geor1.world.gazetteer import cities
from geor1.world.layers import describe_place
from geor1.world.regions import continent, country_code, country_names, subregion

Columns = Mapping[str, Mapping[str, Any]]
"""Further columns: item id -> name -> value."""

UNKNOWN = "unknown"
PLACE_SLICES = (
    "continent", "subregion", "country", "climate", "hemisphere", "latitude_band", "near_city",
)  # fmt: skip
NEAR_CITY_KM = 25.0
_BANDS_DEG = (15.0, 30.0, 45.0, 60.0, 90.0)  # upper ends of the bands of absolute latitude


@dataclasses.dataclass(frozen=True)
class Place:
    """What is known of a prediction's true place; None where nothing is.

    Attributes:
        code: Country, ISO 3166-1 alpha-2.
        code_from: ``label`` or ``outline``, whichever gave the code.
        outline_code: Country by the coordinate alone; where it differs from a label's, one of the two is wrong.
        latitude_deg: WGS84.
        longitude_deg: WGS84.
    """

    code: str | None
    code_from: str | None
    outline_code: str | None
    latitude_deg: float | None
    longitude_deg: float | None


def true_places(predictions: Sequence[Prediction]) -> list[Place]:
    """The true place of each prediction, in order."""
    outlines = _codes_at([(p.true_latitude_deg, p.true_longitude_deg) for p in predictions])
    places = []
    for p, outline in zip(predictions, outlines, strict=True):
        label = country_code(p.true_country)
        source = "label" if label else "outline" if outline else None
        places.append(Place(label or outline, source, outline, p.true_latitude_deg, p.true_longitude_deg))
    return places


def predicted_codes(predictions: Sequence[Prediction]) -> list[str | None]:
    """Country code of each predicted coordinate; None for a miss and on the open sea."""
    usable = [p.status == "ok" for p in predictions]
    at = [(p.latitude_deg, p.longitude_deg) if ok else (None, None) for p, ok in zip(predictions, usable, strict=True)]
    return _codes_at(at)


def slice_labels(
    predictions: Sequence[Prediction], *, columns: Columns | None = None, names: Sequence[str] | None = None
) -> dict[str, list[str]]:
    """Labels of each prediction under each slice.

    Args:
        predictions: Any task.
        columns: Further columns by item id; every column becomes a slice of its own, its values taken as text.
        names: Slices wanted, from PLACE_SLICES and the columns' names; all when None.

    Returns:
        Slice name -> one label a prediction.

    Raises:
        ValueError: A name is neither a place slice nor a column, or a column has a place slice's name.
    """
    found = sorted({name for row in (columns or {}).values() for name in row})
    clash = [name for name in found if name in PLACE_SLICES]
    if clash:
        raise ValueError(f"columns: {clash} are names of place slices; rename the columns (e.g. 'label_{clash[0]}')")
    wanted = list(names) if names is not None else [*PLACE_SLICES, *found]
    unknown = [name for name in wanted if name not in PLACE_SLICES and name not in found]
    if unknown:
        raise ValueError(f"slices: no slice {unknown[0]!r}; there are {[*PLACE_SLICES, *found]}")
    places = true_places(predictions) if any(name in PLACE_SLICES for name in wanted) else []
    labels = {}
    for name in wanted:
        if name in PLACE_SLICES:
            labels[name] = _place_labels(name, places)
        else:
            labels[name] = [_text((columns or {}).get(p.item_id, {}).get(name)) for p in predictions]
    return labels


def place_cells(predictions: Sequence[Prediction], *, size_deg: float = 0.01) -> list[str]:
    """Cluster labels: predictions whose true places share a cell of ``size_deg`` are not independent.

    Args:
        predictions: Any task; one without a true place is a cluster of its own item.
        size_deg: Cell size in degrees; 0.01° is about 1 km.

    Raises:
        ValueError: ``size_deg`` is not positive.
    """
    return [
        p.item_id
        if p.true_latitude_deg is None or p.true_longitude_deg is None
        else cell_label(latitude_deg=p.true_latitude_deg, longitude_deg=p.true_longitude_deg, size_deg=size_deg)
        for p in predictions
    ]


def read_columns(path: Path | str, *, key: str, names: Iterable[str]) -> dict[str, dict[str, str]]:
    """Further columns of a data set's CSV, such as ``weather`` of IMAGEO's GSS; empty cells stay empty (unknown).

    Args:
        path: CSV with a header.
        key: Column of the item id.
        names: Columns wanted.

    Raises:
        RecordError: A column is missing.
    """
    wanted = [key, *names]
    with Path(path).open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        missing = [name for name in wanted if name not in (reader.fieldnames or [])]
        if missing:
            raise RecordError(f"{Path(path).name}: no column {missing}; it has {reader.fieldnames}")
        return {row[key]: {name: row[name] or "" for name in wanted[1:]} for row in reader}


def imageo_columns(predictions: Sequence[Prediction]) -> dict[str, dict[str, str]]:
    """What an IMAGEO reply says of its own photo: ``environment``, ``scene_type``, ``setting``, ``confidence``.

    This is the model's description, not truth: models differ in what they call urban, and a reply that could not be
    read has none. To compare models, take one source of columns for all.

    Source: benchmark-reverse-geocoding ``src/prompt.py`` (the reply's layout).
    """
    columns = {}
    for p in predictions:
        reply = find_object(p.raw, "reverse_geocoding") or {}
        image, place = (_as_dict(reply.get(name)) for name in ("image_information", "reverse_geocoding"))
        values = {name: _text(image.get(name)).lower() for name in ("environment", "scene_type", "setting")}
        columns[p.item_id] = values | {"confidence": _text(place.get("confidence"))}
    return columns


def _place_labels(name: str, places: Sequence[Place]) -> list[str]:
    if name == "near_city":
        return _near_city(places)
    by_code: dict[str, Callable[[Place], str | None]] = {
        "country": lambda place: country_names().get(place.code or ""),
        "subregion": lambda place: subregion(place.code),
        "continent": lambda place: continent(
            place.code, latitude_deg=place.latitude_deg, longitude_deg=place.longitude_deg
        ),
    }
    if name in by_code:
        return [by_code[name](place) or UNKNOWN for place in places]
    return [
        UNKNOWN
        if place.latitude_deg is None or place.longitude_deg is None
        else _coordinate_label(name, place.latitude_deg, place.longitude_deg)
        for place in places
    ]


def _coordinate_label(name: str, latitude_deg: float, longitude_deg: float) -> str:
    if name == "hemisphere":
        return "northern" if latitude_deg >= 0 else "southern"
    if name == "climate":
        return describe_place(latitude_deg=latitude_deg, longitude_deg=longitude_deg).climate
    upper = next(band for band in _BANDS_DEG if abs(latitude_deg) <= band)
    lower = max((band for band in _BANDS_DEG if band < upper), default=0.0)
    return f"{lower:g}–{upper:g}°"


def _near_city(places: Sequence[Place]) -> list[str]:
    """Population class of the largest listed city within NEAR_CITY_KM."""
    listed = cities()
    tree = cKDTree(unit_vectors([city.latitude_deg for city in listed], [city.longitude_deg for city in listed]))
    known = [i for i, place in enumerate(places) if place.latitude_deg is not None and place.longitude_deg is not None]
    labels = [UNKNOWN] * len(places)
    if not known:
        return labels
    positions = unit_vectors([places[i].latitude_deg for i in known], [places[i].longitude_deg for i in known])
    for index, near in zip(known, tree.query_ball_point(positions, chord(NEAR_CITY_KM)), strict=True):
        people = max((listed[i].population for i in near), default=0)
        classes = ((1_000_000, "city of 1M+"), (100_000, "city of 100k–1M"), (1, "city under 100k"))
        labels[index] = next((label for least, label in classes if people >= least), "no listed city")
    return labels


def _codes_at(positions: Sequence[tuple[float | None, float | None]]) -> list[str | None]:
    known = [i for i, (latitude, longitude) in enumerate(positions) if latitude is not None and longitude is not None]
    codes: list[str | None] = [None] * len(positions)
    found = countries_at([positions[i][0] for i in known], [positions[i][1] for i in known])
    for index, code in zip(known, found, strict=True):
        codes[index] = code
    return codes


def _as_dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    """A value as a label; missing and empty ones are unknown."""
    return (str(value).strip() or UNKNOWN) if isinstance(value, (str, int, float)) and value == value else UNKNOWN
