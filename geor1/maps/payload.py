"""The data behind the page: columns of N rows, tables and strings stored once, and pictures.

What each column means stands at :func:`build_payload`; how they are packed, in :mod:`geor1.maps.blob`.
"""

from __future__ import annotations

import dataclasses
import logging
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from geor1.maps import colours
from geor1.maps.blob import BlobWriter
from geor1.maps.marks import Marker
from geor1.maps.pictures import PictureSets
from geor1.maps.places import true_places
from geor1.maps.samples import OUTCOMES, THRESHOLDS_KM, Sample, worst_first
from geor1.maps.tables import LABEL_LIMIT, UNKNOWN, Table
from geor1.maps.text import plain_text
from geor1.maps.texts import write_texts
from geor1.maps.thumbnails import THUMBNAIL_TYPE
from geor1.records import Prediction, Question

logger = logging.getLogger(__name__)

Slices = Mapping[str, Mapping[str, str]]
"""Further groups: shown name -> item id -> value."""

NO_LETTER = 255
_LEADING_NUMBER = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,12})?")
MAX_REWARDS = 64  # terms; each is a column of four bytes a row
MAX_SLICES = 32


@dataclasses.dataclass(frozen=True)
class Limits:
    """How much of the texts and pictures a page may hold.

    Attributes:
        thumbnails: Most different pictures.
        text_characters: Longest completion; the rest is counted in the text itself.
        all_text_characters: All different completions together; the worst samples are served first, and how many
            samples go without is ``texts_left_out``.
    """

    thumbnails: int = 10_000
    text_characters: int = 4000
    all_text_characters: int = 24_000_000

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            if getattr(self, field.name) < 0:
                raise ValueError(f"max_{field.name}={getattr(self, field.name)}: expected 0 or more")


@dataclasses.dataclass(frozen=True)
class Payload:
    """What stands in the page.

    Attributes:
        blob: Columns, as text (see :mod:`geor1.maps.blob`).
        pictures: Base64 bodies of all thumbnails, one after the other.
        header: The blob's header.
    """

    blob: str
    pictures: str
    header: dict[str, Any]


def build_payload(
    samples: Sequence[Sample],
    *,
    title: str,
    images_dir: Path | None = None,
    limits: Limits | None = None,
    slices: Slices | None = None,
    questions: Mapping[str, Question] | None = None,
    base: Mapping[str, Any] | None = None,
) -> Payload:
    """Everything the page draws.

    Columns of length N: ``model``, ``condition``, ``status``, ``country``, ``continent``, ``climate`` (of the true
    place), ``choice``, ``answer`` (table ``letter``) and ``slice:<k>`` are indices into tables; ``item``, ``text``,
    ``place``, ``guessed`` and ``error`` into string stores (the last three into ``label``); ``tlat tlon plat plon`` are
    degrees, ``km`` the error, NaN where unknown; ``reward:<k>`` is NaN where the term is absent; ``rank`` is 0 for the
    worst; ``picset`` is the set of pictures; ``fact.start`` begins the marks of each row's stated facts.

    Args:
        samples: N samples.
        title: Shown on the page.
        images_dir: Folder that image paths are relative to; None embeds no picture.
        limits: How much to embed.
        slices: Further groups to filter by: shown name -> item id -> value.
        questions: Item id -> question, whose facts tell which of a completion's stated facts hold.
        base: Header of the base layer (see :class:`geor1.maps.base.Base`); outlines alone when None.

    Returns:
        The blob, the pictures and the header.
    """
    limits, blob, order = limits or Limits(), BlobWriter(), worst_first(samples)
    rows, tables = [sample.prediction for sample in samples], _tables()
    _write_words(blob, rows, tables)
    _write_numbers(blob, samples, order)
    rewards = _write_rewards(blob, rows)
    sliced = _write_slices(blob, rows, slices or {}, tables)
    marker, longest = Marker(questions or {}), {"each": limits.text_characters, "together": limits.all_text_characters}
    texts_left_out = write_texts(blob, rows, order, **longest, marker=marker)
    pictures = PictureSets(samples, order)
    thumbnails = pictures.thumbnails(images_dir, limit=limits.thumbnails)
    pictures.write(blob, thumbnails)
    header = {
        "title": plain_text(title, LABEL_LIMIT),
        "n": len(samples),
        "tables": {name: table.values for name, table in tables.items()},
        "slices": sliced,
        "rewards": rewards,
        "outcomes": list(OUTCOMES),
        "missing": len(thumbnails.failures),
        "left_out": len(thumbnails.left_out),
        "texts_left_out": texts_left_out,
        "facts_unmarked": marker.differing,
        "base": None if base is None else dict(base),
        "thumb_type": THUMBNAIL_TYPE,
        "colours": colours.MEANINGS,
        "model_colours": list(colours.model_colours(tables["model"].values).values()),
        "thresholds_km": list(THRESHOLDS_KM),
    }
    return Payload(blob.pack(header), "".join(thumbnails.bodies), header)


def _tables() -> dict[str, Table]:
    """The tables that columns index into; those of the slices come later."""
    return {
        "model": Table("models"), "condition": Table("conditions", size=255), "status": Table("statuses"),
        "country": Table("countries", [UNKNOWN]), "continent": Table("continents", [UNKNOWN], size=255),
        "climate": Table("climates", [UNKNOWN], size=255), "letter": Table("letters", size=255, limit=20),
    }  # fmt: skip


