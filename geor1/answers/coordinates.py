"""Latitude and longitude from free text: decimals, degrees-minutes-seconds, hemisphere letters and words.

Nothing is guessed: latitude comes first unless the text says otherwise, values out of range are reported and never
swapped or wrapped, and a text with more than one position names none.
"""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

from geor1.answers.blocks import ParseFailure, answer_block


class Coordinates(NamedTuple):
    """A position, WGS84.

    Attributes:
        latitude_deg: In [-90, 90], north positive.
        longitude_deg: In [-180, 180], east positive.
    """

    latitude_deg: float
    longitude_deg: float


_HEMISPHERES = {
    word: (axis, sign)
    for axis, sign, words in (
        ("latitude", 1, "n north northern nord norte 北纬 北緯"),
        ("latitude", -1, "s south southern sud sur sul süd 南纬 南緯"),
        ("longitude", 1, "e east eastern est este leste ost 东经 東経 东經"),
        ("longitude", -1, "w west western ouest oeste ovest 西经 西経 西經"),
    )
    for word in words.split()
}
_AXES = {
    "latitude": "latitude latitud latitudine lat 纬度 緯度",
    "longitude": "longitude longitud longitudine long lon lng 经度 経度",
}
_AXIS_OF = {word: axis for axis, words in _AXES.items() for word in words.split()}


def _alternation(words: list[str]) -> str:
    return "|".join(sorted((re.escape(word) for word in words), key=len, reverse=True))


_AXIS = rf"(?:{_alternation(list(_AXIS_OF))})"
_HEMISPHERE_WORD = rf"(?:{_alternation([word for word in _HEMISPHERES if len(word) > 1])})"
_SEPARATOR = r"[\"'*_`]*\s*(?:[:=]|\bis\b|\bof\b)?\s*[\"'*_`]*\s*"
_NUMBER = r"[+-]?\d++(?:\.\d++)?+|[+-]?\.\d++"
_DEGREE = r"(?:°|(?:degrees?|degs?|grados?|graus?|grad|degrés?|gradi|d)(?![^\W\d_])|度)"
_MINUTE = r"(?:'|(?:minutes?|min|m)(?![^\W\d_])|分)"
_SECOND = r"(?:\"|''|(?:seconds?|sec|s)(?![^\W\d_])|秒)"
# One angle. Order of the alternatives of the suffix: words, a capital standing alone, a small letter touching it.
_ANGLE = re.compile(
    rf"""(?:(?<![^\W\d_])(?P<axis>{_AXIS}){_SEPARATOR})?
    (?:(?<![^\W\d_])(?:(?P<prefix_word>{_HEMISPHERE_WORD})\s*|(?P<prefix>(?-i:[NSEW])){_SEPARATOR}))?
    (?(prefix)|(?(prefix_word)|(?<![\w.])))(?P<degrees>{_NUMBER})(?!\.?\d)
    (?:\s*(?P<unit>{_DEGREE})(?:\s*(?P<minutes>\d+(?:\.\d+)?)\s*{_MINUTE}
        (?:\s*(?P<seconds>\d+(?:\.\d+)?)\s*{_SECOND})?)?)?
    (?(prefix)|(?(prefix_word)|(?:
        \s*(?P<word>{_HEMISPHERE_WORD})(?![^\W\d_])
        |\s*(?P<capital>(?-i:[A-Z]))(?!\w)
        |(?P<small>[nsew])(?!\w))?))
    (?(axis)|(?:\s*(?P<axis_after>{_AXIS})(?![^\W\d_])(?!{_SEPARATOR}[+-]?\.?\d))?)
    (?![^\W\d_])""",
    re.IGNORECASE | re.VERBOSE,
)
_OTHER_UNITS = re.compile(
    r"(?<![\d.])\d++(?:\.\d++)?+\s*+(?:km|kilomet\w+|miles?|met(?:er|re)s?|%)(?!\w)", re.IGNORECASE
)
# What a trained model nearly always writes; read at a third of the cost, to the same result.
_TWO_NUMBERS = re.compile(r"([+-]?\d{1,9}(?:\.\d+)?) ?, ?([+-]?\d{1,9}(?:\.\d+)?)", re.ASCII)
_MINUS = str.maketrans({"−": "-", "﹣": "-", "－": "-", "‐": "-", "‑": "-"})
_MARKS = str.maketrans(
    {
        "º": "°",
        "˚": "°",
        "′": "'",
        "’": "'",
        "‘": "'",
        "ʹ": "'",
        "″": '"',
        "”": '"',
        "“": '"',
        "ʺ": '"',
        "，": ",",
        "、": ",",
    }
)


