"""The table and the search box, in a browser: order, keys, only the rows in sight, and nothing hostile that acts."""

from __future__ import annotations

import pytest
from component_page import HOSTILE, row, until, write_page

TABLE = "const table = geor1.makeTable(root, data, state); window.table = table; follow(table)"
SHOWN = "[...document.querySelectorAll('tr[data-at]')]"


@pytest.fixture
def opened(tmp_path, open_page):
    def run(rows, script: str = TABLE, **options):
        size = {name: options.pop(name) for name in ("width", "height", "fragment") if name in options}
        page = open_page(write_page(tmp_path / "parts.html", rows, script, scripts=("table.js",), **options), **size)
        page.wait_for_selector("body[data-ready]")
        assert page.errors == []
        return page

    return run


@pytest.fixture
def three():
    return [
        row(item="near", guess=(10.0, 20.5), model="sft", tokens=9, rewards={"accuracy": 0.9, "format": 1.0}),
        row(item="lost", guess=None, status="no_coordinates", place="Faya, Chad", rewards={"accuracy": 0.0}),
        row(item="far", guess=(-10.0, -160.0), guessed="Apia, Samoa", tokens=300, finished=False, facts=(1, 2)),
    ]


def cells(page, at: int) -> list[str]:
    return page.evaluate(f"[...{SHOWN}[{at}].cells].map((cell) => cell.textContent)")


def column(page, name: str) -> list[str]:
    return page.evaluate(
        "(name) => { const heads = [...document.querySelectorAll('th')];"
        " const at = heads.findIndex((th) => th.textContent.startsWith(name));"
        f" return {SHOWN}.map((tr) => tr.cells[at].textContent); }}", name
    )  # fmt: skip


def test_a_row_says_who_answered_what_and_how_far_off(opened, three):
    page = opened(three)
    heads = page.evaluate("[...document.querySelectorAll('th bdi')].map((node) => node.textContent)")
    assert heads == [
        "#", "model", "item", "true place", "answer", "error km", "facts true", "reward", "accuracy",
        "format", "tokens", "status",
    ]  # fmt: skip
    distance = page.evaluate("data.col.km[2].toLocaleString('en-GB', {maximumFractionDigits: 0})")
    assert cells(page, 0) == [
        "1", "grpo", "far", "10.000° N, 20.000° E", "Apia, Samoa", distance, "1 / 2", "–", "–", "–", "✂ 300", "ok",
    ]  # fmt: skip
    assert (
        cells(page, 1)[2:5] == ["near", "10.000° N, 20.000° E", "10.000° N, 20.500° E"] and cells(page, 1)[7] == "1.900"
    )
    assert cells(page, 2)[3:6] == ["Faya, Chad", "no position", "–"] and cells(page, 2)[-1] == "no coordinates"
    assert page.text_content(".table-count") == "3 samples, worst first"


def test_pairing_shows_letters_and_outcomes(opened):
    rows = [row(item="a", choice="C", answer="B"), row(item="b", choice="B", answer="B", rotation=1),
            row(item="c", answer="D", status="hedged")]  # fmt: skip
    page = opened(rows)
    page.evaluate("state.set({ rotation: -1 })")
    assert [cells(page, at)[2:6] for at in range(3)] == [
        ["a r0", "10.000° N, 20.000° E", "C / B", "✗ wrong"],
        ["c r0", "10.000° N, 20.000° E", "– / D", "– unusable"],
        ["b r1", "10.000° N, 20.000° E", "B / B", "✓ right"],
    ]
    assert page.locator("th", has_text="error km").count() == 0


def test_a_comparison_says_who_did_better(opened, three):
    pairs = "geor1.pairUp = () => ({ partner: Int32Array.of(1, -1, 0, -1), verdicts: Uint8Array.of(1, 0, 2, 0) });"
    page = opened([*three, row(item="near", model="sft")], pairs + TABLE)
    page.evaluate("state.set({ compare: [1, 0] })")
    assert column(page, "against") == ["▼ worse"] and page.is_disabled("th:has-text('against sft') button")
    page.evaluate("state.set({ compare: [0, 1] })")
    assert column(page, "against grpo") == ["▲ better"]
    page.evaluate("state.set({ compare: null })")
    assert page.locator("th:has-text('against')").count() == 0


def test_headers_sort_and_rows_without_a_value_stay_last(opened, three):
    page = opened(three)
    assert column(page, "item") == ["far", "near", "lost"]
    assert page.get_attribute("th:has-text('#')", "aria-sort") == "ascending"
    page.click("th:has-text('tokens') button")
    assert column(page, "tokens") == ["✂ 300", "9", "–"]
    assert page.get_attribute("th:has-text('tokens')", "aria-sort") == "descending"
    assert page.get_attribute("th:has-text('#')", "aria-sort") == "none"
    page.click("th:has-text('tokens') button")
    assert (
        column(page, "tokens") == ["9", "✂ 300", "–"] and page.text_content("th:has-text('tokens') .table-arrow") == "▲"
    )
    page.click("th:has-text('error km') button")
    assert column(page, "item") == ["far", "near", "lost"] and page.text_content(".table-count").endswith(
        ", by error km"
    )


