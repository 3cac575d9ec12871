"""Conventions of scoring geolocation, by name: what is a distance, a hit, a miss, the same country.

Benchmarks differ in each of these, and a figure means nothing without them. ``STRICT`` is ours and the default: every
item counts, and an item without a usable answer is wrong and infinitely far away. The others reproduce what the code
of a benchmark does, to the digit, so that its published figures can be compared with.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from types import MappingProxyType

from geor1.evaluation.names import imageo_state, lower
from geor1.geodesy import GEOSCORE_SCALE_KM
from geor1.names import fold_country, fold_state, fold_text, merged

# Street, city, region, country, continent. Source: Hays & Efros' im2gps protocol as GeoCLIP has it.
RADII_KM = (1.0, 25.0, 200.0, 750.0, 2500.0)
WGS84 = "wgs84"
EARTHS: tuple[float | str, ...] = (6371.0, 6371.0088, 6378.137, WGS84)
MISSES = ("infinite", "drop", "farthest")
FARTHEST_KM = 20015.0  # half the Earth's circumference: nothing is farther away


@dataclasses.dataclass(frozen=True, kw_only=True)
class NameRule:
    """When a predicted name is right.

    Attributes:
        fold: Name -> key; names with the same key are the same place.
        missing: What an item without a predicted name is: ``wrong``, or left out of the denominator (``drop``).
        text: For the rule's description.
        empty_is_missing: Whether a name that folds to nothing is missing, not wrong.
    """

    fold: Callable[[str], str]
    missing: str = "wrong"
    text: str = "case and diacritics folded"
    empty_is_missing: bool = False

    def __post_init__(self) -> None:
        if self.missing not in ("wrong", "drop"):
            raise ValueError(f"missing={self.missing!r}: expected 'wrong' or 'drop'")


_FOLDED = NameRule(fold=fold_text)
_LOWERED = NameRule(fold=lower, missing="drop", text="lower case")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ScoringPreset:
    """A convention of scoring; make variants with :func:`dataclasses.replace`.

    Attributes:
        name: As printed in tables.
        source: Whose convention it is.
        earth: Radius of the sphere in kilometres, one of 6371.0, 6371.0088, 6378.137, or ``wgs84`` for geodesics.
        radii_km: Thresholds in kilometres.
        inclusive: Whether an error equal to the threshold is a hit (<=) or not (<).
        geoscore_scale_km: GeoScore = 5000 exp(-d / scale).
        geoscore_rounded: Whether each item's GeoScore is rounded (halves to even).
        full_score_within_km: Errors up to this one get 5000.
        miss: An item without usable coordinates: ``infinite`` distance and GeoScore 0, ``drop`` from the denominators
            of distances, or ``farthest``, 20,015 km away.
        zero_is_missing: Whether a coordinate of exactly 0.0 counts as none.
        range_checked: Whether coordinates out of range count as none; if not, trigonometry decides where they are.
        upper_median: Whether the median of an even number is the upper of the two middle values, not their mean.
        countries: Rule for countries.
        states: Rule for states and provinces.
        cities: Rule for cities.
    """

    name: str
    source: str
    earth: float | str = 6371.0
    radii_km: tuple[float, ...] = RADII_KM
    inclusive: bool = True
    geoscore_scale_km: float = GEOSCORE_SCALE_KM
    geoscore_rounded: bool = False
    full_score_within_km: float = 0.0
    miss: str = "infinite"
    zero_is_missing: bool = False
    range_checked: bool = True
    upper_median: bool = False
    countries: NameRule = NameRule(fold=fold_country, text="aliases, case and diacritics folded")
    states: NameRule = NameRule(fold=fold_state, text="US codes, case and diacritics folded")
    cities: NameRule = _FOLDED

    def __post_init__(self) -> None:
        if self.earth not in EARTHS:
            raise ValueError(f"earth={self.earth!r}: expected one of {EARTHS}")
        if self.miss not in MISSES:
            raise ValueError(f"miss={self.miss!r}: expected one of {MISSES}")
        if not self.radii_km or min(self.radii_km) <= 0:
            raise ValueError(f"radii_km={self.radii_km}: expected positive radii in kilometres")
        if not 0 < self.geoscore_scale_km < math.inf:
            raise ValueError(f"geoscore_scale_km={self.geoscore_scale_km}: expected a positive scale in kilometres")

    def names_rule(self, kind: str) -> NameRule:
        """The rule for ``country``, ``state`` or ``city``."""
        return {"country": self.countries, "state": self.states, "city": self.cities}[kind]

    @property
    def rule(self) -> str:
        """The convention in one line, to stand beside every figure."""
        counted = {
            "infinite": "n = all items; a miss is wrong and infinitely far (GeoScore 0)",
            "drop": "distances over the answered items only; a miss is left out",
            "farthest": f"n = all items; a miss is {FARTHEST_KM:g} km away",
        }[self.miss]
        earth = "WGS84 geodesic" if self.earth == WGS84 else f"haversine R = {self.earth} km"
        parts = [
            f"{self.name}: {counted}",
            f"{earth}, hit if d {'<=' if self.inclusive else '<'} r",
            f"GeoScore 5000 exp(-d / {self.geoscore_scale_km:.6g} km){', rounded' if self.geoscore_rounded else ''}",
            f"country: {self.countries.text}" + (", unnamed left out" if self.countries.missing == "drop" else ""),
        ]
        if self.zero_is_missing:
            parts.append("0.0 is no coordinate")
        if not self.range_checked:
            parts.append("range not checked")
        if self.upper_median:
            parts.append("upper median")
        return "; ".join(parts)


STRICT = ScoringPreset(name="strict", source="ours: im2gps radii, every item in every denominator")

# 0.0 and unnamed rows vanish from the denominators, out-of-range numbers do not; "USA" is not "United States".
IMAGEO = ScoringPreset(
    name="imageo",
    source="Lingyao1219/benchmark-reverse-geocoding analysis/utils.py, process_jsonl_to_dataframe, get_performance_df",
    miss="drop",
    zero_is_missing=True,
    range_checked=False,
    countries=_LOWERED,
    cities=_LOWERED,
    states=NameRule(fold=imageo_state, missing="drop", text="US codes", empty_is_missing=True),
)

# Names come from reverse geocoding, as codes and exact; a model that never refuses has no misses, so ours are counted.
OSV5M = ScoringPreset(
    name="osv5m",
    source="gastruc/osv5m metrics/distance_based.py, HaversineMetrics; metrics/utils.py, haversine",
    inclusive=False,
    countries=NameRule(fold=str, text="exact"),
    states=NameRule(fold=str, text="exact"),
    cities=NameRule(fold=str, text="exact"),
)

PIGEON = ScoringPreset(
    name="pigeon",
    source="LukasHaas/PIGEON evaluation/metrics.py, compute_geoguessr_metrics; preprocessing/geo_utils.py",
    earth=6378.137,
    radii_km=(1.0, 5.0, 10.0, 25.0, 50.0, 100.0, 200.0, 750.0, 1000.0, 2500.0),
    inclusive=False,
    geoscore_rounded=True,
)

GEOCLIP = ScoringPreset(
    name="geoclip",
    source="VicenteVivan/geo-clip geoclip/train/eval.py, distance_accuracy (geopy geodesic)",
    earth=WGS84,
)

# Where geobench counts a territory as the state that it belongs to or that claims it; the scale is of its world map.
GEOBENCH_MERGES = MappingProxyType(
    {
        **dict.fromkeys(("Hong Kong", "Macau", "Taiwan"), "China"),
        **dict.fromkeys(("Greenland", "Faroe Islands"), "Denmark"),
        **dict.fromkeys(("Aland Islands",), "Finland"),
        **dict.fromkeys(
            ("French Polynesia", "New Caledonia", "French Guiana", "Reunion", "Martinique", "Guadeloupe",
             "Saint Martin", "Saint Barthelemy", "Saint Pierre and Miquelon", "Wallis and Futuna"), "France",
        ),
        **dict.fromkeys(("Aruba", "Curacao", "Sint Maarten", "Caribbean Netherlands"), "Netherlands"),
        **dict.fromkeys(("Cook Islands", "Niue", "Tokelau"), "New Zealand"),
        **dict.fromkeys(
            ("England", "Scotland", "Wales", "Northern Ireland", "Bermuda", "Cayman Islands", "British Virgin Islands",
             "Turks and Caicos Islands", "Anguilla", "Gibraltar", "Montserrat", "Pitcairn Islands", "Saint Helena",
             "British Indian Ocean Territory", "Falkland Islands"), "United Kingdom",
        ),
        **dict.fromkeys(
            ("Puerto Rico", "Guam", "American Samoa", "US Virgin Islands", "Northern Mariana Islands"),
            "United States",
        ),
    }
)  # fmt: skip
_GEOBENCH_BASE = 0.99866017  # score = 5000 · base^(metres / scale), scale = diagonal of the map in km / 7.458421


def geobench_preset(*, diagonal_km: float = 2000.0 * 7.458421) -> ScoringPreset:
    """Convention of ccmdi/geobench, whose GeoScore depends on the map.

    Args:
        diagonal_km: Distance between the corners of the data set's bounding box, kilometres (haversine, R = 6371.0088);
            the default gives the scale 2000 of a world map.

    Raises:
        ValueError: A diagonal that is not positive.
    """
    metres_scale = diagonal_km / 7.458421
    return ScoringPreset(
        name="geobench",
        source="ccmdi/geobench geobench.py, calculate_score and _compile_results; haversine package; geo2p/canon.py",
        earth=6371.0088,
        geoscore_scale_km=metres_scale / (-1000.0 * math.log(_GEOBENCH_BASE)),
        geoscore_rounded=True,
        full_score_within_km=0.025,
        miss="drop",
        upper_median=True,
        countries=NameRule(fold=merged(GEOBENCH_MERGES), text="aliases folded, territories merged"),
    )


GEOBENCH = geobench_preset()
PRESETS = MappingProxyType({preset.name: preset for preset in (STRICT, IMAGEO, OSV5M, PIGEON, GEOCLIP, GEOBENCH)})


def preset_named(name: str) -> ScoringPreset:
    """A preset by its name.

    Raises:
        ValueError: No such preset; the message lists them.
    """
    if name not in PRESETS:
        raise ValueError(f"preset {name!r}: expected one of {', '.join(PRESETS)}")
    return PRESETS[name]
