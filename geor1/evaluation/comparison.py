"""Two runs on identical items: who is right where the other is not, and by how much, under one convention.

Runs over different items are not compared: a difference of their scores would be one of their items as well. The
intersection can be asked for, and then its n and the items left out stand in the row.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from geor1.evaluation.columns import NAMED, GeolocationColumns, columns_of, name_hits
from geor1.evaluation.geolocation import distances_km, item_geoscores, item_log10_km, located_items, within
from geor1.evaluation.power import NonInferiority, detectable_mean_difference, non_inferiority
from geor1.evaluation.presets import STRICT, ScoringPreset
from geor1.evaluation.statistics import (
    Interval,
    Labels,
    McNemarResult,
    holm,
    mcnemar_exact,
    paired_bootstrap_difference,
)
from geor1.records import Prediction

Clustering = Callable[[GeolocationColumns], Labels]


class ItemsDifferError(ValueError):
    """Two runs do not hold the same items; the message says how many each lacks."""


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Second run against first, paired by item.

    Attributes:
        first: Row label.
        second: Row label.
        n: Items compared.
        only_first: Items of the first run alone, left out.
        only_second: Items of the second run alone, left out.
        n_scored: Items with a distance in both runs: ``n``, or fewer where the convention drops misses.
        missed: Misses of the first and the second run among the n.
        n_clusters: Clusters resampled; ``n_scored`` without clusters.
        geoscore: mean(second) − mean(first) of GeoScore, 0 … 5000, bootstrap interval.
        log10_km: The same of log10(1 + d / km), a miss at 20,015 km; negative when the second is nearer.
        detectable_geoscore: Smallest true GeoScore difference that this comparison finds with a chance of 80 %.
        tests: McNemar's test at each radius (``within_25_km``) and for each kind of name (``city``).
        p_holm: Its p-values adjusted over all of them.
        rule: The convention in one line, and which items were compared.
    """

    first: str
    second: str
    n: int
    only_first: int
    only_second: int
    n_scored: int
    missed: tuple[int, ...]
    n_clusters: int
    geoscore: Interval
    log10_km: Interval
    detectable_geoscore: float
    tests: dict[str, McNemarResult]
    p_holm: dict[str, float]
    rule: str


def pair_items(
    first: GeolocationColumns, second: GeolocationColumns, *, intersect: bool = False
) -> tuple[GeolocationColumns, GeolocationColumns]:
    """Both runs with the same items in the first's order.

    Args:
        first: A run.
        second: Another.
        intersect: Leave out what only one of them holds, instead of refusing.

    Raises:
        ItemsDifferError: The items differ and ``intersect`` is not set, or nothing is shared.
        ValueError: An item has not the same true position in both.
    """
    places = pd.Index(second.item_ids).get_indexer(first.item_ids)
    shared = places >= 0
    lacks_second, lacks_first = int((~shared).sum()), len(second) - int(shared.sum())
    if not shared.any():
        raise ItemsDifferError(f"{first.model!r} and {second.model!r} have no item in common; nothing to compare")
    if (lacks_first or lacks_second) and not intersect:
        raise ItemsDifferError(
            f"{first.model!r} lacks {lacks_first} items of {second.model!r}, which lacks {lacks_second} of its "
            f"{len(first)}; a comparison needs the same items. Ask with intersect=True to compare the "
            f"{int(shared.sum())} shared ones"
        )
    one, other = first.take(np.flatnonzero(shared)), second.take(places[shared])
    for name in ("true_latitude_deg", "true_longitude_deg"):
        apart = ~np.isclose(getattr(one, name), getattr(other, name), rtol=0, atol=1e-9)
        if apart.any():
            item = one.item_ids[int(np.argmax(apart))]
            raise ValueError(f"item {item!r}: {name} differs between {first.model!r} and {second.model!r}")
    return one, other