def _write_words(blob: BlobWriter, rows: Sequence[Prediction], tables: Mapping[str, Table]) -> None:
    """Columns that are indices into tables or into the stores of short strings."""
    places = true_places(rows)
    blob.add("model", tables["model"].column(row.model for row in rows), "u16")
    blob.add("condition", tables["condition"].column(row.condition for row in rows), "u8")
    blob.add("status", tables["status"].column(row.status for row in rows), "u16")
    for name, words, kind in (
        ("country", places.country, "u16"),
        ("continent", places.continent, "u8"),
        ("climate", places.climate, "u8"),
    ):
        tables[name].column(sorted(set(words)))  # the order in which they are offered
        blob.add(name, tables[name].column(words), kind)
    tables["letter"].column(
        sorted({letter for row in rows for letter in (row.choice, row.answer) if letter is not None})
    )
    for name in ("choice", "answer"):
        letters = (getattr(row, name) for row in rows)
        indices = (NO_LETTER if letter is None else tables["letter"].add(letter) for letter in letters)
        blob.add(name, np.fromiter(indices, dtype=np.int64), "u8")
    items = Table("items", size=2**32)
    labels = Table("labels", [""], size=2**32)
    blob.add("item", items.column(row.item_id for row in rows), "u32")
    blob.add("place", labels.column(_place(row.true_city, row.true_state, row.true_country) for row in rows), "u32")
    blob.add("guessed", labels.column(_place(row.city, row.state, row.country) for row in rows), "u32")
    blob.add("error", labels.column(row.error or "" for row in rows), "u32")
    blob.add_strings("item", items.values)
    blob.add_strings("label", labels.values)


def _write_numbers(blob: BlobWriter, samples: Sequence[Sample], order: Sequence[int]) -> None:
    rows = [sample.prediction for sample in samples]
    outcomes = {name: index for index, name in enumerate(OUTCOMES)}
    blob.add("task", [int(row.task != "geolocation") for row in rows], "u8")
    blob.add("outcome", [outcomes[sample.outcome] for sample in samples], "u8")
    for name, places in (("t", [s.truth for s in samples]), ("p", [s.guess for s in samples])):
        degrees = np.array([place or (math.nan, math.nan) for place in places], dtype=float).reshape(-1, 2)
        blob.add(f"{name}lat", degrees[:, 0], "f32")
        blob.add(f"{name}lon", degrees[:, 1], "f32")
    blob.add("km", np.array([s.error_km for s in samples], dtype=float), "f32")  # None becomes NaN
    for name, kind, most, values in (
        ("rotation", "u8", 255, (row.rotation for row in rows)),
        ("sample", "u16", 65535, (row.sample for row in rows)),
        ("facts_true", "u16", 65535, (row.facts_true for row in rows)),
        ("facts_stated", "u16", 65535, (row.facts_stated for row in rows)),
        ("finished", "u8", 1, (int(row.finished) for row in rows)),
    ):
        blob.add(name, _within(values, 0, most), kind)
    tokens = (-1 if row.completion_tokens is None else row.completion_tokens for row in rows)
    blob.add("tokens", _within(tokens, -1, 2**31 - 1), "i32")
    rank = np.empty(len(samples), dtype=np.int64)
    rank[np.array(order, dtype=np.int64)] = np.arange(len(samples))
    blob.add("rank", rank, "u32")


def _within(values: Iterable[int], low: int, high: int) -> npt.NDArray[np.int64]:
    """Whole numbers cut to a range: a count in a hostile file may be of any size."""
    return np.fromiter((min(max(value, low), high) for value in values), dtype=np.int64)


def _write_rewards(blob: BlobWriter, rows: Sequence[Prediction]) -> list[str]:
    """One column a reward term; returns the shown names, in order of first appearance."""
    columns: dict[str, npt.NDArray[np.float64]] = {}
    beyond: set[str] = set()
    for index, row in enumerate(rows):
        for name, value in row.rewards.items():
            if name not in columns:
                if len(columns) >= MAX_REWARDS:
                    beyond.add(name)
                    continue
                columns[name] = np.full(len(rows), math.nan)
            columns[name][index] = value if math.isfinite(value) else math.nan
    if beyond:
        logger.warning("%d reward terms beyond the first %d are left out of the page", len(beyond), MAX_REWARDS)
    for k, values in enumerate(columns.values()):
        blob.add(f"reward:{k}", values, "f32")
    return [plain_text(name, 60) for name in columns]


def _write_slices(
    blob: BlobWriter, rows: Sequence[Prediction], slices: Slices, tables: dict[str, Table]
) -> list[dict[str, str]]:
    """One column a slice, its words in a table of its own; what has no value is ``unknown``."""
    if len(slices) > MAX_SLICES:
        raise ValueError(f"slices: expected at most {MAX_SLICES}, got {len(slices)}; name the columns wanted")
    shown = []
    for k, (name, values) in enumerate(slices.items()):
        words = [(values.get(row.item_id) or "").strip() or UNKNOWN for row in rows]
        table = tables[f"slice:{k}"] = Table(f"slice {plain_text(name, 60)!r}", [UNKNOWN])
        for word in sorted(set(words), key=_by_leading_number):
            table.add(word)
        blob.add(f"slice:{k}", table.column(words), "u16")
        shown.append({"name": plain_text(name, 60), "column": f"slice:{k}", "table": f"slice:{k}"})
    return shown


def _by_leading_number(word: str) -> tuple[float, str]:
    """Sort key that puts "250–500 m" before "1000–2000 m", and words without a number after those."""
    digits = _LEADING_NUMBER.match(word)
    return (float(digits.group()) if digits else math.inf, word)


def _place(*parts: str | None) -> str:
    """``city, state, country`` of those known, each cut: three of the longest still fit a label."""
    return ", ".join(plain_text(part, LABEL_LIMIT // 3) for part in parts if part and part.strip())
