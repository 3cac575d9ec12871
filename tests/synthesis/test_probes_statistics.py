"""What the probes stand on: the logit's optimum, split ties, exact tails, how often a clean set sets off an alarm."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import optimize, stats

from geor1.evaluation import statistics as published
from geor1.records import RecordError
from geor1.synthesis.probes.choice import fit, folds_of, hits, logit
from geor1.synthesis.probes.options import PROBES
from geor1.synthesis.probes.sample import groups_of, sample_questions
from geor1.synthesis.probes.trial import Table, judge, trial
from geor1.synthesis.probes.verdict import (
    ALPHA,
    POWER,
    design_effect,
    holm,
    outcome,
    smallest_detectable,
    upper_tail,
    wilson,
)

from .leaky import data_set

NUISANCES = sum(probe.nuisance for probe in PROBES)


# --- the models -------------------------------------------------------------------------------------------------------


def test_logit_reaches_the_optimum() -> None:
    rng = np.random.default_rng(0)
    design, gold = rng.normal(size=(60, 4, 3)), rng.integers(4, size=60)
    present = np.ones((60, 4), dtype=bool)
    present[:20, 3] = False
    gold[:20] %= 3
    design[~present] = 0.0

    def loss(weights: np.ndarray) -> float:
        scores = np.where(present, design @ weights, -np.inf)
        shares = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
        return float(-np.log(shares[np.arange(60), gold]).mean() + 0.05 * weights @ weights)

    best = optimize.minimize(loss, np.zeros(3), tol=1e-10)
    assert logit(design, present, gold, 0.1) == pytest.approx(best.x, abs=2e-3)


def test_two_options_one_column_by_hand() -> None:
    """Option 0 is right in 3 of 4 questions and its column is 1 higher: w solves 1/(1 + e^-w) + 0.01 w = 3/4."""
    design = np.tile([[[1.0], [0.0]]], (400, 1, 1))
    gold = np.repeat([0, 0, 0, 1], 100)
    weight = logit(design, np.ones((400, 2), dtype=bool), gold, 0.01)[0]
    assert 1 / (1 + np.exp(-weight)) + 0.01 * weight == pytest.approx(0.75, abs=1e-3)


def test_hinges_find_what_no_line_can() -> None:
    """The right option is the one whose value is neither high nor low."""
    rng = np.random.default_rng(1)
    values = rng.choice([-3.0, 3.0], size=(400, 5)) + 0.1 * rng.normal(size=(400, 5))
    gold = rng.integers(5, size=400)
    values[np.arange(400), gold] = 0.1 * rng.normal(size=400)
    groups = np.arange(400) // 10
    model = fit(values[:200, :, None], gold[:200], groups[:200], 0)
    assert model.kind == "hinges" and hits(model.scores(values[200:, :, None]), gold[200:]).mean() > 0.95
    straight = fit(values[:200, :, None], gold[:200], groups[:200], 0, bend=False)
    assert hits(straight.scores(values[200:, :, None]), gold[200:]).mean() < 0.5


def test_options_all_alike_leave_exactly_one_in_k() -> None:
    rows = np.repeat(np.random.default_rng(2).normal(size=(40, 1, 2)), 5, axis=1)  # differ between questions only
    table = Table(rows, np.zeros(40, dtype=int), np.arange(40))
    found = trial(table, table)
    assert found.constant and found.accuracy == pytest.approx(0.2) and found.p_value == 1.0


def test_missing_options_are_never_chosen() -> None:
    rng = np.random.default_rng(3)
    rows, gold = rng.normal(size=(120, 4, 2)), rng.integers(2, size=120)
    rows[60:, 2:] = np.nan
    model = fit(rows, gold, np.arange(120), 0)
    assert np.isneginf(model.scores(rows)[60:, 2:]).all()
    found = trial(Table(rows, gold, np.arange(120)), None)
    assert found.chance == pytest.approx((1 / 4 + 1 / 2) / 2)


def test_folds_keep_groups_together() -> None:
    groups = np.repeat(np.arange(11), np.arange(1, 12))
    parts = folds_of(groups, 5)
    assert sum(part.astype(int) for part in parts).tolist() == [1] * len(groups)
    assert all(not set(groups[part]) & set(groups[~part]) for part in parts)
    assert max(part.sum() for part in parts) - min(part.sum() for part in parts) <= 3
    assert trial(Table(np.zeros((9, 3, 1)), np.zeros(9, int), np.zeros(9, int)), None) is None


# --- the judgement ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("k", "n"), [(0, 10), (3, 10), (149, 259), (10, 10), (96, 480)])
def test_interval_tail_and_holm_agree_with_those_of_the_evaluation(k: int, n: int) -> None:
    interval = published.wilson_interval(k, n)
    assert wilson(k / n, n) == pytest.approx((interval.low, interval.high), abs=1e-9)
    assert upper_tail(k, n, 0.2) == pytest.approx(stats.binom.sf(k - 1, n, 0.2), rel=1e-9)
    p_values = [0.2, 0.01, 0.011, k / n]
    assert holm(p_values) == pytest.approx(published.holm(p_values))


@pytest.mark.parametrize("n", [10, 60, 480, 2000])
def test_smallest_detectable_leak_is_found_with_the_power_promised(n: int) -> None:
    accuracy = smallest_detectable(n, 0.2, NUISANCES)
    critical = stats.binom.isf(ALPHA / NUISANCES, n, 0.2) + 1
    assert stats.binom.sf(critical - 1, n, accuracy) == pytest.approx(POWER, abs=0.01)
    assert stats.binom.sf(critical - 1, n, 0.2) <= ALPHA / NUISANCES


def test_three_questions_can_show_nothing() -> None:
    assert smallest_detectable(2, 0.2, NUISANCES) == 1.0
    found = outcome(np.ones(2), np.full(2, 0.2), np.arange(2), False)
    assert judge([found] * NUISANCES, nuisance=True)[0]["verdict"] == "underpowered"


def test_verdicts() -> None:
    chances, apart = np.full(500, 0.2), np.arange(500)
    leak = outcome(np.repeat([1.0, 0.0], [150, 350]), chances, apart, False)
    luck = outcome(np.repeat([1.0, 0.0], [112, 388]), chances, apart, False)
    assert [row["verdict"] for row in judge([leak, luck, luck], nuisance=True)] == ["leak", "ok", "ok"]
    assert [row["verdict"] for row in judge([leak, luck, None], nuisance=False)] == ["cue", "ok", "underpowered"]
    assert leak.accuracy == 0.3 and leak.low > 0.26 and luck.low < 0.2 < luck.high


def test_below_counts_where_it_was_learnt_elsewhere() -> None:
    """40 hits of 400 at 1/5 are as far away as few binomials go: P(X <= 40) by scipy, doubled."""
    hit, chances, apart = np.repeat([1.0, 0.0], [40, 360]), np.full(400, 0.2), np.arange(400)
    one, both = (outcome(hit, chances, apart, False, sides=sides) for sides in (1, 2))
    assert both.p_value == pytest.approx(2 * stats.binom.cdf(40, 400, 0.2)) and one.p_value > 0.99
    assert judge([both], nuisance=True)[0]["verdict"] == "leak" and judge([one], nuisance=True)[0]["verdict"] == "ok"
    above = outcome(1.0 - hit, chances, apart, False, sides=2)
    assert above.p_value == pytest.approx(2 * stats.binom.sf(359, 400, 0.2))


def test_balanced_letters_are_no_leak_below_chance() -> None:
    """Each letter equally often in the set: what is rarer in the other parts is more frequent in this one."""
    gold = np.random.default_rng(3).permutation(np.repeat(np.arange(5), 200))
    letters = Table(np.tile(np.eye(5), (1000, 1, 1)), gold, np.arange(1000))
    found = trial(letters, None, clusters=np.arange(1000), seed=0, bend=False)
    assert found is not None and found.accuracy < 0.2 and judge([found], nuisance=True)[0]["verdict"] == "ok"


def test_parts_do_not_teach_each_other() -> None:
    """Letters drawn at random: hits above chance no oftener than in a binomial, whatever luck the whole set has."""
    high = 0
    for seed in range(200):
        gold = np.random.default_rng([9, seed]).integers(5, size=105)
        found = trial(Table(np.tile(np.eye(5), (105, 1, 1)), gold, np.arange(105)), None, seed=seed, bend=False)
        assert found is not None and found.n == 84, "the first part is only learnt on"
        high += found.p_value <= 0.05
    assert high <= 18, "5 % of 200, and three standard deviations"


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("n", [1, 2, 5, 19])
def test_a_handful_of_questions_says_nothing_and_warns_of_nothing(n: int) -> None:
    table, _ = neighbourhoods(np.random.default_rng(0), 3, 1)
    few = table[np.arange(21) % (21 // n + 1) == 0] if n < 19 else table[np.arange(21) < 19]
    assert trial(few, None, seed=0) is None
    assert trial(few, few, seed=0) is not None  # to learn on few is no fault, it is only of little use


def test_repeated_panoramas_count_once() -> None:
    """Ten questions about each of 50 panoramas, all hit or all missed, are worth 50 questions, not 500."""
    residuals = np.repeat(np.random.default_rng(4).permutation(np.repeat([0.8, -0.2], [10, 40])), 10)
    assert design_effect(residuals, np.arange(500) // 10, 0.2) == pytest.approx(10.2, abs=0.05)
    assert design_effect(residuals, np.arange(500), 0.2) == 1.0
    found = outcome(residuals + 0.2, np.full(500, 0.2), np.arange(500) // 10, False)
    assert found.n == 500 and found.n_effective == pytest.approx(49, abs=0.5)


def neighbourhoods(rng: np.random.Generator, blocks: int, again: int, leak: float = 0.0) -> tuple[Table, np.ndarray]:
    """Questions on 7 places a neighbourhood, each asked about ``again`` times; tiles heavy-tailed, three columns."""
    rows, gold, groups, panoramas = [], [], [], []
    for block in range(blocks):
        tiles = rng.standard_t(3, size=(7, 3)) + 5.0 * rng.normal(size=3)
        for place in np.repeat(np.arange(7), again):
            others = rng.permutation(np.delete(np.arange(7), place))[:4]
            position = int(rng.integers(5))
            shown = tiles[np.insert(others, position, place)].copy()
            shown[position] += leak
            rows.append(shown)
            gold.append(position)
            groups.append(block)
            panoramas.append(7 * block + place)
    return Table(np.array(rows), np.array(gold), np.array(groups)), np.array(panoramas)


def alarms(sets: int, *, again: int, seed: int, leak: float = 0.0) -> int:
    """Among so many simulated data sets, how many set off the alarm of any of the nuisance probes."""
    count = 0
    for number in range(sets):
        rng = np.random.default_rng([seed, number])
        outcomes = []
        for probe in range(NUISANCES):
            blocks = 15 // again
            (test, panoramas), (learn, others) = (
                neighbourhoods(rng, blocks, again, leak * (probe == 0)) for _ in range(2)
            )
            if probe == 1:  # sees letters alone: luck with them is common to all parts of a set
                test, learn = (Table(np.tile(np.eye(5), (len(t.gold), 1, 1)), t.gold, t.groups) for t in (test, learn))
            outcomes.append(trial(test, learn, clusters=panoramas, seed=number))
            outcomes.append(trial(learn, None, clusters=others, seed=number))
        count += any(row["verdict"] == "leak" for row in judge(outcomes, nuisance=True))
    return count


@pytest.mark.parametrize("again", [1, 3])
def test_clean_sets_rarely_set_off_the_alarm(again: int) -> None:
    assert alarms(8, again=again, seed=5) == 0


@pytest.mark.slow
@pytest.mark.parametrize("again", [1, 3])
def test_no_alarm_in_95_of_100_clean_sets(again: int) -> None:
    assert alarms(200, again=again, seed=6) <= 10


def test_one_leak_among_the_probes_does() -> None:
    assert alarms(4, again=1, seed=7, leak=3.0) == 4


# --- the sample -------------------------------------------------------------------------------------------------------


def test_sample_is_bounded_seeded_and_knows_its_neighbours(tmp_path: Path) -> None:
    file = data_set(tmp_path / "data", train_blocks=0) / "questions_test.jsonl"
    answers = [json.loads(line)["answer"] for line in file.read_text().splitlines()]
    whole, part = sample_questions(file, 1000, 0), sample_questions(file, 40, 0)
    assert (whole.total, len(whole.questions), part.total, len(part.questions)) == (350, 350, 350, 40)
    assert list(part.places) == sorted(set(part.places)) and part == sample_questions(file, 40, 0)
    assert part.places != sample_questions(file, 40, 1).places
    for place, previous, question in zip(part.places, part.previous, part.questions, strict=True):
        assert question == whole.questions[place]
        assert previous == ("ABCDE".index(answers[place - 1]) if place else -1)
    assert sample_questions(tmp_path / "absent.jsonl", 10, 0).total == 0


def test_every_place_is_as_likely_as_any_other(tmp_path: Path) -> None:
    file = data_set(tmp_path / "data", train_blocks=0) / "questions_test.jsonl"
    drawn = np.bincount(np.concatenate([sample_questions(file, 70, seed).places for seed in range(20)]), minlength=350)
    halves = drawn.reshape(2, 175).sum(axis=1)
    assert abs(halves[0] - halves[1]) < 4 * np.sqrt(1400 * 0.75)


def test_a_broken_line_is_named(tmp_path: Path) -> None:
    (tmp_path / "questions_test.jsonl").write_text('{"answer": "A"}\n')
    with pytest.raises(RecordError, match=r"questions_test\.jsonl line 1: .* is missing"):
        sample_questions(tmp_path / "questions_test.jsonl", 10, 0)


def test_groups_are_linked_by_any_shared_tile() -> None:
    assert groups_of([["a", "b"], ["c", "d"], ["e"], ["d", "a"], []]).tolist() == [0, 0, 1, 0, 2]
