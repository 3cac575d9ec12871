"""Questions of known places with small pictures, and a served teacher that writes chains, good and bad."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from PIL import Image

from geor1.records import Candidate, Question, write_jsonl
from geor1.synthesis.teacher.config import TeacherConfig

PLACES = (
    ("Sydney", "Australia", -33.87, 151.21),
    ("Tokyo", "Japan", 35.68, 139.69),
    ("Paris", "France", 48.86, 2.35),
    ("Mexico City", "Mexico", 19.43, -99.13),
    ("Santiago", "Chile", -33.45, -70.67),
    ("Melbourne", "Australia", -37.81, 144.96),
)
KINDS = ("good", "good", "good", "false", "leak", "no_tags", "short", "wrong", "source")
"""What the served teacher writes, drawn evenly by the request's digest."""


def write_questions(folder: Path, count: int = 12, options: int = 3) -> list[Question]:
    """Train questions about the places above in turn, and their file."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    questions = []
    for index in range(count):
        city, country, latitude_deg, longitude_deg = PLACES[index % len(PLACES)]
        answer = index % options
        candidates = []
        for option in range(options):
            name = f"images/tile{index}_{option}.png"
            Image.new("RGB", (8, 8), (index, 10 * option, 200)).save(folder / name)
            pair_id = f"p{index}" if option == answer else f"n{index}_{option}"
            candidates.append(Candidate(letter="ABCDEFGH"[option], pair_id=pair_id, satellite_image=name))
        ground = f"images/ground{index}.png"
        Image.new("RGB", (16, 8), (index, 100, 0)).save(folder / ground)
        questions.append(
            Question(
                question_id=f"q{index}",
                pair_id=f"p{index}",
                source="tests",
                split="train",
                ground_image=ground,
                candidates=tuple(candidates),
                answer="ABCDEFGH"[answer],
                latitude_deg=latitude_deg,
                longitude_deg=longitude_deg,
                city=city,
                country=country,
            )
        )
    write_jsonl(folder / "questions_train.jsonl", questions)
    return questions


def settings(**changes: Any) -> TeacherConfig:
    """A small, quick config against a server."""
    how: dict[str, Any] = {"model": "tiny", "samples": 4, "keep": 1, "min_tokens": 0, "min_words": 10, "max_words": 99}
    how |= {"concurrency": 4, "timeout_s": 2.0, "max_attempts": 6, "key_variable": "NO_KEY"}
    how |= {"usd_per_million_in": 2.0, "usd_per_million_out": 10.0}
    return TeacherConfig(**{**how, **changes})


def chain(
    answer: str, *, letters: str = "", words: str = "", geography: str = "", before: str = "", steps: bool = True
) -> str:
    """A chain under the paper's headings.

    Args:
        answer: Goes into the answer block, and as a letter into the conclusion.
        letters: Tiles that the evidence goes through.
        words: Anything that makes it unlike others.
        geography: Sentences under Geographic knowledge.
        before: A sentence put in before the conclusion.
        steps: False leaves the headings out.
    """
    evidence = " ".join(f"Tile {letter} shows roofs {words}." for letter in letters)
    parts = [
        ("Visual cues", f"low houses {words} along a road."),
        ("Cross-view evidence", f"{evidence} The road bends {words}."),
        ("Geographic knowledge", f"{geography} {before}"),
        ("Conclusion", f"the evidence leads to {answer}."),
    ]
    text = "\n".join(f"{head}: {body}" if steps else body for head, body in parts)
    return f"<think> {text} </think>\n<answer> {answer} </answer>"


def served(prompt: str, _images: list[bytes], digest: str) -> str:
    """What the teacher writes: right city and driving side from the prompt, unless the digest says otherwise."""
    kind = KINDS[int(digest[:8], 16) % len(KINDS)]
    city = re.search(r"- city: (.+)", prompt)
    side = re.search(r"- driving side: (.+)", prompt)
    told = re.search(r"into <think> </think> tags, then (.+?) into <answer>", prompt.replace("\n", " "))
    letters = "".join(re.findall(r"([A-Z]): <image>", prompt))
    answer = told[1] if told and told[1] != "the letter" else "A"
    distractors = re.search(r"was taken: tile (\w)", prompt)
    answer = distractors[1] if distractors else answer
    words = " ".join(digest[place : place + 4] for place in range(0, 48, 4))
    geography = f"Traffic keeps to the {side[1] if side else 'left'} in {city[1] if city else 'the city'}."
    if kind == "false":
        geography = "Traffic keeps to the right here in Brazil. Traffic keeps to the left here in Peru."
    before = {"leak": f"So tile {answer} is the match.", "source": "The metadata agree."}.get(kind, "")
    text = chain("E" if kind == "wrong" else answer, letters=letters, words=words, geography=geography, before=before)
    if kind == "no_tags":
        return text.replace("<think>", "")
    return "<think> </think> <answer> " + answer + " </answer>" if kind == "short" else text
