"""The question file of the authors' released trainer, read and written.

One line a question: ``{"id": 1, "image": ["pano.jpg", "tile_a.jpg", …], "conversations": [{"from": "human", "value":
"<image>…question…"}, {"from": "gpt", "value": "C"}], "accu_reward_method": "mcq"}``. Their loader puts all images
before the text, so the text names the options by order. It knows nothing of positions; a further key that their loader
passes over, ``geor1``, carries our record, so that a file written here comes back whole.

Source: miniHuiHui/Geo-R1 and om-ai-lab/VLM-R1, ``grpo_jsonl.py`` and README.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from geor1.records import Candidate, Pair, Question, RecordError, from_dict, to_json
from geor1.synthesis.images import JPEG_QUALITY
from geor1.synthesis.placing import Placer
from geor1.synthesis.questions import MAX_CANDIDATES, letters_of
from geor1.synthesis.sources import SourceError

NAME = "authors_jsonl"
_ANSWER_TAGS = re.compile(r"</?answer>")


@dataclasses.dataclass(frozen=True, kw_only=True)
class AuthorsJsonlSource:
    """Questions of the authors' format; as pairs, each panorama with its right tile.

    Attributes:
        path: The JSONL file.
        image_folder: Where its image paths start; None means the file's folder.
        split: Split of questions that carry no record of ours.
        panorama_px: As in :class:`~geor1.synthesis.folder_source.FolderSource`.
        tile_px: Likewise.
        quality: JPEG quality of both views.
    """

    path: Path
    image_folder: Path | None = None
    split: str = "test"
    panorama_px: tuple[int, int] = (0, 0)
    tile_px: int = 0
    quality: int = JPEG_QUALITY

    name = NAME

    def questions(self, out_dir: Path) -> list[Question]:
        """Read the file and place its images in ``out_dir / "images"``, each once.

        Raises:
            SourceError: No such file, a line that does not fit, or an image path that leaves the image folder.
            ImageError: An image is missing, truncated or no image.
        """
        placer = Placer(out_dir, self.panorama_px, self.tile_px, self.quality)
        written: dict[str, str] = {}
        questions = []
        for where, question in read_authors_jsonl(self.path, split=self.split):
            try:
                questions.append(self._with_images(question, placer, written))
            except SourceError as error:
                raise SourceError(f"{where}: {error}") from error
        return questions

    def pairs(self, out_dir: Path) -> Iterator[Pair]:
        """Each panorama with its right tile; see :class:`~geor1.synthesis.sources.Source`."""
        return pairs_of_questions(self.questions(out_dir))

    def _with_images(self, question: Question, placer: Placer, written: dict[str, str]) -> Question:
        candidates = tuple(
            dataclasses.replace(
                option, satellite_image=self._copy(option.satellite_image, "satellite", placer, written)
            )
            for option in question.candidates
        )
        ground = self._copy(question.ground_image, "ground", placer, written)
        return dataclasses.replace(question, ground_image=ground, candidates=candidates)

    def _copy(self, relative: str, view: str, placer: Placer, written: dict[str, str]) -> str:
        if relative not in written:
            root = Path(self.image_folder or Path(self.path).parent).resolve()
            file = (root / relative).resolve()
            if not file.is_relative_to(root):
                raise SourceError(f"image {relative!r} lies outside the image folder; paths must stay below it")
            written[relative] = placer.place(file, NAME, relative, view=view)
        return written[relative]


def pairs_of_questions(questions: Iterable[Question]) -> Iterator[Pair]:
    """Each panorama once, with its right tile."""
    seen = set()
    for question in questions:
        if question.pair_id in seen:
            continue
        seen.add(question.pair_id)
        gold = next(option for option in question.candidates if option.letter == question.answer)
        shared = {field.name for field in dataclasses.fields(Pair)} & {
            field.name for field in dataclasses.fields(Question)
        }
        yield Pair(satellite_image=gold.satellite_image, **{name: getattr(question, name) for name in shared})


def read_authors_jsonl(path: Path | str, *, split: str = "test") -> Iterator[tuple[str, Question]]:
    """Questions of a file in the authors' format, image paths as they stand there.

    Args:
        path: The JSONL file.
        split: Split of questions that carry no record of ours.

    Yields:
        ``(file and line, question)``.

    Raises:
        SourceError: No such file, or a line that does not fit; named by its number.
    """
    path = Path(path)
    if not path.is_file():
        raise SourceError(f"{path}: no such file; give the authors' question file (JSON Lines)")
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            where = f"{path.name} line {number}"
            try:
                yield where, _from_item(json.loads(line), split, f"{path.stem}/{number}")
            except json.JSONDecodeError as error:
                raise SourceError(
                    f"{where}: not JSON ({error.msg} at column {error.colno}); was the file cut?"
                ) from error
            except (SourceError, RecordError) as error:
                raise SourceError(f"{where}: {error}") from error


def write_authors_jsonl(path: Path | str, questions: Sequence[Question], *, keep_records: bool = True) -> Path:
    """Write questions in the authors' format, atomically.

    Args:
        path: Destination; image paths stay relative to its folder.
        questions: What to write.
        keep_records: Add our record under ``geor1`` (as a JSON text, so that all lines have one schema).

    Returns:
        The path written.
    """
    path = Path(path)
    partial = path.with_name(path.name + ".partial")
    with partial.open("w", encoding="utf-8") as file:
        for number, question in enumerate(questions, start=1):
            item = _to_item(number, question)
            if keep_records:
                item["geor1"] = to_json(question)
            file.write(json.dumps(item, ensure_ascii=False) + "\n")
    partial.replace(path)
    return path


def authors_question(letters: Sequence[str]) -> str:
    """Question text whose options are defined by the order of the images (their wording is not published)."""
    return (
        "<image>" * (1 + len(letters))
        + "The first image is a ground panorama. The following images are satellite tiles, in order: "
        + ", ".join(letters)
        + ". Which satellite tile shows the same place as the ground panorama? Answer with its letter."
    )


def _to_item(number: int, question: Question) -> dict[str, Any]:
    letters = [option.letter for option in question.candidates]
    return {
        "id": number,
        "image": [question.ground_image, *(option.satellite_image for option in question.candidates)],
        "conversations": [
            {"from": "human", "value": authors_question(letters)},
            {"from": "gpt", "value": question.answer},
        ],
        "accu_reward_method": "mcq",
    }


def _from_item(item: Any, split: str, identifier: str) -> Question:
    images, answer = _images_of(item), _answer_of(item)
    if isinstance(item.get("geor1"), str):
        question = from_dict(json.loads(item["geor1"]), Question)
        kept = [question.ground_image, *(option.satellite_image for option in question.candidates)]
        if kept != images or question.answer != answer:
            raise SourceError("geor1: the record kept here does not fit image and answer of its line; remove the key")
        return question
    letters = letters_of(len(images) - 1)
    if answer not in letters:
        hint = "; options must be letters, the released reward never accepts digits" if answer.isdigit() else ""
        raise SourceError(f"gpt answer: expected one of {', '.join(letters)}, got {answer!r}{hint}")
    gold = letters.index(answer)
    candidates = tuple(
        Candidate(
            letter=letter,
            pair_id=identifier if k == gold else f"{identifier}/{letter}",
            satellite_image=image,
            distance_m=0.0 if k == gold else None,
        )
        for k, (letter, image) in enumerate(zip(letters, images[1:], strict=True))
    )
    return Question(
        question_id=f"{identifier}/q0",
        pair_id=identifier,
        source=NAME,
        split=split,
        ground_image=images[0],
        candidates=candidates,
        answer=answer,
    )


def _images_of(item: Any) -> list[str]:
    if not isinstance(item, dict):
        raise SourceError(f"expected an object with id, image and conversations, got {type(item).__name__}")
    images = item.get("image")
    if isinstance(images, str):
        raise SourceError(
            f"image: expected a list (panorama, then tiles), got the one file {images!r}; "
            "a composite image cannot be taken apart into options"
        )
    if not isinstance(images, list) or not all(isinstance(image, str) for image in images):
        raise SourceError(f"image: expected a list of paths, got {images!r}")
    if not 3 <= len(images) <= 1 + MAX_CANDIDATES:
        raise SourceError(f"image: expected a panorama and 2 to {MAX_CANDIDATES} tiles, got {len(images)} paths")
    return images


def _answer_of(item: dict[str, Any]) -> str:
    turns = item.get("conversations")
    if isinstance(turns, list):
        for turn in turns:
            if isinstance(turn, dict) and turn.get("from") == "gpt" and isinstance(turn.get("value"), str):
                return _ANSWER_TAGS.sub("", turn["value"]).strip().upper()
    raise SourceError('conversations: expected a turn {"from": "gpt", "value": "C"} with the answer, found none')
