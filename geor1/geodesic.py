"""Distances on the WGS84 ellipsoid, from which the sphere of :mod:`geor1.geodesy` departs by up to 0.56 %."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from geor1.geodesy import FloatArray, check_position

SEMI_MAJOR_KM = 6378.137
FLATTENING = 1 / 298.257223563


def geodesic_km(*, lat1: npt.ArrayLike, lon1: npt.ArrayLike, lat2: npt.ArrayLike, lon2: npt.ArrayLike) -> FloatArray:
    """Length of the shortest path on the WGS84 ellipsoid, to first order in its flattening.

    Within 4e-6 of the exact geodesic up to 15,000 km, 5e-5 up to 19,500 km and 0.2 % everywhere (worst between
    antipodes on the equator, where the shortest path leaves over a pole). No iteration: a whole array at once.

    Args:
        lat1: Degrees, any shape; so are the others, broadcast together.
        lon1: Degrees, any turn.
        lat2: Degrees.
        lon2: Degrees, any turn.

    Returns:
        Kilometres in [0, 20037.6], of the broadcast shape; a NumPy scalar for scalars.

    Raises:
        ValueError: A latitude outside [-90, 90], or a value that is not finite.

    Source: Lambert's formula for long lines (1942), on reduced latitudes.

    >>> round(float(geodesic_km(lat1=0, lon1=0, lat2=1, lon2=0)), 2)  # on a sphere of 6371 km 111.19
    110.57
    """
    beta1, lam1 = _reduced(*check_position(lat1, lon1, "1"))
    beta2, lam2 = _reduced(*check_position(lat2, lon2, "2"))
    half_dlon = (lam2 - lam1) / 2.0
    cosines = np.cos(beta1) * np.cos(beta2)
    mean, half = np.sin((beta1 + beta2) / 2.0) ** 2, np.sin((beta2 - beta1) / 2.0) ** 2
    near = half + cosines * np.sin(half_dlon) ** 2  # sin^2 of half the angle between the places
    far = mean + cosines * np.cos(half_dlon) ** 2  # cos^2 of it
    angle = 2.0 * np.arctan2(np.sqrt(near), np.sqrt(far))
    # Both quotients are at most 1; where a divisor vanishes, the places coincide or are antipodes.
    along = (angle - np.sin(angle)) * mean * (1.0 - half) / np.maximum(far, np.finfo(float).tiny)
    across = (angle + np.sin(angle)) * half * (1.0 - mean) / np.maximum(near, np.finfo(float).tiny)
    return np.asarray(SEMI_MAJOR_KM * (angle - FLATTENING / 2.0 * (along + across)))[()]


def _reduced(phi: FloatArray, lam: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Reduced latitude (of the sphere around the ellipsoid) and longitude, radians."""
    return np.arctan2((1.0 - FLATTENING) * np.sin(phi), np.cos(phi)), lam
