"""How fast negatives are found at the paper's size: ``python -m geor1.synthesis.bench``.

The coordinates are made up: CV-Cities' own number of pairs in each of its 16 cities, along streets of a square town
whose size follows from the density. A smaller set has fewer cities, of the same density and size. Measured in a process
of its own for each size: pairs written to ``pairs.jsonl``, indexed from it, and five-candidate questions made of a
seeded choice of every city, and written.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import math
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from geor1.geodesy import EARTH_RADIUS_KM
from geor1.records import Pair
from geor1.synthesis.layouts.cv_cities import CENTRES_DEG, CITIES, PAIRS
from geor1.synthesis.negative_rule import Band, NegativeRule
from geor1.synthesis.negatives import Neighbourhoods
from geor1.synthesis.questions import plan_questions, write_questions
from geor1.synthesis.record_file import RecordWriter
from geor1.synthesis.report import QuestionTally

PER_KM2 = 200.0
"""Pairs a square kilometre. CV-Cities does not say; 20,214 pairs within Paris' 105 km² would be 193."""
STREET_M = 100.0
"""Streets run north and east, one every so many metres; pairs lie on them."""
LIMIT_S, LIMIT_BYTES = 60.0, 2e9
RULES = {
    "one ring": NegativeRule(),
    "bands": NegativeRule(bands=(Band(120.0, 500.0, 0.5), Band(500.0, 4000.0, 0.5))),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Size:
    """One measurement.

    Attributes:
        n_cities: How many of CV-Cities' cities.
        per_city: Questions about each city.
        per_km2: Pairs a square kilometre.
        rule: Key of :data:`RULES`.
        embedding: Length of the embeddings of hard negatives; 0 for none.
        copies: Of every city, each a town of its own.
        placed: Whether positions are known.
    """

    n_cities: int = 16
    per_city: int = 1000
    per_km2: float = PER_KM2
    rule: str = "one ring"
    embedding: int = 0
    copies: int = 1
    placed: bool = True


def made_up_pairs(
    n_cities: int, per_km2: float, *, copies: int = 1, placed: bool = True, seed: int = 0
) -> Iterator[Pair]:
    """Pairs at made-up places of CV-Cities' cities, on streets of a square town.

    Args:
        n_cities: How many cities, the first by name.
        per_km2: How many a square kilometre.
        copies: Of every city, each a town of its own, 5° east of the last.
        placed: Whether positions are known.
        seed: Decides where.
    """
    rng = np.random.default_rng(seed)
    for copy, (folder, (city, country, code, split)) in itertools.product(
        range(copies), list(CITIES.items())[:n_cities]
    ):
        if copy:
            city = f"{city} {copy + 1}"
        n = PAIRS[folder]
        side_m = 1000.0 * math.sqrt(n / per_km2)
        along, across = rng.uniform(0, side_m, n), np.round(rng.uniform(0, side_m, n) / STREET_M) * STREET_M
        north = np.where(rng.random(n) < 0.5, along, across) - side_m / 2
        east = np.where(north == along - side_m / 2, across, along) - side_m / 2
        degree_m = math.radians(1.0) * 1000.0 * EARTH_RADIUS_KM
        latitudes = CENTRES_DEG[folder][0] + north / degree_m
        longitudes = CENTRES_DEG[folder][1] + 5.0 * copy + east / degree_m / np.cos(np.radians(latitudes))
        for number, (latitude_deg, longitude_deg) in enumerate(zip(latitudes, longitudes, strict=True)):
            yield Pair(
                pair_id=f"cv-cities/{folder}{copy or ''}/{number}",
                source="cv-cities",
                split=split,
                ground_image=f"images/g{folder}{copy or ''}{number}.jpg",
                satellite_image=f"images/s{folder}{copy or ''}{number}.jpg",
                latitude_deg=round(float(latitude_deg), 7) if placed else None,
                longitude_deg=round((float(longitude_deg) + 180.0) % 360.0 - 180.0, 7) if placed else None,
                city=city,
                country=country,
                country_code=code,
                facts={"city": city, "country": country, "country_code": code},
            )


def measure(size: Size) -> dict[str, Any]:
    """Make, index and ask, in a process of its own.

    Returns:
        Numbers of pairs and questions, seconds of each part, ``seconds`` to index and to ask together (``cpu_s`` of
        this process alone), ``neighbours`` that a question chooses from, and ``peak_bytes``.
    """
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_measure, (size,))


