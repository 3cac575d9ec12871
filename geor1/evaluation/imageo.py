"""IMAGEO-Bench scoring: the benchmark's own convention, number for number, and a strict one beside it.

The benchmark drops what is missing from its denominators, so a model that declines hard photos gains. The strict
convention keeps every labelled photo: missing or unusable is wrong, and infinitely far away.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from geor1.evaluation.geolocation import score_geolocation
from geor1.evaluation.importers import ImageoLabel, ImageoReply, read_imageo_labels, read_imageo_replies
from geor1.records import Prediction

# Source: benchmark-reverse-geocoding analysis/utils.py STATE_MAPPING (50 states, no District of Columbia).
_STATE_CODES = {
    "AL": "alabama", "AK": "alaska", "AZ": "arizona", "AR": "arkansas", "CA": "california", "CO": "colorado",
    "CT": "connecticut", "DE": "delaware", "FL": "florida", "GA": "georgia", "HI": "hawaii", "ID": "idaho",
    "IL": "illinois", "IN": "indiana", "IA": "iowa", "KS": "kansas", "KY": "kentucky", "LA": "louisiana",
    "ME": "maine", "MD": "maryland", "MA": "massachusetts", "MI": "michigan", "MN": "minnesota", "MS": "mississippi",
    "MO": "missouri", "MT": "montana", "NE": "nebraska", "NV": "nevada", "NH": "new hampshire", "NJ": "new jersey",
    "NM": "new mexico", "NY": "new york", "NC": "north carolina", "ND": "north dakota", "OH": "ohio",
    "OK": "oklahoma", "OR": "oregon", "PA": "pennsylvania", "RI": "rhode island", "SC": "south carolina",
    "SD": "south dakota", "TN": "tennessee", "TX": "texas", "UT": "utah", "VT": "vermont", "VA": "virginia",
    "WA": "washington", "WV": "west virginia", "WI": "wisconsin", "WY": "wyoming",
}  # fmt: skip
_STATES = {name: code for code, name in _STATE_CODES.items()}
_US_SPELLINGS = frozenset({"usa", "us", "u.s.", "u.s.a.", "united states", "united states of america"})


def imageo_official(results: Path | str, labels: Path | str) -> dict[str, float | None]:
    """Score a result file exactly as the benchmark's code does, its traps included.

    A coordinate of exactly 0.0 counts as missing and no range is checked; texts are compared lower-cased and otherwise
    exact ("USA" is not "United States"); a row that lacks prediction or truth leaves the denominator.

    Args:
        results: Result file of one model (JSONL).
        labels: The dataset's CSV.

    Returns:
        ``city_accuracy``, ``state_accuracy``, ``country_accuracy``, ``mean_distance_km``, ``median_distance_km``; None
        where no row has both sides.

    Source: benchmark-reverse-geocoding ``analysis/utils.py``, process_jsonl_to_dataframe and get_performance_df.
    """
    replies = {reply.image_id: reply for reply in read_imageo_replies(results)}
    pairs = [(label, replies[label.image_id]) for label in read_imageo_labels(labels) if label.image_id in replies]
    distances = [km for label, reply in pairs if (km := _official_distance(label, reply)) is not None]
    return {
        "city_accuracy": _matches([(_lower(r.address.get("city")), _lower(t.city)) for t, r in pairs]),
        "state_accuracy": _matches([(_state(r.address.get("state")), _state(t.state)) for t, r in pairs]),
        "country_accuracy": _matches([(_lower(r.address.get("country")), _lower(t.country)) for t, r in pairs]),
        "mean_distance_km": statistics.fmean(distances) if distances else None,
        "median_distance_km": statistics.median(distances) if distances else None,
    }


def imageo_strict(predictions: Sequence[Prediction]) -> dict[str, Any]:
    """Score with every labelled photo in the denominator; a miss is wrong and infinitely far away.

    Cities are compared lower-cased over photos whose city is known; countries over all photos, the spellings of the
    United States being one country.

    Args:
        predictions: What :func:`geor1.evaluation.importers.read_imageo` returned for one model.

    Returns:
        ``images``, ``with_coordinates``, ``city_accuracy_all``, ``country_accuracy_all_us_aliases``,
        ``median_distance_km_miss_is_infinite``, ``geoscore_all`` and ``accuracy_at_km`` (radius as text -> share).
    """
    score = score_geolocation(predictions, resamples=1)
    cities = [(p.city, p.true_city) for p in predictions if p.true_city]
    countries = [(p.country, p.true_country) for p in predictions if p.true_country]
    return {
        "images": score.n,
        "with_coordinates": score.n - score.n_missed,
        "city_accuracy_all": _share([_fold(predicted) == _fold(true) for predicted, true in cities]),
        "country_accuracy_all_us_aliases": _share(
            [_country(predicted) == _country(true) for predicted, true in countries]
        ),
        "median_distance_km_miss_is_infinite": score.median_km.estimate,
        "geoscore_all": score.geoscore.estimate,
        "accuracy_at_km": {f"{radius:g}": interval.estimate for radius, interval in score.accuracy_at_km.items()},
    }


def _official_distance(label: ImageoLabel, reply: ImageoReply) -> float | None:
    latitude = _official_number(reply.coordinates.get("latitude"))
    longitude = _official_number(reply.coordinates.get("longitude"))
    if latitude is None or longitude is None:
        return None
    return _official_haversine(latitude, longitude, label.latitude_deg, label.longitude_deg)


def _official_haversine(lat1: float, lon1: float, lat2: float, lon2: float) -> float:
    """Their haversine_distance: asin form, R = 6371 km, any number taken for a latitude."""
    phi1, lambda1, phi2, lambda2 = map(math.radians, (lat1, lon1, lat2, lon2))
    h = math.sin((phi2 - phi1) / 2) ** 2 + math.cos(phi1) * math.cos(phi2) * math.sin((lambda2 - lambda1) / 2) ** 2
    return 6371 * 2 * math.asin(math.sqrt(h))


def _official_number(value: Any) -> float | None:
    """Their float(): 0.0, NaN and anything that float() refuses are missing; no range check."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return None if number == 0.0 or math.isnan(number) else number


def _matches(pairs: list[tuple[object, object]]) -> float | None:
    """Share of equal pairs among those where both sides are present."""
    present = [predicted == true for predicted, true in pairs if predicted is not None and true is not None]
    return sum(present) / len(present) if present else None


def _lower(value: Any) -> object:
    """Their ``.str.lower()``: text lower-cased, None missing, anything else present but equal to nothing."""
    if value is None or isinstance(value, str):
        return value if value is None else value.lower()
    return object()


def _state(value: Any) -> object:
    """Their standardize_state: a two-letter code, the code of a US state's name, else the name in capitals."""
    if value is None or value == "":
        return None
    text = str(value).strip().lower()
    return text.upper() if len(text) == 2 and text.isalpha() else _STATES.get(text, text.upper())


def _fold(text: str | None) -> str:
    return (text or "").strip().lower()


def _country(text: str | None) -> str:
    folded = _fold(text)
    return "usa" if folded in _US_SPELLINGS else folded


def _share(hits: list[bool]) -> float | None:
    return sum(hits) / len(hits) if hits else None
