"""Base against ours: differences counted by hand, margins, and everything that makes two runs incomparable."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geor1.evaluation.statistics import holm, mcnemar_exact, paired_bootstrap_difference
from geor1.general.retention import DifferentItemsError, format_report, retention
from geor1.general.samples import GeneralSample
from geor1.records import RecordError


def samples(
    scores: Sequence[float], task: str = "mmmu_val", groups: Sequence[str] | None = None, source: str = "base.jsonl"
) -> list[GeneralSample]:
    return [
        GeneralSample(
            suite="lmms-eval", task=task, task_version="1.0", item_id=str(item), asked=f"asked {item}", metric="acc",
            score=float(score), group=groups[item] if groups else None, replied=True,
            source=f"{source} line {item + 1}",
        )
        for item, score in enumerate(scores)
    ]  # fmt: skip


def binary(both: int, base_only: int, ours_only: int, neither: int) -> tuple[list[float], list[float]]:
    base = [1.0] * (both + base_only) + [0.0] * (ours_only + neither)
    ours = [1.0] * both + [0.0] * base_only + [1.0] * ours_only + [0.0] * neither
    return base, ours


def test_counts_by_hand() -> None:
    base, ours = binary(both=400, base_only=23, ours_only=21, neither=356)
    (row,) = retention(samples(base), samples(ours)).rows
    assert (row.n, row.groups, row.base_only, row.ours_only) == (800, 800, 23, 21)
    assert row.base == 423 / 800 and row.ours == 421 / 800 and row.difference == pytest.approx(-2 / 800)
    assert round(row.p_value, 2) == 0.88 and row.p_holm == row.p_value
    # standard error of a paired difference: sqrt(44 - 4/800) / 800
    half = 1.96 * np.sqrt(44 - 4 / 800) / 800
    assert row.low == pytest.approx(-0.0025 - half, abs=1.5e-3) and row.high == pytest.approx(
        -0.0025 + half, abs=1.5e-3
    )
    assert row.verdict == "not shown", "44 discordant of 800 leave 1.9 points open"
    assert retention(samples(base), samples(ours), margin_points=2.5).rows[0].verdict == "non-inferior"


def test_a_loss_beyond_the_margin_is_called_so() -> None:
    base, ours = binary(both=300, base_only=100, ours_only=10, neither=100)
    (row,) = retention(samples(base), samples(ours)).rows
    assert row.verdict == "inferior" and row.high < -0.015 and row.p_value < 1e-10


def test_equal_answers_on_few_items_show_nothing() -> None:
    few = retention(samples([1, 0, 1]), samples([1, 0, 1])).rows[0]
    assert (few.difference, few.p_value, few.verdict) == (0.0, 1.0, "not shown")
    assert few.low == pytest.approx(-(1 - 0.025 ** (1 / 3)))
    many = retention(samples([1, 0] * 150), samples([1, 0] * 150)).rows[0]
    assert many.verdict == "non-inferior" and -0.015 < many.low < 0 < many.high


def test_shares_go_by_the_cluster_bootstrap_and_without_mcnemar() -> None:
    groups = [f"task {item // 4}" for item in range(40)]
    base, ours = [0.5, 0.25, 1.0, 0.0] * 10, [0.5, 0.5, 0.75, 0.0] * 9 + [0.0, 0.0, 0.0, 0.0]
    (row,) = retention(samples(base, groups=groups), samples(ours, groups=groups)).rows
    assert (row.groups, row.base_only, row.ours_only, row.p_value, row.p_holm) == (10, None, None, None, None)
    expected = paired_bootstrap_difference(base, ours, clusters=groups, resamples=10_000)
    assert (row.difference, row.low, row.high) == (expected.estimate, expected.low, expected.high)
    assert row.difference == pytest.approx(-1.75 / 40)


def test_mcnemar_is_not_asked_of_dependent_items() -> None:
    groups = ["a", "a", "b", "c"]
    (row,) = retention(samples([1, 1, 1, 0], groups=groups), samples([0, 0, 1, 0], groups=groups)).rows
    assert (row.base_only, row.ours_only, row.p_value) == (2, 0, None)


def test_holm_over_the_tasks_that_have_a_p_value() -> None:
    tables = {"a": binary(50, 20, 4, 26), "b": binary(50, 9, 8, 33), "c": binary(50, 3, 15, 32)}
    base = [row for task, (scores, _) in tables.items() for row in samples(scores, task)]
    ours = [row for task, (_, scores) in tables.items() for row in samples(scores, task)]
    base += samples([0.5, 0.1], "shares")
    ours += samples([0.4, 0.1], "shares")
    report = retention(base, ours)
    by_hand = [
        mcnemar_exact([True] * x + [False] * y, [False] * x + [True] * y).p_value for x, y in ((20, 4), (9, 8), (3, 15))
    ]
    assert [row.task for row in report.rows] == ["a", "b", "c", "shares"]
    assert [row.p_value for row in report.rows[:3]] == pytest.approx(by_hand)
    assert [row.p_holm for row in report.rows[:3]] == pytest.approx(holm(by_hand)) and report.rows[3].p_holm is None
    assert report.rows[0].p_holm == pytest.approx(3 * min(by_hand))


def test_different_items_are_refused_or_left_out_by_name() -> None:
    base, ours = samples([1, 0, 1, 1]), samples([1, 0, 0, 1, 1], source="ours.jsonl")
    ours[1] = dataclasses.replace(ours[1], asked="other order of options")
    with pytest.raises(DifferentItemsError, match=r"1 items only ours was asked, first '4' \(ours.jsonl line 5\)"):
        retention(base, ours)
    with pytest.raises(
        DifferentItemsError, match=r"1 items the two were asked differently .*first '1' \(base.jsonl line 2\)"
    ):
        retention(base, ours)
    report = retention(base, ours, intersect=True)
    assert report.rows[0].n == 3 and report.rows[0].difference == pytest.approx(-1 / 3)
    assert len(report.notes) == 2 and all(note.endswith("left out") for note in report.notes)
    with pytest.raises(DifferentItemsError, match="no item was asked of both in the same words"):
        retention(base[1:2], ours[1:2], intersect=True)


def test_different_tasks_are_refused_or_left_out_by_name() -> None:
    base = samples([1, 0]) + samples([1, 0], "gpqa")
    with pytest.raises(DifferentItemsError, match=r"gpqa: left out, ours was not asked it.*choose with --tasks"):
        retention(base, samples([1, 0]))
    assert retention(base, samples([1, 0]), intersect=True).notes == ("gpqa: left out, ours was not asked it",)
    assert retention(base, samples([1, 0]), tasks=["mmmu_val"]).notes == ()
    with pytest.raises(ValueError, match=r"no \['mmu'\] in either file; there are \['gpqa', 'mmmu_val'\]"):
        retention(base, base, tasks=["mmu"])
    with pytest.raises(DifferentItemsError, match="no task in common"):
        retention(samples([1], "a"), samples([1], "b"), intersect=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"task_version": "2.0"},
            r"task_version differs, base has '1.0' \(base.jsonl line 2\), ours '2.0' \(o line 2\)",
        ),
        ({"task_version": None}, "task_version differs, base has '1.0'"),
        ({"suite": "vlmevalkit"}, "suite differs"),
        ({"metric": "acc_norm"}, "metric differs"),
    ],
)
def test_other_versions_harnesses_and_scores_are_never_compared(change: dict, message: str) -> None:
    ours = samples([1, 1], source="o")
    ours[1] = dataclasses.replace(ours[1], **change)
    for intersect in (False, True):
        with pytest.raises(DifferentItemsError, match=message):
            retention(samples([1, 1]), ours, intersect=intersect)


def test_senseless_requests() -> None:
    for margin in (0.0, -1.5, 100.0):
        with pytest.raises(ValueError, match="margin: expected the largest tolerated loss"):
            retention(samples([1]), samples([1]), margin_points=margin)
    with pytest.raises(RecordError, match="occurs twice"):
        retention(samples([1]) * 2, samples([1]))


def test_the_table_says_everything() -> None:
    base, ours = binary(both=400, base_only=23, ours_only=21, neither=356)
    after = samples(ours)
    after[-1] = dataclasses.replace(after[-1], replied=False)
    text = format_report(retention(samples(base), after))
    assert "| mmmu_val | 800 | 52.88 | 52.62 | -0.25 [" in text and "| 23 / 21 | 0.8804 | 0.8804 | not shown |" in text
    assert "margin of −1.5 points" in text and "0 of base, 1 of ours" in text
    shares = format_report(retention(samples([0.5, 0.2], groups=["a", "a"]), samples([0.5, 0.1], groups=["a", "a"])))
    assert "| 2 in 1 groups |" in shares and "| – | – | – |" in shares


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=30), st.randoms())
def test_order_does_not_matter_and_roles_swap_the_sign(pairs: list[tuple[int, int]], random: object) -> None:
    base, ours = (samples([pair[side] / 4 for pair in pairs]) for side in (0, 1))
    forth = retention(base, ours, resamples=200).rows[0]
    back = retention(ours, base, resamples=200).rows[0]
    mixed = list(base)
    random.shuffle(mixed)
    assert retention(mixed, ours, resamples=200).rows[0] == forth
    assert back.difference == pytest.approx(-forth.difference) and back.base_only == forth.ours_only
    assert forth.low <= forth.difference + 1e-12 and forth.difference <= forth.high + 1e-12 and forth.low < forth.high
    assert (forth.verdict == "non-inferior") == (forth.low > -0.015)
