"""Predictions of several runs on one page: read, told apart by label, their picture paths seen from one folder."""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from geor1.records import Prediction, read_jsonl
from geor1.runs import ConfigError, MissingUpstreamError

PREDICTIONS = "predictions.jsonl"


@dataclasses.dataclass(frozen=True)
class Gathered:
    """Predictions of one run or several.

    Attributes:
        rows: All of them, run by run.
        images_dir: Folder that their picture paths are relative to.
        folders: Folder of each run's predictions.
    """

    rows: list[Prediction]
    images_dir: Path
    folders: tuple[Path, ...]


def parse_sources(texts: Sequence[str]) -> dict[str, Path]:
    """Label -> path from arguments such as ``seed0=runs/…/04_evaluation/abc``; the label may be left out.

    Raises:
        ConfigError: None given, an empty label or path, or the same label twice.

    >>> parse_sources(["a=x/04", "y/05"])
    {'a': PosixPath('x/04'), '05': PosixPath('y/05')}
    """
    if not texts:
        raise ConfigError("sources: expected at least one run folder of 04_evaluation, or a predictions.jsonl")
    found: dict[str, Path] = {}
    for text in texts:
        label, equals, path = text.partition("=")
        if not equals or "/" in label or os.sep in label:  # a path may hold an equals sign
            label, path = _own_label(Path(text)), text
        if not label.strip() or not path:
            raise ConfigError(f"{text!r}: expected LABEL=PATH or PATH")
        if label in found:
            raise ConfigError(f"{text!r}: label {label!r} is taken by {found[label]}; write another as LABEL=PATH")
        found[label] = Path(path)
    return found


def gather(sources: Mapping[str, Path]) -> Gathered:
    """Read the predictions of each source.

    A model's label stays as it is unless two sources use it: then it is preceded by theirs.

    Args:
        sources: Label -> run folder of stage 04, or a JSONL file of predictions.

    Raises:
        MissingUpstreamError: No predictions there.
        RecordError: A line does not fit.
    """
    files = {label: predictions_file(path) for label, path in sources.items()}
    read = {label: read_jsonl(file, Prediction) for label, file in files.items()}
    uses = Counter(model for rows in read.values() for model in {row.model for row in rows})
    images_dir = next(iter(files.values())).parent
    gathered = []
    for label, rows in read.items():
        folder = files[label].parent
        for row in rows:
            changes: dict[str, object] = {}
            if folder != images_dir and row.images:
                changes["images"] = tuple(_seen_from(image, folder, images_dir) for image in row.images)
            if uses[row.model] > 1:
                changes["model"] = f"{label}: {row.model}"
            gathered.append(dataclasses.replace(row, **changes) if changes else row)  # type: ignore[arg-type]
    return Gathered(gathered, images_dir, tuple(file.parent for file in files.values()))


def predictions_file(path: Path) -> Path:
    """The file of predictions that a path names.

    Raises:
        MissingUpstreamError: There is none.
    """
    file = path / PREDICTIONS if path.is_dir() else path
    if not file.is_file():
        raise MissingUpstreamError(f"{file}: expected the predictions of 04_evaluation there; run that stage first")
    return file


def _own_label(path: Path) -> str:
    return path.name if path.suffix != ".jsonl" else (path.parent.name or path.stem)


def _seen_from(image: str, folder: Path, images_dir: Path) -> str:
    """A relative picture path of one folder as a path relative to another; anything else stays what it is."""
    if not image or "\x00" in image or ":" in image.split("/")[0] or PurePosixPath(image).is_absolute():
        return image
    return Path(os.path.relpath(folder / image, images_dir)).as_posix()
