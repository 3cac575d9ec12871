"""IMAGEO-Bench: street scenes (GSS), US places (UPC) and private photos (PCW), asked for an address and coordinates.

The labels have defects; each is a flag of its items, and nothing is left out unless the caller asks. The prompt asks
for the benchmark's JSON in our own words; scores are the strict ones of :mod:`geor1.evaluation.imageo`.

Source: Lingyao1219/benchmark-reverse-geocoding (arXiv 2508.01608), ``data/dataset{1,2,3}_info.csv``, ``src/prompt.py``
(fields of the reply). Photos: Zenodo 10.5281/zenodo.16670471; where in the archive they lie was not verified, so they
are found by file name anywhere below the folder.
"""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from geor1.answers import IMAGE_MARKER, ParseFailure
from geor1.benchmarks.items import (
    Item,
    Reply,
    Row,
    check_unique,
    image_index,
    images_of,
    read_table,
    replies_by_key,
)
from geor1.benchmarks.location import unanswered
from geor1.evaluation.geolocation import GeolocationScore, score_geolocation
from geor1.evaluation.imageo import imageo_strict
from geor1.evaluation.importers import read_position
from geor1.evaluation.json_replies import find_object
from geor1.geodesy import cell_label
from geor1.records import Prediction

QUESTION = "address"
FILES = {"imageo-gss": "dataset1_info.csv", "imageo-upc": "dataset2_info.csv", "imageo-pcw": "dataset3_info.csv"}
PLACEHOLDER = (28.6478898, 180.0)  # two rows of UPC, in Boston and Douglas
PROMPT = (
    f"Photo: {IMAGE_MARKER} You locate photos. Find out where this one was taken, and reply with one JSON object and "
    "nothing else. Work in three parts. image_information: say of the scene its environment (indoor or outdoor), "
    "scene_type (building, scenery, street or mixed) and setting (urban, suburban, rural or natural). reasoning: write "
    "down, before you decide, what you see by way of landmark_recognition, text_and_signage, cultural_indicators and "
    "spatial_context. reverse_geocoding: conclude with your confidence from 1 (a guess) to 5 (certain), the address "
    "(street, city, state, country) and the coordinates (latitude, longitude) in decimal degrees, south and west "
    "negative; null where you cannot tell. The object: "
    '{"image_information": {"environment": …, "scene_type": …, "setting": …}, "reasoning": {"landmark_recognition": …, '
    '"text_and_signage": …, "cultural_indicators": …, "spatial_context": …}, "reverse_geocoding": {"confidence": …, '
    '"address": {"street": …, "city": …, "state": …, "country": …}, "coordinates": {"latitude": …, "longitude": …}}}'
)
_POSTCODE_FOR_CITY = re.compile(r"^[A-Z]{2} \d{5}(?:-\d{4})?$")
_ROUNDED = re.compile(r"^\d+0{6}\.0$|^\d+(?:\.\d+)?[eE]\+?\d+$")  # a spreadsheet kept six digits of an id


@dataclasses.dataclass(frozen=True)
class Address:
    """What a reply names; texts it leaves out are None.

    Attributes:
        latitude_deg: None unless both coordinates are usable.
        longitude_deg: Likewise.
        status: ``ok``, or the ``ParseFailure`` value that says why there are no coordinates.
        city: As written.
        state: As written.
        country: As written.
        confidence: 1 … 5, None for anything else.
    """

    latitude_deg: float | None
    longitude_deg: float | None
    status: str
    city: str | None
    state: str | None
    country: str | None
    confidence: int | None


@dataclasses.dataclass(frozen=True)
class ImageoScore:
    """Scores of one model, every labelled photo counted.

    Attributes:
        location: Distances; intervals by bootstrap over clusters.
        strict: What :func:`geor1.evaluation.imageo.imageo_strict` gives (cities, countries, medians).
        flags: Photos among those scored by label defect.
    """

    location: GeolocationScore
    strict: dict[str, Any]
    flags: dict[str, int]


def load_gss(folder: Path | str) -> list[Item]:
    """Global street scenes: 6,152 rows of ``dataset1_info.csv``.

    Slices: country, city, continent, source, split, lighting, weather, view. Flags, the first two a spreadsheet's
    doing: ``orig_id_rounded`` (the photo's id at its source has lost its last digits), ``sequence_unknown`` (it reads
    ``#NAME?``), ``shared_coordinates``, ``no_image``. Cluster = sequence, or 0.01° cell where it is unknown.

    Raises:
        BenchmarkError: The file does not fit.
    """
    needed = ("image_id", "orig_id", "city", "country", "continent", "latitude", "longitude", "sequence_id", "split")
    return _load("imageo-gss", folder, needed, _gss_flags, _gss_slices)


def load_upc(folder: Path | str) -> list[Item]:
    """US places: 2,928 rows of ``dataset2_info.csv``.

    Slices: state, city. Flags: ``postcode_for_city`` (city reads "AL 35203", state is empty: the address ended in
    ", United States"), ``no_city``, ``no_state``, ``placeholder_coordinates`` (longitude 180 in the middle of the
    country: any distance to it is meaningless), ``shared_coordinates``, ``no_image``.

    Raises:
        BenchmarkError: The file does not fit.
    """
    needed = ("image_id", "address", "latitude", "longitude", "city", "state")
    return _load("imageo-upc", folder, needed, _text_flags, lambda row: {"state": row["state"], "city": row["city"]})


