"""Generate what a file of generations lacks: each completion is written as it comes, nothing is asked twice."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from PIL import Image

from geor1.asking.backends import REFUSED, Backend, BackendError, Completion, Request, RequestFailure
from geor1.asking.images import load_image, pixels_sha256
from geor1.asking.journal import FAILURES, Key, PredictionJournal
from geor1.records import Prediction
from geor1.runs import Progress

logger = logging.getLogger(__name__)

_CACHED_IMAGES = 64  # decoded images kept: the questions about one image reuse them
Change = Callable[[Image.Image], Image.Image]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Asking:
    """How a model is asked.

    Attributes:
        label: Row label of the model.
        weights: Hash of its checkpoint; None if unknown.
        max_new_tokens: Limit of a completion; one cut there is counted as ``unfinished``.
        temperature: 0 for greedy decoding.
        samples: Completions asked of every question; 1 when greedy.
        seed: Of sampling, and of the choice of the shuffled panoramas.
        keep_errors: Take errors found in the file as they are instead of asking again.
        any_server: Ask a server that reports another model than the one that gave the answers in the file.
    """

    label: str
    max_new_tokens: int
    weights: str | None = None
    temperature: float = 0.0
    samples: int = 1
    seed: int = 0
    keep_errors: bool = False
    any_server: bool = False

    def __post_init__(self) -> None:
        if self.samples < 1 or (self.temperature == 0 and self.samples > 1):
            raise ValueError(
                f"samples={self.samples}, temperature={self.temperature}: expected 1 sample, or a temperature above 0 "
                "(greedy completions are all the same)"
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Asked:
    """One generation to make.

    Attributes:
        task: What kind of question.
        item_id: What is asked about.
        condition: Under which condition, or which of several questions about it.
        rotation: Cyclic shift of the options.
        sample: Which of several samples.
        prompt: User text with one ``<image>`` marker an image.
        images: Image files, in prompt order.
        change: What is shown of an image instead of it, e.g. grey; None shows it as it is.
    """

    task: str
    item_id: str
    condition: str
    rotation: int = 0
    sample: int = 0
    prompt: str
    images: tuple[Path, ...]
    change: Change | None = None


def complete_missing(
    asked: Sequence[Asked],
    backend: Backend,
    asking: Asking,
    journal: PredictionJournal,
    read: Callable[[int, Prediction], Prediction],
    shown: Shown | None = None,
) -> list[Prediction]:
    """Generate what the file lacks.

    Args:
        asked: What is to be there.
        backend: Who answers.
        asking: How.
        journal: The file.
        read: Place in ``asked`` and an unread prediction -> the same with truth and what was answered. Completions from
            the file are read anew, too.
        shown: Kept by callers who ask about the same images again and again, so that each is hashed once.

    Returns:
        One prediction each, in order; those that no completion came for are absent.

    Raises:
        FileNotFoundError: An image is missing.
        ImageFileError: An image cannot be decoded.
        BackendError: No further request can succeed, or the server reports another model than the one whose answers
            are in the file; what is done is in the file.
    """
    shown = shown or Shown()
    keys, todo = _find(asked, backend.name, asking, journal, shown)
    logger.info("%s: %d predictions, %d found in %s", asking.label, len(keys), len(keys) - len(todo), journal.path.name)
    served_by: str | None = None

    def requests() -> Iterator[Request]:
        """What is to be asked, images decoded only when their turn comes."""
        nonlocal served_by
        served_by = _same_server(backend, asking, journal)
        for index in todo:
            images = shown.images(asked[index])
            keys[index] = keys[index]._replace(images_sha256=shown.sha256(asked[index]))
            limit, temperature, seed = asking.max_new_tokens, asking.temperature, keys[index].seed
            yield Request(asked[index].prompt, tuple(images), limit, temperature, seed or 0)

    failed: Counter[str] = Counter()
    with Progress(f"{asking.label}: predictions", total=len(todo), unit="prompt") as bar:
        for finished in backend.complete(requests()) if todo else ():
            done = [(todo[place], completion) for place, completion in finished]
            journal.append(read(index, _line(keys[index], completion, served_by)) for index, completion in done)
            failed.update(completion.failure.value for _, completion in done if completion.failure)
            bar.update(len(done), **failed)
    if failed:
        logger.warning("%s: %d questions ended in an error: %s", asking.label, failed.total(), dict(failed))
    stored = ((index, journal.get(key)) for index, key in enumerate(keys))
    return [read(index, _line(keys[index], _restored(line), line.served_by)) for index, line in stored if line]


def _same_server(backend: Backend, asking: Asking, journal: PredictionJournal) -> str | None:
    """What the back-end reports of the model that answers now.

    Raises:
        BackendError: Answers in the file are of a server that reported another one.
    """
    now, before = backend.identity(), journal.servers(asking.weights, backend.name)
    if before and now is None:
        logger.warning("%s: the server no longer reports what it serves; before: %s", asking.label, sorted(before))
    elif before and now not in before and not asking.any_server:
        raise BackendError(
            f"{journal.path.name} holds answers of {asking.label!r} from a server that reported {sorted(before)}; this "
            f"one reports {now!r}. Serve the model as before; or, if its weights are others, say so with revision, "
            "which has them asked from the beginning; or, if they are the same at another place, with any_server"
        )
    return now


def _find(
    asked: Sequence[Asked], backend_name: str, asking: Asking, journal: PredictionJournal, shown: Shown
) -> tuple[list[Key], list[int]]:
    """Every key, without pixels where the file holds nothing like it, and which places are to be done."""
    keys, todo = [], []
    for index, one in enumerate(asked):
        key = _key(one, backend_name, asking)
        if journal.may_hold(key):
            key = key._replace(images_sha256=shown.sha256(one))
        found = journal.get(key) if key.images_sha256 else None
        if found is None or (found.status in FAILURES and not asking.keep_errors):
            todo.append(index)
        keys.append(key)
    return keys, todo


def _key(one: Asked, backend_name: str, asking: Asking) -> Key:
    place = (asking.label, one.task, one.item_id, one.condition, one.rotation, one.sample)
    drawn = _sha256(f"{asking.seed} {place[1:]}")  # every completion has a seed of its own
    return Key(
        *place,
        prompt_sha256=_sha256(one.prompt),
        max_new_tokens=asking.max_new_tokens,
        temperature=asking.temperature,
        seed=int(drawn[:7], 16) if asking.temperature else 0,
        weights=asking.weights,
        backend=backend_name,
        images_sha256=None,
    )


class Shown:
    """Pictures as they are shown, and their hash; a file is decoded once while it stays in the cache."""

    def __init__(self) -> None:
        self._load = functools.lru_cache(maxsize=_CACHED_IMAGES)(load_image)
        self._sha256 = functools.cache(lambda path, change: pixels_sha256(self._shown(path, change)))

    def images(self, one: Asked) -> list[Image.Image]:
        """The pictures of a question, as shown."""
        return [self._shown(path, one.change) for path in one.images]

    def sha256(self, one: Asked) -> str:
        """Hash of their pixels, all together."""
        return _sha256(" ".join(self._sha256(path, one.change) for path in one.images))

    def _shown(self, path: Path, change: Change | None) -> Image.Image:
        image = self._load(path)
        return change(image) if change else image


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def _line(key: Key, completion: Completion, served_by: str | None) -> Prediction:
    """A prediction of which nothing is read yet; ``status`` says whether there is anything to read."""
    return Prediction(
        **key._asdict(),
        raw=completion.text.encode("utf-8", "replace").decode("utf-8"),  # half a surrogate pair cannot be written
        status=_status(completion),
        completion_tokens=completion.completion_tokens,
        prompt_tokens=completion.prompt_tokens,
        finished=completion.finished,
        served_by=served_by,
        error=completion.detail or None,
    )


def _status(completion: Completion) -> str:
    if completion.failure is not None:
        return completion.failure.value
    if completion.refused:
        return REFUSED
    return "ok" if completion.finished else "unfinished"


def _restored(line: Prediction) -> Completion:
    """The completion behind a line of the file."""
    return Completion(
        text=line.raw,
        completion_tokens=line.completion_tokens,
        prompt_tokens=line.prompt_tokens,
        finished=line.finished,
        refused=line.status == REFUSED,
        failure=RequestFailure(line.status) if line.status in FAILURES else None,
        detail=line.error or "",
    )
