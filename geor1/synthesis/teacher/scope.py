"""Whether a passage asserts what it says of the place shown, or denies it, compares with it, or weighs it.

A passage is looked at within its clause. Not asserted: what is negated (``not in Brazil``, ``unlike Japan``, ``Chile
can be ruled out``), compared (``similar to Lisbon``, ``as in Spain``), supposed (``might be Peru``), one of several
(``Spain or Portugal``), asked, or quoted (a sign's text). ``likely`` and ``suggests`` do assert.
"""

from __future__ import annotations

import bisect
import re

_SENTENCE_END = re.compile(r"(?<!\bSt)(?<!\be\.g)(?<!\bi\.e)(?<!\bapprox)(?<!\bvs)(?<!\bDr)[.!?](?=\s|$|[\"')\]])|\n+")
_CLAUSE_END = re.compile(
    r"[;:()—–]|,|\s-\s|(?<=excluded )by\b|(?<=ruled out )by\b|(?<=eliminated )by\b|\b(?:but|however|although|"
    r"though|while|whereas|yet|so|therefore|hence|thus|which|because|since)\b",
    re.IGNORECASE,
)
_DENIED_BEFORE = re.compile(
    r"\b(?:not|no|none|nothing|never|neither|nor|without|hardly|cannot|unlike|instead of|rather than|rules? out|"
    r"ruled out|ruling out|"
    r"excludes?|excluding|excluded|eliminates?|eliminating|eliminated|unlikely|far from being|opposed to|different "
    r"from|"
    r"differs? from|in contrast (?:to|with)|contrary to|except|other than|than|rejects?|dismiss\w*)\b|n[’']t\b",
    re.IGNORECASE,
)
_COMPARED_BEFORE = re.compile(
    r"\b(?:like|recalls?|recalling|evokes?|evoking|echo\w*|flights?|tickets?|advertis\w+|similar to|similarly to|"
    r"resembl\w+|reminiscent of|remind\w* (?:\w+ )?of|comparable (?:to|with)|"
    r"compared (?:to|with)|as in|such as|same as|typical (?:of|for|in)|characteristic (?:of|for)|common (?:in|"
    r"across|to|"
    r"throughout)|found (?:in|across|throughout)|seen (?:in|across)|associated with|known from|familiar from|used in|"
    r"widespread in|imported from|made in|in the style of|influence of|influenced by|inspired by|countries|nations|"
    r"cities (?:in|of|across|with|that)|places|elsewhere)\b",
    re.IGNORECASE,
)
_SUPPOSED_BEFORE = re.compile(
    r"\b(?:may|might|could|can be|possibly|perhaps|maybe|would|if|whether|either|suppose|supposing|assuming|imagine|"
    r"candidates?|possibilit\w+|one might|first thought|at first|initially|tempting)\b",
    re.IGNORECASE,
)
_NO_DENIAL = re.compile(
    r"\b(?:no|without(?: a)?|beyond) (?:doubt|question)|not only|none other than\b|\bmore than (?:likely|probably)\b"
    r"|\bmore likely than not\b|\b(?:could|can|may|might|would) only (?=be\b|have been\b|lie\b)"
    r"|(?<=\w\s)(?-i:May)\b(?! (?:be|have)\b)"  # the month
    r"|\bno\s+(?!(?:signs?|evidence|indications?|hints?|traces?|reason|way|resemblance|part|match|longer|place|city|"
    r"country|connection|links?|similarity)\b)[\w-]+\s+(?:on|in|along|over|at|near)\s+(?:the|these|those)\s+[\w-]+\s+"
    r"(?=of\b)",  # the snow is denied, not whose streets they are
    re.IGNORECASE,
)
_NEW_CLAUSE = re.compile(
    r"\band\s+(?=(?:(?:the|this|that|these|those|its|a)\s+(?:[\w-]+\s+){1,3}?|(?:it|we|they|there|here|I|this|traffic|"
    r"cars|vehicles|drivers)\s+)(?:is|are|was|were|lies?|must|has|have|points?|fits?|suggests?|keeps?|drives?|indicates?|"
    r"shows?|looks?|seems?|appears?|belongs?|speaks?|conclude|stands?)\b)",
    re.IGNORECASE,
)
_CONDITION = re.compile(r"\b(?:if|whether|suppos\w+|assuming|imagine)\b", re.IGNORECASE)
_DENIED_AFTER = re.compile(
    r"^[’']?s?\s*(?:,\s*)?(?:itself\s+)?(?:(?:is|are|was|were|can|could|would|seems?|does|do|did|has "
    r"been)\b[^.;:]{0,25}?"
    r"(?:ruled out|excluded|unlikely|eliminated|impossible|out of the question|\bnot\b)|(?:is|are|was|does|do|did|can|"
    r"could|would)n[’']t\b|less likely)",
    re.IGNORECASE,
)
_OR_AFTER = re.compile(r"^(?:\s*,\s*(?:[A-Z][\w’' -]*,\s*)*)?\s+(?:and/or|or)\s", re.IGNORECASE)
_OR_BEFORE = re.compile(r"\b(?:or|and/or)\s+(?:in |the |even |perhaps |a |an )*$", re.IGNORECASE)
_WEIGHED_AFTER = re.compile(r"^\s*(?:are|is)\s+(?:all\s+|both\s+)?(?:candidates?|possible|conceivable|plausible)", re.I)


