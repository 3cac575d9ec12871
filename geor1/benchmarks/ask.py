"""Ask a model the questions of a benchmark and score it: ``python -m geor1.benchmarks``.

Completions lie in ``generations.jsonl``, as those of stage 04 do: what is there is not asked again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any

from geor1.asking.backends import Backend
from geor1.asking.generating import Asked, Asking, complete_missing
from geor1.asking.journal import FAILURES, PredictionJournal, only_writer
from geor1.benchmarks import geochain
from geor1.benchmarks.items import Benchmark, BenchmarkError, Item, Reply
from geor1.runs import write_json

GENERATIONS = "generations.jsonl"
SCORES = "scores.json"
Answerer = Callable[[int], tuple[Backend, Asking]]
"""Most images of a prompt -> who answers and how."""


def ask(
    chosen: Benchmark,
    folder: Path | str,
    items: Sequence[Item],
    backend: Backend,
    asking: Asking,
    journal: PredictionJournal,
) -> list[Reply]:
    """Ask every question about every item whose image is there.

    Args:
        chosen: The benchmark.
        folder: Its folder.
        items: From its ``load``, or some of them.
        backend: Who answers.
        asking: How; one sample.
        journal: File of generations.

    Returns:
        Replies, in the order of items and questions. Questions that ended in an error have none, and count as wrong.

    Raises:
        BenchmarkError: No item has an image.
        ImageFileError, FileNotFoundError, BackendError: As :func:`geor1.asking.generating.complete_missing`.
    """
    folder = Path(folder)
    prompts = chosen.prompts(folder)
    change = geochain.crop if chosen.name == geochain.NAME else None
    asked = [
        Asked(
            task=chosen.name,
            item_id=item.item_id,
            condition=question,
            prompt=prompt,
            images=tuple(folder / name for name in item.images),
            change=change,
        )
        for item in items
        if item.images
        for question, prompt in prompts.items()
    ]
    if not asked:
        raise BenchmarkError(
            f"{folder}: no image of {chosen.name}'s {len(items)} items is there; labels and photos are fetched apart, "
            "see `geor1 data list`"
        )
    lines = complete_missing(asked, backend, asking, journal, lambda _, line: line)
    return [
        Reply(item_id=line.item_id, question=line.condition, raw=line.raw)
        for line in lines
        if line.status not in FAILURES
    ]


def run_benchmark(
    chosen: Benchmark,
    folder: Path | str,
    models: Mapping[str, Answerer],
    out: Path | str,
    *,
    first: int = 0,
    resamples: int = 2000,
    seed: int = 0,
) -> Path:
    """Ask several models and write their scores side by side.

    Args:
        chosen: The benchmark.
        folder: Its folder.
        models: By row label, what makes the one who answers; called when its turn comes, closed after it.
        out: Folder for ``generations.jsonl`` and ``scores.json``.
        first: Take the first items of the file only; 0 for all.
        resamples: Bootstrap draws.
        seed: Of the bootstrap.

    Returns:
        The path of ``scores.json``: item counts, and each model's score as the benchmark's scorer gives it. Items
        without image, and questions without reply, are wrong answers in it.

    Raises:
        BenchmarkError, BackendError, ImageFileError: As :func:`ask`; what is done is kept.
        RunLockedError: Another process writes there.
    """
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    every = chosen.load(Path(folder))
    items = every[: first or None]
    shown = max((len(item.images) for item in items), default=0) or 1
    with only_writer(out):
        journal = PredictionJournal(out / GENERATIONS)
        scores = {}
        for label, answerer in models.items():
            backend, asking = answerer(shown)
            with contextlib.closing(backend):
                replies = ask(chosen, folder, items, backend, asking, journal)
            scores[label] = _plain(chosen.score(items, replies, model=label, resamples=resamples, seed=seed))
    lacking = sum(not item.images for item in items)
    counts = {"items": len(items), "of": len(every), "without_image": lacking}
    write_json(out / SCORES, {"benchmark": chosen.name, **counts, "models": scores})
    return out / SCORES


def _plain(value: Any) -> Any:
    """Dataclasses as objects and what is not finite as null, for JSON."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(_plain(key)): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, frozenset, set)):
        return [_plain(item) for item in value]
    if isinstance(value, Enum):
        return value.value
    return None if isinstance(value, float) and not math.isfinite(value) else value
