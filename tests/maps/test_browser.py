"""The page in a real browser, offline: it draws, filters, opens cards, and nothing hostile runs."""

from __future__ import annotations

import itertools
import re

import pytest

from geor1.geodesy import great_circle_points
from geor1.maps.inspector import build_map, save_map
from geor1.records import Prediction

STATUS = """
const status = document.getElementById("geor1-status");
const read = () => [Number(status.dataset.drawn), Number(status.dataset.visible), Number(status.dataset.total)];
const change = (box, value) => { if (typeof value === "boolean") box.checked = value; else box.value = value;
  box.dispatchEvent(new Event(box.type === "range" ? "input" : "change")); };
const mark = (text) =>
  [...document.querySelectorAll("#geor1-marks button")].find((b) => b.textContent === text).click();
const card = () => [...document.querySelectorAll(".card")].pop(); // an older one may still be fading out
const rows = () => [...document.querySelectorAll("#geor1-worst button")];
"""


@pytest.fixture
def saved(tmp_path, outlines):
    def save(predictions, **options):
        return save_map(build_map(list(predictions), outlines=outlines, **options), tmp_path / "map.html")

    return save


def status_of(dom: str) -> dict[str, str]:
    tag = re.search(r'<output id="geor1-status"([^>]*)>([^<]*)<', dom)
    return dict(re.findall(r'data-(\w+)="([^"]*)"', tag.group(1))) | {"text": tag.group(2)}


def test_the_page_loads_and_says_what_it_drew(browse, saved, geolocation, pairing, pictures):
    predictions = [geolocation(item_id=f"g{i}") for i in range(7)] + [
        geolocation(truth=None, item_id="lost", guess=None)
    ]
    dom, console = browse(saved([*predictions, pairing()], title="Errors <of> 9 & more", images_dir=pictures))
    status = status_of(dom)
    assert console == []
    assert (status["drawn"], status["visible"], status["total"]) == ("7", "8", "9")
    assert status["errors"] == "0" and status["ready"] == "true"
    assert status["text"] == "7 of 9 samples drawn, 1 without a position (listed only)"
    assert "<title>Errors &lt;of&gt; 9 &amp; more</title>" in dom


def test_filters_count_right(browse, probed, saved, geolocation, pairing):
    far = [geolocation(item_id=f"f{i}", guess=(-10.0, -160.0)) for i in range(3)]
    near = [geolocation(item_id=f"n{i}", guess=(10.0, 20.5), model="base") for i in range(4)]
    none = [geolocation(item_id="u", guess=None)]
    pairs = [pairing("A", "B"), pairing("B", "B"), pairing("C", "C", condition="blind")]
    script = (
        STATUS
        + """
      const results = [read()];
      mark("≥ 2,500"); results.push(read());
      mark("all"); results.push(read());
      change(document.querySelectorAll("#geor1-models input")[1], false); results.push(read());
      change(document.querySelectorAll("#geor1-outcomes input")[1], false); results.push(read());
      change(document.querySelector("select[name=task]"), "1"); results.push(read());
      change(document.querySelector("select[name=condition]"), "1"); results.push(read());
      return results;
    """
    )
    dom, console = browse(saved(far + near + none + pairs), script)
    assert console == []
    assert probed(dom) == [[8, 8, 11], [3, 3, 11], [8, 8, 11], [4, 4, 11], [3, 3, 11], [2, 2, 11], [1, 1, 11]]


def test_worst_first_and_the_card(browse, probed, saved, geolocation, pairing, pictures):
    predictions = [
        geolocation(item_id="near", images=("images/g.png",)),
        geolocation(item_id="far", guess=(-10.0, -160.0), images=("images/g.png",), raw="I <b>see</b> sand"),
        geolocation(item_id="far", guess=(12.0, 22.0), model="base"),
    ]
    script = (
        STATUS
        + """
      rows()[0].click();
      const images = [...card().querySelectorAll("img")];
      return { listed: rows().length, verdict: card().querySelector(".verdict").textContent,
        reasoning: card().querySelector(".reasoning").textContent, text: card().textContent,
        images: images.map((image) => image.src.slice(0, 22)), bold: card().querySelectorAll("b").length,
        others: [...card().querySelectorAll(".others button")].map((b) => b.textContent) };
    """
    )
    dom, console = browse(saved(predictions, images_dir=pictures), script)
    card = probed(dom)
    assert console == []
    assert card["listed"] == 3
    assert card["verdict"] == "20,015 km off"  # antipodes: half of 2 pi 6371 km
    assert card["reasoning"] == "I <b>see</b> sand" and card["bold"] == 0
    assert card["images"] == ["data:image/jpeg;base64"]
    assert "accuracy 0.5 · format 1" in card["text"]
    assert len(card["others"]) == 1 and card["others"][0].startswith("base: 3")


