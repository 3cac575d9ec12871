"""Claims about a place found in free prose: what is said, of which kind, and where in the text.

Read are coordinates (decimal and in degrees), names of cities and countries, climate words and Köppen codes,
hemisphere, driving side, nearness of the sea, and relief. A passage that is not asserted (:mod:`.scope`) is no claim.
Not understood: pronouns and irony, demonyms (``Japanese signs``), denials of a property (``not coastal`` makes no claim
of ``inland``), regions and continents, and names outside the vocabulary.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from geor1.synthesis.teacher import patterns
from geor1.synthesis.teacher.scope import Scopes
from geor1.synthesis.teacher.vocabulary import Name, Names, plain

KINDS = ("coordinates", "latitude", "longitude", "city", "country", "climate", "koppen", "hemisphere", "driving_side",
         "coast", "relief")  # fmt: skip
MAX_CHARS = 20_000
"""Characters of a text that are read, which bounds the time that any text can take; a longer chain is not kept."""


class Mention(NamedTuple):
    """Something claimed.

    Attributes:
        start: First character in the text.
        end: Behind the last one.
        kind: One of ``KINDS``; ``place`` for a name of both a city and a country.
        value: What is claimed, e.g. ``41.3800 2.1700``, ``left``, ``coastal``, a folded name.
    """

    start: int
    end: int
    kind: str
    value: str


def find_claims(text: str, names: Names) -> list[Mention]:
    """Claims of a text, in order of their place.

    Args:
        text: Prose; read up to ``MAX_CHARS``.
        names: Names to look for.

    Returns:
        Asserted claims; none overlaps another of its kind.

    >>> found = find_claims("Traffic keeps left, unlike Spain, so this is Sydney.", Names())
    >>> [(claim.kind, claim.value) for claim in found]
    [('driving_side', 'left'), ('city', 'sydney')]
    """
    text = plain(text[:MAX_CHARS])
    scopes = Scopes(text)
    named = list(names.find(text))
    found = [*_positions(text, scopes), *_places(text, scopes, named), *_climates(text, scopes)]
    found += _others(text, scopes, named)
    kept: list[Mention] = []
    taken: dict[str, int] = {}
    for mention in sorted(found, key=lambda one: (one.start, -one.end)):
        if mention.start >= taken.get(mention.kind, 0):
            kept.append(mention)
            taken[mention.kind] = mention.end
    return kept


def _positions(text: str, scopes: Scopes) -> Iterator[Mention]:
    """Latitude and longitude beside each other, in either order, are one claim of coordinates."""
    taken = 0
    angles = sorted({*_angles(text), *_labelled(text)})
    for place, angle in enumerate(angles):
        if angle.start < taken or not scopes.asserted(angle.start, angle.end):
            continue
        taken = angle.end
        following = next((one for one in angles[place + 1 : place + 3] if one.start >= angle.end), None)
        if following and following.kind != angle.kind and _beside(text[angle.end : following.start]):
            values = {one.kind: one.value for one in (angle, following)}
            taken = following.end
            yield Mention(angle.start, taken, "coordinates", f"{values['latitude']} {values['longitude']}")
        else:
            yield angle
    for match in patterns.DECIMALS.finditer(text):
        exact = all(len(match[name].partition(".")[2]) >= 2 for name in ("lat", "lon"))  # 3.5, 4.2 may be metres
        said = patterns.SAID_TO_BE_DEGREES.search(text[max(0, match.start() - 60) : match.start()]) is not None
        if (exact or said) and scopes.asserted(match.start(), match.end()):
            values_deg = [_number(match[name]) for name in ("lat", "lon")]
            if not said and (abs(values_deg[0]) > 90.0 or abs(values_deg[1]) > 180.0):
                continue  # nothing says that these numbers are degrees
            yield Mention(match.start(), match.end(), "coordinates", f"{values_deg[0]:.4f} {values_deg[1]:.4f}")


def _beside(between: str) -> bool:
    return len(patterns.AXIS_LABEL.sub("", between)) <= 12


def _number(digits: str) -> float:
    return float(digits.replace("−", "-"))


def _angles(text: str) -> Iterator[Mention]:
    return (angle for match in patterns.ANGLE.finditer(text) if (angle := _angle(match)))


def _labelled(text: str) -> Iterator[Mention]:
    for match in patterns.LABELLED.finditer(text):
        angle = patterns.ANGLE.match(text, match.start("deg"))
        if angle and _angle(angle):
            continue
        kind = "latitude" if match["axis"].lower() == "lat" else "longitude"
        value, end, letter = _number(match["deg"]), match.end(), (match["hem"] or "")[:1].upper()
        if letter and letter in ("NS" if kind == "latitude" else "EW"):
            value = -abs(value) if letter in "SW" else abs(value)
        elif letter:
            end = match.start("hem")
        yield Mention(match.start(), len(text[:end].rstrip()), kind, f"{value:.4f}")


def _angle(match: re.Match[str]) -> Mention | None:
    """One signed angle; None where a bare number stands before a compass point (``Route 41 N``)."""
    if match["mark"] is None and ("." not in match["deg"] or len(match["hem"]) > 1):
        return None
    degrees = abs(_number(match["deg"]))
    degrees += float(match["min"] or 0) / 60 + float(match["sec"] or 0) / 3600
    letter = match["hem"][0].upper()
    value = -degrees if letter in "SW" else degrees
    return Mention(match.start(), match.end(), "latitude" if letter in "NS" else "longitude", f"{value:.4f}")


def _places(text: str, scopes: Scopes, found: Sequence[Name]) -> Iterator[Mention]:
    for name in found:
        if _means_the_place(text, scopes, name):
            yield Mention(name.start, name.end, name.kind, name.key)
    for match in patterns.CALLED_CITY.finditer(text):
        start, end = match.span("name")
        place = bisect.bisect_left(found, end, key=lambda name: name.start)
        apart = place == 0 or found[place - 1].end <= start
        if apart and scopes.asserted(start, end, name=True):
            yield Mention(start, end, "city", match["name"].casefold())


def _means_the_place(text: str, scopes: Scopes, name: Name) -> bool:
    before, after = text[max(0, name.start - 40) : name.start], text[name.end : name.end + 60]
    if patterns.STREET_AFTER.match(after) or patterns.STREET_BEFORE.search(before):
        return False
    if name.doubtful and not (patterns.WORD_OF_PLACE.search(before) or re.match(r",\s+[A-Z]", after)):
        return False
    first, _ = scopes.sentence(name.start)
    opening = text[first : name.start]
    if not opening.strip() and patterns.GENERAL_SUBJECT.match(after):
        return False
    if patterns.GENERAL_OPENING.match(opening) and re.match(r"(?:’s|'s)?\s*,", after):
        return False
    return scopes.asserted(name.start, name.end, name=True)


def _climates(text: str, scopes: Scopes) -> Iterator[Mention]:
    for pattern in (patterns.CLIMATE_BEFORE, patterns.CLIMATE_AFTER, patterns.CLIMATE_PLACE):
        for match in pattern.finditer(text):
            start, end = match.span("word")
            if scopes.asserted(start, end):
                yield Mention(start, end, "climate", re.sub(r"\bsemi[- ]", "semi-", match["word"].lower()))
    for match in patterns.KOPPEN.finditer(text):
        near = text[max(0, match.start() - 40) : match.end() + 25]
        if match["word"] in patterns.SHORT_CODES and not patterns.KOPPEN_CONTEXT.search(near):
            continue
        if scopes.asserted(*match.span()) or text[match.start() - 1 : match.start()] == "(":
            yield Mention(match.start(), match.end(), "koppen", match["word"])


def _others(text: str, scopes: Scopes, named: Sequence[Name]) -> Iterator[Mention]:
    for match in patterns.HEMISPHERE.finditer(text):
        side = (match["side"] or match["side2"] or match["side3"]).lower()
        if scopes.asserted(*match.span()):
            yield Mention(match.start(), match.end(), "hemisphere", side)
    for pattern in (*patterns.DRIVING, patterns.WHEEL):
        for match in pattern.finditer(text):
            side = match["side"].lower()
            side = {"left": "right", "right": "left"}[side] if pattern is patterns.WHEEL else side
            if scopes.asserted(*match.span()) and not _of_a_country(text, scopes, match.start(), named):
                yield Mention(match.start(), match.end(), "driving_side", side)
    for kind, pairs in (("coast", patterns.COAST), ("relief", patterns.RELIEF)):
        for pattern, value in pairs:
            for match in pattern.finditer(text):
                if scopes.asserted(*match.span()):
                    yield Mention(match.start(), match.end(), kind, value)


def _of_a_country(text: str, scopes: Scopes, start: int, named: Sequence[Name]) -> bool:
    """Whether what follows is said of a country by name (``Japan drives on the left``, ``In Japan, traffic …``)."""
    first, _ = scopes.sentence(start)
    low, high = (bisect.bisect_left(named, place, key=lambda name: name.start) for place in (first, start))
    for name in named[low:high]:
        if name.end <= start:
            opens = patterns.GENERAL_OPENING.match(text[first : name.start]) and text[name.end : name.end + 1] == ","
            if opens or not text[name.end : start].strip():
                return True
    return False
