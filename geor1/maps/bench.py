"""How large and how quick the inspector's page is: ``python -m geor1.maps.bench``, beside plain folium in the same run.

Made-up samples around real cities. Each page is built, written and opened in headless Chromium without a network; a
change is measured from the event to the end of the frame that shows it, the median of twenty. Plain folium is one
marker with a tooltip a sample, Leaflet put into the file (its own link would need the network); its "change" takes half
of the markers off the map or puts them back. Needs Playwright (extra [dev]) and an installed Chromium.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import folium
import numpy as np
from PIL import Image

from geor1.geodesy import destination
from geor1.maps.chromium import launch
from geor1.maps.frame import OfflineMap, leaflet_css, leaflet_script
from geor1.maps.inspector import build_map, save_map
from geor1.records import Prediction
from geor1.world.gazetteer import cities

MODELS = ("base", "sft", "grpo", "gpt-4o")
WORDS = ("road", "signs", "palm", "dry", "houses", "red", "roofs", "field", "forest", "river", "sun", "shadow", "soil")
PICTURE_PX = 512

_MEASURE = """async () => {
  const act = (k) => { CHANGE }, times = [];
  const shown = () => new Promise((done) => requestAnimationFrame(() => {
    const channel = new MessageChannel();
    channel.port1.onmessage = done;
    channel.port2.postMessage(0);
  }));
  for (let k = 0; k < 20; k++) {
    await new Promise((done) => setTimeout(done, 30));
    const start = performance.now();
    act(k);
    await shown();
    times.push(performance.now() - start);
  }
  return times.sort((a, b) => a - b)[10];
}"""  # the page's policy stops new Function, so the change is written into the script

_SLIDE = (
    'const box = document.getElementById("geor1-least"); box.value = 20 + k; box.dispatchEvent(new Event("input"));'
)
_FILTER = 'geor1.state.set({"facet:continent": new Set([k % geor1.data.tables.continent.length])});'
_PAN = "geor1.page.map.panBy([k % 2 ? 90 : -90, 0], {animate: false});"
_PLAIN = "for (const one of marks) if (k % 2) one.addTo(theMap); else one.remove();"


def made_up(n: int, pictures: Sequence[str] = (), *, seed: int = 0) -> list[Prediction]:
    """Samples of four models around real cities, three in a hundred without an answer.

    Args:
        n: How many.
        pictures: Image paths, two a sample; empty for none.
        seed: Decides everything drawn.
    """
    rng = np.random.default_rng(seed)
    towns = cities()
    rows = []
    for index in range(n):
        model, town = index % len(MODELS), towns[int(rng.integers(len(towns)))]
        latitude = float(np.clip(town.latitude_deg + rng.normal(0, 1.5), -89, 89))
        longitude = float((town.longitude_deg + rng.normal(0, 1.5) + 180) % 360 - 180)
        km = float(min(19000.0, np.exp(rng.normal(6.5 - 0.8 * model, 1.6))))
        bearing_deg = float(rng.uniform(0, 360))
        there = destination(latitude_deg=latitude, longitude_deg=longitude, bearing_deg=bearing_deg, distance_km=km)
        lost = rng.random() < 0.03
        text = " ".join(WORDS[k] for k in rng.integers(len(WORDS), size=24))
        rows.append(
            Prediction(
                model=MODELS[model], task="geolocation", item_id=f"photo-{index // len(MODELS):06d}",
                raw=f"<think> {text} </think>", status="no_coordinates" if lost else "ok",
                latitude_deg=None if lost else float(there[0]), longitude_deg=None if lost else float(there[1]),
                true_latitude_deg=latitude, true_longitude_deg=longitude, true_city=town.name,
                true_country=town.country,
                images=tuple(pictures[(2 * index + k) % len(pictures)] for k in range(2)) if pictures else (),
                rewards={"accuracy": float(np.exp(-km / 1000)), "format": 1.0},
                completion_tokens=int(rng.integers(20, 300)),
            )
        )  # fmt: skip
    return rows


def made_up_pictures(n: int, folder: Path) -> list[str]:
    """``n`` different JPEG files of 512 px, smooth forms under sensor noise, as photographs compress."""
    rng = np.random.default_rng(5)
    size = (PICTURE_PX, PICTURE_PX)
    forms = [
        np.asarray(Image.fromarray(rng.integers(0, 255, (edge, edge, 3), dtype=np.uint8)).resize(size, Image.BICUBIC))
        for edge in (4, 8, 16, 32, 64)
    ]
    base = sum(form.astype(np.int16) for form in forms) // len(forms) + rng.normal(0, 12, (*size, 3)).astype(np.int16)
    picture = np.clip(base, 0, 255).astype(np.uint8)
    names = []
    for index in range(n):
        shifted = np.roll(picture, (int(rng.integers(PICTURE_PX)), int(rng.integers(PICTURE_PX))), axis=(0, 1))
        names.append(f"{index:05d}.jpg")
        Image.fromarray(shifted).save(folder / names[-1], quality=88)
    return names


def plain_folium(rows: Sequence[Prediction], path: Path) -> Path:
    """The same samples as folium users do it: one marker with a tooltip each (popups would need jQuery too)."""
    plain = OfflineMap(location=[15, 0], zoom_start=2, tiles=None)
    for row in rows:
        place = (row.true_latitude_deg, row.true_longitude_deg)
        folium.CircleMarker(place, radius=4, tooltip=f"{row.model} {row.item_id}").add_to(plain)
    page = plain.get_root().render()
    inline = f"<style>{leaflet_css()}</style><script>{leaflet_script()}</script></head>"
    path.write_text(page.replace("</head>", inline, 1), encoding="utf-8")
    return path


def measure(browser: Any, path: Path, changes: dict[str, str], ready: str) -> dict[str, float]:
    """Open a page with the network cut off and time it.

    Args:
        browser: Playwright's.
        path: The page.
        changes: What to time -> script of one change, with its number ``k``.
        ready: Selector of an element that is there once the page is ready.

    Returns:
        ``first_paint_ms``, ``ready_ms``, ``requests`` (to anything but the file), and the median of each change in ms.

    Raises:
        RuntimeError: The page logged an error.
    """
    context = browser.new_context(viewport={"width": 1280, "height": 800}, offline=True, reduced_motion="reduce")
    page = context.new_page()
    errors: list[str] = []
    requests: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(path.resolve().as_uri())
    page.wait_for_selector(ready, state="attached", timeout=120_000)
    found = page.evaluate("""async () => {
      const ready_ms = performance.now();
      while (!performance.getEntriesByType("paint").length) await new Promise((done) => setTimeout(done, 20));
      return {ready_ms, first_paint_ms: performance.getEntriesByType("paint")[0].startTime};
    }""")
    own = (path.resolve().as_uri(), "data:", "blob:")
    found["requests"] = sum(not url.startswith(own) for url in requests)
    for name, script in changes.items():
        found[name] = page.evaluate(_MEASURE.replace("CHANGE", script))
    context.close()
    if errors:
        raise RuntimeError(f"{path.name}: {errors[0]}")
    return found


def bench(browser: Any, folder: Path, n: int, *, with_pictures: bool, with_plain: bool) -> dict[str, dict[str, float]]:
    """Build and open the pages of ``n`` samples; see the module. Row label -> figures."""
    names = made_up_pictures(2 * n, folder) if with_pictures else []
    rows = made_up(n, names)
    started = time.perf_counter()
    path = save_map(build_map(rows, images_dir=folder if names else None, title=f"{n:,} samples"), folder / "map.html")
    found = {"inspector": {"build_s": time.perf_counter() - started, "megabytes": path.stat().st_size / 1e6}}
    ready = '#geor1-status[data-ready="true"]'
    found["inspector"] |= measure(browser, path, {"slider_ms": _SLIDE, "filter_ms": _FILTER, "pan_ms": _PAN}, ready)
    if with_plain:
        started = time.perf_counter()
        path = plain_folium(rows, folder / "plain.html")
        found["plain folium"] = {"build_s": time.perf_counter() - started, "megabytes": path.stat().st_size / 1e6}
        name = next(line.split()[1] for line in path.read_text().splitlines() if "var map_" in line)
        marks = f"const theMap = {name}, marks = (window.half ??= Object.values({name}._layers).filter((l) => l._latlng"
        change = f"{marks} && l._leaflet_id % 2)); {_PLAIN}"
        pan = f"{name}.panBy([k % 2 ? 90 : -90, 0], {{animate: false}});"
        found["plain folium"] |= measure(browser, path, {"filter_ms": change, "pan_ms": pan}, ".leaflet-container")
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m geor1.maps.bench", description=__doc__)
    parser.add_argument("--pictured", type=int, default=5000, help="samples of the page with two pictures each")
    parser.add_argument("--points", type=int, default=100_000, help="samples of the page without pictures")
    given = parser.parse_args()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as scratch:
        browser = launch(playwright)
        for n, pictured in ((given.pictured, True), (given.points, False)):
            found = bench(browser, Path(scratch), n, with_pictures=pictured, with_plain=pictured)
            print(f"\n{n:,} samples, {'two pictures each' if pictured else 'no pictures'}")
            for label, figures in found.items():
                print(f"  {label:<13}", ", ".join(f"{name} {value:,.1f}" for name, value in figures.items()))
        browser.close()


if __name__ == "__main__":
    main()
