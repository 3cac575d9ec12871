"""Predictions as the maps see them: where the truth lies, where the answer, how far apart, and how it came out."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence

import numpy as np

from geor1.geodesy import haversine_km
from geor1.records import Prediction, RecordError, check_coordinates

THRESHOLDS_KM = (1, 25, 200, 750, 2500)  # street, city, region, country, continent (Im2GPS, PlaNet)

OUTCOMES = ("right", "wrong", "located", "unusable")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sample:
    """One prediction with what a map derives from it.

    Attributes:
        prediction: The record.
        outcome: ``right`` or ``wrong`` (pairing), ``located`` (geolocation with coordinates), ``unusable`` (no usable
            answer, either task).
        truth: (latitude, longitude) in degrees, or None where unknown.
        guess: Predicted (latitude, longitude) in degrees, or None.
        error_km: Great-circle distance between the two in km, or None unless both are known.
    """

    prediction: Prediction
    outcome: str
    truth: tuple[float, float] | None
    guess: tuple[float, float] | None
    error_km: float | None

    @property
    def badness(self) -> tuple[int, float]:
        """Sort key, worst last: right answers, unusable ones, then wrong ones and errors by their size."""
        if self.error_km is not None:
            return (2, self.error_km)
        if self.outcome == "wrong":
            return (2, -sum(value for value in self.prediction.rewards.values() if math.isfinite(value)))
        return (1, 0.0) if self.outcome == "unusable" else (0, 0.0)


def to_samples(predictions: Iterable[Prediction]) -> list[Sample]:
    """Derive a :class:`Sample` from each prediction, in order.

    Raises:
        RecordError: A true position is out of range (a fault of the data). A predicted one out of range is a fault of
            the model: such an answer is ``unusable``.
    """
    rows = list(predictions)
    truths, guesses = [_truth(row) for row in rows], [_guess(row) for row in rows]
    errors = _distances_km(truths, guesses)
    return [
        Sample(
            prediction=row,
            outcome=_pairing_outcome(row) if row.task == "pairing" else "unusable" if guess is None else "located",
            truth=truth,
            guess=guess,
            error_km=error,
        )
        for row, truth, guess, error in zip(rows, truths, guesses, errors, strict=True)
    ]


def to_sample(prediction: Prediction) -> Sample:
    """One prediction's :class:`Sample`; see :func:`to_samples`."""
    return to_samples([prediction])[0]


def worst_first(samples: Sequence[Sample]) -> list[int]:
    """Indices of the samples, largest error first; wrong before unusable before right; ties in the order given."""
    return sorted(range(len(samples)), key=lambda index: samples[index].badness, reverse=True)


def errors_km(samples: Sequence[Sample]) -> np.ndarray:
    """Errors of the geolocation samples whose truth is known, misses as infinity.

    Returns:
        Shape (N,), km, in order. An unusable answer stays in the denominator: its error is ``inf``.
    """
    kept = [sample for sample in samples if sample.prediction.task == "geolocation" and sample.truth is not None]
    return np.array([math.inf if sample.error_km is None else sample.error_km for sample in kept], dtype=float)


def by_model(samples: Sequence[Sample]) -> dict[str, list[Sample]]:
    """Samples grouped by model label, models in order of first appearance."""
    groups: dict[str, list[Sample]] = {}
    for sample in samples:
        groups.setdefault(sample.prediction.model, []).append(sample)
    return groups


def _truth(prediction: Prediction) -> tuple[float, float] | None:
    try:
        check_coordinates(latitude_deg=prediction.true_latitude_deg, longitude_deg=prediction.true_longitude_deg)
    except RecordError as error:
        raise RecordError(f"true position of {prediction.item_id!r} ({prediction.model}): {error}") from error
    if prediction.true_latitude_deg is None or prediction.true_longitude_deg is None:
        return None
    return float(prediction.true_latitude_deg), float(prediction.true_longitude_deg)


def _guess(prediction: Prediction) -> tuple[float, float] | None:
    latitude, longitude = prediction.latitude_deg, prediction.longitude_deg
    if prediction.task == "pairing" or prediction.status != "ok" or latitude is None or longitude is None:
        return None
    if not (-90.0 <= latitude <= 90.0 and -180.0 <= longitude <= 180.0):
        return None
    return float(latitude), float(longitude)


def _distances_km(
    truths: Sequence[tuple[float, float] | None], guesses: Sequence[tuple[float, float] | None]
) -> list[float | None]:
    """Distance between each truth and guess, all at once: one at a time takes twenty times as long."""
    both = [(*t, *g) for t, g in zip(truths, guesses, strict=True) if t is not None and g is not None]
    lat1, lon1, lat2, lon2 = np.array(both, dtype=float).reshape(-1, 4).T
    found = iter(np.asarray(haversine_km(lat1=lat1, lon1=lon1, lat2=lat2, lon2=lon2)).tolist())
    return [None if t is None or g is None else next(found) for t, g in zip(truths, guesses, strict=True)]


def _pairing_outcome(prediction: Prediction) -> str:
    if prediction.status != "ok" or prediction.choice is None:
        return "unusable"
    return "right" if prediction.correct else "wrong"
