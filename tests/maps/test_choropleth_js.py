"""The map of countries: its figures against Python, its classes, what it says on hover and as a table."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from geor1.evaluation.resampling import median
from geor1.evaluation.statistics import wilson_interval
from geor1.maps.outlines import natural_earth

TABLE = "(given) => geor1.countryTable(geor1.data, geor1.state.shown, given)"


def square(name, west):
    ring = [[west, 0.0], [west + 15, 0.0], [west + 15, 20.0], [west, 20.0], [west, 0.0]]
    geometry = {"type": "Polygon", "coordinates": [ring]}
    return {"type": "Feature", "properties": {"kind": "country", "name": name}, "geometry": geometry}


@pytest.fixture
def shapes():
    """A square for each country but Malta; land, and a country without samples."""
    names = ["Chad", "Sudan", "Peru", "Japan", "Fiji", "Atlantis"]
    land = {**square("", -170.0), "properties": {"kind": "land"}}
    features = [land, *(square(name, 20.0 * k - 60) for k, name in enumerate(names))]
    return {"type": "FeatureCollection", "features": features}


@pytest.fixture
def few():
    """Keep only three scored rows of Chad."""

    def thin(columns):
        chad = np.flatnonzero((columns["country"][1] == 1) & (columns["task"][1] == 0))
        keep = np.ones(len(columns["model"][1]), bool)
        keep[chad[3:]] = False
        columns = {name: (kind, v[keep] if len(v) == len(keep) else v) for name, (kind, v) in columns.items()}
        return columns | {"rank": ("u32", np.arange(keep.sum()))}

    return thin


def shown_errors(columns, country):
    km = np.asarray(columns["km"][1], np.float32).astype(float)
    mask = (columns["task"][1] == 0) & (columns["country"][1] == country) & np.isfinite(columns["tlat"][1])
    return np.sort(np.where(np.isnan(km[mask]), math.inf, km[mask]))


def test_country_figures_equal_those_of_python(component_page, made_up, shapes):
    columns, tables, header = made_up()
    page = component_page(columns, tables, header, shapes=shapes)
    medians = page.evaluate(TABLE, {"task": 0, "metric": "median", "threshold": 200})
    shares = page.evaluate(TABLE, {"task": 0, "metric": "accuracy", "threshold": 200})
    assert [entry["name"] for entry in medians] == tables["country"][1:]  # "unknown" has no scored row
    for middle, share in zip(medians, shares, strict=True):
        errors = shown_errors(columns, middle["country"])
        n, within, rank = len(errors), int((errors <= 200).sum()), int(stats.binom.ppf(0.025, len(errors), 0.5))
        assert (middle["n"], share["n"]) == (n, n) and middle["value"] == median(errors)
        assert (middle["low"], middle["high"]) == (errors[rank - 1], errors[n - rank])
        expected = wilson_interval(within, n)
        found = [share[name] for name in ("value", "low", "high")]
        assert found == pytest.approx([within / n, expected.low, expected.high], abs=1e-9)
    page.evaluate("geor1.state.set({task: 1, rotation: -1})")
    for entry in page.evaluate(TABLE, {"task": 1, "metric": "accuracy", "threshold": 200}):
        mask = (columns["task"][1] == 1) & (columns["country"][1] == entry["country"])
        right = int((mask & (columns["outcome"][1] == 0)).sum())
        assert (entry["n"], entry["value"]) == (mask.sum(), right / mask.sum())
        assert entry["high"] == pytest.approx(wilson_interval(right, int(mask.sum())).high, abs=1e-9)


def test_classes_of_error_and_share(component_page, made_up):
    page = component_page(*made_up(20))

    def of(measure, *values):
        script = "([measure, values]) => values.map((value) => geor1.countryClass(geor1.data, measure, value))"
        return page.evaluate(script, [measure, list(values)])

    assert of("median", 0.0, 25, 25.1, 200, 750, 2500, 2501) == [0, 0, 1, 1, 2, 3, 4]
    assert page.evaluate("geor1.countryClass(geor1.data, 'median', Infinity)") == 4
    assert of("share", 1, 0.8, 0.79, 0.6, 0.5, 0.2, 0.19, 0) == [0, 0, 1, 1, 2, 3, 4, 4]


def test_shapes_table_and_notes(component_page, made_up, shapes, few):
    columns, tables, header = made_up()
    columns = few(columns)
    page = component_page(columns, tables, header, shapes=shapes, height=1000)
    assert page.is_hidden(".choropleth-legend") and page.query_selector(".choropleth-country") is None
    page.evaluate("geor1.state.set({view: 'countries'})")
    levels = "nodes => nodes.map((node) => node.getAttribute('class').match(/(few|level)-./)?.[0])"
    classes = page.eval_on_selector_all(".choropleth-country", levels)
    expected = []
    for country in (1, 2, 3, 4, 5):
        errors = shown_errors(columns, country)
        level = sum(median(errors) > limit for limit in (25, 200, 750, 2500))
        expected.append(f"{'few' if len(errors) < 5 else 'level'}-{level}")
    assert classes == [*expected, None] and expected[0].startswith("few")
    styles = "nodes => nodes.map((node) => getComputedStyle(node).fill)"
    fills = page.eval_on_selector_all(".choropleth-country", styles)
    assert "hatch" in fills[0] and fills[1].startswith("rgb") and fills[5] == "rgba(0, 0, 0, 0)"
    text = page.inner_text(".choropleth-legend")
    assert "fewer than 5 samples" in text and "1 without an outline" in text and "over 2,500 km" in text
    page.click(".choropleth-details summary")
    cells = "nodes => nodes.map((row) => [...row.children].map((cell) => cell.textContent))"
    rows = page.eval_on_selector_all(".choropleth-details tr", cells)
    assert len(rows) == 7 and rows[-1][0] == "Chad" and rows[-1][1] == "3" and rows[-1][3] == "no interval: too few"
    worst = max((country for country in range(2, 7)), key=lambda k: median(shown_errors(columns, k)))
    assert rows[1][0] == tables["country"][worst] and rows[1][1] == str(len(shown_errors(columns, worst)))
    page.evaluate("geor1.state.set({view: 'points'})")
    assert page.query_selector(".choropleth-country") is None and page.is_hidden(".choropleth-legend")
    assert page.errors == []


def test_hover_says_country_figure_interval_and_n(component_page, made_up, shapes):
    columns, tables, header = made_up()
    page = component_page(columns, tables, header, shapes=shapes)
    page.evaluate("geor1.state.set({view: 'countries', metric: 'accuracy', threshold: 750})")
    page.hover(".choropleth-country >> nth=1")
    text, errors = page.inner_text(".choropleth-tip"), shown_errors(columns, 2)
    assert "Sudan" in text and f"n = {len(errors)}" in text
    assert f"share within 750 km: {100 * (errors <= 750).mean():.1f} %" in text and "95 %:" in text
    page.hover(".choropleth-country >> nth=5")
    assert "no sample" in page.inner_text(".choropleth-tip >> nth=-1")


def test_click_leaves_the_country_alone_and_once_more_all(component_page, made_up, shapes):
    columns, tables, header = made_up()
    page = component_page(columns, tables, header, shapes=shapes)
    page.evaluate("geor1.state.set({view: 'countries'})")
    excluded, total = "[...geor1.state.get('facet:country')].sort()", page.evaluate("geor1.state.shown.length")
    page.click(".choropleth-country >> nth=2")
    assert page.evaluate(excluded) == [0, 1, 2, 4, 5, 6]
    assert page.evaluate("geor1.state.shown.length") == len(shown_errors(columns, 3))
    page.click(".choropleth-country >> nth=2")
    assert page.evaluate(excluded) == [] and page.evaluate("geor1.state.shown.length") == total
    page.click(".choropleth-details summary")  # the same by keyboard, from the table
    page.focus(".choropleth-details button[data-country='4']")
    page.keyboard.press("Enter")
    assert page.evaluate(excluded) == [0, 1, 2, 3, 5, 6]
    assert page.evaluate("document.activeElement.dataset.country") == "4"


def test_real_outlines_and_dark_ramp(component_page, made_up):
    columns, tables, header = made_up()
    tables["country"] = ["unknown", "Chad", "Sudan", "Peru", "Japan", "Fiji", "Malta"]
    page = component_page(columns, tables, header, shapes=natural_earth(), dark=True)
    page.evaluate("geor1.state.set({view: 'countries'})")
    painted = "nodes => nodes.filter((node) => /level|few/.test(node.getAttribute('class'))).length"
    assert page.eval_on_selector_all(".choropleth-country", painted) == 5  # Malta is too small for these outlines
    ramp = "document.querySelector('.choropleth-legend').style.getPropertyValue('--choropleth-4')"
    dark = page.evaluate(ramp)
    page.evaluate("geor1.state.set({theme: 'light'})")
    assert page.evaluate(ramp) != dark and page.errors == []


def test_repaint_of_hundred_thousand_rows(component_page, made_up):
    columns, tables, header = made_up(17_000)
    page = component_page(columns, tables, header, shapes=natural_earth())
    timing = """() => {
        geor1.state.set({view: "countries"});
        const times = [], now = () => performance.now();
        for (let k = 0; k < 20; k++) {
            const start = now();
            geor1.parts.choropleth.update(new Set(["rows"]));
            times.push(now() - start);
        }
        return times.sort((a, b) => a - b)[10];
    }"""
    assert page.evaluate(timing) < 60
