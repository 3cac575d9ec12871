"""Distances, bearings and arcs on the sphere, and the score of a geolocation error.

Angles are degrees, WGS84 read as spherical: latitude in [-90, 90], north positive; longitude east positive, any turn.
Every position is given by keyword, latitude before longitude. Arrays broadcast as in NumPy.
"""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

FloatArray: TypeAlias = npt.NDArray[np.float64]

EARTH_RADIUS_KM = 6371.0  # as in the OSV-5M benchmark, whose distances this reproduces to 1e-11 km
WGS84_EQUATOR_KM = 6378.137  # semi-major axis of the ellipsoid
WGS84_FLATTENING = 1 / 298.257223563
GEOSCORE_MAX = 5000.0  # GeoGuessr's full score
GEOSCORE_SCALE_KM = 1492.7  # OSV-5M (Astruc et al. 2024): score = 5000 exp(-d / 1492.7)
_HALF_TURN_DEG = 180.0
_VINCENTY_LIMIT_DEG = 178.5  # on the sphere; from about 179.4° on Vincenty's iteration does not converge


def haversine_km(
    *,
    lat1: npt.ArrayLike,
    lon1: npt.ArrayLike,
    lat2: npt.ArrayLike,
    lon2: npt.ArrayLike,
    radius_km: float = EARTH_RADIUS_KM,
) -> FloatArray:
    """Great-circle distance.

    The haversine h and its complement 1 - h are each a sum of terms without cancellation, so that metres and antipodes
    come out equally exact.

    Args:
        lat1: Degrees, any shape; so are the others, broadcast together.
        lon1: Degrees.
        lat2: Degrees.
        lon2: Degrees.
        radius_km: Of the sphere, kilometres.

    Returns:
        Kilometres in [0, 20015.09] at the default radius, of the broadcast shape; a NumPy scalar for scalars.

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
    return np.asarray(2.0 * radius_km * np.arctan2(np.sqrt(haversine), np.sqrt(complement)))[()]


def geodesic_km(*, lat1: npt.ArrayLike, lon1: npt.ArrayLike, lat2: npt.ArrayLike, lon2: npt.ArrayLike) -> FloatArray:
    """Distance along the WGS84 ellipsoid.

    Args:
        lat1: Geodetic degrees, any shape; so are the others, broadcast together.
        lon1: Degrees.
        lat2: Geodetic degrees.
        lon2: Degrees.

    Returns:
        Kilometres in [0, 20003.94], exact to about a millimetre, of the broadcast shape; a NumPy scalar for scalars.

    Raises:
        ValueError: As :func:`haversine_km`.

    Source: Vincenty (1975), which does not converge near the antipode; there the shortest way is found through the
        circle half-way (:func:`_through_the_middle_km`).

    >>> round(float(geodesic_km(lat1=0, lon1=0, lat2=90, lon2=0)), 3)  # a quarter meridian
    10001.966
    """
    angles = np.broadcast_arrays(
        _radians(lat1, "lat1", latitude=True), _radians(lon1, "lon1"),
        _radians(lat2, "lat2", latitude=True), _radians(lon2, "lon2"),
    )  # fmt: skip
    phi1, lam1, phi2, lam2 = (angle.ravel() for angle in angles)
    apart = np.degrees(haversine_km(lat1=lat1, lon1=lon1, lat2=lat2, lon2=lon2, radius_km=1.0)).ravel()
    far = apart > _VINCENTY_LIMIT_DEG
    distances = np.empty(len(phi1))
    distances[~far] = _vincenty_km(phi1[~far], phi2[~far], (lam2 - lam1)[~far])
    for index in np.flatnonzero(far):
        distances[index] = _through_the_middle_km(phi1[index], lam1[index], phi2[index], lam2[index])
    return distances.reshape(angles[0].shape)[()]


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


def cell_label(*, latitude_deg: float, longitude_deg: float, size_deg: float = 0.01) -> str:
    """The cell of a degree grid that a position lies in; positions of one cell are no independent ones.

    :func:`geor1.evaluation.columns.cell_clusters` numbers the same cells for arrays.

    Args:
        latitude_deg: Degrees in [-90, 90].
        longitude_deg: Degrees, any turn; the antimeridian begins a cell.
        size_deg: Edge of a cell; 0.01° is 1.1 km north to south.

    Raises:
        ValueError: The edge is not positive.

    >>> cell_label(latitude_deg=-33.8613, longitude_deg=151.209)
    '-3387,15120'
    >>> cell_label(latitude_deg=0.29, longitude_deg=180.0) == cell_label(latitude_deg=0.2999, longitude_deg=-180.0)
    True
    """
    if not size_deg > 0:
        raise ValueError(f"size_deg={size_deg}: expected a positive size in degrees")
    longitude_deg = longitude_deg if -180.0 <= longitude_deg < 180.0 else (longitude_deg + 180.0) % 360.0 - 180.0
    # Rounded first: 0.29 / 0.01 is 28.999…96, and stays in its cell only so.
    row, place = (math.floor(round(angle / size_deg, 6)) for angle in (latitude_deg, longitude_deg))
    return f"{row},{place}"


def onto_sphere(*, latitude_deg: npt.ArrayLike, longitude_deg: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    """The position that trigonometry reads out of any two numbers: a latitude beyond a pole comes down on its far side.

    The haversine formula without a range check gives this position's distance, so that code which takes 250 for a
    latitude can be followed to the digit.

    Args:
        latitude_deg: Degrees, any finite number, any shape.
        longitude_deg: Degrees, any turn, the same shape.

    Returns:
        Latitude in [-90, 90] and longitude in [-180, 180].

    Raises:
        ValueError: Not finite.

    >>> [float(value) for value in onto_sphere(latitude_deg=100, longitude_deg=20)]
    [80.0, -160.0]
    """
    latitude = normalize_longitude_deg(_finite(latitude_deg, "latitude_deg"))
    beyond = np.abs(latitude) > 90.0
    folded = np.where(beyond, np.copysign(_HALF_TURN_DEG, latitude) - latitude, latitude)
    longitude = _finite(longitude_deg, "longitude_deg")
    return folded[()], normalize_longitude_deg(np.where(beyond, longitude + _HALF_TURN_DEG, longitude))


def geoscore(distance_km: npt.ArrayLike, *, scale_km: float = GEOSCORE_SCALE_KM) -> FloatArray:
    """Score of a geolocation error: 5000 exp(-d / 1492.7 km), which is 5000 at the spot and 0 for a miss.

    Args:
        distance_km: Error in kilometres, >= 0, any shape; infinity stands for no usable answer.
        scale_km: Distance over which the score falls to 1/e.

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
    return np.asarray(GEOSCORE_MAX * np.exp(-distances / scale_km))[()]


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


