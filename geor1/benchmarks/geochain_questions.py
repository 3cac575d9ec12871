"""GeoChain's 21 questions: what kind of answer each wants, its prompt, and how a completion is read.

The benchmark ships no scorer and no matching rules, so these are ours (house rules: a reply is never guessed at; two
answers are none). Free text is matched by :mod:`geor1.benchmarks.names`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from geor1.answers import FORMAT_INSTRUCTION, IMAGE_MARKER, Coordinates, ParseFailure, answer_block, parse_coordinates
from geor1.benchmarks.geochain import N_QUESTIONS, QUESTIONS
from geor1.benchmarks.items import BenchmarkError, read_table
from geor1.benchmarks.names import city_name, country_name, division_name, fold, language_names

RANKS = tuple(str(rank) for rank in range(1, N_QUESTIONS + 1))
BINARY = ("1", "2", "3", "4", "5", "6", "7", "11", "12", "13", "14", "16", "17")
# Geo-R1 reports "13 verifiable tasks" without a list that could be seen; two sets of exactly 13 exist.
SUBSETS = {"all21": RANKS, "binary13": BINARY, "q5_q17": tuple(str(rank) for rank in range(5, 18))}
_TITLES = """
boats, vehicles, traffic lights, flag, equator, poles, northern hemisphere, continent, driving side, country,
coast, island, desert, mountains, climate, big city, small town, languages, state, city, coordinates"""
TITLES = dict(zip(RANKS, (title.strip() for title in _TITLES.split(",")), strict=True))
MAX_LANGUAGES = 5  # more are a list of guesses
# Yes or no, then a pause, then anything but another answer.
_OPENING = re.compile(r"\W*(yes|no)\s*(?:[,.;:!–—]|\Z)(?!\W*(?:or|and|but|maybe|yes|no)\b)", re.IGNORECASE)
# "The country is most likely …": a run of words that open no name of a place or language.
_LEAD = re.compile(
    r"^\W*(?:(?:the|this|it|its|name|place|location|country|city|town|village|state|province|languages?|of|in|here|spoken|is"
    r"|are|was|most|likely|probably|located)\s+)+",
    re.IGNORECASE,
)
_YES_NO = {"Yes": "yes", "No": "no"}
_OPTIONS = {
    "8": {
        "North America": "north america",
        "South America": "south america",
        "Europe": "europe",
        "Africa": "africa",
        "Asia": "asia",
        "Oceania": "oceania|australia",
        "Antarctica": "antarctica",
    },
    "9": {"Left": "left", "Right": "right"},
    "15": {
        "Tropical": "tropical",
        "Dry": "dry|arid|desert",
        "Temperate": "temperate|mediterranean|oceanic|subtropical",
        "Continental": "continental",
        "Polar": "polar",
    },
    **dict.fromkeys(BINARY, _YES_NO),
}
_NAMES: dict[str, tuple[Callable[[str], str], int]] = {  # reader, and which part of "Paris, France" to read
    "10": (country_name, -1),
    "19": (division_name, 0),
    "20": (city_name, 0),
}
_ASKED = {
    "10": "Answer with the name of the country alone.",
    "18": f"Answer with the names of at most {MAX_LANGUAGES} languages, separated by commas.",
    "19": "Answer with the name of the state or province alone.",
    "20": "Answer with the name of the city alone.",
    "21": "Answer with latitude , longitude in degrees.",
}


def prompts(folder: Path | str) -> dict[str, str]:
    """The prompt of each question: the benchmark's wording, what form the answer takes, and the answer tags.

    Args:
        folder: Holds ``questions.csv``.

    Returns:
        Rank -> prompt with one image marker.

    Raises:
        BenchmarkError: The file does not hold the 21 questions.
    """
    rows = {row["Rank"]: row["Question"] for row in read_table(Path(folder) / QUESTIONS, ("Rank", "Question"))}
    if set(rows) != set(RANKS):
        raise BenchmarkError(f"{QUESTIONS}, column 'Rank': expected 1 … {N_QUESTIONS}, got {sorted(rows)}")
    return {rank: f"{IMAGE_MARKER} {rows[rank]} {_form(rank)} {FORMAT_INSTRUCTION}" for rank in RANKS}


def parse(question: str, completion: str) -> str | frozenset[str] | Coordinates | ParseFailure:
    """What a completion answers.

    Args:
        question: Rank, ``"1"`` … ``"21"``.
        completion: As generated; only its last answer block counts.

    Returns:
        The option (``Yes``, ``Europe`` …), a folded usual name (country, state, city), a set of folded languages, or
        coordinates; HEDGED where more than one option is named, UNKNOWN_OPTION where none is.

    >>> parse("3", "<answer>No, I notice none.</answer>"), parse("10", "<answer>Moscow, Russia</answer>")
    ('No', 'russia')
    """
    if question == "21":
        return parse_coordinates(completion)
    block = answer_block(completion)
    if isinstance(block, ParseFailure):
        return block
    if not fold(block):
        return ParseFailure.EMPTY
    if question in _OPTIONS:
        return _option(_OPTIONS[question], block)
    if question == "18":
        languages = language_names(_bare(block))
        return languages if len(languages) <= MAX_LANGUAGES else ParseFailure.HEDGED
    reader, part = _NAMES[question]
    parts = [name for name in _bare(block).split(",") if fold(name)]
    return reader(parts[part]) if parts else ParseFailure.EMPTY


def truth(question: str, text: str) -> str | frozenset[str] | Coordinates:
    """The right answer in the form that :func:`parse` gives."""
    if question in _OPTIONS:
        return text
    if question == "18":
        return language_names(text)
    if question == "21":
        latitude, longitude = text.split(",")
        return Coordinates(float(latitude), float(longitude))
    return _NAMES[question][0](text)


def _form(rank: str) -> str:
    if rank in _ASKED:
        return _ASKED[rank]
    return f"Answer with one of: {', '.join(_OPTIONS[rank])}."


def _option(options: dict[str, str], block: str) -> str | ParseFailure:
    """The one option named; "Yes, there is no doubt" opens with its answer."""
    words = fold(block)
    named = {name for name, aliases in options.items() if re.search(rf"\b(?:{aliases})\b", words)}
    opening = _OPENING.match(block) if options is _YES_NO else None
    if opening:
        return opening.group(1).capitalize()
    if len(named) > 1:
        return ParseFailure.HEDGED
    return named.pop() if named else ParseFailure.UNKNOWN_OPTION


def _bare(block: str) -> str:
    """Free text without what stands before a colon, in brackets, or as the opening of a sentence."""
    text = block.rpartition(":")[2]
    return _LEAD.sub("", re.sub(r"\([^)]*\)", " ", text))
