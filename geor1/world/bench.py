"""How fast the miniature Earth is drawn: ``python -m geor1.world.bench``.

One question is one panorama and K satellite tiles of K different scenes, laid out and rendered from nothing.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import time

from geor1.world import geometry
from geor1.world.gazetteer import cities
from geor1.world.render import render_panorama, render_satellite
from geor1.world.scene import neighbourhood


def draw_questions(n: int, *, candidates: int = 5, seed: int = 0) -> float:
    """Render ``n`` whole questions in this process, nothing cached between them.

    Args:
        n: Questions.
        candidates: K, satellite tiles a question.
        seed: Seed of the neighbourhoods.

    Returns:
        Seconds taken.
    """
    places = cities()
    started = time.perf_counter()
    for index in range(n):
        scenes = neighbourhood(places[index % len(places)], candidates, seed + index)
        geometry.grids.cache_clear()
        render_panorama(scenes[0])
        for scene in scenes:
            render_satellite(scene)
    return time.perf_counter() - started


def measure(n: int, *, candidates: int = 5, processes: int | None = None) -> dict[str, float | int]:
    """Questions a second over all cores.

    Args:
        n: Questions in all.
        candidates: K.
        processes: Worker processes; default one a core.

    Returns:
        ``questions``, ``processes``, ``seconds`` and ``questions_per_second``.
    """
    processes = processes or os.cpu_count() or 1
    share = -(-n // processes)
    with multiprocessing.Pool(processes) as pool:
        pool.starmap(draw_questions, [(2,)] * processes)  # load layers and noise once, outside the measurement
        started = time.perf_counter()
        pool.starmap(_draw, [(share, candidates, worker) for worker in range(processes)], chunksize=1)
        seconds = time.perf_counter() - started
    done = share * processes
    return {
        "questions": done,
        "candidates": candidates,
        "processes": processes,
        "seconds": round(seconds, 3),
        "questions_per_second": round(done / seconds, 1),
    }


def _draw(n: int, candidates: int, seed: int) -> float:
    return draw_questions(n, candidates=candidates, seed=seed)


def main() -> None:
    """Print one JSON object with the measurement."""
    parser = argparse.ArgumentParser(description="Questions of the miniature Earth drawn a second.")
    parser.add_argument("--questions", type=int, default=1000)
    parser.add_argument("--candidates", type=int, default=5)
    parser.add_argument("--processes", type=int, default=None)
    arguments = parser.parse_args()
    print(json.dumps(measure(arguments.questions, candidates=arguments.candidates, processes=arguments.processes)))


if __name__ == "__main__":
    main()
