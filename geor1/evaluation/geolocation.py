"""Geolocation error: distance, accuracy within radii, GeoScore, median and names, under a named convention.

By default a reply without usable coordinates is a miss: infinitely far away, GeoScore 0, and in every denominator.
Leaving misses out would pay a model for refusing the hard photos; benchmarks that do so are reproduced by a preset.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geor1.evaluation.columns import GeolocationColumns, columns_of, failure_counts, name_hits
from geor1.evaluation.presets import FARTHEST_KM, RADII_KM, STRICT, WGS84, ScoringPreset
from geor1.evaluation.resampling import Clusters, FloatArray, as_clusters, median, resample
from geor1.evaluation.statistics import Interval, Labels, percentiles, wilson_interval
from geor1.geodesy import GEOSCORE_MAX, geodesic_km, geoscore, haversine_km, onto_sphere
from geor1.records import Prediction

__all__ = ["RADII_KM", "GeolocationScore", "distance_km", "distances_km", "score_columns", "score_geolocation"]
_NOTHING = Interval(math.nan, math.nan, math.nan, 0)


@dataclasses.dataclass(frozen=True)
class GeolocationScore:
    """Scores of one model under one condition and convention.

    Attributes:
        model: Row label.
        condition: ``normal``, ``blind`` or ``shuffled``.
        n: Items, misses included.
        n_missed: Items without usable coordinates.
        failures: The misses by reason.
        accuracy_at_km: Share within each radius, Wilson interval (bootstrap if clustered).
        geoscore: Mean GeoScore, 0 … 5000, bootstrap interval.
        median_km: Median distance, bootstrap interval; infinite when half or more are missed and a miss is infinite.
        mean_km_located: Mean distance of the located items alone (not comparable between models); None if none is.
        n_scored: Denominator of the four above: ``n``, or the located items where the convention drops misses. Where it
            is 0 they are NaN.
        log10_km: Mean of log10(1 + d / km), a miss at 20,015 km, bootstrap interval.
        names: Share of right names by kind (``country``, ``state``, ``city``) with their own denominators: items whose
            true name is known, and, by some conventions, that were answered. Kinds without any are absent.
        n_clusters: Clusters resampled; ``n`` without clusters.
        rule: The convention in one line.
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
    n_scored: int
    log10_km: Interval
    names: dict[str, Interval]
    n_clusters: int
    rule: str


def distances_km(predictions: Sequence[Prediction] | GeolocationColumns, preset: ScoringPreset = STRICT) -> FloatArray:
    """Error of each prediction in kilometres, shape (N,); for a miss infinity, NaN (dropped) or 20,015 by the preset.

    Raises:
        ValueError: A prediction has no true coordinates.
    """
    columns = predictions if isinstance(predictions, GeolocationColumns) else columns_of(predictions)
    located = located_items(columns, preset)
    missed = {"infinite": math.inf, "drop": math.nan, "farthest": FARTHEST_KM}[preset.miss]
    distances = np.full(len(columns), missed)
    latitude, longitude = columns.latitude_deg[located], columns.longitude_deg[located]
    if not preset.range_checked:
        latitude, longitude = onto_sphere(latitude_deg=latitude, longitude_deg=longitude)
    positions = {
        "lat1": latitude,
        "lon1": longitude,
        "lat2": columns.true_latitude_deg[located],
        "lon2": columns.true_longitude_deg[located],
    }
    if preset.earth == WGS84:
        distances[located] = geodesic_km(**positions)
    else:
        distances[located] = haversine_km(**positions, radius_km=float(preset.earth))
    return distances


def distance_km(prediction: Prediction, preset: ScoringPreset = STRICT) -> float:
    """As :func:`distances_km`, of one prediction."""
    return float(distances_km([prediction], preset)[0])


def item_geoscores(distances: FloatArray, preset: ScoringPreset = STRICT) -> FloatArray:
    """GeoScore of each error in kilometres, 0 … 5000; NaN stays NaN."""
    known = np.where(np.isnan(distances), math.inf, distances)
    scores = geoscore(known, scale_km=preset.geoscore_scale_km)
    if preset.full_score_within_km:
        scores = np.where(known <= preset.full_score_within_km, GEOSCORE_MAX, scores)
    scores = np.round(scores) if preset.geoscore_rounded else scores
    return np.where(np.isnan(distances), math.nan, scores)


def item_log10_km(distances: FloatArray) -> FloatArray:
    """log10(1 + d / km) of each error, a miss (infinity) at 20,015 km; NaN stays NaN.

    The logarithm of a distance is what a model gains or loses by being ten times nearer; one kilometre is added so that
    a perfect hit is 0.
    """
    return np.log10(1.0 + np.minimum(distances, FARTHEST_KM))


def located_items(columns: GeolocationColumns, preset: ScoringPreset) -> NDArray[np.bool_]:
    """Which items have coordinates that the preset takes, (N,)."""
    latitude, longitude = columns.latitude_deg, columns.longitude_deg
    located = np.isfinite(latitude) & np.isfinite(longitude)
    if preset.range_checked:
        located &= (np.abs(latitude) <= 90.0) & (np.abs(longitude) <= 180.0)
    if preset.zero_is_missing:
        located &= (latitude != 0.0) & (longitude != 0.0)
    return located


def within(distances: FloatArray, radius_km: float, preset: ScoringPreset = STRICT) -> NDArray[np.bool_]:
    """Which errors are hits at a radius, by the preset's comparison; NaN is none."""
    return distances <= radius_km if preset.inclusive else distances < radius_km


