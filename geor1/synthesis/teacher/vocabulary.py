"""Words that the fact check knows: names of countries and cities, climates, and how their spellings meet.

Names are matched as written, with a capital; only diacritics are forgiven. What stands in no list here is not found,
save cities that the text itself calls one (``the city of Seville``).
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from geor1.names import country_names, fold_country, fold_text
from geor1.world.gazetteer import cities
from geor1.world.layers import country_outlines

# Cities that chains name and the gazetteer (350 cities, far apart) lacks; the test cities of CV-Cities among them.
_OTHER_CITIES = """
Seattle, Taipei, San Francisco, Boston, Philadelphia, Washington, Houston, Dallas, Atlanta, Detroit, Austin, San Diego,
Las Vegas, New Orleans, Portland, Calgary, Edmonton, Ottawa, Osaka, Nagoya, Yokohama, Fukuoka, Hong Kong, Macau,
Shenzhen, Guangzhou, Chengdu, Kaohsiung, Hyderabad, Chennai, Pune, Jaipur, Ho Chi Minh City, Cebu, Penang, Bali,
Yogyakarta, Adelaide, Hobart, Canberra, Gold Coast, Seville, Bilbao, Granada, Porto, Lyon, Nice, Bordeaux, Toulouse,
Lille, Naples, Florence, Venice, Turin, Bologna, Palermo, Geneva, Basel, Frankfurt, Cologne, Stuttgart, Dresden,
Leipzig, Prague, Bratislava, Ljubljana, Zagreb, Split, Sarajevo, Belgrade, Sofia, Thessaloniki, Izmir, Ankara,
Copenhagen, Gothenburg, Bergen, Helsinki, Tallinn, Riga, Vilnius, Antwerp, Ghent, Rotterdam, The Hague, Utrecht,
Liverpool, Leeds, Bristol, Glasgow, Cardiff, Belfast, Tel Aviv, Jerusalem, Amman, Beirut, Doha, Abu Dhabi, Tunis,
Pretoria, Accra, Lusaka, Salvador, Recife, Fortaleza, Curitiba, Belo Horizonte, Rosario, Mendoza, Bogota, Cali,
Guayaquil, Valparaiso, Asuncion, Monterrey, Cancun, San Juan, Kingston
"""
# The same city under its other names, ours first; the last ones are folder names of CV-Cities.
_CITY_NAMES = (
    ("New York City", "New York", "NYC", "newyork"),
    ("Mexico City", "Ciudad de México", "CDMX"),
    ("Rio de Janeiro", "Rio"),
    ("Los Angeles", "losangeles"),
    ("Cape Town", "captown"),
    ("Manila", "Metro Manila", "maynila"),
    ("Santiago", "Santiago de Chile"),
    ("Saint Petersburg", "St. Petersburg", "St Petersburg"),
    ("Ulan Bator", "Ulaanbaatar"),
    ("Québec", "Quebec City"),
    ("Kyiv", "Kiev"),
    ("Mumbai", "Bombay"),
    ("Bengaluru", "Bangalore"),
    ("Kolkata", "Calcutta"),
    ("Kraków", "Cracow"),
    ("Washington", "Washington, D.C.", "Washington DC"),
)
# Common words or persons: a name only after a word of place ("in Nice") or before a country ("Victoria, Canada").
_DOUBTFUL = frozenset((
    "Austin", "Cali", "Chad", "Cologne", "Darwin", "David", "Florence", "Georgia", "Gori", "Guinea", "Hamilton",
    "Jordan", "Kingston", "Lae", "Lima", "Mali", "Mendoza", "Nice", "Omoa", "Padam", "Perth", "Phoenix", "Pori", "Poti",
    "Providence", "Puno", "Rio", "Rosario", "Salta", "Salto", "Salvador", "Sofia", "Split", "Stoke", "Tete", "Turkey",
    "Victoria", "Washington", "Waterford", "Wellington",
))  # fmt: skip
# Longer names that hold a shorter one without meaning it; they are passed over whole.
_SHADOWS = (
    "New Mexico", "Gulf of Mexico", "New England", "New Jersey", "New Guinea", "New South Wales", "New Caledonia",
    "Northern Ireland", "South China Sea", "East China Sea", "Sea of Japan", "Indian Ocean", "Lake Victoria",
    "Victoria Falls", "South America", "North America", "Latin America", "Central America", "Kansas City",
    "Oklahoma City",
    "Salt Lake City", "British Columbia", "Paris Saint-Germain", "Bank of America", "Washington State", "Panama Canal",
)  # fmt: skip
_ACRONYMS = frozenset(("US", "USA", "UK", "UAE", "PRC", "DRC", "GB", "GBR", "DPRK"))
_WORD = re.compile(r"[^\W\d_]+")


class Name(NamedTuple):
    """A known name in a text.

    Attributes:
        start, end: Its characters, end excluded.
        kind: ``country``, ``city``, or ``place`` where both bear it (Singapore).
        key: Folded, the same for all spellings.
        doubtful: Whether it is a common word as well.
    """

    start: int
    end: int
    kind: str
    key: str
    doubtful: bool


class Climate(NamedTuple):
    """Köppen classes that a climate word fits, and those it may loosely be said of; prefixes."""

    fits: tuple[str, ...]
    loosely: tuple[str, ...] = ()


CLIMATES: Mapping[str, Climate] = {
    "tropical rainforest": Climate(("Af",), ("Am",)),
    "tropical monsoon": Climate(("Am",), ("Aw", "Af", "Cw")),
    "tropical savanna": Climate(("Aw", "As"), ("Am", "BSh")),
    "tropical": Climate(("A",), ("Cfa", "Cw", "BSh")),
    "equatorial": Climate(("Af", "Am"), ("Aw", "As")),
    "monsoon": Climate(("Am",), ("Aw", "As", "Cw", "Dw")),
    "humid subtropical": Climate(("Cfa", "Cwa"), ("Cwb", "Cfb", "Csa", "Aw")),
    "subtropical highland": Climate(("Cwb", "Cfb"), ("Cwa", "Cwc")),
    "subtropical": Climate(("Cfa", "Cwa", "Csa"), ("Cwb", "Cfb", "Csb", "BSh", "BWh", "Aw", "Am")),
    "hot desert": Climate(("BWh",), ("BWk", "BSh")),
    "desert": Climate(("BW",), ("BS",)),
    "semi-arid": Climate(("BS",), ("BW", "Csa")),
    "semiarid": Climate(("BS",), ("BW", "Csa")),
    "arid": Climate(("BW", "BS"), ("Csa", "Csb")),
    "dry": Climate(("BW", "BS"), ("Cs", "Aw", "As", "Dw", "Cw")),
    "steppe": Climate(("BS",), ("BW",)),
    "mediterranean": Climate(("Cs",), ("BSk", "BSh", "Cfa")),
    "oceanic": Climate(("Cfb", "Cfc"), ("Cwb", "Csb", "Cfa", "Dfb")),
    "maritime": Climate(("Cfb", "Cfc"), ("Cwb", "Cs", "Cfa", "Dfb")),
    "temperate": Climate(("C",), ("Dfa", "Dfb", "Dwa", "BSk")),
    "humid continental": Climate(("Dfa", "Dfb", "Dwa", "Dwb", "Dsa", "Dsb"), ("Cfa", "Cfb", "Dfc")),
    "continental": Climate(("D",), ("Cfa", "Cfb", "BSk")),
    "subarctic": Climate(("Dfc", "Dfd", "Dwc", "Dwd", "Dsc", "Dsd"), ("ET", "Dfb")),
    "boreal": Climate(("Dfc", "Dfd", "Dwc", "Dwd", "Dsc", "Dsd"), ("Dfb",)),
    "polar": Climate(("E",), ("Dfc", "Dfd")),
    "tundra": Climate(("ET",), ("Dfc", "Dfd")),
}
"""Climate words and the classes that they fit. Borders between classes are soft, so a loose use is not called false.

