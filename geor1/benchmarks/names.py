"""When two names mean the same place or language: letter case, accents, punctuation and well-known other names.

A name that no table knows is compared as folded, so an unknown spelling is simply different. Nothing is matched by
likeness: "Niger" is not "Nigeria".
"""

from __future__ import annotations

import re
import unicodedata

from geor1.names import merged

_LETTERS = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "ı": "i", "æ": "ae", "œ": "oe", "þ": "th", "ð": "d"})


def fold(text: str) -> str:
    """Case, accents, punctuation and surplus spaces taken away.

    >>> fold(" São  Paulo. "), fold("København"), fold("U.S.A."), fold("The Netherlands")
    ('sao paulo', 'kobenhavn', 'usa', 'netherlands')
    """
    folded = unicodedata.normalize("NFKC", text).casefold()  # first, as some letters have no lower case of their own
    decomposed = unicodedata.normalize("NFKD", folded.translate(_LETTERS))
    plain = "".join(character for character in decomposed if not unicodedata.combining(character))
    plain = re.sub(r"(?<=\b\w)\.(?=\w\b)|(?<=\b\w)\.(?=\s|$)|'", "", plain)  # u.s.a. is one word
    words = re.sub(r"[\W_]+", " ", plain).split()
    return " ".join(words[1:] if words[:1] == ["the"] else words)


def _by_alias(table: dict[str, str]) -> dict[str, str]:
    """Folded other name -> folded name, from ``name -> other names separated by commas``."""
    return {fold(alias): fold(name) for name, aliases in table.items() for alias in aliases.split(",")}


# A GeoChain answer that names a part of the United Kingdom names it.
_fold_country = merged(dict.fromkeys(("England", "Scotland", "Wales", "Northern Ireland"), "United Kingdom"))
_CITIES = _by_alias(
    {
        "Bangkok": "Krung Thep, Krung Thep Maha Nakhon",
        "Copenhagen": "cph, Kobenhavn",
        "Helsinki": "Helsingfors",
        "London": "Greater London, City of London",
        "Manila": "City of Manila",
        "Moscow": "Moskva",
        "San Francisco": "sf, San Fran, City and County of San Francisco",
        "Sao Paulo": "saopaulo",
        "Zurich": "Zuerich",
    }
)
_DIVISIONS = _by_alias(
    {
        "Arizona": "AZ",
        "Bangkok": "Krung Thep, Krung Thep Maha Nakhon",
        "California": "CA",
        "Capital Region": "Capital Region of Denmark, Hovedstaden, Region Hovedstaden",
        "Ile-de-France": "Paris Region",
        "Massachusetts": "MA",
        "Metro Manila": "National Capital Region, NCR",
        "Moscow": "Moskva",
        "Moskovskaya": "Moscow Oblast, Moskovskaya Oblast, Moscow Region",
        "Nairobi Area": "Nairobi, Nairobi County",
        "North Holland": "Noord-Holland",
        "Ontario": "ON",
        "Quebec": "QC",
        "Sor-Trondelag": "Trondelag",
        "Texas": "TX",
        "Uusimaa": "Nyland",
        "Victoria": "VIC",
    }
)
_DIVISION_WORDS = re.compile(
    r"^(?:state|province|county|canton|region|prefecture|city) of | (?:state|province|county|oblast|prefecture|city)$"
)
_LANGUAGES = _by_alias(
    {
        "Dutch": "Flemish, Nederlands",
        "Filipino": "Tagalog, Pilipino",
        "Finnish": "Suomi",
        "French": "Francais, Canadian French",
        "German": "Deutsch, Swiss German",
        "Hungarian": "Magyar",
        "Norwegian": "Bokmal, Nynorsk, Norwegian Bokmal, Norwegian Nynorsk, Norsk",
        "Portuguese": "Brazilian Portuguese, Portugues",
        "Swahili": "Kiswahili",
    }
)
_LANGUAGE_BREAK = re.compile(r"[,;/&+\n]|\band\b|\bor\b", re.IGNORECASE)


def country_name(text: str) -> str:
    """Folded usual name of a country.

    >>> country_name("Russian Federation") == country_name("Russia")
    True
    """
    return _fold_country(text)


def city_name(text: str) -> str:
    """Folded usual name of a city.

    >>> city_name("saopaulo") == city_name("São Paulo")
    True
    """
    return _CITIES.get(fold(text), fold(text))


def division_name(text: str) -> str:
    """Folded usual name of a state or province.

    >>> division_name("Moscow Oblast"), division_name("State of Victoria"), division_name("VIC")
    ('moskovskaya', 'victoria', 'victoria')
    """
    name = fold(text)
    name = _DIVISIONS.get(name, name)
    short = _DIVISION_WORDS.sub("", name)
    return _DIVISIONS.get(short, short)


def language_names(text: str) -> frozenset[str]:
    """Folded usual names of the languages in a list.

    >>> sorted(language_names("Tagalog and English"))
    ['english', 'filipino']
    """
    names = (fold(part) for part in _LANGUAGE_BREAK.split(text))
    return frozenset(_LANGUAGES.get(name, name) for name in names if name)
