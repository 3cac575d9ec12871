"""The plot of the probes: every row drawn, verdicts told apart, nonsense refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import matplotlib
import pytest
from matplotlib import pyplot
from matplotlib.axes import Axes

from geor1.maps import colours, plots

matplotlib.use("Agg")


def row(name: str, accuracy: float | None, verdict: str = "ok", **others: Any) -> dict[str, Any]:
    low, high = (None, None) if accuracy is None else (accuracy - 0.04, min(1.0, accuracy + 0.04))
    known = {"kind": "alone", "chance": 0.2, "detectable": 0.27, "constant": False, "low": low, "high": high}
    return {"name": name, "accuracy": accuracy, "verdict": verdict, **known, **others}


ROWS = [
    row("blind", 0.2),
    row("metadata", 0.2, constant=True),
    row("jpeg", 0.98, "leak"),
    row("$x^{", None, "underpowered", chance=None),
    row("seam", 0.3, "underpowered", detectable=0.7),
    row("colour_match", 0.43, "cue", kind="cues"),
]


@pytest.fixture
def ax() -> Iterator[Axes]:
    with matplotlib.rc_context(plots.STYLE):
        figure, axes = pyplot.subplots(figsize=(8, 4))
    yield axes
    pyplot.close(figure)


def test_every_probe_is_drawn_with_its_interval(ax: Axes) -> None:
    assert plots.probe_accuracy(ax, ROWS, title="test, $\\frac") is ax
    assert [tick.get_text() for tick in ax.get_yticklabels()] == [
        "blind", "metadata", "jpeg", "$x^{", "seam", "colour match",
    ]  # fmt: skip
    dots = {
        bar.lines[0].get_ydata()[0]: (bar.lines[0].get_xdata()[0], bar.lines[0].get_color()) for bar in ax.containers
    }
    assert (
        dots[2] == (0.98, colours.ERROR) and dots[0] == (0.2, colours.PREDICTION) and 3 not in dots and len(dots) == 5
    )
    assert [text.get_text() for text in ax.texts] == ["all options alike", " too few questions"]
    words = [text.get_text() for text in ax.get_legend().get_texts()]
    assert sorted(words) == [
        "at chance", "guessing, 20 %", "leak", "smallest leak it would show", "too few questions to say",
        "weak content, above chance",
    ]  # fmt: skip
    ax.figure.canvas.draw()


def test_no_rows_are_no_error(ax: Axes) -> None:
    assert plots.probe_accuracy(ax, []).get_legend() is None
    ax.figure.canvas.draw()


def test_nonsense_is_refused(ax: Axes) -> None:
    with pytest.raises(ValueError, match="jpeg: expected a verdict of ok, leak, cue, underpowered, got 'fine'"):
        plots.probe_accuracy(ax, [row("jpeg", 0.2, "fine")])
    with pytest.raises(ValueError, match="jpeg: expected 0 <= low <= accuracy <= high <= 1"):
        plots.probe_accuracy(ax, [row("jpeg", 0.2, low=0.3)])
