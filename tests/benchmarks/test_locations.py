"""Geolocation benchmarks: the layouts, the traps in them, and scores through the common road."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from benchmark_cases import answered, picture, write

from geor1.benchmarks import location, rsteller
from geor1.benchmarks.items import BenchmarkError, Reply
from geor1.benchmarks.registry import BENCHMARKS, benchmark
from geor1.geodesy import geoscore

IM2GPS_HEADER = "IMG_ID,AUTHOR,{},{},S3_Label,S16_Label,S365_Label,Prob_indoor,Prob_natural,Prob_urban"
OSV_HEADER = "id,latitude,longitude,thumb_original_url,country,sequence,captured_at,region,sub-region,city,climate"


def test_mp16_reason_under_both_sets_of_names(tmp_path: Path) -> None:
    for names in ("IMG_ID,LAT,LON", "id,latitude,longitude"):
        write(tmp_path / "mp16-reason-test-12k.csv", f"{names},city,country", "ab_1.jpg,48.85,2.35,Paris,France")
        picture(tmp_path / "eval_images" / "ab_1.jpg", 1)
        (item,) = benchmark("mp16-reason").load(tmp_path)
        assert item.images == ("eval_images/ab_1.jpg",) and item.slices == {"country": "France", "city": "Paris"}
        assert (item.latitude_deg, item.longitude_deg) == (48.85, 2.35)
    write(tmp_path / "mp16-reason-test-12k.csv", "id,longitude,city,country", "a,2,Paris,France")
    with pytest.raises(BenchmarkError, match=r"no column for latitude; expected one of \('LAT', 'latitude'\)"):
        benchmark("mp16-reason").load(tmp_path)


@pytest.mark.parametrize("name", ["im2gps3k", "yfcc4k"])
def test_swapped_column_names_are_noticed(tmp_path: Path, name: str) -> None:
    rows = ["1.jpg,me,32.3,-64.8,2,12,353,0.2,0.1,0.7", "2.jpg,you,29.98,122.39,0,6,273,0.9,0.0,0.1"]
    found = {}
    for columns in (("LAT", "LON"), ("LON", "LAT")):
        write(tmp_path / f"{name}_places365.csv", IM2GPS_HEADER.format(*columns), *rows)
        found[columns[0]] = benchmark(name).load(tmp_path)
    right, swapped = found["LAT"], found["LON"]
    assert [(i.latitude_deg, i.longitude_deg) for i in swapped] == [(32.3, -64.8), (29.98, 122.39)]
    assert [(i.latitude_deg, i.longitude_deg) for i in right] == [(i.latitude_deg, i.longitude_deg) for i in swapped]
    assert right[0].flags == ("no_image",) and swapped[0].flags == ("header_swapped", "no_image")
    assert right[0].slices == {"scene": "urban"} and right[0].cluster == "me"
    write(tmp_path / f"{name}_places365.csv", IM2GPS_HEADER.format("LAT", "LON"), "1,me,132,-164,2,1,3,0,0,1")
    with pytest.raises(BenchmarkError, match="both hold values beyond 90"):
        benchmark(name).load(tmp_path)


def test_osv5m_test_file(tmp_path: Path) -> None:
    write(tmp_path / "test.csv", OSV_HEADER, "38,-43.8,-176.6,,NZ,seq9,,Chatham Islands,,Waitangi,15")
    picture(tmp_path / "images" / "test" / "00" / "38.jpg", 1)
    (item,) = benchmark("osv5m").load(tmp_path)
    assert item.images == ("images/test/00/38.jpg",) and item.cluster == "seq9"
    assert item.slices == {"country": "NZ", "region": "Chatham Islands", "city": "Waitangi"}
    with pytest.raises(BenchmarkError, match=r"expected test.csv or select.csv"):
        benchmark("osv5m").load(tmp_path / "images")


def test_osv5m_study_file_with_its_published_scores(real_data: Path) -> None:
    items = benchmark("osv5m").load(real_data / "osv5m")
    assert len(items) == 50 and sum("no_image" not in item.flags for item in items) == 6
    table = pd.read_csv(real_data / "osv5m" / "select.csv", dtype={"id": str}).set_index("id")
    said = [
        Reply(item_id=key, question="location", raw=answered(f"{row.pred_lat:.15f}, {row.pred_lon:.15f}"))
        for key, row in table.iterrows()
    ]
    made = location.predictions(items, said, model="best")
    scored = location.score(items, said, model="best", resamples=20)
    assert scored.n == 50 and scored.n_missed == 0
    assert scored.geoscore.estimate == pytest.approx(table.score.mean(), abs=1e-6)
    assert scored.mean_km_located == pytest.approx(table.distance.mean(), abs=1e-6)
    assert made[0].true_country == "NZ" and np.isclose(float(geoscore(0.0)), 5000.0)


def test_rsteller_positions_from_quadrangles(tmp_path: Path) -> None:
    metadata = {"patch_id": 607, "image_name": "m_4107501_ne_18_060_20221108"}
    (tmp_path / "607.json").write_text(json.dumps({"metadata": metadata, "annotations": []}))
    picture(tmp_path / "607.jpg", 1)
    (item,) = benchmark("rsteller").load(tmp_path)
    # First quadrangle of the block 41 … 42 north, 75 … 76 west: its north-eastern quarter.
    assert (item.latitude_deg, item.longitude_deg) == (41.96875, -75.90625)
    assert item.images == ("607.jpg",) and item.flags == ("quarter_quadrangle",)
    assert item.slices == {"utm_zone": "18", "year": "2022"}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("m_3807708_se_18_060_20210901", (38.90625, -77.03125)),  # Washington West
        ("m_3211764_sw_11_060_20220101", (32.03125, -117.09375)),  # last of its block
        ("m_3211765_sw_11_060_20220101", None),
        ("m_3211700_sw_11_060_20220101", None),
        ("a photo", None),
    ],
)
def test_quarter_quadrangles(name: str, expected: tuple[float, float] | None) -> None:
    assert rsteller.quarter_quadrangle(name) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "7.json: expected an object with 'metadata'"),
        ('{"metadata": {"patch_id": 7}}', "7.json: field 'image_name' is missing in 'metadata'"),
        ('{"metadata": {"patch_id": 7, "image_name": "x"}}', "7.json, field 'image_name': expected m_<quadrangle>"),
        ('{"metadata": {"patch_id": 7, "image_name": 7}}', "7.json, field 'image_name': expected m_<quadrangle>"),
    ],
)
def test_rsteller_files_that_do_not_fit(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "7.json").write_text(text)
    with pytest.raises(BenchmarkError) as caught:
        rsteller.load(tmp_path)
    assert message in str(caught.value)
    with pytest.raises(BenchmarkError, match=r"expected <patch>.json files"):
        rsteller.load(tmp_path / "absent")


def test_misses_count_and_flagged_items_leave_by_name(tmp_path: Path) -> None:
    write(
        tmp_path / "mp16-reason-test-12k.csv",
        "id,latitude,longitude,city,country",
        "a,0,0,X,Y",
        "b,10,10,X,Y",
        "c,20,20,X,Y",
    )
    picture(tmp_path / "a.jpg", 1)
    items = benchmark("mp16-reason").load(tmp_path)
    said = [
        Reply(item_id="a", question="location", raw=answered("0, 1")),  # 111.2 km
        Reply(item_id="b", question="location", raw=answered("somewhere in Chad")),
    ]
    scored = location.score(items, said, model="m", resamples=50)
    assert (scored.n, scored.failures) == (3, {"missing": 1, "no_coordinates": 1})
    assert scored.accuracy_at_km[200.0].estimate == pytest.approx(1 / 3)
    assert scored.median_km.estimate == float("inf")
    assert location.score(items, said, model="m", without_flags=["no_image"], resamples=10).n == 1
    with pytest.raises(BenchmarkError, match="no items left of 2"):
        location.score(items[1:], [], model="m", without_flags=["no_image"])


@pytest.mark.parametrize("name", ["mp16-reason", "im2gps3k", "yfcc4k", "osv5m", "rsteller"])
def test_one_prompt_one_image(name: str, tmp_path: Path) -> None:
    (prompt,) = BENCHMARKS[name].prompts(tmp_path).values()
    assert prompt.count("<image>") == 1 and "<answer>" in prompt
