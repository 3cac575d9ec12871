"""The files that the page writes, downloaded in a browser and read back with Python's own readers."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
from component_page import HOSTILE, row, until, write_page

EXPORT = "window.part = geor1.makeExport(root, data, state); follow(part)"


@pytest.fixture
def opened(tmp_path, open_page):
    def run(rows, script: str = EXPORT, **header):
        page = open_page(write_page(tmp_path / "parts.html", rows, script, scripts=("export.js",), **header))
        page.wait_for_selector("body[data-ready]")
        assert page.errors == []
        return page

    return run


def download(page, label: str) -> Path:
    with page.expect_download() as caught:
        page.click(f"button:text-is('{label}')")
    assert caught.value.failure() is None
    assert page.errors == [] and page.requests == []
    return caught.value.path()


def records(page) -> list[dict[str, str]]:
    with download(page, "CSV").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, strict=True))


def features(page) -> dict:
    return json.loads(download(page, "GeoJSON").read_text(encoding="utf-8"), parse_constant=pytest.fail)


def restored(text: str) -> str:
    """The text that a cell stands for: one apostrophe before what a spreadsheet takes for a formula is ours."""
    return text[1:] if re.match(r"'+[=+\-@\t\r]", text) else text


@pytest.fixture
def mixed():
    shared = {"slices": {"scene": "desert"}, "tokens": 7, "facts": (1, 2), "condition": "blind"}
    return [
        row(item="near", guess=(10.0, 20.5), rewards={"accuracy": 0.1, "format": 1.0}, **shared),
        row(
            item="far",
            truth=(-33.86882, 151.20929),
            guess=(37.77493, -122.41942),
            place="Sydney",
            model="base",
            **shared,
        ),
        row(item="lost", guess=None, status="no_coordinates", finished=False, **shared),
        row(item="nowhere", truth=None, guess=None, status="empty", **shared),
    ]


def test_the_csv_holds_every_row_in_the_table_s_order(opened, mixed):
    page = opened(mixed)
    with page.expect_download() as caught:
        page.click("button:text-is('CSV')")
    assert caught.value.suggested_filename == "a-page-of-parts.csv"
    raw = caught.value.path().read_bytes()
    assert not raw.startswith(b"\xef\xbb\xbf") and raw.count(b"\r\n") == 5 and raw.count(b"\n") == 5
    rows = records(page)
    assert [line["item"] for line in rows] == ["far", "near", "lost", "nowhere"]
    far, near, lost, nowhere = rows
    assert (far["true_latitude_deg"], far["true_longitude_deg"]) == ("-33.86882", "151.20929")
    assert (far["predicted_latitude_deg"], far["predicted_longitude_deg"]) == ("37.77493", "-122.41942")
    assert np.float32(far["error_km"]) == np.float32(mixed[1]["km"]) and far["true_place"] == "Sydney"
    assert far["reward_accuracy"] == "" and near["reward_accuracy"] == "0.1" and near["reward_format"] == "1"
    assert (lost["status"], lost["outcome"], lost["finished"], lost["error_km"]) == (
        "no_coordinates",
        "unusable",
        "false",
        "",
    )
    assert nowhere["true_latitude_deg"] == "" and nowhere["slice_scene"] == "desert" and nowhere["condition"] == "blind"
    assert all(line["completion_tokens"] == "7" and line["facts_true"] == "1" for line in rows)
    assert page.text_content(".export-note").startswith("4 samples written.")


def test_filters_and_sorting_are_followed(opened, mixed):
    page = opened(mixed)
    page.evaluate("state.set({ kmMin: 1, sort: 'km', descending: false })")
    assert [line["item"] for line in records(page)] == ["near", "far"]
    assert {feature["properties"]["item"] for feature in features(page)["features"]} == {"near", "far"}
    page.evaluate("state.set({ kmMin: 20000 })")
    assert page.is_disabled("button:text-is('CSV')") and page.text_content(".export-note") == ""


def test_pairing_rows_carry_their_letters(opened):
    page = opened([row(choice="C", answer="B"), row(answer="D", item="second", status="hedged")])
    assert [(line["choice"], line["answer"], line["outcome"]) for line in records(page)] == [
        ("C", "B", "wrong"), ("", "D", "unusable"),
    ]  # fmt: skip


def test_positions_survive_as_written(opened):
    rng = np.random.default_rng(5)
    places = np.round(np.column_stack([rng.uniform(-90, 90, 400), rng.uniform(-180, 180, 400)]), 4)
    page = opened([row(item=f"i{k}", truth=tuple(map(float, place))) for k, place in enumerate(places)])
    found = {line["item"]: (line["true_latitude_deg"], line["true_longitude_deg"]) for line in records(page)}
    assert all(tuple(map(float, found[f"i{k}"])) == tuple(place) for k, place in enumerate(places.tolist()))


def test_geojson_has_a_point_for_truth_and_prediction_and_an_arc(opened, mixed):
    page = opened(mixed)
    collection = features(page)
    assert collection["type"] == "FeatureCollection"
    assert collection["geor1"] == {"title": "A page of parts", "samples": 4, "samples_without_position": 1}
    assert page.text_content(".export-note").endswith("; 1 without any position left out.")
    found = [(f["properties"]["item"], f["properties"]["role"], f["geometry"]["type"]) for f in collection["features"]]
    assert found == [
        ("far", "truth", "Point"), ("far", "prediction", "Point"), ("far", "arc", "MultiLineString"),
        ("near", "truth", "Point"), ("near", "prediction", "Point"), ("near", "arc", "LineString"),
        ("lost", "truth", "Point"),
    ]  # fmt: skip
    far = collection["features"][:3]
    assert far[0]["geometry"]["coordinates"] == [151.20929, -33.86882], "longitude comes first"
    assert far[1]["geometry"]["coordinates"] == [-122.41942, 37.77493]
    same = [{**feature["properties"], "role": None} for feature in far]
    assert same[0] == same[1] == same[2] and same[0]["reward_accuracy"] is None and same[0]["finished"] is True
    west, east = far[2]["geometry"]["coordinates"]
    assert west[0] == [151.20929, -33.86882] and east[-1] == [-122.41942, 37.77493]
    assert west[-1][0] == 180 and east[0][0] == -180 and west[-1][1] == east[0][1]


@pytest.mark.parametrize(
    ("truth", "guess"),
    [((10.0, 179.5), (12.0, -179.5)), ((10.0, -179.0), (-12.0, 178.0)), ((89.9, 0.0), (89.9, 180.0)),
     ((90.0, 0.0), (-90.0, 0.0)), ((0.0, 180.0), (0.0, -180.0)), ((5.0, 5.0), (5.0, 5.0)), ((0.0, 0.0), (0.0, 180.0)),
     ((-80.0, -170.0), (-80.0, 170.0))],
)  # fmt: skip
def test_arcs_are_valid_lines_that_never_jump(opened, truth, guess):
    page = opened([row(truth=truth, guess=guess)])
    (arc,) = [f["geometry"] for f in features(page)["features"] if f["properties"]["role"] == "arc"]
    lines = [arc["coordinates"]] if arc["type"] == "LineString" else arc["coordinates"]
    assert (arc["type"] == "LineString") == (len(lines) == 1)
    for line in lines:
        assert len(line) >= 2
        assert all(-180 <= lon <= 180 and -90 <= lat <= 90 for lon, lat in line)
        assert all(abs(a[0] - b[0]) <= 180 for a, b in zip(line, line[1:], strict=False))
    assert lines[0][0] == [truth[1], truth[0]] and lines[-1][-1] == [guess[1], guess[0]]


FORMULAS = [
    "=1+1",
    "+1",
    "-1",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "'=1",
    "''-1",
    "'quoted'",
    "plain",
    "a=b",
    "-",
    '="x",y\n"z"',
]


def test_formulas_are_defused_and_can_be_restored(opened):
    page = opened([row(text=text, item=text, place=text) for text in FORMULAS])
    rows = records(page)
    assert len(rows) == len(FORMULAS)
    for line in rows:
        for name in ("completion", "item", "true_place"):
            assert line[name][:1] not in ("=", "+", "-", "@", "\t", "\r")
            assert restored(line[name]) in FORMULAS
    assert sorted(restored(line["completion"]) for line in rows) == sorted(FORMULAS)
    assert {line["true_longitude_deg"] for line in rows} == {"20"}


def test_numbers_below_zero_stay_numbers(opened):
    page = opened([row(truth=(-10.5, -20.25), rewards={"cost": -0.5})])
    (line,) = records(page)
    assert (line["true_latitude_deg"], line["true_longitude_deg"], line["reward_cost"]) == ("-10.5", "-20.25", "-0.5")


def test_hostile_strings_come_back_as_they_are(opened):
    csv.field_size_limit(2_000_000)  # Python's own limit is 131,072
    texts = [*HOSTILE, "x" * 1_000_000]
    rows = [
        row(item=f"i{k}", text=text, model=text, place=text, slices={text: text}, rewards={text: 1.0})
        for k, text in enumerate(texts)
    ]
    page = opened(rows, title='../"evil"\r\nname\u202e.exe')
    with page.expect_download() as caught:
        page.click("button:text-is('CSV')")
    assert re.fullmatch(r"[a-z0-9-]+\.csv", caught.value.suggested_filename)
    wanted = [re.sub("[\ud800-\udfff]", "\ufffd\ufffd\ufffd", text) for text in texts]  # three bytes of no character
    lines = {line["item"]: line for line in records(page)}
    for k, text in enumerate(wanted):
        line = lines[f"i{k}"]
        assert restored(line["completion"]) == restored(line["true_place"]) == text
        assert text.startswith("=") == line["completion"].startswith("'=")
        assert restored(line["slice_" + texts[k].encode("utf-8", "replace").decode()] if k != 4 else text) == text
    collection = features(page)
    models = {feature["properties"]["model"] for feature in collection["features"]}
    assert len(models) == len(texts) and page.evaluate("window.hurt === undefined")


def test_two_slices_of_one_name_stay_apart(opened):
    page = opened([row(slices={"scene": "a", "other": "b"})])
    page.evaluate("data.header.slices[1].name = 'scene'")
    (line,) = records(page)
    assert (line["slice_scene"], line["slice_scene_2"]) == ("a", "b")


def test_many_rows_are_written_in_reasonable_time(opened):
    page = opened([row(item=f"photo-{k}", text="word " * 200, guess=(k % 80, k % 170)) for k in range(5000)])
    milliseconds = page.evaluate(
        "() => { const start = performance.now(), { shown } = state; [...geor1.csv(data, shown)];"
        " [...geor1.geojson(data, shown)]; return performance.now() - start; }"
    )
    print(f"CSV and GeoJSON of 5,000 rows: {milliseconds:.0f} ms")
    assert milliseconds < 5000
    assert len(records(page)) == 5000
    until(page, "document.querySelector('.export-note').textContent.startsWith('5,000 samples')")


def test_the_page_stays_usable_while_a_file_is_written(opened):
    page = opened([row(item=f"photo-{k}", text="word " * 200, guess=(k % 80, k % 170)) for k in range(5000)])
    page.evaluate(
        "() => { window.longest = 0; window.waits = 0; let last = performance.now(); const tick = () => {"
        " const now = performance.now(); longest = Math.max(longest, now - last); last = now; waits++;"
        " if (!window.done) setTimeout(tick, 0); }; tick(); }"
    )
    with page.expect_download() as caught:
        page.click("button:text-is('GeoJSON')")
        page.evaluate("state.set({ search: 'photo-1' })")  # a filter meanwhile does not reach the file
    collection = json.loads(caught.value.path().read_text(encoding="utf-8"))
    page.evaluate("window.done = true")
    assert collection["geor1"]["samples"] == 5000 and len(collection["features"]) == 15_000
    assert page.evaluate("waits") > 10 and page.evaluate("longest") < 500
    until(page, "document.querySelector('.export-note').textContent.startsWith('5,000 samples')")
    assert page.is_enabled("button:text-is('CSV')")