def _vincenty_km(phi1: FloatArray, phi2: FloatArray, dlon: FloatArray) -> FloatArray:
    """Vincenty's inverse formula in radians, all [n]; pairs at most _VINCENTY_LIMIT_DEG apart."""
    f, polar_km = WGS84_FLATTENING, WGS84_EQUATOR_KM * (1 - WGS84_FLATTENING)
    u1, u2 = np.arctan((1 - f) * np.tan(phi1)), np.arctan((1 - f) * np.tan(phi2))
    dlon = np.angle(np.exp(1j * dlon))  # the shorter way round, in (-pi, pi]
    lam = dlon
    for _ in range(100):
        east, north = np.cos(u2) * np.sin(lam), np.cos(u1) * np.sin(u2) - np.sin(u1) * np.cos(u2) * np.cos(lam)
        sin_sigma = np.hypot(east, north)
        cos_sigma = np.sin(u1) * np.sin(u2) + np.cos(u1) * np.cos(u2) * np.cos(lam)
        sigma = np.arctan2(sin_sigma, cos_sigma)
        sin_alpha = _ratio(np.cos(u1) * np.cos(u2) * np.sin(lam), sin_sigma)
        cos2_alpha = 1 - sin_alpha**2
        cos_2m = cos_sigma - _ratio(2 * np.sin(u1) * np.sin(u2), cos2_alpha)
        c = f / 16 * cos2_alpha * (4 + f * (4 - 3 * cos2_alpha))
        bend = sigma + c * sin_sigma * (cos_2m + c * cos_sigma * (2 * cos_2m**2 - 1))
        before, lam = lam, dlon + (1 - c) * f * sin_alpha * bend
        if np.all(np.abs(lam - before) < 1e-13):
            break
    else:
        raise ArithmeticError("geodesic_km: Vincenty's formula did not converge; please report the positions")
    u_squared = cos2_alpha * (WGS84_EQUATOR_KM**2 - polar_km**2) / polar_km**2
    a = 1 + u_squared / 16384 * (4096 + u_squared * (-768 + u_squared * (320 - 175 * u_squared)))
    b = u_squared / 1024 * (256 + u_squared * (-128 + u_squared * (74 - 47 * u_squared)))
    inner = cos_sigma * (2 * cos_2m**2 - 1) - b / 6 * cos_2m * (4 * sin_sigma**2 - 3) * (4 * cos_2m**2 - 3)
    return polar_km * a * (sigma - b * sin_sigma * (cos_2m + b / 4 * inner))


def _through_the_middle_km(phi1: float, lam1: float, phi2: float, lam2: float) -> float:
    """Distance of two positions near each other's antipode, in radians.

    Every way between them crosses the circle 90° from the first, so the shortest is the least sum of two ways, to a
    point of that circle and on, both easy ones. That point is searched by its azimuth.
    """
    _, east, north = _frame(np.asarray(phi1), np.asarray(lam1))

    def length(azimuths: FloatArray) -> FloatArray:
        """Kilometres by way of the circle's points at these azimuths, [n]."""
        middle = np.sin(azimuths)[:, None] * east + np.cos(azimuths)[:, None] * north
        phi, lam = (np.radians(angle) for angle in _to_degrees(middle))
        return _vincenty_km(np.full(len(phi), phi1), phi, lam - lam1) + _vincenty_km(
            phi, np.full(len(phi), phi2), lam2 - lam
        )

    width = np.pi
    best = np.pi
    for _ in range(9):  # each round narrows the search fifteenfold
        azimuths = best + np.linspace(-width, width, 61)
        lengths = length(azimuths)
        best, width = azimuths[np.argmin(lengths)], width / 15
    return float(lengths.min())


def _ratio(numerator: FloatArray, denominator: FloatArray) -> FloatArray:
    """Quotient, 0 where the denominator is 0 (equal positions; the equator)."""
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator > 1e-30)


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
