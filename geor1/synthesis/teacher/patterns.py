"""The regular expressions of the claim finder, by kind of claim. They run on text without diacritics."""

from __future__ import annotations

import re

from geor1.synthesis.teacher.vocabulary import CLIMATES


def _any(words: str) -> str:
    return "(?:" + "|".join(words.split()) + ")"


# --- climate ---------------------------------------------------------------------------------------------------------

_CLIMATE_WORD = "|".join(sorted((re.escape(word).replace(r"\-", "[- ]") for word in CLIMATES), key=len, reverse=True))
_CLIMATE_NOUN = r"(?:climates?|climatic|climate zones?|zones?|weather|conditions?|latitudes?|belt|regime)"
CLIMATE_BEFORE = re.compile(
    rf"\b(?P<word>{_CLIMATE_WORD})\b[ ,]+(?:[\w-]+[ ,]+){{0,2}}?{_CLIMATE_NOUN}\b", re.IGNORECASE
)
CLIMATE_AFTER = re.compile(
    r"\bclimate(?: zone| here| type)?\s*(?::|(?:is|appears|seems|looks|must be)(?: to be)?)\s+"
    rf"(?:\w+ly |a |an |quite )*(?P<word>{_CLIMATE_WORD})\b",
    re.IGNORECASE,
)
CLIMATE_PLACE = re.compile(
    r"\b(?P<word>tropical|subtropical|equatorial|semi-?arid|arid|temperate|subarctic|boreal|polar)[ ,]+(?:\w+[ ,]+)?"
    r"(?:city|town|village|region|area|location|place|country|island|setting|metropolis|environment)\b",
    re.IGNORECASE,
)
"""A place said to be of a climate, without the words that name a sea or a landscape as well (Mediterranean, desert)."""
KOPPEN = re.compile(
    r"(?<![\w.])(?P<word>A[fmws]|BW[hk]|BS[hk]|C[fsw][abc]|D[fsw][abcd]|ET|EF)(?![\w’'])",
)
SHORT_CODES = frozenset(("Af", "Am", "Aw", "As", "ET", "EF"))
"""Codes that are words or initials as well; they need ``KOPPEN_CONTEXT`` near them."""
KOPPEN_CONTEXT = re.compile(r"K(?:o|oe)ppen|climate|\bclass", re.IGNORECASE)

# --- hemisphere and driving side -------------------------------------------------------------------------------------

HEMISPHERE = re.compile(
    r"\b(?P<side>north|south|east|west)(?:ern)?[- ]hemisphere\b"
    r"|\bhemisphere\s*(?::|is|=)\s*(?:the )?(?P<side2>north|south|east|west)(?:ern)?\b"
    r"|\b(?P<side3>north|south) of the equator\b",
    re.IGNORECASE,
)
_ROAD_USER = _any("traffic vehicles? cars? people drivers? motorists? buses they one everyone it country here")
_KEEPS = r"(?:keeps?|moves?|flows?|runs?|travels?|stays?|goes|drives?|circulates?|is driven)"
_SIDE = r"(?P<side>left|right)"
_OF_IMAGE = r"(?:[- ](?:hand )?side)? (?:of|in) (?:the|this|that) (?:image|picture|photo|panorama|frame|tile|view)"
DRIVING = (
    re.compile(rf"\b(?:dr(?:ives?|iving|iven)|drove)\s+on\s+the\s+{_SIDE}\b", re.IGNORECASE),
    re.compile(rf"\b{_SIDE}[- ](?:hand|side)[- ](?:traffic|driving)\b", re.IGNORECASE),
    re.compile(
        rf"\b{_ROAD_USER}\s+(?:\w+ )?{_KEEPS}\s+(?:to |on |along )?(?:the )?{_SIDE}(?! turn| lane)\b", re.IGNORECASE
    ),
    re.compile(
        rf"\b(?:traffic|driving) (?:here )?is (?:\w+ )?on the {_SIDE}\b(?! turn| lane|{_OF_IMAGE})", re.IGNORECASE
    ),
    re.compile(
        rf"\b{_ROAD_USER}\s+(?:\w+ )?(?:uses?|occup(?:y|ies)) the {_SIDE}(?:[- ]hand)? (?:side|half) of the "
        r"(?:road|street|carriageway|highway)s?\b",
        re.IGNORECASE,
    ),
    re.compile(rf"\b(?:driving|traffic) side\s*(?::|is|=)\s*(?:the )?{_SIDE}\b", re.IGNORECASE),
)
WHEEL = re.compile(rf"\b{_SIDE}[- ]hand[- ]drive\b", re.IGNORECASE)
"""The side of the wheel; traffic keeps to the other."""

# --- coast and relief ------------------------------------------------------------------------------------------------

