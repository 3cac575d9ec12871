"""The rollout page in a browser, offline: slider, groups, keys, link; its counts are Python's."""

from __future__ import annotations

import pytest

from geor1.maps.rollout_log import Rollout, to_groups
from geor1.maps.rollouts import Limits, build_rollout_map, save_rollout_map
from geor1.records import Candidate, Question

LETTERS = {1: ("ABCA", "AAAA"), 5: ("BBBB", "ABBB"), 9: ("AAAA", "AAAA"), 12: ("CCCC", "BACA")}  # right: A
SLIDE = """(k) => {
  const slider = document.querySelector(".track input");
  slider.value = String(k);
  slider.dispatchEvent(new Event("input"));
}"""
SPOT = """([lat, lon]) => {
  const point = map_inspector.latLngToContainerPoint([lat, lon]);
  const area = map_inspector.getContainer().getBoundingClientRect();
  return [point.x + area.left, point.y + area.top];
}"""
HOSTILE = "</pre><img src=x onerror=\"document.title='pwned'\"><script>document.title='pwned'</script>"


def rollouts_of(letters=None, **fields):
    found = []
    for step, groups in (letters or LETTERS).items():
        for place, named in enumerate(groups):
            right = [letter == "A" for letter in named]
            for letter, good in zip(named, right, strict=True):
                values = {
                    "step": step, "question_id": f"q{step}-{place}", "answer": "A",
                    "images": ("images/g.png", "images/a.png", "images/b.png", "images/c.png"),
                    "completion": f"<think> step {step} </think> <answer> {letter} </answer>",
                    "rewards": {"accuracy": float(good), "format": 1.0, "length": -0.5},
                    "advantage": good - sum(right) / len(right),
                }  # fmt: skip
                found.append(Rollout(**(values | fields)))
    return found


def questions():
    tiles = tuple(Candidate(letter=x, pair_id=x, satellite_image=f"images/{x.lower()}.png") for x in "ABC")
    return [
        Question(
            question_id=f"q{step}-{place}", pair_id="p", source="world", split="train", ground_image="images/g.png",
            candidates=tiles, answer="A", latitude_deg=5.0 * step, longitude_deg=10.0 * place, city=f"City {step}",
            country="Chad",
        )
        for step in LETTERS for place in (0, 1)
    ]  # fmt: skip


@pytest.fixture
def opened(tmp_path, outlines, open_page):
    """Write a page, open it and wait until it is ready."""

    def run(rollouts=None, metrics=(), asked=None, fragment="", width=1280, dark=False, **options):
        built = build_rollout_map(
            rollouts_of() if rollouts is None else rollouts, list(metrics), asked, outlines=outlines, **options
        )
        path = save_rollout_map(built, tmp_path / "rollouts.html")
        page = open_page(path, fragment=fragment, width=width, dark=dark)
        page.wait_for_selector("#rollouts-status[data-ready=true]")
        return page

    return run


def status(page):
    return page.evaluate("() => ({ ...document.getElementById('rollouts-status').dataset })")


def shown(page):
    return page.evaluate(
        """() => ({ title: document.querySelector('#rollouts-list-title').textContent,
          groups: [...document.querySelectorAll('#rollouts-list li button')].map((b) => b.textContent),
          current: [...document.querySelectorAll('#rollouts-list button')].findIndex((b) => b.ariaCurrent === 'true'),
          chips: [...document.querySelectorAll('.completion .chip')].map((c) => c.textContent) })"""
    )


def test_the_page_opens_without_errors_or_requests(opened, pictures):
    page = opened(asked=questions(), images_dir=pictures, metrics=[{"step": s, "loss": 0.1 * s} for s in range(1, 13)])
    assert page.errors == [] and page.requests == []
    found = status(page)
    assert (found["steps"], found["groups"], found["errors"]) == ("4", "8", "0")
    assert page.locator(".pictures img").count() == 4 and page.locator(".pictures .tile.right").count() == 1
    assert page.locator(".pictures .tile.right figcaption").text_content() == "A \u2713 right \u00b7 2 of 4"
    assert page.locator(".curve").count() == 7  # total, three terms, tied, length, loss
    assert page.locator("#rollouts-map").get_attribute("data-drawn") == "2"


