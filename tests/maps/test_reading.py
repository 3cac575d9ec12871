"""The page on paper, by keyboard and by link: what a reader meets beyond the map itself."""

from __future__ import annotations

import pytest


def test_print_shows_the_rows_the_filters_and_all_of_the_map_and_gives_the_screen_back(opened, geolocation):
    page = opened([geolocation(item_id=f"p{i}") for i in range(400)], dark=True)
    page.evaluate("geor1.state.set({search: 'p', kmMin: 1}); geor1.page.map.setView([10, 20], 4, {animate: false})")
    view = "[geor1.page.map.getCenter().lat, geor1.page.map.getZoom(), geor1.state.inWindow.length]"
    before = page.evaluate(view)
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    rows = page.locator("#geor1-table tr[data-at]")
    assert rows.count() == 100 and page.locator(".table-spacer").count() == 0
    assert page.inner_text(".table-printed") == "The first 100 of 400; the exported CSV holds all."
    assert page.inner_text("#geor1-filtered") == "Filters: error of at least 1 km; search: p"
    assert page.evaluate("document.documentElement.dataset.theme") == "light"
    assert page.is_hidden(".table-search") and page.is_hidden("#geor1-take")
    page.emulate_media(media="screen")
    page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    page.wait_for_timeout(200)
    assert page.evaluate(view) == pytest.approx(before, abs=0.05)  # within a pixel
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert rows.count() < 100 and page.errors == []


def test_keys_work_wherever_they_have_no_other_use(opened, mixed):
    page = opened(mixed)
    page.click("#geor1-tab-charts")  # the focus stays on the tab
    page.keyboard.press("4")
    assert page.evaluate("geor1.state.get('view')") == "countries"
    page.locator("#geor1-follow").focus()
    page.keyboard.press("j")
    assert page.evaluate("geor1.state.get('selected')") >= 0
    page.locator("#geor1-least").focus()
    page.keyboard.press("ArrowUp")  # moves the slider, not the sample
    assert page.evaluate("geor1.state.get('kmMin')") > 0


def test_a_link_to_a_comparison_opens(opened, mixed, geolocation):
    both = [geolocation(item_id="f1", model="base"), geolocation(item_id="f1", model="sft", guess=(1.0, 2.0))]
    page = opened(both, fragment="#compare=base&compare=sft")
    assert page.errors == [] and page.inner_text("#geor1-status").startswith("1 items compared")


def test_another_condition_brings_a_rotation_that_it_has(opened, pairing):
    turned = [pairing("A", "A", rotation=turn) for turn in range(4)]
    page = opened([*turned, pairing("A", "A", condition="blind", rotation=0)])
    page.evaluate("geor1.state.set({rotation: 2})")
    page.select_option("select[name=condition]", label="blind (1)")
    assert page.evaluate("geor1.state.shown.length") == 1 and page.evaluate("geor1.state.get('rotation')") == 0


def test_a_filter_that_chooses_by_the_answers_is_said(opened, mixed):
    page = opened(mixed)
    assert page.inner_text("#geor1-notes") == ""
    page.evaluate("geor1.state.set({kmMax: 2500})")
    assert "not of the models" in page.inner_text("#geor1-notes")
    page.evaluate("geor1.state.set({kmMax: Infinity, 'facet:country': new Set([0])})")
    assert page.inner_text("#geor1-notes") == ""


def test_on_a_phone_an_open_card_hides_nothing_for_good(opened, mixed):
    page = opened(mixed, width=390, height=800)
    page.evaluate("geor1.state.set({selected: 0}); window.scrollTo(0, document.documentElement.scrollHeight)")
    dock, card = (page.locator(name).bounding_box() for name in ("#geor1-dock", "#geor1-card"))
    assert dock["y"] + dock["height"] <= card["y"] + 1


def test_samples_of_one_place_stay_near_it(opened, pairing):
    page = opened([pairing("A", "B", item_id=f"q{i}") for i in range(200)])
    far = "Math.max(...[...geor1.page.layer.dx].map((x, i) => Math.hypot(x, geor1.page.layer.dy[i])))"
    assert 20 < page.evaluate(far) <= 28
    page.evaluate("geor1.page.map.setView([-33.9, 151.2], 7, {animate: false}); 0")
    assert page.evaluate(far) > 100 and "spread around it" in page.inner_text("#geor1-legend")


def test_several_models_in_one_country_are_said(opened, geolocation):
    page = opened([geolocation(item_id=f"g{i}", model=model) for i in range(6) for model in ("base", "sft")])
    page.evaluate("geor1.state.set({view: 'countries'})")
    assert "2 models together" in page.inner_text("#geor1-legend") and "too narrow" in page.inner_text("#geor1-legend")
    page.evaluate("geor1.state.set({'facet:model': new Set([1])})")
    assert "together" not in page.inner_text("#geor1-legend") and "narrow" not in page.inner_text("#geor1-legend")


def test_escape_in_the_search_empties_it_and_leaves_the_card(opened, mixed):
    page = opened(mixed)
    page.evaluate("geor1.state.set({selected: 0})")
    page.fill(".table-search", "f1")
    page.press(".table-search", "Escape")
    assert page.evaluate("geor1.state.get('selected')") == 0
    page.press(".table-search", "Escape")
    assert page.evaluate("geor1.state.get('selected')") == -1
