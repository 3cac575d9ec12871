"""Stored outputs scored by one command: the benchmarks' real files, and files that do not fit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from geor1.evaluation.outputs import main, read_outputs
from geor1.evaluation.presets import STRICT
from geor1.records import Prediction, write_jsonl


def predictions(model: str, items: range) -> list[Prediction]:
    return [
        Prediction(
            model=model,
            task="geolocation",
            item_id=f"i{item}",
            raw="",
            status="ok",
            latitude_deg=float(item),
            longitude_deg=0.0,
            true_latitude_deg=10.0,
            true_longitude_deg=0.0,
        )
        for item in items
    ]


def test_imageos_files(real_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = real_data / "imageo"
    files = [str(path) for path in sorted(folder.glob("pcw_*.jsonl"))]
    labels = ["--labels", str(folder / "pcw_labels.csv")]
    main(["imageo", *files, *labels, "--cells", "--resamples", "200", "--json", str(tmp_path / "out.json")])
    said, result = capsys.readouterr().out, json.loads((tmp_path / "out.json").read_text())
    assert STRICT.rule in said
    expected = json.loads((real_data / "expected.json").read_text())["imageo_pcw_strict"]
    rows = {row["label"]: row for row in result["models"]}
    assert set(rows) == set(expected)
    for name, figures in expected.items():
        assert rows[name]["city"] == pytest.approx(figures["city_accuracy_all"], abs=1e-4)
        assert (rows[name]["n"], rows[name]["clusters"]) == (270, 155)
    assert len(result["compared"]) == 6


def test_the_other_real_files(real_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["geoguess", *map(str, sorted((real_data / "geoguess").glob("*.csv"))), "--resamples", "200"])
    assert "gemini-1.5-pro → gpt-4o: GeoScore +36.5" in capsys.readouterr().out
    main(["osv5m", str(real_data / "osv5m" / "select.csv"), "--preset", "osv5m", "--resamples", "200"])
    said = capsys.readouterr().out
    assert "osv5m → osv5m baseline: GeoScore -" in said and "hit if d < r" in said


def test_groups_of_places_and_of_the_labels_columns(
    real_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = real_data / "imageo"
    given = ["imageo", str(folder / "pcw_gpt-4.1.jsonl"), "--labels", str(folder / "pcw_labels.csv"), "--bias"]
    main([*given, "--columns", "state", "--resamples", "100", "--json", str(tmp_path / "out.json")])
    rows = json.loads((tmp_path / "out.json").read_text())["bias"]
    by_slice: dict[str, int] = {}
    for row in rows:
        if row["group"] != "all":
            by_slice[row["slice"]] = by_slice.get(row["slice"], 0) + row["n"]
    assert set(by_slice.values()) == {270} and {"country", "climate", "near_city", "state"} <= set(by_slice)
    assert "gpt-4.1 by country: " in capsys.readouterr().out


def test_our_own_predictions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_jsonl(tmp_path / "p.jsonl", [*predictions("a", range(5)), *predictions("b", range(3, 8))])
    with pytest.raises(SystemExit, match=r"lacks 3 items.*lacks 3|lacks"):
        main(["predictions", str(tmp_path / "p.jsonl"), "--resamples", "100"])
    main(["predictions", str(tmp_path / "p.jsonl"), "--resamples", "100", "--intersect"])
    assert "a → b: GeoScore +0.0 [0.0, 0.0], n = 2" in capsys.readouterr().out


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "p.jsonl", predictions("a", range(2)))
    with pytest.raises(ValueError, match="labels"):
        read_outputs("imageo", tmp_path / "p.jsonl")
    with pytest.raises(ValueError, match="kind 'csv'"):
        read_outputs("csv", tmp_path / "p.jsonl")
    with pytest.raises(SystemExit, match="different names"):
        main(["predictions", str(tmp_path / "p.jsonl"), str(tmp_path / "p.jsonl")])
    (tmp_path / "empty.jsonl").write_text("")
    with pytest.raises(SystemExit, match="no geolocation predictions"):
        main(["predictions", str(tmp_path / "empty.jsonl")])