def compare_geolocation(
    first: Iterable[Prediction] | GeolocationColumns,
    second: Iterable[Prediction] | GeolocationColumns,
    *,
    preset: ScoringPreset = STRICT,
    intersect: bool = False,
    clusters_of: Clustering | None = None,
    resamples: int = 2000,
    seed: int = 0,
) -> Comparison:
    """Compare two runs item by item.

    McNemar's test takes items for independent; where they are not, the bootstrap intervals over clusters are the ones
    to believe.

    Args:
        first: Predictions of one model and condition.
        second: Of another, on the same items.
        preset: The convention.
        intersect: Compare the shared items where the items differ.
        clusters_of: The compared items -> one label each, e.g. :func:`geor1.evaluation.columns.city_clusters`.
        resamples: Bootstrap draws.
        seed: Seed of the bootstraps.

    Raises:
        ItemsDifferError: As :func:`pair_items`.
        ValueError: As :func:`pair_items`, or no item has a distance in both.
    """
    whole = [run if isinstance(run, GeolocationColumns) else columns_of(run) for run in (first, second)]
    one, other = pair_items(*whole, intersect=intersect)
    distances = [distances_km(run, preset) for run in (one, other)]
    scored = ~(np.isnan(distances[0]) | np.isnan(distances[1]))
    if not scored.any():
        raise ValueError(f"{one.model!r} and {other.model!r}: no item has a distance in both under {preset.name!r}")
    kept = [run_distances[scored] for run_distances in distances]
    labels = None if clusters_of is None else np.asarray(clusters_of(one))[scored]
    options = {"clusters": labels, "resamples": resamples, "seed": seed}
    geoscores = [item_geoscores(run_distances, preset) for run_distances in kept]
    tests = _tests(one, other, kept, preset)
    adjusted = holm([test.p_value for test in tests.values()])
    return Comparison(
        first=one.model,
        second=other.model,
        n=len(one),
        only_first=len(whole[0]) - len(one),
        only_second=len(whole[1]) - len(one),
        n_scored=int(scored.sum()),
        missed=tuple(int((~located_items(run, preset)).sum()) for run in (one, other)),
        n_clusters=len(pd.unique(labels)) if labels is not None else int(scored.sum()),
        geoscore=paired_bootstrap_difference(*geoscores, **options),
        log10_km=paired_bootstrap_difference(*(item_log10_km(d) for d in kept), **options),
        detectable_geoscore=detectable_mean_difference(geoscores[1] - geoscores[0], clusters=labels),
        tests=tests,
        p_holm=dict(zip(tests, adjusted, strict=True)),
        rule=_rule(preset, whole, len(one)),
    )


def geoscore_non_inferiority(
    first: Iterable[Prediction] | GeolocationColumns,
    second: Iterable[Prediction] | GeolocationColumns,
    *,
    margin: float,
    preset: ScoringPreset = STRICT,
    intersect: bool = False,
    clusters_of: Clustering | None = None,
    alpha: float = 0.025,
) -> NonInferiority:
    """Whether the second run's mean GeoScore is not below the first's by ``margin`` points or more.

    Args and Raises as :func:`compare_geolocation` and :func:`geor1.evaluation.power.non_inferiority`.
    """
    one, other = pair_items(
        *(run if isinstance(run, GeolocationColumns) else columns_of(run) for run in (first, second)),
        intersect=intersect,
    )
    scores = [item_geoscores(distances_km(run, preset), preset) for run in (one, other)]
    scored = ~(np.isnan(scores[0]) | np.isnan(scores[1]))
    labels = None if clusters_of is None else np.asarray(clusters_of(one))[scored]
    return non_inferiority(scores[0][scored], scores[1][scored], margin=margin, clusters=labels, alpha=alpha)


def comparison_row(comparison: Comparison) -> dict[str, Any]:
    """A comparison as a flat row; n, misses and the rule stand beside the figures."""
    c = comparison
    row: dict[str, Any] = {"label": f"{c.first} → {c.second}", "first": c.first, "second": c.second, "n": c.n}
    row |= {"missed_first": c.missed[0], "missed_second": c.missed[1], "n_scored": c.n_scored}
    row |= {"clusters": c.n_clusters, "rule": c.rule, "detectable_geoscore": c.detectable_geoscore}
    for name, interval in (("geoscore", c.geoscore), ("log10_km", c.log10_km)):
        row |= {name: interval.estimate, f"{name}_low": interval.low, f"{name}_high": interval.high}
    for name, test in c.tests.items():
        row |= {f"{name}_first_only": test.first_only, f"{name}_second_only": test.second_only}
        row |= {f"{name}_n": test.n, f"{name}_p": test.p_value, f"{name}_p_holm": c.p_holm[name]}
    return row


def _tests(
    first: GeolocationColumns, second: GeolocationColumns, distances: list[NDArray[np.float64]], preset: ScoringPreset
) -> dict[str, McNemarResult]:
    tests = {
        f"within_{radius:g}_km": mcnemar_exact(*(within(d, radius, preset) for d in distances))
        for radius in preset.radii_km
    }
    for kind in NAMED:
        if kind in first.names and kind in second.names:
            (right, counted), (other_right, other_counted) = (
                name_hits(*run.names[kind], preset.names_rule(kind)) for run in (first, second)
            )
            both = counted & other_counted
            if both.any():
                tests[kind] = mcnemar_exact(right[both], other_right[both])
    return tests


def _rule(preset: ScoringPreset, whole: list[GeolocationColumns], n: int) -> str:
    if n == len(whole[0]) == len(whole[1]):
        return f"{preset.rule}; paired on the same items"
    return f"{preset.rule}; paired on the intersection: {n} of {len(whole[0])} and {len(whole[1])} items"
