"""The address's fragment: everything chosen comes back from it, and nothing else acts or gets in."""

from __future__ import annotations

from urllib.parse import parse_qsl, quote, urlencode

import pytest
from component_page import HOSTILE, row, until, write_page

LINK = "window.part = geor1.makeLink(root, data, state, null); follow(part)"
MAP = """const box = geor1.element('div'); box.style.height = '300px'; root.append(box);
const map = window.map = L.map(box, { crs: L.CRS.Geor1, zoomSnap: 0.25, attributionControl: false });
map.setView([15, 0], 1);
map.on('moveend', () => state.setWindow(map.getZoom() > 1 ? { south: -90, north: 90, west: -180, east: 180 } : null));
window.part = geor1.makeLink(root, data, state, map); follow(part)"""
STATE = """() => Object.fromEntries(Object.entries(state.values).map(([key, value]) =>
  [key, value instanceof Set ? [...value].sort() : value === Infinity ? 'Infinity' : value]))"""


@pytest.fixture
def opened(tmp_path, open_page):
    def run(rows, fragment: str = "", script: str = LINK, name: str = "parts.html", **header):
        header = {"rewards": ["accuracy", "format"], **header} if "rewards" in header else header
        page = open_page(write_page(tmp_path / name, rows, script, scripts=("link.js",), **header), fragment=fragment)
        page.wait_for_selector("body[data-ready]")
        return page

    return run


