"""The static plots: right numbers in them, nothing that untrusted text can break, no trivial picture."""

from __future__ import annotations

import math
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib import colors, pyplot
from matplotlib.collections import LineCollection
from PIL import Image

from geor1.maps import colours, plots
from geor1.records import Candidate, Question

matplotlib.use("Agg")
NASTY = "$\\frac{ _</b>\x00\ud800\u202e$x^"


@pytest.fixture
def ax():
    with matplotlib.rc_context(plots.STYLE):
        figure, axes = pyplot.subplots()
    yield axes
    pyplot.close(figure)


def pixels(ax) -> np.ndarray:
    """Draw, and give the picture back as [height, width, 3]."""
    ax.figure.canvas.draw()
    return np.asarray(ax.figure.canvas.buffer_rgba())[..., :3]


def test_error_map_cuts_arcs_at_the_antimeridian(ax, geolocation, outlines):
    predictions = [geolocation(truth=(-18.0, 178.0), guess=(-10.0, -170.0)), geolocation(guess=None)]
    assert plots.error_map(ax, predictions, outlines=outlines, title="Errors") is ax
    lines = [c for c in ax.collections if isinstance(c, LineCollection)]
    (segments,) = [c.get_segments() for c in lines]
    assert len(segments) == 2
    assert all(np.abs(np.diff(segment[:, 0])).max() < 10 for segment in segments)
    assert colors.to_hex(lines[0].get_colors()[0]).upper() == colours.ERROR
    labels = ax.get_legend_handles_labels()[1]
    assert labels == ["prediction (n = 1)", "truth (1 places)", "unusable (1 places)"]
    assert len(np.unique(pixels(ax).reshape(-1, 3), axis=0)) > 50


def test_error_map_of_pairing(ax, pairing, outlines):
    plots.error_map(ax, [pairing("A", "B"), pairing("B", "B"), pairing("C", "C")], outlines=outlines)
    assert ax.get_legend_handles_labels()[1] == ["right (n = 2)", "unusable (n = 0)", "wrong (n = 1)"]


def test_error_map_of_nothing(ax):
    plots.error_map(ax, [])
    assert len(np.unique(pixels(ax).reshape(-1, 3), axis=0)) > 10  # the land is there


def test_place_map_counts_its_groups(ax, outlines):
    plots.place_map(ax, [0, 10, 20], [0, 10, 20], ["train", "train", "test"], outlines=outlines)
    assert ax.get_legend_handles_labels()[1] == ["train (n = 2)", "test (n = 1)"]
    with pytest.raises(ValueError, match="expected equal lengths, got 1 latitudes, 2 longitudes, 1 groups"):
        plots.place_map(ax, [0], [0, 1], ["a"], outlines=outlines)


def test_cdf_keeps_misses_in_the_denominator(ax):
    plots.error_cdf(ax, {"grpo": [0.5, 100.0, 1000.0, math.inf]})
    (line,) = [line for line in ax.get_lines() if line.get_label().startswith("grpo")]
    assert line.get_label() == "grpo: n = 4, median 550 km"
    assert line.get_ydata()[-1] == 0.75
    at_200 = line.get_ydata()[np.searchsorted(line.get_xdata(), 200.0, side="right") - 1]
    assert at_200 == 0.5
    assert ax.get_xlabel() == "error (km)"
    assert {1.0, 25.0, 200.0, 750.0, 2500.0} <= set(ax.get_xticks())


def test_histogram_counts(ax):
    plots.error_histogram(ax, {"base": [0.0, 5.0, 20015.0, math.inf]})
    assert sum(patch.get_height() for patch in ax.patches) == 3
    assert ax.get_legend_handles_labels()[1] == ["base: 3 located, 1 unusable"]


@pytest.mark.parametrize("errors", [[-1.0], [math.nan]])
def test_errors_must_be_distances(ax, errors):
    with pytest.raises(ValueError, match="expected km >= 0"):
        plots.error_cdf(ax, {"m": errors})


def test_accuracy_bars(ax):
    plots.accuracy_bars(ax, [("base", 0.2, 0.17, 0.24), ("grpo", 0.85, 0.81, 0.88)], chance=0.2, title="Pairing")
    widths = [patch.get_width() for patch in ax.patches]
    assert widths == [0.2, 0.85]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["base", "grpo"]
    with pytest.raises(ValueError, match="expected 0 <= low <= share"):
        plots.accuracy_bars(ax, [("x", 0.5, 0.6, 0.7)])


def test_outcome_bars(ax, pairing, geolocation):
    plots.outcome_bars(ax, [pairing("B", "B"), pairing("A", "B"), pairing("B", "B"), pairing(None, "B"), geolocation()])
    assert [patch.get_width() for patch in ax.patches] == [0.5, 0.25, 0.25]


def test_training_curves(ax):
    rows = [{"step": s, "rewards/accuracy/mean": s / 10, "reward/format": 1.0, "frac_reward_zero_std": 0.5,
             "completions/mean_length": 40.0, "loss": None} for s in range(1, 11)]  # fmt: skip
    plots.reward_curves(ax, rows, window=3)
    assert ax.get_legend_handles_labels()[1] == ["accuracy", "format"]
    assert ax.get_xlabel() == "optimiser step"
    plots.zero_variance_share(pyplot.figure().subplots(), rows)
    length = plots.completion_length(pyplot.figure().subplots(), rows, limit=64)
    assert length.get_ylabel() == "completion length (tokens)"
    with pytest.raises(ValueError, match=r"no reward term 'speed' in the metrics; there are \['accuracy', 'format'\]"):
        plots.reward_curves(ax, rows, terms=["speed"])
    with pytest.raises(ValueError, match="expected one of"):
        plots.zero_variance_share(ax, [{"step": 1}])
    pyplot.close("all")


