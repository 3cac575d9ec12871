"""Read other models' published outputs into our predictions.

Every labelled photo gives one :class:`~geor1.records.Prediction`, whatever became of its reply: an API error, prose
without coordinates or JSON cut in the middle is a counted status, never a row left out.
"""

from __future__ import annotations

import csv
import dataclasses
import logging
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from geor1.answers import Coordinates, ParseFailure, parse_coordinates
from geor1.evaluation.defects import truth_defects
from geor1.evaluation.json_replies import find_object
from geor1.records import Prediction, RecordError, check_coordinates, iterate_json_lines

logger = logging.getLogger(__name__)

API_ERROR = "api_error"
MISSING = "missing"  # a labelled photo that the output file has no row for
SWAPPED = "swapped"  # latitude out of range, but not if it were the longitude
_PLAIN_NUMBER = re.compile(r"\s*[-+]?\d{1,4}(?:\.\d{1,40})?\s*")
_MOST_CHARACTERS = 40


@dataclasses.dataclass(frozen=True)
class ImageoLabel:
    """Truth of one IMAGEO photo; empty text fields of the CSV are None."""

    image_id: str
    latitude_deg: float
    longitude_deg: float
    city: str | None
    state: str | None
    country: str | None


@dataclasses.dataclass(frozen=True)
class ImageoReply:
    """One row of an IMAGEO result file, its JSON found again in the raw response.

    Attributes:
        image_id: File name without its extension.
        model: Last part of the model's name.
        raw: The reply as received, empty after an API error.
        error: The API's error text, or None.
        found: Whether the reply held the expected JSON.
        address: ``address`` of the JSON, as parsed.
        coordinates: ``coordinates`` of the JSON, as parsed.
        completion_tokens: Output tokens as billed, or None.
    """

    image_id: str
    model: str
    raw: str
    error: str | None
    found: bool
    address: dict[str, Any]
    coordinates: dict[str, Any]
    completion_tokens: int | None


def read_imageo(results: Path | str, labels: Path | str) -> list[Prediction]:
    """One prediction for each labelled photo, in the order of the labels.

    Args:
        results: IMAGEO result file (JSONL with ``image_file``, ``model_used``, ``raw_response``, ``error``).
        labels: The dataset's CSV (``image_id``, ``latitude``, ``longitude``; maybe ``city``, ``state``, ``country``).

    Returns:
        Predictions with task ``geolocation``; rows without a label are left out, with a log line. Labels that cannot be
        right (:func:`geor1.evaluation.defects.truth_defects`) are kept, with a warning.

    Raises:
        RecordError: A line is not JSON, a column is missing, or a true coordinate is not usable.
        FileNotFoundError: No such file.

    Source: Lingyao1219/benchmark-reverse-geocoding ``src/prompt.py``, ``src/main.py`` (file layout).
    """
    truth = read_imageo_labels(labels)
    replies = {reply.image_id: reply for reply in read_imageo_replies(results)}
    unlabelled = sorted(set(replies) - {label.image_id for label in truth})
    if unlabelled:
        logger.info("%s: %d rows without a label left out (%s …)", Path(results).name, len(unlabelled), unlabelled[0])
    model = next(iter(replies.values())).model if replies else Path(results).stem
    predictions = [_imageo_prediction(label, replies.get(label.image_id), model) for label in truth]
    if defects := truth_defects(predictions):
        logger.warning("%s: %d labels are defective, e.g. %s", Path(labels).name, len(defects), defects[0])
    return predictions


def read_imageo_labels(path: Path | str) -> list[ImageoLabel]:
    """The labels of an IMAGEO data set, in file order; raises as :func:`read_imageo`."""
    labels = []
    for where, row in csv_rows(path, ("image_id", "latitude", "longitude")):
        latitude, longitude = true_position(where, row["latitude"], row["longitude"])
        texts = {name: row.get(name) or None for name in ("city", "state", "country")}
        labels.append(ImageoLabel(row["image_id"], latitude, longitude, **texts))
    return labels


