"""Two views of one scene: a satellite tile from above and a 360° panorama from its centre.

Both are synthetic and are to be labelled so wherever they are shown. The two views are lit by suns of different hours
and carry different sensor noise, so that nothing but the geometry of the place connects them.
"""

from __future__ import annotations

import functools
import math

import numpy as np
from PIL import Image

from geor1.world.geometry import BUILDING, CELL_M, GRID, TREE, Grids, crop_noise, grids
from geor1.world.scene import Scene

EYE_HEIGHT_M = 1.7
ELEVATION_TOP_DEG = 32.0
ELEVATION_BOTTOM_DEG = -38.0
_HAZE_RGB = np.array((198, 214, 230), np.float32)
_RADII_M = np.concatenate([np.arange(1.4, 8.0, 0.35), np.arange(8.0, 31.5, 0.6)]).astype(np.float32)


def render_satellite(scene: Scene, size_px: int = GRID) -> np.ndarray:
    """The scene from above, north up.

    Args:
        scene: What to draw.
        size_px: Edge of the square tile in pixels, at least 28.

    Returns:
        ``[size_px, size_px, 3]`` uint8. One pixel covers ``SCENE_SIZE_M / size_px`` metres.
    """
    layout = grids(scene)
    rng = np.random.default_rng([scene.seed, 1])
    sun_azimuth_deg, sun_elevation_deg = _sun(scene, rng)
    image = layout.top_rgb * (1.0 - 0.42 * _shadow(layout.height_m, sun_azimuth_deg, sun_elevation_deg))[..., None]
    image = image * rng.uniform(0.93, 1.07) + 3.0 * crop_noise(rng, GRID, GRID)[..., None]
    pixels = np.clip(image, 0, 255).astype(np.uint8)
    if size_px == GRID:
        return pixels
    resample = Image.Resampling.BICUBIC if size_px > GRID else Image.Resampling.BOX
    return np.asarray(Image.fromarray(pixels).resize((size_px, size_px), resample))


