"""The shape and colour of a scene: square grids that both renderers read.

Row 0 of every grid is the northern edge, column 0 the western one; the camera stands at the centre.
"""

from __future__ import annotations

import dataclasses
import functools
import math

import numpy as np

from geor1.world.scene import SCENE_SIZE_M, Scene

GRID = 84
"""Cells along an edge; one cell is one pixel of the default satellite tile."""
CELL_M = SCENE_SIZE_M / GRID
GROUND, BUILDING, TREE, WATER, CAR = range(5)

_ROW, _COLUMN = np.mgrid[:GRID, :GRID]
EAST_M = ((_COLUMN - (GRID - 1) / 2) * CELL_M).astype(np.float32)
NORTH_M = (((GRID - 1) / 2 - _ROW) * CELL_M).astype(np.float32)
RANGE_M = np.hypot(EAST_M, NORTH_M)
AZIMUTH_DEG = (np.degrees(np.arctan2(EAST_M, NORTH_M)) % 360.0).astype(np.float32)
REACH_M = 31.0
ROAD_HALF_WIDTH_M = 2.8

GROUND_RGB = {
    "tropical": (86, 128, 62),
    "arid": (186, 146, 104),
    "temperate": (116, 146, 82),
    "continental": (128, 140, 92),
    "polar": (196, 200, 204),
}
TREE_RGB = {
    "tropical": (34, 98, 36),
    "arid": (92, 104, 52),
    "temperate": (46, 94, 40),
    "continental": (30, 72, 48),
    "polar": (40, 74, 58),
}
WATER_RGB = {
    "tropical": (36, 138, 168),
    "arid": (48, 118, 158),
    "temperate": (44, 92, 152),
    "continental": (40, 80, 136),
    "polar": (70, 120, 168),
}
ROOF_RGB = {
    "tropical": ((176, 84, 58), (150, 120, 96)),
    "arid": ((206, 122, 78), (188, 96, 64)),
    "temperate": ((172, 70, 50), (140, 64, 54)),
    "continental": ((150, 62, 52), (168, 84, 60)),
    "polar": ((168, 48, 44), (148, 70, 62)),
}
CAR_RGB = ((196, 40, 40), (236, 236, 236), (40, 70, 180), (30, 30, 34), (230, 190, 40))
ROAD_RGB = (88, 88, 94)


@dataclasses.dataclass(frozen=True)
class Grids:
    """A scene as grids of ``[GRID, GRID]``: height in metres, top colour, side colour (0-255) and kind of surface."""

    height_m: np.ndarray
    top_rgb: np.ndarray
    side_rgb: np.ndarray
    kind: np.ndarray


