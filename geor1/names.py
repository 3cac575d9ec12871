"""When two names are the same place: countries and US states by small tables of aliases, cities by their letters.

Names are compared folded: case, diacritics, punctuation and a leading "the" make no difference. Which territories
count as which country is a political question; none is merged unless asked (``merged``).
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Callable, Mapping

# The same country under its other names, ours first. Codes only where nobody means anything else by them.
_COUNTRY_NAMES = (
    ("United States", "USA", "US", "United States of America", "U.S. of America", "America"),
    ("United Kingdom", "UK", "GB", "GBR", "Great Britain", "Britain",
     "United Kingdom of Great Britain and Northern Ireland"),
    ("Russia", "Russian Federation", "Rossiya"),
    ("Czechia", "Czech Republic"),
    ("Turkey", "Türkiye", "Republic of Türkiye", "Republic of Turkey"),
    ("South Korea", "Korea", "Republic of Korea", "Korea, Republic of", "Korea, South", "Korea (South)"),
    ("North Korea", "Democratic People's Republic of Korea", "DPRK", "Korea, North",
     "Korea, Democratic People's Republic of"),
    ("China", "People's Republic of China", "PRC", "Mainland China"),
    ("Hong Kong", "Hong Kong SAR", "Hong Kong SAR China", "Hong Kong, China", "Hong Kong S.A.R."),
    ("Macau", "Macao", "Macau SAR", "Macao SAR", "Macao SAR China", "Macau, China", "Macau S.A.R."),
    ("Taiwan", "Taiwan, Province of China", "Republic of China", "Chinese Taipei"),
    ("DR Congo", "Congo (Kinshasa)", "Democratic Republic of the Congo", "Democratic Republic of Congo", "DRC",
     "Congo, Democratic Republic of the", "Congo, The Democratic Republic of the", "Congo-Kinshasa", "Zaire"),
    ("Congo", "Congo (Brazzaville)", "Republic of the Congo", "Republic of Congo", "Congo, Republic of the",
     "Congo-Brazzaville"),
    ("Bahamas", "The Bahamas", "Bahamas, The", "Commonwealth of the Bahamas"),
    ("Gambia", "The Gambia", "Gambia, The"),
    ("Netherlands", "The Netherlands", "Holland", "Kingdom of the Netherlands", "Nederland"),
    ("United Arab Emirates", "UAE", "Emirates"),
    ("Ivory Coast", "Côte d'Ivoire"),
    ("Cape Verde", "Cabo Verde"),
    ("Eswatini", "Swaziland"),
    ("Myanmar", "Burma", "Myanmar (Burma)", "Burma (Myanmar)"),
    ("North Macedonia", "Macedonia", "Republic of North Macedonia", "FYROM"),
    ("East Timor", "Timor-Leste"),
    ("Vatican City", "Holy See", "Vatican", "Vatican City State"),
    ("Laos", "Lao PDR", "Lao People's Democratic Republic"),
    ("Vietnam", "Viet Nam"),
    ("Syria", "Syrian Arab Republic"),
    ("Iran", "Islamic Republic of Iran", "Iran, Islamic Republic of"),
    ("Moldova", "Republic of Moldova", "Moldova, Republic of"),
    ("Bolivia", "Plurinational State of Bolivia", "Bolivia, Plurinational State of"),
    ("Venezuela", "Bolivarian Republic of Venezuela", "Venezuela, Bolivarian Republic of"),
    ("Tanzania", "United Republic of Tanzania", "Tanzania, United Republic of"),
    ("Brunei", "Brunei Darussalam"),
    ("Ireland", "Republic of Ireland", "Éire"),
    ("Denmark", "Kingdom of Denmark", "Danmark"),
    ("Finland", "Suomi", "Republic of Finland"),
    ("Hungary", "Magyarország"),
    ("Japan", "Nippon", "Nihon"),
    ("Jordan", "Hashemite Kingdom of Jordan"),
    ("Norway", "Norge", "Kingdom of Norway"),
    ("Philippines", "Republic of the Philippines", "Pilipinas"),
    ("Switzerland", "Schweiz", "Suisse", "Svizzera", "Swiss Confederation"),
    ("Mexico", "United Mexican States", "Estados Unidos Mexicanos"),
    ("Brazil", "Brasil", "Federative Republic of Brazil"),
    ("Spain", "España"),
    ("Germany", "Deutschland", "Federal Republic of Germany"),
    ("Kyrgyzstan", "Kyrgyz Republic"),
    ("Slovakia", "Slovak Republic"),
    ("Bosnia and Herzegovina", "Bosnia", "Bosnia-Herzegovina"),
    ("Palestine", "State of Palestine", "Palestinian Territories", "Palestinian Territory", "Palestine, State of"),
    ("Falkland Islands", "Falkland Islands (Islas Malvinas)", "Islas Malvinas", "Falkland Islands (Malvinas)"),
    ("Reunion", "Réunion", "La Réunion"),
    ("Micronesia", "Federated States of Micronesia", "Micronesia, Federated States of"),
    ("Saint Lucia", "St. Lucia"),
    ("Saint Kitts and Nevis", "St. Kitts and Nevis"),
    ("Saint Vincent and the Grenadines", "St. Vincent and the Grenadines"),
    ("Sao Tome and Principe", "São Tomé and Príncipe"),
    ("US Virgin Islands", "U.S. Virgin Islands", "United States Virgin Islands", "Virgin Islands, U.S."),
    ("Curacao", "Curaçao"),
)  # fmt: skip

# The 50 states; DC stands apart since IMAGEO's table lacks it. Source: USPS Publication 28, appendix B.
US_STATES = {
    "AL": "alabama", "AK": "alaska", "AZ": "arizona", "AR": "arkansas", "CA": "california", "CO": "colorado",
    "CT": "connecticut", "DE": "delaware", "FL": "florida", "GA": "georgia", "HI": "hawaii", "ID": "idaho",
    "IL": "illinois", "IN": "indiana", "IA": "iowa", "KS": "kansas", "KY": "kentucky", "LA": "louisiana",
    "ME": "maine", "MD": "maryland", "MA": "massachusetts", "MI": "michigan", "MN": "minnesota", "MS": "mississippi",
    "MO": "missouri", "MT": "montana", "NE": "nebraska", "NV": "nevada", "NH": "new hampshire", "NJ": "new jersey",
    "NM": "new mexico", "NY": "new york", "NC": "north carolina", "ND": "north dakota", "OH": "ohio",
    "OK": "oklahoma", "OR": "oregon", "PA": "pennsylvania", "RI": "rhode island", "SC": "south carolina",
    "SD": "south dakota", "TN": "tennessee", "TX": "texas", "UT": "utah", "VT": "vermont", "VA": "virginia",
    "WA": "washington", "WV": "west virginia", "WI": "wisconsin", "WY": "wyoming",
}  # fmt: skip
_STATE_KEYS = {
    **{code.lower(): name for code, name in US_STATES.items()},
    **dict.fromkeys(("dc", "d c", "washington dc", "washington d c"), "district of columbia"),
}
# What Unicode does not take apart, and apostrophes, which are left out.
_LETTERS = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "ð": "d", "ı": "i", "æ": "ae", "œ": "oe", "þ": "th",
                          "'": "", "’": "", "ʻ": "", "`": ""})  # fmt: skip
_SEPARATORS = re.compile(r"[\W_]+")


def fold_text(text: str) -> str:
    """A name without case, diacritics, punctuation and repeated blanks; "" if nothing is left.

    >>> fold_text("  Kőszeg "), fold_text("Chūō-ku"), fold_text("St. John's")
    ('koszeg', 'chuo ku', 'st johns')
    """
    letters = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold().translate(_LETTERS))
    return _SEPARATORS.sub(" ", "".join(c for c in letters if not unicodedata.combining(c))).strip()


def fold_country(text: str) -> str:
    """A country's key: equal for all names of one country.

    >>> fold_country("U.S.A.") == fold_country("The United States of America") == "united states"
    True
    >>> fold_country("Congo (Kinshasa)") == fold_country("Congo")
    False
    """
    return _country_keys().get(key := _bare(text), key)


def country_names() -> tuple[str, ...]:
    """Every name in the table of countries that have several; those with one name only are not in it."""
    return tuple(name for names in _COUNTRY_NAMES for name in names)


def fold_state(text: str) -> str:
    """A state's or province's key; US states by name or postal code.

    >>> fold_state("NV") == fold_state("Nevada"), fold_state("Washington, D.C.")
    (True, 'district of columbia')
    """
    return _STATE_KEYS.get(key := fold_text(text), key)


def same_country(first: str | None, second: str | None) -> bool:
    """Whether two texts name one country; nothing names none.

    >>> same_country("USA", "United States"), same_country("Niger", "Nigeria"), same_country(None, "")
    (True, False, False)
    """
    key = fold_country(first or "")
    return bool(key) and key == fold_country(second or "")


def merged(merges: Mapping[str, str]) -> Callable[[str], str]:
    """As :func:`fold_country`, with some places counted as others.

    Args:
        merges: Place -> the country that it is to count as, each under any of its names; chains are not followed.

    >>> fold = merged({"Hong Kong": "China"})
    >>> fold("Hong Kong SAR") == fold("PRC"), fold("Taiwan") == fold("China")
    (True, False)
    """
    keys = {fold_country(place): fold_country(country) for place, country in merges.items()}

    def fold(text: str) -> str:
        """Key of a country, or of the one that it is merged into."""
        return keys.get(key := fold_country(text), key)

    return fold


def _bare(text: str) -> str:
    joined = re.sub(r"\b(\w) (?=\w\b)", r"\1", fold_text(text))  # u s a -> usa
    return re.sub(r"^(?:the )+", "", joined)


@functools.cache
def _country_keys() -> dict[str, str]:
    return {_bare(name): _bare(names[0]) for names in _COUNTRY_NAMES for name in names}
