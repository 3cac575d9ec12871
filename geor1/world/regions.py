"""Countries by name and code, and the UN region, sub-region and continent that each belongs to.

Names and borders are those of the packaged sources (Natural Earth, GeoNames); none is a statement on any territory.
"""

from __future__ import annotations

import functools

from geor1.names import fold_country
from geor1.world.gazetteer import cities
from geor1.world.layers import country_outlines

# Continent, then sub-region -> ISO 3166-1 alpha-2. Source: UN Statistics Division, "Standard country or area codes for
# statistical use" (M49), sub-regions and the intermediate regions of Africa and the Americas. We differ in two codes
# that M49 has no row for: TW stands under Eastern Asia, XK (Kosovo) under Southern Europe.
M49: dict[str, tuple[str, str]] = {
    "Northern Africa": ("Africa", "DZ EG EH LY MA SD TN"),
    "Eastern Africa": ("Africa", "BI DJ ER ET IO KE KM MG MU MW MZ RE RW SC SO SS TF TZ UG YT ZM ZW"),
    "Middle Africa": ("Africa", "AO CD CF CG CM GA GQ ST TD"),
    "Southern Africa": ("Africa", "BW LS NA SZ ZA"),
    "Western Africa": ("Africa", "BF BJ CI CV GH GM GN GW LR ML MR NE NG SH SL SN TG"),
    "Central Asia": ("Asia", "KG KZ TJ TM UZ"),
    "Eastern Asia": ("Asia", "CN HK JP KP KR MN MO TW"),
    "South-eastern Asia": ("Asia", "BN ID KH LA MM MY PH SG TH TL VN"),
    "Southern Asia": ("Asia", "AF BD BT IN IR LK MV NP PK"),
    "Western Asia": ("Asia", "AE AM AZ BH CY GE IL IQ JO KW LB OM PS QA SA SY TR YE"),
    "Eastern Europe": ("Europe", "BG BY CZ HU MD PL RO RU SK UA"),
    "Northern Europe": ("Europe", "AX DK EE FI FO GB GG IE IM IS JE LT LV NO SE SJ"),
    "Southern Europe": ("Europe", "AD AL BA ES GI GR HR IT ME MK MT PT RS SI SM VA XK"),
    "Western Europe": ("Europe", "AT BE CH DE FR LI LU MC NL"),
    "Northern America": ("North America", "BM CA GL PM US"),
    "Central America": ("North America", "BZ CR GT HN MX NI PA SV"),
    "Caribbean": (
        "North America",
        "AG AI AW BB BL BQ BS CU CW DM DO GD GP HT JM KN KY LC MF MQ MS PR SX TC TT VC VG VI",
    ),
    "South America": ("South America", "AR BO BR BV CL CO EC FK GF GS GY PE PY SR UY VE"),
    "Australia and New Zealand": ("Oceania", "AU CC CX HM NF NZ"),
    "Melanesia": ("Oceania", "FJ NC PG SB VU"),
    "Micronesia": ("Oceania", "FM GU KI MH MP NR PW UM"),
    "Polynesia": ("Oceania", "AS CK NU PF PN TK TO TV WF WS"),
    "Antarctica": ("Antarctica", "AQ"),
}