def test_items_sort_as_people_count(opened):
    page = opened([row(item=item) for item in ("photo-10", "photo-9", "Photo-100", "phôto-1")])
    page.click("th:has-text('item') button")
    assert column(page, "item") == ["phôto-1", "photo-9", "photo-10", "Photo-100"]


def test_every_order_holds_every_row_once_and_agrees_with_a_plain_sort(opened):
    rows = [row(item=f"i{k % 7}", model="ab"[k % 2], guess=(k % 50, k) if k % 5 else None, tokens=k % 4 or None,
                facts=(k % 3, k % 4), rewards={"r": k % 6 - 2.0} if k % 3 else {}) for k in range(120)]  # fmt: skip
    page = opened(rows)
    faults = page.evaluate(
        """() => { const faults = [], value = {
            km: (i) => data.number("km", i), tokens: (i) => data.row(i).tokens, rank: (i) => data.col.rank[i],
            "reward:0": (i) => data.number("reward:0", i), reward: (i) => data.rewards(i)[0]?.value ?? null,
            facts: (i) => data.row(i).factsStated ? data.row(i).factsTrue / data.row(i).factsStated : null };
          for (const [name, of] of Object.entries(value)) for (const down of [false, true]) {
            const expected = [...Array(data.n).keys()].sort((a, b) => {
              const x = of(a), y = of(b);
              if ((x === null) !== (y === null)) return x === null ? 1 : -1;
              return (x === y ? 0 : (down ? -1 : 1) * (x - y)) || data.col.rank[a] - data.col.rank[b];
            });
            if (String(expected) !== String([...geor1.sortedRows(data, name, down)])) faults.push(name + down);
          } return faults; }"""
    )  # fmt: skip
    assert faults == []
    assert page.evaluate(
        "geor1.sortable(data, 'km') && !geor1.sortable(data, 'reward:7') && !geor1.sortable(data, '__proto__')"
    )
    with pytest.raises(Exception, match="expected a column of the table"):
        page.evaluate("geor1.sortedRows(data, 'constructor', false)")


def test_click_enter_and_arrow_keys_choose_rows(opened):
    page = opened([row(item=f"photo-{k}", guess=(10.0, 21.0 + k)) for k in range(200)], height=500)
    selected = "state.get('selected')"
    page.focus("table")
    page.keyboard.press("ArrowDown")
    assert page.evaluate(selected) == -1, "moving alone opens nothing"
    page.keyboard.press("Enter")
    order = page.evaluate("[...geor1.tableOrder(data, state)]")
    assert page.evaluate(selected) == order[1]
    page.keyboard.press("ArrowDown")
    assert page.evaluate(selected) == order[2], "an open card follows"
    page.keyboard.press("End")
    assert page.evaluate(selected) == order[199]
    assert page.evaluate(
        """() => { const box = table.scroll.getBoundingClientRect();
          const row = document.querySelector('tr[aria-selected=true]').getBoundingClientRect();
          return row.bottom <= box.bottom + 1 && row.top >= box.top + 27; }"""
    )
    active = page.get_attribute("table", "aria-activedescendant")
    assert (
        page.get_attribute(f"#{active}", "aria-rowindex") == "201"
        and page.get_attribute("table", "aria-rowcount") == "201"
    )
    page.keyboard.press("Home")
    page.click("tr[data-at='3'] td:nth-child(3)")
    assert page.evaluate(selected) == order[3]
    assert page.evaluate("document.querySelectorAll('tr.table-selected').length") == 1


def test_a_selection_from_elsewhere_is_brought_into_view(opened):
    page = opened([row(item=f"photo-{k}", guess=(10.0, 21.0 + k)) for k in range(300)], height=500)
    page.evaluate("state.set({ selected: geor1.tableOrder(data, state)[150] })")
    assert page.locator("tr.table-selected").get_attribute("data-at") == "150"
    assert page.locator("tr.table-selected").is_visible()
    page.evaluate("geor1.step(data, state, -1)")
    assert page.locator("tr.table-selected").get_attribute("data-at") == "149"


def test_only_rows_in_sight_exist_and_the_height_is_right(opened):
    page = opened([row(item=f"photo-{k}") for k in range(5000)], height=600)
    assert page.evaluate("document.querySelectorAll('tbody tr').length") < 45
    height = "table.scroll.scrollHeight - table.head.offsetHeight"
    assert page.evaluate(height) == 5000 * 28
    page.evaluate("table.scroll.scrollTop = 70000")
    until(page, "document.querySelector('tr[data-at=\"2500\"]')")
    assert page.evaluate(height) == 5000 * 28
    top = page.evaluate(
        "document.querySelector('tr[data-at=\"2500\"]').getBoundingClientRect().top"
        " - document.querySelector('th').getBoundingClientRect().bottom"
    )
    assert abs(top) < 1


