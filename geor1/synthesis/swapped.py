"""Latitude and longitude that were swapped, told by where they put a place whose whereabouts are known."""

from __future__ import annotations

import functools

from geor1.geodesy import haversine_km
from geor1.names import fold_text
from geor1.synthesis.sources import SourceError

NEAR_KM = 150.0
"""A place of a city lies within this distance of the city's middle."""
_SURELY_NEAR_DEG = 0.6  # below 95 km in both directions together, so that most rows need no arithmetic


def require_near(
    where: str, *, latitude_deg: float, longitude_deg: float, centre_deg: tuple[float, float], place: str
) -> None:
    """Raise unless a position is near the middle of its city.

    Args:
        where: File, row and columns, for the message.
        latitude_deg: Of the position.
        longitude_deg: Of the position.
        centre_deg: Latitude and longitude of the city's middle.
        place: The city's name.

    Raises:
        SourceError: It is not; the message says whether the swapped position would be.
    """
    away_km = _away_km(latitude_deg, longitude_deg, centre_deg)
    if away_km <= NEAR_KM:
        return
    where = f"{where}: lat_deg={latitude_deg:g}, lon_deg={longitude_deg:g}"
    if _is_swapped(latitude_deg, longitude_deg, centre_deg):
        raise SourceError(
            f"{where}: {away_km:.0f} km from {place}, while lat_deg={longitude_deg:g}, lon_deg={latitude_deg:g} is "
            "there: latitude and longitude are swapped; exchange the two columns"
        )
    raise SourceError(
        f"{where}: {away_km:.0f} km from {place}, expected at most {NEAR_KM:g} km; correct or drop the row"
    )


def refuse_swapped(
    where: str, *, latitude_deg: float, longitude_deg: float, city: str | None, country_code: str | None = None
) -> None:
    """Raise if a position is far from the city that it is said to be in, and its swapped twin is near.

    Only cities of the gazetteer are known, and a name stands for any of its bearers; of all others nothing is said.

    Raises:
        SourceError: Latitude and longitude are swapped.
    """
    centres = [centre for code, centre in _gazetteer().get(fold_text(city or ""), ()) if country_code in (None, code)]
    if not centres or any(_away_km(latitude_deg, longitude_deg, centre) <= NEAR_KM for centre in centres):
        return
    if any(_is_swapped(latitude_deg, longitude_deg, centre) for centre in centres):
        raise SourceError(
            f"{where}: lat_deg={latitude_deg:g}, lon_deg={longitude_deg:g} is not in {city}, while the other way round "
            "it is: latitude and longitude are swapped; exchange the two columns"
        )


def _away_km(latitude_deg: float, longitude_deg: float, centre_deg: tuple[float, float]) -> float:
    off_deg = abs(latitude_deg - centre_deg[0]) + abs(longitude_deg - centre_deg[1])
    if off_deg <= _SURELY_NEAR_DEG:
        return 0.0
    return float(haversine_km(lat1=latitude_deg, lon1=longitude_deg, lat2=centre_deg[0], lon2=centre_deg[1]))


def _is_swapped(latitude_deg: float, longitude_deg: float, centre_deg: tuple[float, float]) -> bool:
    return abs(longitude_deg) <= 90.0 and _away_km(longitude_deg, latitude_deg, centre_deg) <= NEAR_KM


@functools.cache
def _gazetteer() -> dict[str, list[tuple[str, tuple[float, float]]]]:
    """Folded city name -> (country code, latitude and longitude) of its bearers."""
    from geor1.world.gazetteer import cities

    found: dict[str, list[tuple[str, tuple[float, float]]]] = {}
    for city in cities():
        found.setdefault(fold_text(city.name), []).append((city.country_code, (city.latitude_deg, city.longitude_deg)))
    return found
