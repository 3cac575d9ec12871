"""Where was this taken: one prompt, the reading of replies, and scores; shared by the geolocation benchmarks."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from geor1.answers import FORMAT_INSTRUCTION, IMAGE_MARKER, Coordinates, ParseFailure, parse_coordinates
from geor1.benchmarks.items import MISSING, BenchmarkError, Item, Reply, replies_by_key
from geor1.evaluation.geolocation import GeolocationScore, score_geolocation
from geor1.records import Prediction

QUESTION = "location"
PHOTO_PROMPT = (
    f"Photo: {IMAGE_MARKER} Where was this photo taken? "
    f"Answer with latitude , longitude in degrees. {FORMAT_INSTRUCTION}"
)
TILE_PROMPT = (
    f"Aerial image: {IMAGE_MARKER} Where is the centre of this image? "
    f"Answer with latitude , longitude in degrees. {FORMAT_INSTRUCTION}"
)


def photo_prompts(_: Path) -> dict[str, str]:
    """The one question of a benchmark of photos."""
    return {QUESTION: PHOTO_PROMPT}


def tile_prompts(_: Path) -> dict[str, str]:
    """The one question of a benchmark of aerial images."""
    return {QUESTION: TILE_PROMPT}


def parse(_: str, completion: str) -> Coordinates | ParseFailure:
    """Coordinates of the last answer block; see :func:`geor1.answers.parse_coordinates`."""
    return parse_coordinates(completion)


def predictions(items: Sequence[Item], replies: Iterable[Reply], *, model: str) -> list[Prediction]:
    """One prediction an item, in order; an item without a reply has the status ``missing``.

    Raises:
        BenchmarkError: A reply to no item, or two to one.
    """
    return predict_locations(items, replies_by_key(replies, items), QUESTION, parse, model)


def score(
    items: Sequence[Item],
    replies: Iterable[Reply],
    *,
    model: str,
    without_flags: Sequence[str] = (),
    resamples: int = 2000,
    seed: int = 0,
) -> GeolocationScore:
    """Score one model; every item counts, a missing or unusable reply as infinitely far away.

    Args:
        items: Of one benchmark.
        replies: At most one an item.
        model: Row label.
        without_flags: Leave out items with any of these defects, e.g. ``placeholder_coordinates``; the score's ``n``
            says how many are left.
        resamples: Bootstrap draws over clusters.
        seed: Of the bootstrap.

    Raises:
        BenchmarkError: A reply to no item, two replies to one, or no items left.
    """
    scored = zip(items, predictions(items, replies, model=model), strict=True)
    kept = [(item, prediction) for item, prediction in scored if not set(item.flags) & set(without_flags)]
    if not kept:
        raise BenchmarkError(f"no items left of {len(items)} without the flags {list(without_flags)}")
    return score_geolocation(
        [prediction for _, prediction in kept],
        clusters=[item.cluster for item, _ in kept],
        resamples=resamples,
        seed=seed,
    )


def predict_locations(
    items: Sequence[Item],
    given: Mapping[tuple[str, str], str],
    question: str,
    reader: Callable[[str, str], Any],
    model: str,
) -> list[Prediction]:
    """Predictions out of completions whose parsed form is coordinates or a failure.

    Args:
        items: Any.
        given: Completion by item and question.
        question: Id of the question that asks for coordinates.
        reader: Question id and completion -> ``Coordinates`` or ``ParseFailure``.
        model: Row label.
    """
    found = []
    for item in items:
        raw = given.get((item.item_id, question))
        base = unanswered(item, model)
        if raw is None:
            found.append(base)
            continue
        answer = reader(question, raw)
        if isinstance(answer, ParseFailure):
            found.append(dataclasses.replace(base, raw=raw, status=answer.value))
        else:
            found.append(dataclasses.replace(base, raw=raw, status="ok", **answer._asdict()))
    return found


def unanswered(item: Item, model: str) -> Prediction:
    """A prediction with the item's truth and no reply."""
    return Prediction(
        model=model,
        task="geolocation",
        item_id=item.item_id,
        raw="",
        status=MISSING,
        images=item.images,
        true_latitude_deg=item.latitude_deg,
        true_longitude_deg=item.longitude_deg,
        true_city=item.truth.get("city"),
        true_state=item.truth.get("state"),
        true_country=item.truth.get("country"),
    )