# Places too small for the 1:110m outlines: code -> name, latitude and longitude of the main island or town in degrees,
# and the radius in km of a disc of about the same area. Source: GeoNames (capital, area); Singapore, Hong Kong and
# Macao are centred on their land, so that the discs end before Johor Bahru, Shenzhen and Zhuhai.
SMALL: dict[str, tuple[str, float, float, float]] = {
    "AD": ("Andorra", 42.54, 1.57, 13), "AG": ("Antigua and Barbuda", 17.12, -61.84, 14),
    "AW": ("Aruba", 12.52, -69.98, 14), "BB": ("Barbados", 13.17, -59.55, 16),
    "BH": ("Bahrain", 26.10, 50.55, 25), "BM": ("Bermuda", 32.30, -64.78, 12),
    "CK": ("Cook Islands", -21.21, -159.78, 10), "CV": ("Cabo Verde", 14.93, -23.51, 36),
    "CW": ("Curaçao", 12.17, -68.98, 25), "DM": ("Dominica", 15.42, -61.36, 24),
    "FM": ("Micronesia", 6.92, 158.16, 15), "FO": ("Faroe Islands", 62.01, -6.77, 40),
    "GD": ("Grenada", 12.12, -61.68, 16), "GG": ("Guernsey", 49.46, -2.54, 8),
    "GI": ("Gibraltar", 36.13, -5.35, 3), "GP": ("Guadeloupe", 16.20, -61.55, 32),
    "GU": ("Guam", 13.45, 144.78, 25), "HK": ("Hong Kong", 22.35, 114.15, 20),
    "IM": ("Isle of Man", 54.23, -4.53, 25), "JE": ("Jersey", 49.21, -2.13, 10),
    "KI": ("Kiribati", 1.33, 172.98, 16), "KM": ("Comoros", -11.70, 43.26, 30),
    "KN": ("Saint Kitts and Nevis", 17.30, -62.72, 18), "KY": ("Cayman Islands", 19.31, -81.25, 22),
    "LC": ("Saint Lucia", 13.90, -60.97, 20), "LI": ("Liechtenstein", 47.16, 9.55, 8),
    "MC": ("Monaco", 43.738, 7.424, 1.5), "MH": ("Marshall Islands", 7.09, 171.38, 12),
    "MO": ("Macao", 22.165, 113.555, 6), "MP": ("Northern Mariana Islands", 15.19, 145.75, 14),
    "MQ": ("Martinique", 14.65, -61.00, 30), "MT": ("Malta", 35.93, 14.40, 22),
    "MU": ("Mauritius", -20.28, 57.57, 33), "MV": ("Maldives", 4.18, 73.51, 10),
    "NR": ("Nauru", -0.53, 166.93, 5), "PF": ("French Polynesia", -17.64, -149.40, 36),
    "PW": ("Palau", 7.45, 134.55, 20), "RE": ("Réunion", -21.12, 55.53, 36),
    "SC": ("Seychelles", -4.66, 55.48, 16), "SG": ("Singapore", 1.34, 103.82, 17),
    "SM": ("San Marino", 43.94, 12.46, 5), "ST": ("Sao Tome and Principe", 0.25, 6.62, 25),
    "TC": ("Turks and Caicos Islands", 21.78, -72.20, 25), "TO": ("Tonga", -21.17, -175.20, 20),
    "TV": ("Tuvalu", -8.52, 179.19, 6), "VA": ("Vatican", 41.9029, 12.4534, 0.5),
    "VC": ("Saint Vincent and the Grenadines", 13.25, -61.19, 18), "VI": ("U.S. Virgin Islands", 18.34, -64.90, 12),
    "WS": ("Samoa", -13.75, -172.10, 40), "YT": ("Mayotte", -12.82, 45.15, 18),
}  # fmt: skip

# Islands of larger countries that the outlines lack, as discs (code, latitude, longitude, radius in km) that claim only
# what no outline holds or comes near to: Canaries, Madeira, Azores, Ryukyu (two), Jeju, Galápagos, Easter Island,
# Fernando de Noronha, San Andrés, Andamans and Nicobars, Lakshadweep, Riau, Batanes.
ISLANDS: tuple[tuple[str, float, float, float], ...] = (
    ("ES", 28.3, -15.7, 250), ("PT", 32.8, -17.0, 80), ("PT", 38.5, -28.0, 320), ("JP", 27.5, 128.5, 280),
    ("JP", 24.5, 124.3, 180), ("KR", 33.4, 126.5, 60), ("EC", -0.5, -90.8, 200), ("CL", -27.1, -109.4, 40),
    ("BR", -3.85, -32.4, 30), ("CO", 12.9, -81.6, 80), ("IN", 10.5, 93.0, 420), ("IN", 10.5, 72.8, 150),
    ("ID", 0.8, 104.4, 90), ("PH", 20.4, 122.0, 60),
)  # fmt: skip

