"""What is checked before and during training, so that no step learns from something other than what it says.

A wrong sample does not stop a trainer by itself: a missing image is skipped, a long prompt cut, features land on the
wrong placeholders, and the loss goes on falling. Every error here names the sample.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from geor1.models.encoding import EncodedPrompt, PromptEncoder

NAME = "question_id"


class SampleError(ValueError):
    """A sample that must not be trained on; the message names it and says what was expected and found."""


@dataclasses.dataclass(frozen=True)
class SamplerLimit:
    """How long a prompt with its completion may be where something other than the model in process samples.

    Attributes:
        tokens: The limit.
        setting: What sets it, as a reader can change it.
    """

    tokens: int
    setting: str


def name_of(row: Mapping[str, Any], place: int, otherwise: str = "row {} of the data set") -> str:
    """What a sample is called in messages: its ``question_id``, or where it stands.

    Args:
        row: The sample.
        place: Its place.
        otherwise: What the place is called.
    """
    return f"sample {row[NAME]!r}" if row.get(NAME) else otherwise.format(place)


def check_rows(
    rows: Iterable[Mapping[str, Any]],
    encoder: PromptEncoder,
    *,
    max_completion_tokens: int,
    max_positions: int,
    sampler: SamplerLimit | None = None,
) -> list[int]:
    """Check every row before the first step, from the image files' headers (nothing is decoded).

    Args:
        rows: With ``prompt`` (one user message) and ``images`` (paths), as :func:`geor1.grpo.data.to_dataset` makes.
        encoder: What will encode them.
        max_completion_tokens: Room that a completion needs after the prompt.
        max_positions: Positions that the model knows.
        sampler: What vLLM has room for, where it samples; a completion that it cuts there looks like one that was too
            long, and earns nothing.

    Returns:
        Prompt tokens of each row.

    Raises:
        SampleError: Markers and images differ in number; a file is missing or no image; the tiles of one question
            differ in size, which tells them apart without looking; prompt and completion do not fit the model, or vLLM.
    """
    lengths = []
    names: list[str] = []
    sizes: dict[str, tuple[int, int]] = {}
    for place, row in enumerate(rows):
        name, text, images = name_of(row, place), row["prompt"][0]["content"], [str(path) for path in row["images"]]
        for path in images:
            if path not in sizes:
                sizes[path] = _size_px(path, name)
        tiles = {sizes[path] for path in images[1:]}
        if len(tiles) > 1:
            shown = " and ".join(f"{width} x {height}" for width, height in sorted(tiles)[:2])
            raise SampleError(
                f"{name}: its tiles differ in size ({shown} px), which gives options away; set tile_px in 01"
            )
        try:
            length = encoder.count_tokens(text, [sizes[path] for path in images])
        except ValueError as error:
            raise SampleError(f"{name}: {error}") from error
        if length + max_completion_tokens > max_positions:
            raise SampleError(
                f"{name}: {length} prompt tokens and up to {max_completion_tokens} of completion, but the model has "
                f"{max_positions} positions, and nothing is cut here; use smaller or fewer images"
            )
        lengths.append(length)
        names.append(name)
    if lengths and sampler and max(lengths) + max_completion_tokens > sampler.tokens:
        longest = max(lengths)
        raise SampleError(
            f"{names[lengths.index(longest)]}: {longest} prompt tokens and up to {max_completion_tokens} of "
            f"completion, but vLLM has room for {sampler.tokens} and would cut longer completions there, which "
            f"then earn nothing; set {sampler.setting} to {longest + max_completion_tokens} or more, or lower "
            "max_completion_tokens"
        )
    return lengths


def check_prompt(prompt: EncodedPrompt, encoder: PromptEncoder, name: str) -> None:
    """Hold an encoded prompt's placeholders against its images' patches.

    Raises:
        SampleError: They do not agree.
    """
    slots = prompt.input_ids.count(encoder.image_token_id)
    merged = encoder.patches_per_token
    for number, image in enumerate(prompt.images):
        area = image.grid_thw[0] * image.grid_thw[1] * image.grid_thw[2]
        if len(image.patches) != area:
            raise SampleError(f"{name}: image {number} has {len(image.patches)} patches, its grid says {area}")
    wanted = sum(len(image.patches) // merged for image in prompt.images)
    if slots != wanted:
        raise SampleError(f"{name}: {slots} image placeholders, but its images make {wanted} features")


def check_completions(completions: Sequence[Sequence[int]], forbidden: Sequence[int], names: Sequence[str]) -> None:
    """Refuse completions that hold a token that stands for picture content.

    Args:
        completions: Token ids of each row.
        forbidden: Image and video tokens.
        names: What each row's sample is called.

    Raises:
        SampleError: One does.
    """
    for ids, name in zip(completions, names, strict=True):
        for token in forbidden:
            if token in ids:
                raise SampleError(
                    f"{name}: a completion holds token {token}, which stands for pixels, at {list(ids).index(token)}; "
                    "the sampler must never draw it"
                )


def _size_px(path: str, name: str) -> tuple[int, int]:
    from PIL import Image, UnidentifiedImageError

    if not Path(path).is_file():
        raise SampleError(f"{name}: image {path} is missing; paths are relative to the data's folder")
    try:
        with Image.open(path) as image:
            return image.size
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise SampleError(f"{name}: image {path} cannot be read ({error}); was the copy cut short?") from error
