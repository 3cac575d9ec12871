"""Several runs on one page, groups to filter by, base layers, and the command that takes them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from geor1 import cli
from geor1.maps.base import blue_marble_uri, read_base
from geor1.maps.cli import main
from geor1.maps.slices import distance_band, label_slices, place_slices, question_slices
from geor1.maps.sources import gather, parse_sources
from geor1.records import Candidate, Question, RecordError, write_jsonl
from geor1.runs import ConfigError, MissingUpstreamError


@pytest.fixture
def runs(tmp_path, geolocation):
    """Two run folders, each with pictures of its own."""
    for name, models in (("a", ("base", "grpo")), ("b", ("base", "other"))):
        folder = tmp_path / name
        folder.mkdir()
        Image.new("RGB", (32, 32), "red" if name == "a" else "blue").save(folder / "x.png")
        images = ("x.png", *(["../a/x.png"] if name == "b" else []), "/etc/x.png", "https://host/x.png")
        write_jsonl(folder / "predictions.jsonl", [geolocation(model=model, images=images) for model in models])
    return tmp_path


def test_labels_and_paths():
    assert parse_sources(["one=a/b", "c/d", "runs/x=y/e", "f/predictions.jsonl"]) == {
        "one": Path("a/b"), "d": Path("c/d"), "e": Path("runs/x=y/e"), "f": Path("f/predictions.jsonl"),
    }  # fmt: skip
    for wrong, message in (
        (["=a"], "expected LABEL=PATH"),
        (["x=a", "x=b"], "label 'x' is taken by a"),
        ([], "one run"),
    ):
        with pytest.raises(ConfigError, match=message):
            parse_sources(wrong)


def test_models_are_told_apart_only_where_they_clash_and_pictures_found(runs):
    gathered = gather({"first": runs / "a", "second": runs / "b" / "predictions.jsonl"})
    assert [row.model for row in gathered.rows] == ["first: base", "grpo", "second: base", "other"]
    assert gathered.images_dir == runs / "a" and gathered.folders == (runs / "a", runs / "b")
    assert gathered.rows[0].images[0] == "x.png"
    assert gathered.rows[2].images == ("../b/x.png", "x.png", "/etc/x.png", "https://host/x.png")
    with pytest.raises(MissingUpstreamError, match="nowhere: expected the predictions"):
        gather({"x": runs / "nowhere"})


@pytest.fixture
def questions():
    def question(name, metres, **facts):
        tiles = [Candidate(letter="A", pair_id="a", satellite_image="a", distance_m=0.0)]
        tiles += [
            Candidate(letter=letter, pair_id=letter, satellite_image=letter, distance_m=distance)
            for letter, distance in zip("BCD", metres, strict=False)
        ]
        return Question(question_id=name, pair_id="a", source="world", split="test", ground_image="g",
                        candidates=tuple(tiles), answer="A", facts=facts)  # fmt: skip

    return [
        question("q1", (700.0, 300.0), relief="flat"),
        question("q2", (9000.0, None)),
        question("q3", (), relief="hills"),
    ]


def test_slices_of_questions(questions):
    assert question_slices(questions) == {  # all of one source: no filter by it
        "nearest wrong tile": {"q1": "250–500 m", "q2": "5000 m and more"},
        "relief": {"q1": "flat", "q3": "hills"},
    }
    assert question_slices([]) == {}
    assert [distance_band(m) for m in (0.0, 249.9, 4999.0, 5000.0)] == [
        "0–250 m", "0–250 m", "2000–5000 m", "5000 m and more",
    ]  # fmt: skip


def test_slices_of_places(geolocation):
    rows = [geolocation(item_id="paris", truth=(48.85, 2.35)), geolocation(item_id="moscow", truth=(55.75, 37.62))]
    assert place_slices([*rows, geolocation(item_id="?", truth=None)]) == {
        "Köppen class": {"paris": "Cfb", "moscow": "Dfb"}
    }
    assert place_slices(rows[:1]) == {}


def test_slices_of_a_table(tmp_path, caplog):
    table = tmp_path / "labels.csv"
    lines = [f"i{n},{'sun' if n % 2 else 'rain'},{n},same" for n in range(300)]
    table.write_text("id,weather,number,constant\n" + "\n".join(lines) + "\ni300,,,\n")
    caplog.set_level("INFO")
    slices = label_slices(table, "id")
    assert list(slices) == ["weather"] and slices["weather"]["i1"] == "sun" and slices["weather"]["i300"] == ""
    assert "no filter by number: more than 200 different values" in caplog.text
    assert list(label_slices(table, "id", ["constant", "number"])) == ["constant", "number"]
    table.write_bytes(b"\xef\xbb\xbfid,weather\r\na,sun,too many\r\nb\r\n,rain\r\nc,rain\r\n")
    assert label_slices(table, "id") == {"weather": {"a": "sun", "b": "", "c": "rain"}}
    table.write_bytes(b"id,weather\n\xff,sun\n")
    with pytest.raises(RecordError, match=r"labels.csv: expected a CSV file with a header, in UTF-8"):
        label_slices(table, "id")
    table.write_text("id,number\n")
    with pytest.raises(RecordError, match=r"labels.csv: no column 'name'; it has \['id'"):
        label_slices(table, "name")


@pytest.mark.parametrize(
    "text",
    ["", "marble", "https://host/{z}/{x}.png", "https://host/{z}/{x}/{y}.png; script-src *", "ftp://h/{z}/{x}/{y}",
     "https://ho st/{z}/{x}/{y}", "https://h/{z}/{x}/{y}/{y}", "https://h'/{z}/{x}/{y}", "javascript:{z}{x}{y}"],
)  # fmt: skip
def test_no_other_base_than_the_three_kinds(text):
    with pytest.raises(ConfigError, match="expected 'outlines', 'blue-marble' or a URL of tiles"):
        read_base(text)


def test_base_layers():
    assert read_base("outlines").host is None and read_base("blue-marble").host is None
    tiles = read_base("http://localhost:8080/a/{z}/{x}/{y}.png?k=1", "© somebody")
    assert tiles.host == "http://localhost:8080" and tiles.header["attribution"] == "© somebody"
    assert blue_marble_uri().startswith("data:image/webp;base64,") and len(blue_marble_uri()) < 300_000


def test_the_command(runs, questions, tmp_path, capsys, read_page):
    data, table, out = tmp_path / "data", tmp_path / "labels.csv", tmp_path / "out"
    data.mkdir()
    write_jsonl(data / "questions_test.jsonl", questions)
    table.write_text("photo,weather\nphoto-1,sun\nphoto-2,rain\n")
    sources = [f"one={runs / 'a'}", f"two={runs / 'b'}"]
    options = [
        "--data",
        str(data),
        "--labels",
        str(table),
        "--label-key",
        "photo",
        "--title",
        "Two",
        "--base",
        "blue-marble",
    ]
    assert cli.main(["map", *sources, *options, "--out", str(out)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(out / "map.html")
    page = read_page((out / "map.html").read_text(encoding="utf-8"))
    header = page.blob().header
    assert header["tables"]["model"] == ["one: base", "grpo", "two: base", "other"] and header["title"] == "Two"
    assert [entry["name"] for entry in header["slices"]] == ["nearest wrong tile", "relief", "weather"]
    assert header["base"]["kind"] == "picture" and len(page.thumbnails()) == 2 and header["missing"] == 2
    main([str(runs / "a"), "--out", str(tmp_path / "again")])
    assert json.loads((tmp_path / "again" / "metrics_summary.json").read_text())["samples"] == 2


def test_the_command_says_what_is_wrong(runs, tmp_path, capsys):
    out = ["--out", str(tmp_path / "out")]
    assert cli.main(["map", str(runs / "a"), "--labels", "x.csv", *out]) == 2
    assert "--label-key COLUMN belong together" in capsys.readouterr().err
    assert cli.main(["map", str(tmp_path / "nowhere"), *out]) == 1
    assert "run that stage first" in capsys.readouterr().err
