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

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from geor1.answers.blocks import think_block

DIRECTIONS = ("north", "east", "south", "west")
GEOGRAPHY_KEYS = ("climate", "koppen", "hemisphere", "traffic", "coast", "relief", "country_code")
_NAME_KEYS = ("country", "city")
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
    facts: dict[StatedFact, None] = {}
    sentence: list[str] = []
    for word in [*think_block(completion).split(), "."]:
        if word != ".":
            sentence.append(word)
            continue
        facts.update(dict.fromkeys(_sentence_facts(sentence)))
        sentence = []
    return list(facts)


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
    false: list[StatedFact] = []
    n_stated = 0
    for fact in stated:
        truth = _truth(fact, ground_facts, candidate_facts)
        if truth is None:
            continue
        n_stated += 1
        if truth.casefold() != fact.value.casefold():
            false.append(fact)
    return FactCheck(n_stated, n_stated - len(false), false)


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


def _sentence_facts(words: list[str]) -> Iterator[StatedFact]:
    position = 0
    while position < len(words):
        word, rest = words[position], words[position + 1 :]
        position += 1
        if word in _NAME_KEYS:
            if rest:
                yield StatedFact(_GROUND, word, " ".join(rest))
            return
        if word in DIRECTIONS and rest and rest[0] == _GROUND:
            yield from _comparison_facts(word, rest)
            return
        if word == _MATCHES:
            yield from _counts(rest)
            return
        if word not in GEOGRAPHY_KEYS and word not in DIRECTIONS:
            return
        if rest and _is_value(word, rest[0]):
            yield StatedFact(_GROUND, word, rest[0])
            position += 1


def _comparison_facts(direction: str, words: list[str]) -> Iterator[StatedFact]:
    """Facts of ``ground <feature> A <feature> <mark> B …`` within one direction."""
    subject: str | None = None
    for word in words:
        if word == _GROUND or _is_letter(word):
            subject = word
        elif subject is None or word == "so":
            subject = None
        elif word in _MARKS:
            if subject != _GROUND:
                yield StatedFact(subject, direction + _MARK_SUFFIX, _MARKS[word])
            subject = None
        elif word not in _RESERVED:
            yield StatedFact(subject, direction, word)


def _counts(words: list[str]) -> Iterator[StatedFact]:
    """Facts of ``A 4 B 1``."""
    for letter, number in zip(words[::2], words[1::2], strict=False):
        if not (_is_letter(letter) and number.isdecimal()):
            return
        yield StatedFact(letter, _MATCHES, number)


def _is_letter(word: str) -> bool:
    return len(word) == 1 and "A" <= word <= "Z"


def _is_value(key: str, word: str) -> bool:
    if key == "hemisphere":
        return word in ("north", "south") or word not in _RESERVED
    return word not in _RESERVED and not (len(word) == 1 and word.isupper())
