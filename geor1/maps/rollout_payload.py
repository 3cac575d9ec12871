"""The rollout page's data as one blob: steps, their groups, the groups' completions, and the curves beside them.

Letters: S logged steps, M groups in the page, G completions of a group, N = M*G completions in the page. Completions
of group ``m`` are the rows ``m*G`` … ``m*G + G - 1``. The page stays small whatever the run: every step keeps its
counts of tied and untied groups; groups, texts and pictures are kept for as many evenly spread steps as fit.
"""

from __future__ import annotations

import dataclasses
import math
import posixpath
import string
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from geor1.answers import chain_spans, fact_holds
from geor1.maps import colours
from geor1.maps.blob import BlobWriter
from geor1.maps.curves import Curve
from geor1.maps.marks import Mark, facts_by_letter, shown_marks
from geor1.maps.rollout_log import VERDICTS, Rollout, RolloutGroup, RolloutLog, spread, terms_of
from geor1.maps.text import clean_text, plain_text
from geor1.maps.thumbnails import THUMBNAIL_TYPE, Thumbnails, make_thumbnails
from geor1.records import Question

NONE_U8 = 255
NONE_U32 = 0xFFFFFFFF
LABEL_LIMIT = 200  # characters of an id or place name
TERM_LIMIT = 60
MAX_COMPLETIONS = 150_000  # numbers of one take about 20 bytes in the page


@dataclasses.dataclass(frozen=True, kw_only=True)
class Limits:
    """How much goes into the page.

    Attributes:
        text_characters: Longest completion.
        text_bytes: All texts together, in UTF-8, before compression.
        completions: Most completions with their numbers.
        thumbnails: Most pictures.
        thumbnail_characters: All pictures together, in base64.
    """

    text_characters: int = 2000
    text_bytes: int = 7_000_000
    completions: int = MAX_COMPLETIONS
    thumbnails: int = 900
    thumbnail_characters: int = 9_000_000

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            if getattr(self, field.name) < 0:
                raise ValueError(f"{field.name}={getattr(self, field.name)}: expected 0 or more")


@dataclasses.dataclass(frozen=True)
class RolloutPayload:
    """What the page embeds: the blob, the blob's header once more, and the pictures' base64 text, one after another."""

    blob: str
    header: dict[str, Any]
    pictures: str


@dataclasses.dataclass(frozen=True)
class _Kept:
    """Which of the S steps keep their groups, texts and pictures; the groups kept, with their step's index."""

    groups: list[tuple[int, RolloutGroup]]
    texts: set[int]
    pictures: set[int]


class _Strings:
    """Distinct strings in order of first appearance."""

    def __init__(self) -> None:
        self.index: dict[str, int] = {}

    def add(self, value: str) -> int:
        """Index of the value, adding it if new."""
        return self.index.setdefault(value, len(self.index))


def build_rollout_payload(
    log: RolloutLog,
    curves: Sequence[Curve],
    *,
    images_dir: Path | None,
    questions: Mapping[str, Question],
    weights: Mapping[str, float],
    title: str,
    limits: Limits,
) -> RolloutPayload:
    """Pack a run's rollouts for the page.

    Args:
        log: The groups.
        curves: From :func:`geor1.maps.curves.training_curves`.
        images_dir: Folder that the image paths are relative to; None embeds no picture.
        questions: By id, for places; may be empty.
        weights: Weights of the reward terms; one without a weight counts once.
        title: Shown on the page.
        limits: How much to keep.

    Returns:
        What the page embeds.
    """
    steps = log.steps
    kept = _keep(log, steps, limits)
    terms = terms_of(log)
    writer = BlobWriter()
    _write_steps(writer, log, steps, kept)
    _write_groups(writer, kept, questions, weights)
    texts_out = _write_completions(writer, kept, terms, weights, limits)
    _write_marks(writer, kept, questions, limits)
    made = _thumbnails(kept, images_dir, limits)
    pictures_out = _write_pictures(writer, kept, made)
    shown = _write_curves(writer, curves)
    header = {
        "title": plain_text(title, LABEL_LIMIT),
        **_counts(log, kept),
        **_terms(log, terms, weights),
        "verdicts": list(VERDICTS),
        "curves": shown,
        "colours": colours.MEANINGS,
        "tables": {"letter": list(string.ascii_uppercase), "status": _statuses(kept)},
        "texts_left_out": texts_out,
        "text_characters": limits.text_characters,
        "thumb_type": THUMBNAIL_TYPE,
        "left_out": pictures_out,
        "missing": len(made.failures),
        "questions_known": bool(questions),
    }
    return RolloutPayload(blob=writer.pack(header), header=header, pictures="".join(made.bodies))


