"""Whether a chain gives its answer away before its conclusion, or says where it had it from.

A verdict before the conclusion is a sentence that names the right tile and calls it right (``tile B is the match``,
``B matches``), not one that compares (``on tile B the river bends as well``). A sentence that names no tile speaks of
the one named last (``Consider tile B. This one fits on every count``). Ruling out all the others, by letter or all at
once (``all other tiles can be excluded``), is a verdict as well. A chain about several tiles that passes over one of
them before it concludes gives the answer away too: it was known.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Sequence

_NOUN = r"(?:satellite )?(?:tile|option|candidate|image|choice|picture|view)"
_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")
_BEST = r"(?:the|an?|only|best|closest|exact|clear|perfect)"
_VERDICT = (
    r"(?:\bcorrect\b|\bright (?:one|tile|answer|choice|option|candidate)"
    rf"|\b{_BEST} (?:match|fit)\b|\bmatching tile"
    r"|\b(?:same|very) (?:place|location|spot)\b|\bis the one\b|\b(?:the|my|our|final) answer\b"
    r"|\b(?:the|our|my) (?:sole|only) (?:candidate|option|tile|choice)\b"
    r"(?! (?:with|that (?!satisf|fits|match|agrees)|to|in|where|which|showing))"
    r"|\b(?:my|our|the) choice (?:falls|is)\b"
    r"|\b(?:we|I) (?:\w+ ){0,2}(?:choose|select|pick|opt for|go (?:with|for)|settle on)\b"
    r"|\bcorresponds to the panorama\b|\btrue tile\b|\bbelongs to the panorama\b)"
)
_GONE = (
    r"(?:rul(?:e[sd]?|ing) (?:\w+ )?out|(?:exclud|eliminat|discard|reject|dismiss|discount|remov)\w*|drop(?:ped)?"
    r"|fail(?:s|ed)?|falls? short|(?:is|are) (?:all )?(?:out(?! of)|wrong|impossible|incorrect))"
)
_ELIMINATED = (
    rf"\b(?:{_GONE}|(?:do|does|can|could)(?: not|n[’']t|not) (?:match|fit|be (?:right|correct|it|the))"
    r"|(?:none|neither) (?:of )?[^;:]{0,60}(?:match|fit)(?:es|s)?)\b"
)
_STAYS = rf"(?:not|n[’']t|cannot|never)(?: \w+){{0,2}} {_GONE}\b"
_OTHERS = (
    rf"(?:(?:all |every |each )?(?:of )?(?:the )?(?:other|remaining)(?: (?:\w+ )?{_NOUN}s?| (?:two|three|four|five|six|"
    r"seven|eight|nine)\b(?! \w+s\b)| ones)|(?:all )?(?:of )?the (?:others|rest)(?! of)|all others)"
)
_NO_OTHER = rf"\b(?:none of {_OTHERS}|no other (?:{_NOUN}|one)|nothing else)"
_CERTAIN = (
    r"(?:best|perfectly|exactly|completely|fully|entirely|most closely|in (?:every|all) (?:details?|respects?|ways?)"
    r"|on (?:every|all) (?:counts?|points?))"
)
_FIT = r"(?:match(?:es)?|fits?|aligns?|agrees?|corresponds?|lines? up)"
_FITS = rf"{_FIT}(?: {_CERTAIN})?"
_WHOLE = (
    r"(?:everything|all of (?:it|them|this)|(?:all )?(?:the |these |those )?"
    r"(?:ground(?:-level)? |street )?(?:panorama|photo(?:graph)?|view|scene|cues|evidence|clues))"
)
_TAKEN = (
    r"\b(?:panorama|photo(?:graph)?|camera|photographer|scene|ground view)\b[^,;:]{0,30}"
    r"\b(?:taken|shot|captured|located|stands?|stood|standing|lies|belongs|comes|is)\b[^,;:]{0,15}"
    r"\b(?:at|in|from|of|within|to)"
)
_BOUND = r"(?:must|has to|have to|can only|could only) be(?: (?:of|in|at|from))?"
_VERDICTS = re.compile(_VERDICT, re.IGNORECASE)
_ELIMINATES = re.compile(_ELIMINATED, re.IGNORECASE)
_STAYING = re.compile(_STAYS, re.IGNORECASE)
_OPEN = re.compile(r"\b(?:whether|if|not yet|too early|remains to be seen)\b", re.IGNORECASE)
_MAYBE = re.compile(r"\b(?:may|might|could(?! only)|perhaps|possibly)\b", re.IGNORECASE)
_NOT = re.compile(r"\b(?:not(?! only)|never)\b|n[’']t\b", re.IGNORECASE)
# Tiles that a sentence names only to set them aside: "B rather than D is the match".
_SET_ASIDE = re.compile(
    rf"\b(?:rather than|unlike|instead of|compared (?:with|to)|(?:and|but) not) (?:{_NOUN} )?[A-Z]\b"
)
_OPENING = r"(?P<opening>\W*(?:(?:so|thus|hence|therefore|clearly|indeed|and|then|surely|no doubt|but)\W+)*)"
_POINTS_BACK = re.compile(
    rf"^{_OPENING}(?:it|(?:this|that)(?: (?:one|{_NOUN})|(?= (?:is|must|has to|can only|{_FIT})\b)))(?=\W)",
    re.IGNORECASE,
)
_SPEAKS_OF_ALL = re.compile(
    rf"^{_OPENING}(?:here,? |there,? )?(?=(?:everything|all (?:the )?(?:cues|clues|evidence|details?))\b"
    r"|(?:an?|the)?(?: \w+)? ?(?:match|fit)\W*$)",
    re.IGNORECASE,
)
# Letters that name other things than a tile: "Plan B", "Route A".
_NOT_TILES = ("plan", "block", "building", "terminal", "route", "gate", "zone", "class", "type", "exit", "vitamin")
# What may follow "A" where it is a letter and no article.
_BEHIND_A = (
    r"(?!\s+(?!(?:is|are|was|were|has|had|must|can|cannot|could|may|might|would|should|will|does|do|fits?|match(?:es)?|"
    r"aligns|agrees|corresponds|belongs|shows|lacks|fails?|falls|differs|comes|looks|seems|appears|stays|remains|wins|"
    r"and|or|nor|but|as|because|since|while|whereas|which|with|in|on|at|to|than|so|not|alone|too|also|instead|itself|"
    r"best|a|the)\b)\w)"
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
_CLAUSE = re.compile(r";|,\s*(?:while|whereas|but|yet)\b")


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
    >>> names_answer("Consider tile B. This one fits on every count.", "B", 1, 5)
    True
    """
    patterns = _patterns(letter, position, shown)
    others = set(patterns.named) - {letter}
    gone: set[str] = set()
    last: str | None = None
    for sentence in _SENTENCE.findall(before):
        spoken = patterns.spoken(sentence)
        text = sentence
        if not spoken and last == letter:
            text = _spelt_out(sentence, letter)
        elif spoken:
            last = next(iter(spoken)) if len(spoken) == 1 else None
        if patterns.is_verdict(text):
            return True
        if shown > 1 and not _OPEN.search(sentence) and patterns.all_others.search(_STAYING.sub("", sentence)):
            return True
        gone.update(*(patterns.ruled_out(clause) for clause in _CLAUSE.split(sentence)))
    return shown > 1 and gone >= others