def test_slider_counts_and_groups_equal_pythons(opened):
    page = opened()
    log = to_groups(rollouts_of())
    for place, step in enumerate(log.steps):
        page.evaluate(SLIDE, place)
        groups = [group for group in log.groups if group.step == step]
        tied = sum(group.tied for group in groups)
        found, view = status(page), shown(page)
        assert (found["step"], found["tied"], found["untied"]) == (str(step), str(tied), str(len(groups) - tied))
        assert view["title"] == f"Step {step}: 2 groups, {tied} tied, {2 - tied} not"
        assert ["tied" in text for text in view["groups"]] == [group.tied for group in groups]
        assert view["chips"] == [f"{c} \u2713 right" if c == "A" else f"{c} \u2717 wrong" for c in groups[0].choices]
    jumps = page.locator(".jumps button").all_text_contents()
    count = {v: sum(g.verdict == v for g in log.groups) for v in ("all wrong", "all right")}
    assert jumps == [f"next tied ({sum(g.tied for g in log.groups)})", f"next all wrong ({count['all wrong']})",
                     f"next all right ({count['all right']})"]  # fmt: skip


def test_keys_step_move_and_find(opened):
    page = opened()
    press = page.keyboard.press
    steps = []
    for key in ("ArrowRight", "ArrowRight", "ArrowLeft", "End", "ArrowRight", "Home"):
        press(key)
        steps.append(status(page)["step"])
    assert steps == ["5", "9", "5", "12", "12", "1"]
    found = []
    for key in ("t", "t", "w", "r", "Shift+R", "j", "k"):
        press(key)
        found.append(int(status(page)["group"]))
    assert found == [1, 2, 6, 1, 5, 6, 5]  # tied 1, 2; all wrong 6; all right 1 round the end, 5 before it; next, back
    press("?")
    assert page.locator("#rollouts-keys").get_attribute("open") is not None
    page.locator(".views select").first.focus()
    press("t")
    assert int(status(page)["group"]) == 5  # a field that has the focus keeps its keys


def test_sorting_by_advantage_and_bars_around_zero(opened):
    page = opened(fragment="#step=12&group=2")
    select = page.locator(".group-head select")
    numbers = "() => [...document.querySelectorAll('.completion strong')].map((n) => n.textContent)"
    assert page.evaluate(numbers) == ["#1", "#2", "#3", "#4"]  # BACA
    select.select_option("high")
    assert page.evaluate(numbers) == ["#2", "#4", "#1", "#3"]
    first = page.locator(".completion").first
    assert first.locator(".bar.advantage.up").count() == 1
    assert first.locator("tr").first.locator(".value").text_content() == "+0.5"
    select.select_option("low")
    assert page.evaluate(numbers) == ["#1", "#3", "#2", "#4"]
    assert page.locator(".completion").first.locator("tr").first.locator(".value").text_content() == "\u22120.5"
    fill = page.evaluate(
        "() => { const s = document.querySelector('.bar.advantage .fill').style; return [s.left, s.width]; }"
    )
    assert [round(float(text.rstrip("%")), 3) for text in fill] == [16.667, 33.333]  # -0.5 of ±0.75


def test_the_link_brings_back_the_view(opened):
    page = opened(fragment="#step=9&group=2&order=low&window=all&theme=dark")
    assert status(page)["step"] == "9" and shown(page)["current"] == 1
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert page.evaluate("location.hash") == "#step=9&group=2&order=low&window=all&theme=dark"
    page.keyboard.press("ArrowRight")
    assert page.evaluate("location.hash") == "#step=12&group=1&order=low&window=all&theme=dark"
    assert page.locator(".views a").get_attribute("href") == page.evaluate("location.hash")
    page.evaluate("() => { location.hash = '#step=6&group=99'; }")
    page.wait_for_selector("#rollouts-status[data-step='5']", timeout=5000)
    assert shown(page)["current"] == 1  # the nearest logged step, its last group
    assert page.errors == []


