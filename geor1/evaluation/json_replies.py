"""Find the JSON object in a model's reply: fenced, wrapped in prose, written as Python, or cut off.

Replies are data: nothing is evaluated, and a reply that holds no usable object gives None.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

_FENCE = re.compile(r"```(?:json|JSON)?\s*(.*?)(?:```|\Z)", re.DOTALL)
_LITERALS = {"None": "null", "True": "true", "False": "false"}
_CLOSER = {"{": "}", "[": "]"}
_LITERAL = re.compile("None|True|False")
_MAX_STARTS = 20  # opening braces tried in one reply, and
_MAX_MENDED_CHARS = 60_000  # characters looked at in mending what they open: both keep hostile input cheap


def find_object(reply: str | None, required: str) -> dict[str, Any] | None:
    """The first JSON object in a reply that has a key.

    Args:
        reply: The text as the model wrote it; None (an API error) finds nothing.
        required: Key that the object must have at its top level.

    Returns:
        The object, repaired if it used Python literals or trailing commas or was cut off (the member that the
        cut runs through is dropped); None if there is none.

    >>> find_object('Sure! ```json' + chr(10) + '{"lat": 1.5, "ok": True,}' + chr(10) + '```', "lat")
    {'lat': 1.5, 'ok': True}
    >>> find_object('{"lat": 1.5, "long": 2.25, "city": "Par', "lat")
    {'lat': 1.5, 'long': 2.25}
    """
    if not reply:
        return None
    for text in _regions(reply):
        for parsed in _objects(text):
            if required in parsed:
                return parsed
    return None


def _regions(reply: str) -> Iterator[str]:
    for match in _FENCE.finditer(reply):
        yield match.group(1)
    yield reply


def _objects(text: str) -> Iterator[dict[str, Any]]:
    decoder = json.JSONDecoder()
    starts = [index for index, character in enumerate(text) if character == "{"][:_MAX_STARTS]
    left = _MAX_MENDED_CHARS
    for start in starts:
        try:
            value, _ = decoder.raw_decode(text, start)
        except (json.JSONDecodeError, RecursionError):
            value = _repaired(text[start : start + left])
            left = max(0, left - (len(text) - start))
        if isinstance(value, dict):
            yield value


def _repaired(text: str) -> Any:
    """Parse with Python literals, trailing commas and missing closers mended; None if that fails too."""
    for mended in _mendings(text):
        try:
            return json.JSONDecoder().raw_decode(mended)[0]
        except (json.JSONDecodeError, RecursionError):
            continue
    return None


def _mendings(text: str) -> Iterator[str]:
    pieces, whole, stack, in_string = _scan(text)
    mended = "".join(pieces)
    closers = "".join(_CLOSER[opener] for opener in reversed(stack))
    if not in_string and (mended[-1:].isspace() or mended[-1:] in ('"', "}", "]")):
        yield mended + closers
    # Cut inside a value: half a coordinate or half a name is a wrong one, so the member is dropped.
    yield "".join(pieces[:whole]) + closers


def _scan(text: str) -> tuple[list[str], int, list[str], bool]:
    """Mend what lies outside strings, up to the end of the first object.

    Returns:
        The mended pieces, how many of them end with a whole member, the openers left open, and whether the text ends
        inside a string.
    """
    pieces: list[str] = []
    stack: list[str] = []
    index, whole, in_string = 0, 0, False
    while index < len(text):
        character = text[index]
        if in_string:
            step = 2 if character == "\\" and index + 1 < len(text) else 1
            in_string = character != '"'
            pieces.append({"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(character, text[index : index + step]))
            index += step
            continue
        word = _LITERAL.match(text, index)
        if character in "}]" and stack:
            stack.pop()
            _drop_trailing_comma(pieces)
        elif character in _CLOSER:
            stack.append(character)
        elif character == ",":
            whole = len(pieces)
        in_string = character == '"'
        pieces.append(_LITERALS[word.group()] if word else character)
        index += len(word.group()) if word else 1
        if character in "{[}]":
            whole = len(pieces)
        if not stack:
            break
    return pieces, whole, stack, in_string


def _drop_trailing_comma(pieces: list[str]) -> None:
    index = len(pieces) - 1
    while index >= 0 and not pieces[index].strip():
        index -= 1
    if index >= 0 and pieces[index] == ",":
        pieces[index] = ""
