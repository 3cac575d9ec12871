"""Whether a chain gives its answer away before its conclusion, or says where it had it from.

A verdict before the conclusion is a sentence that names the right tile and calls it right (``tile B is the match``),
not one that compares (``on tile B the river bends as well``). A chain about several tiles that passes over one of them
before it concludes gives the answer away as well: it was known.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_NOUN = r"(?:satellite )?(?:tile|option|candidate|image|choice|picture|view)"
_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")
_VERDICT = (
    r"(?:\bcorrect\b|\bright (?:one|tile|answer|choice)|\b(?:the|an?|only|best|exact|clear|perfect) match\b(?!ing)|"
    r"\bmatching tile"
    r"|\bsame (?:place|location)\b|\bmust be\b|\bis the one\b|\bthe answer\b|\bwe (?:choose|select|pick)\b"
    r"|\bI (?:choose|select|pick)\b|\bcorresponds to the panorama\b|\btrue tile\b|\bbelongs to the panorama\b)"
)
SOURCE_PHRASES = (
    r"\bmeta-?data\b", r"\bground truth\b", r"\b(?:known|given|provided|supplied) (?:facts?|information|answer|data)\b",
    r"\b(?:given|provided) (?:coordinates|location|place)\b", r"\baccording to the (?:facts|information|prompt|data)\b",
    r"\bI (?:was|am|have been) (?:told|given|informed)\b", r"\bas (?:told|instructed|provided)\b",
    r"\byou (?:told|gave|said|provided)\b", r"\bthe (?:prompt|instructions?|hint)\b", r"\bthe user\b",
)  # fmt: skip
"""Phrases that say that the writer knew more than the images."""
_SOURCE = re.compile("|".join(SOURCE_PHRASES), re.IGNORECASE)
_SENTENCE = re.compile(r"[^.!?\n]+")


def step_places(think: str, steps: Sequence[str]) -> list[int] | None:
    """Where each heading begins; None unless every one occurs once with a colon, in this order.

    >>> step_places("**Visual cues:** trees. Conclusion: tile B.", ("Visual cues", "Conclusion"))
    [2, 24]
    """
    places = []
    for step in steps:
        found = [match.start() for match in re.finditer(rf"\b{re.escape(step)}\b[*_\s]*:", think, re.IGNORECASE)]
        if len(found) != 1:
            return None
        places.append(found[0])
    return places if places == sorted(places) else None


def names_answer(before: str, letter: str, position: int, shown: int) -> bool:
    """Whether text before the conclusion calls the tile with this letter the right one.

    Args:
        before: The chain up to its conclusion.
        letter: The right letter.
        position: Place of its tile among those shown, from 0.
        shown: Tiles shown.

    >>> names_answer("On tile B the river bends as well.", "B", 1, 5), names_answer("Tile B is the match.", "B", 1, 5)
    (False, True)
    """
    reference = rf"{_NOUN}\s+[(\"'*]*{letter}\b"
    if shown > 1 and position < len(_ORDINALS):
        reference += rf"|\b{_ORDINALS[position]} {_NOUN}\b"
    told = re.compile(rf"\banswer\b\W+(?:is\W+|must be\W+)?(?:{_NOUN}\s+)?[(\"'*]*{letter}\b", re.IGNORECASE)
    if told.search(before):
        return True
    named, verdict = re.compile(reference, re.IGNORECASE), re.compile(_VERDICT, re.IGNORECASE)
    return any(named.search(one[0]) and verdict.search(one[0]) for one in _SENTENCE.finditer(before))


def passed_over(before: str, letters: Sequence[str]) -> list[str]:
    """Letters of tiles that the text before the conclusion does not speak of.

    >>> passed_over("Tiles A and C show houses. B: a river.", "ABCD")
    ['D']
    """
    return [letter for letter in letters if not _spoken_of(before, letter)]


def _spoken_of(text: str, letter: str) -> bool:
    listed = rf"(?i:\b{_NOUN}s?|\band|\bor|[,;/&])\s*[(\"'*]*{letter}(?![\w'’])"
    headed = rf"(?:^|[.\n])[\s*_(-]*{letter}\s*[*_)]*\s*[:.)–—-]"
    return re.search(rf"{listed}|{headed}", text) is not None


def names_source(think: str, hidden: Sequence[str]) -> str | None:
    """The first phrase that says that the writer was told, or that the template hides; None without one."""
    found = _SOURCE.search(think)
    if found:
        return found[0]
    lower = think.casefold()
    return next((phrase for phrase in hidden if phrase in lower), None)