_SPOT = _any(
    "city town area region location setting place district neighbou?rhood zone plain metropolis settlement site"
)
_SEA = _any("sea ocean coast coastline shore seashore Mediterranean Atlantic Pacific Caribbean Baltic")
_NEAR = r"(?:on|along|at|near|by|close to|next to|beside|facing)"
COAST = tuple(
    (re.compile(pattern, re.IGNORECASE), value)
    for pattern, value in (
        (rf"\b(?:far|away|distant|hundreds of kilomet\w+) (?:\w+ )?from (?:the |any )?{_SEA}\b", "inland"),
        (rf"\binland\b(?:[ ,-]+(?:\w+[ -])?{_SPOT})?|\blandlocked {_SPOT}\b", "inland"),
        (rf"\b(?:coastal|seaside|beachfront|oceanfront|seafront)[ ,]+(?:\w+[ -])?{_SPOT}\b", "coastal"),
        (rf"\b{_NEAR} (?:the |a )?(?:\w+ )?{_SEA}\b", "coastal"),
        (r"\bcoast\s*(?::|=)\s*yes\b|\b(?:is|lies|are) (?:clearly |likely )?coastal\b", "coastal"),
    )
)
_LAND = _any(
    "terrain landscape land topography ground relief region area country city town surroundings setting plain "
    "countryside"
)
_RELIEF_WORDS = (
    ("flat", "flat"),
    ("level", "flat"),
    ("hilly", "hills"),
    ("rolling", "hills"),
    ("mountainous", "mountains"),
    ("alpine", "mountains"),
)
_IS = r"(?:here )?(?:is|appears|looks|seems|lies)(?: to be)? (?:\w+ly |very |quite |rather )?"
RELIEF = (
    *(
        (
            re.compile(
                rf"\b{word}\b[ ,]+(?:\w+[ ,]+)?{_LAND}\b|\b{_LAND} {_IS}{word}\b|\brelief\s*:\s*{word}\b", re.IGNORECASE
            ),
            value,
        )
        for word, value in _RELIEF_WORDS
    ),
    (
        re.compile(
            r"\b(?:in|among|amid|surrounded by|ringed by) (?:the |high |steep |tall )*mountains\b", re.IGNORECASE
        ),
        "mountains",
    ),
)

# --- positions -------------------------------------------------------------------------------------------------------

_NUMBER = r"[+\-−]?\d{1,3}(?:\.\d+)?"
_MINUTES = r"(?P<min>\d{1,2}(?:\.\d+)?)\s*['′’]\s*(?:(?P<sec>\d{1,2}(?:\.\d+)?)\s*(?:\"|″|”|'')\s*)?"
ANGLE = re.compile(
    rf"(?<![\w.])(?P<deg>{_NUMBER})\s*(?:(?P<mark>°|º|\bdegrees?\b|\bdeg\b)\s*(?:{_MINUTES})?)?(?:of\s+)?"
    r"(?P<hem>[NSEW](?![\w])|(?:north|south|east|west)(?:ern)?\b)"
)
DECIMALS = re.compile(
    rf"(?<![\w.,])(?P<lat>{_NUMBER})\s*,\s*(?P<lon>{_NUMBER})(?![\w.]*\d)(?!\s*(?:m|km|px|%))",
)
SAID_TO_BE_DEGREES = re.compile(r"\b(?:coordinates?|GPS|lat\w*\W+lon\w*)\b\W+(?:\w+\W+){0,4}$", re.IGNORECASE)
LABELLED = re.compile(
    r"\b(?P<axis>lat|long?)(?:itude)?\b\s*(?:of|is|:|=|near|about|around|approximately|roughly|close to|at|\s)*\s*"
    rf"(?P<deg>{_NUMBER})\s*(?:°|degrees?)?(?!\s*[°'′\d])(?:\s*(?P<hem>(?:north|south|east|west)(?:ern)?|[NSEW])\b)?",
    re.IGNORECASE,
)
AXIS_LABEL = re.compile(
    r"\b(?:its |the |a )?(?:lat|long?)(?:itude)?\b\s*(?:of|is|:|=|near|about|around|approximately|roughly|at|\s)*",
    re.IGNORECASE,
)

# --- names -----------------------------------------------------------------------------------------------------------

STREET_AFTER = re.compile(
    r"^\s+(?:Street|St\b|Road|Rd\b|Avenue|Ave\b|Boulevard|Bridge|Hotel|Square|Restaurant|Cafe|Bank|Airlines|Station)"
    r"|^[- ]style\b|^[- ]like\b|^[- ]type\b"
)
STREET_BEFORE = re.compile(
    r"\b(?:Rue|Calle|Avenida|Avenue|Via|Rua|Plaza|Place|Hotel|Cafe|Restaurant|Bar)\s+(?:d[aeo]s? |del? )?$"
)
WORD_OF_PLACE = re.compile(
    r"\b(?:in|near|of|from|to|at|around|is|as|be|capital|downtown|central|city|metropolitan|here|country)[ :,-]+"
    r"(?:the |likely |probably |certainly |clearly |central |downtown )*$",
    re.IGNORECASE,
)
GENERAL_SUBJECT = re.compile(
    r"^\s*(?:[a-z]+ )?(?:has|have|uses?|drives?|keeps?|features?|favou?rs?|tends?|typically|usually|generally|often)\b"
)
"""What follows a country of which something is said in general (``Spain has many such squares``)."""
GENERAL_OPENING = re.compile(r"^\s*(?:In|Throughout|Across)\s+(?:the\s+)?$")
CALLED_CITY = re.compile(
    r"\b(?:(?:city|town|streets|outskirts|suburbs|metropolis|capital) of|downtown)\s+"
    r"(?P<name>[A-Z][^\W\d_]+(?:[ -](?:de |la |del |do |da )?[A-Z][^\W\d_]+)*)"
)