def test_clicking_the_map_opens_what_lies_there(browse, probed, saved, pairing):
    script = (
        STATUS
        + """
      const map = map_inspector, point = map.latLngToContainerPoint([-33.9, 151.2]);
      map.fire("click", { containerPoint: point, latlng: map.containerPointToLatLng(point) });
      const first = card().querySelector(".verdict").textContent;
      const pager = card().querySelector(".pager").textContent;
      card().querySelectorAll(".pager button")[1].click();
      return [first, pager, card().querySelector(".verdict").textContent];
    """
    )
    dom, _ = browse(saved([pairing("A", "B"), pairing("B", "B", model="grpo")]), script)
    assert probed(dom) == ["chose A, right B", "‹1 of 2 samples here›", "B is right"]


ARCS = [
    (10, 170, 20, -170), (-18.1, 178.4, 61.2, -149.9), (48.9, 2.3, 41.9, 12.5), (35, 140, 37, -122), (80, 10, 80, -150),
    (0, 0, 0, 180), (51.5, 0, -51.5, 180), (90, 0, -90, 0), (0, 180, 0, -180), (5, 5, 5, 5),
]  # fmt: skip


def test_arcs_are_great_circles_that_survive_the_antimeridian(browse, probed, saved, geolocation):
    script = f"return {[list(arc) for arc in ARCS]}.map((arc) => geor1.arc(...arc));"
    dom, _ = browse(saved([geolocation()]), script)
    for (lat1, lon1, lat2, lon2), pieces in zip(ARCS, probed(dom), strict=True):
        flat = [[(piece[i], piece[i + 1]) for i in range(0, len(piece), 2)] for piece in pieces]
        assert flat[0][0] == (lon1, lat1) and flat[-1][-1] == (lon2, lat2)
        for points in flat:
            assert all(abs(a[0] - b[0]) <= 180.0 + 1e-9 for a, b in itertools.pairwise(points))
            assert all(-180 <= lon <= 180 and -90 <= lat <= 90 for lon, lat in points)
        for before, after in itertools.pairwise(flat):
            assert abs(before[-1][0]) == 180 and after[0] == (-before[-1][0], before[-1][1])
        if sum(abs(lon) > 179.999999 for points in flat for lon, _ in points) > 2 * len(flat) - 2:
            continue  # the arc runs along the antimeridian: either side of the map is right
        ours = great_circle_points(lat1=lat1, lon1=lon1, lat2=lat2, lon2=lon2)
        assert len(ours) == len(flat)
        for ours_piece, piece in zip(ours[:-1], flat[:-1], strict=True):
            assert piece[-1][1] == pytest.approx(ours_piece[-1, 0], abs=1e-6)  # the same crossing, degrees north


def test_nothing_hostile_runs(browse, probed, saved, geolocation, pairing, pictures):
    texts = [
        "</script><script>document.title='pwned'</script>", "<img src=x onerror=\"document.title='pwned'\">",
        "javascript:document.title='pwned'", "{{ 7 * 7 }}{% for %}", "\u202eevil\u2066 \x00 \ud800",
        "<svg/onload=document.title='pwned'>",
    ]  # fmt: skip
    predictions: list[Prediction] = []
    for text in texts:
        fields = {"model": text, "item_id": text, "raw": text, "city": text, "true_city": text, "rewards": {text: 1.0}}
        predictions += [geolocation(**fields), geolocation(guess=None, status=text, images=(text,), **fields)]
        predictions.append(pairing(choice=text, answer=text, **fields))
    script = (
        STATUS
        + """
      const seen = [];
      for (const button of rows()) { button.click(); seen.push(card().querySelector(".reasoning").textContent); }
      const foreign = document.querySelectorAll("img:not([src^='data:image/'])").length;
      return { seen, title: document.title, foreign };
    """
    )
    dom, console = browse(saved(predictions, images_dir=pictures), script)
    result = probed(dom)
    assert console == []
    assert result["title"] == "Where the model errs" and result["foreign"] == 0
    assert set(texts[:4]) <= set(result["seen"]) and len(result["seen"]) == 12
    assert status_of(dom)["errors"] == "0"


def test_the_policy_stops_a_script_that_is_not_ours(browse, saved, geolocation):
    page = saved([geolocation()])
    page.write_text(
        page.read_text() + "<script>document.title='pwned'</script><img src=x onerror=\"document.title='pwned'\">"
    )
    dom, console = browse(page)
    assert "pwned</title>" not in dom
    assert any("Content Security Policy" in line for line in console)