Source: names of the Köppen-Geiger classes in Beck et al. 2018, doi:10.1038/sdata.2018.214; the loose uses are ours.
"""


def plain(text: str) -> str:
    """The same text without diacritics, character for character, so that places in one are places in the other."""
    return "".join(_base(character) for character in text)


@functools.lru_cache(maxsize=4096)
def _base(character: str) -> str:
    if character.isascii():
        return character
    decomposed = unicodedata.normalize("NFD", character)
    return decomposed[0] if len(decomposed) > 1 and decomposed[0].isalpha() else character


def city_key(name: str) -> str:
    """A city's key, equal for all its names in the table.

    >>> city_key("NYC") == city_key("New York"), city_key("São Paulo")
    (True, 'sao paulo')
    """
    folded = fold_text(name)
    return _city_keys().get(folded, folded)


class Names:
    """All names that are looked for.

    Args:
        cities_too: Names of further cities, those of the data set.
        countries_too: Likewise of countries.
    """

    def __init__(self, cities_too: Iterable[str] = (), countries_too: Iterable[str] = ()) -> None:
        kinds: dict[str, set[str]] = {}
        for name in (*_countries(), *countries_too):
            kinds.setdefault(name, set()).add("country")
        for name in (*_cities(), *cities_too):
            kinds.setdefault(name, set()).add("city")
        kinds.update({name: set() for name in _SHADOWS})
        self._by_first: dict[str, list[tuple[str, str, str]]] = {}
        for name, found in kinds.items():
            written = plain(name)
            first = _WORD.search(written)
            if first is None or not (written[0].isupper()):
                continue
            kind = "" if not found else "place" if len(found) > 1 else next(iter(found))
            self._by_first.setdefault(first[0], []).append((written, kind, _key(name, kind)))
        for candidates in self._by_first.values():
            candidates.sort(key=lambda one: -len(one[0]))

    def find(self, text: str) -> Iterator[Name]:
        """Names in a text, the longest reading first, none inside another; ``text`` as :func:`plain` gives it."""
        end = 0
        for word in _WORD.finditer(text):
            if word.start() < end:
                continue
            for written, kind, key in self._by_first.get(word[0], ()):
                stop = word.start() + len(written)
                if text.startswith(written, word.start()) and not text[stop : stop + 1].isalnum():
                    end = stop
                    if kind:
                        yield Name(word.start(), stop, kind, key, written in _DOUBTFUL)
                    break


def _key(name: str, kind: str) -> str:
    return city_key(name) if kind == "city" else fold_country(name)


@functools.cache
def _city_keys() -> dict[str, str]:
    return {fold_text(name): fold_text(names[0]) for names in _CITY_NAMES for name in names}


@functools.cache
def _countries() -> tuple[str, ...]:
    outlines = (feature["properties"].get("name", "") for feature in country_outlines()["features"])
    known = {*country_names(), *outlines, *(city.country for city in cities())}
    usable = (name for name in known if name and "," not in name and "(" not in name)
    return tuple(sorted(name for name in usable if not name.isupper() or name in _ACRONYMS))


@functools.cache
def _cities() -> tuple[str, ...]:
    others = (name.strip() for name in _OTHER_CITIES.replace("\n", " ").split(","))
    aliases = (name for names in _CITY_NAMES for name in names)
    return tuple(sorted({*others, *aliases, *(city.name for city in cities())}))
