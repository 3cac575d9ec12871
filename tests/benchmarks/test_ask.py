"""Asking a model a benchmark: what is asked once, what counts as wrong, what is written."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from PIL import Image

from geor1.asking.backends import Completion, Finished, Request, RequestFailure
from geor1.asking.generating import Asking
from geor1.benchmarks import geochain, location
from geor1.benchmarks.ask import GENERATIONS, run_benchmark
from geor1.benchmarks.items import Benchmark, BenchmarkError, Item
from geor1.models.loading import BASE_MODEL_PATH

PLACES = {"paris": (48.8566, 2.3522), "quito": (-0.22, -78.51), "oslo": (59.91, 10.75)}


def items(folder: Path) -> list[Item]:
    """Three photos, of which the last is not there."""
    there = [name for name in PLACES if (folder / f"{name}.png").is_file()]
    return [
        Item(
            benchmark="photos",
            item_id=name,
            images=(f"{name}.png",) if name in there else (),
            truth={},
            latitude_deg=place[0],
            longitude_deg=place[1],
            slices={},
            cluster=name,
        )
        for name, place in PLACES.items()
    ]


PHOTOS = Benchmark("photos", "three photos", items, location.photo_prompts, location.parse, location.score)


class Answering:
    """Names Paris whatever it sees; fails as often as it is told."""

    name = "answering"

    def __init__(self, failures: int = 0) -> None:
        self.failures, self.closed = failures, False
        self.sizes: list[tuple[int, int]] = []

    def identity(self) -> None:
        """None: it has no weights."""

    def close(self) -> None:
        """It has no weights, but says so."""
        self.closed = True

    def complete(self, requests: Iterable[Request]) -> Iterator[Finished]:
        for place, request in enumerate(requests):
            self.sizes.append(request.images[0].size)
            if self.failures:
                self.failures -= 1
                yield [(place, Completion(failure=RequestFailure.API_ERROR, detail="HTTP 500"))]
            else:
                yield [(place, Completion(text="<think> </think> <answer> 48.8566 , 2.3522 </answer>"))]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    for shade, name in enumerate(("paris", "quito")):
        Image.new("RGB", (56, 84), (shade, 0, 0)).save(tmp_path / "data" / f"{name}.png")
    return tmp_path / "data"


def run(folder: Path, backend: Answering, out: Path, chosen: Benchmark = PHOTOS, **options: int) -> dict:
    asking = Asking(label="m", weights="w", max_new_tokens=8)
    return json.loads(
        run_benchmark(chosen, folder, {"m": lambda images: (backend, asking)}, out, **options).read_text()
    )


def test_every_item_counts_and_nothing_is_asked_twice(folder: Path, tmp_path: Path) -> None:
    backend = Answering()
    scores = run(folder, backend, tmp_path / "out")
    assert (scores["items"], scores["without_image"], len(backend.sizes)) == (3, 1, 2)
    score = scores["models"]["m"]
    assert (score["n"], score["n_missed"], score["failures"]) == (3, 1, {"missing": 1})
    assert score["accuracy_at_km"]["25.0"]["estimate"] == pytest.approx(1 / 3)
    assert score["median_km"]["estimate"] == pytest.approx(9_375, abs=100)  # Quito, between Paris and the miss
    again = Answering()
    assert run(folder, again, tmp_path / "out") == scores and not again.sizes
    assert run(folder, again, tmp_path / "out", first=1)["items"] == 1


def test_an_error_is_wrong_and_asked_again(folder: Path, tmp_path: Path) -> None:
    first = run(folder, Answering(failures=1), tmp_path / "out")["models"]["m"]
    assert first["failures"] == {"missing": 2}
    backend = Answering()
    second = run(folder, backend, tmp_path / "out")["models"]["m"]
    assert len(backend.sizes) == 1 and second["failures"] == {"missing": 1}
    assert len((tmp_path / "out" / GENERATIONS).read_text().splitlines()) == 3


def test_geochains_photos_are_cropped(folder: Path, tmp_path: Path) -> None:
    backend = Answering()
    chosen = Benchmark(geochain.NAME, "", items, location.photo_prompts, location.parse, location.score)
    run(folder, backend, tmp_path / "out", chosen)
    assert set(backend.sizes) == {(56, 54)}


def test_whoever_answers_learns_how_many_images_a_prompt_shows(folder: Path, tmp_path: Path) -> None:
    def pairs(at: Path) -> list[Item]:
        first, second, missing = items(at)
        return [first, dataclasses.replace(second, images=(*second.images, *first.images)), missing]

    def prompts(_: Path) -> dict[str, str]:
        return {"where": "where?"}

    told: list[int] = []
    made: list[Answering] = []

    def answerer(images: int) -> tuple[Answering, Asking]:
        assert all(one.closed for one in made), "one after the other"
        told.append(images)
        made.append(Answering())
        return made[-1], Asking(label="m", weights="w", max_new_tokens=8)

    chosen = Benchmark("photos", "", pairs, prompts, location.parse, location.score)
    run_benchmark(chosen, folder, {"m": answerer, "n": answerer}, tmp_path / "out")
    assert told == [2, 2] and all(one.closed for one in made)


def test_a_folder_without_photos_says_so(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    with pytest.raises(BenchmarkError, match="no image of photos's 3 items"):
        run(tmp_path / "data", Answering(), tmp_path / "out")


def test_the_command_on_real_photos(real_data: Path, tmp_path: Path) -> None:
    """The base knows no coordinates: six photos asked, none located, forty-four without a photo here."""
    command = [sys.executable, "-m", "geor1.benchmarks", "osv5m", str(real_data / "osv5m"), str(tmp_path / "out")]
    done = subprocess.run([*command, f"base={BASE_MODEL_PATH}"], check=True, capture_output=True, text=True)
    scores = json.loads(Path(done.stdout.splitlines()[-1]).read_text())
    assert (scores["items"], scores["without_image"]) == (50, 44)
    assert scores["models"]["base"]["n_missed"] == 50
    assert len((tmp_path / "out" / GENERATIONS).read_text().splitlines()) == 6
