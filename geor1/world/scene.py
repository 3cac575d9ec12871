"""Scenes of the miniature Earth: what lies around a camera at a real place.

A scene is a seeded square of about 64 m with the camera at its centre. Where it is decides what it holds: the Köppen
class sets ground and vegetation, the coast brings water, population brings buildings, the country sets the driving
side and the hemisphere the sun. Its discrete content (one feature in each cardinal direction) is known, so chains of
thought about it can be written and checked without a teacher model.

Everything here is synthetic; only the layers below it (``geor1.world.layers``) are measured.
"""

from __future__ import annotations

import dataclasses
import math
import zlib

import numpy as np

from geor1.geodesy import destination
from geor1.world.gazetteer import City
from geor1.world.layers import PlaceFacts, describe_place

DIRECTIONS = ("north", "east", "south", "west")
FEATURES = ("water", "forest", "houses", "towers", "field", "sand")
SCENE_SIZE_M = 64.0
"""Edge of the square that a scene describes and a satellite tile shows."""
NEIGHBOURHOOD_RADIUS_M = 2000.0
MIN_SEPARATION_M = 120.0
"""Scenes of one neighbourhood stand at least this far apart: further than a tile's diagonal (91 m), so that no
negative tile contains the camera."""
MIN_DIFFERENT_DIRECTIONS = 2
"""Two scenes of one neighbourhood differ in at least this many of the four directions, so each question is solvable."""

