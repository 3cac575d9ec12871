"""Prompt texts, and their conversion to chat messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

IMAGE_MARKER = "<image>"

# Wording of the released trainer (geo_rl/src/open_r1, TASK_TYPE="default"), word for word.
FORMAT_INSTRUCTION = (
    "First output the thinking process in <think> </think> tags and then output the final answer in "
    "<answer> </answer> tags."
)

# The released data file is missing, so the wording of the question is ours; letters stand beside their images.
PAIRING_PROMPT = (
    "Ground panorama: <image> Satellite tiles: {tiles} "
    "Which satellite tile shows the same place as the ground panorama? " + FORMAT_INSTRUCTION
)

GEOLOCATION_PROMPT = (
    "Ground panorama: <image> Where was this panorama taken? "
    "Answer with latitude , longitude in degrees. " + FORMAT_INSTRUCTION
)


def pairing_prompt(letters: Sequence[str]) -> str:
    """The pairing question for these option letters, one image marker for the panorama and one for each tile.

    Args:
        letters: Option letters in the order of their tiles, e.g. ``"ABCDE"``; at least one.

    Returns:
        Prompt with ``1 + len(letters)`` image markers.

    Raises:
        ValueError: No letters.

    >>> pairing_prompt("AB")[:64]
    'Ground panorama: <image> Satellite tiles: A: <image> B: <image> '
    """
    if not letters:
        raise ValueError("letters: expected at least one option letter, got none")
    return PAIRING_PROMPT.format(tiles=" ".join(f"{letter}: {IMAGE_MARKER}" for letter in letters))


def geolocation_prompt() -> str:
    """The geolocation question: one panorama, answer ``latitude , longitude`` in degrees."""
    return GEOLOCATION_PROMPT


def to_messages(prompt: str) -> list[dict[str, Any]]:
    """One user turn whose parts interleave text and images as the markers in the prompt do.

    Args:
        prompt: Text with ``<image>`` markers.

    Returns:
        ``[{"role": "user", "content": [...]}]``; parts are ``{"type": "text", "text": ...}`` and ``{"type": "image"}``
        (no image data inside, which is what TRL and the processors' chat templates expect).

    >>> to_messages("Look: <image> Where?")[0]["content"]
    [{'type': 'text', 'text': 'Look: '}, {'type': 'image'}, {'type': 'text', 'text': ' Where?'}]
    """
    content: list[dict[str, Any]] = []
    for index, text in enumerate(prompt.split(IMAGE_MARKER)):
        if index:
            content.append({"type": "image"})
        if text:
            content.append({"type": "text", "text": text})
    return [{"role": "user", "content": content}]