# Names that data sets and models use for parts of a country and for lands that no row of M49 has; what else a country
# is called stands in geor1.names.
_PARTS: dict[str, str] = {
    "England": "GB", "Scotland": "GB", "Wales": "GB", "Northern Ireland": "GB", "Taiwan (ROC)": "TW",
    "Congo Republic": "CG", "West Bank": "PS", "Gaza Strip": "PS", "Somaliland": "SO", "Northern Cyprus": "CY",
    "N. Cyprus": "CY", "USVI": "VI", "Virgin Islands": "VI",
}  # fmt: skip


def country_code(name: str | None) -> str | None:
    """ISO 3166-1 alpha-2 code of a country as a label or a model wrote it; None when it is not one country's name.

    Names are compared as :func:`geor1.names.fold_country` folds them; an alpha-2 code in capitals is taken as it is.
    Nothing is searched for inside longer text: "Likely USA" or "Ukraine/Russia" name no country, and are counted as
    such.

    >>> country_code("The Netherlands"), country_code("USA"), country_code("Ukraine/Russia"), country_code(None)
    ('NL', 'US', None, None)
    """
    text = (name or "").strip()
    if text.casefold() == "us" and text != "US":  # the pronoun
        return None
    return text if text in country_names() else _codes_by_name().get(fold_country(text))


@functools.cache
def country_names() -> dict[str, str]:
    """Code -> short English name, for every code of this module (the code itself where no source names it)."""
    names = dict.fromkeys((code for _, codes in M49.values() for code in codes.split()), "")
    names |= {code: name for code, (name, *_) in SMALL.items()}
    names |= {city.country_code: city.country for city in cities()}
    found = [feature["properties"] for feature in country_outlines()["features"]]
    names |= {entry["code"]: entry["name"] for entry in found if entry.get("code")}
    return {code: name or code for code, name in names.items()}


def subregion(code: str | None) -> str | None:
    """UN M49 sub-region of a country code (Russia whole in Eastern Europe, as M49 has it); None for an unknown code.

    >>> subregion("KE"), subregion("RU"), subregion("??")
    ('Eastern Africa', 'Eastern Europe', None)
    """
    return _subregions().get(code or "")


def continent(code: str | None, *, latitude_deg: float | None = None, longitude_deg: float | None = None) -> str | None:
    """Continent of a country, parted where a coordinate is given as the gazetteer parts it; None for an unknown code.

    Args:
        code: ISO 3166-1 alpha-2.
        latitude_deg: Of the place; with it, Hawaii counts as Oceania.
        longitude_deg: Of the place; with it, Russia from 60° E on (and its part beyond 180°) counts as Asia.

    Returns:
        Africa, Antarctica, Asia, Europe, North America, Oceania or South America: M49's regions, the Americas parted in
        two, Central America and the Caribbean counting as North America.

    >>> continent("RU"), continent("RU", latitude_deg=55.0, longitude_deg=82.9)
    ('Europe', 'Asia')
    """
    region = subregion(code)
    if region is None:
        return None
    if latitude_deg is not None and longitude_deg is not None:
        if code == "RU" and (longitude_deg >= 60.0 or longitude_deg < 0.0):
            return "Asia"
        if code == "US" and latitude_deg < 30.0 and longitude_deg < -150.0:
            return "Oceania"
    return M49[region][0]


@functools.cache
def _codes_by_name() -> dict[str, str]:
    codes = {fold_country(name): code for code, name in country_names().items() if len(name) > 2}
    codes |= {fold_country(city.country): city.country_code for city in cities()}
    return codes | {fold_country(name): code for name, code in _PARTS.items()}


@functools.cache
def _subregions() -> dict[str, str]:
    return {code: region for region, (_, codes) in M49.items() for code in codes.split()}
