"""Rollouts of a GRPO run: the strict reader, the groups, and the page as a file."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import math
import random
import re

import matplotlib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib import pyplot
from PIL import Image

from geor1.maps import plots
from geor1.maps.blob import unpack
from geor1.maps.cli import main
from geor1.maps.config import MapConfig
from geor1.maps.curves import training_curves
from geor1.maps.rollout_figure import draw_rollouts, rollout_figure
from geor1.maps.rollout_log import Rollout, read_rollouts, spread, to_groups, weights_of
from geor1.maps.rollouts import Limits, build_rollout_map, save_rollout_map
from geor1.maps.run import run_map
from geor1.records import Candidate, Question, RecordError, write_jsonl
from geor1.runs import ConfigError, MissingUpstreamError

matplotlib.use("Agg")

HOSTILE = [
    "<script>document.title='pwned'</script>",
    "</script><script>document.title='pwned'</script>",
    "<!-- <script>",
    "<img src=x onerror=\"document.title='pwned'\">",
    "{{ 7 * 7 }} {% raw %}",
    "\u2028 \u202eright-to-left\u2066",
    "NUL \x00 bell \x07",
    "lone \ud800 surrogates \udfff",
    "x" * 100_000,
]


@pytest.fixture
def sampled():
    """Make a group: sampled(step, "ABBA", answer="A", **fields); a reward of 1 where the letter is right."""

    def make(step=1, letters="AB", answer="A", question="q1", **fields):
        rewards = np.array([float(letter == answer) for letter in letters])
        spread_ = rewards.std(ddof=1) if len(letters) > 1 else 0.0
        advantages = (rewards - rewards.mean()) / (spread_ or 1.0)
        return [
            Rollout(**({
                "step": step, "question_id": question, "images": ("images/g.png", "images/a.png", "images/b.png"),
                "answer": answer, "completion": f"<think> {letter} </think> <answer> {letter} </answer>",
                "rewards": {"accuracy": reward, "format": 1.0}, "advantage": float(advantage),
            } | fields))
            for letter, reward, advantage in zip(letters, rewards, advantages, strict=True)
        ]  # fmt: skip

    return make


@pytest.fixture
def write(tmp_path):
    """Write rollouts as the trainer does; give back the file."""

    def run(rollouts, tail=""):
        path = tmp_path / "rollouts.jsonl"
        lines = [json.dumps(dataclasses.asdict(one), ensure_ascii=False) + "\n" for one in rollouts]
        path.write_text("".join(lines) + tail, encoding="utf-8")
        return path

    return run


@pytest.fixture
def question():
    """Make a training question with two tiles, right A: question("q1", **fields)."""

    def make(name="q1", **fields):
        known = {"north": "water", "east": "sand", "south": "field", "west": "forest"}
        tiles = tuple(
            Candidate(letter=letter, pair_id=letter, satellite_image=f"images/{letter.lower()}.png", facts=known)
            for letter in "AB"
        )
        values = {"question_id": name, "pair_id": name, "source": "world", "split": "train",
                  "ground_image": "images/g.png",
                  "candidates": tiles, "answer": "A", "latitude_deg": -33.9, "longitude_deg": 151.2, "city": "Sydney",
                  "country": "Australia", "facts": known}  # fmt: skip
        return Question(**(values | fields))

    return make


@pytest.fixture
def page(tmp_path, outlines):
    """Write a page and give back its text."""

    def run(rollouts, *arguments, **options):
        built = build_rollout_map(rollouts, *arguments, outlines=outlines, **options)
        return save_rollout_map(built, tmp_path / "rollouts.html").read_text(encoding="utf-8")

    return run


def blob_of(text, read_page):
    (found,) = [body for attributes, body in read_page(text).scripts if attributes.get("id") == "geor1-blob"]
    return unpack(found)


# --- reading ---------------------------------------------------------------------------------------------------------


def test_groups_of_a_file(write, sampled):
    log = read_rollouts(write(sampled(1, "AABB") + sampled(1, "AAAA", question="q2") + sampled(11, "BBBB")))
    assert (log.group_size, log.steps, log.torn_lines, log.torn_completions) == (4, [1, 11], 0, 0)
    assert [group.tied for group in log.groups] == [False, True, True]
    assert [group.verdict for group in log.groups] == ["mixed", "all right", "all wrong"]
    assert log.groups[0].choices == ("A", "A", "B", "B") and log.groups[0].status == ("ok",) * 4


def test_an_unreadable_answer_counts_as_wrong_and_says_why(sampled):
    rollouts = sampled(1, "AA")
    cut = dataclasses.replace(rollouts[1], completion="<think> so </think> <answer> A")
    (group,) = to_groups([rollouts[0], cut]).groups
    assert group.choices == ("A", None) and group.status == ("ok", "unfinished") and group.verdict == "mixed"
    (nameless,) = to_groups(sampled(1, "AA", answer=None)).groups
    assert nameless.verdict == "unknown"


def test_one_question_twice_in_succession_is_two_groups(sampled):
    log = to_groups(sampled(1, "AB") + sampled(1, "BB") + sampled(2, "AA") + sampled(3, "AB"))
    assert [group.choices for group in log.groups] == [("A", "B"), ("B", "B"), ("A", "A"), ("A", "B")]
    assert len(to_groups(sampled(1, "ABAB"), group_size=2).groups) == 2


def test_a_killed_run_loses_its_last_line_and_group(write, sampled):
    whole, half = sampled(1, "AABB"), sampled(11, "AABB")
    line = json.dumps(dataclasses.asdict(half[3]))
    log = read_rollouts(write(whole + half[:3], tail=line[: len(line) // 2]))
    assert (len(log.groups), log.torn_lines, log.torn_completions) == (1, 1, 3)
    log = read_rollouts(write(whole, tail=line[:40]))
    assert (len(log.groups), log.torn_lines, log.torn_completions) == (1, 1, 0)
    with pytest.raises(RecordError, match=r"rollouts.jsonl line 5: not JSON"):
        read_rollouts(write(whole, tail="{\n"))


@pytest.mark.parametrize(
    "change, message",
    [
        ({"step": 0}, r"line 2: step: expected 1 or more, got 0"),
        ({"step": "3"}, r"line 2: step: expected int, got str '3'"),
        ({"rewards": {"accuracy": "high"}}, r"line 2: rewards.accuracy: expected float, got str 'high'"),
        ({"advantage": None}, r"line 2: advantage: expected float, got NoneType"),
        ({"entropy": 1.0}, r"line 2: unknown field 'entropy'"),
        ({"completion": ...}, r"line 2: field 'completion' is missing"),
    ],
)
def test_errors_name_file_line_and_field(write, sampled, change, message):
    path = write(sampled(1, "AB"))
    first, second = path.read_text().splitlines()
    data = {name: value for name, value in (json.loads(second) | change).items() if value is not ...}
    path.write_text(f"{first}\n{json.dumps(data)}\n")
    with pytest.raises(RecordError, match=rf"rollouts.jsonl {message}"):
        read_rollouts(path)


def test_groups_that_do_not_fit(write, sampled, tmp_path):
    with pytest.raises(RecordError, match=r"step 1, question 'q1': expected groups of 4 completions, got 3 lines"):
        read_rollouts(write(sampled(1, "AAB") + sampled(2, "AABB") + sampled(3, "AABB") + sampled(4, "AABB")))
    with pytest.raises(RecordError, match=r"expected ascending steps, got 1 after 2"):
        read_rollouts(write(sampled(2, "AB") + sampled(1, "AB")))
    with pytest.raises(RecordError, match=r"answer: expected one and the same in a group"):
        to_groups([*sampled(1, "A"), *sampled(1, "B", answer="B")], group_size=2)
    with pytest.raises(MissingUpstreamError, match="expected the rollouts of 03_grpo"):
        read_rollouts(tmp_path / "nowhere")
    assert read_rollouts(write([])).groups == ()


def test_total_is_weighted_and_ignores_what_is_not_finite(sampled):
    (one,) = sampled(1, "A", rewards={"accuracy": 1.0, "format": 0.5, "length": math.nan, "other": None})
    assert one.total({"accuracy": 2.0, "format": 0.5, "length": 9.0}) == 2.25
    assert one.total({}) == 1.5
    assert weights_of({"weight_accuracy": True, "weight_format": 2}, ["accuracy", "format"]) == {"format": 2.0}


@given(st.lists(st.integers(0, 50), max_size=60), st.integers(0, 500))
def test_an_even_spread_fits_its_budget(sizes, budget):
    chosen = spread(sizes, budget)
    assert sum(sizes[k] for k in chosen) <= budget and chosen == sorted(set(chosen))
    if sum(sizes) <= budget:
        assert chosen == list(range(len(sizes)))
    elif len(chosen) > 1:
        gaps = np.diff(chosen)
        assert chosen[0] == 0 and chosen[-1] == len(sizes) - 1 and gaps.max() - gaps.min() <= 1


# --- curves and figures ----------------------------------------------------------------------------------------------


def test_curves_come_from_the_metrics_or_else_from_the_rollouts(sampled):
    log = to_groups(sampled(1, "AB") + sampled(1, "AA", question="q2") + sampled(3, "BB"))
    found = {curve.name: curve for curve in training_curves([], log, {"format": 0.5})}
    assert found["reward: accuracy"].values == (0.75, 0.0) and found["reward: accuracy"].source == "rollouts"
    assert found["reward, weighted sum"].values == (1.25, 0.5)
    assert found["tied groups (share)"].values == (0.5, 1.0)
    metrics = [
        {"step": 0, "heldout/accuracy": 0.25},
        {"step": 1, "rewards/accuracy/mean": 0.5, "loss": 0.1, "kl": 0.0, "frac_reward_zero_std": 0.25},
        {"step": 2, "rewards/accuracy/mean": None, "loss": math.nan, "completions/mean_length": 90.0},
    ]
    found = {curve.name: curve for curve in training_curves(metrics, log, {})}
    assert found["reward: accuracy"].values == (0.5,) and found["reward: accuracy"].source == "metrics"
    assert found["loss"].steps == (1,) and found["tied groups (share)"].values == (0.25,)
    assert found["completion length (tokens)"].steps == (2,)
    assert [curve.kind for curve in training_curves(metrics, to_groups([]), {})][-3:] == ["loss", "kl", "heldout"]


def test_plots_of_tied_groups_and_of_a_group(sampled):
    log = to_groups(sampled(1, "AB") + sampled(1, "AA", question="q2") + sampled(3, "BB"))
    ax = plots.tied_groups(pyplot.subplots()[1], log)
    assert [patch.get_height() for patch in ax.patches] == [1, 0, 1, 1]  # untied at 1 and 3, then tied
    ax = plots.group_rewards(pyplot.subplots()[1], log.groups[0], {"format": 0.5}, title="$not mathematics$")
    assert [patch.get_width() for patch in ax.patches] == [1.0, 0.0, 0.5, 0.5]
    assert [patch.get_x() for patch in ax.patches] == [0.0, 0.0, 1.0, 0.0]
    texts = [text.get_text() for text in ax.texts]
    assert texts == ["+0.71", "\u22120.71", "advantage"]  # 0.5 by the sample's standard deviation, sqrt(1/2)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["#1 A", "#2 B"]
    (curve, *_) = training_curves([{"step": s, "loss": s} for s in range(1, 33)], to_groups([]), {})
    ax = plots.training_curve(pyplot.subplots()[1], curve)
    assert len(ax.lines) == 2 and ax.lines[1].get_ydata()[-1] == 30.5  # the mean of 29 … 32
    pyplot.close("all")


def test_the_twin_has_a_panel_a_curve_and_two_more(sampled):
    log = to_groups(sampled(1, "AB"))
    figure = rollout_figure(log, [], {})
    titles = [ax.get_ylabel() for ax in figure.axes if ax.axison]
    assert titles[:3] == ["reward, weighted sum", "reward: accuracy", "reward: format"] and len(titles) == 7
    assert rollout_figure(to_groups([]), [], {}).axes


# --- the page as a file ----------------------------------------------------------------------------------------------


def test_columns_tell_what_the_file_tells(page, read_page, sampled, question, pictures):
    rollouts = sampled(1, "AB") + sampled(1, "AA", question="q2") + sampled(11, "BB")
    weights = {"accuracy": 1.0, "format": 0.25}
    text = page(rollouts, [], [question(), question("q2", city="Perth")], images_dir=pictures, weights=weights)
    blob = blob_of(text, read_page)
    column = {name: values.tolist() for name, values in blob.columns.items()}
    assert (blob.n, blob.header["group_size"], blob.header["groups"], blob.header["steps"]) == (6, 2, 3, 2)
    assert column["step.number"] == [1, 11] and column["step.start"] == [0, 2, 3]
    assert column["step.tied"] == [1, 1] and column["step.untied"] == [1, 0]
    assert column["group.tied"] == [0, 1, 1] and column["group.mean"] == [0.75, 1.25, 0.25]
    assert column["group.spread"] == [0.5, 0.0, 0.0]
    assert [blob.header["verdicts"][code] for code in column["group.verdict"]] == ["mixed", "all right", "all wrong"]
    places = [blob.strings("label")[k] for k in column["group.place"]]
    assert places == ["Sydney, Australia", "Perth, Australia", "Sydney, Australia"]
    assert column["choice"] == [0, 1, 0, 0, 1, 1] and column["group.answer"] == [0, 0, 0]
    assert column["reward:0"] == [1, 0, 1, 1, 0, 0] and column["total"] == [1.25, 0.25, 1.25, 1.25, 0.25, 0.25]
    assert column["advantage"][:2] == pytest.approx([0.5**0.5, -(0.5**0.5)])
    assert column["picset.start"] == [0, 3] and column["pic.role"] == [0, 1, 1] and column["pic.letter"] == [255, 0, 1]
    assert column["pic.thumb"] == [0, 1, 2] and len(column["thumb.offsets"]) == 4


def test_stated_facts_are_marked_where_the_tiles_stood_as_in_the_question(page, read_page, sampled, question):
    chain = "<think> north ground water A sand other . </think> <answer> A </answer>"
    rollouts = sampled(1, "AB", completion=chain)
    blob = blob_of(page(rollouts, [], [question()]), read_page)
    (text,) = blob.strings("text")
    spans = zip(*(blob.columns[f"fact.{name}"].tolist() for name in ("begin", "end", "holds")), strict=True)
    said = [(text[begin:end], holds) for begin, end, holds in spans]
    assert said == 2 * [("ground water", 1), ("A sand", 0), ("other", 0)]
    assert blob.columns["fact.start"].tolist() == [0, 3, 6]
    turned = sampled(1, "AB", completion=chain, images=("images/g.png", "images/b.png", "images/a.png"))
    assert blob_of(page(turned, [], [question()]), read_page).columns["fact.start"].tolist() == [0, 0, 0]


def test_hostile_text_stays_text(page, read_page, sampled, question):
    rollouts = []
    for step, text in enumerate(HOSTILE, start=1):
        rewards = {text[:200]: 1.0}
        rollouts += sampled(step, "AB", question=text, completion=text, rewards=rewards, images=(text, text, text))
    metrics = [{"step": 1, f"rewards/{HOSTILE[1].replace('/', '')}/mean": 1.0, "loss": 0.5}]
    known = [question(HOSTILE[1], city=HOSTILE[3], country=HOSTILE[1])]
    text = page(rollouts, metrics, known, title=HOSTILE[1])
    parsed = read_page(text)
    assert "pwned" not in "".join(body for attributes, body in parsed.scripts if "type" not in attributes)
    assert sum(tag == "script" for tag, _ in parsed.tags) == text.count("<script")
    assert not [tag for tag, _ in parsed.tags if tag in ("img", "iframe", "object", "embed", "link", "base")]
    assert not [name for _, attributes in parsed.tags for name in attributes if name.startswith("on") or name == "src"]
    blob = blob_of(text, read_page)
    assert "{{ 7 * 7 }} {% raw %}" in blob.strings("text")
    assert max(map(len, blob.strings("text"))) <= Limits().text_characters


def test_policy_admits_exactly_the_pages_own_scripts(page, read_page, sampled):
    text = page(sampled(1, "AB"))
    parsed = read_page(text)
    (policy,) = [a["content"] for tag, a in parsed.tags if a.get("http-equiv") == "Content-Security-Policy"]
    admitted = set(re.findall(r"'sha256-([^']+)'", policy))
    scripts = [body for attributes, body in parsed.scripts if "type" not in attributes]
    assert admitted == {base64.b64encode(hashlib.sha256(body.encode()).digest()).decode() for body in scripts}
    assert policy.startswith("default-src 'none'") and "img-src data:;" in policy and "http" not in policy
    for body in (body for body in scripts if "@preserve" not in body):  # Leaflet's own has innerHTML, for its controls
        assert not re.search(r"\bfetch\(|XMLHttpRequest|WebSocket|innerHTML|sourceMappingURL|\beval\(", body)


def test_same_input_same_bytes(page, sampled, question, pictures):
    given_ = (sampled(1, "AB") + sampled(2, "BB"), [], [question()])
    assert page(*given_, images_dir=pictures) == page(*given_, images_dir=pictures)


def test_what_is_left_out_is_an_even_spread_and_is_counted(page, read_page, sampled):
    rollouts = [one for step in range(1, 102) for one in sampled(step, "AB" if step % 4 else "BB", question=f"q{step}")]
    limits = Limits(completions=60, text_bytes=12 * 45, text_characters=40)
    blob = blob_of(page(rollouts, limits=limits), read_page)
    kept = np.flatnonzero(np.diff(blob.columns["step.start"].astype(int)))
    assert len(kept) == 30 and kept[0] == 0 and kept[-1] == 100 and np.ptp(np.diff(kept)) <= 1
    assert blob.columns["step.tied"].tolist() == [int(step % 4 == 0) for step in range(1, 102)]
    assert (blob.columns["step.tied"] + blob.columns["step.untied"]).tolist() == [1] * 101
    assert (blob.header["groups"], blob.header["groups_logged"], blob.n) == (30, 101, 60)
    texts = int(blob.columns["step.texts"].sum())
    assert 2 <= texts == blob.header["steps_with_texts"] < 30 and blob.header["texts_left_out"] == 60 - 2 * texts
    assert int((blob.columns["text"] != 0xFFFFFFFF).sum()) == 2 * texts
    with pytest.raises(ValueError, match="text_bytes=-1: expected 0 or more"):
        Limits(text_bytes=-1)


def test_a_long_run_stays_small(page, sampled):
    rng = random.Random(0)
    words = ["".join(rng.choices("abcdefghij", k=6)) for _ in range(3000)]
    rollouts = []
    for step in range(1, 501):
        for name in range(4):
            text = " ".join(rng.choices(words, k=200)) + " <answer> A </answer>"
            rollouts += sampled(step, "ABABABAB", question=f"{step}-{name}", completion=text, advantage=rng.gauss(0, 1))
    text = page(rollouts, [{"step": step, "loss": rng.random()} for step in range(1, 501)])
    assert len(rollouts) == 16_000 and len(text) < 25_000_000 / 2


def test_stage_05_writes_page_and_twins(write, sampled, question, tmp_path, pictures, read_page):
    run = write(sampled(1, "AB") + sampled(2, "BB")).parent
    parameters = {"group_size": 2, "weight_accuracy": 1, "weight_format": 0.25}
    (run / "config.json").write_text(json.dumps({"parameters": parameters}))
    (run / "metrics.jsonl").write_text('{"step": 1, "loss": 0.5}\n')
    out = tmp_path / "out"
    out.mkdir()
    summary = draw_rollouts(MapConfig(dpi=60), run, None, out)
    assert summary["rollout_groups"] == 2 and summary["rollout_groups_tied"] == 1 and summary["rollouts"] == 4
    assert {path.name for path in out.iterdir()} == {"rollouts.html", "rollouts.png", "rollouts.svg"}
    assert summary["rollouts_page_bytes"] == (out / "rollouts.html").stat().st_size
    blob = blob_of((out / "rollouts.html").read_text(encoding="utf-8"), read_page)
    assert [term["weight"] for term in blob.header["terms"]] == [1.0, 0.25] and not blob.header["questions_known"]
    assert len(Image.open(out / "rollouts.png").convert("RGB").getcolors(1 << 24)) > 100
    (run / "config.json").write_text(json.dumps({"parameters": {"group_size": 3}}))
    with pytest.raises(RecordError, match="expected groups of 3 completions, got 2"):
        draw_rollouts(MapConfig(dpi=60), run, None, out)
    with pytest.raises(ConfigError, match="rollouts_title="):
        MapConfig(rollouts_title=" ")


def test_run_map_takes_a_grpo_run(write, sampled, geolocation, tmp_path):
    run = write(sampled(1, "AB")).parent
    write_jsonl(run / "predictions.jsonl", [geolocation()])
    plain = run_map(MapConfig(dpi=60), run, None, tmp_path / "plain")
    assert not (plain / "rollouts.html").exists()
    out = run_map(MapConfig(dpi=60), run, None, tmp_path / "out", grpo=run)
    summary = json.loads((out / "metrics_summary.json").read_text())
    assert (out / "rollouts.html").is_file() and summary["rollouts"] == 2 and summary["samples"] == 1
    main([str(run), "--out", str(tmp_path / "told"), "--grpo", str(run)])
    assert (tmp_path / "told" / "rollouts.svg").is_file()
    with pytest.raises(MissingUpstreamError, match="expected the rollouts of 03_grpo"):
        run_map(MapConfig(dpi=60), run, None, tmp_path / "none", grpo=tmp_path / "plain")