_CLIMATE_WEIGHTS = {  # relative frequency of each of FEATURES by Köppen main group
    "tropical": (1.2, 1.8, 1.0, 0.8, 1.0, 0.7),
    "arid": (0.6, 0.7, 1.1, 0.9, 0.8, 1.8),
    "temperate": (0.9, 1.2, 1.3, 1.0, 1.2, 0.6),
    "continental": (0.9, 1.6, 1.1, 0.9, 1.2, 0.6),
    "polar": (1.2, 0.7, 1.2, 0.7, 0.6, 1.3),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scene:
    """One synthetic place.

    Attributes:
        city: The city whose neighbourhood it belongs to.
        place: Measured facts at its coordinates.
        latitude_deg: WGS84 latitude of the camera.
        longitude_deg: WGS84 longitude of the camera.
        features: What lies north, east, south and west (words of ``FEATURES``).
        road_arms: Whether a road leaves the camera to the north, east, south, west.
        seed: Seed of everything drawn inside the scene.
    """

    city: City
    place: PlaceFacts
    latitude_deg: float
    longitude_deg: float
    features: tuple[str, str, str, str]
    road_arms: tuple[bool, bool, bool, bool]
    seed: int

    @property
    def facts(self) -> dict[str, str]:
        """Metadata by which a chain of thought about this scene can be checked."""
        return {
            **dict(zip(DIRECTIONS, self.features, strict=True)),
            "climate": self.place.climate,
            "koppen": self.place.koppen,
            "hemisphere": self.place.hemisphere,
            "traffic": self.city.driving_side,
            "coast": self.place.coast,
            "relief": self.place.relief,
            "city": self.city.name,
            "country": self.city.country,
            "country_code": self.city.country_code,
        }


def neighbourhood(city: City, n: int, seed: int) -> list[Scene]:
    """Draw the scenes of one neighbourhood: same place and climate, similar parts, different arrangement.

    Args:
        city: Where.
        n: How many scenes, 1 to 60.
        seed: Together with the city it fixes every scene, whatever ``n`` is.

    Returns:
        ``n`` scenes within ``NEIGHBOURHOOD_RADIUS_M`` of the city, at least ``MIN_SEPARATION_M`` apart, any two of them
        different in at least ``MIN_DIFFERENT_DIRECTIONS`` directions.

    Raises:
        ValueError: ``n`` is out of range.
    """
    if not 1 <= n <= 60:
        raise ValueError(f"n={n}: expected 1 to 60 scenes a neighbourhood")
    rng = np.random.default_rng([seed, zlib.crc32(city.city_id.encode())])
    place = describe_place(latitude_deg=city.latitude_deg, longitude_deg=city.longitude_deg)
    weights = feature_weights(place, population=city.population)
    scenes: list[Scene] = []
    taken: list[tuple[str, str, str, str]] = []
    for east_m, north_m in _spread_positions(rng, n):
        features = _draw_features(rng, weights, taken)
        taken.append(features)
        latitude_deg, longitude_deg = destination(
            latitude_deg=city.latitude_deg,
            longitude_deg=city.longitude_deg,
            bearing_deg=math.degrees(math.atan2(east_m, north_m)) % 360.0,
            distance_km=math.hypot(east_m, north_m) / 1000.0,
        )
        arms = tuple(bool(arm) for arm in rng.random(4) < 0.45)
        scenes.append(
            Scene(
                city=city,
                place=place,
                latitude_deg=float(latitude_deg),
                longitude_deg=float(longitude_deg),
                features=features,
                road_arms=arms,  # type: ignore[arg-type]
                seed=int(rng.integers(2**31)),
            )
        )
    return scenes


def feature_weights(place: PlaceFacts, *, population: int) -> np.ndarray:
    """Probability of each of ``FEATURES`` at a place.

    Args:
        place: Measured facts.
        population: Inhabitants of the city.

    Returns:
        ``[len(FEATURES)]`` probabilities, each at least 0.08 (every feature can occur everywhere, so the words stay
        learnable in every climate).
    """
    weights = np.array(_CLIMATE_WEIGHTS[place.climate])
    weights[FEATURES.index("water")] *= 1.6 if place.coast == "yes" else 0.9
    urban = np.clip((math.log10(max(population, 1000)) - 4.5) / 2.5, 0.0, 1.0)  # 0 at 30,000, 1 at 10 million
    weights[FEATURES.index("towers")] *= 0.6 + 1.2 * urban
    weights[FEATURES.index("field")] *= 1.3 - 0.6 * urban
    probability = weights / weights.sum()
    return 0.52 * probability + 0.48 / len(FEATURES)


def _draw_features(
    rng: np.random.Generator, weights: np.ndarray, taken: list[tuple[str, str, str, str]]
) -> tuple[str, str, str, str]:
    for _ in range(1000):
        drawn = rng.choice(len(FEATURES), size=4, p=weights)
        features = (FEATURES[drawn[0]], FEATURES[drawn[1]], FEATURES[drawn[2]], FEATURES[drawn[3]])
        if all(different_directions(features, other) >= MIN_DIFFERENT_DIRECTIONS for other in taken):
            return features
    raise ValueError(f"no further arrangement differs from all {len(taken)} scenes; ask for fewer scenes")


def different_directions(first: tuple[str, ...], second: tuple[str, ...]) -> int:
    """Number of directions (0 to 4) in which two scenes show different features.

    >>> different_directions(("water", "field", "sand", "sand"), ("water", "sand", "field", "sand"))
    2
    """
    return sum(a != b for a, b in zip(first, second, strict=True))


def _spread_positions(rng: np.random.Generator, n: int) -> list[tuple[float, float]]:
    """East/north offsets in metres on a jittered grid whose cells are wider than the minimum separation."""
    half = NEIGHBOURHOOD_RADIUS_M / math.sqrt(2.0)
    cells = 15  # 15 × 15 cells of 188 m; the jitter leaves more than MIN_SEPARATION_M between neighbours
    pitch = 2.0 * half / cells
    jitter = (pitch - MIN_SEPARATION_M) / 2.0 * 0.98
    chosen = rng.permutation(cells * cells)
    offsets = rng.uniform(-jitter, jitter, size=(cells * cells, 2))
    return [
        (
            float(-half + (cell % cells + 0.5) * pitch + offsets[cell, 0]),
            float(-half + (cell // cells + 0.5) * pitch + offsets[cell, 1]),
        )
        for cell in chosen[:n]
    ]
