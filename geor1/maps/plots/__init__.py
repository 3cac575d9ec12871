"""Plots that every notebook uses: each takes a matplotlib ``ax``, draws on it and gives it back.

Units stand on the axes, one colour means one thing (``geor1.maps.colours``), text from data is never read as markup.

    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> from matplotlib import pyplot
    >>> from geor1.maps import plots
    >>> ax = plots.error_cdf(pyplot.subplots()[1], {"grpo": [12.0, 480.0, float("inf")]})
    >>> ax.get_xlabel()
    'error (km)'
"""

from geor1.maps.plots.bias import calibration_curve, confusion_matrix, failure_bars, group_accuracy
from geor1.maps.plots.contact import contact_sheet
from geor1.maps.plots.distances import accuracy_bars, error_cdf, error_histogram, outcome_bars
from geor1.maps.plots.probes import probe_accuracy
from geor1.maps.plots.questions import question_sheet, question_title, wrong_options
from geor1.maps.plots.style import STYLE
from geor1.maps.plots.training import (
    completion_length,
    group_rewards,
    moving_mean,
    reward_curves,
    tied_groups,
    training_curve,
    zero_variance_share,
)
from geor1.maps.plots.world import draw_outlines, error_map, place_map, world_axes

__all__ = [
    "STYLE",
    "accuracy_bars",
    "calibration_curve",
    "completion_length",
    "confusion_matrix",
    "contact_sheet",
    "draw_outlines",
    "error_cdf",
    "error_histogram",
    "error_map",
    "failure_bars",
    "group_accuracy",
    "group_rewards",
    "moving_mean",
    "outcome_bars",
    "place_map",
    "probe_accuracy",
    "question_sheet",
    "question_title",
    "reward_curves",
    "tied_groups",
    "training_curve",
    "world_axes",
    "wrong_options",
    "zero_variance_share",
]