class _Angle(NamedTuple):
    axis: str | None
    degrees: float


def parse_coordinates(completion: str) -> Coordinates | ParseFailure:
    """The one position that the last answer block names.

    Args:
        completion: As generated; text outside the last answer block is ignored.

    Returns:
        Coordinates in range, or EMPTY, NO_ANSWER, UNFINISHED, NO_COORDINATES (none, one only, or contradictory),
        HEDGED (more than one position), OUT_OF_RANGE (perhaps swapped: it is not for the reader to guess).

    >>> parse_coordinates("<answer> 23 , -102 </answer>")
    Coordinates(latitude_deg=23.0, longitude_deg=-102.0)
    >>> parse_coordinates("<answer> 33°52'10\\" S, 151°12'30\\" E </answer>").latitude_deg  # doctest: +ELLIPSIS
    -33.86944...
    >>> parse_coordinates("<answer> -102 , 23 </answer>")
    <ParseFailure.OUT_OF_RANGE: 'out_of_range'>
    """
    block = answer_block(completion)
    if isinstance(block, ParseFailure):
        return block
    plain = _TWO_NUMBERS.fullmatch(block)
    return _check_range(float(plain[1]), float(plain[2])) if plain else _read_any(block)


def _read_any(block: str) -> Coordinates | ParseFailure:
    """The one position that a text names in whatever form."""
    text = _plain_text(block)
    if not any(character.isalnum() for character in text):
        return ParseFailure.EMPTY
    if re.search(r"\d\s+-\s+\d", text):  # "23 - 102": minus or dash?
        return ParseFailure.NO_COORDINATES
    angles = []
    for match in _ANGLE.finditer(text):
        angle = _read_angle(match)
        if angle is None:
            return ParseFailure.NO_COORDINATES
        angles.append(angle)
    return _pair(angles)


def _plain_text(block: str) -> str:
    text = unicodedata.normalize("NFKC", block.translate(_MINUS).translate(_MARKS))
    text = re.sub(r"(?<![\d)])[–—]\s*(?=\.?\d)", "-", text)  # a dash before a number, with none before it, is a minus
    text = re.sub(r"(^|[,;:(\[=])\s*([+-])\s+(?=\.?\d)", r"\1 \2", text)  # "23 , - 102"
    text = _OTHER_UNITS.sub(" ", text)
    if text.count(";") == 1 and "." not in text:
        text = re.sub(r"(?<=\d),(?=\d)", ".", text)  # decimal commas: 23,5; -102,3
    return text


def _read_angle(match: re.Match[str]) -> _Angle | None:
    """Signed degrees and axis of one match, None if it contradicts itself."""
    parts = match.groupdict()
    degrees, minutes, seconds = (float(parts[name] or 0) for name in ("degrees", "minutes", "seconds"))
    if minutes >= 60 or seconds >= 60 or (parts["minutes"] and degrees != int(max(-1e9, min(degrees, 1e9)))):
        return None
    negative = parts["degrees"].startswith("-")
    magnitude = abs(degrees) + minutes / 60 + seconds / 3600
    axis_word = parts["axis"] or parts["axis_after"]
    axis = _AXIS_OF[axis_word.lower()] if axis_word else None
    hemisphere = next((parts[k] for k in ("prefix_word", "prefix", "word", "capital", "small") if parts[k]), None)
    if hemisphere is None:
        return _Angle(axis, -magnitude if negative else magnitude)
    if hemisphere.lower() not in _HEMISPHERES:
        return None
    hemisphere_axis, sign = _HEMISPHERES[hemisphere.lower()]
    if (negative and sign > 0) or (axis is not None and axis != hemisphere_axis):
        return None
    return _Angle(hemisphere_axis, sign * magnitude)


def _pair(angles: list[_Angle]) -> Coordinates | ParseFailure:
    """Latitude and longitude out of all angles found, by their labels, else in this order."""
    latitudes = [angle.degrees for angle in angles if angle.axis == "latitude"]
    longitudes = [angle.degrees for angle in angles if angle.axis == "longitude"]
    if len(angles) > 2:
        return ParseFailure.HEDGED
    if len(angles) < 2 or len(latitudes) > 1 or len(longitudes) > 1:
        return ParseFailure.NO_COORDINATES
    first, second = angles
    if first.axis == "longitude" or second.axis == "latitude":
        first, second = second, first
    return _check_range(first.degrees, second.degrees)


def _check_range(latitude_deg: float, longitude_deg: float) -> Coordinates | ParseFailure:
    if abs(latitude_deg) > 90.0 or abs(longitude_deg) > 180.0:
        return ParseFailure.OUT_OF_RANGE
    return Coordinates(latitude_deg, longitude_deg)
