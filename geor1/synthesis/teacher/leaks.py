"""Whether a chain gives its answer away before its conclusion, or says where it had it from.

A verdict before the conclusion is a sentence that names the right tile and calls it right (``tile B is the match``,
``B matches``), not one that compares (``on tile B the river bends as well``); ruling out all the others is one as well.
A chain about several tiles that passes over one of them before it concludes gives the answer away too: it was known.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_NOUN = r"(?:satellite )?(?:tile|option|candidate|image|choice|picture|view)"
_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")
_VERDICT = (
    r"(?:\bcorrect\b|\bright (?:one|tile|answer|choice|option|candidate)"
    r"|\b(?:the|an?|only|best|closest|exact|clear|perfect) (?:match|fit)\b|\bmatching tile"
    r"|\bsame (?:place|location)\b|\bis the one\b|\b(?:the|my|our|final) answer\b"
    r"|\b(?:we|I) (?:\w+ ){0,2}(?:choose|select|pick|opt for|go (?:with|for)|settle on)\b"
    r"|\bcorresponds to the panorama\b|\btrue tile\b|\bbelongs to the panorama\b)"
)
_ELIMINATED = (
    r"\b(?:ruled? out|ruling out|excluded?|excludes|eliminated?|eliminates|discarded?|rejected?"
    r"|(?:do|does|can|could)(?: not|n[’']t|not) (?:match|fit|be (?:right|correct|the))"
    r"|(?:none|neither) (?:of )?[^;:]{0,60}(?:match|fit)(?:es|s)?)\b"
)
_CERTAIN = r"(?:best|perfectly|exactly|completely|fully|entirely|most closely|in every (?:detail|respect))"
_FITS = rf"(?:match(?:es)?|fits?|aligns?|agrees?|corresponds?)(?: {_CERTAIN})?"
_WHOLE = (
    r"(?:everything|all of (?:it|them|this)|(?:all )?(?:the |these |those )?"
    r"(?:ground(?:-level)? |street )?(?:panorama|photo(?:graph)?|view|scene|cues|evidence|clues))"
)
_TAKEN = (
    r"\b(?:panorama|photo(?:graph)?|camera|photographer|scene|ground view)\b[^,;:]{0,30}"
    r"\b(?:taken|shot|captured|located|stands?|stood|lies|belongs|comes|is)\b[^,;:]{0,15}\b(?:at|in|from|of|within|to)"
)
_BOUND = r"(?:must|has to|have to|can only|could only) be(?: (?:of|in|at|from))?"
# Letters that name other things than a tile: "Plan B", "Route A".
_NOT_TILES = ("plan", "block", "building", "terminal", "route", "gate", "zone", "class", "type", "exit", "vitamin")
# What may follow "A" where it is a letter and no article.
_BEHIND_A = (
    r"(?!\s+(?!(?:is|was|has|must|can|could|fits?|matches|aligns|agrees|corresponds|belongs|shows|and|or|but|as|because|"
    r"since|which|with|in|on|best|does|remains|a|the)\b)\w)"
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
    letters = [chr(ord(letter) - position + place) for place in range(shown)]
    bare = {one: re.compile(_letter(one)) for one in letters}
    reference = _reference(letter, position, shown)
    named, direct = re.compile(reference), re.compile(_direct(reference), re.IGNORECASE)
    verdict, eliminated = re.compile(_VERDICT, re.IGNORECASE), re.compile(_ELIMINATED, re.IGNORECASE)
    gone: set[str] = set()
    for sentence in _SENTENCE.findall(before):
        if direct.search(sentence):
            return True
        spoken = {one for one in letters if bare[one].search(sentence)}
        weighs_all = shown > 1 and len(spoken) == shown
        if named.search(sentence) and verdict.search(sentence) and not weighs_all:
            return True
        if eliminated.search(sentence) and not weighs_all:
            gone |= spoken
    return shown > 1 and gone >= set(letters) - {letter}


def _letter(letter: str) -> str:
    """A capital that stands for a tile, in brackets or marks of stress or without."""
    other = "".join(rf"(?<!\b(?i:{word})\s)" for word in _NOT_TILES)
    return rf"{other}(?<![\w'’-])[(\"'*]{{0,4}}{letter}(?![\w'’]|-\w){_BEHIND_A if letter == 'A' else ''}[)\"'*]{{0,4}}"


def _reference(letter: str, position: int, shown: int) -> str:
    """The right tile by its letter, alone or behind its noun, or by its place; cased as written."""
    cased = letter if letter in "AI" else f"[{letter}{letter.lower()}]"
    parts = [rf"(?i:{_NOUN})\s+[(\"'*]{{0,4}}{cased}\b[)\"'*]{{0,4}}", _letter(letter)]
    if shown > 1 and position < len(_ORDINALS):
        parts.append(rf"\b(?i:(?:the )?{_ORDINALS[position]} {_NOUN})\b")
    return "(?-i:" + "|".join(parts) + ")"


def _direct(reference: str) -> str:
    """Verdicts that lie in how the right tile and the words stand to each other."""
    ends = r"(?=\s*(?:$|[,;:*]|\b(?:and|so|because|since|as|while)\b))"
    parts = (
        rf"\banswer\b\W+(?:(?:is|must|should|would|will|has|to|be|therefore|thus|then|clearly)\W+)*{reference}",
        r"\b(?:correct|right|true|match\w*|best|choice|verdict|solution)\b[^,;:]{0,20}"
        rf"(?:\bis|\bbe|:)\s+{reference}",
        rf"{reference} (?:is|must be|has to be) (?:\w+ ){{0,2}}?"
        rf"(?:correct|right|(?:best |only )?(?:match|fit)|it{ends})\b",
        rf"\b{_BOUND} {reference}",
        rf"{reference} (?:must|has to|can only) be (?:it|the (?:one|place|location)|where)\b",
        rf"^\W*(?:(?:so|thus|hence|therefore),? )?it(?: is|[’']s) {reference}{ends}",
        rf"{reference} (?:\w+ly )?{_FITS}(?: (?:best|well|alone))?{ends}",
        rf"{reference} (?:\w+ly )?{_FITS} (?:with |to )?{_WHOLE}(?: {_CERTAIN}|{ends})",
        rf"{reference} (?:match(?:es)?|fits?|aligns?|agrees?|corresponds?) {_CERTAIN} (?:with |to )?{_WHOLE}\b",
        rf"\bonly {reference} (?:fits?|matches|remains|is left|agrees|aligns|can|qualifies)\b",
        rf"\b(?:leaves|leaving) (?:us with )?(?:only |just )?{reference}",
        rf"{reference} (?:alone )?(?:remains|is left){ends}",
        rf"\b(?:points?|leads?|pointing|leading|speaks?|argues?) (?:\w+ )?(?:to|for) {reference}{ends}",
        rf"{_TAKEN} {reference}|{reference} is where the (?:panorama|photo|camera)\b",
        rf"^\W*(?:so|thus|hence|therefore|clearly)\W+{reference}(?: it is)?\W*$",
        rf"\b(?:except|but|other than|apart from) (?:for )?{reference}.*{_ELIMINATED}",
        rf"{_ELIMINATED}.*\b(?:except|but|other than|apart from) (?:for )?{reference}{ends}",
    )
    return "|".join(f"(?:{part})" for part in parts)


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
