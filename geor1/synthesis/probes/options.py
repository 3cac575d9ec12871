"""What each probe sees of a question: one row of numbers an option.

Three kinds, told apart by what they would mean if they worked:

``alone``
    One view and the list the tiles stand in; never both views. The theorem asks I(Y; N(S)) = 0 of the tile set S, so
    whatever is read from S alone, content or not, must leave 1/K. The colours of a tile are a nuisance here, and so is
    how far it differs from the other tiles.
``traces``
    Panorama and tile, but only what the making of the files left in both: names, times, headers, sizes. It does not
    come from the place, so it must leave 1/K as well.
``cues``
    Pixel statistics of panorama and tile compared: tint, brightness, busyness. They can come from the place (one kind
    of ground, one climate), which makes them weak content: part of Φ, not of N. They are reported, and never set off
    the alarm: high figures say that the negatives are easy, not that the data leak.

Source: Theorem 3.1 of arXiv 2510.00072 (second version): an image is view-invariant semantics Φ and nuisance N;
neighbourhood negatives give I(Y; N(S)) = 0, so a policy that uses nuisance only guesses. A question's own ``pair_id``,
``distance_m`` and ``facts`` are the key itself and are never shown to a model; no probe reads them. The prompt is the
same for all questions of one K (tested), so the ``text`` probe reads what differs: names, ids, order.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import re
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath

import numpy as np

from geor1.records import Question
from geor1.synthesis.probes.features import ImageFacts
from geor1.synthesis.probes.sample import Sampled

TEXT_BUCKETS = 24
"""Pairs of neighbouring characters of a name fall into so many buckets by hash."""

Rows = np.ndarray  # [K, D]


@dataclasses.dataclass(frozen=True)
class Shown:
    """One question as probes see it.

    Attributes:
        question: The record.
        place: Its position in the file.
        previous: Option number of the right answer before it, -1 for none.
        tiles: Measurements of the K tiles in order.
        ground: Measurements of the panorama.
    """

    question: Question
    place: int
    previous: int
    tiles: tuple[ImageFacts, ...]
    ground: ImageFacts

    def stack(self, part: str) -> Rows:
        """``[K, D]``: one part of the measurements of every tile."""
        return np.stack([getattr(tile, part) for tile in self.tiles])


@dataclasses.dataclass(frozen=True)
class Probe:
    """A way of looking.

    Attributes:
        name: Stands in reports.
        kind: ``alone``, ``traces`` or ``cues``; see above.
        sees: What it sees, in a few words.
        rows: Question -> ``[K, D]``.
    """

    name: str
    kind: str
    sees: str
    rows: Callable[[Shown], Rows]

    @property
    def nuisance(self) -> bool:
        """Whether this probe must score 1/K."""
        return self.kind != "cues"


def show(sampled: Sampled, facts: Mapping[Path, ImageFacts], root: Path) -> list[Shown]:
    """Join questions and measurements.

    Args:
        sampled: Questions.
        facts: Measurements by path.
        root: Folder of the data set.
    """
    return [
        Shown(
            question=question,
            place=place,
            previous=previous,
            tiles=tuple(facts[root / option.satellite_image] for option in question.candidates),
            ground=facts[root / question.ground_image],
        )
        for question, place, previous in zip(sampled.questions, sampled.places, sampled.previous, strict=True)
    ]


def padded(shown: list[Shown], probe: Probe) -> np.ndarray:
    """``[N, Kmax, D]`` rows of all questions; options that a question lacks are NaN."""
    rows = [probe.rows(item) for item in shown]
    options, columns = max(len(one) for one in rows), rows[0].shape[1]
    table = np.full((len(rows), options, columns), np.nan)
    for number, one in enumerate(rows):
        table[number, : len(one)] = one
    return table


# --- the list itself --------------------------------------------------------------------------------------------------


def _position(shown: Shown) -> Rows:
    k = len(shown.tiles)
    turn, after = np.zeros((k, k)), np.zeros((k, k))
    turn[np.arange(k), (np.arange(k) - shown.place) % k] = 1.0
    if shown.previous >= 0:
        after[np.arange(k), (np.arange(k) - shown.previous) % k] = 1.0
    return _columns(np.eye(k), turn, after)


def _columns(*blocks: np.ndarray) -> Rows:
    """Indicator columns for up to 26 options, so that questions of different K fit one table."""
    wide = np.zeros((len(blocks[0]), 26 * len(blocks)))
    for number, block in enumerate(blocks):
        wide[:, 26 * number : 26 * number + block.shape[1]] = block
    return wide


def _panorama_alone(shown: Shown) -> Rows:
    """The panorama's levels, size and headers beside each letter: does the picture name the letter?"""
    ground = shown.ground
    told = np.concatenate(
        [ground.size, ground.brightness[:2], ground.dimensions[:2], ground.metadata[:2], ground.jpeg[1:2]]
    )
    k = len(shown.tiles)
    rows = np.zeros((k, 26 * len(told)))
    for letter in range(k):
        rows[letter, letter * len(told) : (letter + 1) * len(told)] = told
    return rows


