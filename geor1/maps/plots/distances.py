"""How far off, how often right: distribution of errors, accuracy with intervals, outcomes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter

from geor1.maps import colours
from geor1.maps.plots.style import label_of, quiet_grid, set_legend, set_title
from geor1.maps.samples import THRESHOLDS_KM, by_model, to_samples
from geor1.records import Prediction

SMALLEST_KM = 0.1  # left edge of the logarithmic axis; smaller errors are drawn there
MOST_INSIDE = 4  # models whose legend fits above the curves
LARGEST_KM = 20015.1  # half of a meridian circle, R = 6371 km


def error_cdf(ax: Axes, errors_km: Mapping[str, npt.ArrayLike], *, title: str | None = None) -> Axes:
    """Share of samples within a distance, with marks at 1, 25, 200, 750 and 2,500 km.

    Args:
        ax: Axes to draw on.
        errors_km: Model -> shape (N,) errors in km; ``inf`` for an unusable answer, which stays in the denominator, so
            that a curve ends below 100 % by the share of misses.
        title: Axes title; None for none.

    Returns:
        The axes.

    Raises:
        ValueError: An error is negative or NaN.
    """
    palette = colours.model_colours(list(errors_km))
    _mark_thresholds(ax)
    for model, values in errors_km.items():
        errors = _checked(values, model)
        if not errors.size:
            continue
        finite = np.sort(np.clip(errors[np.isfinite(errors)], SMALLEST_KM, None))
        x = np.concatenate([[SMALLEST_KM], finite, [LARGEST_KM]])
        y = np.concatenate([[0], np.arange(1, finite.size + 1), [finite.size]]) / errors.size
        median = np.median(errors)
        note = f"median {median:,.0f} km" if np.isfinite(median) else "median: no answer"
        ax.step(
            x,
            y,
            where="post",
            color=palette[model],
            linewidth=2.0,
            label=f"{label_of(model)}: n = {errors.size:,}, {note}",
        )
    _distance_axis(ax)
    ax.set_ylim(0.0, 1.0)
    ax.yaxis.set_major_formatter(PercentFormatter(1.0))
    ax.set_ylabel("samples within this error")
    set_title(ax, title)
    _model_legend(ax, len(errors_km))
    return ax


def error_histogram(
    ax: Axes, errors_km: Mapping[str, npt.ArrayLike], *, bins: int = 48, title: str | None = None
) -> Axes:
    """Number of samples by error on a logarithmic axis; unusable answers are told in the legend.

    Args:
        ax: Axes to draw on.
        errors_km: As in :func:`error_cdf`.
        bins: Number of bins between 0.1 km and 20,015 km, equal on the logarithmic axis.
        title: Axes title; None for none.

    Returns:
        The axes.

    Raises:
        ValueError: As :func:`error_cdf`.
    """
    palette = colours.model_colours(list(errors_km)) if len(errors_km) > 1 else dict.fromkeys(errors_km, colours.ERROR)
    edges = np.geomspace(SMALLEST_KM, LARGEST_KM, bins + 1)
    _mark_thresholds(ax)
    for model, values in errors_km.items():
        errors = _checked(values, model)
        finite = np.clip(errors[np.isfinite(errors)], SMALLEST_KM, LARGEST_KM)
        label = f"{label_of(model)}: {finite.size:,} located, {errors.size - finite.size:,} unusable"
        if len(errors_km) == 1:
            ax.hist(finite, edges, color=palette[model], label=label)
        else:
            ax.hist(finite, edges, histtype="step", linewidth=1.8, color=palette[model], label=label)
    _distance_axis(ax)
    ax.set_ylabel("samples")
    ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    set_title(ax, title)
    _model_legend(ax, len(errors_km))
    return ax


def accuracy_bars(
    ax: Axes,
    rows: Sequence[tuple[str, float, float, float]],
    *,
    chance: float | None = None,
    xlabel: str = "accuracy",
    title: str | None = None,
) -> Axes:
    """One bar a row with its interval, first row on top.

    Args:
        ax: Axes to draw on.
        rows: (label, share, low, high), shares in [0, 1]; a row named like a model takes the model's colour.
        chance: Chance level in [0, 1], drawn as a dashed line; None for none.
        xlabel: What the shares are.
        title: Axes title; None for none.

    Returns:
        The axes.

    Raises:
        ValueError: A share lies outside [0, 1], or outside its interval.
    """
    for label, value, low, high in rows:
        if not 0.0 <= low <= value <= high <= 1.0:
            raise ValueError(f"{label}: expected 0 <= low <= share <= high <= 1, got {low}, {value}, {high}")
    palette = colours.model_colours([label for label, *_ in rows])
    for y, (label, value, low, high) in enumerate(rows):
        ax.barh(y, value, height=0.62, color=palette[label])
        ax.errorbar(value, y, xerr=[[value - low], [high - value]], color="black", capsize=4, linewidth=1.4)
        ax.text(min(high + 0.015, 1.02), y, f"{100 * value:.1f} %", va="center", parse_math=False)
    if chance is not None:
        ax.axvline(chance, color=colours.CHANCE, linestyle="--", linewidth=1.2, label=f"chance {100 * chance:.0f} %")
    ax.set_yticks(range(len(rows)), [label_of(label) for label, *_ in rows], parse_math=False)
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.set_xlim(0.0, 1.12)
    ax.set_xticks(np.linspace(0.0, 1.0, 6))
    ax.xaxis.set_major_formatter(PercentFormatter(1.0))
    ax.set_xlabel(xlabel)
    quiet_grid(ax, "x")
    set_title(ax, title)
    set_legend(ax, loc="lower right", bbox_to_anchor=(1.0, 1.0), borderaxespad=0.2)  # no bar reaches there
    return ax


def outcome_bars(ax: Axes, predictions: Sequence[Prediction], *, title: str | None = None) -> Axes:
    """Right, wrong and unusable pairing answers of each model, as shares with the counts written in.

    Args:
        ax: Axes to draw on.
        predictions: Pairing predictions; others are ignored.
        title: Axes title; None for none.

    Returns:
        The axes.
    """
    groups = by_model(to_samples(p for p in predictions if p.task == "pairing"))
    styles = (("right", colours.TRUTH, ""), ("wrong", colours.ERROR, "//"), ("unusable", colours.UNUSABLE, ".."))
    for y, (_, samples) in enumerate(groups.items()):
        left = 0.0
        for outcome, colour, hatch in styles:
            count = sum(sample.outcome == outcome for sample in samples)
            share = count / len(samples)
            label = outcome if y == 0 else None
            ax.barh(
                y,
                share,
                left=left,
                height=0.62,
                color=colour,
                hatch=hatch,
                edgecolor="white",
                linewidth=0.0,
                label=label,
            )
            if share > 0.05:
                box = {"facecolor": colour, "edgecolor": "none", "pad": 1.5}
                ax.text(left + share / 2, y, f"{count:,}", ha="center", va="center", color="white", bbox=box)
            left += share
    ax.set_yticks(range(len(groups)), [label_of(model) for model in groups], parse_math=False)
    ax.set_ylim(len(groups) - 0.4, -0.9)
    ax.set_xlim(0.0, 1.0)
    ax.xaxis.set_major_formatter(PercentFormatter(1.0))
    ax.set_xlabel("pairing answers")
    set_title(ax, title)
    set_legend(ax, loc="upper right", ncols=3)
    return ax


def _checked(values: npt.ArrayLike, model: str) -> np.ndarray:
    errors = np.asarray(values, dtype=float).ravel()
    if np.isnan(errors).any() or (errors < 0).any():
        raise ValueError(f"errors of {model!r}: expected km >= 0, inf for a miss; got NaN or a negative value")
    return errors


def _model_legend(ax: Axes, models: int) -> None:
    """In the empty corner above the curves while it is short, else below the axes."""
    below = {"bbox_to_anchor": (0.0, -0.16)} if models > MOST_INSIDE else {}
    set_legend(ax, loc="upper left", **below)


def _mark_thresholds(ax: Axes) -> None:
    for threshold in THRESHOLDS_KM:
        ax.axvline(threshold, color="#9AA5AD", linewidth=0.9, linestyle=":", zorder=0)


def _distance_axis(ax: Axes) -> None:
    ax.set_xscale("log")
    ax.set_xlim(SMALLEST_KM, LARGEST_KM)
    ax.set_xticks([0.1, *THRESHOLDS_KM, LARGEST_KM])
    ax.set_xticks([], minor=True)
    ax.xaxis.set_major_formatter(FuncFormatter(lambda km, _: "≤0.1" if km < 0.2 else f"{km:,.0f}"))
    for text in ax.get_xticklabels():
        text.set_rotation(0)
    ax.set_xlabel("error (km)")
