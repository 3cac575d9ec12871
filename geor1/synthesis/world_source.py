"""Pairs of the miniature Earth: neighbourhoods of scenes at real cities, rendered from the ground and from above."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from geor1.records import Pair
from geor1.synthesis.images import JPEG_QUALITY, encode_jpeg, neutral_name
from geor1.synthesis.separation import Separation
from geor1.synthesis.sources import IMAGES_FOLDER, SourceError, images_dir
from geor1.world.gazetteer import City, cities
from geor1.world.render import render_panorama, render_satellite
from geor1.world.scene import MIN_SEPARATION_M, SCENE_SIZE_M, Scene, neighbourhood

NAME = "world"
MAX_SCENES = 60
"""Most scenes that one neighbourhood holds."""
POOL_FROM_PAIRS = 240
"""Fewer pairs are rendered in this process: starting workers would take longer."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Block:
    """The scenes of one neighbourhood, as one piece of work.

    Attributes:
        city: Where.
        split: Split of the city.
        n: How many scenes.
        seed: Seed of the neighbourhood.
    """

    city: City
    split: str
    n: int
    seed: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class WorldSource:
    """Synthetic pairs; images and records depend on these settings, never on the number of workers.

    Attributes:
        train_pairs: How many pairs of train cities.
        test_pairs: How many pairs of test cities.
        scenes_per_neighbourhood: At least so many scenes together, so that each finds its negatives; more if there are
            more pairs than cities to spread them over.
        panorama_px: Width and height of the panoramas.
        tile_px: Edge of the tiles.
        quality: JPEG quality of both views.
        seed: Decides cities, scenes and everything in them.
        workers: Processes that render. With more than one, a script must guard its entry by
            ``if __name__ == "__main__":``, as always with processes; notebooks need nothing.
    """

    train_pairs: int
    test_pairs: int
    scenes_per_neighbourhood: int = 12
    panorama_px: tuple[int, int] = (224, 56)
    tile_px: int = 84
    quality: int = JPEG_QUALITY
    seed: int = 0
    workers: int = 1

    name = NAME

    def blocks(self) -> list[Block]:
        """The work in order: train cities first.

        Raises:
            SourceError: The gazetteer holds no city of a split that is asked for.
        """
        return [
            block
            for split, n in (("train", self.train_pairs), ("test", self.test_pairs))
            for block in plan_blocks(cities(split), split, n, self.scenes_per_neighbourhood, self.seed)
        ]

    def pairs(self, out_dir: Path) -> Iterator[Pair]:
        """Render and yield the pairs, neighbourhood by neighbourhood; see :class:`Source`."""
        images_dir(out_dir)
        blocks = self.blocks()
        with contextlib.ExitStack() as stack:
            results: Iterator[list[Pair]]
            if self.workers > 1 and self.train_pairs + self.test_pairs >= POOL_FROM_PAIRS:
                context = multiprocessing.get_context("spawn")  # a fork of a process with torch threads can hang
                pool = stack.enter_context(ProcessPoolExecutor(self.workers, mp_context=context))
                stack.callback(pool.shutdown, cancel_futures=True)
                results = pool.map(render_block, [self] * len(blocks), blocks, [out_dir] * len(blocks), chunksize=2)
            else:
                results = (render_block(self, block, out_dir) for block in blocks)
            for rendered in results:
                yield from rendered

    def separation(self, tile_extent_m: float) -> Separation:
        """As its scenes are laid out, which is more than their tiles need; nothing that is stated changes the tiles."""
        return Separation(MIN_SEPARATION_M, f"scenes of {SCENE_SIZE_M:g} m stand no nearer to each other")


def plan_blocks(places: tuple[City, ...], split: str, n: int, per_block: int, seed: int) -> list[Block]:
    """Spread n scenes over cities as evenly as the block size allows.

    Args:
        places: Cities of the split.
        split: ``train`` or ``test``.
        n: Scenes in all.
        per_block: Fewest scenes of a neighbourhood (fewer only if ``n`` itself is smaller).
        seed: Decides which cities are used, and the seed of each neighbourhood.

    Returns:
        Blocks whose ``n`` add up to ``n``; a city comes a second time only when all are full.

    Raises:
        SourceError: No city, though scenes are asked for.
    """
    if n == 0:
        return []
    if not places:
        raise SourceError(f"gazetteer: expected cities of the split {split!r}, found none; rebuild the layers")
    count = max(1, min(n // per_block, len(places)), math.ceil(n / MAX_SCENES))
    order = np.random.default_rng([seed, 31, ("train", "test").index(split)]).permutation(len(places))
    return [
        Block(
            city=places[order[k % len(places)]],
            split=split,
            n=n // count + (k < n % count),
            seed=seed * 1000 + k // len(places),
        )
        for k in range(count)
    ]


def render_block(source: WorldSource, block: Block, out_dir: Path) -> list[Pair]:
    """Render one neighbourhood and write its images.

    Args:
        source: Sizes, quality and seed.
        block: What to render.
        out_dir: Folder of the data set, whose image folder exists.
    """
    return [
        _render_pair(source, block, scene, k, out_dir)
        for k, scene in enumerate(neighbourhood(block.city, block.n, block.seed))
    ]


def _render_pair(source: WorldSource, block: Block, scene: Scene, number: int, out_dir: Path) -> Pair:
    pixels = {
        "ground": render_panorama(scene, *source.panorama_px),
        "satellite": render_satellite(scene, source.tile_px),
    }
    files = {}
    for view, image in pixels.items():
        files[view] = f"{IMAGES_FOLDER}/{neutral_name(NAME, block.seed, block.city.city_id, number, view)}"
        (out_dir / files[view]).write_bytes(encode_jpeg(image, quality=source.quality))
    return Pair(
        pair_id=f"{NAME}/{block.city.city_id}/{block.seed}-{number}",
        source=NAME,
        split=block.split,
        ground_image=files["ground"],
        satellite_image=files["satellite"],
        latitude_deg=round(scene.latitude_deg, 6),
        longitude_deg=round(scene.longitude_deg, 6),
        city=block.city.name,
        country=block.city.country,
        country_code=block.city.country_code,
        facts=scene.facts,
    )
