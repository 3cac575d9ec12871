"""Every benchmark by name."""

from __future__ import annotations

from geor1.benchmarks import (
    geochain,
    geochain_questions,
    geochain_scores,
    im2gps,
    imageo,
    location,
    mp16_reason,
    osv5m,
    rsteller,
)
from geor1.benchmarks.items import Benchmark
from geor1.runs.errors import ConfigError, did_you_mean
from geor1.synthesis.layouts.registry import PAIR_LAYOUTS, pair_layout

__all__ = ["BENCHMARKS", "PAIR_LAYOUTS", "benchmark", "pair_layout"]


def _imageo(name: str, about: str) -> Benchmark:
    load = {"imageo-gss": imageo.load_gss, "imageo-upc": imageo.load_upc, "imageo-pcw": imageo.load_pcw}[name]
    return Benchmark(name, about, load, imageo.prompts, imageo.parse, imageo.score)


_ALL = (
    Benchmark(
        geochain.NAME,
        "21 questions each on 2,100 street photos of 24 cities",
        geochain.load,
        geochain_questions.prompts,
        geochain_questions.parse,
        geochain_scores.score,
    ),
    _imageo("imageo-gss", "address and coordinates of 6,152 street scenes"),
    _imageo("imageo-upc", "address and coordinates of 2,928 places in the United States"),
    _imageo("imageo-pcw", "address and coordinates of 270 private photos"),
    *(
        Benchmark(name, about, load, location.photo_prompts, location.parse, location.score)
        for name, about, load in (
            (mp16_reason.NAME, "coordinates of 12,000 Flickr photos", mp16_reason.load),
            ("im2gps3k", "coordinates of 2,997 Flickr photos", im2gps.load_im2gps3k),
            ("yfcc4k", "coordinates of 4,536 Flickr photos", im2gps.load_yfcc4k),
            (osv5m.NAME, "coordinates of street views, OpenStreetView-5M's test set", osv5m.load),
        )
    ),
    Benchmark(
        rsteller.NAME,
        "coordinates of aerial images of the United States",
        rsteller.load,
        location.tile_prompts,
        location.parse,
        location.score,
    ),
)
BENCHMARKS = {one.name: one for one in _ALL}


def benchmark(name: str) -> Benchmark:
    """A benchmark by name.

    Raises:
        ConfigError: No such name.
    """
    if name not in BENCHMARKS:
        raise ConfigError(f"no benchmark {name!r}{did_you_mean(name, BENCHMARKS)}")
    return BENCHMARKS[name]
