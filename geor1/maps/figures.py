"""The static figures of stage 05: the map's twin, errors, confusion of countries, places, worst cases."""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import Collection
from matplotlib.figure import Figure

from geor1.maps import plots
from geor1.maps.pictures import tile_path
from geor1.maps.places import true_places
from geor1.maps.samples import Sample, by_model, errors_km, to_samples, worst_first
from geor1.maps.tables import UNKNOWN
from geor1.maps.text import plain_text
from geor1.maps.thumbnails import open_picture, resolve
from geor1.records import Pair, Prediction
from geor1.world.countries import countries_at
from geor1.world.regions import country_names

logger = logging.getLogger(__name__)

MAIN_MODELS = ("grpo", "zero", "control", "sft", "base")  # whose worst cases are shown: the first that is there
MAX_PANELS = 12
_SVG_DPI = 100  # of what is a picture inside an SVG
_SVG = {"svg.hashsalt": "geor1", "svg.fonttype": "none"}  # the same figure gives the same bytes; text stays text


def map_figure(rows: Sequence[Prediction], max_arcs: int) -> Figure:
    """One world map a model and task, geolocation first."""
    groups: dict[tuple[str, str], list[Prediction]] = {}
    for row in sorted(rows, key=lambda row: row.task):  # geolocation before pairing
        groups.setdefault((row.task, row.model), []).append(row)
    if len(groups) > MAX_PANELS:
        logger.info("the static map shows %d of %d model-task pairs; the page shows all", MAX_PANELS, len(groups))
    shown = dict(list(groups.items())[:MAX_PANELS])
    columns = 1 if len(shown) <= 1 else 2
    count = max(1, len(shown))
    height = math.ceil(count / columns)
    figure, axes = _axes(columns, height, 8.0 if columns == 2 else 11.0, 4.8 if columns == 2 else 6.6, count)
    for ax, ((task, model), chosen) in zip(axes, shown.items(), strict=False):
        first = min(row.rotation for row in chosen)  # the others lie on the same places
        single = [row for row in chosen if row.rotation == first]
        plots.error_map(ax, single, max_arcs=max_arcs, title=f"{model}: {task}, n = {len(single):,}")
    if not shown:
        plots.draw_outlines(plots.world_axes(axes[0]))
    return figure


def error_figure(rows: Sequence[Prediction]) -> Figure:
    """Distribution of geolocation errors, and outcomes of pairing, whichever there are."""
    samples = to_samples(rows)
    errors = {model: errors_km(group) for model, group in by_model(samples).items()}
    errors = {model: values for model, values in errors.items() if values.size}
    pairing = any(row.task == "pairing" for row in rows)
    panels = 2 * bool(errors) + pairing
    figure, axes = _axes(max(1, panels), 1, 6.4, 4.4, max(1, panels))
    if errors:
        plots.error_cdf(axes[0], errors, title="Geolocation: samples within a distance")
        plots.error_histogram(axes[1], errors, title="Geolocation: errors")
    if pairing:
        plots.outcome_bars(axes[panels - 1], rows, title="Pairing, all rotations")
    if not panels:
        _say(axes[0], "no predictions")
    return figure


def confusion_figure(rows: Sequence[Prediction]) -> Figure | None:
    """True country against the one that the predicted coordinates fall into, a panel a model; None without any."""
    groups = {
        model: group
        for model, group in by_model(to_samples(row for row in rows if row.task == "geolocation")).items()
        if any(sample.truth for sample in group)
    }
    if not groups:
        return None
    shown = dict(list(groups.items())[:MAX_PANELS])
    columns = min(2, len(shown))
    figure, axes = _axes(columns, math.ceil(len(shown) / columns), 8.6, 6.4, len(shown))
    for ax, (model, group) in zip(axes, shown.items(), strict=True):
        true = true_places([sample.prediction for sample in group]).country
        predicted = _predicted_countries(group)
        rows_of, columns_of = _by_frequency(true), _by_frequency(predicted)
        counts = np.zeros((len(rows_of), len(columns_of)), dtype=int)
        for pair in zip(true, predicted, strict=True):
            counts[rows_of.index(pair[0]), columns_of.index(pair[1])] += 1
        plots.confusion_matrix(ax, rows_of, columns_of, counts, title=f"{model}: countries, n = {len(group):,}")
    return figure


def _predicted_countries(samples: Sequence[Sample]) -> list[str]:
    known = [sample.guess for sample in samples if sample.guess is not None]
    codes = iter(countries_at([guess[0] for guess in known], [guess[1] for guess in known]))
    names = country_names()
    return ["unusable" if s.guess is None else names.get(next(codes) or "", UNKNOWN) for s in samples]


def _by_frequency(words: Sequence[str]) -> list[str]:
    return [word for word, _ in Counter(words).most_common()]


