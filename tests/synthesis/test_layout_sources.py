"""Published data sets as sources of stage 01: what is read, what is refused, what is left out, and how much is held."""

from __future__ import annotations

import collections
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from geor1.records import Pair, Question, read_jsonl
from geor1.runs import ConfigError
from geor1.synthesis.config import SynthesisConfig
from geor1.synthesis.layouts.cv_cities import CENTRES_DEG, CITIES, PAIRS
from geor1.synthesis.layouts.registry import pair_layout
from geor1.synthesis.run import run_synthesis
from geor1.synthesis.sources import Books, SourceError

from .layout_cases import cv_cities, cvusa, peak_bytes, picture, real_pairs, university

NO_CHAINS = {"pairing_scaffolds": 0, "geolocation_scaffolds": 0, "parquet": False, "probes": False, "workers": 1}
TILE_M = {"tile_extent_m": 169.0}  # half the diagonal is 119.5 m
OWN_SIZE = {"tile_px": 0, "panorama_width_px": 0, "panorama_height_px": 0}


def synthesise(source: str, root: Path, out: Path, **settings: Any) -> Path:
    config = SynthesisConfig(
        source=source,
        source_path=str(root),
        **{**NO_CHAINS, **OWN_SIZE, **(TILE_M if source == "cv_cities" else {}), **settings},
    )
    return run_synthesis(config, out)


def questions_of(made: Path, split: str) -> list[Question]:
    return read_jsonl(made / f"questions_{split}.jsonl", Question)


def report_of(made: Path) -> dict:
    return json.loads((made / "report.json").read_text())


def test_the_official_split_adds_up_to_the_published_numbers() -> None:
    of_split = collections.Counter()
    for folder, (*_, split) in CITIES.items():
        of_split[split] += PAIRS[folder]
    assert of_split == {"train": 162_954, "test": 60_782} and set(CITIES) == set(PAIRS) == set(CENTRES_DEG)


def test_cv_cities_as_a_source(tmp_path: Path) -> None:
    made = synthesise("cv_cities", cv_cities(tmp_path / "data", 8), tmp_path / "out")
    train, test = questions_of(made, "train"), questions_of(made, "test")
    assert (
        {q.city for q in train} == {"Paris"} and {q.city for q in test} == {"London"} and len(train) == len(test) == 8
    )
    for question in train:
        assert {option.pair_id.split("/")[1] for option in question.candidates} == {"paris"}
    for file in (made / "images").iterdir():
        assert not Image.open(file).getexif() and b"Exif" not in file.read_bytes()
    sources = report_of(made)["sources"]
    assert (sources["broken"], sources["broken_first"], sources["images"]) == (0, {}, {"stripped": 32})
    assert report_of(made)["negatives_m"]["train"]["min"] >= 119.5
    assert report_of(made)["pairs"] == {"train": 8, "test": 8}


def test_pairs_per_city_are_a_seeded_choice(tmp_path: Path) -> None:
    root = cv_cities(tmp_path / "data", 30, cities=("paris", "tokyo", "london"))
    chosen = {}
    for name, seed, workers in (("a", 0, 1), ("b", 0, 3), ("c", 1, 1)):
        made = synthesise("cv_cities", root, tmp_path / name, pairs_per_city=10, seed=seed, workers=workers)
        pairs = read_jsonl(made / "pairs.jsonl", Pair)
        assert collections.Counter(pair.city for pair in pairs) == {"Paris": 10, "Tokyo": 10, "London": 10}
        assert len(list((made / "images").iterdir())) == 60
        chosen[name] = [pair.pair_id for pair in pairs]
    assert chosen["a"] == chosen["b"] != chosen["c"]
    alone = synthesise(
        "cv_cities", cv_cities(tmp_path / "one", 30, cities=("paris",)), tmp_path / "d", pairs_per_city=10
    )
    paris = [one for one in chosen["a"] if "/paris/" in one]
    assert [pair.pair_id for pair in read_jsonl(alone / "pairs.jsonl", Pair)] == paris  # no city decides another's


