"""From a completion to the parsed fields of a prediction; a completion that cannot be used gets a status, no exception.

Completions are data: nothing in them is evaluated. Facts are read from the first characters alone
(:data:`geor1.answers.chains.MAX_CHAIN_CHARS`), which bounds the time that any text can take; the answer block is
bounded by :func:`geor1.answers.answer_block`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from geor1.answers import ParseFailure, StatedFact, chain_spans, parse_choice, parse_coordinates


def pairing_fields(completion: str, letters: Sequence[str]) -> dict[str, Any]:
    """``choice``, or the ``status`` that says why there is none.

    >>> pairing_fields("<answer> B </answer>", "ABC")
    {'choice': 'B'}
    >>> pairing_fields("I cannot tell", "ABC")
    {'status': 'no_answer'}
    """
    choice = parse_choice(completion, letters)
    return {"status": choice.value} if isinstance(choice, ParseFailure) else {"choice": choice}


def geolocation_fields(completion: str) -> dict[str, Any]:
    """``latitude_deg`` and ``longitude_deg``, or the ``status`` that says why there are none.

    >>> geolocation_fields("<answer> 23 , -102 </answer>")
    {'latitude_deg': 23.0, 'longitude_deg': -102.0}
    """
    position = parse_coordinates(completion)
    if isinstance(position, ParseFailure):
        return {"status": position.value}
    return {"latitude_deg": position.latitude_deg, "longitude_deg": position.longitude_deg}


def place_names(completion: str) -> dict[str, str | None]:
    """``country`` and ``city`` as the chain of thought states them, None where it does not."""
    names = {fact.key: fact.value for fact in chain_facts(completion) if fact.subject == "ground"}
    return {"country": names.get("country"), "city": names.get("city")}


def chain_facts(completion: str) -> list[StatedFact]:
    """Facts that a completion states, as :func:`geor1.answers.stated_facts`; of an endless one, its first sentences."""
    return [span.fact for span in chain_spans(completion)]