@dataclasses.dataclass(frozen=True)
class _Patterns:
    """What gives one letter away; ``named`` finds each tile shown."""

    letter: str
    named: dict[str, re.Pattern[str]]
    direct: re.Pattern[str]
    all_others: re.Pattern[str]

    def spoken(self, text: str) -> set[str]:
        """Letters of the tiles that a text names."""
        return {letter for letter, pattern in self.named.items() if pattern.search(text)}

    def is_verdict(self, sentence: str) -> bool:
        """Whether a sentence calls the right tile right."""
        if _OPEN.search(sentence) or not self.named[self.letter].search(sentence):
            return False
        if self.direct.search(sentence):
            return True
        said = _SET_ASIDE.sub("", sentence)
        if self.spoken(said) != {self.letter} or _MAYBE.search(said):
            return False
        found = _VERDICTS.search(said)
        return found is not None and not _NOT.search(said[max(0, found.start() - 20) : found.start()])

    def ruled_out(self, clause: str) -> set[str]:
        """Letters of the tiles that a clause rules out; none where it weighs all of them."""
        if not _ELIMINATES.search(_STAYING.sub("", clause)):
            return set()
        spoken = self.spoken(clause)
        return spoken if len(spoken) < len(self.named) else set()


@functools.cache
def _patterns(letter: str, position: int, shown: int) -> _Patterns:
    letters = [chr(ord(letter) - position + place) for place in range(shown)]
    named = {one: re.compile(_reference(one, place, shown)) for place, one in enumerate(letters)}
    direct = re.compile(_direct(_reference(letter, position, shown)), re.IGNORECASE)
    all_others = re.compile(
        rf"\b{_OTHERS}\b[^;:]{{0,40}}{_ELIMINATED}|{_ELIMINATED} {_OTHERS}|{_NO_OTHER}\b[^,;:]{{0,20}}"
        rf"\b(?:{_FIT}|remains?|qualif\w+|(?:is|are|be) (?:right|correct|it|possible|left))\b",
        re.IGNORECASE,
    )
    return _Patterns(letter, named, direct, all_others)