def _counts(log: RolloutLog, kept: _Kept) -> dict[str, Any]:
    """How much there is, and how much of it is in the page."""
    return {
        "n": len(kept.groups) * log.group_size,
        "group_size": log.group_size,
        "steps": len(log.steps),
        "groups": len(kept.groups),
        "groups_logged": len(log.groups),
        "steps_with_texts": len(kept.texts),
        "steps_with_pictures": len(kept.pictures),
        "torn_lines": log.torn_lines,
        "torn_completions": log.torn_completions,
    }


def _terms(log: RolloutLog, terms: Sequence[str], weights: Mapping[str, float]) -> dict[str, Any]:
    """The reward terms, and the limits that their bars and those of the advantages are drawn against."""
    described = [
        {"name": plain_text(term, TERM_LIMIT), "weight": weights.get(term), "range": _range(log.groups, term)}
        for term in terms
    ]
    known = all(term in weights for term in terms)
    return {"terms": described, "weights_known": known, "advantage_limit": _advantage_limit(log.groups)}


def _keep(log: RolloutLog, steps: Sequence[int], limits: Limits) -> _Kept:
    """Choose evenly spread steps for the groups; among these for the texts, and for the pictures."""
    by_step: dict[int, list[RolloutGroup]] = {step: [] for step in steps}
    for group in log.groups:
        by_step[group.step].append(group)
    places = spread([len(by_step[step]) * log.group_size for step in steps], limits.completions)
    text_bytes = [sum(_bytes(r.completion, limits) for g in by_step[steps[k]] for r in g.rollouts) for k in places]
    pictures = [len({path for group in by_step[steps[k]] for path in group.images}) for k in places]
    return _Kept(
        groups=[(place, group) for place in places for group in by_step[steps[place]]],
        texts={places[k] for k in spread(text_bytes, limits.text_bytes)},
        pictures={places[k] for k in spread(pictures, limits.thumbnails)},
    )


def _bytes(text: str, limits: Limits) -> int:
    return len(text[: limits.text_characters].encode("utf-8", "replace"))


def _write_steps(writer: BlobWriter, log: RolloutLog, steps: Sequence[int], kept: _Kept) -> None:
    index = {step: place for place, step in enumerate(steps)}
    tied, untied = np.zeros(len(steps), int), np.zeros(len(steps), int)
    for group in log.groups:
        (tied if group.tied else untied)[index[group.step]] += 1
    writer.add("step.number", steps, "u32")
    writer.add("step.tied", tied, "u32")
    writer.add("step.untied", untied, "u32")
    writer.add_lists("step.start", np.bincount([place for place, _ in kept.groups], minlength=len(steps)))
    writer.add("step.texts", [place in kept.texts for place in range(len(steps))], "u8")


def _write_groups(
    writer: BlobWriter, kept: _Kept, questions: Mapping[str, Question], weights: Mapping[str, float]
) -> None:
    items, labels = _Strings(), _Strings()
    rows: list[tuple[Any, ...]] = []
    for place, group in kept.groups:
        question = questions.get(group.question_id or "")
        totals = np.array([rollout.total(weights) for rollout in group.rollouts])
        rows.append(
            (
                place,
                items.add(plain_text(group.question_id or "(no id)", LABEL_LIMIT)),
                labels.add(_place(question)),
                math.nan if question is None or question.latitude_deg is None else question.latitude_deg,
                math.nan if question is None or question.longitude_deg is None else question.longitude_deg,
                group.tied,
                VERDICTS.index(group.verdict),
                _letter(group.answer),
                totals.mean(),
                totals.std(),
            )
        )
    names = ("step", "question", "place", "lat", "lon", "tied", "verdict", "answer", "mean", "spread")
    kinds = ("u32", "u32", "u32", "f32", "f32", "u8", "u8", "u8", "f32", "f32")
    for column, (name, kind) in enumerate(zip(names, kinds, strict=True)):
        writer.add(f"group.{name}", [row[column] for row in rows], kind)
    writer.add_strings("item", items.index)
    writer.add_strings("label", labels.index)


def _write_completions(
    writer: BlobWriter, kept: _Kept, terms: Sequence[str], weights: Mapping[str, float], limits: Limits
) -> int:
    """Numbers of every completion kept, texts of some; returns how many have none."""
    texts = _Strings()
    rows = [(place, rollout) for place, group in kept.groups for rollout in group.rollouts]
    statuses = {name: index for index, name in enumerate(_statuses(kept))}
    writer.add("advantage", [rollout.advantage for _, rollout in rows], "f32")
    writer.add("total", [rollout.total(weights) for _, rollout in rows], "f32")
    for index, term in enumerate(terms):
        writer.add(f"reward:{index}", [_reward(rollout, term) for _, rollout in rows], "f32")
    writer.add("choice", [_letter(choice) for _, group in kept.groups for choice in group.choices], "u8")
    writer.add("status", [statuses[status] for _, group in kept.groups for status in group.status], "u8")
    writer.add("characters", [len(rollout.completion) for _, rollout in rows], "u32")
    writer.add(
        "text",
        [
            texts.add(clean_text(rollout.completion[: limits.text_characters])) if place in kept.texts else NONE_U32
            for place, rollout in rows
        ],
        "u32",
    )
    writer.add_strings("text", texts.index)
    return sum(place not in kept.texts for place, _ in rows)