def test_questions_per_city_ask_less_and_keep_the_tiles(tmp_path: Path) -> None:
    root = cv_cities(tmp_path / "data", 12)
    made = synthesise("cv_cities", root, tmp_path / "out", questions_per_city=3)
    assert len(questions_of(made, "train")) == len(questions_of(made, "test")) == 3
    assert len(read_jsonl(made / "pairs.jsonl", Pair)) == 24


def test_bands_reach_the_questions_and_the_report(tmp_path: Path) -> None:
    bands = [[120.0, 900.0, 0.5], [900.0, 4000.0, 0.5]]
    config = {"bands": tuple(tuple(band) for band in bands), "questions_per_pair": 20}
    made = synthesise("cv_cities", cv_cities(tmp_path / "data", 20), tmp_path / "out", **config)
    shares = report_of(made)["negatives_m"]["train"]
    assert 0.45 < shares["share 120 to 900"] < 0.55
    with pytest.raises(ConfigError, match=r"bands=.*add up to 1"):
        SynthesisConfig(bands=((120.0, 900.0, 0.5),))


def test_what_differs_from_the_published_set_is_in_the_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(PAIRS, "london", 8)
    root = cv_cities(tmp_path / "data", 8)
    differs = report_of(synthesise("cv_cities", root, tmp_path / "out"))["sources"]["differs_from_published"]
    assert differs.pop("paris/img_info.csv") == "8 rows where 20214 were published"
    assert set(differs) == {f"{folder}/img_info.csv" for folder in CITIES} - {
        "london/img_info.csv",
        "paris/img_info.csv",
    }
    absent = "not there, so that this city of the test split is left out (13165 pairs)"
    assert differs["rio/img_info.csv"] == absent and f"rio/img_info.csv: {absent}" in caplog.text
    books = Books()
    list(pair_layout("cv-cities", root, split="test", books=books).pairs(tmp_path / "test"))
    assert {where.split("/")[0] for where in books.remarks} == {"rio", "seattle", "singapore", "sydney", "taipei"}


class TestBroken:
    """Every way in which a row can be unusable is named by its place, or counted."""

    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        return cv_cities(tmp_path / "data", 8)

    @staticmethod
    def edit(root: Path, row: int, old: str, new: str) -> None:
        path = root / "paris" / "img_info.csv"
        lines = path.read_text().splitlines()
        assert old in lines[row - 1]
        lines[row - 1] = lines[row - 1].replace(old, new, 1)
        path.write_text("\n".join(lines))

    @pytest.mark.parametrize(
        ("old", "new", "message"),
        [
            ("2.35", "abc", r"paris/img_info.csv line 3, column '2 \(longitude\)': expected degrees .* got 'abc'"),
            ("2.35,48.8", "48.8,2.38", r"img_info.csv line 3.*Paris.*latitude and longitude are swapped; exchange"),
            ("2.35,48.8", "2.35,148.8", r"line 3.*got '148.8.*are latitude and longitude swapped\?"),
            ("2.35,", "12.35,", r"line 3.*km from Paris, expected at most 150 km"),
            ("paris/sat", "elsewhere/sat", r"line 3: .*2.jpg: image of pair 'paris/2' is missing"),
            ("paris/sat", "../data/../../sat", r"line 3: .*leaves the folder"),
            (",paris,", ",", r"img_info.csv line 3: expected 6 cells, got 5"),
        ],
    )
    def test_rows(self, root: Path, tmp_path: Path, old: str, new: str, message: str) -> None:
        self.edit(root, 3, old, new)
        with pytest.raises(SourceError, match=message):
            synthesise("cv_cities", root, tmp_path / "out")
        made = synthesise("cv_cities", root, tmp_path / "out", skip_broken=True)
        report = report_of(made)
        assert report["pairs"] == {"train": 7, "test": 8} and len(questions_of(made, "train")) == 7
        assert report["sources"]["broken"] == 1
        assert list(report["sources"]["broken_first"]) == ["paris/img_info.csv line 3"]

    @pytest.mark.parametrize("workers", [1, 2])
    def test_images(self, root: Path, tmp_path: Path, workers: int) -> None:
        for number, view in ((2, "sat"), (5, "pano")):
            file = root / "paris" / f"{view}_images" / f"{number}.jpg"
            file.write_bytes(file.read_bytes()[:400])
        with pytest.raises(ValueError, match=r"paris/img_info.csv line 3: .*sat_images/2.jpg: JPEG file"):
            synthesise("cv_cities", root, tmp_path / "out", workers=workers)
        made = synthesise("cv_cities", root, tmp_path / "out", workers=workers, skip_broken=True)
        report = report_of(made)["sources"]
        assert report["broken"] == 2 and list(report["broken_first"]) == [
            "paris/img_info.csv line 3", "paris/img_info.csv line 6",
        ]  # fmt: skip
        assert report_of(made)["pairs"] == {"train": 6, "test": 8}

    def test_names_that_occur_twice(self, root: Path, tmp_path: Path) -> None:
        self.edit(root, 3, "2,", "1,")
        with pytest.raises(SourceError, match=r"img_info.csv line 3: cv-cities has a pair 'paris/1' already"):
            synthesise("cv_cities", root, tmp_path / "out")

    def test_a_whole_set_of_broken_rows_is_an_error(self, root: Path, tmp_path: Path) -> None:
        for city in ("paris", "london"):
            (root / city / "img_info.csv").write_text("a,b\n")
        with pytest.raises(SourceError, match="found none"):
            synthesise("cv_cities", root, tmp_path / "out", skip_broken=True)


