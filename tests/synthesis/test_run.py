"""The whole stage at a small size: products, books, reproducibility, and what ``datasets`` makes of the files."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from PIL import Image

from geor1.records import Pair, Question, Scaffold, read_jsonl
from geor1.runs import ConfigError
from geor1.synthesis.config import SynthesisConfig
from geor1.synthesis.run import check_disjoint_cities, run_synthesis
from geor1.synthesis.sources import SourceError

from .hand_made import HandMadeSource, line_of_places

SMALL = SynthesisConfig(
    train_pairs=24,
    test_pairs=14,
    scenes_per_neighbourhood=7,
    pairing_scaffolds=60,
    geolocation_scaffolds=40,
    labelled_scaffolds=20,
    teacher_error_rate=0.3,
    questions_per_pair=2,
    workers=1,
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_synthesis(SMALL, tmp_path_factory.mktemp("synthesis"))


def report_of(run_dir: Path) -> dict:
    return json.loads((run_dir / "report.json").read_text())


def test_products_fit_their_records(made: Path) -> None:
    pairs = read_jsonl(made / "pairs.jsonl", Pair)
    train, test = (read_jsonl(made / f"questions_{split}.jsonl", Question) for split in ("train", "test"))
    assert (len(pairs), len(train), len(test)) == (38, 48, 14)
    for question in train + test:
        assert (made / question.ground_image).is_file()
        assert all((made / option.satellite_image).is_file() for option in question.candidates)
    assert not {pair.city for pair in pairs if pair.split == "train"} & {q.city for q in test}
    assert not list(made.rglob("*.partial"))


def test_questions_of_the_world_keep_their_distance(made: Path) -> None:
    for question in read_jsonl(made / "questions_train.jsonl", Question):
        for option in question.candidates:
            if option.letter != question.answer:
                assert 120.0 <= option.distance_m <= 4000.0
                assert option.facts["city"] == question.city
                assert any(option.facts[d] != question.facts[d] for d in ("north", "east", "south", "west"))


def test_books_of_the_fact_check_add_up(made: Path) -> None:
    report = report_of(made)
    scaffolds = read_jsonl(made / "scaffolds.jsonl", Scaffold)
    labelled = read_jsonl(made / "labelled_scaffolds.jsonl", Scaffold)
    books = report["scaffolds"]
    assert {kind: books[kind]["written"] for kind in books} == {"unmatched": 60, "geolocation": 40, "labelled": 20}
    for kind in books:
        assert books[kind]["kept"] + sum(books[kind]["dropped_by_reason"].values()) == books[kind]["written"]
    assert 0 < books["unmatched"]["kept"] < 60
    assert len(scaffolds) == books["unmatched"]["kept"] + books["geolocation"]["kept"]
    assert {s.kind: s.pairing_labels_seen for s in scaffolds} == {"pairing": 0, "geolocation": 0}
    assert books["labelled"]["pairing_labels_seen"] == len(labelled) and {s.pairing_labels_seen for s in labelled} == {
        1
    }
    assert {s.split for s in scaffolds + labelled} == {"train"} and all(s.n_facts > 9 for s in scaffolds + labelled)


def test_scaffolds_never_pair_a_panorama_with_its_tile(made: Path) -> None:
    own = {pair.ground_image: pair.satellite_image for pair in read_jsonl(made / "pairs.jsonl", Pair)}
    for scaffold in read_jsonl(made / "scaffolds.jsonl", Scaffold):
        assert own[scaffold.images[0]] not in scaffold.images[1:]
    for scaffold in read_jsonl(made / "labelled_scaffolds.jsonl", Scaffold):
        assert own[scaffold.images[0]] in scaffold.images[1:]


def test_report_counts_what_is_there(made: Path) -> None:
    report = report_of(made)
    assert report["pairs"] == {"train": 24, "test": 14} and report["questions"] == {"train": 48, "test": 14}
    assert sorted(report["answers"]["train"].values()) == [9, 9, 10, 10, 10]
    assert sum(report["pairs_by_continent"].values()) == 38
    assert report["cities"] >= report["countries"] > 1


def test_run_again_gives_the_same_files(made: Path, tmp_path: Path) -> None:
    run_synthesis(SMALL, tmp_path)
    (tmp_path / "questions_train.jsonl").write_text("cut")  # as if killed in mid-run
    (next((tmp_path / "images").iterdir())).write_bytes(b"cut")
    run_synthesis(SMALL, tmp_path)
    assert files_of(tmp_path) == files_of(made)


def files_of(folder: Path) -> dict[str, bytes]:
    kept = (path for path in folder.rglob("*") if path.is_file() and path.name != "report.json")
    return {str(path.relative_to(folder)): path.read_bytes() for path in kept}


def test_datasets_loads_every_file(made: Path, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    cache = str(tmp_path)
    for stem, rows in (("questions_train", 48), ("questions_test", 14), ("pairs", 38)):
        lines = datasets.load_dataset("json", data_files=str(made / f"{stem}.jsonl"), cache_dir=cache, split="train")
        assert len(lines) == rows
    for stem in ("scaffolds", "labelled_scaffolds", "authors_train"):
        assert len(
            datasets.load_dataset("json", data_files=str(made / f"{stem}.jsonl"), cache_dir=cache, split="train")
        )


def test_parquet_holds_the_images(made: Path, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    file = str(made / "parquet" / "questions_test.parquet")
    table = datasets.load_dataset("parquet", data_files=file, cache_dir=str(tmp_path), split="train")
    questions = read_jsonl(made / "questions_test.jsonl", Question)
    row, question = table[3], questions[3]
    assert row["ground_image"].size == (224, 56) and [tile.size for tile in row["tiles"]] == [(84, 84)] * 5
    assert row["ground_image"].tobytes() == Image.open(made / question.ground_image).tobytes()
    assert (row["answer"], row["letters"]) == (question.answer, list("ABCDE"))
    assert json.loads(row["facts"]) == question.facts and row["prompt"].count("<image>") == 6


def test_card_makes_the_folder_a_data_set(made: Path, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    assert datasets.get_dataset_config_names(str(made)) == ["questions", "pairs", "scaffolds", "labelled_scaffolds"]
    loaded = datasets.load_dataset(str(made), "questions", cache_dir=str(tmp_path))
    assert {split: len(rows) for split, rows in loaded.items()} == {"train": 48, "test": 14}
    text = (made / "README.md").read_text()
    assert "| chains of thought, unmatched |" in text and "synthetic" in text


def test_real_pairs_go_through(real_data: Path, tmp_path: Path) -> None:
    small = dataclasses.replace(
        SMALL,
        train_pairs=0,
        test_pairs=7,
        labelled_scaffolds=0,
        pairs_folder=str(real_data / "pairs"),
    )
    questions = read_jsonl(run_synthesis(small, tmp_path) / "questions_real.jsonl", Question)
    assert len(questions) == 10 and {question.source for question in questions} == {"folder:cvcities", "folder:cvusa"}
    for question in questions:
        assert len({option.pair_id.split("/")[0] for option in question.candidates}) == 1
    assert report_of(tmp_path)["pairs"] == {"train": 0, "test": 7, "real": 10}
    datasets = pytest.importorskip("datasets")
    lines = datasets.load_dataset(
        "json", data_files=str(tmp_path / "questions_real.jsonl"), cache_dir=str(tmp_path / "cache"), split="train"
    )
    assert len(lines) == 10


def test_folder_as_the_only_source(tmp_path: Path) -> None:
    folder = tmp_path / "town"
    folder.mkdir()
    rows = ["name,lat,lon,city,split"]
    for number, pair in enumerate(HandMadeSource().pairs(tmp_path)):
        (tmp_path / pair.ground_image).rename(folder / f"{number}_ground.jpg")
        (tmp_path / pair.satellite_image).rename(folder / f"{number}_satellite.jpg")
        rows.append(f"{number},{pair.latitude_deg},{pair.longitude_deg},Quito,train")
    (folder / "positions.csv").write_text("\n".join(rows))
    config = dataclasses.replace(SMALL, source="folder", source_path=str(folder), parquet=False, tile_extent_m=100.0)
    made = run_synthesis(config, tmp_path / "out")
    report = report_of(made)
    assert report["questions"] == {"train": 16, "test": 0} and report["scaffolds"]["unmatched"]["written"] == 0
    assert (made / "questions_test.jsonl").read_text() == ""


def test_authors_file_as_the_only_source(made: Path, tmp_path: Path) -> None:
    config = dataclasses.replace(SMALL, source="authors_jsonl", source_path=str(made / "authors_train.jsonl"))
    again = read_jsonl(run_synthesis(config, tmp_path) / "questions_train.jsonl", Question)
    before = read_jsonl(made / "questions_train.jsonl", Question)
    assert [question.question_id for question in again] == [question.question_id for question in before]
    assert len(read_jsonl(tmp_path / "labelled_scaffolds.jsonl", Scaffold)) > 0


def test_a_city_in_both_splits_is_refused() -> None:
    with pytest.raises(SourceError, match="Quito stands in both"):
        list(check_disjoint_cities([*line_of_places(), *line_of_places("test")]))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"source": "wrold"}, "source='wrold': expected one of world, folder, authors_jsonl, cv_cities"),
        ({"source": "folder"}, "source_path='': expected a path"),
        ({"candidates": 1}, "candidates=1: expected 2 to 26"),
        ({"candidates": 12}, "scenes_per_neighbourhood=12: expected 13 to 60"),
        ({"tile_px": 80}, "tile_px=80: expected a multiple of 28"),
        ({"panorama_width_px": 0}, "panorama_width_px=0: expected a multiple of 28"),
        ({"train_pairs": 3}, "train_pairs=3: expected 0, or more than candidates=5"),
        ({"train_pairs": 0, "test_pairs": 0}, "train_pairs=0: expected at least one"),
        ({"labelled_scaffolds": 2001}, "labelled_scaffolds=2001: expected at most the 2000"),
        ({"teacher_error_rate": 1.5}, "teacher_error_rate=1.5: expected 0 to 1"),
        (
            {"max_radius_m": 100.0, "min_separation_m": 120.0},
            "max_radius_m=100.0: expected more than min_separation_m=120",
        ),
        ({"difficulty": "brutal"}, "difficulty='brutal': expected one of"),
        ({"pairing_scaffolds": -1}, "pairing_scaffolds=-1: expected 0 or more"),
    ],
)
def test_config_names_the_field(wrong: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SynthesisConfig(**wrong)
