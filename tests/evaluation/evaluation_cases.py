"""Small questions with real image files, and a model that is a function; what the evaluation tests share."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

from geor1.records import Candidate, Question

LETTERS = "ABCDEFGHIJK"


@dataclasses.dataclass(frozen=True)
class FakeGeneration:
    text: str
    completion_tokens: int = 7
    finished: bool = True


class FakeGenerate:
    """Stands where ``geor1.models.generate.generate`` stands; records what it was given.

    Args:
        reply: (prompt, images) -> completion, or a FakeGeneration.
        die_after: Calls after which it raises, as a killed process would.
    """

    def __init__(self, reply: Callable[[str, list[Image.Image]], Any], die_after: int | None = None) -> None:
        self.reply = reply
        self.die_after = die_after
        self.calls: list[tuple[list[str], list[list[Image.Image]]]] = []

    def __call__(
        self,
        model: Any,
        processor: Any,
        prompts: list[str],
        images: list[list[Image.Image]],
        *,
        max_new_tokens: int,
        temperature: float,
        seed: int,
        batch_size: int,
    ) -> list[FakeGeneration]:
        if self.die_after is not None and len(self.calls) >= self.die_after:
            raise KeyboardInterrupt
        self.calls.append((prompts, images))
        replies = [self.reply(prompt, shown) for prompt, shown in zip(prompts, images, strict=True)]
        return [reply if isinstance(reply, FakeGeneration) else FakeGeneration(reply) for reply in replies]

    @property
    def n_prompts(self) -> int:
        return sum(len(prompts) for prompts, _ in self.calls)


def same_colour(prompt: str, images: list[Image.Image]) -> str:
    """A perfect model for the questions below: the tile whose colour is the panorama's; A when none is."""
    colours = [image.getpixel((0, 0)) for image in images]
    matches = [index for index, colour in enumerate(colours[1:]) if colour == colours[0]]
    letter = LETTERS[matches[0] if len(matches) == 1 else 0]
    return f"<think> north ground water . so tile {letter} </think> <answer> {letter} </answer>"


def write_questions(folder: Path, count: int = 4, options: int = 3) -> list[Question]:
    """Questions whose true tile has the colour of the panorama; places differ in colour."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    questions = []
    for index in range(count):
        answer = index % options
        candidates = []
        for option in range(options):
            place = f"p{index}" if option == answer else f"n{index}_{option}"
            colour = (40 * (index % 6), 10 * option if option != answer else 200, index // 6)
            name = f"images/{place}.png"
            Image.new("RGB", (8, 8), colour).save(folder / name)
            facts = {"north": "water"} if option == answer else {"north": "sand"}
            candidates.append(Candidate(letter=LETTERS[option], pair_id=place, satellite_image=name, facts=facts))
        ground = f"images/ground{index}.png"
        Image.new("RGB", (16, 8), (40 * (index % 6), 200, index // 6)).save(folder / ground)
        questions.append(
            Question(
                question_id=f"q{index}",
                pair_id=f"p{index}",
                source="world",
                split="test",
                ground_image=ground,
                candidates=tuple(candidates),
                answer=LETTERS[answer],
                latitude_deg=10.0 * (index % 9),
                longitude_deg=20.0,
                country="Mexico",
                facts={"north": "water", "country": "Mexico"},
            )
        )
    return questions