# --- names and times --------------------------------------------------------------------------------------------------


def _text(shown: Shown) -> Rows:
    question = shown.question
    names = [option.satellite_image for option in question.candidates]
    order, ids = _ranks(names), _ranks(_comparable_ids(question))
    rows = [[*_name(name), order[k], ids[k], *_alike(name, question.ground_image)] for k, name in enumerate(names)]
    return np.array(rows, dtype=np.float64)


def _comparable_ids(question: Question) -> list[str]:
    """Ids of the options' pairs, for their order only; all alike where they were made from the question's own id.

    A question file that names no pairs gets made-up ids (``file/12`` for the right tile, ``file/12/B`` for another);
    these are the key in other words and reach no model.
    """
    ids = [option.pair_id for option in question.candidates]
    made_up = any(name.startswith(f"{question.pair_id}/") for name in ids)
    return [""] * len(ids) if made_up else ids


def _ranks(names: list[str]) -> list[float]:
    """Mean rank of each name in natural order (``a2`` before ``a10``), equal names sharing one."""
    keys = [_natural(name) for name in names]
    return [sum(other < key for other in keys) + sum(other == key for other in keys) / 2.0 for key in keys]


@functools.lru_cache(maxsize=100_000)  # a tile is an option of several questions
def _natural(name: str) -> tuple[str, ...]:
    return tuple(part.zfill(20) if part.isdigit() else part for part in re.split(r"(\d+)", name))


@functools.lru_cache(maxsize=100_000)
def _name(path: str) -> tuple[float, ...]:
    name = PurePosixPath(path)
    stem = name.stem
    buckets = [0.0] * TEXT_BUCKETS
    for first, second in zip(f"^{stem}", f"{stem}$", strict=True):
        buckets[zlib.crc32(f"{first}{second}".encode()) % TEXT_BUCKETS] += 1.0
    digits = sum(letter.isdigit() for letter in stem) / max(1, len(stem))
    folder = float(zlib.crc32(str(name.parent).encode()) % 97)
    suffix = float(zlib.crc32(name.suffix.encode()) % 97)
    return (float(len(stem)), digits, folder, suffix, *buckets)


@functools.lru_cache(maxsize=100_000)
def _pieces(path: str) -> tuple[str, str, frozenset[str], list[str]]:
    """Folder, stem, pairs of neighbouring characters, numbers."""
    name = PurePosixPath(path)
    stem = name.stem
    pairs = frozenset(stem[k : k + 2] for k in range(len(stem) - 1))
    return str(name.parent), stem, pairs, re.findall(r"\d+", stem)


def _alike(path: str, ground: str) -> list[float]:
    """How the tile's name resembles the panorama's."""
    (folder, stem, pairs, numbers), (folder_2, stem_2, pairs_2, numbers_2) = _pieces(path), _pieces(ground)
    start = next((k for k, (a, b) in enumerate(zip(stem, stem_2, strict=False)) if a != b), min(len(stem), len(stem_2)))
    shared = len(pairs & pairs_2) / max(1, len(pairs | pairs_2))
    same_number = float(not set(numbers).isdisjoint(numbers_2))
    gap = abs(int(numbers[-1][-15:]) - int(numbers_2[-1][-15:])) if numbers and numbers_2 else 10**15
    return [float(start), shared, same_number, math.log1p(gap), float(folder == folder_2)]


def _time(shown: Shown) -> Rows:
    times = np.array([tile.modified_s for tile in shown.tiles])
    return np.stack([_rank(times), _rank(np.abs(times - shown.ground.modified_s))], axis=1)


