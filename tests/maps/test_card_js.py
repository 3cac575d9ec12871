"""The card in a browser: pictures with the right and the chosen tile, facts marked, words for failures, siblings."""

from __future__ import annotations

import base64
import io
import re

import pytest
from component_page import HOSTILE, row, write_page
from PIL import Image

from geor1.answers import ParseFailure
from geor1.asking.backends import REFUSED, RequestFailure
from geor1.maps.frame import asset

CARD = "const card = geor1.makeCard(root, data, state); window.card = card; follow(card)"
TEXT = "<think>Dry land, palms.\nLeft-hand traffic.</think>\n<answer> B </answer>"


def png(width: int, height: int, colour: tuple[int, int, int]) -> str:
    file = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


THUMBS = [png(400, 100, (60, 110, 160)), *(png(176, 176, (50 * k, 120, 90)) for k in range(1, 5))]


@pytest.fixture
def opened(tmp_path, open_page):
    def run(rows, select: int = 0, **options):
        size = {name: options.pop(name) for name in ("width", "height", "dark") if name in options}
        page = open_page(
            write_page(tmp_path / "parts.html", rows, CARD, scripts=("card.js",), thumbs=THUMBS, **options), **size
        )
        page.wait_for_selector("body[data-ready]")
        page.evaluate(f"state.set({{ selected: {select} }})")
        assert page.errors == []
        return page

    return run


def question(choice="A", answer="B", **fields):
    pictures = [("ground", "", 0), *(("tile", letter, k + 1 if k < 3 else -1) for k, letter in enumerate("ABCD"))]
    return row(**({"choice": choice, "answer": answer, "pictures": pictures, "text": TEXT, "item": "q1"} | fields))


def texts(page, selector: str) -> list[str]:
    return page.locator(selector).all_text_contents()


def details(page) -> dict[str, str]:
    return dict(zip(texts(page, ".card-details dt"), texts(page, ".card-details dd"), strict=True))


def test_it_stays_hidden_until_a_sample_is_selected(opened):
    page = opened([row()], select=-1)
    assert page.locator("main").is_hidden()
    page.evaluate("state.set({ selected: 0 })")
    assert page.locator("main").is_visible()
    page.click(".card-bar .card-close")
    assert page.evaluate("state.get('selected')") == -1 and page.locator("main").is_hidden()


def test_truth_prediction_distance_rewards_and_length(opened):
    rewards = {"accuracy": 0.25, "cost": -0.5}
    place = {"place": "Faya, Chad", "guess": (-33.9, 151.2), "guessed": "Sydney, Australia"}
    asked = {"model": "sft", "item": "photo-9", "condition": "blind", "sample": 2}
    page = opened([row(**place, **asked, rewards=rewards, tokens=120, finished=False, text="x")])
    distance = page.evaluate("geor1.kilometres(data.col.km[0])")
    assert details(page) == {
        "truth": "Faya, Chad 10.000° N, 20.000° E", "answer": "Sydney, Australia 33.900° S, 151.200° E",
        "distance": distance,
        "length": "120 tokens, cut at the limit",
    }  # fmt: skip
    assert page.text_content(".card-model") == "sft" and page.text_content(".card-verdict") == f"{distance} off"
    assert page.text_content(".card-item") == "photo-9 · blind · sample 2"
    assert [text.split() for text in page.locator(".card-rewards tr").all_inner_texts()] == [
        ["accuracy", "0.25"],
        ["cost", "-0.5"],
        ["sum", "-0.25"],
    ]
    bars = page.evaluate(
        "[...document.querySelectorAll('.card-fill')]"
        ".map((bar) => [bar.style.marginLeft, bar.style.width].map(parseFloat))"
    )
    assert bars == [
        pytest.approx([100 / 3, 100 / 6], abs=1e-3),
        pytest.approx([0, 100 / 3], abs=1e-3),
    ]  # from -0.5 to 1