def score_geolocation(
    predictions: Iterable[Prediction],
    *,
    preset: ScoringPreset = STRICT,
    clusters: Labels | None = None,
    radii_km: Sequence[float] | None = None,
    resamples: int = 2000,
    seed: int = 0,
) -> GeolocationScore:
    """Score one model under one condition.

    Args:
        predictions: Geolocation predictions of one model and condition, one an item.
        preset: The convention; ours, with every item in every denominator, by default.
        clusters: One label a prediction, e.g. the city; observations with the same label are drawn together.
        radii_km: Thresholds; the preset's when None.
        resamples: Bootstrap draws.
        seed: Seed of the bootstrap.

    Raises:
        ValueError: Nothing to score, models or conditions mixed, an item twice, or a truth is missing.
    """
    options = {"preset": preset, "clusters": clusters, "radii_km": radii_km, "resamples": resamples, "seed": seed}
    return score_columns(columns_of(predictions), **options)


def score_columns(
    columns: GeolocationColumns,
    *,
    preset: ScoringPreset = STRICT,
    clusters: Labels | None = None,
    radii_km: Sequence[float] | None = None,
    resamples: int = 2000,
    seed: int = 0,
) -> GeolocationScore:
    """As :func:`score_geolocation`, of columns; time and memory grow linearly with the items.

    All intervals come from the same resamples. Without clusters, shares have Wilson intervals.
    """
    distances = distances_km(columns, preset)
    located, scored = located_items(columns, preset), ~np.isnan(distances)
    radii = [float(radius) for radius in (preset.radii_km if radii_km is None else radii_km)]
    shares = {("within", radius): (within(distances, radius, preset), scored) for radius in radii}
    shares |= {("name", kind): name_hits(*columns.names[kind], preset.names_rule(kind)) for kind in columns.names}
    means = {
        "geoscore": (np.nan_to_num(item_geoscores(distances, preset)), scored),
        "log10_km": (np.nan_to_num(item_log10_km(distances)), scored),
    }
    groups = as_clusters(len(columns), clusters)
    resampled = {**means, **(shares if clusters is not None else {})}
    options = {"median_of": distances, "upper": preset.upper_median, "resamples": resamples, "seed": seed}
    draws, medians = _resampled_ratios(groups, list(resampled.values()), options)
    intervals: dict[Any, Interval] = {key: _wilson(*pair) for key, pair in shares.items()}
    for (key, pair), ratios in zip(resampled.items(), draws, strict=True):
        intervals[key] = _ratio_interval(*pair, ratios)
    return GeolocationScore(
        model=columns.model,
        condition=columns.condition,
        n=len(columns),
        n_missed=int((~located).sum()),
        failures=failure_counts(columns, located),
        accuracy_at_km={radius: intervals["within", radius] for radius in radii},
        geoscore=intervals["geoscore"],
        median_km=_median_interval(distances[scored], medians, preset.upper_median),
        mean_km_located=float(distances[located].mean()) if located.any() else None,
        n_scored=int(scored.sum()),
        log10_km=intervals["log10_km"],
        names={kind: intervals["name", kind] for kind in columns.names if intervals["name", kind].n},
        n_clusters=groups.n,
        rule=preset.rule,
    )


def score_row(score: GeolocationScore) -> dict[str, Any]:
    """A score as a flat row: n, misses and the rule stand beside the figures; infinities and NaN are left as they are.

    Keys ending in ``_low`` and ``_high`` are ends of intervals, ``_n`` denominators that differ from ``n_scored``.
    """
    row: dict[str, Any] = {"label": score.model, "condition": score.condition, "n": score.n}
    row |= {"missed": score.n_missed, "n_scored": score.n_scored, "clusters": score.n_clusters, "rule": score.rule}
    figures = {f"within_{radius:g}_km": interval for radius, interval in score.accuracy_at_km.items()}
    figures |= {"geoscore": score.geoscore, "median_km": score.median_km, "log10_km": score.log10_km}
    for name, interval in (figures | score.names).items():
        row |= {name: interval.estimate, f"{name}_low": interval.low, f"{name}_high": interval.high}
    row |= {f"{kind}_n": interval.n for kind, interval in score.names.items()}
    return {**row, "failures": score.failures}


def _wilson(hits: NDArray[np.bool_], counted: NDArray[np.bool_]) -> Interval:
    return wilson_interval(int(hits.sum()), int(counted.sum())) if counted.any() else _NOTHING


def _resampled_ratios(
    groups: Clusters, ratios: list[tuple[FloatArray, NDArray[np.bool_]]], options: dict[str, Any]
) -> tuple[list[FloatArray], FloatArray]:
    """Draws of the mean of values over their counted items, and of the median; equal denominators are drawn once."""
    denominators: list[NDArray[np.bool_]] = []
    places = []
    for _, counted in ratios:
        same = (place for place, other in enumerate(denominators) if np.array_equal(counted, other))
        places.append(next(same, len(denominators)))
        if places[-1] == len(denominators):
            denominators.append(counted)
    matrix = np.column_stack([*(values for values, _ in ratios), *denominators]).astype(float, copy=False)
    sums, medians = resample(groups, matrix, **options)
    below = [sums[:, len(ratios) + place] for place in places]
    return [sums[d > 0, index] / d[d > 0] for index, d in enumerate(below)], medians


def _ratio_interval(values: FloatArray, counted: NDArray[np.bool_], draws: FloatArray) -> Interval:
    """Mean over the counted items with its percentiles; resamples that hold none of them are not among the draws."""
    n = int(counted.sum())
    return Interval(float(values.sum() / n), *percentiles(draws, 0.95), n) if n else _NOTHING


def _median_interval(values: FloatArray, medians: FloatArray, upper: bool) -> Interval:
    if not len(values):
        return _NOTHING
    return Interval(median(values, upper=upper), *percentiles(medians[~np.isnan(medians)], 0.95), len(values))
