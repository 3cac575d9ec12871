"""How IMAGEO-Bench folds the names of places, to follow its figures; ours is :mod:`geor1.names`."""

from __future__ import annotations

from geor1.names import US_STATES

_STATE_CODES = {name: code for code, name in US_STATES.items()}


def lower(text: str) -> str:
    """IMAGEO's folding of cities and countries: lower case and nothing else."""
    return text.lower()


def imageo_state(text: str) -> str:
    """IMAGEO's ``standardize_state``: a two-letter code, the code of a state's name, else the name in capitals.

    Source: benchmark-reverse-geocoding ``analysis/utils.py``; its table has no District of Columbia.
    """
    stripped = text.strip().lower()
    is_code = len(stripped) == 2 and stripped.isalpha()
    return stripped.upper() if is_code else _STATE_CODES.get(stripped, stripped.upper())