def read_imageo_replies(path: Path | str) -> list[ImageoReply]:
    """The rows of an IMAGEO result file; raises as :func:`read_imageo`.

    A photo may have several rows, since the benchmark appends: the last one without an error counts.
    """
    replies: dict[str, ImageoReply] = {}
    for where, row in iterate_json_lines(path):
        if not isinstance(row, dict) or not isinstance(row.get("image_file"), str):
            raise RecordError(f"{where}: expected an object with 'image_file', an IMAGEO result row")
        reply = _imageo_reply(row)
        if reply.error is None or reply.image_id not in replies:
            replies[reply.image_id] = reply
    return list(replies.values())


def read_geoguess(path: Path | str, *, model: str | None = None) -> list[Prediction]:
    """Predictions of one ``geoguess`` table: free-text replies with the coordinates that were taken from them.

    The coordinates of the table count, not those of the reply: in one of the two files a third of the replies hold
    none, because the table was completed by asking again.

    Args:
        path: CSV with ``image_name``, ``model_response``, ``label_lat``, ``label_long``, ``predicted_lat`` and
            ``predicted_long``.
        model: Row label; the file's name without ``-full-bench`` when None.

    Raises:
        RecordError: A column is missing, or a true coordinate is not usable.

    Source: njspyx/location-inference.
    """
    path = Path(path)
    label = model or path.stem.removesuffix("-full-bench")
    needed = ("image_name", "model_response", "label_lat", "label_long", "predicted_lat", "predicted_long")
    predictions = []
    for where, row in csv_rows(path, needed):
        latitude, longitude = true_position(where, row["label_lat"], row["label_long"])
        predicted_lat, predicted_lon, status = read_position(row["predicted_lat"], row["predicted_long"])
        predictions.append(
            Prediction(
                model=label,
                task="geolocation",
                item_id=row["image_name"],
                raw=row["model_response"],
                status=status,
                latitude_deg=predicted_lat,
                longitude_deg=predicted_lon,
                city=row.get("predicted_city") or None,
                country=row.get("predicted_country") or None,
                true_latitude_deg=latitude,
                true_longitude_deg=longitude,
                true_city=row.get("label_city") or None,
                true_country=row.get("label_country") or None,
            )
        )
    return predictions


def read_position(latitude: Any, longitude: Any) -> tuple[float | None, float | None, str]:
    """Coordinates as a model wrote them: numbers, or text such as ``48.85``, ``48°51'24" N`` or ``2.35° W``.

    Exactly (0, 0), a spot in the sea that models write for "unknown", is no coordinates; a single zero is one. Latitude
    and longitude that only fit the other way round are not exchanged: the model did not say that, and where both fit
    nobody would. They are their own reason, ``swapped``.

    Returns:
        Latitude and longitude in degrees (both None unless usable) and the status: ``ok``, ``swapped``, or the
        ParseFailure value ``no_coordinates`` or ``out_of_range``.

    >>> read_position("48.85° N", "2.35 W")
    (48.85, -2.35, 'ok')
    >>> read_position("Unknown", "2.35")
    (None, None, 'no_coordinates')
    >>> read_position(121.47, 31.23)
    (None, None, 'swapped')
    """
    texts = _angle_text(latitude), _angle_text(longitude)
    found = _position(*texts)
    if isinstance(found, Coordinates) and found != (0.0, 0.0):
        return found.latitude_deg, found.longitude_deg, "ok"
    if found is ParseFailure.OUT_OF_RANGE:
        other_way = _position(texts[1], texts[0])
        return None, None, SWAPPED if isinstance(other_way, Coordinates) else found.value
    return None, None, ParseFailure.NO_COORDINATES.value


def _position(latitude: str | None, longitude: str | None) -> Coordinates | ParseFailure:
    if latitude is None or longitude is None:
        return ParseFailure.NO_COORDINATES
    return parse_coordinates(f"<answer> latitude: {latitude} , longitude: {longitude} </answer>")


