"""Facts that a chain of thought states, and how many of them hold.

Two forms, words separated by spaces, sentences ended by a lone full stop. Pairing compares direction by direction, then
says in how many directions each tile agrees with the ground::

    climate arid hemisphere north traffic right . north ground water A water same B forest other . ... .
    matches A 4 B 1 . so tile A

geolocation lists what is seen, then what it says of the place::

    north water east forest south houses west field . climate arid hemisphere north coast no . country South Africa

A sentence is read as far as it keeps to its form, so free prose states no facts rather than wrong ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from geor1.answers.blocks import think_span

DIRECTIONS = ("north", "east", "south", "west")
GEOGRAPHY_KEYS = ("climate", "koppen", "hemisphere", "traffic", "coast", "relief", "country_code")
_NAME_KEYS = ("country", "city")
MAX_CHAIN_CHARS = 20_000
"""Characters of a completion in which :func:`chain_spans` looks for facts, which bounds the time any text can take."""

_WORD = re.compile(r"\S+")
_MARKS = {"same": "yes", "other": "no"}
_MARK_SUFFIX = "_same"
_GROUND = "ground"
_MATCHES = "matches"
_RESERVED = frozenset((*DIRECTIONS, *GEOGRAPHY_KEYS, *_NAME_KEYS, *_MARKS, _GROUND, _MATCHES, "so", "tile"))


class StatedFact(NamedTuple):
    """One statement of a chain.

    Attributes:
        subject: ``ground``, or the letter of a candidate tile.
        key: A direction, a geography key, ``<direction>_same`` for a comparison of a tile with the ground, or
            ``matches`` for the number of directions in which they agree.
        value: As stated; ``yes`` or ``no`` for a comparison, a numeral for matches.
    """

    subject: str
    key: str
    value: str


class FactSpan(NamedTuple):
    """Where a completion states a fact.

    Attributes:
        start: Index of the first character.
        end: Index after the last one.
        fact: What is stated.
    """

    start: int
    end: int
    fact: StatedFact


_Found = tuple[int, int, StatedFact]  # first and last word of a sentence that state the fact


class FactCheck(NamedTuple):
    """Result of :func:`check_facts`.

    Attributes:
        n_stated: Facts that the metadata can test.
        n_true: How many of them hold.
        false: Those that do not.
    """

    n_stated: int
    n_true: int
    false: list[StatedFact]


def comparison(ground: Mapping[str, str], tiles: Mapping[str, Mapping[str, str]]) -> str:
    """Compare tiles with the ground, direction by direction, and count the matches of each.

    Args:
        ground: Feature in each of ``DIRECTIONS``.
        tiles: Letter -> feature in each of ``DIRECTIONS``.

    >>> here = {"north": "water", "east": "sand", "south": "field", "west": "forest"}
    >>> text = comparison(here, {"A": {**here, "north": "sand"}, "B": here})
    >>> text[:46], text[-19:]
    ('north ground water A sand other B water same .', '. matches A 3 B 4 .')
    """
    sentences = []
    for direction in DIRECTIONS:
        marks = " ".join(
            f"{letter} {facts[direction]} {'same' if facts[direction] == ground[direction] else 'other'}"
            for letter, facts in tiles.items()
        )
        sentences.append(f"{direction} {_GROUND} {ground[direction]} {marks}")
    counts = " ".join(f"{letter} {matches(ground, facts)}" for letter, facts in tiles.items())
    return " . ".join([*sentences, f"{_MATCHES} {counts}"]) + " ."


def matches(ground: Mapping[str, str], tile: Mapping[str, str]) -> int:
    """Number of directions, 0 to 4, in which a tile shows what the ground view shows."""
    return sum(ground[direction] == tile[direction] for direction in DIRECTIONS)


def stated_facts(completion: str) -> list[StatedFact]:
    """Facts stated in the think block, in order, each once.

    Args:
        completion: Whole or cut anywhere; a statement cut in half is passed over.

    Returns:
        Facts and comparisons; the chosen tile and the answer are not facts.

    >>> stated_facts("<think> hemisphere north . west ground sand B field other . so tile A </think>")[1:]
    [StatedFact(subject='ground', key='west', value='sand'), StatedFact(subject='B', key='west', value='field'), \
StatedFact(subject='B', key='west_same', value='no')]
    """
    return [span.fact for span in fact_spans(completion)]


def fact_spans(completion: str) -> list[FactSpan]:
    """The facts of :func:`stated_facts` with the place where each is first stated.

    Args:
        completion: Whole or cut anywhere.

    Returns:
        Spans in order, none overlapping another.

    >>> completion = "<think> north ground sand B field other . </think>"
    >>> [completion[span.start : span.end] for span in fact_spans(completion)]
    ['ground sand', 'B field', 'other']
    """
    spans: dict[StatedFact, FactSpan] = {}
    sentence: list[re.Match[str]] = []
    for word in [*_WORD.finditer(completion, *think_span(completion)), None]:
        if word is not None and word.group() != ".":
            sentence.append(word)
            continue
        for first, last, fact in _sentence_facts([each.group() for each in sentence]):
            spans.setdefault(fact, FactSpan(sentence[first].start(), sentence[last].end(), fact))
        sentence = []
    return list(spans.values())


def chain_spans(completion: str) -> list[FactSpan]:
    """As :func:`fact_spans`, of the first MAX_CHAIN_CHARS alone: of an endless completion, its first sentences."""
    if len(completion) > MAX_CHAIN_CHARS:
        completion = completion[:MAX_CHAIN_CHARS].rpartition(" . ")[0]
    return fact_spans(completion)


def check_facts(
    stated: Sequence[StatedFact],
    ground_facts: Mapping[str, str],
    candidate_facts: Mapping[str, Mapping[str, str]],
) -> FactCheck:
    """Hold stated facts against metadata.

    Args:
        stated: From :func:`stated_facts`.
        ground_facts: Metadata of the panorama's scene, key -> value.
        candidate_facts: Metadata of each tile by letter; empty for geolocation.

    Returns:
        Counts and the false facts. What the metadata does not know is not counted.

    >>> check_facts([StatedFact("ground", "north", "sand")], {"north": "water"}, {}).n_true
    0
    """
    held = [(fact, fact_holds(fact, ground_facts, candidate_facts)) for fact in stated]
    false = [fact for fact, holds in held if holds is False]
    n_stated = sum(holds is not None for _, holds in held)
    return FactCheck(n_stated, n_stated - len(false), false)


def fact_holds(
    fact: StatedFact, ground_facts: Mapping[str, str], candidate_facts: Mapping[str, Mapping[str, str]]
) -> bool | None:
    """Whether one stated fact agrees with the metadata; None where the metadata does not know."""
    truth = _truth(fact, ground_facts, candidate_facts)
    return None if truth is None else truth.casefold() == fact.value.casefold()


def _truth(
    fact: StatedFact, ground_facts: Mapping[str, str], candidate_facts: Mapping[str, Mapping[str, str]]
) -> str | None:
    facts = ground_facts if fact.subject == _GROUND else candidate_facts.get(fact.subject, {})
    if fact.key == _MATCHES:
        known = all(direction in view for direction in DIRECTIONS for view in (facts, ground_facts))
        return str(matches(ground_facts, facts)) if known else None
    if not fact.key.endswith(_MARK_SUFFIX):
        return facts.get(fact.key)
    direction = fact.key.removesuffix(_MARK_SUFFIX)
    if direction not in facts or direction not in ground_facts:
        return None
    return "yes" if facts[direction] == ground_facts[direction] else "no"


def _sentence_facts(words: list[str]) -> Iterator[_Found]:
    position = 0
    while position < len(words):
        start, word, rest = position, words[position], words[position + 1 :]
        position += 1
        if word in _NAME_KEYS:
            if rest:
                yield start, len(words) - 1, StatedFact(_GROUND, word, " ".join(rest))
            return
        if word in DIRECTIONS and rest and rest[0] == _GROUND:
            yield from _comparison_facts(words, position)
            return
        if word == _MATCHES:
            yield from _counts(words, position)
            return
        if word not in GEOGRAPHY_KEYS and word not in DIRECTIONS:
            return
        if rest and _is_value(word, rest[0]):
            yield start, position, StatedFact(_GROUND, word, rest[0])
            position += 1


def _comparison_facts(words: list[str], position: int) -> Iterator[_Found]:
    """Facts of ``ground <feature> A <feature> <mark> B …`` from ``position`` on; the word before is the direction."""
    direction = words[position - 1]
    subject: str | None = None
    for place in range(position, len(words)):
        word = words[place]
        if word == _GROUND or _is_letter(word):
            subject = word
        elif subject is None or word == "so":
            subject = None
        elif word in _MARKS:
            if subject != _GROUND:
                yield place, place, StatedFact(subject, direction + _MARK_SUFFIX, _MARKS[word])
            subject = None
        elif word not in _RESERVED:
            yield place - (words[place - 1] == subject), place, StatedFact(subject, direction, word)


def _counts(words: list[str], position: int) -> Iterator[_Found]:
    """Facts of ``A 4 B 1`` from ``position`` on."""
    for place in range(position, len(words) - 1, 2):
        letter, number = words[place : place + 2]
        if not (_is_letter(letter) and number.isdecimal()):
            return
        yield place, place + 1, StatedFact(letter, _MATCHES, number)


def _is_letter(word: str) -> bool:
    return len(word) == 1 and "A" <= word <= "Z"


def _is_value(key: str, word: str) -> bool:
    if key == "hemisphere":
        return word in ("north", "south") or word not in _RESERVED
    return word not in _RESERVED and not (len(word) == 1 and word.isupper())
