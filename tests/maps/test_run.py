"""Stage 05 as a whole."""

from __future__ import annotations

import csv
import dataclasses
import json

import pytest
from PIL import Image

from geor1.maps.config import MapConfig
from geor1.maps.figures import map_figure
from geor1.maps.run import run_map
from geor1.records import Pair, Prediction, RecordError, write_jsonl
from geor1.runs import ConfigError, MissingUpstreamError


@pytest.fixture
def evaluated(pictures, geolocation, pairing):
    """A run folder of stage 04 with both tasks."""
    rows = [pairing("A", "B", model=m, item_id=f"q{i}", rotation=i % 2) for i in range(4) for m in ("base", "grpo")]
    rows += [pairing("B", "B", condition="blind"), pairing(None, "B", item_id="u", images=("gone.png",))]
    rows += [geolocation(item_id=f"q{i}", guess=(i, i), images=("images/g.png",)) for i in range(3)]
    write_jsonl(pictures / "predictions.jsonl", rows)
    return pictures


def test_it_writes_its_products(evaluated, tmp_path, read_page):
    out = run_map(MapConfig(title="A title", dpi=60), evaluated, None, tmp_path / "out")
    figures = ("map", "errors", "worst", "countries")
    twins = {f"{name}.{kind}" for name in figures for kind in ("png", "svg")}
    assert {p.name for p in out.iterdir()} == {"map.html", "metrics_summary.json", *twins}
    for name in figures:
        assert (out / f"{name}.svg").stat().st_size < 400_000
        assert b"<svg" in (out / f"{name}.svg").read_bytes()[:1000]
        image = Image.open(out / f"{name}.png")
        assert image.width > 300 and len(image.convert("RGB").getcolors(1 << 24)) > 100
    summary = json.loads((out / "metrics_summary.json").read_text())
    assert summary["samples"] == 13 and summary["wrong"] == 8 and summary["located"] == 3
    assert read_page((out / "map.html").read_text()).blob().header["title"] == "A title"


def test_the_static_map_takes_the_first_rotation_there_is(pairing):
    rows = [pairing("A", "A", item_id=f"q{i}", rotation=turn) for i in range(3) for turn in (2, 3)]
    (ax,) = map_figure(rows, 10).axes
    assert ax.get_title(loc="left").endswith("n = 3")


def test_places_and_imported_outputs(evaluated, tmp_path, geolocation, read_page):
    data = tmp_path / "data"
    data.mkdir()
    pair = Pair(pair_id="p", source="world", split="train", ground_image="g", satellite_image="s",
                latitude_deg=1.0, longitude_deg=2.0)  # fmt: skip
    write_jsonl(
        data / "pairs.jsonl", [pair, dataclasses.replace(pair, pair_id="x", latitude_deg=None, longitude_deg=None)]
    )
    write_jsonl(evaluated / "imported.jsonl", [geolocation(model="gpt-4o", item_id=f"i{n}") for n in range(5)])
    out = run_map(MapConfig(dpi=60), evaluated / "predictions.jsonl", data, tmp_path / "out")
    assert {"places.png", "imported_map.html", "imported_map.png", "imported_errors.png"} <= {
        p.name for p in out.iterdir()
    }
    assert read_page((out / "imported_map.html").read_text()).blob().n == 5
    again = run_map(MapConfig(dpi=60, imported=False), evaluated, data, tmp_path / "again")
    assert not (again / "imported_map.html").exists()


def test_nothing_but_nonsense_still_makes_a_page(pictures, tmp_path, geolocation, pairing):
    rows = [geolocation(guess=None, item_id=str(i), raw="") for i in range(3)] + [pairing(None, "A")]
    write_jsonl(pictures / "predictions.jsonl", rows)
    out = run_map(MapConfig(dpi=60), pictures, None, tmp_path / "out")
    assert json.loads((out / "metrics_summary.json").read_text())["unusable"] == 4
    write_jsonl(pictures / "predictions.jsonl", [])
    assert (run_map(MapConfig(dpi=60), pictures, None, tmp_path / "empty") / "map.png").is_file()


def test_clear_errors(tmp_path, pictures):
    with pytest.raises(MissingUpstreamError, match=r"nowhere: expected the predictions of 04_evaluation"):
        run_map(MapConfig(), tmp_path / "nowhere", None, tmp_path / "out")
    (pictures / "predictions.jsonl").write_text('{"model": "base"}\n')
    with pytest.raises(RecordError, match=r"predictions.jsonl line 1: field 'task' is missing"):
        run_map(MapConfig(), pictures, None, tmp_path / "out")


@pytest.mark.parametrize(
    "field, value", [("dpi", 10), ("worst_cases", 0), ("max_thumbnails", -1), ("title", " "), ("base", "")]
)
def test_config_names_the_field(field, value):
    with pytest.raises(ConfigError, match=f"{field}="):
        MapConfig(**{field: value})


def test_real_errors_of_two_models_on_1602_photos(real_data, tmp_path, read_page):
    rows = []
    for model in ("gpt-4o", "gemini-1.5-pro"):
        with (real_data / "geoguess" / f"{model}-full-bench.csv").open(encoding="utf-8") as file:
            for line in csv.DictReader(file):
                guess = [float(line[key]) if line[key] else None for key in ("predicted_lat", "predicted_long")]
                fields = {
                    "model": model, "task": "geolocation", "item_id": line["image_name"], "raw": line["model_response"],
                    "status": "ok" if None not in guess else "no_coordinates",
                    "latitude_deg": guess[0], "longitude_deg": guess[1],
                    "true_latitude_deg": float(line["label_lat"]), "true_longitude_deg": float(line["label_long"]),
                }  # fmt: skip
                rows.append(Prediction(**fields))
    write_jsonl(tmp_path / "predictions.jsonl", rows)
    out = run_map(MapConfig(dpi=60), tmp_path, None, tmp_path / "out")
    blob = read_page((out / "map.html").read_text(encoding="utf-8")).blob()
    names = [blob.header["outcomes"][outcome] for outcome in blob.columns["outcome"]]
    assert blob.n == 3204 and names.count("unusable") == 34  # 24 of gpt-4o, 10 of gemini-1.5-pro
    assert (out / "map.html").stat().st_size < 6_000_000
    assert len(Image.open(out / "map.png").convert("RGB").getcolors(1 << 24)) > 1000
