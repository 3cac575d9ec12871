"""Plots of bias: right numbers in them, nothing lost from sight, labels that do not overlap."""

from __future__ import annotations

import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot

from geor1.maps import colours, plots

matplotlib.use("Agg")
NASTY = "$\\frac{ _</b>\x00\ud800\u202e$x^"
GROUPS = [
    ("Russia", 103, 0.4, 0.31, 0.5), ("Japan", 68, 0.97, 0.9, 0.99), ("Chile", 19, None, None, None),
    ("Poland", 17, None, None, None), ("Malta", 1, None, None, None), ("Macao", 1, None, None, None),
]  # fmt: skip


@pytest.fixture
def ax():
    with matplotlib.rc_context(plots.STYLE):
        figure, axes = pyplot.subplots(figsize=(8, 6))
    yield axes
    pyplot.close(figure)


def overlapping(texts, renderer) -> list[tuple[str, str]]:
    """Pairs of texts whose unrotated boxes overlap."""
    boxes = [(text.get_text(), text.get_window_extent(renderer)) for text in texts if text.get_text()]
    return [(a, b) for i, (a, box) in enumerate(boxes) for b, other in boxes[i + 1 :] if box.overlaps(other)]


def test_group_accuracy_sorts_and_greys(ax) -> None:
    assert plots.group_accuracy(ax, GROUPS, overall=(0.77, 0.75, 0.79), max_small=2, xlabel="within 750 km") is ax
    ticks = [tick.get_text() for tick in ax.get_yticklabels()]
    assert ticks == ["Japan (68)", "Russia (103)", "Chile (19)", "Poland (17)", "2 more groups (2)"]
    assert [tick.get_color() for tick in ax.get_yticklabels()][1:3] == ["black", colours.UNUSABLE]
    assert [text.get_text() for text in ax.texts] == ["too few to judge"] * 3
    assert ax.get_xlabel() == "within 750 km (dashed: all, 77.0 %)"
    dots = [container.lines[0].get_xdata()[0] for container in ax.containers]
    assert dots == [0.97, 0.4]
    ax.figure.canvas.draw()
    assert not overlapping(ax.get_yticklabels(), ax.figure.canvas.get_renderer())
    with pytest.raises(ValueError, match="Japan: expected 0 <= low <= share"):
        plots.group_accuracy(ax, [("Japan", 3, 0.5, 0.6, 0.7)], overall=(0.5, 0.4, 0.6))


def test_confusion_matrix_keeps_every_count(ax) -> None:
    true, predicted = ["A", "B", "C"], ["A", "B", "C", "D", "unknown", "unusable"]
    counts = np.array([[5, 1, 0, 2, 0, 1], [0, 3, 0, 0, 1, 0], [1, 0, 1, 0, 0, 0]])
    plots.confusion_matrix(ax, true, predicted, counts, top=2)
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["A (9)", "B (4)", "other (2)"]
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["A", "B", "other", "unknown", "unusable"]
    shown = {(t.get_position()[1], t.get_position()[0]): int(t.get_text()) for t in ax.texts}
    assert shown == {(0, 0): 5, (0, 1): 1, (0, 2): 2, (0, 4): 1, (1, 1): 3, (1, 3): 1, (2, 0): 1, (2, 2): 1}
    assert sum(shown.values()) == counts.sum()
    assert ax.images[0].get_array()[0, 0] == pytest.approx(5 / 9)
    with pytest.raises(ValueError, match=r"expected counts of shape \(3, 6\), got \(2, 2\)"):
        plots.confusion_matrix(ax, true, predicted, [[1, 2], [3, 4]])


def test_failure_bars_are_shares(ax) -> None:
    rows = [("all", 10, {"ok": 7, "api_error": 2, "no_answer": 1}), ("USA", 4, {"ok": 2, "api_error": 2})]
    plots.failure_bars(ax, rows)
    assert ax.get_legend_handles_labels()[1] == ["api_error", "no_answer"]
    assert [patch.get_width() for patch in ax.patches] == pytest.approx([0.2, 0.5, 0.1, 0.0])
    assert [text.get_text() for text in ax.texts] == [" 3 of 10", " 2 of 4"]
    assert len({(p.get_facecolor(), p.get_hatch()) for p in ax.patches}) == 2
    many = {f"reason {i}": 9 - i for i in range(8)}
    crowded = plots.failure_bars(pyplot.figure().subplots(), [("all", sum(many.values()), many)])
    assert crowded.get_legend_handles_labels()[1] == [*(f"reason {i}" for i in range(5)), "other reasons"]
    assert sum(patch.get_width() for patch in crowded.patches) == pytest.approx(1.0)
    with pytest.raises(ValueError, match="USA: counts sum to 2, n is 3"):
        plots.failure_bars(ax, [("USA", 3, {"ok": 2})])
    none = plots.failure_bars(pyplot.figure().subplots(), [("all", 3, {"ok": 3})])
    assert [text.get_text() for text in none.texts] == [" 0 of 3"] and none.get_legend() is None


def test_calibration_curve(ax) -> None:
    plots.calibration_curve(ax, [(1, 13, 0.1, 0.0, 0.25), (5, 19, 1.0, 0.8, 1.0)], ylabel="within 25 km")
    assert [text.get_text() for text in ax.texts] == ["n = 13", "n = 19"]
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["1", "5"]
    assert ax.get_legend() is None and ax.get_ylabel() == "within 25 km"
    probabilities = plots.calibration_curve(
        pyplot.figure().subplots(), [(0.25, 9, 0.2, 0.1, 0.4), (0.9, 9, 0.7, 0.5, 0.8)]
    )
    assert probabilities.get_legend_handles_labels()[1] == ["as stated"]


@pytest.mark.filterwarnings("ignore:Glyph")
def test_untrusted_names_are_never_mathematics() -> None:
    draws = (
        lambda a: plots.group_accuracy(
            a,
            [(NASTY, 9, 0.5, 0.4, 0.6), (NASTY, 2, None, None, None)],
            overall=(0.5, 0.4, 0.6),
            xlabel=NASTY,
            title=NASTY,
        ),
        lambda a: plots.confusion_matrix(a, [NASTY], [NASTY], [[3]], title=NASTY),
        lambda a: plots.failure_bars(a, [(NASTY, 2, {"ok": 1, NASTY: 1})], title=NASTY),
        lambda a: plots.calibration_curve(a, [(1, 2, 0.5, 0.4, 0.6)], ylabel=NASTY, title=NASTY),
    )
    for draw in draws:
        draw(pyplot.figure().subplots()).figure.canvas.draw()
    pyplot.close("all")
