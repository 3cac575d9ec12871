"""What the map tests share: a tiny world, hand-made predictions, a reader of our page, and a headless browser."""

from __future__ import annotations

import base64
import itertools
import json
import sys
import time
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser, sync_playwright

from geor1.maps.blob import Blob, unpack
from geor1.maps.chromium import find_chromium, launch
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
    """Wait until a condition holds. (Playwright's own wait_for_function evaluates text, which the page's policy stops.)"""

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
