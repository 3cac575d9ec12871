"""What a teacher is asked: every question under every template, in a fixed order, and who of several asks it."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence

from geor1.answers import geolocation_prompt, pairing_prompt
from geor1.records import Question
from geor1.runs import ConfigError
from geor1.synthesis.teacher.config import TeacherConfig
from geor1.synthesis.teacher.places import Place
from geor1.synthesis.teacher.templates import Template, render

SHARD_FOLDERS = "shard-[0-9][0-9][0-9][0-9]-of-[0-9][0-9][0-9][0-9]"
"""Names of the shards' folders of generations, as a pattern; see :attr:`Shard.folder`."""


@dataclasses.dataclass(frozen=True)
class Shard:
    """One of several shares of the questions; a question's id alone decides whose it is.

    Attributes:
        index: From 0.
        count: Of how many.
    """

    index: int = 0
    count: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.count < 10_000:
            raise ConfigError(f"shard {self.index}/{self.count}: expected index 0 to {self.count - 1}, e.g. 0/4 … 3/4")

    @classmethod
    def parse(cls, text: str) -> Shard:
        """``i/n`` with i from 0.

        >>> Shard.parse("3/16")
        Shard(index=3, count=16)
        """
        index, slash, count = text.partition("/")
        if not (slash and index.isdecimal() and count.isdecimal()):
            raise ConfigError(f"shard {text!r}: expected i/n with i from 0, e.g. 0/4")
        return cls(int(index), int(count))

    @property
    def folder(self) -> str:
        """Name of its folder of generations; empty for the whole."""
        return f"shard-{self.index:04d}-of-{self.count:04d}" if self.count > 1 else ""

    def holds(self, item_id: str) -> bool:
        """Whether a question belongs to it."""
        return number_of(item_id) % self.count == self.index


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
    """A question under a template.

    Attributes:
        template: The template.
        item_id: The question's id, or the pair's where the tiles do not matter.
        split: As in :class:`geor1.records.Question`.
        images: Panorama and tiles, relative to the data folder.
        letters: Of the tiles shown; empty for geolocation.
        answer: As the student is to write it.
        place: What is known of the panorama's place.
        prompt: For the teacher.
        student_prompt: For the student, with the same images.
    """

    template: Template
    item_id: str
    split: str
    images: tuple[str, ...]
    letters: tuple[str, ...]
    answer: str
    place: Place
    prompt: str
    student_prompt: str


def number_of(text: str) -> int:
    """A number that depends on a text alone, the same on every machine."""
    return int(hashlib.sha256(text.encode("utf-8")).hexdigest()[:15], 16)


def make_jobs(questions: Sequence[Question], template: Template, config: TeacherConfig, shard: Shard) -> list[Job]:
    """Jobs of one template in the order of the questions.

    A question whose tiles do not matter (``own``, ``none``) is asked once a pair; geolocation needs a position.
    """
    jobs = []
    seen: set[str] = set()
    for question in questions:
        if len(seen) == config.questions > 0:
            break
        item_id = question.question_id if template.tiles == "all" else question.pair_id
        if item_id in seen or (template.task == "geolocation" and question.latitude_deg is None):
            continue
        seen.add(item_id)
        if shard.holds(item_id):
            jobs.append(_job(question, item_id, template, config))
    return jobs


def _job(question: Question, item_id: str, template: Template, config: TeacherConfig) -> Job:
    place = Place.of(question)
    letters, tiles, answer = _shown(question, template)
    limits = {"min_words": config.min_words, "max_words": config.max_words}
    return Job(
        template=template,
        item_id=item_id,
        split=question.split,
        images=(question.ground_image, *tiles),
        letters=letters,
        answer=answer,
        place=place,
        prompt=render(template, letters=letters, answer=answer, place=place, **limits),
        student_prompt=pairing_prompt(letters) if letters else geolocation_prompt(),
    )


def _shown(question: Question, template: Template) -> tuple[tuple[str, ...], tuple[str, ...], str]:
    """Letters and images of the tiles shown, and the answer."""
    options = question.candidates
    if template.tiles == "none":
        return (), (), f"{question.latitude_deg:.2f} , {question.longitude_deg:.2f}"
    if template.tiles == "all":
        return tuple(o.letter for o in options), tuple(o.satellite_image for o in options), question.answer
    own = next(option for option in options if option.letter == question.answer)
    letter = options[number_of(f"letter {question.pair_id}") % len(options)].letter  # any, so that none is a habit
    return (letter,), (own.satellite_image,), letter


def names_of(questions: Sequence[Question]) -> tuple[set[str], set[str]]:
    """Names of cities and of countries that the questions bear."""
    return {q.city for q in questions if q.city}, {q.country for q in questions if q.country}