_REACH = 400
"""Characters looked at on either side, which bounds the time that an endless sentence can take."""


class Scopes:
    """Sentences, clauses and quotations of one text.

    Args:
        text: The text; places are counted in its characters.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._sentence_ends = [match.end() for match in _SENTENCE_END.finditer(text)]
        marks = [index for index, character in enumerate(text) if character in '"“”']
        self._quoted = list(zip(marks[::2], marks[1::2], strict=False))

    def sentence(self, start: int) -> tuple[int, int]:
        """First and last character (excluded) of the sentence around a place, as far as it is looked at."""
        place = bisect.bisect_right(self._sentence_ends, start)
        first = self._sentence_ends[place - 1] if place else 0
        last = self._sentence_ends[place] if place < len(self._sentence_ends) else len(self.text)
        return max(first, start - _REACH), min(last, start + _REACH)

    def before(self, start: int, *, list_of_names: bool = False) -> str:
        """The clause up to a place; with ``list_of_names``, commas right before a capital do not end it."""
        first, _ = self.sentence(start)
        text = self.text[first:start]
        cut = 0
        for mark in _CLAUSE_END.finditer(text):
            follows = text[mark.end() :].lstrip() or self.text[start : start + 1]
            listed = list_of_names and mark[0] == "," and re.match(r"(?:(?:or|and|nor) )?[A-Z]", follows)
            if not listed:
                cut = mark.end()
        for mark in _NEW_CLAUSE.finditer(self.text, first + cut, start):
            if not _CONDITION.search(text, cut, mark.start() - first):  # a condition holds for both halves
                cut = mark.end() - first
        return _NO_DENIAL.sub("", text[cut:])

    def after(self, end: int) -> str:
        """The rest of the sentence behind a place."""
        _, last = self.sentence(max(0, end - 1))
        return self.text[end:last]

    def asserted(self, start: int, end: int, *, name: bool = False) -> bool:
        """Whether the characters ``start`` to ``end`` are asserted of the place shown.

        Args:
            start: First character.
            end: Behind the last one.
            name: Whether it is the name of a place, which may stand in a list.
        """
        _, last = self.sentence(start)
        if self.text[start:last].rstrip().endswith("?") or self._in_quotes(start, end):
            return False
        before, after = self.before(start, list_of_names=name), self.after(end)
        refused = (_DENIED_BEFORE, _COMPARED_BEFORE, _SUPPOSED_BEFORE)
        if any(pattern.search(before) for pattern in refused) or _OR_BEFORE.search(before):
            return False
        return not (_DENIED_AFTER.match(after) or _OR_AFTER.match(after) or _WEIGHED_AFTER.match(after))

    def _in_quotes(self, start: int, end: int) -> bool:
        place = bisect.bisect_right(self._quoted, (start, len(self.text)))
        return place > 0 and self._quoted[place - 1][1] >= end