@functools.cache
def noise_bank() -> np.ndarray:
    """Smooth plus fine noise, ``[256, 256]`` in about [-2, 2]; scenes take crops of it (drawing afresh is slower)."""
    rng = np.random.default_rng(20240229)
    bank = 0.55 * rng.standard_normal((256, 256))
    for scale in (4, 16):
        coarse = rng.standard_normal((256 // scale, 256 // scale))
        rows = np.arange(256) / scale
        low = np.floor(rows).astype(int)
        part = (rows - low)[:, None]
        smooth = coarse[low] * (1 - part) + coarse[(low + 1) % coarse.shape[0]] * part
        smooth = smooth[:, low] * (1 - part.T) + smooth[:, (low + 1) % coarse.shape[1]] * part.T
        bank += 0.6 * smooth
    return bank.astype(np.float32)


def crop_noise(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """A random ``[rows, columns]`` window of the noise bank; at most 256 either way."""
    bank = noise_bank()
    top = rng.integers(256 - rows + 1)
    left = rng.integers(256 - columns + 1)
    return bank[top : top + rows, left : left + columns]


@functools.lru_cache(maxsize=64)
def grids(scene: Scene) -> Grids:
    """Lay out a scene; the same scene always gives the same grids."""
    rng = np.random.default_rng(scene.seed)
    climate = scene.place.climate
    base = np.array(GROUND_RGB[climate], np.float32) * 0.75 + np.array(scene.place.surface_rgb, np.float32) * 0.25
    top = base + 5.0 * crop_noise(rng, GRID, GRID)[..., None] * np.array([1.0, 1.0, 0.7], np.float32)
    height = np.zeros((GRID, GRID), np.float32)
    layout = Grids(height, top, top.copy(), np.zeros((GRID, GRID), np.uint8))
    for index, feature in enumerate(scene.features):
        azimuth_deg = index * 90.0 + rng.uniform(-14.0, 14.0)
        off_deg = np.abs((AZIMUTH_DEG - azimuth_deg + 180.0) % 360.0 - 180.0)
        edge = rng.uniform(32.0, 40.0) + 3.0 * crop_noise(rng, GRID, GRID)
        inside = (off_deg < edge) & (rng.uniform(5.5, 8.5) < RANGE_M) & (RANGE_M < REACH_M)
        _PAINTERS[feature](layout, inside, climate, rng)
    _paint_roads(layout, scene, rng)
    return layout


def _paint_water(layout: Grids, inside: np.ndarray, climate: str, rng: np.random.Generator) -> None:
    ripple = 4.0 * crop_noise(rng, GRID, GRID)[..., None]
    layout.top_rgb[inside] = (np.array(WATER_RGB[climate], np.float32) + ripple)[inside]
    layout.side_rgb[inside] = layout.top_rgb[inside]
    layout.height_m[inside] = -0.4
    layout.kind[inside] = WATER


def _paint_sand(layout: Grids, inside: np.ndarray, climate: str, rng: np.random.Generator) -> None:
    angle = rng.uniform(0, math.pi)
    ripple = 8.0 * np.sin((EAST_M * math.cos(angle) + NORTH_M * math.sin(angle)) * 1.1)
    tone = np.array((232, 212, 152) if climate != "polar" else (222, 206, 170), np.float32)
    layout.top_rgb[inside] = (tone + (ripple + 3.0 * crop_noise(rng, GRID, GRID))[..., None])[inside]
    layout.side_rgb[inside] = layout.top_rgb[inside]


def _paint_field(layout: Grids, inside: np.ndarray, climate: str, rng: np.random.Generator) -> None:
    angle = rng.uniform(0, math.pi)
    phase = EAST_M * math.cos(angle) + NORTH_M * math.sin(angle)
    furrow = (np.floor(phase / 2.3).astype(int) % 2 == 0) & inside
    layout.top_rgb[inside] = (206, 186, 62)
    layout.top_rgb[furrow] = (128, 142, 36)
    layout.top_rgb[inside] += (4.0 * crop_noise(rng, GRID, GRID)[..., None] * np.ones(3, np.float32))[inside]
    layout.side_rgb[inside] = layout.top_rgb[inside]
    layout.height_m[furrow] = 0.45


@functools.cache
def _disc(radius_cells: int) -> tuple[np.ndarray, np.ndarray]:
    """Boolean disc and its dome (1 at the centre, 0 at the rim), ``[2r+1, 2r+1]`` each."""
    row, column = np.mgrid[-radius_cells : radius_cells + 1, -radius_cells : radius_cells + 1]
    distance = np.hypot(row, column) / (radius_cells + 0.4)
    return distance <= 1.0, np.sqrt(np.clip(1.0 - distance**2, 0.0, 1.0)).astype(np.float32)


def _paint_forest(layout: Grids, inside: np.ndarray, climate: str, rng: np.random.Generator) -> None:
    cells = np.argwhere(inside)
    layout.top_rgb[inside] = layout.top_rgb[inside] * 0.55 + np.array(TREE_RGB[climate], np.float32) * 0.4
    tone = np.array(TREE_RGB[climate], np.float32)
    low, high = {"arid": (3.0, 4.5), "polar": (3.5, 5.5)}.get(climate, (5.5, 8.5))
    for row, column in cells[rng.integers(len(cells), size=34)]:
        radius = int(rng.integers(2, 4))
        disc, dome = _disc(radius)
        window = (slice(row - radius, row + radius + 1), slice(column - radius, column + radius + 1))
        if layout.height_m[window].shape != disc.shape:
            continue
        crown = disc & (RANGE_M[window] > 5.0)
        shape = dome if climate not in ("continental", "polar") else dome**2  # conifers are pointed
        layout.height_m[window][crown] = (rng.uniform(low, high) * (0.55 + 0.45 * shape))[crown]
        shade = tone * rng.uniform(0.8, 1.2)
        layout.top_rgb[window][crown] = (shade * (0.62 + 0.6 * dome[..., None]))[crown]
        layout.side_rgb[window][crown] = shade * 0.85
        layout.kind[window][crown] = TREE


def _paint_buildings(
    layout: Grids,
    inside: np.ndarray,
    rng: np.random.Generator,
    *,
    count: int,
    half_cells: tuple[int, int],
    tower: bool,
    climate: str,
) -> None:
    cells = np.argwhere(inside & (RANGE_M > 9.0) & (RANGE_M < REACH_M - 2.0))
    placed: list[tuple[int, int]] = []
    for row, column in cells[rng.integers(len(cells), size=count * 6)]:
        if len(placed) == count:
            break
        half_row, half_column = (int(half) for half in rng.integers(half_cells[0], half_cells[1] + 1, size=2))
        gap = 2 * half_cells[1] + 2
        if any(abs(row - r) < gap and abs(column - c) < gap for r, c in placed):
            continue
        placed.append((int(row), int(column)))
        window = (slice(row - half_row, row + half_row), slice(column - half_column, column + half_column))
        if tower:
            _put_tower(layout, window, rng)
        else:
            _put_house(layout, window, climate, rng)


def _put_house(layout: Grids, window: tuple[slice, slice], climate: str, rng: np.random.Generator) -> None:
    roof = np.array(ROOF_RGB[climate][int(rng.integers(2))], np.float32) * rng.uniform(0.9, 1.1)
    height, top = layout.height_m[window], layout.top_rgb[window]
    rows, columns = height.shape
    along_rows = rows < columns  # the ridge runs along the longer side
    across = np.abs(np.linspace(-1, 1, rows if along_rows else columns, dtype=np.float32))
    ridge = 1.0 - (across[:, None] if along_rows else across[None, :])
    height[:] = rng.uniform(3.4, 4.4) + 1.6 * ridge
    lit = np.linspace(-1, 1, rows if along_rows else columns) < 0
    slope = np.where(lit, 1.12, 0.78).astype(np.float32)
    top[:] = roof * (slope[:, None, None] if along_rows else slope[None, :, None])
    layout.side_rgb[window] = np.array((222, 204, 178), np.float32) * rng.uniform(0.82, 1.05)
    layout.kind[window] = BUILDING


def _put_tower(layout: Grids, window: tuple[slice, slice], rng: np.random.Generator) -> None:
    tone = np.array((152, 156, 168), np.float32) * rng.uniform(0.85, 1.1)
    layout.height_m[window] = rng.uniform(13.0, 22.0)
    layout.top_rgb[window] = tone * 1.18
    inner = layout.top_rgb[window][1:-1, 1:-1]
    inner[:] = tone * 0.86
    inner[1:3, 1:3] = tone * 1.25  # a lift house on the roof
    layout.side_rgb[window] = tone
    layout.kind[window] = BUILDING


def _paint_houses(layout: Grids, inside: np.ndarray, climate: str, rng: np.random.Generator) -> None:
    _paint_buildings(layout, inside, rng, count=6, half_cells=(3, 5), tower=False, climate=climate)


def _paint_towers(layout: Grids, inside: np.ndarray, climate: str, rng: np.random.Generator) -> None:
    _paint_buildings(layout, inside, rng, count=3, half_cells=(5, 6), tower=True, climate=climate)


_PAINTERS = {
    "water": _paint_water,
    "forest": _paint_forest,
    "houses": _paint_houses,
    "towers": _paint_towers,
    "field": _paint_field,
    "sand": _paint_sand,
}


def _paint_roads(layout: Grids, scene: Scene, rng: np.random.Generator) -> None:
    """Roads from the camera outwards, with cars on the country's side."""
    for index, arm in enumerate(scene.road_arms):
        along, across = ((NORTH_M, EAST_M), (EAST_M, -NORTH_M), (-NORTH_M, -EAST_M), (-EAST_M, NORTH_M))[index]
        if not arm:
            continue
        road = (along > -ROAD_HALF_WIDTH_M) & (np.abs(across) < ROAD_HALF_WIDTH_M)
        _flatten(layout, road, ROAD_RGB, rng)
        dashes = (along > 0) & (np.abs(across) < 0.45) & (np.floor(along / 2.2).astype(int) % 2 == 0)
        layout.top_rgb[dashes] = (226, 222, 206)
        right_hand = 1.0 if scene.city.driving_side == "right" else -1.0
        for outward in (True, False):
            _put_car(layout, along, across, right_hand if outward else -right_hand, outward, rng)
    plaza = RANGE_M < 3.6
    _flatten(layout, plaza, ROAD_RGB, rng)


def _flatten(layout: Grids, where: np.ndarray, rgb: tuple[int, int, int], rng: np.random.Generator) -> None:
    layout.height_m[where] = 0.0
    layout.top_rgb[where] = rgb
    layout.top_rgb[where] += rng.uniform(-4.0, 4.0)
    layout.side_rgb[where] = rgb
    layout.kind[where] = GROUND


def _put_car(
    layout: Grids, along: np.ndarray, across: np.ndarray, lane: float, outward: bool, rng: np.random.Generator
) -> None:
    """One car in its lane; its rear is red and its front pale, so the travelling direction can be seen."""
    start_m = rng.uniform(5.5, 20.0)
    body = (np.abs(across - lane * 1.5) < 0.95) & (along > start_m) & (along < start_m + 4.0)
    layout.top_rgb[body] = CAR_RGB[int(rng.integers(len(CAR_RGB)))]
    layout.height_m[body] = 1.5
    layout.side_rgb[body] = (250, 244, 200) if not outward else (200, 20, 20)
    layout.kind[body] = CAR