def test_moving_mean_by_hand():
    assert plots.moving_mean([2.0, math.nan, 4.0, 6.0], 2).tolist() == [2.0, 2.0, 4.0, 5.0]
    assert plots.moving_mean([], 3).tolist() == []
    assert math.isnan(plots.moving_mean([math.nan], 1)[0])
    with pytest.raises(ValueError, match="window=0"):
        plots.moving_mean([1.0], 0)


def test_contact_sheet(ax):
    ground = Image.new("RGB", (400, 100), "grey")
    tiles = {letter: Image.new("RGB", (64, 64), "white") for letter in "ABCD"}
    plots.contact_sheet(ax, ground, tiles, answer="B", choice="D", title="q")
    words = [text.get_text() for text in ax.texts]
    assert words == ["N", "E", "S", "S", "W", "A", "B, right", "C", "D, chosen"]
    at = {text.get_text(): text.get_position()[0] for text in ax.texts}
    assert (at["W"], at["N"], at["E"]) == (0.25, 0.5, 0.75)
    frames = [colors.to_hex(patch.get_edgecolor()).upper() for patch in ax.patches]
    assert frames == [colours.TRUTH, colours.ERROR]
    assert len(np.unique(pixels(ax).reshape(-1, 3), axis=0)) > 20
    with pytest.raises(ValueError, match="answer 'Z' is not among the tiles"):
        plots.contact_sheet(ax, ground, tiles, answer="Z")


@pytest.mark.filterwarnings("ignore:Glyph")
def test_untrusted_text_is_never_mathematics(ax, geolocation, pairing, outlines):
    plots.error_map(ax, [geolocation(model=NASTY), geolocation(model="b")], outlines=outlines, title=NASTY)
    pixels(ax)
    for draw in (
        lambda a: plots.error_cdf(a, {NASTY: [1.0], "_hidden": [2.0]}, title=NASTY),
        lambda a: plots.error_histogram(a, {NASTY: [1.0]}),
        lambda a: plots.accuracy_bars(a, [(NASTY, 0.5, 0.4, 0.6)], title=NASTY),
        lambda a: plots.outcome_bars(a, [pairing(model=NASTY)]),
        lambda a: plots.reward_curves(a, [{"step": 1, f"reward/{NASTY.replace('/', '')}": 1.0}]),
        lambda a: plots.contact_sheet(a, Image.new("RGB", (40, 10)), {NASTY: Image.new("RGB", (8, 8))}, title=NASTY),
    ):
        pixels(draw(pyplot.figure().subplots()))
    pyplot.close("all")


def test_one_colour_a_meaning():
    meanings = [colours.TRUTH, colours.PREDICTION, colours.ERROR, colours.UNUSABLE, *colours.MODELS.values()]
    assert len(set(meanings)) == len(meanings)
    many = colours.model_colours([f"model-{i}" for i in range(6)] + ["base", "sft", "grpo"])
    assert len(set(many.values())) == 9
    assert not set(many.values()) & set(meanings[:4])
    assert many["grpo"] == colours.MODELS["grpo"] == colours.model_colour("GRPO")


def a_question(source: str, city: str | None, tile: Path) -> Question:
    options = tuple(
        Candidate(
            letter=letter, pair_id=letter, satellite_image=tile.name, distance_m=None if source == "x" else 70.0 * n
        )
        for n, letter in enumerate("ABC")
    )
    return Question(
        question_id="q_1", pair_id="A", source=source, split="test", ground_image=tile.name, candidates=options,
        answer="A", city=city, country=city and "France",
    )  # fmt: skip


def test_a_question_s_sheet_says_what_is_synthetic(ax, tmp_path) -> None:
    Image.new("RGB", (28, 14)).save(tmp_path / "tile.png")
    made, photographed = (a_question(source, "Paris", tmp_path / "tile.png") for source in ("world", "cv_cities"))
    plots.question_sheet(ax, made, tmp_path)
    assert ax.get_title(loc="left") == "Paris, France (synthetic)" and "N" in {one.get_text() for one in ax.texts}
    plots.question_sheet(ax.figure.subplots(), photographed, tmp_path, choice="B")
    other = ax.figure.axes[-1]
    assert other.get_title(loc="left") == "Paris, France" and "N" not in {one.get_text() for one in other.texts}
    assert plots.question_title(a_question("folder", None, tmp_path / "tile.png")) == "q_1"


def test_wrong_options_by_content_or_by_distance(ax, tmp_path) -> None:
    asked = {"train": [a_question("cv_cities", "Paris", tmp_path / "t")] * 4, "test": []}
    plots.wrong_options(ax, asked, {"train": {"1": 3, "2": 1}, "test": {}})
    assert [bar.get_height() for bar in ax.patches] == [0.75, 0.25] and "directions" in ax.get_xlabel()
    ax.clear()
    plots.wrong_options(ax, asked, {"train": {"unknown": 4}, "test": {}})
    assert "(m)" in ax.get_xlabel()
    (outline,) = ax.patches
    assert outline.get_xy()[:, 0].min() == 70.0 and outline.get_xy()[:, 0].max() == 140.0
    ax.clear()
    plots.wrong_options(ax, {"train": [a_question("x", None, tmp_path / "t")]}, {"train": {"unknown": 1}})
    assert not ax.patches  # no position is known
