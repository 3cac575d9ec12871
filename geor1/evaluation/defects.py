"""Labels that cannot be right: found and named, never mended. Whoever scores decides what to leave out."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable

from geor1.records import Prediction

PLACEHOLDER = "placeholder_position"
POSTCODE = "postcode_as_city"
_STATE_AND_ZIP = re.compile(r"[A-Z]{2} \d{5}(?:-\d{4})?")


@dataclasses.dataclass(frozen=True)
class TruthDefect:
    """A label that cannot be right.

    Attributes:
        item_id: Whose.
        kind: ``placeholder_position`` or ``postcode_as_city``.
        found: What stands there.
    """

    item_id: str
    kind: str
    found: str


def truth_defects(predictions: Iterable[Prediction]) -> list[TruthDefect]:
    """The defects of the truth that some predictions carry, in their order.

    A longitude of exactly ±180, a latitude of exactly ±90, and (0, 0) are placeholders: no photo was taken there. A
    state with a postcode (``AL 35203``) is what an address parser leaves in the city's field when the address ends
    with the country; no answer can match it.

    Source: both occur in IMAGEO's UPC labels (2 rows at (28.64789, 180.0), 22 rows with a postcode).
    """
    defects = []
    for p in predictions:
        latitude, longitude = p.true_latitude_deg, p.true_longitude_deg
        if latitude is not None and longitude is not None and _is_placeholder(latitude, longitude):
            defects.append(TruthDefect(p.item_id, PLACEHOLDER, f"({latitude}, {longitude})"))
        if _STATE_AND_ZIP.fullmatch((p.true_city or "").strip()):
            defects.append(TruthDefect(p.item_id, POSTCODE, repr(p.true_city)))
    return defects


def _is_placeholder(latitude_deg: float, longitude_deg: float) -> bool:
    return abs(longitude_deg) == 180.0 or abs(latitude_deg) == 90.0 or latitude_deg == longitude_deg == 0.0
