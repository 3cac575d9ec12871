"""Geolocation predictions as columns: a million of them are scored in seconds. And which of them belong together.

Columns are one-dimensional arrays of the same length N. Positions are NaN, and names None, where there is none.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from geor1.evaluation.presets import NameRule
from geor1.evaluation.resampling import FloatArray
from geor1.geodesy import normalize_longitude_deg
from geor1.records import Prediction

Names = NDArray[np.object_]
NAMED = ("country", "state", "city")


@dataclasses.dataclass(frozen=True, kw_only=True)
class GeolocationColumns:
    """Predictions of one model under one condition, one an item.

    Attributes:
        model: Row label.
        condition: ``normal``, ``blind`` or ``shuffled``.
        item_ids: What runs are paired on, each once, (N,).
        status: ``ok`` or why there is no position, (N,) text.
        latitude_deg: Predicted, (N,), NaN for none; not checked for range.
        longitude_deg: Predicted, (N,), NaN for none.
        true_latitude_deg: Truth, (N,).
        true_longitude_deg: Truth, (N,).
        names: Predicted and true names by kind (``country``, ``state``, ``city``), each (N,) text or None; kinds that
            nobody was asked for may be absent.
    """

    model: str
    condition: str = "normal"
    item_ids: NDArray[Any]
    status: Names
    latitude_deg: FloatArray
    longitude_deg: FloatArray
    true_latitude_deg: FloatArray
    true_longitude_deg: FloatArray
    names: Mapping[str, tuple[Names, Names]] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        arrays = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)[2:-1]}
        for kind, (predicted, true) in self.names.items():
            arrays |= {kind: predicted, f"true {kind}": true}
        lengths = {name: len(array) for name, array in arrays.items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"GeolocationColumns: expected columns of one length, got {lengths}")
        if not len(self):
            raise ValueError("geolocation: expected predictions, got none; was the model asked for coordinates?")
        repeated = pd.Index(self.item_ids).duplicated()
        if repeated.any():
            item = self.item_ids[int(np.argmax(repeated))]
            raise ValueError(f"geolocation: item {item!r} occurs more than once; drop the repeated lines")
        unknown = ~(np.isfinite(self.true_latitude_deg) & np.isfinite(self.true_longitude_deg))
        if unknown.any():
            item = self.item_ids[int(np.argmax(unknown))]
            raise ValueError(f"item {item!r} has no true coordinates; leave it out of geolocation")

    def __len__(self) -> int:
        return len(self.item_ids)

    def take(self, indices: NDArray[np.intp]) -> GeolocationColumns:
        """The items at these places, in this order."""
        arrays = {f.name: getattr(self, f.name)[indices] for f in dataclasses.fields(self)[2:-1]}
        names = {kind: (predicted[indices], true[indices]) for kind, (predicted, true) in self.names.items()}
        return dataclasses.replace(self, **arrays, names=names)


def columns_of(predictions: Iterable[Prediction]) -> GeolocationColumns:
    """The columns of geolocation predictions; a position counts where the status is ``ok``.

    Raises:
        ValueError: Nothing given, models, tasks or conditions mixed, an item twice, or a truth is missing.
    """
    rows = list(predictions)
    kinds = sorted({(p.model, p.task, p.condition) for p in rows})
    if len(kinds) > 1 or (kinds and kinds[0][1] != "geolocation"):
        raise ValueError(f"score_geolocation: expected geolocation predictions of one model and condition, got {kinds}")
    model, _, condition = kinds[0] if kinds else ("", "", "")
    usable = [p.status == "ok" and p.latitude_deg is not None and p.longitude_deg is not None for p in rows]
    return GeolocationColumns(
        model=model,
        condition=condition,
        item_ids=_objects(p.item_id for p in rows),
        status=_objects(p.status for p in rows),
        latitude_deg=_floats(p.latitude_deg if ok else None for p, ok in zip(rows, usable, strict=True)),
        longitude_deg=_floats(p.longitude_deg if ok else None for p, ok in zip(rows, usable, strict=True)),
        true_latitude_deg=_floats(p.true_latitude_deg for p in rows),
        true_longitude_deg=_floats(p.true_longitude_deg for p in rows),
        names={
            kind: (_objects(getattr(p, kind) for p in rows), _objects(getattr(p, f"true_{kind}") for p in rows))
            for kind in NAMED
        },
    )


def name_hits(predicted: Names, true: Names, rule: NameRule) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which names are right, and which items count.

    Args:
        predicted: (N,) text or None.
        true: (N,) text or None; an item without a true name does not count.
        rule: When names are the same; each distinct one is folded once.

    Returns:
        Right, and counted, both (N,). What is right counts.
    """
    codes, found = pd.factorize(np.concatenate([predicted, true]))
    keys, _ = pd.factorize(np.array([*(rule.fold(name) for name in found), ""], dtype=object))
    named = np.where(keys == keys[-1], -1, keys)[codes]  # the last one, "", is that of a missing name
    first, second = named[: len(true)], named[len(true) :]
    counted = codes[len(true) :] >= 0
    if rule.missing == "drop":
        counted &= (first if rule.empty_is_missing else codes[: len(true)]) >= 0
    return (first == second) & (first >= 0) & counted, counted


