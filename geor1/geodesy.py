"""Distances, bearings and arcs on the sphere, and the score of a geolocation error.

Angles are degrees, WGS84 read as spherical: latitude in [-90, 90], north positive; longitude east positive, any turn.
Every position is given by keyword, latitude before longitude. Arrays broadcast as in NumPy.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

FloatArray: TypeAlias = npt.NDArray[np.float64]

EARTH_RADIUS_KM = 6371.0  # as in the OSV-5M benchmark, whose distances this reproduces to 1e-11 km
GEOSCORE_MAX = 5000.0  # GeoGuessr's full score
GEOSCORE_SCALE_KM = 1492.7  # OSV-5M (Astruc et al. 2024): score = 5000 exp(-d / 1492.7)
_HALF_TURN_DEG = 180.0


def haversine_km(*, lat1: npt.ArrayLike, lon1: npt.ArrayLike, lat2: npt.ArrayLike, lon2: npt.ArrayLike) -> FloatArray:
    """Great-circle distance.

    The haversine h and its complement 1 - h are each a sum of terms without cancellation, so that metres and antipodes
    come out equally exact.

    Args:
        lat1: Degrees, any shape; so are the others, broadcast together.
        lon1: Degrees.
        lat2: Degrees.
        lon2: Degrees.

    Returns:
        Kilometres in [0, 20015.09], of the broadcast shape; a NumPy scalar for scalars.

    Raises:
        ValueError: A latitude outside [-90, 90], or a value that is not finite.

    >>> round(float(haversine_km(lat1=0, lon1=0, lat2=0, lon2=1)), 3)  # 2 pi 6371 / 360
    111.195
    """
    phi1, phi2 = _radians(lat1, "lat1", latitude=True), _radians(lat2, "lat2", latitude=True)
    half_dlon = (_radians(lon2, "lon2") - _radians(lon1, "lon1")) / 2.0
    cosines = np.cos(phi1) * np.cos(phi2)
    haversine = np.sin((phi2 - phi1) / 2.0) ** 2 + cosines * np.sin(half_dlon) ** 2
    complement = np.sin((phi1 + phi2) / 2.0) ** 2 + cosines * np.cos(half_dlon) ** 2
    return np.asarray(2.0 * EARTH_RADIUS_KM * np.arctan2(np.sqrt(haversine), np.sqrt(complement)))[()]


def initial_bearing_deg(
    *, lat1: npt.ArrayLike, lon1: npt.ArrayLike, lat2: npt.ArrayLike, lon2: npt.ArrayLike
) -> FloatArray:
    """Compass bearing at the first position of the great circle to the second.

    Args:
        lat1: Degrees, any shape; so are the others, broadcast together.
        lon1: Degrees; at a pole it says which way is north (the meridian's direction).
        lat2: Degrees.
        lon2: Degrees.

    Returns:
        Degrees clockwise from north, in [0, 360); 0 between equal positions.

    Raises:
        ValueError: As :func:`haversine_km`.

    >>> float(initial_bearing_deg(lat1=0, lon1=0, lat2=0, lon2=-5))
    270.0
    """
    phi1, phi2 = _radians(lat1, "lat1", latitude=True), _radians(lat2, "lat2", latitude=True)
    dlon = _radians(lon2, "lon2") - _radians(lon1, "lon1")
    east = np.cos(phi2) * np.sin(dlon)
    north = np.sin(phi2 - phi1) + 2.0 * np.sin(phi1) * np.cos(phi2) * np.sin(dlon / 2.0) ** 2
    bearing = np.asarray(np.degrees(np.arctan2(east, north)) % 360.0)
    return np.where(bearing >= 360.0, 0.0, bearing)[()]


def destination(
    *,
    latitude_deg: npt.ArrayLike,
    longitude_deg: npt.ArrayLike,
    bearing_deg: npt.ArrayLike,
    distance_km: npt.ArrayLike,
) -> tuple[FloatArray, FloatArray]:
    """Where one arrives, going along a great circle.

    Args:
        latitude_deg: Start, degrees, any shape; so are the others, broadcast together.
        longitude_deg: Start, degrees.
        bearing_deg: Direction at the start, degrees clockwise from north.
        distance_km: How far, kilometres; negative goes backwards.

    Returns:
        Latitude and longitude in degrees, longitude in [-180, 180].

    Raises:
        ValueError: As :func:`haversine_km`.

    >>> latitude, longitude = destination(latitude_deg=0, longitude_deg=179.5, bearing_deg=90, distance_km=111.195)
    >>> round(float(latitude), 6), round(float(longitude), 3)
    (0.0, -179.5)
    """
    phi, lam = _radians(latitude_deg, "latitude_deg", latitude=True), _radians(longitude_deg, "longitude_deg")
    theta = _radians(bearing_deg, "bearing_deg")
    delta = _finite(distance_km, "distance_km") / EARTH_RADIUS_KM
    phi, lam, theta, delta = np.broadcast_arrays(phi, lam, theta, delta)
    start, east, north = _frame(phi, lam)
    heading = np.sin(theta)[..., None] * east + np.cos(theta)[..., None] * north
    return _to_degrees(np.cos(delta)[..., None] * start + np.sin(delta)[..., None] * heading)


def great_circle_points(*, lat1: float, lon1: float, lat2: float, lon2: float, n: int = 64) -> list[FloatArray]:
    """The shorter great-circle arc, cut where it crosses the antimeridian, so that a flat map draws it right.

    Args:
        lat1: Start, degrees.
        lon1: Start, degrees.
        lat2: End, degrees.
        lon2: End, degrees.
        n: Points along the arc, both ends included; at least 2. Crossing points come on top.

    Returns:
        Segments in order, each [m, 2] with columns latitude, longitude in degrees, longitude in [-180, 180]. One
        segment without a crossing; else the first ends on one side of ±180° where the next starts on the other. Between
        antipodes every direction is shortest; the arc that leaves northwards is returned.

    Raises:
        ValueError: As :func:`haversine_km`, or n < 2.

    >>> [segment[:, 1].tolist() for segment in great_circle_points(lat1=0, lon1=170, lat2=0, lon2=-170, n=2)]
    [[170.0, 180.0], [-180.0, -170.0]]
    """
    if n < 2:
        raise ValueError(f"n={n}: expected at least 2 points (start and end)")
    start, _, north = _frame(_radians(lat1, "lat1", latitude=True), _radians(lon1, "lon1"))
    end, _, _ = _frame(_radians(lat2, "lat2", latitude=True), _radians(lon2, "lon2"))
    delta = float(haversine_km(lat1=lat1, lon1=lon1, lat2=lat2, lon2=lon2)) / EARTH_RADIUS_KM
    tangent = end - np.dot(start, end) * start
    length = float(np.linalg.norm(tangent))
    tangent = tangent / length if length > 1e-12 else north
    angles = np.linspace(0.0, delta, n)[:, None]
    vectors = np.cos(angles) * start + np.sin(angles) * tangent  # [n, 3]
    latitudes, longitudes = _to_degrees(vectors)
    points = np.column_stack([latitudes, longitudes])  # [n, 2]
    points[0] = lat1, normalize_longitude_deg(lon1)
    points[-1] = lat2, normalize_longitude_deg(lon2)
    return _split_at_antimeridian(points, vectors)


def normalize_longitude_deg(longitude_deg: npt.ArrayLike) -> FloatArray:
    """The same meridian within [-180, 180]; what lies there already, both ends included, is returned unchanged.

    Args:
        longitude_deg: Degrees, any turn, any shape.

    Raises:
        ValueError: Not finite.

    >>> float(normalize_longitude_deg(190)), float(normalize_longitude_deg(180))
    (-170.0, 180.0)
    """
    values = _finite(longitude_deg, "longitude_deg")
    wrapped = (values + _HALF_TURN_DEG) % 360.0 - _HALF_TURN_DEG
    return np.where(np.abs(values) <= _HALF_TURN_DEG, values, wrapped)[()]


def geoscore(distance_km: npt.ArrayLike) -> FloatArray:
    """Score of a geolocation error: 5000 exp(-d / 1492.7 km), which is 5000 at the spot and 0 for a miss.

    Args:
        distance_km: Error in kilometres, >= 0, any shape; infinity stands for no usable answer.

    Returns:
        Scores in [0, 5000].

    Raises:
        ValueError: Negative or NaN.

    Source: OSV-5M benchmark (Astruc et al. 2024).

    >>> round(float(geoscore(1492.7)), 2), float(geoscore(float("inf")))
    (1839.4, 0.0)
    """
    distances = np.asarray(distance_km, dtype=np.float64)
    if not np.all(distances >= 0.0):
        raise ValueError(f"distance_km: expected values >= 0 (infinity for a miss), got {distances}")
    return np.asarray(GEOSCORE_MAX * np.exp(-distances / GEOSCORE_SCALE_KM))[()]


def check_position(
    latitude_deg: npt.ArrayLike, longitude_deg: npt.ArrayLike, suffix: str = ""
) -> tuple[FloatArray, FloatArray]:
    """Latitude and longitude in radians, of any shape; ``suffix`` ends their names in messages.

    Raises:
        ValueError: A latitude outside [-90, 90], or a value that is not finite.
    """
    return _radians(latitude_deg, f"lat{suffix}", latitude=True), _radians(longitude_deg, f"lon{suffix}")


def _finite(values: npt.ArrayLike, name: str) -> FloatArray:
    array = np.asarray(values, dtype=np.float64)
    if not np.all(np.isfinite(array)):
        raise ValueError(f"{name}: expected finite numbers, got {array[~np.isfinite(array)][:3]}")
    return array


def _radians(degrees: npt.ArrayLike, name: str, *, latitude: bool = False) -> FloatArray:
    array = _finite(degrees, name)
    if latitude and not np.all(np.abs(array) <= 90.0):
        worst = float(array.flat[np.argmax(np.abs(array))])
        raise ValueError(f"{name}={worst} is outside [-90, 90]; are latitude and longitude swapped?")
    return np.radians(array)


def _frame(phi: FloatArray, lam: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Unit vectors at positions in radians: the position itself, east and north, each [..., 3]."""
    zero = np.zeros_like(phi)
    position = np.stack([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)], axis=-1)
    east = np.stack([-np.sin(lam), np.cos(lam), zero], axis=-1)
    north = np.stack([-np.sin(phi) * np.cos(lam), -np.sin(phi) * np.sin(lam), np.cos(phi)], axis=-1)
    return position, east, north


