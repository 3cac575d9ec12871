"""Which option a completion names: exactly one, or none.

The answer is free text (``C``, ``(C)``, ``**C**``, ``Image C``, ``C: the one with the lake``), and the reader decides
what a policy can earn, so it errs on the strict side: more than one option named never yields an option, and the
articles and pronouns of prose are never taken for options A and I.
"""

from __future__ import annotations

import html
import re
import string
import unicodedata
from collections.abc import Sequence

from geor1.answers.blocks import ParseFailure, answer_block

_REACH = 80  # characters on either side of a letter that say what it stands for
_LATIN = "A-Za-z\u00c0-\u024f"
# What may not touch a letter that stands alone. Chinese or Japanese characters may: 答案是C.
_EDGE = rf"{_LATIN}0-9°\u0370-\u03ff\u0400-\u052f"
_LONE_LETTER = re.compile(rf"(?<![{_EDGE}])([A-Za-z])(?![{_EDGE}])")
_NEXT_WORD = re.compile(rf"[ \t]+([{_LATIN}]{{2,}}|[{_LATIN}]-[{_LATIN}]{{3,}})")
_ARTICLE_BEFORE_LETTER = re.compile(rf"[ \t]+[A-Z](?![{_EDGE}])")
_SENTENCE_START = re.compile(r"(?:^|[.!?:\n])[\s\"'(\[{*_]*$")
# C-shaped. A closed list, since an open one would hide the A of "A-or B".
_COMPOUND = re.compile(r"-(?:shaped?|class|roads?|junctions?|mail|frame|type|like|level|grade|turn|bend)(?![A-Za-z])")

_NOUN = (
    r"(?:images?|options?|tiles?|candidates?|choices?|satellites?|pictures?|photos?|letters?|labels?|views?|maps?"
    r"|imagen|imagem|opción|opci[oó]n|opção|opzione|bild|kachel|tuile|选项|選項|图像|图片|圖片|图|画像|選択肢|옵션|이미지)"
)
_AFTER_NOUN = re.compile(rf"(?<![{_LATIN}]){_NOUN}[\s_*#(\"'\[{{-]*$", re.IGNORECASE)
_AFTER_CONJUNCTION = re.compile(rf"(?:(?<![{_LATIN}])(?:or|and|nor|oder|und|ou|et)\s+|[,/&|+;]\s*)$", re.IGNORECASE)

# Words that can follow an option letter and cannot follow an article: "A matches best", but "A tile with water".
_AFTER_OPTION_TEXT = """is was are because since as for with and or but not nor than instead which that would should
must does cannot can matches match shows has have fits fit looks seems contains corresponds agrees being due by clearly
certainly obviously definitely the this it here over rather to vs versus though although where only also if in on at
est es ist und oder et ou porque weil car ya pois"""
_AFTER_OPTION = frozenset(_AFTER_OPTION_TEXT.split())
_AFTER_LETTER_I_TEXT = "is and or but because since matches shows has fits looks seems contains corresponds"
_AFTER_LETTER_I = frozenset(_AFTER_LETTER_I_TEXT.split())

_TAKEN_BACK_BEFORE = re.compile(
    rf"(?:(?<![{_LATIN}])(?:not|never|except|excluding|without|but|either|neither|both|nicht|kein|pas|non|no es|não)"
    rf"|n't|不是|不选|除了|не)\s*(?:(?:for|the|be|is|it|la|die)\s+)*(?:{_NOUN})?[\s_*:(\"'\[{{-]*$",
    re.IGNORECASE,
)
_TAKEN_BACK_AFTER = re.compile(
    r"[\s*_)\"'\]}]*(?:(?:or|oder|ou|或)(?![A-Za-z])"
    r"|(?:is|does|can|do|are|was)(?:\s+not\b|n't\b|not\b)|is\s+(?:wrong|incorrect|false)\b|不是|不对)",
    re.IGNORECASE,
)
_BUT_ADVERSATIVE = re.compile(r"(?:^|[^a-z])but\s*(?:(?:for|the|is|it)\s+)*$", re.IGNORECASE)
_EVERYTHING_BUT = re.compile(r"\b(?:all|any|anything|everything|none|nothing)\s+but\b", re.IGNORECASE)
_ALL_OF_THEM = re.compile(r"\b(?:all|any|both|either|every|each)\b|所有|全部|都", re.IGNORECASE)
_ABBREVIATION = re.compile(r"\b(?:e\.\s?g|i\.\s?e|a\.k\.a|a\.m|p\.m|U\.S(?:\.A)?|U\.K|[Nn]/[Aa])\b\.?")

_INVISIBLE = {"Cf", "Mn", "Cc"}
_ENCLOSED = {
    first + index: letter
    for first in (0x1F150, 0x1F170, 0x1F1E6)  # negative circled, negative squared, regional indicator letters
    for index, letter in enumerate(string.ascii_uppercase)
}
_QUOTES = str.maketrans(
    {"‘": "'", "’": "'", "ʼ": "'", "“": '"', "”": '"', "„": '"', "«": '"', "»": '"', "‐": "-", "‑": "-"}
)


