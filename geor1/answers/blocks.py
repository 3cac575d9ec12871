"""The think and answer blocks of a completion, and why a completion cannot be used."""

from __future__ import annotations

import re
from enum import StrEnum

_ANSWER_OPEN = re.compile(r"<\s*answer\s*>", re.IGNORECASE)
_ANSWER_CLOSE = re.compile(r"<\s*/\s*answer\s*>", re.IGNORECASE)
_THINK_OPEN = re.compile(r"<\s*think\s*>", re.IGNORECASE)
_THINK_END = re.compile(r"<\s*/\s*think\s*>|<\s*answer\s*>", re.IGNORECASE)
_ANY_TAG = re.compile(r"<\s*(/?)\s*(think|answer)\s*>", re.IGNORECASE)
# Only reached when special tokens were not skipped in decoding: they mark the end, they are not text after it.
_END_TOKENS = re.compile(r"(?:\s*(?:<\|im_end\|>|<\|endoftext\|>))*\s*\Z")
_WELL_FORMED_ORDER = ["<think>", "</think>", "<answer>", "</answer>"]


MAX_ANSWER_CHARS = 4000
"""Characters of an answer block that are read; the longest real ones are a few hundred."""


class ParseFailure(StrEnum):
    """Why a completion holds no usable answer; counted, never raised."""

    NO_ANSWER = "no_answer"
    """No answer block at all."""
    UNFINISHED = "unfinished"
    """The last answer block was opened and never closed."""
    HEDGED = "hedged"
    """More than one option or place named, or the one named is taken back."""
    UNKNOWN_OPTION = "unknown_option"
    """Something is said, but none of the options is named."""
    EMPTY = "empty"
    """Nothing generated, or an answer block without a letter or digit."""
    NO_COORDINATES = "no_coordinates"
    """No readable latitude and longitude."""
    ANSWER_TOO_LONG = "answer_too_long"
    """An answer block beyond MAX_ANSWER_CHARS: not searched for an answer, which bounds the time of reading."""
    OUT_OF_RANGE = "out_of_range"
    """Latitude outside [-90, 90] or longitude outside [-180, 180]."""


def answer_block(completion: str) -> str | ParseFailure:
    """Text of the last answer block.

    A block runs from an opening tag to the next closing tag, so that an opening tag inside a block is part of its text.

    Args:
        completion: As generated, with or without special tokens.

    Returns:
        The text between the tags, stripped and not empty; else EMPTY, NO_ANSWER, UNFINISHED or ANSWER_TOO_LONG.

    >>> answer_block("<think> water </think> <answer> C </answer>")
    'C'
    >>> answer_block("<answer> A </answer> <answer> B")
    <ParseFailure.UNFINISHED: 'unfinished'>
    """
    if not completion.strip():
        return ParseFailure.EMPTY
    opening = _ANSWER_OPEN.search(completion)
    if opening is None:
        return ParseFailure.NO_ANSWER
    text = ""
    while opening is not None:
        closing = _ANSWER_CLOSE.search(completion, opening.end())
        if closing is None:
            return ParseFailure.UNFINISHED
        text = completion[opening.end() : closing.start()]
        opening = _ANSWER_OPEN.search(completion, closing.end())
    text = _ANSWER_OPEN.sub(" ", text).strip()
    if len(text) > MAX_ANSWER_CHARS:
        return ParseFailure.ANSWER_TOO_LONG
    return text or ParseFailure.EMPTY


def think_block(completion: str) -> str:
    """Text of the first think block, up to its closing tag, the answer or the end; without a think tag, what precedes
    the answer."""
    start, end = think_span(completion)
    return completion[start:end].strip()


def think_span(completion: str) -> tuple[int, int]:
    """Where the text of :func:`think_block` begins and ends, before it is stripped."""
    opening = _THINK_OPEN.search(completion)
    start = opening.end() if opening else 0
    end = _THINK_END.search(completion, start)
    return start, end.start() if end else len(completion)


def is_well_formed(completion: str) -> bool:
    """Whether a completion is exactly one think block, then exactly one answer block, and then ends.

    The accuracy reward requires it. A reward that only looks for the right answer block somewhere in the text is
    learnt to be cheated within tens of steps: completions go on after the answer and name several options.
    Spaces in and around tags are allowed, text outside the blocks is not.

    Args:
        completion: As generated.

    >>> is_well_formed("<think> water </think> <answer> C </answer>")
    True
    >>> is_well_formed("<think> water </think> <answer> C </answer> or D")
    False
    """
    tags = list(_ANY_TAG.finditer(completion))
    if [re.sub(r"\s", "", tag.group()) for tag in tags] != _WELL_FORMED_ORDER:
        return False
    before = completion[: tags[0].start()]
    between = completion[tags[1].end() : tags[2].start()]
    after = completion[tags[3].end() :]
    return not before.strip() and not between.strip() and _END_TOKENS.match(after) is not None
