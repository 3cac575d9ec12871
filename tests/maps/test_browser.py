"""The page in a real browser, offline: it draws, filters, follows map and keyboard, and nothing hostile runs."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from geor1.geodesy import great_circle_points
from geor1.maps.inspector import build_map, save_map
from geor1.records import Prediction

READY = '#geor1-status[data-ready="true"]'


def counts(page) -> tuple[int, int, int]:
    """Drawn, visible and all samples, as the page says."""
    return tuple(int(page.get_attribute("#geor1-status", f"data-{name}")) for name in ("drawn", "visible", "total"))


def shown(page) -> list[int]:
    return page.evaluate("[...geor1.state.shown]")


def test_the_page_says_what_it_drew_and_asks_nobody(opened, geolocation, pairing, pictures):
    predictions = [geolocation(item_id=f"g{i}") for i in range(7)]
    predictions += [geolocation(truth=None, item_id="lost", guess=None), pairing()]
    page = opened(predictions, title="Errors <of> 9 & more", images_dir=pictures)
    assert counts(page) == (7, 8, 9)
    assert page.inner_text("#geor1-status") == "8 of 9 samples shown, 1 without a position (listed only)"
    assert page.title() == "Errors <of> 9 & more" == page.inner_text("#geor1-title")
    assert page.errors == [] and page.requests == []
    assert page.get_attribute("#geor1-status", "data-errors") == "0"


def test_every_filter_counts_right(opened, mixed):
    page = opened(mixed)
    assert counts(page) == (8, 8, 11)
    page.click("#geor1-marks button:has-text('≥ 2,500')")
    assert counts(page)[1] == 3 and page.inner_text("#geor1-limits") == "≥ 2,500 km"
    page.click("#geor1-marks button:has-text('all')")
    page.locator("#geor1-most").fill("55")  # 0.1 km * (20015.1 / 0.1)^0.55 = 82 km
    assert counts(page)[1] == 4
    page.click("#geor1-reset")
    assert counts(page)[1] == 8
    page.locator("#geor1-models input").nth(1).uncheck()  # base
    assert counts(page)[1] == 4
    page.locator(".facet:has(.facet-name:text-is('outcome')) summary").click()
    page.locator(".facet-line:has-text('unusable') input").uncheck()
    assert counts(page)[1] == 3
    page.locator(".facet-row:has-text('unusable') .only").click()
    assert counts(page)[1] == 1
    page.select_option("select[name=task]", "1")
    assert counts(page)[1] == 2 and page.is_hidden("#geor1-error")
    page.select_option("select[name=condition]", "1")
    assert counts(page)[1] == 1
    assert page.errors == []


def test_facets_count_what_each_value_would_show(opened, geolocation):
    rows = [
        geolocation(item_id=f"i{i}", true_country=("Chad", "Japan")[i % 2], truth=(5.0 + i, 10.0)) for i in range(6)
    ]
    slices = {"weather": {f"i{i}": ("sun", "rain")[i // 3] for i in range(6)}}
    page = opened(rows, slices=slices)
    rain = page.evaluate("""() => { const f = geor1.state.facet("slice:0"), k = f.values.indexOf("rain");
        geor1.state.set({"facet:slice:0": new Set([k])}); const country = geor1.state.facet("country");
        return [[...geor1.state.shown], Object.fromEntries(country.values.map((name, k) => [name, country.counts[k]])),
                Object.fromEntries(f.values.map((name, k) => [name, f.counts[k]]))]; }""")
    assert rain[0] == [0, 1, 2]
    assert {name: n for name, n in rain[1].items() if n} == {"Chad": 2, "Japan": 1}
    assert {name: n for name, n in rain[2].items() if n} == {"sun": 3, "rain": 3}


def test_the_table_of_models_equals_python(opened, geolocation):
    rng = np.random.default_rng(3)
    rows, errors = [], {"a": [], "b": []}
    for i in range(60):
        model, lon = "ab"[i % 2], float(rng.uniform(0, 40))
        lost = i % 10 == 0
        rows.append(geolocation(model=model, item_id=f"i{i}", truth=(0.0, 0.0), guess=None if lost else (0.0, lon)))
        errors[model].append(np.inf if lost else lon * 2 * np.pi * 6371 / 360)
    page = opened(rows)
    page.select_option("select[name=threshold]", "2500")
    for index, model in enumerate("ab"):
        cells = page.locator("#geor1-models tr").nth(index + 1).locator("td").all_inner_texts()
        assert cells[0].strip() == model and cells[1] == "30"
        assert float(cells[2].replace(",", "").removesuffix(" km")) == pytest.approx(np.median(errors[model]), abs=0.5)
        share = np.mean(np.array(errors[model]) <= 2500)
        assert cells[3] == f"{100 * share:.1f} %"


def test_the_window_of_the_map_cuts_the_lists(opened, geolocation):
    page = opened([geolocation(item_id=f"i{i}", truth=(10.0, -150.0 + 30 * i), guess=(0.0, 0.0)) for i in range(11)])
    page.evaluate("geor1.page.map.setView([10, 0], geor1.page.home + 2, {animate: false})")
    seen = page.evaluate("[[...geor1.state.inWindow], geor1.page.map.getBounds()]")
    west, east = seen[1]["_southWest"]["lng"], seen[1]["_northEast"]["lng"]
    assert seen[0] == [i for i in range(11) if west <= -150 + 30 * i <= east] and 0 < len(seen[0]) < 11
    assert page.get_attribute("#geor1-status", "data-window") == str(len(seen[0]))
    page.uncheck("#geor1-follow")
    assert page.get_attribute("#geor1-status", "data-window") == "11"


def pixels(page) -> int:
    """Painted pixels of the sample layer."""
    return page.evaluate("""() => { const c = geor1.page.layer._container, copy = new OffscreenCanvas(c.width, c.height)
          .getContext("2d", {willReadFrequently: true});
        copy.drawImage(c, 0, 0);
        return copy.getImageData(0, 0, c.width, c.height).data.filter((v, i) => i % 4 === 3 && v > 0).length }""")


def test_every_view_paints_its_own(opened, mixed):
    page = opened(mixed)
    painted = {}
    for key, view in zip("1234", ("points", "clusters", "heat", "countries"), strict=True):
        page.keyboard.press(key)
        assert page.evaluate("geor1.state.get('view')") == view
        painted[view] = pixels(page)
    assert painted["points"] > 500 and painted["clusters"] > 300 and painted["heat"] > 300 and painted["countries"] == 0
    page.keyboard.press("1")
    page.uncheck("input[name=arcs]")
    assert pixels(page) < painted["points"] - 300
    clusters = page.evaluate("""() => { geor1.state.set({view: "clusters"});
        return geor1.page.layer.clusters.map((c) => c.n).sort((a, b) => a - b) }""")
    assert sum(clusters) == 8
    assert page.errors == []


def test_colours_fit_what_they_stand_for(opened, geolocation, pairing):
    rows = [
        geolocation(item_id=f"i{k}", truth=(0.0, 0.0), guess=(0.0, lon))
        for k, lon in enumerate((0.1, 1.0, 5.0, 15.0, 50.0))
    ]
    page = opened([*rows, geolocation(item_id="u", guess=None)])
    page.select_option("select[name=colour]", "threshold")
    labels = page.evaluate(
        "[...geor1.state.shown].map((i) => geor1.page.layer.paint.palette[geor1.page.layer.paint.classes[i]].label)"
    )
    assert labels == ["1–25 km", "25–200 km", "200–750 km", "750–2,500 km", "> 2,500 km", "no distance"]
    page.select_option("select[name=colour]", "reward:0")
    assert "reward" not in page.inner_text("#geor1-legend") and page.errors == []


def test_keys(opened, mixed, wait_until):
    page = opened(mixed)
    page.keyboard.press("j")
    first = page.evaluate("geor1.state.get('selected')")
    assert first == page.evaluate("geor1.tableOrder(geor1.data, geor1.state)[0]") and page.is_visible("#geor1-card")
    page.keyboard.press("ArrowDown")
    second = page.evaluate("geor1.state.get('selected')")
    assert second == page.evaluate("geor1.tableOrder(geor1.data, geor1.state)[1]") != first
    page.keyboard.press("k")
    assert page.evaluate("geor1.state.get('selected')") == first
    page.keyboard.press("Escape")
    assert page.is_hidden("#geor1-card")
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.type") == "search"
    page.keyboard.type("f1")  # letters typed into the search are no commands
    wait_until(lambda: page.evaluate("geor1.state.get('search')") == "f1")
    assert counts(page)[1] == 1
    page.keyboard.press("Escape")
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("t")
    assert page.evaluate("[geor1.state.get('theme'), document.documentElement.dataset.theme]") == ["light", "light"]
    page.keyboard.press("?")
    assert page.is_visible("#geor1-help") and "next sample" in page.inner_text("#geor1-help")
    page.keyboard.press("Escape")
    assert page.is_hidden("#geor1-help") and page.errors == []


def test_the_map_is_clicked(opened, geolocation, pairing):
    page = opened([pairing("A", "B"), pairing("B", "B", model="grpo"), geolocation(truth=None, guess=(0.0, 0.0))])
    page.select_option("select[name=task]", "1")
    box = page.locator(".folium-map").bounding_box()
    seen = []
    for i in range(2):  # two samples of one spot are spread, so that each can be hit
        at = page.evaluate(f"""(() => {{
            const p = geor1.page.map.latLngToContainerPoint([-33.9, 151.2]), layer = geor1.page.layer;
            return [p.x + layer.dx[{i}], p.y + layer.dy[{i}]]; }})()""")
        page.mouse.click(box["x"] + at[0], box["y"] + at[1])
        seen.append(page.evaluate("geor1.state.get('selected')"))
    assert seen == [0, 1] and page.is_visible("#geor1-card")


@pytest.mark.parametrize(("dark", "paper"), [(False, "rgb(255, 255, 255)"), (True, "rgb(22, 28, 33)")])
def test_the_system_s_colours_are_followed(opened, mixed, wait_until, dark, paper):
    page = opened(mixed, dark=dark)
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == paper
    page.emulate_media(color_scheme="light" if dark else "dark")
    wait_until(lambda: page.evaluate("document.documentElement.dataset.theme") == ("light" if dark else "dark"))


def test_a_phone_s_width_and_print(opened, mixed):
    page = opened(mixed, width=390, height=800)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    boxes = {name: page.locator(name).bounding_box() for name in (".folium-map", "#geor1-panel", "#geor1-dock")}
    assert boxes[".folium-map"]["y"] < boxes["#geor1-panel"]["y"] < boxes["#geor1-dock"]["y"]
    panel = "(({ scrollHeight, clientHeight }) => scrollHeight - clientHeight)(document.getElementById('geor1-panel'))"
    assert page.evaluate(panel) == 0  # all of the filters, not a slit of them
    page.evaluate("geor1.state.set({selected: 0})")
    card = page.locator("#geor1-card").bounding_box()
    assert card["x"] == 0 and card["width"] == 390 and card["y"] + card["height"] == 800
    page.emulate_media(media="print")
    assert page.is_hidden("#geor1-selects") and page.is_visible("#geor1-title") and page.is_visible("#geor1-legend")


def test_everything_can_be_reached_by_tab(opened, mixed):
    page = opened(mixed)
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.add(
            page.evaluate(
                "document.activeElement.id || document.activeElement.name || document.activeElement.className"
            )
        )
    assert {"geor1-skip", "geor1-theme", "task", "colour", "geor1-least", "geor1-most", "geor1-reset"} <= reached
    names = page.evaluate("""[...document.querySelectorAll("button, input, select")].filter((n) => n.checkVisibility())
        .filter((n) => !(n.textContent.trim() || n.ariaLabel || n.title || n.labels?.length || n.placeholder))
        .map((n) => n.outerHTML)""")
    assert names == []  # nothing without a name


def test_contrast_of_the_text(opened, mixed):
    """WCAG 2.1 AA: 4.5 to 1 for text, in both themes."""
    luminance = """(value) => { const c = value.match(/[\\d.]+/g).map(Number).slice(0, 3).map((v) => v / 255)
        .map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
        return 0.2126 * c[0] + 0.7152 * c[1] + 0.0722 * c[2]; }"""
    for dark in (False, True):
        page = opened(mixed, dark=dark)
        ratios = page.evaluate(f"""() => {{
            const lum = {luminance}, root = getComputedStyle(document.documentElement);
            const probe = document.body.appendChild(document.createElement("i"));
            const of = (name) => {{
              probe.style.color = root.getPropertyValue(name);
              return lum(getComputedStyle(probe).color);
            }};
            const ratio = (a, b) => (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
            return ["--ink", "--soft", "--truth", "--prediction", "--error", "--unusable", "--focus"]
              .map((name) => [name, ratio(of(name), of("--paper"))]); }}""")
        assert all(ratio >= 4.5 for _, ratio in ratios), ratios


ARCS = [
    (10, 170, 20, -170), (-18.1, 178.4, 61.2, -149.9), (48.9, 2.3, 41.9, 12.5), (35, 140, 37, -122), (80, 10, 80, -150),
    (0, 0, 0, 180), (51.5, 0, -51.5, 180), (90, 0, -90, 0), (0, 180, 0, -180), (5, 5, 5, 5),
]  # fmt: skip


def test_arcs_are_great_circles_that_survive_the_antimeridian(opened, geolocation):
    found = opened([geolocation()]).evaluate(f"{[list(arc) for arc in ARCS]}.map((arc) => geor1.arc(...arc))")
    for (lat1, lon1, lat2, lon2), pieces in zip(ARCS, found, strict=True):
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


def test_what_is_left_out_is_said(opened, geolocation):
    rows = [geolocation(item_id=f"i{i}", guess=(i % 60, i % 170)) for i in range(30)]
    page = opened(rows)
    page.evaluate("geor1.MAX_ARCS = 10; geor1.page.layer.draw(); geor1.page.report()")
    assert page.inner_text("#geor1-notes") == "arcs of the 10 largest errors, 20 left out"
    errors = page.evaluate("[...geor1.page.layer.arcs.keys()].map((i) => geor1.data.col.km[i])")
    assert len(errors) == 30  # drawn once in full before


HOSTILE = [
    "</script><script>document.title='pwned'</script>", "<img src=x onerror=\"document.title='pwned'\">",
    "javascript:document.title='pwned'", "{{ 7 * 7 }}{% for %}", "\u202eevil\u2066 \x00 \ud800 \udfff",
    "<svg/onload=document.title='pwned'>", "' onmouseover='document.title=\"pwned\"", "x" * 1_000_000,
]  # fmt: skip


def test_nothing_hostile_runs(opened, geolocation, pairing, pictures):
    predictions: list[Prediction] = []
    slices = {text: dict.fromkeys(HOSTILE, text) for text in HOSTILE[:3]}
    for text in HOSTILE:
        fields = {
            "model": text, "item_id": text, "raw": text, "city": text, "true_city": text, "true_country": text,
            "rewards": {text: 1.0}, "error": text,
        }  # fmt: skip
        predictions += [geolocation(**fields), geolocation(guess=None, status=text, images=(text,), **fields)]
        predictions.append(pairing(choice=text, answer=text, **fields))
    page = opened(predictions, images_dir=pictures, slices=slices)
    before = page.evaluate("document.querySelectorAll('body script, body style').length")
    for task in ("0", "1"):
        page.select_option("select[name=task]", task)
        for view in "1234":
            page.keyboard.press(view)
        for tab in ("charts", "compare", "table"):
            page.click(f"#geor1-tab-{tab}")
        for facet in page.locator(".facet summary").all():
            if facet.is_visible():
                facet.click()
        for _ in range(len(predictions)):
            page.evaluate("document.activeElement.blur()")
            page.keyboard.press("j")
            assert page.is_visible("#geor1-card")
    assert page.title() == "Where the model errs"
    assert page.evaluate("document.querySelectorAll(\"img[src]:not([src^='data:image/'])\").length") == 0
    assert page.evaluate("document.querySelectorAll('[onload], [onerror], [onmouseover], script[src]').length") == 0
    assert page.evaluate("document.querySelectorAll('body script, body style').length") == before
    assert page.errors == [] and page.requests == []


def test_the_policy_stops_a_script_that_is_not_ours(tmp_path, outlines, open_page, geolocation):
    path = save_map(build_map([geolocation()], outlines=outlines), tmp_path / "map.html")
    foreign = "<script>document.title='pwned'</script><img src=x onerror=\"document.title='pwned'\">"
    path.write_text(path.read_text(encoding="utf-8") + foreign, encoding="utf-8")
    page = open_page(path)
    page.wait_for_selector(READY)
    assert page.title() == "Where the model errs"
    assert any("Content Security Policy" in line for line in page.errors)


def test_damaged_data_are_told(tmp_path, outlines, open_page, wait_until, geolocation):
    path = save_map(build_map([geolocation()], outlines=outlines), tmp_path / "map.html")
    text = path.read_text(encoding="utf-8")
    at = text.index('id="geor1-blob"') + 40
    path.write_text(text[:at] + text[at + 200 :], encoding="utf-8")
    page = open_page(path)
    wait_until(lambda: page.inner_text("#geor1-status").startswith("the data of this page cannot be read"))
