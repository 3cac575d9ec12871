"""What is known of a place: metadata first, then what follows from its position, and nothing else.

Position gives climate, hemisphere, coast and relief from the layers of ``geor1.world``, and the country where the
outlines of the land within 50 km name one only. The country gives the driving side.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping

from geor1.geodesy import destination, haversine_km
from geor1.names import fold_country
from geor1.records import Pair, Question
from geor1.synthesis.teacher.vocabulary import city_key
from geor1.world.gazetteer import City, cities
from geor1.world.layers import country_outlines, describe_place

BORDER_KM = 50.0
"""The outlines (1:110 million) are drawn that roughly; nearer to a border, no country is taken from a position."""
SAME_CITY_KM = 100.0
"""The gazetteer's cities lie at least this far apart; a city of the same name within it is the same city."""
_CELL_DEG = 1.0 / 12.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Place:
    """A place as far as it is known; None or empty for what is not.

    Attributes:
        latitude_deg: WGS84.
        longitude_deg: WGS84.
        city: Name as in the metadata.
        country: Name as in the metadata, else as it follows from the position.
        koppen: Köppen classes of the cell and of those around it: the place is in one of them.
        koppen_here: Class of the cell itself.
        climate: Main group in a word, where no position gives the class.
        hemisphere: ``north`` or ``south``.
        driving_side: ``left`` or ``right``.
        coast_km: Distance to the sea in km, give or take 5; at most 250.
        coast: ``yes`` or ``no``, where no position gives the distance.
        relief_m: Range of elevation within about 20 km, metres.
        relief: ``flat``, ``hills`` or ``mountains``, where no position gives the range.
    """

    latitude_deg: float | None = None
    longitude_deg: float | None = None
    city: str | None = None
    country: str | None = None
    koppen: frozenset[str] = frozenset()
    koppen_here: str | None = None
    climate: str | None = None
    hemisphere: str | None = None
    driving_side: str | None = None
    coast_km: float | None = None
    coast: str | None = None
    relief_m: float | None = None
    relief: str | None = None

    @classmethod
    def of(cls, item: Pair | Question) -> Place:
        """What the metadata of a pair or question say, and what follows from them."""
        facts = item.facts
        here = {"latitude_deg": item.latitude_deg, "longitude_deg": item.longitude_deg}
        country = item.country or facts.get("country")
        city = item.city or facts.get("city")
        measured: dict[str, object] = {}
        if item.latitude_deg is not None and item.longitude_deg is not None:
            lat, lon = item.latitude_deg, item.longitude_deg
            country = country or country_of_city(city, latitude_deg=lat, longitude_deg=lon)
            country = country or country_at(latitude_deg=lat, longitude_deg=lon)
            measured = _measured(lat, lon)
        known = {
            "climate": facts.get("climate"),
            "koppen_here": facts.get("koppen"),
            "hemisphere": facts.get("hemisphere"),
            "coast": facts.get("coast"),
            "relief": facts.get("relief"),
        }
        side = facts.get("traffic") or driving_side(country)
        if facts.get("koppen"):
            known["koppen"] = frozenset((facts["koppen"],))  # type: ignore[assignment]
        return cls(**here, city=city, country=country, driving_side=side, **{**known, **measured})  # type: ignore[arg-type]


def _measured(latitude_deg: float, longitude_deg: float) -> Mapping[str, object]:
    facts = describe_place(latitude_deg=latitude_deg, longitude_deg=longitude_deg)
    around = set()
    for north in (-1, 0, 1):
        for east in (-1, 0, 1):
            lat = min(90.0, max(-90.0, latitude_deg + north * _CELL_DEG))
            lon = (longitude_deg + east * _CELL_DEG + 180.0) % 360.0 - 180.0
            around.add(describe_place(latitude_deg=lat, longitude_deg=lon).koppen)
    return {
        "koppen": frozenset(around),
        "koppen_here": facts.koppen,
        "climate": facts.climate,
        "hemisphere": facts.hemisphere,
        "coast_km": facts.coast_km,
        "coast": facts.coast,
        "relief_m": facts.relief_m,
        "relief": facts.relief,
    }