@pytest.mark.parametrize(
    ("choice", "answer", "captions", "verdict"),
    [
        ("A", "B", ["A ✗ chosen", "B ✓ right", "C", "D"], "✗ chose A, right is B"),
        ("B", "B", ["A", "B ✓ right, chosen", "C", "D"], "✓ B is right"),
        (None, "D", ["A", "B", "C", "D ✓ right"], "unusable"),
    ],
)
def test_tiles_say_which_is_right_and_which_was_chosen(opened, choice, answer, captions, verdict):
    page = opened([question(choice, answer, status="ok" if choice else "hedged")])
    assert texts(page, ".card-tiles figcaption") == captions and page.text_content(".card-verdict") == verdict
    assert page.locator(".card-figure.ground img").count() == 1 and page.locator(".card-tiles img").count() == 3
    assert page.text_content(".card-absent") == "not embedded"
    outline = "(selector) => { const node = document.querySelector(selector);"
    outline += " return node && getComputedStyle(node).outlineStyle; }"
    right = ".card-figure.right .card-enlarge, .card-figure.right .card-absent"
    assert page.evaluate(outline, right) == "solid"
    wrong = page.evaluate(outline, ".card-figure.chosen:not(.right) .card-enlarge")
    assert wrong == ("dashed" if choice == "A" else None)
    assert page.evaluate(
        "[...document.querySelectorAll('.card-pictures img')]"
        ".every((image) => image.complete && image.naturalWidth > 0)"
    )


def test_a_picture_enlarges_and_escape_closes_only_it(opened):
    page = opened([question()])
    page.evaluate(
        "document.addEventListener('keydown', (event) => { if (event.key === 'Escape') state.set({ selected: -1 }); })"
    )
    page.click(".card-figure.right button")
    assert page.locator("dialog").is_visible() and page.text_content("dialog p") == "tile B, right (3 of 4, ← →)"
    page.keyboard.press("ArrowLeft")
    assert page.text_content("dialog p") == "tile A, chosen (2 of 4, ← →)"
    page.keyboard.press("Escape")
    assert page.locator("dialog").is_hidden() and page.evaluate("state.get('selected')") == 0
    page.keyboard.press("Escape")
    assert page.evaluate("state.get('selected')") == -1


def test_parts_and_stated_facts_are_marked_in_the_text(opened):
    begin, other = TEXT.index("palms"), TEXT.index("Left-hand traffic")
    marks = [(other, other + 17, 0), (begin, begin + 5, 1)]
    page = opened([question(facts=(5, 6), marks=marks)])
    assert page.text_content(".card-facts").startswith("5 of 6 stated facts are true")
    assert texts(page, ".card-text mark.true") == ["palms"] and texts(page, ".card-text mark.false") == [
        "Left-hand traffic"
    ]
    glyph = "(selector) => getComputedStyle(document.querySelector(selector), '::after').content"
    assert (
        page.evaluate(glyph, ".card-text mark.true") == '"✓"' and page.evaluate(glyph, ".card-text mark.false") == '"✗"'
    )
    assert texts(page, ".card-part.think") == ["<think>Dry land, palms.\nLeft-hand traffic.</think>"]
    assert texts(page, ".card-part.answer") == ["<answer> B </answer>"] and texts(page, ".card-label") == [
        "reasoning",
        "answer",
    ]


def test_marks_count_utf16_units_and_cross_parts(opened):
    text = "<think>🌴🌴 palms</think> and <answer>x</answer>"
    begin = text.index("palms") + 2  # two characters outside the basic plane before it
    page = opened([row(text=text, facts=(1, 2), marks=[(begin, begin + 5, 1), (begin + 5, begin + 14, 0)])])
    assert texts(page, ".card-text mark") == ["palms", "</think>", " "]
    assert "".join(texts(page, ".card-part")) == text


@pytest.mark.parametrize(
    ("marks", "expected"),
    [
        ([(0, 3, 1), (2, 5, 0)], ["abc"]),
        ([(4, 4, 1), (5, 2, 1), (3, 9999, 0)], []),
        ([(6, 7, 1), (0, 1, 0)], ["a", "g"]),
    ],
)
def test_marks_that_overlap_or_lie_outside_never_lose_text(opened, marks, expected):
    page = opened([row(text="abcdefg", facts=(1, 2), marks=marks)])
    assert texts(page, ".card-text mark") == expected and page.text_content(".card-part") == "abcdefg"


@pytest.mark.parametrize(
    "text",
    [
        "no tags at all",
        "<think>never closed",
        "a</think>b</answer>c",
        "<answer><answer>x</answer></think>",
        "<think>" * 3000,
        "<THINK >a</ think>b<answer",
    ],
)
def test_the_parts_are_the_whole_text(opened, text):
    page = opened([row()])
    parts = page.evaluate("(text) => geor1.parts(text)", text)
    assert "".join(text[part["begin"] : part["end"]] for part in parts) == text
    assert len(parts) <= 401


def test_an_empty_completion_is_said(opened):
    page = opened([row(text="", guess=None, status="empty")])
    assert page.text_content(".card-completion") == "Empty completion: the model generated nothing."
    assert page.text_content(".card-failure") == (
        "Unusable: nothing was generated, or the <answer> block is empty. "
        "It counts as wrong, at an infinite distance. empty"
    )
    assert details(page)["answer"] == "no position" and details(page)["distance"] == "unknown"