def city_clusters(columns: GeolocationColumns) -> NDArray[np.int64]:
    """One label an item by true city and country, (N,); an item without a true city is alone.

    Photos of one city are taken by few people and shown to models that know it or not: they are not independent.
    """
    if "city" not in columns.names:
        raise ValueError("city_clusters: the columns hold no cities; use cell_clusters")
    cities, _ = pd.factorize(columns.names["city"][1])
    countries = columns.names.get("country", columns.names["city"])[1]
    lands, found = pd.factorize(countries)
    labels = cities.astype(np.int64) * (len(found) + 1) + lands + 1
    return np.where(cities >= 0, labels, -1 - np.arange(len(columns)))


def cell_clusters(*, latitude_deg: ArrayLike, longitude_deg: ArrayLike, size_deg: float = 0.01) -> NDArray[np.int64]:
    """One label a position by the cell of a degree grid that it lies in, shape (N,).

    Args:
        latitude_deg: Degrees in [-90, 90], finite.
        longitude_deg: Degrees, finite, any turn.
        size_deg: Edge of a cell; 0.01° is 1.1 km north to south.

    Raises:
        ValueError: A position is not finite, or the edge is not positive.
    """
    if not 0 < size_deg <= 90:
        raise ValueError(f"size_deg={size_deg}: expected an edge in (0, 90] degrees")
    longitude = normalize_longitude_deg(longitude_deg)
    longitude = np.where(longitude == 180.0, -180.0, longitude)
    latitude = normalize_longitude_deg(latitude_deg)
    # Rounded first: 0.29 / 0.01 is 28.999…96, and stays in its cell only so.
    rows, places = (np.floor(np.round(x / size_deg, 6)).astype(np.int64) for x in (latitude, longitude))
    return rows * (math.ceil(360 / size_deg) + 1) + places


def true_cells(columns: GeolocationColumns) -> NDArray[np.int64]:
    """As :func:`cell_clusters`, of the items' true positions."""
    return cell_clusters(latitude_deg=columns.true_latitude_deg, longitude_deg=columns.true_longitude_deg)


def mapped_clusters(item_ids: Sequence[Hashable] | NDArray[Any], groups: Mapping[Hashable, Hashable]) -> Names:
    """One label an item from a table, e.g. the sequence that a street photo was taken in, (N,).

    Raises:
        ValueError: An item is not in the table.
    """
    absent = [item for item in item_ids if item not in groups]
    if absent:
        raise ValueError(f"mapped_clusters: {len(absent)} items have no group, e.g. {absent[0]!r}")
    return _objects(groups[item] for item in item_ids)


def failure_counts(columns: GeolocationColumns, located: NDArray[np.bool_]) -> dict[str, int]:
    """Misses by reason; one that the reader took and the convention does not is ``refused_by_preset``."""
    reasons = Counter(columns.status[~located].tolist())
    if refused := reasons.pop("ok", 0):
        reasons["refused_by_preset"] = refused
    return dict(sorted(reasons.items()))


def _objects(values: Iterable[Any]) -> Names:
    listed = list(values)
    array = np.empty(len(listed), dtype=object)
    array[:] = listed
    return array


def _floats(values: Iterable[float | None]) -> FloatArray:
    return np.array([math.nan if value is None else value for value in values], dtype=float)