def parse_choice(completion: str, letters: Sequence[str]) -> str | ParseFailure:
    """The one option that the last answer block names.

    Args:
        completion: As generated; text outside the last answer block is ignored.
        letters: The options offered, single capitals, e.g. ``"ABCDE"``.

    Returns:
        One of ``letters``, or EMPTY, NO_ANSWER, UNFINISHED, HEDGED (two named, or one taken back), UNKNOWN_OPTION.

    Raises:
        ValueError: ``letters`` is empty, has duplicates, or something other than single capitals A-Z.

    >>> parse_choice("<think> ... </think> <answer> **C**: the one with the lake </answer>", "ABCDE")
    'C'
    >>> parse_choice("<answer> A, B, C, D </answer>", "ABCDE")
    <ParseFailure.HEDGED: 'hedged'>
    >>> parse_choice("<answer> a tile with water </answer>", "ABCDE")
    <ParseFailure.UNKNOWN_OPTION: 'unknown_option'>
    """
    options = _check_letters(letters)
    block = answer_block(completion)
    if isinstance(block, ParseFailure):
        return block
    text = _plain_text(block)
    if not any(character.isalnum() for character in text):
        return ParseFailure.EMPTY
    if _is_run_of_options(text, options):
        return ParseFailure.HEDGED
    text = _ABBREVIATION.sub("…", text)
    mentions = [match for match in _LONE_LETTER.finditer(text) if _is_mention(text, match, options)]
    named = {match.group().upper() for match in mentions}
    if len(named) > 1 or (named and named != {"A"} and _has_a_in_mid_sentence(text, options)):
        return ParseFailure.HEDGED
    if not named & options:
        return ParseFailure.HEDGED if not named and _ALL_OF_THEM.search(text) else ParseFailure.UNKNOWN_OPTION
    if any(_is_taken_back(text, match) for match in mentions):
        return ParseFailure.HEDGED
    return named.pop()


def _check_letters(letters: Sequence[str]) -> set[str]:
    options = set(letters)
    if not options or len(options) != len(letters) or not options <= set(string.ascii_uppercase):
        raise ValueError(f"letters: expected distinct single capitals such as 'ABCDE', got {letters!r}")
    return options


def _plain_text(block: str) -> str:
    """The block without markup, in plain Latin letters where Unicode offers variants of them."""
    text = unicodedata.normalize("NFKC", html.unescape(block).translate(_ENCLOSED)).translate(_QUOTES)
    text = "".join(c for c in text if c in "\n\t" or unicodedata.category(c) not in _INVISIBLE)
    text = re.sub(r"<\s*([A-Za-z])(?:\s[^<>]*)?>(.*?)<\s*/\s*\1\s*>", r"*\2*", text, flags=re.DOTALL)
    text = re.sub(r"<\s*/?\s*(?:[A-Za-z][A-Za-z0-9]+|[A-Za-z]\s+[^<>]*=)[^<>]*>", "*", text)
    text = re.sub(r"\\[A-Za-z]+", " ", text)
    return text.strip()


def _is_run_of_options(text: str, options: set[str]) -> bool:
    """Whether the whole answer is several option letters written together, as in ``ABCDE``."""
    run = re.sub(r"[\W_]", "", text)
    whole = re.fullmatch(r"[\W_]*[A-Za-z]{2,}[\W_]*", text) is not None
    return whole and set(run.upper()) <= options and len(set(run.upper())) == len(run)


def _is_mention(text: str, match: re.Match[str], options: set[str]) -> bool:
    """Whether a letter standing alone names an option, rather than being a word or a part of one."""
    letter, before, after = match.group(), _just_before(text, match), text[match.end() : match.end() + _REACH]
    if letter.upper() not in options and (letter.islower() or letter == "I"):
        return False
    if _COMPOUND.match(after):  # C-shaped
        return False
    if re.search(rf"[{_EDGE}]'$", before):  # isn't
        return False
    if after.startswith("'") and not before.endswith("'"):  # C'est, but not B's
        return re.match(rf"'s(?![{_EDGE}])", after) is not None
    return not _is_prose_word(letter, before, after)


def _is_prose_word(letter: str, before: str, after: str) -> bool:
    """Whether a lone letter is an article, a pronoun or another one-letter word."""
    if (letter.isupper() and letter not in "AI") or _AFTER_NOUN.search(before):
        return False
    if letter == "a" and _ARTICLE_BEFORE_LETTER.match(after):  # "é a C"
        return True
    word = _NEXT_WORD.match(after)
    if word is None:
        return False
    if letter in "iI":
        return word.group(1).lower() not in _AFTER_LETTER_I
    if letter not in "aA" and _AFTER_CONJUNCTION.search(before):
        return False
    return word.group(1).lower() not in _AFTER_OPTION


def _just_before(text: str, match: re.Match[str]) -> str:
    return text[max(0, match.start() - _REACH) : match.start()]


def _has_a_in_mid_sentence(text: str, options: set[str]) -> bool:
    """Whether a capital A stands where an article would be small: too doubtful to choose A, enough to spoil others."""
    letters = (match for match in _LONE_LETTER.finditer(text) if match.group() == "A")
    return "A" in options and any(not _SENTENCE_START.search(_just_before(text, match)) for match in letters)


def _is_taken_back(text: str, match: re.Match[str]) -> bool:
    """Whether the words around a named option deny it or leave it open: ``not C``, ``either C``, ``C is wrong``."""
    before = _just_before(text, match)
    if _TAKEN_BACK_AFTER.match(text, match.end()):
        return True
    if _BUT_ADVERSATIVE.search(before):  # "hard to say, but C" stands; "anything but C" does not
        return _EVERYTHING_BUT.search(before) is not None
    return _TAKEN_BACK_BEFORE.search(before) is not None