def render_panorama(scene: Scene, width_px: int = 224, height_px: int = 56) -> np.ndarray:
    """The scene from its centre at eye height: a full circle, north in the middle, east a quarter to the right.

    Args:
        scene: What to draw.
        width_px: Width of the full 360°.
        height_px: Height, spanning elevations from +32° to -38°.

    Returns:
        ``[height_px, width_px, 3]`` uint8.
    """
    layout = grids(scene)
    rng = np.random.default_rng([scene.seed, 2])
    sun_azimuth_deg, sun_elevation_deg = _sun(scene, rng)
    azimuth_rad, rows, columns = _rays(width_px)
    height_m = layout.height_m[rows, columns]
    first, visible = _first_hit(height_m, height_px)
    shadow = _shadow(layout.height_m, sun_azimuth_deg, sun_elevation_deg)
    ring = np.minimum(first, len(_RADII_M) - 1)
    cell = (rows * GRID + columns)[ring, np.arange(width_px)]
    image = _surface_colour(layout, shadow, cell, ring, azimuth_rad, sun_azimuth_deg)
    haze = np.clip(_RADII_M[ring] / 95.0, 0.0, 0.35)[..., None]
    image += (_HAZE_RGB - image) * haze
    open_rows = height_px - int(np.argmin(visible.all(axis=1)[::-1]))  # below them only the ground is seen
    sky = _sky(scene, azimuth_rad, _pixel_elevation_deg(height_px)[:open_rows], sun_azimuth_deg, sun_elevation_deg)
    image[:open_rows] = np.where(visible[:open_rows, :, None], image[:open_rows], sky)
    image = image * rng.uniform(0.93, 1.07)
    image += (
        2.5
        * np.tile(crop_noise(rng, min(height_px, 256), 128), (1 + height_px // 257, 1 + width_px // 128))[
            :height_px, :width_px, None
        ]
    )
    return np.clip(image, 0, 255).astype(np.uint8)


def _sun(scene: Scene, rng: np.random.Generator) -> tuple[float, float]:
    """Azimuth and elevation in degrees: about the south in the northern hemisphere, the north in the southern."""
    noon_deg = 180.0 if scene.place.hemisphere == "north" else 0.0
    return noon_deg + rng.uniform(-38.0, 38.0), rng.uniform(28.0, 50.0)


def _shadow(height_m: np.ndarray, sun_azimuth_deg: float, sun_elevation_deg: float) -> np.ndarray:
    """1 where something between the cell and the sun rises above the sun's ray, else 0; ``[GRID, GRID]``."""
    shadow = np.zeros(height_m.shape, bool)
    rise_per_cell = math.tan(math.radians(sun_elevation_deg)) * CELL_M
    step_row, step_column = -math.cos(math.radians(sun_azimuth_deg)), math.sin(math.radians(sun_azimuth_deg))
    for cells in (1, 2, 3, 4, 6, 8, 10, 13, 16):
        d_row, d_column = round(step_row * cells), round(step_column * cells)
        towards = _shifted(height_m, d_row, d_column)
        shadow |= towards - height_m > max(rise_per_cell * cells, 0.3)
    return shadow.astype(np.float32)


def _shifted(grid: np.ndarray, d_row: int, d_column: int) -> np.ndarray:
    """``result[i, j] = grid[i + d_row, j + d_column]``, zero beyond the edge."""
    result = np.zeros_like(grid)
    rows, columns = grid.shape
    result[max(0, -d_row) : rows - max(0, d_row), max(0, -d_column) : columns - max(0, d_column)] = grid[
        max(0, d_row) : rows - max(0, -d_row), max(0, d_column) : columns - max(0, -d_column)
    ]
    return result


@functools.lru_cache(maxsize=8)
def _rays(width_px: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Azimuth of each column in radians ``[W]`` and the grid cell at each radius ``[R, W]`` along it."""
    azimuth_rad = np.radians((np.arange(width_px) + 0.5) / width_px * 360.0 - 180.0).astype(np.float32)
    rows = (GRID - 1) / 2 - np.cos(azimuth_rad) * _RADII_M[:, None] / CELL_M
    columns = (GRID - 1) / 2 + np.sin(azimuth_rad) * _RADII_M[:, None] / CELL_M
    return (
        azimuth_rad,
        np.clip(np.rint(rows), 0, GRID - 1).astype(int),
        np.clip(np.rint(columns), 0, GRID - 1).astype(int),
    )


def _first_hit(height_m: np.ndarray, height_px: int) -> tuple[np.ndarray, np.ndarray]:
    """March outwards: index of the radius seen at each pixel ``[H, W]``, and whether anything is seen there."""
    elevation_deg = np.degrees(np.arctan2(height_m - EYE_HEIGHT_M, _RADII_M[:, None]))
    top_px = (ELEVATION_TOP_DEG - elevation_deg) / (ELEVATION_TOP_DEG - ELEVATION_BOTTOM_DEG) * height_px
    highest_px = np.minimum.accumulate(top_px, axis=0)  # [R, W], falls with the radius
    # A ring passes below pixel p while highest_px > p + 0.5; count those rings per pixel through a histogram.
    reach = np.clip(np.ceil(highest_px - 0.5), 0, height_px).astype(np.int64)
    width_px = height_m.shape[1]
    counts = np.bincount((reach * width_px + np.arange(width_px)).ravel(), minlength=(height_px + 1) * width_px)
    from_below = np.cumsum(counts.reshape(height_px + 1, width_px)[::-1], axis=0)[::-1]
    first = from_below[1:]
    return first, first < len(_RADII_M)


def _pixel_elevation_deg(height_px: int) -> np.ndarray:
    """Elevation angle of each row's centre, top row first."""
    span_deg = ELEVATION_TOP_DEG - ELEVATION_BOTTOM_DEG
    return (ELEVATION_TOP_DEG - (np.arange(height_px) + 0.5) / height_px * span_deg).astype(np.float32)


def _surface_colour(
    layout: Grids,
    shadow: np.ndarray,
    cell: np.ndarray,
    ring: np.ndarray,
    azimuth_rad: np.ndarray,
    sun_azimuth_deg: float,
) -> np.ndarray:
    """Colour of what each pixel hits ``[H, W, 3]``: the lit ground, and upright things from their side."""
    lit = layout.top_rgb * (1.0 - 0.42 * shadow)[..., None]
    image = np.take(lit.reshape(-1, 3), cell, axis=0)
    row, column = np.nonzero(np.take(layout.height_m.ravel() > 0.8, cell))
    hit = cell[row, column]
    radius_m = _RADII_M[ring[row, column]]
    above_ground_m = EYE_HEIGHT_M + radius_m * np.tan(np.radians(_pixel_elevation_deg(cell.shape[0])))[row]
    facing = 0.86 - 0.22 * np.cos(azimuth_rad - math.radians(sun_azimuth_deg))  # towards the sun things are backlit
    side = layout.side_rgb.reshape(-1, 3)[hit]
    kind, height_m = layout.kind.ravel()[hit], layout.height_m.ravel()[hit]
    storey_m = above_ground_m % 3.0
    window = (kind == BUILDING) & (storey_m > 1.1) & (storey_m < 2.3) & ((radius_m * azimuth_rad[column]) % 2.4 > 1.1)
    side[window & (above_ground_m < height_m - 0.7)] *= 0.42
    roof = (kind == BUILDING) & (above_ground_m > 3.6) & (height_m < 7.0)
    side[roof] = layout.top_rgb.reshape(-1, 3)[hit[roof]]
    tree = kind == TREE
    side[tree & (above_ground_m < 1.2)] = (84, 66, 46)  # trunks
    side[tree & ((hit * 13 + (above_ground_m * 2.5).astype(int) * 5) % 3 == 0)] *= 1.22  # leaves
    image[row, column] = side * facing[column, None]
    return image


def _sky(
    scene: Scene, azimuth_rad: np.ndarray, pixel_deg: np.ndarray, sun_azimuth_deg: float, sun_elevation_deg: float
) -> np.ndarray:
    """Sky with a glow about the sun and the relief of the place along the horizon, ``[rows, W, 3]``."""
    lift = np.clip(pixel_deg / ELEVATION_TOP_DEG, 0.0, 1.0)[:, None, None]
    off_rad = (azimuth_rad - math.radians(sun_azimuth_deg) + math.pi) % (2 * math.pi) - math.pi
    across_deg = np.degrees(off_rad)[None, :] * 0.8
    squared_deg = across_deg**2 + ((pixel_deg - min(sun_elevation_deg, 30.0)) ** 2)[:, None]
    glow = np.exp(-squared_deg / 676.0) + 1.4 * (squared_deg < 25.0)
    blue = np.array((112, 164, 222), np.float32)
    sky = _HAZE_RGB + (blue - _HAZE_RGB) * lift + glow[..., None] * np.array((90, 80, 40), np.float32)
    crest_deg, rgb = _horizon(scene, azimuth_rad)
    mountain = pixel_deg[:, None] < crest_deg[None, :]
    sky[mountain] = rgb
    if scene.place.climate != "tropical":
        sky[mountain & (pixel_deg[:, None] > 8.5)] = (236, 240, 246)  # snow
    return sky


def _horizon(scene: Scene, azimuth_rad: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Elevation of the skyline in degrees ``[W]`` and its colour; the same for a whole neighbourhood."""
    rng = np.random.default_rng([int(abs(scene.city.latitude_deg) * 1000), int(abs(scene.city.longitude_deg) * 1000)])
    amplitude_deg = {"flat": 0.3, "hills": 3.2, "mountains": 8.5}[scene.place.relief]
    crest = np.zeros_like(azimuth_rad)
    for wave in (1, 2, 3, 5, 9, 14):
        crest += np.cos(wave * azimuth_rad + rng.uniform(0, 2 * math.pi)) * rng.uniform(0.4, 1.0) / wave**0.7
    crest_deg = amplitude_deg * (0.75 + 0.38 * crest)
    tone = np.array(scene.place.surface_rgb, np.float32) * 0.35 + np.array((104, 122, 140), np.float32) * 0.65
    return np.clip(crest_deg, 0.2, 20.0), tone
