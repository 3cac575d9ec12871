"""CVACT: panoramas and satellite images of Canberra, its lists in ``ACT_data.mat``.

Layout, as Skyy93/Sample4Geo reads it: ``ACT_data.mat`` with ``panoIds``, ``utm`` (easting, northing in metres, row by
row with the ids), ``trainSet`` and ``valSet`` whose second field holds numbers of rows, counted from 1;
``ANU_data_small/streetview/<id>_grdView.jpg`` and ``ANU_data_small/satview_polish/<id>_satView_polish.jpg``. That the
coordinates are of UTM zone 55 south is inferred from where Canberra lies, not read anywhere.

A tile shows at most 146 m: 0.12 m a pixel, zoom 20, 1200 pixels by the authors (Liumouliu/OriCNN, issue 5). The same
page has a measurement of 68 m, as if pixels were doubled. The larger edge is safe; ``tile_extent_m`` sets another.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from scipy.io import loadmat

from geor1.synthesis.layouts.base import PairEntry, PairLayout
from geor1.synthesis.separation import mercator_edge_m
from geor1.synthesis.sources import SourceError

_FILE = "ACT_data.mat"
_SETS = {"train": "trainSet", "test": "valSet"}
_ZONE = 55
_NORTH_DEG = -35.1  # of the Australian Capital Territory: tiles show most there
# WGS84 and UTM constants (NGA.SIG.0012).
_A_M, _F, _SCALE, _FALSE_EASTING_M, _FALSE_NORTHING_M = 6378137.0, 1 / 298.257223563, 0.9996, 500_000.0, 10_000_000.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class CvActLayout(PairLayout):
    """CVACT; the published validation set is the test split.

    Both splits are of one city, so this delivers one of them at a time: the test split unless told otherwise.
    """

    source: ClassVar[str] = "cvact"
    tile_edge_m: ClassVar[float] = mercator_edge_m(1200, zoom=20, latitude_deg=_NORTH_DEG)
    tile_evidence: ClassVar[str] = "zoom 20 and 1200 px by the authors, in Canberra"
    split: str | None = "test"

    def published(self) -> Iterator[PairEntry]:
        """See :meth:`PairLayout.published`."""
        path = Path(self.root) / _FILE
        if not path.is_file():
            raise SourceError(f"{path}: no such file; is this the root of CVACT?")
        data = loadmat(path)
        absent = [name for name in ("panoIds", "utm", *_SETS.values()) if name not in data]
        if absent:
            raise SourceError(f"{_FILE}: no variable {absent[0]!r}; found {sorted(n for n in data if n[0] != '_')}")
        ids = [str(one).strip() for one in np.ravel(data["panoIds"])]
        utm = np.asarray(data["utm"], dtype=float)
        if utm.shape[0] != len(ids) or utm.ndim != 2 or utm.shape[1] < 2:
            raise SourceError(f"{_FILE}, 'utm': expected {len(ids)} rows of two columns, got shape {utm.shape}")
        for split, name in _SETS.items():
            for number in _numbers(data[name], name, len(ids)):
                yield _entry(ids[number - 1], split, utm[number - 1], f"{_FILE} row {number} of {name}")


def utm_to_degrees(easting_m: float, northing_m: float, *, zone: int, south: bool) -> tuple[float, float]:
    """WGS84 latitude and longitude of a UTM position, to a millimetre inside a zone.

    Args:
        easting_m: With the false easting of 500 km.
        northing_m: With the false northing of 10,000 km in the south.
        zone: 1 … 60.
        south: Southern hemisphere.

    Source: Krüger's series to the third order in n (Karney 2011, equation 36).

    >>> latitude, longitude = utm_to_degrees(630084, 4833438, zone=17, south=False)  # the CN Tower
    >>> round(latitude, 4), round(longitude, 4)
    (43.6426, -79.3871)
    """
    n = _F / (2 - _F)
    radius = _A_M / (1 + n) * (1 + n**2 / 4 + n**4 / 64)
    xi = (northing_m - (_FALSE_NORTHING_M if south else 0.0)) / (_SCALE * radius)
    eta = (easting_m - _FALSE_EASTING_M) / (_SCALE * radius)
    beta = (n / 2 - 2 * n**2 / 3 + 37 * n**3 / 96, n**2 / 48 + n**3 / 15, 17 * n**3 / 480)
    xi_0 = xi - sum(b * math.sin(2 * j * xi) * math.cosh(2 * j * eta) for j, b in enumerate(beta, start=1))
    eta_0 = eta - sum(b * math.cos(2 * j * xi) * math.sinh(2 * j * eta) for j, b in enumerate(beta, start=1))
    chi = math.asin(math.sin(xi_0) / math.cosh(eta_0))
    delta = (2 * n - 2 * n**2 / 3 - 2 * n**3, 7 * n**2 / 3 - 8 * n**3 / 5, 56 * n**3 / 15)
    latitude = chi + sum(d * math.sin(2 * j * chi) for j, d in enumerate(delta, start=1))
    longitude = math.atan2(math.sinh(eta_0), math.cos(xi_0))
    return math.degrees(latitude), math.degrees(longitude) + zone * 6 - 183


def _entry(pano_id: str, split: str, utm: np.ndarray, where: str) -> PairEntry:
    latitude_deg, longitude_deg = utm_to_degrees(float(utm[0]), float(utm[1]), zone=_ZONE, south=True)
    return PairEntry(
        name=pano_id,
        ground=f"ANU_data_small/streetview/{pano_id}_grdView.jpg",
        satellite=f"ANU_data_small/satview_polish/{pano_id}_satView_polish.jpg",
        split=split,
        latitude_deg=latitude_deg,
        longitude_deg=longitude_deg,
        city="Canberra",
        country="Australia",
        country_code="AU",
        where=where,
    )


def _numbers(value: Any, name: str, n_ids: int) -> list[int]:
    try:
        numbers = [int(one) for one in np.ravel(value[0][0][1])]
    except (IndexError, TypeError, ValueError) as error:
        raise SourceError(f"{_FILE}, {name!r}: expected a struct whose second field holds row numbers") from error
    wrong = [number for number in numbers if not 1 <= number <= n_ids]
    if wrong:
        raise SourceError(f"{_FILE}, {name!r}: row number {wrong[0]} is outside 1 … {n_ids}")
    return numbers
