"""Append-only file of generations that survives being killed.

One line a generation, flushed to disk as soon as it is there. On opening again, what is complete is kept, a
half-written last line is dropped, and what is present is not generated a second time. A generation is known by
everything that decides it: prompt, pixels, parameters, weights; what has changed counts as absent.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import filelock

from geor1.asking.backends import RequestFailure
from geor1.records import Prediction, RecordError, from_dict, to_json
from geor1.runs import RunLockedError
from geor1.runs.files import disk_full_is_clear

logger = logging.getLogger(__name__)

LOCK = ".generations.lock"
FAILURES = frozenset(failure.value for failure in RequestFailure)


class Key(NamedTuple):
    """What makes a generation unique; the attributes are those of :class:`geor1.records.Prediction`."""

    model: str
    task: str
    item_id: str
    condition: str
    rotation: int
    sample: int
    prompt_sha256: str | None
    max_new_tokens: int | None
    temperature: float | None
    seed: int | None
    weights: str | None
    backend: str | None
    images_sha256: str | None

    @property
    def but_images(self) -> Key:
        """The same without the pixels, for which images must be decoded."""
        return self._replace(images_sha256=None)


def key_of(prediction: Prediction) -> Key:
    """The key of a line of the file."""
    return Key(**{name: getattr(prediction, name) for name in Key._fields})


class PredictionJournal:
    """A file of generations open for appending; one process at a time may write it.

    Args:
        path: File to read and append to; created when absent, its folder must exist.
        also: Further files of generations, which other processes may be writing: read once, never written. What they
            hold is there as if it stood in ``path``; an answer in any file stands before an error in another.

    Attributes:
        path: The JSONL file.

    Raises:
        RecordError: A line other than a half-written last one does not fit, or an answered key occurs twice.
    """

    def __init__(self, path: Path | str, also: Iterable[Path] = ()) -> None:
        self.path = Path(path)
        self._by_key: dict[Key, Prediction] = {}
        self._elsewhere: dict[Key, Prediction] = {}
        self._but_images: set[Key] = set()
        self._servers: dict[tuple[str | None, str | None], set[str]] = {}
        for other in also:
            self._learn(read_generations(other))
        if not self.path.exists():
            return
        drop_torn_line(self.path)
        for number, prediction in enumerate(self._read(), start=1):
            self._remember(prediction, f"line {number}")

    def get(self, key: Key) -> Prediction | None:
        """The generation with this key, or None; one that ended in an error is there as such."""
        own, other = self._by_key.get(key), self._elsewhere.get(key)
        return other if own is None or (other is not None and own.status in FAILURES) else own

    def _learn(self, predictions: Iterable[Prediction]) -> None:
        for prediction in predictions:
            key = key_of(prediction)
            if key not in self._elsewhere or self._elsewhere[key].status in FAILURES:
                self._elsewhere[key] = prediction
            self._note(key, prediction)

    def _note(self, key: Key, prediction: Prediction) -> None:
        self._but_images.add(key.but_images)
        if prediction.served_by and prediction.status not in FAILURES:
            self._servers.setdefault((key.weights, key.backend), set()).add(prediction.served_by)

    def servers(self, weights: str | None, backend: str) -> set[str]:
        """What the servers that gave the answers of these weights reported of themselves."""
        return self._servers.get((weights, backend), set())

    def may_hold(self, key: Key) -> bool:
        """Whether a generation with this key but for its images is there: only then need they be decoded to know."""
        return key.but_images in self._but_images

    @property
    def predictions(self) -> list[Prediction]:
        """The generation of every key, in the order in which keys were first written."""
        return list(self._by_key.values())

    def __len__(self) -> int:
        return len(self._by_key)

    def append(self, predictions: Iterable[Prediction]) -> None:
        """Write generations that ended together and flush them to disk.

        Raises:
            RecordError: A key is there already, and not as an error; nothing is written then.
            DiskFullError: No space is left. Whole lines that were written stay, half of one is dropped at the next
                start.
        """
        added = list(predictions)
        for prediction in added:
            self._remember(prediction, "a line to be written")
        with disk_full_is_clear(self.path), self.path.open("a", encoding="utf-8") as file:
            file.write("".join(to_json(prediction) + "\n" for prediction in added))
            file.flush()
            os.fsync(file.fileno())

    def _read(self) -> list[Prediction]:
        return read_generations(self.path)

    def _remember(self, prediction: Prediction, where: str) -> None:
        key = key_of(prediction)
        before = self._by_key.get(key)
        if before is not None and before.status not in FAILURES:
            raise RecordError(
                f"{self.path.name}, {where}: {key.model} {key.task} {key.item_id} {key.condition} rotation "
                f"{key.rotation} sample {key.sample} occurs twice; every generation is written once: drop one"
            )
        self._by_key[key] = prediction
        self._note(key, prediction)


def read_generations(path: Path) -> list[Prediction]:
    """Generations of a file, without a last line that lacks its newline: its writer may be at it, or was killed.

    Raises:
        RecordError: Another line does not fit, or is not UTF-8.
    """
    found = []
    for number, line in enumerate(path.read_bytes().split(b"\n")[:-1], start=1):
        if not line.strip():
            continue
        try:
            found.append(from_dict(json.loads(line.decode("utf-8")), Prediction))
        except UnicodeDecodeError as error:
            raise RecordError(
                f"{path.name} line {number}: not UTF-8 ({error.reason}); was the file damaged?"
            ) from error
        except json.JSONDecodeError as error:
            raise RecordError(f"{path.name} line {number}: not JSON ({error.msg}); was the file cut?") from error
        except RecordError as error:
            raise RecordError(f"{path.name} line {number}: {error}") from error
    return found


def drop_torn_line(path: Path) -> None:
    """Cut a last line that lacks its newline, with a warning: the writer was killed inside it."""
    data = path.read_bytes()
    if not data or data.endswith(b"\n"):
        return
    keep = data.rfind(b"\n") + 1
    logger.warning(
        "%s: dropped a half-written last line (%d bytes); it is generated again", path.name, len(data) - keep
    )
    with path.open("rb+") as file:
        file.truncate(keep)


@contextlib.contextmanager
def only_writer(folder: Path, *, wait_s: float = 0.0) -> Iterator[None]:
    """Keep every other process from writing generations into a folder.

    Args:
        folder: The folder.
        wait_s: How long to wait for another process, in seconds.

    Raises:
        RunLockedError: Another one does.
    """
    lock = filelock.FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=wait_s)
    except filelock.Timeout as error:
        raise RunLockedError(f"{folder} is being written by another process; wait for it, or take another") from error
    try:
        yield
    finally:
        lock.release()
