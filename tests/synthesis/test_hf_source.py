"""Hugging Face datasets as a source: files on this disk, which ``datasets`` streams as it streams the Hub's."""

from __future__ import annotations

import collections
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from geor1.records import Pair, Question, read_jsonl
from geor1.synthesis.config import SynthesisConfig
from geor1.synthesis.hf_source import HfSource
from geor1.synthesis.images import ImageError
from geor1.synthesis.negative_rule import NegativeRule
from geor1.synthesis.negatives import Neighbourhoods
from geor1.synthesis.run import run_synthesis
from geor1.synthesis.sources import Books, SourceError

from .layout_cases import peak_bytes, picture, picture_bytes, real_pairs

datasets = pytest.importorskip("datasets")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def rows(n: int = 8, **changes: Any) -> list[dict[str, Any]]:
    return [
        {
            "ground": picture_bytes(number),
            "aerial": picture_bytes(number + 100, size=(28, 28)),
            "lat": 48.85 + 200.0 * number / 111_195.0,
            "lon": 2.35,
            "town": "Paris",
            "country": "France",
            "part": "train",
            **changes,
        }
        for number in range(n)
    ]


COLUMNS = {
    "panorama": "ground",
    "tile": "aerial",
    "latitude": "lat",
    "longitude": "lon",
    "city": "town",
    "split": "part",
}


def parquet(path: Path, items: list[dict[str, Any]], *, image: bool = False) -> Path:
    table = datasets.Dataset.from_list(items)
    if image:
        for column in ("ground", "aerial"):
            table = table.cast_column(column, datasets.Image())
    table.to_parquet(path)
    return path


@pytest.mark.parametrize("image", [False, True])
def test_bytes_in_parquet(tmp_path: Path, image: bool) -> None:
    path = parquet(tmp_path / "d.parquet", rows(), image=image)
    source = HfSource(path=str(path), columns=COLUMNS)
    pairs = list(source.pairs(tmp_path / "out"))
    assert [pair.pair_id for pair in pairs] == [f"hf:d.parquet/{k}" for k in range(8)]
    assert pairs[2].city == "Paris" and pairs[2].split == "train" and pairs[2].longitude_deg == 2.35
    assert pairs[2].facts == {"city": "Paris", "country": "France"} and source.books.images == {"stripped": 16}
    for pair in pairs:
        assert not Image.open(tmp_path / "out" / pair.ground_image).getexif()


def test_paths_in_json_lines(tmp_path: Path) -> None:
    items = [{"panorama": f"g/{k}.jpg", "tile": f"t/{k}.jpg", "name": f"n{k}", "season": "dry"} for k in range(3)]
    for item in items:
        picture(tmp_path / item["panorama"], 1, gps=False)
        picture(tmp_path / item["tile"], 2, gps=False)
    (tmp_path / "d.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
    source = HfSource(path=str(tmp_path / "d.jsonl"))
    pairs = list(source.pairs(tmp_path / "out"))
    assert [pair.pair_id for pair in pairs] == ["hf:d.jsonl/n0", "hf:d.jsonl/n1", "hf:d.jsonl/n2"]
    assert pairs[0].facts == {"season": "dry"} and source.books.images == {"linked": 6}
    (tmp_path / "e.jsonl").write_text(json.dumps({"panorama": "../../etc/x.jpg", "tile": "t/0.jpg"}) + "\n")
    with pytest.raises(ImageError, match=r"e.jsonl \(train\) row 1, panorama: image path '../../etc/x.jpg' leaves"):
        list(HfSource(path=str(tmp_path / "e.jsonl")).pairs(tmp_path / "out"))


def test_through_the_stage_with_a_choice_by_city(tmp_path: Path) -> None:
    items = [*rows(20), *rows(20, town="London", lon=-0.13, part="validation")]
    for item in items[20:]:
        item["lat"] += 2.66
        item["aerial"] = picture_bytes(int(1000 * item["lat"]), size=(28, 28))
    path = parquet(tmp_path / "d.parquet", items)
    config = SynthesisConfig(
        source="hf_dataset",
        source_path=str(path),
        columns=COLUMNS,
        pairs_per_city=7,
        tile_extent_m=160.0,
        pairing_scaffolds=0,
        geolocation_scaffolds=0,
        probes=False,
        tile_px=28,
        panorama_width_px=56,
        panorama_height_px=28,
    )
    made = run_synthesis(config, tmp_path / "out")
    pairs = read_jsonl(made / "pairs.jsonl", Pair)
    assert collections.Counter((pair.city, pair.split) for pair in pairs) == {
        ("Paris", "train"): 7,
        ("London", "test"): 7,
    }
    assert {q.city for q in read_jsonl(made / "questions_test.jsonl", Question)} == {"London"}
    assert json.loads((made / "report.json").read_text())["sources"]["images"] == {"stripped": 28}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ground": b"no image"}, r"row 3, panorama: image bytes: expected JPEG, PNG or WebP"),
        ({"ground": picture_bytes(1)[:300]}, r"row 3, panorama: .*cannot be decoded"),
        ({"lat": 148.0}, r"row 3: lat_deg=148.0 is outside.*swapped"),
        ({"lat": 2.35, "lon": 48.85}, r"row 3: .*is not in Paris.*latitude and longitude are swapped"),
        ({"lon": None}, r"row 3: .*expected both or neither"),
        ({"part": "dev"}, r"row 3: split: expected 'train' or 'test', got 'dev'"),
    ],
)
def test_broken_rows_are_named_or_counted(tmp_path: Path, changes: dict, message: str) -> None:
    items = rows(6)
    items[2] |= changes
    path = parquet(tmp_path / "d.parquet", items)
    with pytest.raises(ValueError, match=message):
        list(HfSource(path=str(path), columns=COLUMNS).pairs(tmp_path / "out"))
    books = Books(skip_broken=True)
    pairs = list(HfSource(path=str(path), columns=COLUMNS, books=books).pairs(tmp_path / "out"))
    assert len(pairs) == 5 and books.n_broken == 1 and list(books.broken) == [f"{path} (train) row 3"]


