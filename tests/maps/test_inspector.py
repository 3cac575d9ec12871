"""The page as a file: offline, escaped, complete, reproducible."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import re
import string
import subprocess
import sys
import time

import pytest

from geor1.maps.base import read_base
from geor1.maps.frame import leaflet_css
from geor1.maps.inspector import build_map, save_map

BASE64 = string.ascii_letters + string.digits + "+/="
HOSTILE = [
    "<script>document.title='pwned'</script>",
    "</script><script>document.title='pwned'</script>",
    "<!-- <script>",
    "<img src=x onerror=\"document.title='pwned'\">",
    "javascript:alert(1)",
    "{{ 7 * 7 }} {% raw %} {# x #}",
    "' onmouseover='alert(1)",
    "\u2028 \u2029 \u202eright-to-left\u2066",
    "NUL \x00 bell \x07 escape \x1b",
    "lone \ud800 surrogates \udfff",
    "\ufeff\u200f\u202b broken \U0010ffff \ufffe \u0600\u0300\u0301",
    "]]> &lt; &amp; &#x27; \\u003c",
    "x" * 1_000_000,
]
LINKS = ("src", "href", "srcset", "action", "data", "poster", "background", "formaction", "ping", "xlink:href")


def hostile_predictions(geolocation, pairing):
    for text in HOSTILE:
        fields = {
            "model": text, "item_id": text, "raw": text, "condition": text,
            "city": text, "state": text, "country": text,
            "true_city": text, "true_state": text, "true_country": text, "images": (text,), "rewards": {text: 1.0},
            "error": text,
        }  # fmt: skip
        yield geolocation(**fields)
        yield geolocation(guess=None, **(fields | {"status": text}))
        yield pairing(**(fields | {"choice": text, "answer": text}))


@pytest.fixture
def page(tmp_path, outlines):
    """Write a page of the given predictions and give back its text."""

    def write(predictions, **options):
        path = save_map(build_map(list(predictions), outlines=outlines, **options), tmp_path / "map.html")
        return path.read_text(encoding="utf-8")

    return write


def assert_offline(text, read_page):
    parsed = read_page(text)
    for tag, attributes in parsed.tags:
        assert tag not in ("link", "iframe", "object", "embed", "base", "img"), tag
        for name in LINKS:
            assert attributes.get(name, "#").startswith("#"), (tag, attributes)  # within the page, if anywhere
        assert not [name for name in attributes if name.startswith("on")]
    for style in parsed.styles:
        assert "@import" not in style
        assert all(target.startswith(("data:", "#")) for target in re.findall(r"url\([\"']?([^)\"']+)", style))
    for attributes, script in parsed.scripts:
        if attributes.get("type") not in ("application/json", "text/plain"):
            assert not re.search(r"\bfetch\(|XMLHttpRequest|importScripts|WebSocket|sourceMappingURL|\beval\(", script)


def test_no_reference_that_would_cause_a_request(page, read_page, geolocation, pairing, pictures):
    text = page([geolocation(), pairing()], images_dir=pictures)
    assert_offline(text, read_page)
    assert "url(" in leaflet_css()


def test_hostile_text_stays_text(page, read_page, geolocation, pairing, pictures):
    predictions = list(hostile_predictions(geolocation, pairing))
    slices = {text[:100] + str(k): {other: other for other in HOSTILE} for k, text in enumerate(HOSTILE)}
    text = page(predictions, title=HOSTILE[1], images_dir=pictures, slices=slices)
    assert_offline(text, read_page)
    parsed = read_page(text)
    blob = parsed.blob()
    assert blob.n == len(predictions)
    assert "pwned" not in "".join(script for attributes, script in parsed.scripts if "type" not in attributes)
    assert sum(tag == "script" for tag, _ in parsed.tags) == text.count("<script")
    assert set(parsed.element("geor1-blob")) <= set(BASE64) and set(parsed.element("geor1-pictures")) <= set(BASE64)
    assert len(text) < 2_000_000  # a million characters were cut, the number of them is told
    assert any("more characters]" in value for value in blob.strings("text"))
    assert "{{ 7 * 7 }}" in " ".join(blob.strings("text"))  # no template engine saw it
    words = [*blob.strings("label"), *blob.strings("item"), *itertools.chain(*blob.header["tables"].values())]
    assert len(blob.header["slices"]) == len(HOSTILE)
    for word in [*words, blob.header["title"], *(entry["name"] for entry in blob.header["slices"])]:
        assert len(word) < 300 and not re.search("[\x00-\x1f\x7f\ud800-\udfff\ufeff]", word)


def test_tiles_let_pictures_of_their_host_in_and_nothing_else_does(page, geolocation):
    def pictures_from(text):
        return re.search("img-src ([^;]*);", text).group(1)

    assert pictures_from(page([geolocation()])) == "data:"
    marble = page([geolocation()], base=read_base("blue-marble"))
    assert pictures_from(marble) == "data:" and len(marble) < 900_000
    tiles = page([geolocation()], base=read_base("https://tile.example.org:8080/{z}/{x}/{y}.png"))
    assert pictures_from(tiles) == "data: https://tile.example.org:8080"


def test_policy_admits_exactly_the_pages_own_scripts(page, read_page, geolocation):
    text = page([geolocation()])
    parsed = read_page(text)
    (policy,) = [a["content"] for tag, a in parsed.tags if a.get("http-equiv") == "Content-Security-Policy"]
    admitted = set(re.findall(r"'sha256-([^']+)'", policy))
    scripts = [script for attributes, script in parsed.scripts if "type" not in attributes]
    assert admitted == {base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts}
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe-inline" not in policy.split("style-src")[0] and "unsafe-eval" not in policy
    assert text.index("Content-Security-Policy") < text.index("<script")


def test_counts_in_the_blob_equal_the_input(page, read_page, geolocation, pairing):
    predictions = [geolocation(item_id=f"g{i}", guess=None if i % 5 == 0 else (i, i)) for i in range(40)]
    predictions += [pairing("B" if i % 2 else "A", "B", item_id=f"p{i}") for i in range(30)]
    blob = read_page(page(predictions)).blob()
    names = [blob.header["outcomes"][outcome] for outcome in blob.columns["outcome"]]
    assert blob.n == 70 == len(blob.columns["item"])
    counts = {name: names.count(name) for name in blob.header["outcomes"]}
    assert counts == {"right": 15, "wrong": 15, "located": 32, "unusable": 8}


def test_no_folium_object_per_sample(page, read_page, geolocation):
    few, many = page([geolocation()]), page([geolocation(item_id=f"i{n}") for n in range(500)])
    assert few.count("<script") == many.count("<script")
    assert len(many) - len(few) < 500 * 200


def test_pictures_of_a_pairing_card(page, read_page, pairing, pictures):
    rows = [pairing("A", "B"), pairing("B", "B"), pairing(None, "D", images=("images/g.png", "images/gone.png"))]
    parsed = read_page(page([*rows, pairing(images=())], images_dir=pictures))
    blob = parsed.blob()
    sets = list(zip(*(blob.lists("picset.start", f"pic.{name}") for name in ("role", "letter", "thumb")), strict=True))
    first, second, third, none = (sets[index] for index in blob.columns["picset"])
    assert first == second == ([0, 1, 1, 1, 1], [255, 0, 1, 2, 3], first[2])
    assert sorted(first[2]) == [0, 1, 2, 3, 4] and len(parsed.thumbnails()) == 5  # g and a … d, each once
    assert third == ([0, 1], [255, 0], [first[2][0], -1]) and none == ([], [], [])
    assert (blob.header["missing"], blob.header["left_out"]) == (1, 0)


def test_the_worst_samples_get_their_pictures_first(page, read_page, geolocation, pictures):
    rows = [geolocation(guess=(10.0 + far, 20.0), images=(f"images/{name}.png",)) for far, name in ((1, "a"), (9, "b"))]
    blob = read_page(page(rows, images_dir=pictures, max_thumbnails=1)).blob()
    thumbs = blob.lists("picset.start", "pic.thumb")
    assert [thumbs[index] for index in blob.columns["picset"]] == [[-1], [0]] and blob.header["left_out"] == 1


def test_size_bound_with_pictures(page, pairing, pictures):
    text = page([pairing(item_id=f"q{i}") for i in range(300)], images_dir=pictures, max_thumbnails=2)
    assert len(text) < 410_000


def test_same_input_same_bytes(page, geolocation, pairing):
    assert page([geolocation(), pairing()]) == page([geolocation(), pairing()])


def test_empty_list_and_wrong_options(page, read_page, geolocation):
    assert read_page(page([])).blob().n == 0
    with pytest.raises(ValueError, match="max_thumbnails=-1: expected 0 or more"):
        build_map([geolocation()], max_thumbnails=-1)


def test_save_is_atomic(tmp_path, geolocation, outlines):
    target = tmp_path / "map.html"
    target.write_text("old")

    class Broken:
        def get_root(self):
            raise RuntimeError("full disk")

    with pytest.raises(RuntimeError):
        save_map(Broken(), target)
    assert target.read_text() == "old" and list(tmp_path.iterdir()) == [target]


def test_the_package_s_own_outlines(geolocation, read_page):
    outlines = json.loads(read_page(build_map([geolocation()]).get_root().render()).element("geor1-outlines"))
    for feature in outlines["features"]:
        for polygon in feature["geometry"]["coordinates"]:
            for ring in polygon:
                assert all(abs(a[0] - b[0]) <= 180 for a, b in itertools.pairwise(ring)) or ring[0][1] <= -84


def test_a_hundred_thousand_samples_stay_quick_and_small(geolocation):
    rows = [
        geolocation(
            truth=(n * 0.001 - 50, n * 0.003 - 150), guess=(n * 0.0011 - 50, n * 0.0033 - 160), item_id=f"i{n}",
            raw=" ".join(f"{n * k % 997}" for k in range(38))[:150],
        )
        for n in range(100_000)
    ]  # fmt: skip
    start = time.process_time()
    text = build_map(rows).get_root().render()
    assert time.process_time() - start < 15
    assert len(text) < 12_000_000


def test_no_torch():
    code = "import geor1.maps.inspector, geor1.maps.plots, geor1.maps.run, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
