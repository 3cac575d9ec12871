"""The rollout page of a run with its static twin, as stage 05 writes them."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from geor1.maps import plots
from geor1.maps.config import MapConfig
from geor1.maps.curves import training_curves
from geor1.maps.figures import save_figure
from geor1.maps.rollout_log import RolloutGroup, RolloutLog, read_rollouts, weights_of
from geor1.maps.rollouts import QUESTIONS_FILE, Limits, build_rollout_map, run_parameters, save_rollout_map, terms_of
from geor1.runs import read_metrics

logger = logging.getLogger(__name__)

COLUMNS = 3
MAX_PANELS = 24
PANEL_INCHES = (5.2, 3.2)


def draw_rollouts(config: MapConfig, grpo: Path | str, data: Path | str | None, run_dir: Path | str) -> dict[str, Any]:
    """Write ``rollouts.html`` and its twins ``rollouts.png`` and ``rollouts.svg``.

    Args:
        config: Titles, sizes and resolution.
        grpo: Run folder of stage 03.
        data: Run folder of stage 01, for places; None, or one without training questions, hides the page's map.
        run_dir: Where to write.

    Returns:
        Figures for the run's summary: groups, tied ones, completions, and the page's size in bytes.

    Raises:
        MissingUpstreamError: No ``rollouts.jsonl`` there.
        RecordError: A line does not fit.
    """
    grpo, run_dir = Path(grpo), Path(run_dir)
    parameters, metrics = run_parameters(grpo), read_metrics(grpo)
    log = read_rollouts(grpo, parameters.get("group_size"))
    weights = weights_of(parameters, terms_of(log))
    known = data is not None and (Path(data) / QUESTIONS_FILE).is_file()
    page = build_rollout_map(
        log,
        metrics,
        data if known else None,
        images_dir=grpo,
        weights=weights,
        title=config.rollouts_title,
        limits=Limits(text_characters=config.max_text_characters, thumbnails=config.max_rollout_thumbnails),
    )
    path = save_rollout_map(page, run_dir / "rollouts.html")
    figure = rollout_figure(log, metrics, weights)
    save_figure(figure, run_dir / "rollouts.png", config.dpi)
    tied = sum(group.tied for group in log.groups)
    logger.info("%s: %d groups of %d, %d tied", path.name, len(log.groups), log.group_size, tied)
    return {
        "rollout_groups": len(log.groups),
        "rollout_groups_tied": tied,
        "rollouts": len(log.groups) * log.group_size,
        "rollouts_page_bytes": path.stat().st_size,
    }


def rollout_figure(log: RolloutLog, metrics: list[dict[str, Any]], weights: dict[str, float]) -> Figure:
    """The page's curves, the tied groups of every logged step, and the group whose rewards differ most.

    Args:
        log: The rollouts.
        metrics: Rows of ``metrics.jsonl``; may be empty.
        weights: Weights of the reward terms.

    Returns:
        A figure without pyplot's global state.
    """
    curves = training_curves(metrics, log, weights)[: MAX_PANELS - 2]
    widest = max(log.groups, key=lambda group: _spread(group, weights), default=None)
    count = len(curves) + 2 * (widest is not None)
    rows = max(1, math.ceil(count / COLUMNS))
    with matplotlib.rc_context(plots.STYLE):
        figure = Figure(figsize=(COLUMNS * PANEL_INCHES[0], rows * PANEL_INCHES[1]), layout="constrained")
        FigureCanvasAgg(figure)
        axes = list(figure.subplots(rows, COLUMNS, squeeze=False).flat)
        for ax, curve in zip(axes, curves, strict=False):
            plots.training_curve(ax, curve)
        if widest is not None:
            plots.tied_groups(axes[len(curves)], log)
            name = f"step {widest.step}: {widest.question_id or 'a group'}"
            plots.group_rewards(axes[len(curves) + 1], widest, weights, title=name)
        for ax in axes[count:]:
            ax.set_axis_off()
    return figure


def _spread(group: RolloutGroup, weights: dict[str, float]) -> float:
    totals = [rollout.total(weights) for rollout in group.rollouts]
    return max(totals) - min(totals)