@pytest.mark.parametrize("fragment", ["#step=x&group=-1", "#group=2", "#step=1e9", "#order=<b>&window=9", "#%%%"])
def test_a_broken_link_shows_some_step(opened, fragment):
    page = opened(fragment=fragment)
    assert page.errors == [] and status(page)["step"] in ("1", "12")


def test_play_walks_to_the_end_and_pauses(opened):
    page = opened(fragment="#step=9")
    page.keyboard.press("p")
    page.wait_for_selector("#rollouts-status[data-step='12']", timeout=5000)
    page.wait_for_selector(".player[aria-pressed='false']", timeout=5000)


def test_a_click_on_a_curve_jumps_to_the_nearest_logged_step(opened):
    page = opened(metrics=[{"step": s, "loss": float(s)} for s in range(1, 13)])
    box = page.locator(".curve-loss svg").bounding_box()
    page.mouse.click(box["x"] + 0.73 * box["width"], box["y"] + 10)
    assert status(page)["step"] == "9"
    assert page.locator(".curve-loss output").text_content() == "9"


def test_moving_means_are_pythons(opened):
    page = opened()
    assert page.evaluate("Array.from(geor1.movingMean(Float32Array.from([1, 3, 5, 9]), 2))") == [1, 2, 4, 7]


def test_the_map_shows_the_groups_of_a_window_of_steps(opened):
    page = opened(asked=questions())
    drawn = "document.getElementById('rollouts-map').dataset.drawn"
    counts = [page.evaluate(drawn)]
    for window in ("5", "all"):
        page.locator(".views select").first.select_option(window)
        counts.append(page.evaluate(drawn))
    assert counts == ["2", "6", "8"]
    point = page.evaluate(SPOT, [45, 10])
    page.mouse.click(*point)
    assert (status(page)["step"], status(page)["group"]) == ("9", "5")


def test_without_places_the_page_says_why_there_is_no_map(opened):
    page = opened()
    assert page.locator(".leaflet-container").count() == 0
    assert "without the questions of the run of 01" in page.locator("#rollouts-map").text_content()
    page = opened(asked=[])
    assert page.errors == []


def test_hostile_text_stays_text(opened):
    rollouts = rollouts_of({1: ("AB", "AA")}, completion=HOSTILE, question_id=HOSTILE, rewards={HOSTILE: 1.0})
    page = opened(rollouts, title=HOSTILE, metrics=[{"step": 1, "rewards/<b>x/mean": 1.0}])
    assert page.errors == [] and page.requests == []
    assert page.title() == HOSTILE and page.locator("#rollouts h1").text_content() == HOSTILE
    assert page.locator("#rollouts img, #rollouts b, #rollouts script").count() == 0
    assert page.locator(".completion .text").first.text_content() == HOSTILE


def test_left_out_texts_are_told_and_the_way_to_the_nearest(opened):
    page = opened(limits=Limits(text_bytes=700), fragment="#step=5")
    assert "texts left out" in page.locator("#rollouts-notes").text_content()
    assert "Text not in the page" in page.locator(".completion").first.text_content()
    page.locator(".to-texts").click()
    assert status(page)["step"] in ("1", "12") and page.locator(".completion .text").count() == 4
    page = opened(limits=Limits(completions=8), fragment="#step=5")
    assert shown(page)["title"] == "Step 5: 2 groups, 1 tied, 1 not" and shown(page)["groups"] == []
    assert page.errors == []


def test_no_rollouts_at_all(opened):
    page = opened([], metrics=[{"step": 1, "loss": 1.0}])
    assert page.errors == [] and "No rollouts" in page.locator("#rollouts-list-title").text_content()
    page.keyboard.press("ArrowRight")
    assert page.errors == []


@pytest.mark.parametrize("width, dark", [(390, False), (390, True), (1280, True)])
def test_it_fits_a_phone_and_the_dark(opened, pictures, width, dark):
    page = opened(asked=questions(), images_dir=pictures, width=width, dark=dark)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert page.evaluate("document.documentElement.dataset.theme") == ("dark" if dark else "light")
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(int(part) for part in paper[4:-1].split(",")) < 200) == dark