def _angle_text(value: Any) -> str | None:
    """One angle as text, None if it cannot be one; what could pose as part of the sentence around it is none."""
    if isinstance(value, str):
        plain = _PLAIN_NUMBER.fullmatch(value)
        short = len(value) <= _MOST_CHARACTERS and not set(value) & set("<>,;:=")
        return value.strip() if plain or (short and any(c.isdigit() for c in value)) else None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return np.format_float_positional(float(value), trim="0")


def _imageo_reply(row: dict[str, Any]) -> ImageoReply:
    raw = row.get("raw_response") or ""
    found = find_object(raw, "reverse_geocoding")
    geocoding = _as_dict((found or {}).get("reverse_geocoding"))
    tokens = _as_dict(row.get("usage_info")).get("output_tokens")
    return ImageoReply(
        image_id=Path(row["image_file"]).name.split(".")[0],  # one photo of theirs is named ….jpg.jpg
        model=str(row.get("model_used") or "unknown").split("/")[-1],
        raw=raw,
        error=str(row["error"]) if row.get("error") else None,
        found=found is not None,
        address=_as_dict(geocoding.get("address")),
        coordinates=_as_dict(geocoding.get("coordinates")),
        completion_tokens=tokens if isinstance(tokens, int) and not row.get("error") else None,
    )


def _imageo_prediction(label: ImageoLabel, reply: ImageoReply | None, model: str) -> Prediction:
    address = reply.address if reply else {}
    lat_deg, lon_deg, status = _imageo_position(reply)
    texts = {
        name: address[name] if isinstance(address.get(name), str) else None for name in ("city", "state", "country")
    }
    return Prediction(
        model=model,
        task="geolocation",
        item_id=label.image_id,
        raw=reply.raw if reply else "",
        status=status,
        latitude_deg=lat_deg,
        longitude_deg=lon_deg,
        true_latitude_deg=label.latitude_deg,
        true_longitude_deg=label.longitude_deg,
        true_city=label.city,
        true_state=label.state,
        true_country=label.country,
        completion_tokens=reply.completion_tokens if reply else None,
        **texts,
    )


def _imageo_position(reply: ImageoReply | None) -> tuple[float | None, float | None, str]:
    if reply is None:
        return None, None, MISSING
    if reply.error is not None:
        return None, None, API_ERROR
    if not reply.found:
        return None, None, (ParseFailure.NO_ANSWER if reply.raw.strip() else ParseFailure.EMPTY).value
    return read_position(reply.coordinates.get("latitude"), reply.coordinates.get("longitude"))


def _as_dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def csv_rows(path: Path | str, needed: tuple[str, ...]) -> Iterator[tuple[str, dict[str, str]]]:
    """The rows of a CSV file, each with its place (``file row 3``); absent fields are "".

    Raises:
        RecordError: A needed column is missing.
    """
    path = Path(path)
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        absent = [name for name in needed if name not in (reader.fieldnames or [])]
        if absent:
            raise RecordError(f"{path.name}: column {absent[0]!r} is missing; found {reader.fieldnames}")
        for number, row in enumerate(reader, start=1):
            yield f"{path.name} row {number}", {key: value or "" for key, value in row.items() if key}


def true_position(where: str, latitude: str, longitude: str) -> tuple[float, float]:
    """True latitude and longitude in degrees from text.

    Raises:
        RecordError: Not numbers, or out of range; the message begins with ``where``.
    """
    try:
        lat_deg, lon_deg = float(latitude), float(longitude)
        check_coordinates(latitude_deg=lat_deg, longitude_deg=lon_deg)
    except RecordError as error:
        raise RecordError(f"{where}: {error}") from error
    except ValueError as error:
        raise RecordError(
            f"{where}: expected the true coordinates as numbers, got {latitude!r}, {longitude!r}"
        ) from error
    return lat_deg, lon_deg
