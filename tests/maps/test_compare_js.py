"""Two models against each other on the page: pairs, verdicts and statistics, against Python."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from geor1.evaluation.resampling import median
from geor1.evaluation.statistics import mcnemar_exact

COMPARISON = "geor1.comparison(geor1.data, geor1.state)"


def pairs_of(columns, a, b, task, rotation=None):
    """[(row of a, row of b)] by item, condition, rotation and sample, in the order of a; unknown truth left out."""
    value = {name: np.asarray(columns[name][1]) for name in columns}
    key = lambda i: tuple(int(value[name][i]) for name in ("item", "condition", "rotation", "sample"))  # noqa: E731
    wanted = (value["task"] == task) & (np.isfinite(value["tlat"]) if task == 0 else True)
    wanted &= (value["rotation"] == rotation) if rotation is not None else True
    second = {key(i): i for i in np.flatnonzero(wanted & (value["model"] == b))}
    return [(i, second[key(i)]) for i in np.flatnonzero(wanted & (value["model"] == a)) if key(i) in second]


def error(columns, i):
    km = float(np.float32(columns["km"][1][i]))
    return math.inf if math.isnan(km) else km


def verdict(columns, i, j):
    if columns["task"][1][i] == 1:
        first, second = columns["outcome"][1][i] == 0, columns["outcome"][1][j] == 0
        return 0 if first == second else 1 if first else 2
    first, second = error(columns, i), error(columns, j)
    return 0 if first == second or abs(first - second) < 0.001 else 1 if first < second else 2


@pytest.mark.parametrize(("a", "b"), [(0, 2), (2, 0), (1, 2)])
def test_pairs_and_verdicts(component_page, made_up, a, b):
    columns, tables, header = made_up(120)
    page = component_page(columns, tables, header)
    script = "([a, b]) => { const p = geor1.pairUp(geor1.data, a, b); return [[...p.partner], [...p.verdicts]]; }"
    partner, verdicts = page.evaluate(script, [a, b])
    expected = dict(pairs_of(columns, a, b, 0) + pairs_of(columns, a, b, 1))
    assert {i: j for i, j in enumerate(partner) if j >= 0} == {int(i): int(j) for i, j in expected.items()}
    for i, j in expected.items():
        assert verdicts[i] == verdict(columns, i, j), (i, j)
    assert len(set(expected.values())) == len(expected)
    assert page.evaluate(f"geor1.pairUp(geor1.data, {a}, {b}) === geor1.pairUp(geor1.data, {a}, {b})")


def hand_made(rows):
    """Columns of geolocation rows (model, item, sample, km, known truth)."""
    model, item, sample, km, known = (np.array(values) for values in zip(*rows, strict=True))
    zeros = np.zeros(len(rows))
    columns = dict.fromkeys(("task", "condition", "rotation", "continent", "climate"), ("u8", zeros))
    columns |= dict.fromkeys(("status", "country"), ("u16", zeros)) | {"rank": ("u32", np.arange(len(rows)))}
    columns |= dict.fromkeys(("tlat", "tlon", "plat", "plon"), ("f32", np.where(known, 1.0, np.nan)))
    return columns | {
        "model": ("u16", model), "item": ("u32", item), "sample": ("u16", sample), "km": ("f32", km),
        "outcome": ("u8", np.where(np.isnan(km), 3, 2)), "picset": ("u32", zeros),
        "picset.start": ("u32", np.array([0, 0])), "pic.role": ("u8", np.array([])),
        "reward:0": ("f32", zeros * np.nan), "reward:1": ("f32", zeros * np.nan),
    }  # fmt: skip


def test_ties_misses_duplicates_and_unknown_truth(component_page, made_up):
    none = math.nan
    rows = [
        (0, 0, 0, 5.0, 1), (1, 0, 0, 5.0005, 1),  # half a metre apart: a tie
        (0, 1, 0, 5.0, 1), (1, 1, 0, 5.01, 1),  # ten metres: A
        (0, 2, 0, none, 1), (1, 2, 0, 20000.0, 1),  # any answer beats none: B
        (0, 3, 0, none, 1), (1, 3, 0, none, 1),  # two misses: a tie
        (0, 4, 0, none, 0), (1, 4, 0, none, 0),  # unknown truth: no pair
        (0, 5, 0, 1.0, 1), (1, 5, 1, 2.0, 1),  # another sample: no pair
        (0, 6, 0, 7.0, 1), (0, 6, 0, 8.0, 1), (1, 6, 0, 9.0, 1),  # twice the same: the first has the partner
        (0, 7, 0, 0.0, 1), (1, 7, 0, 0.0, 1),
    ]  # fmt: skip
    _, tables, header = made_up(1)
    page = component_page(hand_made(rows), tables, header)
    page.evaluate("geor1.state.set({compare: [0, 1]})")
    partner, verdicts = page.evaluate("[[...geor1.state.partner], [...geor1.state.verdicts]]")
    found = {i: (j, verdicts[i]) for i, j in enumerate(partner) if j >= 0}
    assert found == {0: (1, 0), 2: (3, 1), 4: (5, 2), 6: (7, 0), 12: (14, 1), 15: (16, 0)}
    assert page.evaluate("geor1.unpaired(geor1.data, geor1.state)") == {"onlyA": 3, "onlyB": 2}  # unknown truth too
    result = page.evaluate(COMPARISON)
    assert [result[name] for name in ("n", "won", "lost", "tied")] == [6, 2, 1, 3]
    assert result["medianA"]["median"] == 6.0 and result["medianB"]["median"] == pytest.approx((5.01 + 9) / 2, abs=1e-6)
    assert page.evaluate("[...geor1.largestDifferences(geor1.data, geor1.state)]") == [4, 12, 2]  # a miss: 20,015 km
    assert page.errors == []


@pytest.mark.parametrize(("task", "rotation"), [(0, 0), (1, 0), (1, -1)])
def test_statistics_of_the_filter_equal_those_of_python(component_page, made_up, task, rotation):
    columns, tables, header = made_up()
    page = component_page(columns, tables, header)
    page.evaluate("(given) => geor1.state.set(given)", {"task": task, "rotation": rotation})
    page.evaluate("geor1.state.set({compare: [0, 2], threshold: 200, 'facet:country': new Set([2, 6])})")
    pairs = pairs_of(columns, 0, 2, task, None if rotation < 0 else rotation)
    pairs = [(i, j) for i, j in pairs if columns["country"][1][i] not in (2, 6)]
    result, verdicts = page.evaluate(COMPARISON), [verdict(columns, i, j) for i, j in pairs]
    won, lost = verdicts.count(1), verdicts.count(2)
    assert [result[name] for name in ("n", "won", "lost", "tied")] == [len(pairs), won, lost, verdicts.count(0)]
    assert result["sign"] == pytest.approx(stats.binomtest(won, won + lost, 0.5).pvalue, rel=1e-9)
    succeeds = lambda i: columns["outcome"][1][i] == 0 if task else error(columns, i) <= 200  # noqa: E731
    first, second = [succeeds(i) for i, _ in pairs], [succeeds(j) for _, j in pairs]
    expected = mcnemar_exact(first, second)
    assert (result["onlyA"], result["onlyB"]) == (expected.first_only, expected.second_only)
    assert result["mcnemar"] == pytest.approx(expected.p_value, rel=1e-9)
    assert result["difference"] == pytest.approx(np.mean(first) - np.mean(second), abs=1e-12)
    assert result["low"] < result["difference"] < result["high"]
    if task == 0:
        for name, side in (("medianA", 0), ("medianB", 1)):
            errors = sorted(error(columns, pair[side]) for pair in pairs)
            rank = int(stats.binom.ppf(0.025, len(errors), 0.5))
            assert result[name] == {"median": median(errors), "low": errors[rank - 1], "high": errors[-rank]}
    shown = page.evaluate("({...document.querySelector('.compare-table').dataset})")
    assert shown["n"] == str(len(pairs)) and shown["won"] == str(won) and shown["onlyA"] == str(expected.first_only)
    assert ("too narrow" in page.inner_text("#compare")) == (rotation < 0)


def test_how_many_only_one_of_the_two_has(component_page, made_up):
    columns, tables, header = made_up()
    page = component_page(columns, tables, header)
    page.evaluate("geor1.state.set({compare: [0, 2]})")
    only_a = 400 - 8 - len(pairs_of(columns, 0, 2, 0)) + 8
    found = page.evaluate("geor1.unpaired(geor1.data, geor1.state)")
    assert found["onlyA"] == only_a and found["onlyB"] == 392 - len(pairs_of(columns, 0, 2, 0))
    assert f"{only_a} answers of base" in page.inner_text("#compare")


def test_largest_differences_and_selection(component_page, made_up):
    columns, tables, header = made_up()
    page = component_page(columns, tables, header)
    page.evaluate("geor1.state.set({compare: [1, 2]})")
    capped = lambda i: min(error(columns, i), np.float64(20015.1))  # noqa: E731
    sizes = {int(i): abs(capped(i) - capped(j)) for i, j in pairs_of(columns, 1, 2, 0) if verdict(columns, i, j)}
    found = page.evaluate("[...geor1.largestDifferences(geor1.data, geor1.state)]")
    assert len(found) == 50 and [sizes[i] for i in found] == sorted(sizes.values(), reverse=True)[:50]
    page.click("#compare .compare-list li:nth-child(3) button")
    assert page.evaluate("geor1.state.get('selected')") == found[2]
    assert page.get_attribute("#compare .compare-list li:nth-child(3) button", "aria-current") == "true"


def test_controls_choose_swap_and_stop(component_page, made_up):
    page = component_page(*made_up(60))
    page.select_option("[data-side=B]", label="grpo")
    assert page.evaluate("geor1.state.get('compare')") == [0, 2]
    before = page.evaluate(COMPARISON)
    page.click(".compare-swap")
    after = page.evaluate(COMPARISON)
    assert page.evaluate("geor1.state.get('compare')") == [2, 0]
    assert (after["won"], after["lost"], after["n"]) == (before["lost"], before["won"], before["n"])
    assert after["difference"] == pytest.approx(-before["difference"])
    assert after["low"] == pytest.approx(-before["high"])
    page.select_option("[data-side=A]", label="base")  # the same twice swaps
    assert page.evaluate("geor1.state.get('compare')") == [0, 2]
    page.select_option("[data-side=threshold]", label="750 km")
    assert page.evaluate("geor1.state.get('threshold')") == 750 and "within 750 km" in page.inner_text("#compare")
    page.click(".compare-toggle")
    assert page.evaluate("geor1.state.get('compare')") is None and "press" in page.inner_text("#compare")
    assert page.get_attribute(".compare-toggle", "aria-pressed") == "false"
    page.keyboard.press("Enter")  # the button has the focus still
    assert page.evaluate("geor1.state.get('compare')") == [0, 2] and page.errors == []


def test_one_model_is_not_compared(component_page, made_up):
    columns, tables, header = made_up(40)
    keep = np.asarray(columns["model"][1]) == 0
    columns = {name: (kind, np.asarray(v)[keep] if len(v) == len(keep) else v) for name, (kind, v) in columns.items()}
    columns["rank"] = ("u32", np.arange(keep.sum()))
    page = component_page(columns, tables | {"model": ["base"]}, header)
    assert "needs two models" in page.inner_text("#compare") and page.query_selector("#compare select") is None


def test_pairing_up_hundred_thousand_rows(component_page, made_up):
    columns, tables, header = made_up(17_000)
    page = component_page(columns, tables, header)
    timing = """() => {
        const now = () => performance.now(), before = now(), times = [];
        geor1.pairUp(geor1.data, 0, 2);
        const paired = now() - before;
        geor1.state.set({compare: [0, 2]});
        for (let k = 0; k < 20; k++) {
            const start = now();
            geor1.parts.compare.update(new Set(["rows"]));
            times.push(now() - start);
        }
        return [geor1.data.n, paired, times.sort((a, b) => a - b)[10]];
    }"""
    rows, paired, update = page.evaluate(timing)
    assert rows > 100_000 and paired < 600 and update < 100, (paired, update)