def test_images_are_linked_or_brought_to_size(tmp_path: Path) -> None:
    root = cv_cities(tmp_path / "data", 6, side_px=56)
    for file in root.rglob("*.jpg"):
        picture(file, len(file.name), size=Image.open(file).size, gps=False)
    before = {file: file.read_bytes() for file in root.rglob("*.jpg")}
    made = synthesise("cv_cities", root, tmp_path / "out")
    assert report_of(made)["sources"]["images"] == {"linked": 24}
    made = synthesise("cv_cities", root, tmp_path / "out", tile_px=28)  # over the links of before
    assert report_of(made)["sources"]["images"] == {"encoded": 12, "linked": 12}
    assert {file: file.read_bytes() for file in root.rglob("*.jpg")} == before


def test_memory_does_not_grow_with_the_set(tmp_path: Path) -> None:
    """Rows pass one by one: of 400 pairs with 25 MB of images, less than a tenth is held."""
    one = picture(tmp_path / "one.jpg", 0, size=(256, 200), gps=False)
    root = cv_cities(tmp_path / "data", 400, cities=("paris",), images=[(one, one)])
    source = pair_layout("cv-cities", root)
    assert sum(1 for _ in source.pairs(tmp_path / "warm")) == 400
    peak = peak_bytes(lambda: collections.deque(source.pairs(tmp_path / "out"), maxlen=0))
    assert peak < 800 * one.stat().st_size / 10


def test_a_choice_of_pairs_places_no_other_images(tmp_path: Path) -> None:
    source = pair_layout("cv-cities", cv_cities(tmp_path / "data", 20), pairs_per_city=5)
    assert len(list(source.pairs(tmp_path / "out"))) == 10 and source.books.images.total() == 20