def _to_degrees(vectors: FloatArray) -> tuple[FloatArray, FloatArray]:
    x, y, z = vectors[..., 0], vectors[..., 1], vectors[..., 2]
    return np.degrees(np.arctan2(z, np.hypot(x, y))), np.degrees(np.arctan2(y, x))


def _split_at_antimeridian(points: FloatArray, vectors: FloatArray) -> list[FloatArray]:
    """Cut [n, 2] degrees where neighbours lie on different sides of ±180°; the cut lies on the great circle."""
    crossings = np.flatnonzero(np.abs(np.diff(points[:, 1])) > _HALF_TURN_DEG)
    segments: list[FloatArray] = []
    head: list[FloatArray] = []
    start = 0
    for index in crossings:
        before, after = vectors[index], vectors[index + 1]
        cut = before * abs(after[1]) + after * abs(before[1])  # y = 0: on the plane of the meridians 0° and 180°
        cut = cut if cut.any() else before
        latitude = np.degrees(np.arctan2(cut[2], abs(cut[0])))
        side = np.copysign(_HALF_TURN_DEG, points[index, 1])
        segments.append(np.vstack([*head, points[start : index + 1], [[latitude, side]]]))
        head, start = [np.array([[latitude, -side]])], int(index) + 1
    segments.append(np.vstack([*head, points[start:]]))
    drawn = [segment for segment in segments if np.ptp(segment, axis=0).max() > 1e-12]
    return drawn or segments[:1]