def _measure(size: Size) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        writer = RecordWriter(Path(folder) / "pairs.jsonl", Pair)
        writer.extend(made_up_pairs(size.n_cities, size.per_km2, copies=size.copies, placed=size.placed))
        pairs = writer.finish()
        embeddings = _embeddings(Path(folder) / "embeddings.npy", len(pairs), size.embedding)
        rule = RULES[size.rule]
        rule = dataclasses.replace(rule, difficulty="hard") if size.embedding else rule
        started, busy = time.perf_counter(), time.process_time()
        hood = Neighbourhoods(pairs, rule, embeddings=embeddings)
        indexed = time.perf_counter()
        n = _ask(hood, Path(folder), size.per_city)
        asked, busy = time.perf_counter(), time.process_time() - busy
        near = np.mean([hood.count(number) for number in range(0, len(pairs), max(1, len(pairs) // 200))])
    return {
        "pairs": len(pairs),
        "questions": n,
        "index_s": round(indexed - started, 2),
        "questions_s": round(asked - indexed, 2),
        "seconds": round(asked - started, 2),
        "cpu_s": round(busy, 2),
        "neighbours": round(float(near)),
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


def _ask(hood: Neighbourhoods, folder: Path, per_city: int) -> int:
    """Questions of both splits, written as stage 01 writes them; how many."""
    n = 0
    for split in ("train", "test"):
        plan = plan_questions(hood, split=split, candidates=5, questions_per_city=per_city, skip_isolated=True)
        n += len(write_questions(folder / f"questions_{split}.jsonl", plan, QuestionTally().count))
    return n


def _embeddings(path: Path, n: int, width: int) -> np.ndarray | None:
    """Random rows, written a block at a time and mapped, as those of a model would be."""
    if not width:
        return None
    rng = np.random.default_rng(1)
    made = np.lib.format.open_memmap(path, mode="w+", dtype=np.float16, shape=(n, width))
    for start in range(0, n, 4096):
        block = made[start : start + 4096]
        block[:] = rng.standard_normal(block.shape)
    made.flush()
    return np.load(path, mmap_mode="r")


def main() -> None:
    """Print one JSON object a measurement, then how time and memory grow and whether the limits are kept."""
    parser = argparse.ArgumentParser(prog="python -m geor1.synthesis.bench", description=__doc__)
    parser.add_argument("--cities", type=int, nargs="+", default=[4, 8, 16], help="sizes: how many of the 16 cities")
    parser.add_argument("--per-city", type=int, default=1000, help="questions about each of the 16 cities")
    parser.add_argument("--per-km2", type=float, default=PER_KM2, help="pairs a square kilometre")
    parser.add_argument("--rule", choices=sorted(RULES), default="one ring")
    parser.add_argument("--embedding", type=int, default=0, help="length of embeddings for hard negatives; 0: none")
    parser.add_argument("--copies", type=int, default=1, help="of every city, for more pairs than CV-Cities has")
    parser.add_argument("--unplaced", action="store_true", help="pairs without position")
    given = parser.parse_args()
    rows = []
    for n_cities in given.cities:
        rows.append(
            measure(
                Size(
                    n_cities=n_cities,
                    per_city=given.per_city,
                    per_km2=given.per_km2,
                    rule=given.rule,
                    embedding=given.embedding,
                    copies=given.copies,
                    placed=not given.unplaced,
                )
            )
        )
        print(json.dumps(rows[-1]), flush=True)
    first, last = rows[0], rows[-1]
    grown = {
        name: round(last[name] / first[name], 2) for name in ("pairs", "questions", "cpu_s", "seconds", "peak_bytes")
    }
    kept = last["seconds"] <= LIMIT_S and last["peak_bytes"] <= LIMIT_BYTES
    print(json.dumps({"grown": grown, "limits": f"{LIMIT_S:g} s, {LIMIT_BYTES / 1e9:g} GB", "kept": kept}))


if __name__ == "__main__":
    main()
