"""From a completion to the parsed fields of a prediction; a completion that cannot be used gets a status, no exception.

Completions are data: nothing in them is evaluated. An answer block longer than :data:`MAX_ANSWER_CHARS` is not an
answer and is not searched for one, and facts are read from the first :data:`MAX_CHAIN_CHARS` alone, which bounds the
time that any text can take.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from geor1.answers import ParseFailure, StatedFact, answer_block, parse_choice, parse_coordinates, stated_facts

MAX_ANSWER_CHARS = 4000
"""Characters of an answer block that are read; the longest real ones are a few hundred."""
ANSWER_TOO_LONG = "answer_too_long"
"""Status of a completion whose answer block is longer."""
MAX_CHAIN_CHARS = 20_000
"""Characters of a completion in which facts are looked for."""


def pairing_fields(completion: str, letters: Sequence[str]) -> dict[str, Any]:
    """``choice``, or the ``status`` that says why there is none.

    >>> pairing_fields("<answer> B </answer>", "ABC")
    {'choice': 'B'}
    >>> pairing_fields("I cannot tell", "ABC")
    {'status': 'no_answer'}
    """
    if _is_too_long(completion):
        return {"status": ANSWER_TOO_LONG}
    choice = parse_choice(completion, letters)
    return {"status": choice.value} if isinstance(choice, ParseFailure) else {"choice": choice}


def geolocation_fields(completion: str) -> dict[str, Any]:
    """``latitude_deg`` and ``longitude_deg``, or the ``status`` that says why there are none.

    >>> geolocation_fields("<answer> 23 , -102 </answer>")
    {'latitude_deg': 23.0, 'longitude_deg': -102.0}
    """
    if _is_too_long(completion):
        return {"status": ANSWER_TOO_LONG}
    try:
        position = parse_coordinates(completion)
    except OverflowError:  # degrees of hundreds of digits, below any float
        position = ParseFailure.OUT_OF_RANGE
    if isinstance(position, ParseFailure):
        return {"status": position.value}
    return {"latitude_deg": position.latitude_deg, "longitude_deg": position.longitude_deg}


def place_names(completion: str) -> dict[str, str | None]:
    """``country`` and ``city`` as the chain of thought states them, None where it does not."""
    names = {fact.key: fact.value for fact in chain_facts(completion) if fact.subject == "ground"}
    return {"country": names.get("country"), "city": names.get("city")}


def chain_facts(completion: str) -> list[StatedFact]:
    """Facts that a completion states, as :func:`geor1.answers.stated_facts`; of an endless one, its first sentences."""
    if len(completion) > MAX_CHAIN_CHARS:
        completion = completion[:MAX_CHAIN_CHARS].rpartition(" . ")[0]
    return stated_facts(completion)


def _is_too_long(completion: str) -> bool:
    block = answer_block(completion)
    return not isinstance(block, ParseFailure) and len(block) > MAX_ANSWER_CHARS