@pytest.fixture
def mixed():
    rows = []
    for model in ("base", "sft", "grpo"):
        for k, country in enumerate(("Chad", "Peru", "Côte d'Ivoire", "Japan")):
            fields = {
                "model": model,
                "country": country,
                "rewards": {"accuracy": 0.5, "format": 1.0},
                "slices": {"scene": "ab"[k % 2]},
            }
            rows.append(
                row(
                    item=f"photo-{k}",
                    guess=(10.0, 21.0 + 40 * k) if k else None,
                    status="ok" if k else "empty",
                    **fields,
                )
            )
            rows.append(
                row(
                    item=f"q{k}",
                    choice="AB"[k % 2],
                    answer="B",
                    rotation=k % 2,
                    condition=("normal", "blind")[k // 2],
                    **fields,
                )
            )
    return rows


def fragment_of(page) -> list[tuple[str, str]]:
    page.evaluate("part.write()")
    return parse_qsl(page.evaluate("location.hash.slice(1)"), keep_blank_values=True)


def test_the_page_s_own_state_needs_no_fragment(opened, mixed):
    page = opened(mixed)
    assert fragment_of(page) == [] and page.evaluate("!location.href.includes('#')")


PATCHES = {
    "task": "{ task: 1, rotation: -1, condition: 1 }",
    "limits": "{ kmMin: 123.456, kmMax: 2500, search: 'sand & \"red dunes\" #1 =?' }",
    "looks": "{ view: 'heat', colour: 'reward:1', arcs: false, threshold: 200, metric: 'accuracy', follow: false, "
             "theme: 'dark', tab: 'charts' }",
    "sorted": "{ sort: 'reward:0', descending: true, selected: 4 }",
    "facets": "{ 'facet:model': new Set([0]), 'facet:country': new Set([1, 2, 3]), 'facet:slice:0': new Set([1]), "
              "'facet:outcome': new Set([0, 1, 2, 3]) }",
    "compare": "{ compare: [2, 0], tab: 'compare' }",
    "other task": "{ task: 1, selected: 3, 'facet:status': new Set([0]) }",
}  # fmt: skip
PAIRS = "geor1.pairUp = (data) => ({ partner: new Int32Array(data.n).fill(-1), verdicts: new Uint8Array(data.n) });"


@pytest.mark.parametrize("patch", PATCHES.values(), ids=PATCHES.keys())
def test_a_state_comes_back_from_its_link(opened, mixed, patch):
    page = opened(mixed, script=PAIRS + LINK)
    page.evaluate(f"state.set({patch})")
    before, fragment = page.evaluate(STATE), fragment_of(page)
    assert fragment, "something differs from the default"
    again = opened(mixed, page.evaluate("location.hash"), script=PAIRS + LINK, name="again.html")
    assert again.evaluate(STATE) == before
    assert fragment_of(again) == fragment and again.text_content(".link-note") == ""
    assert page.errors == again.errors == []


def test_the_fragment_names_models_values_and_samples(opened, mixed):
    page = opened(mixed)
    page.evaluate(f"state.set({PATCHES['facets']})")
    page.evaluate("state.set({ colour: 'reward:1', sort: 'reward:0', selected: 10 })")
    assert fragment_of(page) == [
        ("colour", "reward:format"), ("sort", "reward:accuracy"), ("not.model", "base"),
        ("not.outcome", "right"), ("not.outcome", "wrong"), ("not.outcome", "located"), ("not.outcome", "unusable"),
        ("only.country", "Chad"), ("not.slice:scene", "b"),
        ("row", "sft"), ("row", "normal"), ("row", "0"), ("row", "0"), ("row", "photo-1"),
    ]  # fmt: skip


def test_a_link_outlives_another_run_s_order(opened, mixed):
    page = opened(mixed)
    page.evaluate("state.set({ 'facet:model': new Set([0]), 'facet:country': new Set([1, 2, 3]), selected: 10 })")
    fragment_of(page)
    other = opened(
        [*reversed(mixed), row(model="new", country="Mali")], page.evaluate("location.hash"), name="other.html"
    )
    excluded = "(name) => [...state.get('facet:' + name)].map((k) => state.facet(name).values[k]).sort()"
    assert other.evaluate(excluded, "model") == ["base"]
    assert other.evaluate(excluded, "country") == ["Côte d'Ivoire", "Japan", "Mali", "Peru"], "only Chad was shown"
    row_of = (
        "() => { const { model, item, rotation } = data.row(state.get('selected')); return [model, item, rotation]; }"
    )
    assert other.evaluate(row_of) == ["sft", "photo-1", 0]


def test_unknown_names_are_left_out_and_said(opened, mixed):
    pairs = [
        ("not.model", "gpt-9"), ("only.country", "Atlantis"), ("colour", "reward:luck"), ("sort", "__proto__"),
        ("km_min", "near"), ("view", "globe"), ("row", "base"), ("hat", "red"), ("not.model", "sft"),
        ("compare", "base"), ("threshold_km", "26"),
    ]  # fmt: skip
    page = opened(mixed, "#" + urlencode(pairs))
    values = page.evaluate(STATE)
    assert values["facet:model"] == [1] and values["facet:country"] == [], "what is known is taken"
    assert (values["sort"], values["kmMin"], values["view"], values["selected"], values["compare"]) == (
        "rank",
        0,
        "points",
        -1,
        None,
    )
    note = page.text_content(".link-note")
    assert note.startswith("The link names what this page does not have, which is left out: ") and note.endswith(
        " more."
    )
    assert page.errors == [] and page.evaluate("({}).red === undefined")


def test_a_changed_fragment_is_followed_back_to_the_default(opened, mixed):
    page = opened(mixed)
    page.evaluate("location.hash = '#km_min=200&not.model=base'")
    until(page, "state.get('kmMin') === 200 && state.get('facet:model').has(0)")
    page.evaluate("location.hash = '#task=pairing&rotation=all'")
    until(page, "state.get('task') === 1 && state.get('rotation') === -1 && state.get('kmMin') === 0")
    page.evaluate("location.hash = ''")
    until(page, "state.get('task') === 0 && state.get('facet:model').size === 0")


def test_a_jump_within_the_page_changes_nothing(opened, mixed):
    page = opened(mixed, "#km_min=200")
    page.evaluate("location.hash = '#geor1-panel-top'")
    page.wait_for_timeout(400)
    assert page.evaluate("state.get('kmMin')") == 200 and fragment_of(page) == [("km_min", "200")]


def test_the_address_follows_a_choice_after_a_pause(opened, mixed):
    page = opened(mixed)
    page.evaluate("state.set({ kmMin: 25 }); state.set({ kmMin: 200 })")
    assert page.evaluate("location.hash") == ""
    until(page, "location.hash === '#km_min=200'")
    assert page.evaluate("history.length") == page.evaluate("history.length") <= 2, "no new entry a choice"


def test_the_map_s_view_comes_back(opened, mixed):
    page = opened(mixed, script=MAP)
    assert fragment_of(page) == []
    page.evaluate("map.setView([-33.8688, 151.2093], 5.5, { animate: false })")
    assert dict(fragment_of(page)) == {"at": "-33.8688,151.2093,5.50"}
    again = opened(mixed, "#at=-33.8688,151.2093,5.50", script=MAP, name="again.html")
    centre = again.evaluate("[map.getCenter().lat, map.getCenter().lng, map.getZoom()]")
    assert centre == [pytest.approx(-33.8688, abs=0.01), pytest.approx(151.2093, abs=0.01), 5.5]
    for wrong in ("north", "91,0,3", "1,2", "1,2,3,4", "NaN,0,1", "0,0,99"):
        again.evaluate(f"location.hash = '#at={wrong}'")
        until(again, "document.querySelector('.link-note').textContent.includes('map view')")
        assert again.evaluate("[map.getCenter().lat, map.getZoom()].every(Number.isFinite)")
        again.evaluate("part.notes = []; part.say('')")


def test_hostile_names_come_back(opened):
    rows = [
        row(model=text, item=text, condition="normal", country=text, text=text, slices={text: text}) for text in HOSTILE
    ]
    page = opened(rows)
    for k, text in enumerate(HOSTILE):
        page.evaluate(f"state.set({{ 'facet:model': new Set([{k}]),"
                      f" 'facet:country': new Set([...Array({len(rows)}).keys()].filter((j) => j !== {k})),"
                      f" 'facet:slice:{k}': new Set([0]), selected: {k} }})")  # fmt: skip
        page.evaluate(
            "(text) => state.set({ search: text.slice(0, 200) })", text.encode("utf-16", "replace").decode("utf-16")
        )
        before = page.evaluate(STATE)
        fragment_of(page)
        again = opened(rows, page.evaluate("location.hash"), name="again.html")
        assert again.evaluate(STATE) == before, text
        assert again.text_content(".link-note") == "" and again.evaluate("window.hurt === undefined")
        assert again.errors == [] and again.requests == []
        page.evaluate(f"state.set({{ 'facet:slice:{k}': new Set() }})")


@pytest.mark.parametrize(
    "fragment",
    ["#view=<script>window.hurt=1</script>", "#" + quote("row=<img src=x onerror=window.hurt=1>", safe="="),
     "#search=" + "x" * 1_000_000, "#%ff%fe=%zz&=&&a==b", "#" + "&".join(f"k{k}=1" for k in range(5000)),
     "#__proto__=1&constructor=2&row=__proto__", "#kmMin=1&task=2&rotation=-5",
     "#only.model=" + quote("\ud800\u202e\x00", errors="surrogatepass")],
    ids=range(8),
)  # fmt: skip
def test_hostile_fragments_do_nothing_but_get_said(opened, mixed, fragment):
    page = opened(mixed, fragment)
    assert page.evaluate("window.hurt === undefined && ({}).a === undefined")
    usual = opened(mixed, name="usual.html").evaluate(STATE)
    assert page.evaluate(STATE) == usual
    note = page.text_content(".link-note")
    assert note.startswith("The link names what this page does not have") and len(note) < 400
    assert page.locator("main script, main img").count() == 0 and page.errors == [] and page.requests == []


def test_copy_writes_to_the_clipboard(opened, mixed):
    page = opened(mixed)
    page.evaluate(
        "window.copied = []; const writeText = async (text) => { copied.push(text); };"
        "Object.defineProperty(navigator, 'clipboard', { value: { writeText } }); state.set({ kmMin: 200 })"
    )
    page.click("text=Copy link")
    until(page, "copied.length === 1")
    assert page.evaluate("copied[0]") == page.url and page.url.endswith("#km_min=200")
    assert page.text_content(".link-note") == "Link copied." and page.locator(".link-field").is_hidden()


def test_without_a_clipboard_a_field_holds_the_link(opened, mixed):
    page = opened(mixed)
    page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined }); state.set({ kmMin: 200 })")
    page.click("text=Copy link")
    assert page.input_value(".link-field") == page.url and "copy the link from the field" in page.text_content(
        ".link-note"
    )
    assert page.evaluate("document.activeElement.selectionEnd - document.activeElement.selectionStart") == len(page.url)


