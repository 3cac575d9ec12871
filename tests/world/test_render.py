"""Renderings: what stands where in the scene stands there in both views."""

import dataclasses

import numpy as np
import pytest

from geor1.world import geometry
from geor1.world.bench import draw_questions
from geor1.world.gazetteer import cities
from geor1.world.render import _RADII_M, _first_hit, _sun, render_panorama, render_satellite
from geor1.world.scene import neighbourhood


def scene_with(features, arms=(False, False, False, False), **changes):
    scene = neighbourhood(next(c for c in cities() if c.country_code == "FR"), 1, 0)[0]
    return dataclasses.replace(scene, features=features, road_arms=arms, **changes)


def blueness(pixels):
    return pixels[..., 2].astype(float) - pixels[..., 0].astype(float)


def test_sizes_types_and_determinism():
    scene = scene_with(("water", "forest", "houses", "towers"))
    panorama, tile = render_panorama(scene, 224, 56), render_satellite(scene, 84)
    assert panorama.shape == (56, 224, 3) and panorama.dtype == np.uint8
    assert tile.shape == (84, 84, 3) and tile.dtype == np.uint8
    geometry.grids.cache_clear()
    assert np.array_equal(panorama, render_panorama(scene, 224, 56))
    assert render_satellite(scene, 168).shape == (168, 168, 3)
    assert render_panorama(scene, 896, 224).shape == (224, 896, 3)


@pytest.mark.parametrize("direction", range(4))
def test_water_lies_in_its_direction_in_both_views(direction):
    features = ["sand"] * 4
    features[direction] = "water"
    scene = scene_with(tuple(features))
    tile, panorama = render_satellite(scene, 84), render_panorama(scene, 224, 56)
    patches = [tile[8:24, 34:50], tile[34:50, 60:76], tile[60:76, 34:50], tile[34:50, 8:24]]  # north, east, south, west
    assert int(np.argmax([blueness(patch).mean() for patch in patches])) == direction
    below = np.roll(panorama[32:42], 28, axis=1)  # north in the middle; after the roll south no longer wraps
    columns = [below[:, 126:154], below[:, 182:210], below[:, 14:42], below[:, 70:98]]
    assert int(np.argmax([blueness(part).mean() for part in columns])) == direction


def test_towers_rise_above_the_horizon_and_water_does_not():
    towers = render_panorama(scene_with(("towers", "water", "water", "water")), 224, 56)
    water = render_panorama(scene_with(("water", "water", "water", "water")), 224, 56)
    above = np.s_[5:20, 98:126]
    assert np.abs(towers[above].astype(int) - water[above].astype(int)).mean() > 15


def test_the_sun_stands_south_in_the_north_and_north_in_the_south():
    rng = np.random.default_rng(0)
    for code, noon_deg in (("FR", 180.0), ("AU", 0.0)):
        scene = neighbourhood(next(c for c in cities() if c.country_code == code), 1, 0)[0]
        azimuths = [_sun(scene, rng)[0] for _ in range(50)]
        assert max(abs(azimuth - noon_deg) for azimuth in azimuths) <= 38.0


def test_traffic_keeps_to_the_country_s_side():
    for code, sign in (("FR", 1), ("GB", -1)):
        city = next(c for c in cities() if c.country_code == code)
        scene = dataclasses.replace(
            neighbourhood(city, 1, 0)[0], features=("sand",) * 4, road_arms=(True,) + (False,) * 3
        )
        layout = geometry.grids(scene)
        outward = (layout.kind == geometry.CAR) & (layout.side_rgb[..., 0] - layout.side_rgb[..., 1] > 100)  # red rear
        assert np.sign(geometry.EAST_M[outward].mean()) == sign


def test_march_agrees_with_the_plain_definition():
    height_m = np.random.default_rng(0).uniform(0, 6, (len(_RADII_M), 40)).astype(np.float32)
    first, visible = _first_hit(height_m, 56)
    for column in (0, 17, 39):
        for row in range(56):
            elevation = np.degrees(np.arctan2(height_m[:, column] - 1.7, _RADII_M))
            seen = np.flatnonzero((32.0 - elevation) / 70.0 * 56 <= row + 0.5)
            assert first[row, column] == (seen[0] if len(seen) else len(_RADII_M))
            assert visible[row, column] == bool(len(seen))


def test_benchmark_draws():
    assert draw_questions(2, candidates=3) > 0
