"""``python -m geor1.evaluation.bench``: seconds and memory of scoring a table, and whether cost grows linearly.

Each size runs in a process of its own, so that its peak memory is its own. What is timed: everything from columns to
the finished score, intervals from one clustered bootstrap included; not the making of the columns.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import resource
import subprocess
import sys
import time

import numpy as np

from geor1.evaluation.columns import GeolocationColumns, city_clusters, true_cells
from geor1.evaluation.geolocation import score_columns

SIZES = (10_000, 100_000, 1_000_000)
CLUSTERINGS = ("city", "cell")
_COUNTRIES = ("USA", "United States", "Türkiye", "Turkey", "Japan", "Brasil", "Brazil", "Kenya", "Czechia", "France")


@dataclasses.dataclass(frozen=True)
class Timing:
    """Cost of scoring one table.

    Attributes:
        n: Predictions.
        clusters: Clusters resampled.
        wall_s: Seconds, from columns to score.
        cpu_s: Processor seconds over all threads.
        peak_mb: Peak resident memory of the process, columns and imports included, MB (10⁶ bytes).
    """

    n: int
    clusters: int
    wall_s: float
    cpu_s: float
    peak_mb: float


def synthetic_columns(n: int, seed: int = 0) -> GeolocationColumns:
    """A table as a model would leave it: errors from metres to thousands of kilometres, 3 % misses, mixed spellings.

    Args:
        n: Predictions, in n / 100 cities of very unequal size; in nearly as many 0.01° cells as there are predictions.
        seed: Of everything random.
    """
    generator = np.random.default_rng(seed)
    city = (max(1, n // 100) * generator.random(n) ** 2).astype(np.int64)
    centre_lat, centre_lon = (
        generator.uniform(-60, 70, n // 100 + 1)[city],
        generator.uniform(-180, 180, n // 100 + 1)[city],
    )
    true_lat, true_lon = centre_lat + generator.normal(0, 0.3, n), centre_lon + generator.normal(0, 0.3, n)
    error_deg = 10 ** generator.normal(0, 1.2, n)
    latitude = np.clip(true_lat + error_deg * generator.normal(size=n), -90, 90)
    longitude = (true_lon + error_deg * generator.normal(size=n) + 180) % 360 - 180
    missed = generator.random(n) < 0.03
    latitude[missed], longitude[missed] = np.nan, np.nan
    countries = np.array(_COUNTRIES, dtype=object)
    true_country = countries[city % len(countries)]
    predicted = np.where(generator.random(n) < 0.7, true_country, countries[generator.integers(len(countries), size=n)])
    cities = np.array([f"city {index}" for index in range(n // 100 + 1)], dtype=object)
    return GeolocationColumns(
        model="synthetic",
        item_ids=np.arange(n),
        status=np.where(missed, "no_coordinates", "ok").astype(object),
        latitude_deg=latitude,
        longitude_deg=longitude,
        true_latitude_deg=true_lat,
        true_longitude_deg=true_lon,
        names={"country": (predicted, true_country), "city": (cities[generator.permutation(city)], cities[city])},
    )


def measure(n: int, *, clustering: str = "cell", resamples: int = 2000, seed: int = 0) -> Timing:
    """Score one synthetic table in this process.

    Args:
        n: Predictions.
        clustering: ``city`` or ``cell`` (0.01°; nearly every prediction is its own cluster, the worst case).
        resamples: Bootstrap draws.
        seed: Of the table and the bootstrap.

    Raises:
        ValueError: Unknown clustering.
    """
    if clustering not in CLUSTERINGS:
        raise ValueError(f"clustering={clustering!r}: expected one of {CLUSTERINGS}")
    columns = synthetic_columns(n, seed)
    wall, cpu = time.perf_counter(), time.process_time()
    if clustering == "city":
        labels = city_clusters(columns)
    else:
        labels = true_cells(columns)
    score = score_columns(columns, clusters=labels, resamples=resamples, seed=seed)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    return Timing(score.n, score.n_clusters, wall, cpu, peak_mb)


def measure_apart(n: int, *, clustering: str = "cell", resamples: int = 2000, seed: int = 0) -> Timing:
    """As :func:`measure`, in a process of its own.

    Raises:
        subprocess.CalledProcessError: It failed; its error output stands above.
    """
    command = [sys.executable, "-m", "geor1.evaluation.bench", "--one", str(n), "--clusters", clustering]
    command += ["--resamples", str(resamples), "--seed", str(seed)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return Timing(**json.loads(done.stdout))


def main() -> None:
    """Print one line a size."""
    parser = argparse.ArgumentParser(prog="python -m geor1.evaluation.bench", description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="predictions")
    parser.add_argument(
        "--clusters", choices=CLUSTERINGS, action="append", help="what is drawn together; both if not given"
    )
    parser.add_argument("--resamples", type=int, default=2000, help="bootstrap draws")
    parser.add_argument("--seed", type=int, default=0, help="of table and bootstrap")
    parser.add_argument("--one", type=int, metavar="N", help="measure one size in this process and print JSON")
    given = parser.parse_args()
    clusterings = given.clusters or CLUSTERINGS
    if given.one is not None:
        timing = measure(given.one, clustering=clusterings[0], resamples=given.resamples, seed=given.seed)
        print(json.dumps(dataclasses.asdict(timing)))
        return
    for clustering in clusterings:
        print(f"clusters: {clustering}, {given.resamples} resamples")
        print(f"{'predictions':>12} {'clusters':>9} {'seconds':>8} {'CPU s':>7} {'peak MB':>8} {'CPU to linear':>14}")
        first = None
        for n in given.sizes:
            t = measure_apart(n, clustering=clustering, resamples=given.resamples, seed=given.seed)
            first = first or t
            ratio = (t.cpu_s / first.cpu_s) / (t.n / first.n)
            print(f"{t.n:>12} {t.clusters:>9} {t.wall_s:>8.2f} {t.cpu_s:>7.2f} {t.peak_mb:>8.0f} {ratio:>14.2f}")


if __name__ == "__main__":
    main()