def test_a_frame_that_forbids_it_says_so_and_offers_the_text(opened, mixed):
    page = opened(mixed)
    page.evaluate(
        "history.replaceState = () => { throw new DOMException('no', 'SecurityError'); }; state.set({ kmMin: 200 })"
    )
    until(page, "document.querySelector('.link-field').hidden === false")
    assert page.input_value(".link-field").endswith("#km_min=200") and "SecurityError" in page.text_content(
        ".link-note"
    )
    page.evaluate("state.set({ kmMin: 750 })")
    until(page, "document.querySelector('.link-field').value.endsWith('#km_min=750')")
    assert page.errors == []


def test_in_a_sandboxed_frame_the_page_works_and_offers_its_fragment(opened, mixed, tmp_path, open_page):
    opened(mixed)
    inner = (tmp_path / "parts.html").read_text(encoding="utf-8")
    outer = tmp_path / "outer.html"
    escaped = inner.replace("&", "&amp;").replace('"', "&quot;")
    outer.write_text(
        f'<!doctype html><iframe sandbox="allow-scripts" width="800" height="600" srcdoc="{escaped}"></iframe>',
        encoding="utf-8",
    )
    page = open_page(outer)
    frame = page.frames[1]
    frame.wait_for_selector("body[data-ready]")
    frame.evaluate("state.set({ kmMin: 200 })")
    frame.click("text=Copy link")
    page.wait_for_timeout(500)
    assert frame.evaluate("document.querySelector('.link-field').value") == "#km_min=200"
    assert "behind the page's own address" in frame.text_content(".link-note")