def _spelt_out(sentence: str, letter: str) -> str:
    """A sentence without a tile's name, with the name of the one that it speaks of if it speaks of it at all."""
    back = _POINTS_BACK.sub(rf"\g<opening>tile {letter}", sentence)
    return back if back != sentence else _SPEAKS_OF_ALL.sub(f"in tile {letter} ", sentence)


def _letter(letter: str) -> str:
    """A capital that stands for a tile, in brackets or marks of stress or without."""
    other = "".join(rf"(?<!\b(?i:{word})\s)" for word in _NOT_TILES)
    behind = _BEHIND_A if letter == "A" else ""
    return rf"{other}(?<![\w'’-])[(\"'*]{{0,4}}{letter}(?![\w'’]|-\w){behind}[)\"'*]{{0,4}}"


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
    is_so = rf"{reference} (?:is|must be|has to be) (?:(?!not\b)\w+ ){{0,3}}?"
    parts = (
        rf"\banswer\b\W+(?:(?:is|must|should|would|will|has|to|be|therefore|thus|then|clearly)\W+)*{reference}",
        r"\b(?:correct|right|true|match\w*|best|choice|verdict|solution)\b[^,;:]{0,20}"
        rf"(?:\bis|\bbe|:)\s+{reference}",
        rf"{is_so}(?:correct|right|(?:best |only )?(?:match|fit)|it{ends})\b",
        rf"{is_so}(?:the (?:place|one|location|spot|closest|best|likeliest){ends}"
        r"|where (?:we are|the (?:panorama|photo|camera|picture))\b)",
        rf"\b(?:best|closest|strongest|likeliest) (?:{_NOUN}|one)\b[^;:]{{0,30}} (?:is|remains) {reference}\W*$",
        rf"\b(?:we are|I am) (?:looking at|standing in|in) {reference}{ends}",
        rf"\b(?:nothing|none|no {_NOUN}) (?:but|except) {reference} (?:survives|remains|fits|is left|qualifies)\b",
        rf"\b(?:except|but|other than|apart from) (?:for )?{reference},? (?:no|none|nothing)\b",
        rf"{reference} (?:it is\b|wins\b|beats (?:all|the)|ticks (?:every|all))",
        rf"\b(?:settles|decides) (?:it|this|the matter)\b\W+{reference}{ends}",
        rf"\b{_WHOLE} (?:\w+ )?{_FIT} (?:only |best )?(?:with |to )?{reference}{ends}",
        rf"\b(?:everything|all) (?:\w+ )?(?:in|on|about) {reference} (?:\w+ly )?{_FIT}\b",
        rf"\bin {reference},? {_WHOLE} (?:\w+ly )?{_FIT}\b",
        rf"\bin {reference},? (?:an?|the)?(?: \w+)? ?(?:match|fit)\W*$",
        rf"\bin favou?r of {reference}{ends}",
        rf"\b{_BOUND} {reference}",
        rf"{reference} (?:must|has to|can only) be (?:it|the (?:one|place|location)|where)\b",
        rf"^\W*(?:(?:so|thus|hence|therefore),? )?it(?: is|[’']s) {reference}{ends}",
        rf"{reference} (?:\w+ly )?{_FITS}(?: (?:best|well|alone))?{ends}",
        rf"{reference} (?:\w+ly )?{_FITS} (?:with |to )?{_WHOLE}(?: {_CERTAIN}|{ends})",
        rf"{reference} (?:match(?:es)?|fits?|aligns?|agrees?|corresponds?) {_CERTAIN} (?:with |to )?{_WHOLE}\b",
        rf"\bonly {reference} (?:{_FIT}|remains|is left|can|qualifies|makes sense|satisfies|survives)\b",
        rf"\b(?:leaves|leaving) (?:us with )?(?:only |just )?{reference}",
        rf"{reference} (?:alone )?(?:remains|is left){ends}",
        rf"\b(?:points?|leads?|pointing|leading|speaks?|argues?) (?:\w+ )?(?:to|for|towards?|at) {reference}{ends}",
        rf"{_TAKEN} {reference}",
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
