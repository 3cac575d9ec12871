"""Geolocation error: distance, accuracy within radii, GeoScore and median, always over all items.

A reply without usable coordinates is a miss: infinitely far away, GeoScore 0, and in every denominator. Leaving misses
out would pay a model for refusing the hard photos.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence

import numpy as np

from geor1.evaluation.statistics import FloatArray, Interval, bootstrap_interval, wilson_interval
from geor1.geodesy import geoscore, haversine_km
from geor1.records import Prediction

# Street, city, region, country, continent; compared with <=. Source: Hays & Efros' im2gps protocol as GeoCLIP has it.
RADII_KM = (1.0, 25.0, 200.0, 750.0, 2500.0)


@dataclasses.dataclass(frozen=True)
class GeolocationScore:
    """Scores of one model under one condition.

    Attributes:
        model: Row label.
        condition: ``normal``, ``blind`` or ``shuffled``.
        n: Items, misses included.
        n_missed: Items without usable coordinates.
        failures: The misses by reason.
        accuracy_at_km: Share of all items within each radius, Wilson interval (bootstrap if clustered).
        geoscore: Mean GeoScore over all items, 0 … 5000, bootstrap interval.
        median_km: Median distance with misses at infinity, bootstrap interval; infinite when half or more are missed.
        mean_km_located: Mean distance of the located items alone (not comparable between models); None if none is.
    """

    model: str
    condition: str
    n: int
    n_missed: int
    failures: dict[str, int]
    accuracy_at_km: dict[float, Interval]
    geoscore: Interval
    median_km: Interval
    mean_km_located: float | None


def distances_km(predictions: Sequence[Prediction]) -> FloatArray:
    """Great-circle error of each prediction in kilometres (R = 6371 km), shape (N,); infinity for a miss.

    Raises:
        ValueError: A prediction has no true coordinates.
    """
    distances = np.full(len(predictions), math.inf)
    positions, indices = [], []
    for index, p in enumerate(predictions):
        if p.true_latitude_deg is None or p.true_longitude_deg is None:
            raise ValueError(f"item {p.item_id!r} has no true coordinates; leave it out of geolocation")
        if p.status == "ok" and p.latitude_deg is not None and p.longitude_deg is not None:
            positions.append((p.latitude_deg, p.longitude_deg, p.true_latitude_deg, p.true_longitude_deg))
            indices.append(index)
    if positions:
        lat1, lon1, lat2, lon2 = np.array(positions).T
        distances[indices] = haversine_km(lat1=lat1, lon1=lon1, lat2=lat2, lon2=lon2)
    return distances


def distance_km(prediction: Prediction) -> float:
    """As :func:`distances_km`, of one prediction."""
    return float(distances_km([prediction])[0])


def score_geolocation(
    predictions: Iterable[Prediction],
    *,
    clusters: Sequence[Hashable] | None = None,
    radii_km: Sequence[float] = RADII_KM,
    resamples: int = 2000,
    seed: int = 0,
) -> GeolocationScore:
    """Score one model under one condition.

    Args:
        predictions: Geolocation predictions of one model and condition, one an item.
        clusters: One label a prediction, e.g. the city; observations with the same label are drawn together.
        radii_km: Thresholds, compared with <=.
        resamples: Bootstrap draws.
        seed: Seed of the bootstrap.

    Raises:
        ValueError: Nothing to score, models or conditions mixed, an item twice, or a truth is missing.
    """
    scored = list(predictions)
    _check_uniform(scored)
    distances = distances_km(scored)
    located = distances[np.isfinite(distances)]

    def interval(values: FloatArray, median: bool = False) -> Interval:
        """Bootstrap interval of the mean, or median, of one value a prediction."""
        statistic = _median if median else None
        return bootstrap_interval(values, statistic=statistic, clusters=clusters, resamples=resamples, seed=seed)

    within = {float(radius): distances <= radius for radius in radii_km}
    return GeolocationScore(
        model=scored[0].model,
        condition=scored[0].condition,
        n=len(scored),
        n_missed=len(scored) - len(located),
        failures=dict(sorted(Counter(p.status for p in scored if p.status != "ok").items())),
        accuracy_at_km={
            radius: interval(hits.astype(float)) if clusters else wilson_interval(int(hits.sum()), len(hits))
            for radius, hits in within.items()
        },
        geoscore=interval(geoscore(distances)),
        median_km=interval(distances, median=True),
        mean_km_located=float(located.mean()) if len(located) else None,
    )


def _median(values: FloatArray) -> float:
    """Median that lets infinities stand: the mean of the two middle values, infinite if either is."""
    ordered = np.sort(values)
    low, high = ordered[(len(ordered) - 1) // 2], ordered[len(ordered) // 2]
    return float(low) if low == high else float((low + high) / 2)


def _check_uniform(predictions: Sequence[Prediction]) -> None:
    if not predictions:
        raise ValueError("score_geolocation: expected predictions, got none; was the model asked for coordinates?")
    kinds = sorted({(p.model, p.task, p.condition) for p in predictions})
    if len(kinds) > 1 or kinds[0][1] != "geolocation":
        raise ValueError(f"score_geolocation: expected geolocation predictions of one model and condition, got {kinds}")
    repeated = [item for item, count in Counter(p.item_id for p in predictions).items() if count > 1]
    if repeated:
        raise ValueError(f"score_geolocation: item {repeated[0]!r} occurs more than once; drop the repeated lines")