def worst_figure(rows: Sequence[Prediction], images_dir: Path, count: int, north_known: set[str]) -> Figure:
    """Contact sheets of the worst samples that have pictures, of the last stage's model; both tasks if there are."""
    models = {row.model for row in rows}
    main = next((model for model in MAIN_MODELS if model in models), None)
    kept = [row for row in rows if row.condition == "normal" and (main is None or row.model == main)]
    cases: list[tuple[Sample, dict[str, Any]]] = []
    for task, share in (("pairing", math.ceil(count / 2)), ("geolocation", count)):
        samples = to_samples(row for row in kept if row.task == task)
        cases += _worst_cases(samples, images_dir, min(share, count - len(cases)), north_known)
    columns = 1 if len(cases) <= 1 else 2
    figure, axes = _axes(columns, max(1, math.ceil(len(cases) / columns)), 6.4, 4.4, max(1, len(cases)))
    for ax, (sample, pictures) in zip(axes, cases, strict=False):
        plots.contact_sheet(ax, **pictures, title=_verdict(sample))
    if not cases:
        _say(axes[0], "no wrong answer with a picture")
    return figure


def _worst_cases(
    samples: Sequence[Sample], images_dir: Path, count: int, north_known: set[str]
) -> list[tuple[Sample, dict[str, Any]]]:
    """The worst ``count`` samples that are not right and have readable pictures, each item once."""
    cases: dict[str, tuple[Sample, dict[str, Any]]] = {}
    for index in worst_first(samples):
        sample = samples[index]
        item = sample.prediction.item_id
        if len(cases) == count:
            break
        if item not in cases and sample.outcome != "right" and (pictures := _pictures(sample.prediction, images_dir)):
            cases[item] = (sample, pictures | {"north_at": 0.5 if item in north_known else None})
    return list(cases.values())


def _pictures(prediction: Prediction, images_dir: Path) -> dict[str, Any]:
    """Pictures and letters as ``contact_sheet`` takes them; empty if a picture is missing or broken."""
    if not prediction.images:
        return {}
    try:
        ground = open_picture(resolve(prediction.images[0], images_dir), 900)
        if prediction.task != "pairing":
            return {"ground": ground}
        letters = [chr(ord("A") + index) for index in range(len(prediction.images) - 1)]
        tiles = {x: open_picture(resolve(tile_path(prediction, x) or "", images_dir), 300) for x in letters}
    except (OSError, ValueError) as error:
        logger.warning("%s is left out of the worst cases: %s", plain_text(prediction.item_id, 80), error)
        return {}
    if prediction.answer not in tiles:
        return {}
    return {"ground": ground, "tiles": tiles, "answer": prediction.answer, "choice": prediction.choice}


def _verdict(sample: Sample) -> str:
    prediction = sample.prediction
    place = ", ".join(part for part in (prediction.true_city, prediction.true_country) if part) or prediction.item_id
    if sample.error_km is not None:
        return f"{prediction.model}: {place}, {sample.error_km:,.0f} km off"
    if sample.outcome == "unusable":
        return f"{prediction.model}: {place}, unusable ({prediction.status})"
    return f"{prediction.model}: {place}, chose {prediction.choice}, right {prediction.answer}"


def places_figure(pairs: Sequence[Pair]) -> Figure:
    """Where the data stage sampled places, by split."""
    known = [pair for pair in pairs if pair.latitude_deg is not None]
    figure, axes = _axes(1, 1, 11.0, 6.4, 1)
    latitudes, longitudes = [pair.latitude_deg for pair in known], [pair.longitude_deg for pair in known]
    plots.place_map(axes[0], latitudes, longitudes, [pair.split for pair in known], title="Places sampled")
    return figure


def _axes(columns: int, rows: int, width: float, height: float, count: int) -> tuple[Figure, list[Any]]:
    """A figure without pyplot's global state, and its first ``count`` axes; sizes are inches a panel."""
    with matplotlib.rc_context(plots.STYLE):
        figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
        FigureCanvasAgg(figure)
        axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for ax in axes[count:]:
        ax.set_axis_off()
    return figure, axes[:count]


def _say(ax: Any, text: str) -> None:
    ax.set_axis_off()
    ax.text(0.5, 0.5, text, ha="center", va="center")


def save_figure(figure: Figure, path: Path, dpi: int) -> None:
    """Write a figure as PNG and, beside it, as SVG, each whole or not at all.

    In the SVG, outlines, points and arcs are one picture: ten thousand of them would be megabytes of paths.
    """
    for ax in figure.axes:
        for artist in ax.get_children():
            if isinstance(artist, Collection):
                artist.set_rasterized(True)
    for kind, resolution, metadata in (("png", dpi, None), ("svg", min(dpi, _SVG_DPI), {"Date": None})):
        target = path.with_suffix(f".{kind}")
        partial = target.with_name(f".{target.name}.partial")
        try:
            with matplotlib.rc_context({**plots.STYLE, **_SVG}):
                figure.savefig(partial, format=kind, dpi=resolution, metadata=metadata)
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
