"""Each claim of a text against what is known of the place: true, false, or unknown. Nothing is guessed.

Where the metadata are coarse the verdict is coarse: between the distances, heights and classes that decide, a claim is
unknown. Numbers: a lone latitude or longitude may be 2° off; the sea is near up to 20 km and far from 50 km (the grid
errs by 5 km); flat is below 180 m of relief within 20 km, mountains from 500 m, with a band between.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from geor1.geodesy import haversine_km
from geor1.names import fold_country
from geor1.synthesis.facts import COORDINATE_TOLERANCE_KM
from geor1.synthesis.teacher.claims import Mention, find_claims
from geor1.synthesis.teacher.places import Place, nearest_city
from geor1.synthesis.teacher.vocabulary import CLIMATES, Names, city_key

ANGLE_TOLERANCE_DEG = 2.0
COAST_NEAR_KM, COAST_FAR_KM = 20.0, 50.0
INLAND_FROM_KM, INLAND_BELOW_KM = 30.0, 10.0
NEIGHBOUR_CITY_KM = 50.0
"""Nearer than this to a city, its name is not false even where the metadata name another (Boston and Cambridge)."""
# Relief claimed -> metres of relief within 20 km: least and most where true, least and most where not false.
_RELIEF_M: Mapping[str, tuple[float, float, float, float]] = {
    "flat": (0.0, 180.0, 0.0, 500.0),
    "hills": (180.0, 500.0, 90.0, float("inf")),
    "mountains": (500.0, float("inf"), 250.0, float("inf")),
}
_RELIEF_ORDER = ("flat", "hills", "mountains")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Claim:
    """One claim and what became of it.

    Attributes:
        start: First character in the text.
        end: Behind the last one.
        text: The passage.
        kind: One of ``geor1.synthesis.teacher.claims.KINDS``.
        value: What is claimed.
        truth: What is known; None if nothing is.
        verdict: ``true``, ``false`` or ``unknown``.
    """

    start: int
    end: int
    text: str
    kind: str
    value: str
    truth: str | None
    verdict: str


def check_text(text: str, place: Place, names: Names, *, tolerance_km: float = COORDINATE_TOLERANCE_KM) -> list[Claim]:
    """Find the claims of a text and judge each.

    Args:
        text: Prose.
        place: What is known.
        names: Names to look for.
        tolerance_km: How far coordinates may lie from the truth.

    >>> here = Place(latitude_deg=-33.87, longitude_deg=151.21, city="Sydney", country="Australia", driving_side="left")
    >>> [(c.kind, c.verdict) for c in check_text("Cars drive on the right here in Sydney, Brazil.", here, Names())]
    [('driving_side', 'false'), ('city', 'true'), ('country', 'false')]
    """
    claims = []
    for mention in find_claims(text, names):
        kind, truth, holds = judge(mention, place, tolerance_km)
        verdict = "unknown" if holds is None else "true" if holds else "false"
        passage = text[mention.start : mention.end]
        claims.append(
            Claim(start=mention.start, end=mention.end, text=passage, kind=kind, value=mention.value, truth=truth,
                  verdict=verdict)
        )  # fmt: skip
    return claims


def judge(mention: Mention, place: Place, tolerance_km: float) -> tuple[str, str | None, bool | None]:
    """Kind, truth and whether a claim holds (None: unknown) at a place."""
    if mention.kind in ("coordinates", "latitude", "longitude"):
        return mention.kind, *_position(mention, place, tolerance_km)
    if mention.kind == "place":
        is_country = place.country is not None and mention.value == fold_country(place.country)
        is_city = place.city is not None and mention.value == city_key(place.city)
        if is_country or (not is_city and place.country is not None):
            return "country", place.country, is_country
        return "city", place.city, is_city or None
    if mention.kind == "country":
        return "country", place.country, None if place.country is None else mention.value == fold_country(place.country)
    if mention.kind == "city":
        return "city", *_city(mention.value, place)
    if mention.kind in ("climate", "koppen"):
        return mention.kind, *_climate(mention, place)
    if mention.kind == "hemisphere":
        return mention.kind, *_hemisphere(mention.value, place)
    if mention.kind == "driving_side":
        return mention.kind, place.driving_side, _same(mention.value, place.driving_side)
    return mention.kind, *(_coast(mention.value, place) if mention.kind == "coast" else _relief(mention.value, place))


def _same(claimed: str, truth: str | None) -> bool | None:
    return None if truth is None else claimed == truth


def _position(mention: Mention, place: Place, tolerance_km: float) -> tuple[str | None, bool | None]:
    if place.latitude_deg is None or place.longitude_deg is None:
        return None, None
    numbers = [float(part) for part in mention.value.split()]
    truth = {"latitude": place.latitude_deg, "longitude": place.longitude_deg}
    if mention.kind != "coordinates":
        known = truth[mention.kind]
        apart = abs(numbers[0] - known)
        if mention.kind == "longitude":
            apart = min(apart, 360.0 - apart)
        most_deg = 90.0 if mention.kind == "latitude" else 180.0
        return f"{known:.4f}", abs(numbers[0]) <= most_deg and apart <= ANGLE_TOLERANCE_DEG
    shown = f"{place.latitude_deg:.4f} {place.longitude_deg:.4f}"
    if abs(numbers[0]) > 90.0 or abs(numbers[1]) > 180.0:
        return shown, False
    distance_km = haversine_km(lat1=numbers[0], lon1=numbers[1], lat2=place.latitude_deg, lon2=place.longitude_deg)
    return shown, bool(distance_km <= tolerance_km)


def _city(key: str, place: Place) -> tuple[str | None, bool | None]:
    if place.city is not None and key == city_key(place.city):
        return place.city, True
    if place.latitude_deg is not None and place.longitude_deg is not None:
        nearest = nearest_city(key, latitude_deg=place.latitude_deg, longitude_deg=place.longitude_deg)
        if nearest is not None and nearest[0] <= NEIGHBOUR_CITY_KM:
            return place.city, None if place.city is not None else True
    return place.city, None if place.city is None else False


def _climate(mention: Mention, place: Place) -> tuple[str | None, bool | None]:
    if mention.kind == "koppen":
        if place.koppen:
            return place.koppen_here, mention.value in place.koppen
        return place.climate, None if place.climate is None or _group(mention.value) == place.climate else False
    fits, loosely = CLIMATES[mention.value]
    if place.koppen:
        if any(code.startswith(fits) for code in place.koppen):
            return place.koppen_here, True
        return place.koppen_here, None if loosely and any(code.startswith(loosely) for code in place.koppen) else False
    if place.climate is None:
        return None, None
    letter = _GROUPS[place.climate]
    if any(prefix == letter for prefix in fits):
        return place.climate, True
    return place.climate, None if any(prefix[0] == letter for prefix in (*fits, *loosely)) else False


_GROUPS = {"tropical": "A", "arid": "B", "temperate": "C", "continental": "D", "polar": "E"}


def _group(code: str) -> str:
    return next(word for word, letter in _GROUPS.items() if letter == code[0])


def _hemisphere(value: str, place: Place) -> tuple[str | None, bool | None]:
    if value in ("east", "west"):
        if place.longitude_deg is None:
            return None, None
        truth = "east" if place.longitude_deg >= 0 else "west"
    elif place.latitude_deg is not None:
        truth = "north" if place.latitude_deg >= 0 else "south"
    else:
        return place.hemisphere, _same(value, place.hemisphere)
    return truth, value == truth


def _coast(value: str, place: Place) -> tuple[str | None, bool | None]:
    if place.coast_km is None:
        truth = {"yes": "coastal", "no": "inland"}.get(place.coast or "")
        return truth, _same(value, truth)
    shown = f"{place.coast_km:.0f} km from the sea"
    if value == "coastal":
        return shown, True if place.coast_km <= COAST_NEAR_KM else False if place.coast_km > COAST_FAR_KM else None
    return shown, True if place.coast_km >= INLAND_FROM_KM else False if place.coast_km <= INLAND_BELOW_KM else None


def _relief(value: str, place: Place) -> tuple[str | None, bool | None]:
    if place.relief_m is None:
        if place.relief is None:
            return None, None
        apart = abs(_RELIEF_ORDER.index(value) - _RELIEF_ORDER.index(place.relief))
        return place.relief, (True, None, False)[apart]
    low, high, least, most = _RELIEF_M[value]
    shown = f"{place.relief_m:.0f} m of relief within 20 km"
    if low <= place.relief_m < high:
        return shown, True
    return shown, None if least <= place.relief_m < most else False
