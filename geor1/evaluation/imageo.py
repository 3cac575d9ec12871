"""IMAGEO-Bench scoring: the benchmark's own convention, number for number, and a strict one beside it.

The benchmark drops what is missing from its denominators, so a model that declines hard photos gains. The strict
convention keeps every labelled photo: missing or unusable is wrong, and infinitely far away.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from geor1.evaluation.columns import GeolocationColumns
from geor1.evaluation.geolocation import score_columns, score_geolocation
from geor1.evaluation.importers import read_imageo_labels, read_imageo_replies
from geor1.evaluation.presets import IMAGEO, STRICT
from geor1.records import Prediction

_NAMES = ("country", "state", "city")


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
    columns = imageo_columns(results, labels)
    if columns is None:
        return dict.fromkeys([f"{kind}_accuracy" for kind in _NAMES] + ["mean_distance_km", "median_distance_km"])
    score = score_columns(columns, preset=IMAGEO, resamples=1)
    return {
        **{f"{kind}_accuracy": score.names[kind].estimate if kind in score.names else None for kind in _NAMES},
        "mean_distance_km": score.mean_km_located,
        "median_distance_km": score.median_km.estimate if score.n_scored else None,
    }


def imageo_columns(results: Path | str, labels: Path | str) -> GeolocationColumns | None:
    """A result file as the benchmark's code reads it: any number is a coordinate, any text a name, to be dropped later.

    Args:
        results: Result file of one model (JSONL).
        labels: The dataset's CSV.

    Returns:
        Columns of the photos that have both a label and a row; None if there is none.
    """
    replies = {reply.image_id: reply for reply in read_imageo_replies(results)}
    pairs = [(label, replies[label.image_id]) for label in read_imageo_labels(labels) if label.image_id in replies]
    if not pairs:
        return None
    positions = [[_number(reply.coordinates.get(axis)) for axis in ("latitude", "longitude")] for _, reply in pairs]
    latitude, longitude = np.array(positions).T
    return GeolocationColumns(
        model=pairs[0][1].model,
        item_ids=np.array([label.image_id for label, _ in pairs], dtype=object),
        status=np.array(["api_error" if reply.error else "ok" for _, reply in pairs], dtype=object),
        latitude_deg=latitude,
        longitude_deg=longitude,
        true_latitude_deg=np.array([label.latitude_deg for label, _ in pairs]),
        true_longitude_deg=np.array([label.longitude_deg for label, _ in pairs]),
        names={
            kind: (
                np.array([_name(reply.address.get(kind)) for _, reply in pairs], dtype=object),
                np.array([getattr(label, kind) for label, _ in pairs], dtype=object),
            )
            for kind in _NAMES
        },
    )


def imageo_strict(predictions: Sequence[Prediction]) -> dict[str, Any]:
    """Score with every labelled photo in the denominator; a miss is wrong and infinitely far away.

    Names are compared by the rules of :data:`geor1.evaluation.presets.STRICT`: cities over photos whose city is known,
    countries over all photos, the spellings of the United States being one country.

    Args:
        predictions: What :func:`geor1.evaluation.importers.read_imageo` returned for one model.

    Returns:
        ``images``, ``with_coordinates``, ``city_accuracy_all``, ``country_accuracy_all_us_aliases``,
        ``median_distance_km_miss_is_infinite``, ``geoscore_all`` and ``accuracy_at_km`` (radius as text -> share).
    """
    score = score_geolocation(predictions, preset=STRICT, resamples=1)
    return {
        "images": score.n,
        "with_coordinates": score.n - score.n_missed,
        "city_accuracy_all": score.names["city"].estimate if "city" in score.names else None,
        "country_accuracy_all_us_aliases": score.names["country"].estimate if "country" in score.names else None,
        "median_distance_km_miss_is_infinite": score.median_km.estimate,
        "geoscore_all": score.geoscore.estimate,
        "accuracy_at_km": {f"{radius:g}": interval.estimate for radius, interval in score.accuracy_at_km.items()},
    }


def _number(value: Any) -> float:
    """Their float(): what it refuses, and infinity, is NaN."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return math.nan
    return number if math.isfinite(number) else math.nan


def _name(value: Any) -> str | None:
    """A name as their code sees it: what is not text is present, and never right."""
    return value if value is None or isinstance(value, str) else f"{value!r} is not text"
