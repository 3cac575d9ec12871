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
        turned_deg = AZIMUTH_DEG - azimuth_deg
        turned_deg += 180.0
        turned_deg += np.where(turned_deg < 0.0, 360.0, np.where(turned_deg >= 360.0, -360.0, 0.0))  # cheaper than %
        edge = rng.uniform(32.0, 40.0) + 3.0 * crop_noise(rng, GRID, GRID)
        inside = (np.abs(turned_deg - 180.0) < edge) & (rng.uniform(5.5, 8.5) < RANGE_M) & (RANGE_M < REACH_M)
        _PAINTERS[feature](layout, np.flatnonzero(inside), climate, rng)
    _paint_roads(layout, scene, rng)
    return layout


# Painters take the cells of their feature as indices into flattened grids: a mask would be searched at every use.


def _flat(grid: np.ndarray) -> np.ndarray:
    """A view of a grid as ``[GRID * GRID]`` or ``[GRID * GRID, 3]``."""
    return grid.reshape(-1, *grid.shape[2:])


def _noise_at(cells: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return crop_noise(rng, GRID, GRID).ravel()[cells]


def _paint_water(layout: Grids, cells: np.ndarray, climate: str, rng: np.random.Generator) -> None:
    rgb = np.array(WATER_RGB[climate], np.float32) + 4.0 * _noise_at(cells, rng)[:, None]
    _flat(layout.top_rgb)[cells] = rgb
    _flat(layout.side_rgb)[cells] = rgb
    _flat(layout.height_m)[cells] = -0.4
    _flat(layout.kind)[cells] = WATER


def _paint_sand(layout: Grids, cells: np.ndarray, climate: str, rng: np.random.Generator) -> None:
    phase_m = _along(cells, rng.uniform(0, math.pi))
    tone = np.array((232, 212, 152) if climate != "polar" else (222, 206, 170), np.float32)
    rgb = tone + (8.0 * np.sin(phase_m * 1.1) + 3.0 * _noise_at(cells, rng))[:, None]
    _flat(layout.top_rgb)[cells] = rgb
    _flat(layout.side_rgb)[cells] = rgb


def _paint_field(layout: Grids, cells: np.ndarray, climate: str, rng: np.random.Generator) -> None:
    furrow = np.floor(_along(cells, rng.uniform(0, math.pi)) / 2.3).astype(int) % 2 == 0
    rgb = np.where(furrow[:, None], np.array((128, 142, 36), np.float32), np.array((206, 186, 62), np.float32))
    rgb += 4.0 * _noise_at(cells, rng)[:, None]
    _flat(layout.top_rgb)[cells] = rgb
    _flat(layout.side_rgb)[cells] = rgb
    _flat(layout.height_m)[cells[furrow]] = 0.45


def _along(cells: np.ndarray, angle_rad: float) -> np.ndarray:
    """Distance of cells along a direction, counted from the camera."""
    return EAST_M.ravel()[cells] * math.cos(angle_rad) + NORTH_M.ravel()[cells] * math.sin(angle_rad)


@functools.cache
def _crown(radius_cells: int) -> tuple[np.ndarray, np.ndarray]:
    """Offsets into a flattened grid of the cells of a disc, and its dome there (1 at the centre, 0 at the rim)."""
    row, column = np.mgrid[-radius_cells : radius_cells + 1, -radius_cells : radius_cells + 1]
    distance = np.hypot(row, column) / (radius_cells + 0.4)
    disc = distance <= 1.0
    dome = np.sqrt(np.clip(1.0 - distance**2, 0.0, 1.0)).astype(np.float32)
    return (row * GRID + column)[disc], dome[disc]


def _paint_forest(layout: Grids, cells: np.ndarray, climate: str, rng: np.random.Generator) -> None:
    tone = np.array(TREE_RGB[climate], np.float32)
    top_rgb = _flat(layout.top_rgb)
    top_rgb[cells] = top_rgb[cells] * 0.55 + tone * 0.4
    low, high = {"arid": (3.0, 4.5), "polar": (3.5, 5.5)}.get(climate, (5.5, 8.5))
    crowns, trees = [], []
    for centre in cells[rng.integers(len(cells), size=34)].tolist():
        radius = int(rng.integers(2, 4))
        row, column = divmod(centre, GRID)
        if not (radius <= row < GRID - radius and radius <= column < GRID - radius):
            continue
        offsets, dome = _crown(radius)
        crowns.append((centre + offsets, dome))
        trees.append((rng.uniform(low, high), rng.uniform(0.8, 1.2)))
    if not trees:
        return
    # All trees in one assignment: where crowns overlap, the later tree's value stands.
    crown, dome = (np.concatenate(parts) for parts in zip(*crowns, strict=True))
    height_m, brightness = np.repeat(np.array(trees, np.float32), [len(cells) for cells, _ in crowns], axis=0).T
    free = RANGE_M.ravel()[crown] > 5.0
    crown, dome, height_m, shade = crown[free], dome[free], height_m[free], (tone * brightness[:, None])[free]
    shape = dome if climate not in ("continental", "polar") else dome**2  # conifers are pointed
    _flat(layout.height_m)[crown] = height_m * (0.55 + 0.45 * shape)
    top_rgb[crown] = shade * (0.62 + 0.6 * dome[:, None])
    _flat(layout.side_rgb)[crown] = shade * 0.85
    _flat(layout.kind)[crown] = TREE


def _paint_buildings(
    layout: Grids,
    cells: np.ndarray,
    rng: np.random.Generator,
    *,
    count: int,
    half_cells: tuple[int, int],
    tower: bool,
    climate: str,
) -> None:
    range_m = RANGE_M.ravel()[cells]
    cells = cells[(range_m > 9.0) & (range_m < REACH_M - 2.0)]
    placed: list[tuple[int, int]] = []
    for centre in cells[rng.integers(len(cells), size=count * 6)].tolist():
        if len(placed) == count:
            break
        row, column = divmod(centre, GRID)
        half_row, half_column = (int(rng.integers(half_cells[0], half_cells[1] + 1)) for _ in range(2))
        gap = 2 * half_cells[1] + 2
        if any(abs(row - r) < gap and abs(column - c) < gap for r, c in placed):
            continue
        placed.append((row, column))
        window = (slice(row - half_row, row + half_row), slice(column - half_column, column + half_column))
        if tower:
            _put_tower(layout, window, rng)
        else:
            _put_house(layout, window, climate, rng)


@functools.cache
def _roof_profile(cells: int) -> tuple[np.ndarray, np.ndarray]:
    """Across a gable roof: height (1 at the ridge, 0 at the eaves) and brightness of its two slopes."""
    across = np.linspace(-1, 1, cells, dtype=np.float32)
    return 1.0 - np.abs(across), np.where(across < 0, 1.12, 0.78).astype(np.float32)


def _put_house(layout: Grids, window: tuple[slice, slice], climate: str, rng: np.random.Generator) -> None:
    roof = np.array(ROOF_RGB[climate][int(rng.integers(2))], np.float32) * rng.uniform(0.9, 1.1)
    height, top = layout.height_m[window], layout.top_rgb[window]
    rows, columns = height.shape
    along_rows = rows < columns  # the ridge runs along the longer side
    ridge, slope = _roof_profile(rows if along_rows else columns)
    height[:] = rng.uniform(3.4, 4.4) + 1.6 * (ridge[:, None] if along_rows else ridge[None, :])
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


def _paint_houses(layout: Grids, cells: np.ndarray, climate: str, rng: np.random.Generator) -> None:
    _paint_buildings(layout, cells, rng, count=6, half_cells=(3, 5), tower=False, climate=climate)


def _paint_towers(layout: Grids, cells: np.ndarray, climate: str, rng: np.random.Generator) -> None:
    _paint_buildings(layout, cells, rng, count=3, half_cells=(5, 6), tower=True, climate=climate)


_PAINTERS = {
    "water": _paint_water,
    "forest": _paint_forest,
    "houses": _paint_houses,
    "towers": _paint_towers,
    "field": _paint_field,
    "sand": _paint_sand,
}


@dataclasses.dataclass(frozen=True)
class _Road:
    """The road from the camera to one side, the same in every scene.

    ``cells``, ``dashes`` and the lanes are indices into flattened grids; a lane (its key +1 right, -1 left of the way
    out) comes with the distance of its cells from the camera in metres.
    """

    cells: np.ndarray
    dashes: np.ndarray
    lanes: dict[float, tuple[np.ndarray, np.ndarray]]


@functools.cache
def _roads() -> tuple[_Road, ...]:
    """Roads to the north, east, south and west."""
    roads = []
    for along, across in ((NORTH_M, EAST_M), (EAST_M, -NORTH_M), (-NORTH_M, -EAST_M), (-EAST_M, NORTH_M)):
        road = (along > -ROAD_HALF_WIDTH_M) & (np.abs(across) < ROAD_HALF_WIDTH_M)
        dashes = (along > 0) & (np.abs(across) < 0.45) & (np.floor(along / 2.2).astype(int) % 2 == 0)
        lanes = {lane: np.flatnonzero(np.abs(across - lane * 1.5) < 0.95) for lane in (1.0, -1.0)}
        with_m = {lane: (cells, along.ravel()[cells]) for lane, cells in lanes.items()}
        roads.append(_Road(np.flatnonzero(road), np.flatnonzero(dashes), with_m))
    return tuple(roads)


_PLAZA = np.flatnonzero(RANGE_M < 3.6)


def _paint_roads(layout: Grids, scene: Scene, rng: np.random.Generator) -> None:
    """Roads from the camera outwards, with cars on the country's side."""
    right_hand = 1.0 if scene.city.driving_side == "right" else -1.0
    for arm, road in zip(scene.road_arms, _roads(), strict=True):
        if not arm:
            continue
        _flatten(layout, road.cells, ROAD_RGB, rng)
        _flat(layout.top_rgb)[road.dashes] = (226, 222, 206)
        for outward in (True, False):
            _put_car(layout, road.lanes[right_hand if outward else -right_hand], outward, rng)
    _flatten(layout, _PLAZA, ROAD_RGB, rng)


def _flatten(layout: Grids, cells: np.ndarray, rgb: tuple[int, int, int], rng: np.random.Generator) -> None:
    _flat(layout.height_m)[cells] = 0.0
    _flat(layout.top_rgb)[cells] = np.array(rgb, np.float32) + rng.uniform(-4.0, 4.0)
    _flat(layout.side_rgb)[cells] = rgb
    _flat(layout.kind)[cells] = GROUND


def _put_car(layout: Grids, lane: tuple[np.ndarray, np.ndarray], outward: bool, rng: np.random.Generator) -> None:
    """One car in its lane; its rear is red and its front pale, so the travelling direction can be seen."""
    cells, along_m = lane
    start_m = rng.uniform(5.5, 20.0)
    body = cells[(along_m > start_m) & (along_m < start_m + 4.0)]
    _flat(layout.top_rgb)[body] = CAR_RGB[int(rng.integers(len(CAR_RGB)))]
    _flat(layout.height_m)[body] = 1.5
    _flat(layout.side_rgb)[body] = (250, 244, 200) if not outward else (200, 20, 20)
    _flat(layout.kind)[body] = CAR