def _write_marks(writer: BlobWriter, kept: _Kept, questions: Mapping[str, Question], limits: Limits) -> None:
    """Facts stated in the texts that are in the page, with whether they hold."""
    marks: list[list[Mark]] = []
    for place, group in kept.groups:
        question = questions.get(group.question_id or "") if place in kept.texts else None
        for rollout in group.rollouts:
            known = question is not None and _same_tiles(question, group.images)
            found = _marks(rollout.completion, question) if question is not None and known else []
            marks.append(shown_marks(rollout.completion, found, limits.text_characters) if found else [])
    writer.add_lists("fact.start", [len(found) for found in marks])
    flat = [mark for found in marks for mark in found]
    for name, kind in (("begin", "u32"), ("end", "u32"), ("holds", "u8")):
        writer.add(f"fact.{name}", [int(getattr(mark, name)) for mark in flat], kind)


def _same_tiles(question: Question, images: Sequence[str]) -> bool:
    """Whether the tiles were shown under the letters that the question gives them."""
    given = [posixpath.basename(candidate.satellite_image) for candidate in question.candidates]
    return given == [posixpath.basename(path) for path in images[1:]]


def _marks(completion: str, question: Question) -> list[Mark]:
    tiles = facts_by_letter(question, 0)
    held = ((span.start, span.end, fact_holds(span.fact, question.facts, tiles)) for span in chain_spans(completion))
    return [Mark(start, end, holds) for start, end, holds in held if holds is not None]


def _thumbnails(kept: _Kept, images_dir: Path | None, limits: Limits) -> Thumbnails:
    paths = (path for place, group in kept.groups if place in kept.pictures for path in group.images)
    return make_thumbnails(paths, images_dir, limit=limits.thumbnails, max_characters=limits.thumbnail_characters)


def _write_pictures(writer: BlobWriter, kept: _Kept, made: Thumbnails) -> int:
    """Picture sets of the groups, each question's once; returns how many pictures are left out for want of room."""
    sets: dict[tuple[str, ...], int] = {}
    of_group = [sets.setdefault(group.images, len(sets)) for _, group in kept.groups]
    pictures = [(slot, path) for images in sets for slot, path in enumerate(images)]
    thumbs = [made.of(path) for _, path in pictures]
    writer.add("group.picset", of_group, "u32")
    writer.add_lists("picset.start", [len(images) for images in sets])
    writer.add("pic.role", [int(slot > 0) for slot, _ in pictures], "u8")
    writer.add("pic.letter", [slot - 1 if 0 < slot <= 26 else NONE_U8 for slot, _ in pictures], "u8")
    writer.add("pic.thumb", thumbs, "i32")
    writer.add_lists("thumb.offsets", [len(body) for body in made.bodies])
    absent = {path for (_, path), thumb in zip(pictures, thumbs, strict=True) if thumb < 0}
    return len(absent - set(made.failures))


def _write_curves(writer: BlobWriter, curves: Sequence[Curve]) -> list[dict[str, Any]]:
    for index, curve in enumerate(curves):
        writer.add(f"curve:{index}.step", curve.steps, "u32")
        writer.add(f"curve:{index}.value", curve.values, "f32")
    return [
        {"name": plain_text(curve.name, 80), "kind": curve.kind, "source": curve.source, "window": curve.window}
        for curve in curves
    ]


def _place(question: Question | None) -> str:
    if question is None:
        return ""
    parts = (question.city, question.country)
    return ", ".join(plain_text(part, LABEL_LIMIT) for part in parts if part and part.strip())


def _letter(letter: str | None) -> int:
    return string.ascii_uppercase.index(letter) if letter and letter in string.ascii_uppercase else NONE_U8


def _reward(rollout: Rollout, term: str) -> float:
    value = rollout.rewards.get(term)
    return math.nan if value is None or not math.isfinite(value) else value


def _statuses(kept: _Kept) -> list[str]:
    return list(dict.fromkeys(["ok", *(status for _, group in kept.groups for status in group.status)]))


def _range(groups: Iterable[RolloutGroup], term: str) -> list[float]:
    """Smallest and largest value of a term over the run, zero included: what its bars are drawn against."""
    values = [_reward(rollout, term) for group in groups for rollout in group.rollouts]
    known = [value for value in values if math.isfinite(value)]
    return [round(min(0.0, *known, 0.0), 6), round(max(0.0, *known, 0.0), 6)]


def _advantage_limit(groups: Iterable[RolloutGroup]) -> float:
    values = [abs(rollout.advantage) for group in groups for rollout in group.rollouts]
    return round(max([value for value in values if math.isfinite(value)], default=0.0), 6)