def _rank(values: np.ndarray) -> np.ndarray:
    return (values[:, None] > values).sum(axis=1) + (values[:, None] == values).sum(axis=1) / 2.0


# --- the files --------------------------------------------------------------------------------------------------------


def _part(name: str, *, traces: bool = False) -> Callable[[Shown], Rows]:
    """Rows of one part of the tiles' measurements; with ``traces`` also how each differs from the panorama's."""

    def rows(shown: Shown) -> Rows:
        """Of one question, a row an option."""
        tiles = shown.stack(name)
        return np.concatenate([tiles, np.abs(tiles - getattr(shown.ground, name))], axis=1) if traces else tiles

    return rows


def _headers(shown: Shown) -> Rows:
    """Format, tables and sampling of the tile, and their distance to the panorama's; rates and blocks of the tile."""
    tiles = shown.stack("jpeg")
    return np.concatenate([tiles, np.abs(tiles[:, :6] - shown.ground.jpeg[:6])], axis=1)


def _others(shown: Shown) -> Rows:
    """How far each tile lies from the mean of the other tiles, and from the nearest of them, by several measures."""
    columns = []
    for part in ("thumbnail", "colour", "brightness", "size"):
        tiles = shown.stack(part)
        k = len(tiles)
        from_mean = (tiles - tiles.mean(axis=0)) * (k / (k - 1))  # of the others: the tile itself left out
        columns.append(np.sqrt((from_mean**2).sum(axis=1)))
        apart = np.sqrt(((tiles[:, None] - tiles[None]) ** 2).sum(axis=2))
        farthest = apart.max(axis=1)
        apart[np.arange(k), np.arange(k)] = np.inf
        columns += [apart.min(axis=1), farthest]
    return np.stack(columns, axis=1)


# --- both views -------------------------------------------------------------------------------------------------------


def _colour_match(shown: Shown) -> Rows:
    tiles, ground = shown.stack("colour"), shown.ground.colour
    shares = np.abs(tiles[:, :-4] - ground[:-4]).reshape(len(tiles), 3, -1).sum(axis=2)
    means = np.abs(tiles[:, -4:] - ground[-4:])
    tint = tiles[:, -4:-1] - tiles[:, -4:-1].mean(axis=1, keepdims=True)
    own = ground[-4:-1] - ground[-4:-1].mean()
    return np.concatenate([shares, means, np.linalg.norm(tint - own, axis=1)[:, None]], axis=1)


def _brightness_match(shown: Shown) -> Rows:
    difference = shown.stack("brightness")[:, :9] - shown.ground.brightness[:9]
    return np.concatenate([np.abs(difference), difference], axis=1)


def _size_match(shown: Shown) -> Rows:
    rate = shown.stack("jpeg")[:, 6] - shown.ground.jpeg[6]
    size = (shown.stack("size") - shown.ground.size)[:, 0]
    return np.stack([np.abs(rate), rate, np.abs(size), size], axis=1)


PROBES = (
    Probe("blind", "alone", "nothing: the letter most often right", lambda s: _columns(np.eye(len(s.tiles)))),
    Probe("option_position", "alone", "letter, place in the file, answer before", _position),
    Probe("text", "traces", "prompt, file names, order of ids", _text),
    Probe("time_and_order", "traces", "modification times", _time),
    Probe("file_size", "alone", "bytes of each tile", _part("size")),
    Probe("jpeg", "traces", "format, quantisation, bit rate, block edges", _headers),
    Probe("dimensions", "traces", "width, height, channels", _part("dimensions", traces=True)),
    Probe("metadata", "traces", "EXIF and other fields", _part("metadata", traces=True)),
    Probe("brightness", "alone", "grey levels of each tile", _part("brightness")),
    Probe("colour", "alone", "colour histogram of each tile", _part("colour")),
    Probe("seam", "alone", "borders, padding, alpha, seams of each tile", _part("seam")),
    Probe("other_tiles", "alone", "how each tile differs from the others", _others),
    Probe("panorama_alone", "alone", "the panorama's levels beside each letter", _panorama_alone),
    Probe("colour_match", "cues", "colours of tile against panorama", _colour_match),
    Probe("brightness_match", "cues", "grey levels of tile against panorama", _brightness_match),
    Probe("size_match", "cues", "bytes of tile against panorama", _size_match),
)
"""All probes, in the order of reports."""