class TestUniversity1652:
    def test_street_views_of_a_building_share_its_tile_and_never_stand_against_each_other(self, tmp_path: Path) -> None:
        made = synthesise("university_1652", university(tmp_path / "data"), tmp_path / "out")
        train, test = questions_of(made, "train"), questions_of(made, "test")
        assert len(train) == len(test) == 12 and len(list((made / "images").iterdir())) == 36
        for question in train + test:
            assert question.latitude_deg is None and question.source == "university-1652"
            assert len({option.satellite_image for option in question.candidates}) == 5
        assert {q.pair_id.split("/")[1] for q in train} == {f"{n:04}" for n in range(800, 806)}

    def test_positions_and_fewer_views(self, tmp_path: Path) -> None:
        root = university(tmp_path / "data", buildings=2)
        (root / "positions.csv").write_text("building,latitude,longitude\n0800,42.35,-71.1\n")
        source = pair_layout("university-1652", root, views_per_building=1, split="train")
        first, second = source.pairs(tmp_path / "out")
        assert (first.latitude_deg, first.longitude_deg, second.latitude_deg) == (42.35, -71.1, None)
        (root / "positions.csv").write_text("building,latitude,longitude\n0800,-71.1,142.35\n0801,-171.1,42.35\n")
        with pytest.raises(SourceError, match=r"positions.csv line 3, column 'latitude'.*swapped\?"):
            list(source.pairs(tmp_path / "out"))
        (root / "positions.csv").write_text("building,lat\n")
        with pytest.raises(SourceError, match=r"positions.csv line 1: no column 'latitude'"):
            list(source.pairs(tmp_path / "out"))

    def test_a_split_that_is_not_there_is_said(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        root = university(tmp_path / "data")
        shutil.rmtree(root / "train")
        made = synthesise("university_1652", root, tmp_path / "out")
        absent = {"train/street": "not there, so that the train split is left out"}
        assert report_of(made)["sources"]["differs_from_published"] == absent
        assert "train/street: not there" in caplog.text and report_of(made)["pairs"] == {"train": 0, "test": 12}
        books = Books()
        list(pair_layout("university-1652", root, split="test", books=books).pairs(tmp_path / "test"))
        assert not books.remarks
        with pytest.raises(SourceError, match=r"split train\), found none"):
            list(pair_layout("university-1652", root, split="train").pairs(tmp_path / "train"))

    def test_a_building_without_its_tile(self, tmp_path: Path) -> None:
        root = university(tmp_path / "data", buildings=2)
        (root / "train/satellite/0801/0801.jpg").unlink()
        with pytest.raises(SourceError, match=r"train/street/0801: expected one tile in train/satellite/0801, found 0"):
            list(pair_layout("university-1652", root).pairs(tmp_path / "out"))
        books = Books(skip_broken=True)
        assert len(list(pair_layout("university-1652", root, books=books).pairs(tmp_path / "out"))) == 6
        assert books.n_broken == 1
        with pytest.raises(SourceError, match="found neither"):
            list(pair_layout("university-1652", tmp_path).pairs(tmp_path / "out"))


def test_cvusa_swapped_columns(tmp_path: Path) -> None:
    file = picture(tmp_path / "one.jpg", 1)
    root = cvusa(tmp_path / "data", [(file, file)] * 6)
    assert len(questions_of(synthesise("cvusa", root, tmp_path / "out"), "test")) == 6
    path = root / "split_locations" / "all.csv"
    path.write_text("".join("43.0,-82.0,-82.0,43.0,0\n" for _ in range(6)))
    with pytest.raises(SourceError, match=r"all.csv line 1, columns 3 and 4: .*latitude and longitude are swapped"):
        synthesise("cvusa", root, tmp_path / "out")


@pytest.mark.parametrize("skip_broken", [False, True])
def test_cvusa_positions_are_counted_so_that_no_line_may_be_blank(tmp_path: Path, skip_broken: bool) -> None:
    file = picture(tmp_path / "one.jpg", 1)
    root = cvusa(tmp_path / "data", [(file, file)] * 6)
    path = root / "split_locations" / "all.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines, "", ""]))  # at the end it shifts nothing
    books = Books(skip_broken=skip_broken)
    pairs = list(pair_layout("cvusa", root, books=books).pairs(tmp_path / "out"))
    assert pairs[5].latitude_deg == float(lines[5].split(",")[2])
    path.write_text("\n".join([*lines[:2], "", *lines[2:]]))
    with pytest.raises(SourceError, match=r"all.csv line 3: expected 5 cells, got a blank line, .*count as another"):
        list(pair_layout("cvusa", root, books=books).pairs(tmp_path / "out"))


def test_geox_bench_keeps_its_own_candidates(tmp_path: Path) -> None:
    objects = []
    for number in range(3):
        tiles = [{"AerialImage": {"file_path": f"18/{number}{k}.jpg"}, "is_original": k == number} for k in range(4)]
        ground = {"file_path": f"views/{number}.jpg", "real_location": "43.0,-122.0", "orientation": "N"}
        objects.append({"image_id": str(number), "GroundImage": ground, "AerialCandidates": tiles})
        for k in range(4):
            picture(tmp_path / "images" / f"18/{number}{k}.jpg", 10 * number + k)
        picture(tmp_path / "images" / ground["file_path"], 100 + number)
    (tmp_path / "index.json").write_text(json.dumps(objects))
    settings = {"image_folder": str(tmp_path / "images")}
    made = synthesise("geox_bench", tmp_path / "index.json", tmp_path / "out", **settings)
    assert [q.answer for q in questions_of(made, "test")] == ["A", "B", "C"] and not questions_of(made, "train")
    (tmp_path / "images" / "18" / "11.jpg").write_bytes(b"\xff\xd8\xff cut")
    with pytest.raises(ValueError, match=r"index.json object 2: .*11.jpg: JPEG"):
        synthesise("geox_bench", tmp_path / "index.json", tmp_path / "out", **settings)
    made = synthesise("geox_bench", tmp_path / "index.json", tmp_path / "out", skip_broken=True, **settings)
    assert len(questions_of(made, "test")) == 2 and report_of(made)["sources"]["broken"] == 1


def test_embeddings_from_a_file(tmp_path: Path) -> None:
    root = cv_cities(tmp_path / "data", 12, cities=("paris",))
    vectors = np.eye(12, dtype=np.float32)
    vectors[:, 0] = 1.0
    vectors[3] = vectors[4] * 2  # so 3 and 4 are each other's nearest
    np.save(tmp_path / "e.npy", vectors)
    hard = {"embeddings": str(tmp_path / "e.npy"), "difficulty": "hard", "candidates": 2}
    made = synthesise("cv_cities", root, tmp_path / "out", **hard)
    options = {q.pair_id: {o.pair_id for o in q.candidates} for q in questions_of(made, "train")}
    assert options["cv-cities/paris/3"] == options["cv-cities/paris/4"] == {"cv-cities/paris/3", "cv-cities/paris/4"}
    (tmp_path / "e.npy").write_bytes(b"no array")
    with pytest.raises(SourceError, match=r"e.npy'.*cannot be read"):
        synthesise("cv_cities", root, tmp_path / "out", **hard)
    with pytest.raises(ConfigError, match=r"embeddings=.*difficulty hard or easy"):
        SynthesisConfig(embeddings="e.npy")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"source": "cv_cities"}, "source_path='': expected a path"),
        ({"pairs_per_city": 5}, "pairs_per_city=5: expected nothing for source='world'"),
        ({"columns": {"tile": "x"}, "source": "folder", "source_path": "x"}, "columns=.*source='folder'"),
        ({"questions_per_city": -1}, "questions_per_city=-1: expected 0 or more"),
    ],
)
def test_config_names_the_field(wrong: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SynthesisConfig(**wrong)


@pytest.mark.parametrize("side", [0, 448])
def test_questions_about_real_images(real_data: Path, tmp_path: Path, side: int) -> None:
    """The real CV-Cities and CVUSA images, through their own sources, at their own size and at the paper's."""
    sizes = {"tile_px": side, "panorama_width_px": side, "panorama_height_px": side}
    roots = {
        "cv_cities": cv_cities(tmp_path / "a", 5, cities=("sydney",), images=real_pairs(real_data, "cvcities")),
        "cvusa": cvusa(tmp_path / "b", real_pairs(real_data, "cvusa")),
    }
    for source, root in roots.items():
        made = synthesise(source, root, tmp_path / f"{source}_out", **sizes)
        questions = questions_of(made, "test")
        assert len(questions) == 5 and all(len(question.candidates) == 5 for question in questions)
        images = report_of(made)["sources"]["images"]
        assert images == ({"encoded": 10} if side else {"linked": 10})
        for question in questions:
            for path in (question.ground_image, *(option.satellite_image for option in question.candidates)):
                with Image.open(made / path) as image:
                    image.load()
                    assert not image.getexif() and (not side or image.size == (side, side))
