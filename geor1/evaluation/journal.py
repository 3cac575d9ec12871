"""Append-only predictions file that survives being killed.

One line a generation, flushed to disk after every batch. On opening again, what is complete is kept, a half-written
last line is dropped, and keys already present are not generated a second time.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from pathlib import Path

from geor1.records import Prediction, RecordError, read_jsonl, to_json

logger = logging.getLogger(__name__)

Key = tuple[str, str, str, str, int]


def key_of(prediction: Prediction) -> Key:
    """What makes a generation unique: model, task, item, condition, rotation."""
    return (prediction.model, prediction.task, prediction.item_id, prediction.condition, prediction.rotation)


class PredictionJournal:
    """A predictions file open for appending.

    Attributes:
        path: The JSONL file.
    """

    def __init__(self, path: Path | str) -> None:
        """Open, mend and read a predictions file.

        Args:
            path: File to read and append to; created when absent, its folder must exist.

        Raises:
            RecordError: A line other than a half-written last one does not fit, or a key occurs twice.
        """
        self.path = Path(path)
        self._by_key: dict[Key, Prediction] = {}
        if not self.path.exists():
            return
        drop_torn_line(self.path)
        for prediction in read_jsonl(self.path, Prediction):
            self._remember(prediction)

    def get(self, key: Key) -> Prediction | None:
        """The prediction with this key, or None."""
        return self._by_key.get(key)

    @property
    def predictions(self) -> list[Prediction]:
        """All predictions, in the order they were written."""
        return list(self._by_key.values())

    def __len__(self) -> int:
        return len(self._by_key)

    def append(self, predictions: Iterable[Prediction]) -> None:
        """Write predictions and flush them to disk.

        Raises:
            RecordError: A key is there already; nothing is written then.
        """
        added = list(predictions)
        for prediction in added:
            self._remember(prediction)
        with self.path.open("a", encoding="utf-8") as file:
            file.write("".join(to_json(prediction) + "\n" for prediction in added))
            file.flush()
            os.fsync(file.fileno())

    def _remember(self, prediction: Prediction) -> None:
        key = key_of(prediction)
        if key in self._by_key:
            raise RecordError(f"{self.path.name}: {key} occurs twice; every generation is written once")
        self._by_key[key] = prediction


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