def test_it_draws_nothing_while_hidden_and_catches_up(opened, three):
    page = opened(three)
    page.evaluate("state.set({ tab: 'charts' }); state.set({ kmMin: 1000 })")
    assert len(column(page, "item")) == 3
    page.evaluate("state.set({ tab: 'table' })")
    assert column(page, "item") == ["far"]


def test_search_finds_items_places_and_text(opened):
    rows = [row(item="q1", text="<think>Dunes near a wadi.</think>"), row(item="q2", place="São Paulo, Brazil"),
            row(item="q3", guessed="Zürich, Switzerland", text="Dunes, but no WADI: a lake")]  # fmt: skip
    page = opened(rows)
    find = "(query) => [...geor1.matches(data, query)]"
    for query, expected in [
        ("", [1, 1, 1]), ("  ", [1, 1, 1]), ("q1", [1, 0, 0]), ("sao PAULO", [0, 1, 0]), ("zurich", [0, 0, 1]),
        ("wadi dunes", [1, 0, 1]),
        ('"dunes near"', [1, 0, 0]), ('"a wadi', [1, 0, 0]), ("dunes nowhere", [0, 0, 0]), ("<think>", [1, 0, 0]),
        (".*", [0, 0, 0]),
    ]:  # fmt: skip
        assert page.evaluate(find, query) == expected, query
    page.fill("input[type=search]", "lake")
    until(page, "state.get('search') === 'lake'")
    assert column(page, "item") == ["q3"]
    page.fill("input[type=search]", "nothing of the kind")
    page.keyboard.press("Enter")
    assert page.locator(".table-empty").is_visible() and page.text_content(".table-count") == "0 samples, worst first"
    page.evaluate("state.set({ search: '' })")
    assert page.input_value("input[type=search]") == "" and not page.locator(".table-empty").is_visible()


def test_strings_are_decoded_once(opened):
    page = opened([row(item=f"i{k}", text=f"t{k}") for k in range(500)])
    page.evaluate(
        "window.n = 0; const label = data.label.bind(data); data.label = (...a) => { n++; return label(...a); }; null"
    )
    page.evaluate("geor1.prepareSearch(data)")
    until(page, "n === 1001")  # 500 items, 500 texts, one empty label
    assert page.evaluate("[geor1.matches(data, 't7').length, geor1.matches(data, 't8').length, n]") == [500, 500, 1001]


def test_hostile_strings_are_shown_and_do_nothing(opened):
    rows = [
        row(item=text, model=text, place=text, guessed=text, text=text, status=text, rewards={text: 0.5})
        for text in HOSTILE
    ]
    page = opened([*rows, row(item="x" * 1_000_000, text="y" * 1_000_000)])
    assert page.evaluate("window.hurt === undefined && Object.prototype.polluted === undefined")
    shown = column(page, "item")
    assert HOSTILE[0] in shown and HOSTILE[1] in shown and HOSTILE[-1] in shown
    assert page.evaluate("document.querySelectorAll('main script, main img, main svg').length") == 0
    for text in (HOSTILE[0], HOSTILE[1], "\u202egnp", "NUL \x00"):
        hits = page.evaluate("(query) => geor1.matches(data, query).reduce((sum, hit) => sum + hit, 0)", text)
        assert hits >= 1, text
    heights = page.evaluate(f"{SHOWN}.map((tr) => tr.getBoundingClientRect().height)")
    assert set(heights) == {28}
    assert page.errors == [] and page.requests == []


def test_a_narrow_screen_scrolls_sideways_only_inside_the_table(opened, three):
    page = opened(three, width=390)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.evaluate("table.scroll.scrollWidth > table.scroll.clientWidth")


MANY = (
    """
const blown = 100000 / data.n, old = data.n;
for (const [name, column] of Object.entries(data.col)) if (column.length === old) {
  const next = new column.constructor(100000);
  for (let i = 0; i < 100000; i++) next[i] = column[i % old];
  data.col[name] = next;
}
data.n = 100000;
for (let i = 0; i < data.n; i++) { data.col.km[i] = (i * 7919) % 20000; data.col.rank[i] = (i * 7919) % 100000; }
Object.assign(state, new geor1.State(data));
"""
    + TABLE
)


def test_a_hundred_thousand_rows_follow_a_filter_within_300_ms(opened):
    page = opened([row(item=f"photo-{k}", model="ab"[k % 2], text=f"text {k} " * 8) for k in range(2000)], MANY)
    assert page.text_content(".table-count").startswith("100,000 samples")
    median = page.evaluate(
        """() => { const times = []; geor1.matches(data, "warm");
          for (let k = 0; k < 20; k++) {
            const start = performance.now();
            state.set({ kmMin: 1 + 100 * k, search: "text " + k % 3 });
            document.body.offsetHeight; times.push(performance.now() - start); }
          return times.sort((a, b) => a - b)[10]; }"""
    )
    print(f"filter and search over 100,000 rows: {median:.0f} ms")
    assert median <= 300
    sort = page.evaluate(
        "() => { const start = performance.now(); state.set({ sort: 'km', descending: true });"
        " return performance.now() - start; }"
    )
    print(f"first sort of 100,000 rows: {sort:.0f} ms")
    assert sort <= 1000