def test_every_reason_of_the_package_has_words(opened):
    page = opened([row()])
    statuses = [*map(str, ParseFailure), *map(str, RequestFailure), REFUSED]
    words = page.evaluate("(statuses) => statuses.map(geor1.reason)", statuses)
    assert all(
        " " in text and text != status.replace("_", " ") for text, status in zip(words, statuses, strict=True)
    ), words
    assert page.evaluate("[geor1.reason('own_reason'), geor1.reason('constructor')]") == ["own reason", "constructor"]


def test_previous_and_next_follow_the_table(opened):
    page = opened([row(item=f"photo-{k}", guess=(10.0, 21.0 + 10 * k)) for k in range(12)], select=11)
    assert page.text_content(".card-position") == "1 of 12"
    page.click(".card-step >> nth=1")
    assert page.text_content(".card-position") == "2 of 12" and page.evaluate("state.get('selected')") == 10
    page.click(".card-step >> nth=0")
    page.click(".card-step >> nth=0")
    assert page.text_content(".card-position") == "12 of 12", "round the ends"
    page.evaluate("state.set({ kmMin: 5000 })")
    assert re.fullmatch(r"not among the \d listed", page.text_content(".card-position"))
    page.click(".card-step >> nth=1")
    assert page.text_content(".card-position").startswith("1 of ")


def test_the_same_item_elsewhere_is_one_click_away(opened):
    rows = [question(model="base"), question("B", model="sft"), question(None, model="grpo", status="hedged"),
            question("C", "C", model="base", rotation=1), question(item="q2", model="sft")]  # fmt: skip
    page = opened(rows)
    assert page.text_content(".card-others h3") == "Same item, other answers (3)"
    assert texts(page, ".card-sibling") == ["sft✓ B is right", "grpounusable", "base · rotation 1✓ C is right"]
    page.click(".card-sibling >> nth=2")
    assert page.evaluate("state.get('selected')") == 3 and "rotation 1" in page.text_content(".card-item")


def test_many_siblings_are_folded(opened):
    page = opened([question(sample=k) for k in range(64)])
    assert page.locator(".card-sibling").count() == 12
    page.click("text=show 51 more")
    assert page.locator(".card-sibling").count() == 63 and page.locator(".card-more").count() == 0


def test_hostile_strings_are_shown_and_do_nothing(opened):
    names = ("item", "model", "place", "guessed", "text", "status", "condition")
    rows = [row(**dict.fromkeys(names, text), rewards={text: 0.5}, facts=(1, 1),
                marks=[(0, 5, 1)], sample=k) for k, text in enumerate(HOSTILE)]  # fmt: skip
    page = opened(rows, thumb_type='image/png" onerror="window.hurt=1')
    for k, text in enumerate(HOSTILE):
        page.evaluate(f"state.set({{ selected: {k} }})")
        shown = "".join(texts(page, ".card-part"))
        assert shown == page.evaluate(f"data.text({k})") and shown.replace("\ufffd", "") == re.sub(
            "[\ud800-\udfff]", "", text
        )
        assert page.locator("main script, main svg, main .card-body img").count() == 0
    assert page.evaluate("window.hurt === undefined")
    assert page.errors == [] and page.requests == []


def test_text_of_the_other_direction_is_isolated(opened):
    page = opened([row(text="\u202eabc", model="\u05d0", item="\u202ex")])
    assert page.evaluate("getComputedStyle(document.querySelector('.card-part')).unicodeBidi") in (
        "isolate",
        "plaintext",
    )
    assert page.locator(".card-model bdi").count() == 1 and page.locator(".card-item bdi").count() >= 1


def test_a_megabyte_of_text_scrolls_inside_the_card(opened):
    page = opened(
        [row(text="<think>" + "word " * 200_000 + "</think>"), row(text="x" * 1_000_000)], width=390, height=700
    )
    for k in (0, 1):
        page.evaluate(f"state.set({{ selected: {k} }})")
        assert page.evaluate("document.querySelector('.card-text').clientHeight") <= 300
        assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_the_assets_never_parse_markup():
    for name in ("table.js", "card.js", "words.js", "order.js", "search.js", "export.js", "link.js"):
        code = re.sub(r"/\*.*?\*/|//[^\n]*", "", asset(name), flags=re.DOTALL)
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|bute\(\"on|DOMParser",
            code,
        ), name
        assert asset(name).startswith('"use strict";') and asset(name).count("\n") <= 400
        assert max(map(len, asset(name).splitlines())) <= 180