@pytest.mark.parametrize("workers", [1, 3])
def test_a_name_that_occurs_twice(tmp_path: Path, workers: int) -> None:
    items = [row | {"name": name} for row, name in zip(rows(4), ("a", "b", " a", "c"), strict=True)]
    path = parquet(tmp_path / "d.parquet", items)
    for books in (Books(), Books(skip_broken=True)):
        source = HfSource(path=str(path), columns=COLUMNS, books=books, workers=workers)
        with pytest.raises(SourceError, match=r"row 3: hf:d.parquet has a pair 'a' already; names must be unique"):
            list(source.pairs(tmp_path / "out"))


def test_a_tile_of_several_rows_is_never_its_own_negative(tmp_path: Path) -> None:
    items = rows(6)
    items[1]["aerial"] = items[0]["aerial"]
    inside = list(HfSource(path=str(parquet(tmp_path / "d.parquet", items)), columns=COLUMNS).pairs(tmp_path / "out"))
    for number, item in enumerate(items):
        for column, name in (("ground", f"g/{number}.jpg"), ("aerial", f"t/{max(number, 1)}.jpg")):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_bytes(item[column])
            item[column] = name
    (tmp_path / "e.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
    by_path = list(HfSource(path=str(tmp_path / "e.jsonl"), columns=COLUMNS).pairs(tmp_path / "out"))
    for pairs in (inside, by_path):
        assert pairs[0].satellite_image == pairs[1].satellite_image
        assert len({pair.satellite_image for pair in pairs}) == 5 and len({pair.ground_image for pair in pairs}) == 6
        hood = Neighbourhoods(pairs, NegativeRule())
        assert set(hood.eligible(0)[0]) == set(hood.eligible(1)[0]) == {2, 3, 4, 5}


def test_columns_that_are_not_there(tmp_path: Path) -> None:
    path = parquet(tmp_path / "d.parquet", rows(2))
    with pytest.raises(SourceError, match=r"no column 'panorama' for 'panorama'; found \['ground', 'aerial'.*columns"):
        list(HfSource(path=str(path)).pairs(tmp_path / "out"))
    with pytest.raises(SourceError, match="no column 'latitud' for 'latitude'"):
        list(HfSource(path=str(path), columns={**COLUMNS, "latitude": "latitud"}).pairs(tmp_path / "out"))
    with pytest.raises(SourceError, match=r"columns: expected panorama.*did you mean 'panorama'"):
        HfSource(path=str(path), columns={"panorma": "ground"})
    with pytest.raises(SourceError, match="cannot be opened as a dataset"):
        list(HfSource(path=str(tmp_path / "absent")).pairs(tmp_path / "out"))


def test_memory_does_not_grow_with_the_set(tmp_path: Path) -> None:
    """Of 20 MB of images, a few rows are held; ``datasets`` by itself holds the whole file."""
    items = [{"panorama": picture_bytes(k, size=(300, 200)), "tile": picture_bytes(k)} for k in range(200)]
    total = sum(len(item["panorama"]) for item in items)
    datasets.Dataset.from_list(items).to_parquet(tmp_path / "d.parquet", batch_size=10)
    del items
    source = HfSource(path=str(tmp_path / "d.parquet"))
    assert sum(1 for _ in source.pairs(tmp_path / "warm")) == 200
    peak = peak_bytes(lambda: collections.deque(source.pairs(tmp_path / "out"), maxlen=0))
    assert total > 7e6 and peak < total / 4


def test_real_images_in_a_dataset(real_data: Path, tmp_path: Path) -> None:
    items = [{"panorama": g.read_bytes(), "tile": s.read_bytes()} for g, s in real_pairs(real_data, "cvcities")]
    path = tmp_path / "real.parquet"
    datasets.Dataset.from_list(items).to_parquet(path)
    pairs = list(HfSource(path=str(path)).pairs(tmp_path / "out"))
    assert len(pairs) == 5
    for pair, item in zip(pairs, items, strict=True):
        assert (tmp_path / "out" / pair.ground_image).read_bytes() == item["panorama"]
