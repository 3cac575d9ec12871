"""What is asked of a model, and how its completion is read.

Prompts with their image markers, the answer block of a completion, the option letter or the coordinates in it, and the
facts that a chain of thought states. A completion that cannot be used is not an exception: it becomes a
:class:`ParseFailure`, which callers count and reward as they see fit.
"""

from geor1.answers.blocks import ParseFailure, answer_block, is_well_formed, think_block
from geor1.answers.chains import (
    DIRECTIONS,
    FactCheck,
    FactSpan,
    StatedFact,
    chain_spans,
    check_facts,
    fact_holds,
    fact_spans,
    stated_facts,
)
from geor1.answers.choice import parse_choice
from geor1.answers.coordinates import Coordinates, parse_coordinates
from geor1.answers.prompts import (
    FORMAT_INSTRUCTION,
    GEOLOCATION_PROMPT,
    IMAGE_MARKER,
    PAIRING_PROMPT,
    geolocation_prompt,
    pairing_prompt,
    to_messages,
)

__all__ = [
    "DIRECTIONS",
    "FORMAT_INSTRUCTION",
    "GEOLOCATION_PROMPT",
    "IMAGE_MARKER",
    "PAIRING_PROMPT",
    "Coordinates",
    "FactCheck",
    "FactSpan",
    "ParseFailure",
    "StatedFact",
    "answer_block",
    "chain_spans",
    "check_facts",
    "fact_holds",
    "fact_spans",
    "geolocation_prompt",
    "is_well_formed",
    "pairing_prompt",
    "parse_choice",
    "parse_coordinates",
    "stated_facts",
    "think_block",
    "to_messages",
]