def load_pcw(folder: Path | str) -> list[Item]:
    """Private photos: 270 rows of ``dataset3_info.csv``.

    Slices: country, state, city. Flags: ``no_city``, ``no_state``, ``no_street``, ``shared_coordinates`` (270 photos
    stand at 211 positions), ``no_image``. One photo of the published results has no label and is no item.

    Raises:
        BenchmarkError: The file does not fit.
    """
    needed = ("image_id", "address", "latitude", "longitude", "street", "city", "state", "country")
    names = ("country", "state", "city")
    return _load("imageo-pcw", folder, needed, _pcw_flags, lambda row: {name: row[name] for name in names})


def prompts(_: Path) -> dict[str, str]:
    """The one question: address and coordinates as JSON."""
    return {QUESTION: PROMPT}


def parse(_: str, completion: str) -> Address | ParseFailure:
    """Read a reply: fenced, wrapped in prose or cut JSON is found; see :mod:`geor1.evaluation.json_replies`.

    Returns:
        The address, also where its coordinates are not usable; EMPTY, or NO_ANSWER where no such JSON is in the reply.
    """
    if not completion.strip():
        return ParseFailure.EMPTY
    found = find_object(completion, "reverse_geocoding")
    if found is None:
        return ParseFailure.NO_ANSWER
    geocoding = _as_dict(found["reverse_geocoding"])
    texts = _as_dict(geocoding.get("address"))
    coordinates = _as_dict(geocoding.get("coordinates"))
    latitude_deg, longitude_deg, status = read_position(coordinates.get("latitude"), coordinates.get("longitude"))
    city, state, country = (texts.get(name) for name in ("city", "state", "country"))
    return Address(
        latitude_deg=latitude_deg,
        longitude_deg=longitude_deg,
        status=status,
        city=city if isinstance(city, str) else None,
        state=state if isinstance(state, str) else None,
        country=country if isinstance(country, str) else None,
        confidence=_confidence(geocoding.get("confidence")),
    )


def predictions(items: Sequence[Item], replies: Iterable[Reply], *, model: str) -> list[Prediction]:
    """One prediction an item, in order.

    Raises:
        BenchmarkError: A reply to no item, or two to one.
    """
    given = replies_by_key(replies, items)
    found = []
    for item in items:
        raw = given.get((item.item_id, QUESTION))
        prediction = unanswered(item, model)
        if raw is not None:
            answer = parse(QUESTION, raw)
            if isinstance(answer, ParseFailure):
                prediction = dataclasses.replace(prediction, raw=raw, status=answer.value)
            else:
                fields = {name: value for name, value in vars(answer).items() if name != "confidence"}
                prediction = dataclasses.replace(prediction, raw=raw, **fields)
        found.append(prediction)
    return found


def score(
    items: Sequence[Item],
    replies: Iterable[Reply],
    *,
    model: str,
    without_flags: Sequence[str] = (),
    resamples: int = 2000,
    seed: int = 0,
) -> ImageoScore:
    """Score one model; arguments as :func:`geor1.benchmarks.location.score`.

    Raises:
        BenchmarkError: A reply to no item, or two to one.
        ValueError: No items left.
    """
    scored = zip(items, predictions(items, replies, model=model), strict=True)
    kept = [(item, prediction) for item, prediction in scored if not set(item.flags) & set(without_flags)]
    made = [prediction for _, prediction in kept]
    clusters = [item.cluster for item, _ in kept]
    return ImageoScore(
        location=score_geolocation(made, clusters=clusters, resamples=resamples, seed=seed),
        strict=imageo_strict(made),
        flags=dict(sorted(Counter(flag for item, _ in kept for flag in item.flags).items())),
    )


def _load(
    name: str,
    folder: Path | str,
    needed: tuple[str, ...],
    flags_of: Callable[[Row], list[str]],
    slices_of: Callable[[Row], dict[str, str]],
) -> list[Item]:
    rows = read_table(Path(folder) / FILES[name], needed)
    index = image_index(folder)
    positions = [row.position() for row in rows]
    times = Counter(positions)
    items = []
    for row, position in zip(rows, positions, strict=True):
        images, missing = images_of(index, row["image_id"])
        cell = cell_label(latitude_deg=position[0], longitude_deg=position[1])
        shared = ["shared_coordinates"] if times[position] > 1 else []
        items.append(
            Item(
                benchmark=name,
                item_id=row["image_id"],
                images=images,
                truth={field: row.get(field) for field in ("city", "state", "country") if row.get(field)},
                latitude_deg=position[0],
                longitude_deg=position[1],
                slices={key: value for key, value in slices_of(row).items() if value},
                cluster=cell if row.get("sequence_id")[:1] in ("", "#") else row["sequence_id"],
                flags=(*flags_of(row), *shared, *missing),
            )
        )
    return check_unique(items, FILES[name])


def _gss_slices(row: Row) -> dict[str, str]:
    named = {"lighting": "lighting_condition", "view": "view_direction"}
    plain = ("country", "city", "continent", "source", "split", "weather")
    return {name: row[name] for name in plain if row.get(name)} | {key: row.get(name) for key, name in named.items()}


def _gss_flags(row: Row) -> list[str]:
    flags = ["orig_id_rounded"] if _ROUNDED.match(row["orig_id"]) else []
    return [*flags, "sequence_unknown"] if row["sequence_id"].startswith("#") else flags


def _text_flags(row: Row) -> list[str]:
    flags = [f"no_{name}" for name in ("city", "state") if not row[name]]
    if _POSTCODE_FOR_CITY.match(row["city"]):
        flags.append("postcode_for_city")
    if (row.number("latitude"), row.number("longitude")) == PLACEHOLDER:
        flags.append("placeholder_coordinates")
    return flags


def _pcw_flags(row: Row) -> list[str]:
    return _text_flags(row) + ([] if row["street"] else ["no_street"])


def _confidence(value: Any) -> int | None:
    text = str(value).strip()
    return int(text) if text in ("1", "2", "3", "4", "5") else None


def _as_dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
