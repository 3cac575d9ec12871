"""What the map tests share: a tiny world, hand-made predictions, a reader of our page, and a headless browser."""

from __future__ import annotations

import base64
import itertools
import json
import math
import re
import sys
import time
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, sync_playwright

from geor1.maps.blob import Blob, unpack
from geor1.maps.chromium import find_chromium, launch
from geor1.maps.inspector import build_map, save_map
from geor1.records import Prediction

sys.path.insert(0, str(Path(__file__).parent))  # for component_page, whatever the import mode

SQUARE = [[[0.0, 0.0], [20.0, 0.0], [20.0, 20.0], [0.0, 20.0], [0.0, 0.0]]]


@pytest.fixture(scope="session")
def browser():
    """One headless Chromium for all tests; they are skipped, saying so, where none is installed."""
    if find_chromium() is None:
        pytest.skip("no Chromium here (Debian: apt-get install chromium): the page was not opened in a browser")
    with sync_playwright() as playwright:
        opened = launch(playwright)
        yield opened
        opened.close()


@pytest.fixture
def open_page(browser: Browser):
    """Open an HTML file offline: open_page(path, width=…, height=…, dark=…).

    The page that comes back has ``errors`` (console errors and warnings, uncaught exceptions) and ``requests`` (the
    address of everything asked for but the file itself and what stands inside it).
    """
    contexts = []

    def run(path: Path | str, *, width: int = 1280, height: int = 800, dark: bool = False, fragment: str = ""):
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light",
            offline=True, accept_downloads=True, reduced_motion="reduce",
        )  # fmt: skip
        contexts.append(context)
        page = context.new_page()
        page.errors, page.requests = [], []
        page.on("console", lambda m: page.errors.append(m.text) if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        address = Path(path).resolve().as_uri()
        inside = (address, "data:", "blob:")
        page.on("request", lambda r: page.requests.append(r.url) if not r.url.startswith(inside) else None)
        page.goto(address + fragment)
        return page

    yield run
    for context in contexts:
        context.close()


@pytest.fixture
def wait_until():
    """Wait until a condition holds. (Playwright's wait_for_function evaluates text, which the page's policy stops.)"""

    def run(condition, seconds: float = 10.0) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, "it did not come about in time"
            time.sleep(0.02)

    return run


class Page(HTMLParser):
    """Start tags, and the text of script and style elements, as a browser would find them."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.scripts: list[tuple[dict[str, str], str]] = []
        self.styles: list[str] = []
        self._inside: tuple[str, dict[str, str]] | None = None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attributes = {name: value or "" for name, value in attrs}
        self.tags.append((tag, attributes))
        if tag in ("script", "style"):
            self._inside = (tag, attributes)

    def handle_endtag(self, tag):
        self._inside = None

    def handle_data(self, data):
        if self._inside and self._inside[0] == "script":
            self.scripts.append((self._inside[1], data))
        elif self._inside:
            self.styles.append(data)

    def element(self, name: str) -> str:
        """Text of the one script element of this id; an empty element has none."""
        assert sum(attributes.get("id") == name for _, attributes in self.tags) == 1
        return "".join(text for attributes, text in self.scripts if attributes.get("id") == name)

    def blob(self) -> Blob:
        return unpack(self.element("geor1-blob"))

    def thumbnails(self) -> list[bytes]:
        offsets, bodies = self.blob().columns["thumb.offsets"].tolist(), self.element("geor1-pictures")
        return [base64.b64decode(bodies[a:b], validate=True) for a, b in itertools.pairwise(offsets)]


@pytest.fixture
def read_page():
    return Page


@pytest.fixture
def outlines() -> dict:
    """One square country between 0 and 20 degrees, instead of Natural Earth."""
    geometry = {"type": "Polygon", "coordinates": SQUARE}
    return {"type": "FeatureCollection", "features": [{"type": "Feature", "properties": {}, "geometry": geometry}]}


@pytest.fixture
def geolocation():
    """Make a geolocation prediction: geolocation(truth, guess or None, **fields)."""

    def make(truth=(10.0, 20.0), guess=(11.0, 21.0), **fields) -> Prediction:
        values = {
            "model": "grpo", "task": "geolocation", "item_id": "photo-1",
            "raw": "<think> dry </think> <answer> 11 , 21 </answer>",
            "status": "ok" if guess else "no_coordinates", "rewards": {"accuracy": 0.5, "format": 1.0},
        }  # fmt: skip
        if truth:
            values |= {"true_latitude_deg": truth[0], "true_longitude_deg": truth[1], "true_country": "Chad"}
        if guess:
            values |= {"latitude_deg": guess[0], "longitude_deg": guess[1], "country": "Sudan"}
        return Prediction(**(values | fields))

    return make


@pytest.fixture
def pairing():
    """Make a pairing prediction with K = 4: pairing(choice or None, answer, **fields)."""

    def make(choice="A", answer="B", **fields) -> Prediction:
        values = {
            "model": "sft", "task": "pairing", "item_id": "q1",
            "raw": f"<think> so </think> <answer> {choice} </answer>",
            "status": "ok" if choice else "hedged", "choice": choice, "answer": answer,
            "true_latitude_deg": -33.9, "true_longitude_deg": 151.2, "true_city": "Sydney",
            "images": ("images/g.png", "images/a.png", "images/b.png", "images/c.png", "images/d.png"),
        }  # fmt: skip
        return Prediction(**(values | fields))

    return make


@pytest.fixture
def pictures(tmp_path) -> Path:
    """A folder with images/g.png … d.png, each of one colour; g carries GPS in its EXIF."""
    folder = tmp_path / "run"
    (folder / "images").mkdir(parents=True)
    exif = Image.Exif()
    exif.get_ifd(0x8825)[1] = "N"
    exif[0x010E] = "SECRETPLACE"
    for index, name in enumerate("gabcd"):
        size = (640, 160) if name == "g" else (96, 96)
        image = Image.new("RGB", size, (40 * index, 255 - 40 * index, 90))
        image.save(folder / "images" / f"{name}.png", exif=exif if name == "g" else b"")
    return folder


@pytest.fixture
def opened(tmp_path, outlines, open_page):
    """Build, save and open a page of predictions; wait until it has drawn."""

    def run(predictions, *, width=1280, height=800, dark=False, fragment="", **options):
        path = save_map(build_map(list(predictions), outlines=outlines, **options), tmp_path / "map.html")
        page = open_page(path, width=width, height=height, dark=dark, fragment=fragment)
        page.wait_for_selector('#geor1-status[data-ready="true"]')
        return page

    return run


@pytest.fixture
def mixed(geolocation, pairing):
    """Three far, four near and one unusable geolocation of two models, and three pairing samples."""
    far = [geolocation(item_id=f"f{i}", guess=(-10.0, -160.0)) for i in range(3)]
    near = [geolocation(item_id=f"n{i}", guess=(10.0, 20.5), model="base") for i in range(4)]
    pairs = [pairing("A", "B"), pairing("B", "B"), pairing("C", "C", condition="blind")]
    return [*far, *near, geolocation(item_id="u", guess=None), *pairs]


# --- parts of the page on made-up columns ----------------------------------------------------------------------------

PARTS = (
    "geometry.js", "statistics.js", "data.js", "state.js", "raster.js", "paint.js", "choropleth.js", "charts.js",
    "compare.js",
)  # fmt: skip
BUILD = """
  const TYPES = {u8: Uint8Array, u16: Uint16Array, u32: Uint32Array, i32: Int32Array, f32: Float32Array};
  const given = JSON.parse(document.getElementById("columns").textContent);
  const data = Object.assign(Object.create(geor1.Data.prototype), {n: given.n, header: given.header,
    tables: given.tables, col: {}, decoder: new TextDecoder(), byItem: null, sites: null});
  for (const [name, [type, values]] of Object.entries(given.columns))
    data.col[name] = Float64Array.from(values, (value) => (value === null ? NaN : value));
  for (const [name, [type]] of Object.entries(given.columns)) data.col[name] = TYPES[type].from(data.col[name]);
  const names = (kind) => (i) => kind + " " + i;
  Object.assign(data, {item: (i) => "item " + data.col.item[i], place: names("place"), guessed: names("guess"),
    text: names("text")});
  const state = new geor1.State(data), map = L.map("map", {crs: L.CRS.EPSG4326, zoomSnap: 0});
  map.fitBounds([[-60, -180], [84, 180]]);
  const root = (id) => document.getElementById(id), choropleth = geor1.makeChoropleth(map, data, state);
  const parts = {charts: geor1.makeCharts(root("charts"), data, state),
    compare: geor1.makeCompare(root("compare"), data, state),
    histogram: geor1.makeErrorHistogram(root("histogram"), data, state), choropleth};
  root("legend").append(choropleth.legend());
  document.documentElement.dataset.theme = geor1.isDark("auto") ? "dark" : "light";
  const follow = (changed) => { for (const part of Object.values(parts)) part.update(changed); };
  state.on(follow);
  Object.assign(geor1, {data, state, map, parts, follow, rowsOf: (list) => Uint32Array.from(list)});
  follow(new Set([...Object.keys(state.values), "rows", "window"]));
"""
BODY = """<body><div id="map" style="height: 380px"></div><div id="legend"></div><div id="histogram"></div>
<div id="charts"></div><div id="compare"></div>"""


@pytest.fixture
def component_page(tmp_path, open_page, outlines):
    """A page with the charts, the comparison and the map of countries on made-up columns, without the rest.

    component_page(columns, tables, header, outlines=…, width=…, dark=…) -> page; columns: name -> (type, values), NaN
    where unknown. The page's ``geor1`` also holds data, state, map and parts.
    """
    from geor1.maps.frame import asset, leaflet_css, leaflet_script

    def run(columns, tables, header, *, shapes=None, **options):
        rows = len(columns["model"][1])
        listed = {
            name: [kind, [None if value != value else value for value in np.asarray(values).tolist()]]
            for name, (kind, values) in columns.items()
        }
        document = {"n": rows, "header": header, "tables": tables, "columns": listed}
        roots = "\n".join(re.findall(r":root[^{]*\{[^}]*\}", asset("theme.css")))
        styles = [leaflet_css(), roots, *(asset(f"{name}.css") for name in ("charts", "compare", "choropleth"))]
        base = "body { font: 14px/1.4 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 0; }"
        scripts = [leaflet_script(), *(asset(name) for name in PARTS)]
        text = (
            '<!doctype html><meta charset="utf-8">'
            + "".join(f"<style>{style}</style>" for style in [*styles, base])
            + "".join(f"<script>{script}</script>" for script in scripts)
            + BODY
            + f'<script type="application/json" id="columns">{json.dumps(document)}</script>'
            + f'<script type="application/json" id="geor1-outlines">{json.dumps(shapes or outlines)}</script>'
            + f"<script>{{{BUILD}}}</script>"
        )
        path = tmp_path / "parts.html"
        path.write_text(text, encoding="utf-8")
        return open_page(path, **options)

    return run


@pytest.fixture
def made_up():
    """Columns, tables and header of made-up rows of three models: geolocation with misses, pairing with rotations."""

    def make(items: int = 400, seed: int = 0):
        rng = np.random.default_rng(seed)
        models, rows = ["base", "sft", "grpo"], []
        for model, scale in enumerate((1500.0, 600.0, 250.0)):
            for item in range(items):
                if model == 2 and item % 50 == 7:
                    continue  # one model lacks some items
                km = float(np.float32(min(20015.0, scale * rng.lognormal(0.0, 1.8))))
                missed, unknown = rng.random() < 0.06, item % 40 == 3
                km = math.nan if missed or unknown else km
                country = 0 if unknown else 1 + item % 5 if item % 9 else 6
                rows.append([0, model, item, 0, 0, country, math.nan if unknown else 10.0, km, 3 if missed else 2, 0])
            for item in range(items // 4):
                for turn in range(4):
                    outcome = rng.choice([0, 1, 3], p=[0.3 + 0.15 * model, 0.65 - 0.15 * model, 0.05])
                    rows.append([1, model, 10_000 + item, 0, turn, 1 + item % 5, -33.9, math.nan, outcome, 1])
        rows = [rows[k] for k in rng.permutation(len(rows))]
        names = ("task", "model", "item", "condition", "rotation", "country", "tlat", "km", "outcome", "picset")
        kinds = ("u8", "u16", "u32", "u8", "u8", "u16", "f32", "f32", "u8", "u32")
        values = [np.array(column) for column in zip(*rows, strict=True)]
        columns = {name: (kind, column) for name, kind, column in zip(names, kinds, values, strict=True)}
        n, located = len(rows), np.isfinite(columns["km"][1])
        zeros = np.zeros(n)
        columns |= {
            "status": ("u16", (columns["outcome"][1] == 3).astype(int)),
            "continent": ("u8", zeros), "climate": ("u8", zeros), "sample": ("u16", zeros),
            "tlon": ("f32", np.where(np.isnan(columns["tlat"][1]), np.nan, 20.0)),
            "plat": ("f32", np.where(located, 11.0, np.nan)), "plon": ("f32", np.where(located, 21.0, np.nan)),
            "rank": ("u32", np.arange(n)),
            "reward:0": ("f32", np.where(columns["outcome"][1] == 3, np.nan, rng.random(n))),
            "reward:1": ("f32", (columns["outcome"][1] != 3) * 1.0),
            "picset.start": ("u32", np.array([0, 1, 6])), "pic.role": ("u8", np.array([0, 0, 1, 1, 1, 1])),
        }  # fmt: skip
        tables = {
            "model": models, "condition": ["normal"], "status": ["ok", "no_coordinates"],
            "letter": ["A", "B", "C", "D"],
            "country": ["unknown", "Chad", "Sudan", "Peru", "Japan", "Fiji", "Malta"],
            "continent": ["unknown"], "climate": ["unknown"],
        }  # fmt: skip
        header = {
            "title": "made up", "slices": [], "rewards": ["accuracy", "format"],
            "thresholds_km": [1, 25, 200, 750, 2500],
            "outcomes": ["right", "wrong", "located", "unusable"], "model_colours": ["#56B4E9", "#E69F00", "#CC79A7"],
            "colours": {"right": "#009E73", "unusable": "#767676"}, "missing": 0, "left_out": 0,
        }  # fmt: skip
        return columns, tables, header

    return make
