"""Records that cross stage borders, and their JSON Lines files.

One stage hands the next a file; every line of it is one of the frozen dataclasses below. Reading checks each line
against the dataclass, so that a malformed line is named (file, number, field) instead of surfacing three stages later.
Image fields are paths relative to the folder of the JSONL file that names them.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import types
import typing
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

R = TypeVar("R")


class RecordError(ValueError):
    """A line or field that does not fit its record; the message says file, line, field, expected and found."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pair:
    """One place seen twice: from the ground and from above.

    Attributes:
        pair_id: Unique within its source.
        source: Where it comes from, e.g. ``world`` or ``folder:cvusa``.
        split: ``train`` or ``test``; no city stands in both.
        ground_image: 360° panorama (or ground photo), path relative to the file's folder.
        satellite_image: Satellite tile centred on the camera, path relative to the file's folder.
        latitude_deg: WGS84 latitude in [-90, 90], or None when the source has no GPS.
        longitude_deg: WGS84 longitude in [-180, 180], or None.
        city: City name, if known.
        country: English short name, if known.
        country_code: ISO 3166-1 alpha-2, if known.
        facts: Metadata that the fact check may rely on, key -> value (see ``geor1.synthesis.facts``); empty if unknown.
    """

    pair_id: str
    source: str
    split: str
    ground_image: str
    satellite_image: str
    latitude_deg: float | None = None
    longitude_deg: float | None = None
    city: str | None = None
    country: str | None = None
    country_code: str | None = None
    facts: dict[str, str] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_split(self.split)
        check_coordinates(latitude_deg=self.latitude_deg, longitude_deg=self.longitude_deg)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Candidate:
    """One labelled satellite option of a question.

    Attributes:
        letter: Option letter, A, B, C …
        pair_id: The pair whose satellite tile this is.
        satellite_image: Path relative to the file's folder.
        distance_m: Great-circle distance from the question's true position in metres; 0.0 for the true tile, None
            where a position is unknown.
        facts: The tile's metadata, key -> value; empty if unknown.
    """

    letter: str
    pair_id: str
    satellite_image: str
    distance_m: float | None = None
    facts: dict[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Question:
    """A cross-view pairing question: one panorama, K lettered tiles, one of them the same place.

    Attributes:
        question_id: Unique within the file.
        pair_id: The pair that the panorama belongs to.
        source: As in :class:`Pair`.
        split: As in :class:`Pair`.
        ground_image: Path relative to the file's folder.
        candidates: K options in letter order.
        answer: The letter of the right option.
        latitude_deg: True latitude, or None.
        longitude_deg: True longitude, or None.
        city: City name, if known.
        country: English short name, if known.
        country_code: ISO 3166-1 alpha-2, if known.
        facts: Metadata of the panorama's scene.
    """

    question_id: str
    pair_id: str
    source: str
    split: str
    ground_image: str
    candidates: tuple[Candidate, ...]
    answer: str
    latitude_deg: float | None = None
    longitude_deg: float | None = None
    city: str | None = None
    country: str | None = None
    country_code: str | None = None
    facts: dict[str, str] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_split(self.split)
        check_coordinates(latitude_deg=self.latitude_deg, longitude_deg=self.longitude_deg)
        letters = [candidate.letter for candidate in self.candidates]
        expected = [chr(ord("A") + index) for index in range(len(letters))]
        if letters != expected:
            raise RecordError(f"candidates: expected letters {expected} in order, got {letters}")
        if self.answer not in letters:
            raise RecordError(f"answer: expected one of {letters}, got {self.answer!r}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scaffold:
    """One supervised example: prompt, images, chain of thought with answer.

    Attributes:
        scaffold_id: Unique within the file.
        kind: ``pairing`` or ``geolocation``.
        split: As in :class:`Pair`.
        images: Image paths in prompt order, relative to the file's folder.
        prompt: User text; each ``<image>`` marker stands where the next image goes.
        completion: ``<think>…</think> <answer>…</answer>``.
        n_facts: Facts that the chain states and the fact check could test.
        pairing_labels_seen: 1 if this example reveals which tile shows the panorama's place, else 0.
    """

    scaffold_id: str
    kind: str
    split: str
    images: tuple[str, ...]
    prompt: str
    completion: str
    n_facts: int
    pairing_labels_seen: int

    def __post_init__(self) -> None:
        _check_split(self.split)
        markers = self.prompt.count("<image>")
        if markers != len(self.images):
            raise RecordError(f"prompt: expected {len(self.images)} <image> markers (one an image), got {markers}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Prediction:
    """One generation by one model, as parsed and scored; evaluation reads and maps draw these.

    Attributes:
        model: Row label, e.g. ``base``, ``sft``, ``grpo``, ``gpt-4.1``.
        task: ``pairing`` or ``geolocation``.
        item_id: Question or photo id; runs are paired on it.
        condition: ``normal``, ``blind`` (no image) or ``shuffled`` (images of other questions).
        rotation: Cyclic shift of the options, 0 … K-1 (0 for geolocation).
        raw: The completion as generated.
        status: ``ok``, or why there is no usable completion: a ``ParseFailure`` value, ``refused``, or the name of an
            error that left the question unanswered (``api_error``, ``timeout``, ``broken_reply``, ``context_length``).
        choice: Parsed option letter, pairing only.
        answer: The right letter under this rotation, pairing only.
        latitude_deg: Predicted latitude, geolocation only.
        longitude_deg: Predicted longitude, geolocation only.
        city: Predicted city.
        state: Predicted state or province.
        country: Predicted country.
        true_latitude_deg: Truth.
        true_longitude_deg: Truth.
        true_city: Truth.
        true_state: Truth.
        true_country: Truth.
        images: Image paths in prompt order, relative to the file's folder (may be empty).
        completion_tokens: Length of the completion in tokens, if known.
        finished: Whether the model ended its completion itself (False: cut at the limit).
        facts_stated: Facts stated in the chain that the metadata can test, and
        facts_true: how many of them hold.
        rewards: Reward terms by name, if computed.
        sample: Index among the samples of the same question, 0 … N-1 (0 when greedy).
        prompt_sha256: Hash of the prompt text; None in files written before it was kept, as for all that follow.
        images_sha256: Hash of the pixels shown, all images together, in prompt order.
        max_new_tokens: Limit of the completion.
        temperature: 0 when greedy.
        seed: Seed of the sampling; 0 when greedy.
        weights: Hash of the checkpoint that answered (``name:<name>`` where only its name is known here).
        backend: What generated, with its number type where we chose it, e.g. ``in_process float32``.
        served_by: What a server reported of the model behind its name, e.g. ``root=models/teacher owned_by=vllm``.
        prompt_tokens: Length of the prompt in tokens, if known.
        error: What the server or library said, where an error left the question unanswered.
    """

    model: str
    task: str
    item_id: str
    raw: str
    status: str
    condition: str = "normal"
    rotation: int = 0
    choice: str | None = None
    answer: str | None = None
    latitude_deg: float | None = None
    longitude_deg: float | None = None
    city: str | None = None
    state: str | None = None
    country: str | None = None
    true_latitude_deg: float | None = None
    true_longitude_deg: float | None = None
    true_city: str | None = None
    true_state: str | None = None
    true_country: str | None = None
    images: tuple[str, ...] = ()
    completion_tokens: int | None = None
    finished: bool = True
    facts_stated: int = 0
    facts_true: int = 0
    rewards: dict[str, float] = dataclasses.field(default_factory=dict)
    sample: int = 0
    prompt_sha256: str | None = None
    images_sha256: str | None = None
    max_new_tokens: int | None = None
    temperature: float | None = None
    seed: int | None = None
    weights: str | None = None
    backend: str | None = None
    served_by: str | None = None
    prompt_tokens: int | None = None
    error: str | None = None

    @property
    def correct(self) -> bool:
        """Whether the parsed choice is the right letter (False for anything unparsed)."""
        return self.status == "ok" and self.choice is not None and self.choice == self.answer


def check_coordinates(*, latitude_deg: float | None, longitude_deg: float | None) -> None:
    """Raise unless both coordinates are None or both lie in range.

    Args:
        latitude_deg: Expected in [-90, 90].
        longitude_deg: Expected in [-180, 180].

    Raises:
        RecordError: Out of range, not finite, or only one of the two given.
    """
    if latitude_deg is None and longitude_deg is None:
        return
    if latitude_deg is None or longitude_deg is None:
        raise RecordError(f"lat_deg={latitude_deg}, lon_deg={longitude_deg}: expected both or neither")
    if not -90.0 <= latitude_deg <= 90.0:
        swapped = " are latitude and longitude swapped?" if abs(longitude_deg) <= 90.0 else ""
        raise RecordError(f"lat_deg={latitude_deg} is outside [-90, 90];{swapped or ' give degrees north, WGS84'}")
    if not -180.0 <= longitude_deg <= 180.0:
        raise RecordError(f"lon_deg={longitude_deg} is outside [-180, 180]; give degrees east, WGS84")


def write_jsonl(path: Path | str, records: Iterable[Any]) -> Path:
    """Write records one a line, atomically: the file appears whole or not at all.

    Args:
        path: Destination; its folder must exist.
        records: Dataclass instances.

    Returns:
        The path written.
    """
    path = Path(path)
    partial = path.with_name(path.name + ".partial")
    with partial.open("w", encoding="utf-8") as file:
        for record in records:
            file.write(to_json(record) + "\n")
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    return path


def to_json(record: Any) -> str:
    """One record as one line of JSON (no newline inside)."""
    return json.dumps(_fields(record), ensure_ascii=False, allow_nan=False, default=_fields)


def _fields(record: Any) -> dict[str, Any]:
    """A dataclass's fields, not copied (``dataclasses.asdict`` copies, at ten times the time)."""
    return {field.name: getattr(record, field.name) for field in dataclasses.fields(record)}


def read_jsonl(path: Path | str, record_type: type[R]) -> list[R]:
    """Read and check a whole JSONL file; see :func:`iterate_jsonl`."""
    return list(iterate_jsonl(path, record_type))


def iterate_jsonl(path: Path | str, record_type: type[R]) -> Iterator[R]:
    """Yield the records of a JSONL file, each checked against its dataclass.

    Args:
        path: File to read.
        record_type: The dataclass that every line must fit.

    Raises:
        RecordError: A line is not JSON, lacks a field, has an unknown one, or a value of the wrong type or range.
    """
    for where, data in iterate_json_lines(path):
        try:
            yield from_dict(data, record_type)
        except RecordError as error:
            raise RecordError(f"{where}: {error}") from error


def iterate_json_lines(path: Path | str) -> Iterator[tuple[str, Any]]:
    """Yield each line of a JSONL file that is not blank, as its place (``file line 3``) and its parsed JSON.

    Args:
        path: File to read.

    Raises:
        RecordError: A line is not JSON.
    """
    path = Path(path)
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            where = f"{path.name} line {number}"
            try:
                data = json.loads(line)
            except json.JSONDecodeError as error:
                raise RecordError(
                    f"{where}: not JSON ({error.msg} at column {error.colno}); was the file cut?"
                ) from error
            yield where, data


def from_dict(data: Any, record_type: type[R]) -> R:
    """Build a record from parsed JSON, strictly.

    Raises:
        RecordError: As :func:`iterate_jsonl`, without the file and line.
    """
    if not isinstance(data, dict):
        raise RecordError(f"expected an object with the fields of {record_type.__name__}, got {type(data).__name__}")
    hints, fields = _types_and_fields(record_type)
    unknown = sorted(set(data) - set(fields))
    if unknown:
        raise RecordError(f"unknown field {unknown[0]!r}; {record_type.__name__} has {sorted(fields)}")
    values: dict[str, Any] = {}
    for name, field in fields.items():
        if name in data:
            values[name] = _convert(data[name], hints[name], name)
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise RecordError(f"field {name!r} is missing; {record_type.__name__} needs it")
    return record_type(**values)


@functools.cache  # evaluating the annotations of a record type takes three times as long as checking a record
def _types_and_fields(record_type: Any) -> tuple[dict[str, Any], dict[str, dataclasses.Field[Any]]]:
    return typing.get_type_hints(record_type), {field.name: field for field in dataclasses.fields(record_type)}


def _convert(value: Any, hint: Any, name: str) -> Any:
    origin = typing.get_origin(hint)
    arguments = typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        return _convert(value, next(option for option in arguments if option is not type(None)), name)
    if origin is tuple and isinstance(value, list):
        return tuple(_convert(item, arguments[0], f"{name}[{index}]") for index, item in enumerate(value))
    if origin is dict and isinstance(value, dict):
        return {key: _convert(item, arguments[1], f"{name}.{key}") for key, item in value.items()}
    if dataclasses.is_dataclass(hint):
        return from_dict(value, hint)  # type: ignore[arg-type]
    if hint is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if isinstance(hint, type) and isinstance(value, hint) and not (hint is int and isinstance(value, bool)):
        return value
    raise RecordError(f"{name}: expected {getattr(hint, '__name__', hint)}, got {type(value).__name__} {value!r}")


def _check_split(split: str) -> None:
    if split not in ("train", "test"):
        raise RecordError(f"split: expected 'train' or 'test', got {split!r}")