def driving_side(country: str | None) -> str | None:
    """``left`` or ``right``; None for a country outside the gazetteer's 111."""
    return _sides().get(fold_country(country)) if country else None


@functools.cache
def _sides() -> dict[str, str]:
    sides: dict[str, set[str]] = {}
    for city in cities():
        sides.setdefault(fold_country(city.country), set()).add(city.driving_side)
    return {country: next(iter(found)) for country, found in sides.items() if len(found) == 1}


def country_of_city(city: str | None, *, latitude_deg: float, longitude_deg: float) -> str | None:
    """Country of the gazetteer's city of that name within 100 km; None without one."""
    nearest = nearest_city(city_key(city), latitude_deg=latitude_deg, longitude_deg=longitude_deg) if city else None
    return nearest[1].country if nearest and nearest[0] <= SAME_CITY_KM else None


def nearest_city(key: str, *, latitude_deg: float, longitude_deg: float) -> tuple[float, City] | None:
    """The nearest city of the gazetteer with this key, and how far it is, km; None if it has none."""
    found = [
        (float(haversine_km(lat1=latitude_deg, lon1=longitude_deg, lat2=one.latitude_deg, lon2=one.longitude_deg)), one)
        for one in _cities_by_key().get(key, ())
    ]
    return min(found, key=lambda one: one[0], default=None)


@functools.cache
def _cities_by_key() -> dict[str, list[City]]:
    found: dict[str, list[City]] = {}
    for one in cities():
        found.setdefault(city_key(one.name), []).append(one)
    return found


@functools.lru_cache(maxsize=65536)
def country_at(*, latitude_deg: float, longitude_deg: float) -> str | None:
    """The one country on whose outline the point and all eight points 50 km around it lie, the sea left out.

    None at sea, near a border, and where the outlines name no country.
    """
    inside = country_outline_at(latitude_deg, longitude_deg)
    if not inside:
        return None
    for bearing_deg in range(0, 360, 45):
        lat, lon = destination(
            latitude_deg=latitude_deg,
            longitude_deg=longitude_deg,
            bearing_deg=float(bearing_deg),
            distance_km=BORDER_KM,
        )
        if country_outline_at(float(lat), float(lon)) not in (inside, None):
            return None
    return inside


def country_outline_at(latitude_deg: float, longitude_deg: float) -> str | None:
    """Name of the country whose outline holds a point; None for none."""
    for name, (west, south, east, north), ring in _rings():
        in_box = west <= longitude_deg <= east and south <= latitude_deg <= north
        if in_box and _holds(ring, latitude_deg, longitude_deg):
            return name
    return None


@functools.cache
def _rings() -> list[tuple[str, tuple[float, float, float, float], list[tuple[float, float]]]]:
    """Outer rings with their boxes; holes (Lesotho in South Africa) are countries of their own and come first."""
    rings = []
    for feature in country_outlines()["features"]:
        if feature["properties"]["kind"] != "country":
            continue
        for polygon in feature["geometry"]["coordinates"]:
            ring = [(point[0], point[1]) for point in polygon[0]]
            lons, lats = zip(*ring, strict=True)
            box = (min(lons), min(lats), max(lons), max(lats))
            rings.append((feature["properties"]["name"], box, ring))
    return sorted(rings, key=lambda one: (one[1][2] - one[1][0]) * (one[1][3] - one[1][1]))


def _holds(ring: list[tuple[float, float]], latitude_deg: float, longitude_deg: float) -> bool:
    """Even-odd rule; a ray to the east."""
    inside = False
    for (lon1, lat1), (lon2, lat2) in zip(ring, ring[1:] + ring[:1], strict=True):
        if (lat1 > latitude_deg) != (lat2 > latitude_deg):
            crossing = lon1 + (latitude_deg - lat1) / (lat2 - lat1) * (lon2 - lon1)
            inside ^= longitude_deg < crossing
    return inside
