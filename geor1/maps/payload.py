"""The one blob of data behind the page: columns of plain values, each string and picture stored once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from geor1.maps import colours
from geor1.maps.samples import OUTCOMES, THRESHOLDS_KM, Sample, worst_first
from geor1.maps.text import clean_text, finite, plain_text
from geor1.maps.thumbnails import ThumbnailStore
from geor1.records import Prediction

LABEL_LIMIT = 200  # characters of an id or place name
PANORAMA_PX = 400
TILE_PX = 176


class Table:
    """Distinct values in order of first appearance; columns refer to them by index."""

    def __init__(self, values: Sequence[str] = ()) -> None:
        self.values: list[str] = list(values)
        self._index = {value: index for index, value in enumerate(self.values)}

    def add(self, value: str) -> int:
        """Index of the value, adding it if new."""
        if value not in self._index:
            self._index[value] = len(self.values)
            self.values.append(value)
        return self._index[value]


def build_payload(
    samples: Sequence[Sample], store: ThumbnailStore, *, title: str, max_text_characters: int
) -> dict[str, Any]:
    """Everything the page draws, as JSON-able columns of length N.

    Args:
        samples: N samples.
        store: Where thumbnails are made; the worst samples are served first.
        title: Shown on the page.
        max_text_characters: Longest completion to embed; the rest is counted on the page.

    Returns:
        ``n``, ``columns`` (lists of length N), ``tables`` that columns index into, ``thumbnails`` (data URIs),
        ``order`` (indices worst first), ``colours`` and ``thresholds_km``.
    """
    tables = {name: Table() for name in ("model", "condition", "status", "text", "label")}
    order = worst_first(samples)
    pictures: list[list[Any]] = [[] for _ in samples]
    for index in order:
        pictures[index] = _pictures(samples[index].prediction, store)
    rows = [_row(sample, tables, max_text_characters) for sample in samples]
    columns: dict[str, list[Any]] = {name: [row[name] for row in rows] for name in (rows[0] if rows else ())}
    columns["pictures"] = pictures
    store.report()
    return {
        "version": 1,
        "title": plain_text(title, LABEL_LIMIT),
        "n": len(samples),
        "columns": columns,
        "tables": {name: table.values for name, table in tables.items()},
        "outcomes": list(OUTCOMES),
        "order": order,
        "thumbnails": store.uris,
        "missing": len(store.failures),
        "left_out": len(store.left_out),
        "colours": colours.MEANINGS,
        "model_colours": list(colours.model_colours(tables["model"].values).values()),
        "thresholds_km": list(THRESHOLDS_KM),
    }


def _row(sample: Sample, tables: dict[str, Table], max_text_characters: int) -> dict[str, Any]:
    prediction = sample.prediction
    truth, guess = sample.truth or (None, None), sample.guess or (None, None)
    return {
        "model": tables["model"].add(plain_text(prediction.model, LABEL_LIMIT)),
        "condition": tables["condition"].add(plain_text(prediction.condition, LABEL_LIMIT)),
        "status": tables["status"].add(plain_text(prediction.status, LABEL_LIMIT)),
        "text": tables["text"].add(clean_text(prediction.raw, max_text_characters)),
        "item": tables["label"].add(plain_text(prediction.item_id, LABEL_LIMIT)),
        "task": 0 if prediction.task == "geolocation" else 1,
        "outcome": OUTCOMES.index(sample.outcome),
        "rotation": prediction.rotation,
        "tlat": finite(truth[0], 5),
        "tlon": finite(truth[1], 5),
        "plat": finite(guess[0], 5),
        "plon": finite(guess[1], 5),
        "km": finite(sample.error_km, 3),
        "choice": None if prediction.choice is None else plain_text(prediction.choice, 20),
        "answer": None if prediction.answer is None else plain_text(prediction.answer, 20),
        "place": tables["label"].add(_place(prediction.true_city, prediction.true_state, prediction.true_country)),
        "guessed": tables["label"].add(_place(prediction.city, prediction.state, prediction.country)),
        "rewards": [[plain_text(name, 60), finite(value, 4)] for name, value in prediction.rewards.items()],
        "facts": [prediction.facts_true, prediction.facts_stated],
        "tokens": prediction.completion_tokens,
        "finished": int(prediction.finished),
    }


def _place(*parts: str | None) -> str:
    return ", ".join(plain_text(part, LABEL_LIMIT) for part in parts if part and part.strip())


def _pictures(prediction: Prediction, store: ThumbnailStore) -> list[list[Any]]:
    """[role, thumbnail index or -1, caption] of each picture on the card: the panorama, then right and chosen tile."""
    if not prediction.images:
        return []
    chosen = [["ground", prediction.images[0], "ground view"]]
    if prediction.task == "pairing":
        for role, letter in (("right", prediction.answer), ("chosen", prediction.choice)):
            path = tile_path(prediction, letter)
            if path is not None and not (role == "chosen" and letter == prediction.answer):
                caption = f"{letter}: chosen" if role == "chosen" else f"{letter}: right tile"
                chosen.append([role, path, caption])
    return [
        [role, store.add(path, PANORAMA_PX if role == "ground" else TILE_PX), caption] for role, path, caption in chosen
    ]


def tile_path(prediction: Prediction, letter: str | None) -> str | None:
    """Path of a lettered tile of a pairing prediction, whose images are the panorama and then tiles A, B, C …

    >>> p = Prediction(model="m", task="pairing", item_id="q", raw="", status="ok", images=("g.jpg", "a.jpg", "b.jpg"))
    >>> tile_path(p, "B"), tile_path(p, "F")
    ('b.jpg', None)
    """
    if letter is None or len(letter) != 1:
        return None
    index = 1 + ord(letter) - ord("A")
    return prediction.images[index] if 1 <= index < len(prediction.images) else None


def reward_total(prediction: Prediction) -> float | None:
    """Sum of the finite reward terms, or None if none was computed."""
    values = [value for value in prediction.rewards.values() if math.isfinite(value)]
    return sum(values) if values else None
