"""Stage 05 in one call: the inspector, its PNG twin, the distribution of errors and the worst cases."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from geor1.maps import plots
from geor1.maps.config import MapConfig
from geor1.maps.inspector import build_map, save_map
from geor1.maps.pictures import tile_path
from geor1.maps.samples import Sample, by_model, errors_km, to_samples, worst_first
from geor1.maps.text import plain_text
from geor1.maps.thumbnails import open_picture, resolve
from geor1.records import Pair, Prediction, Question, read_jsonl
from geor1.runs import MissingUpstreamError, write_json

logger = logging.getLogger(__name__)

PREDICTIONS = "predictions.jsonl"
IMPORTED = ("imported.jsonl", "imported_predictions.jsonl")
PAIRS = "pairs.jsonl"
QUESTIONS = "questions_test.jsonl"
MAIN_MODELS = ("grpo", "zero", "control", "sft", "base")  # whose worst cases are shown: the first that is there
MAX_PANELS = 12


def run_map(config: MapConfig, predictions: Path | str, data: Path | str | None, run_dir: Path | str) -> Path:
    """Draw the predictions of stage 04.

    Args:
        config: What to draw.
        predictions: Run folder of stage 04, or its ``predictions.jsonl``; image paths are relative to its folder.
        data: Run folder of stage 01, for the map of sampled places; None leaves that map out.
        run_dir: Folder for ``map.html``, ``map.png``, ``errors.png``, ``worst.png``, with ``places.png`` if ``data`` is
            given, and ``imported_map.html``, ``imported_map.png``, ``imported_errors.png`` if stage 04 imported other
            models' outputs.

    Returns:
        ``run_dir``.

    Raises:
        MissingUpstreamError: No predictions there.
        RecordError: A line does not fit, or a true position is out of range.
    """
    source = _predictions_file(Path(predictions))
    run_dir = Path(run_dir)
    run_dir.mkdir(parents=True, exist_ok=True)
    rows = read_jsonl(source, Prediction)
    summary = _draw(config, rows, source.parent, run_dir, "", config.title)
    _save(_worst_sheet(rows, source.parent, config.worst_cases, _north_known(data)), run_dir / "worst.png", config.dpi)
    imported = next((path for name in IMPORTED if (path := source.parent / name).is_file()), None)
    if config.imported and imported is not None and (others := read_jsonl(imported, Prediction)):
        title = f"{config.title}: imported models"
        summary |= _draw(config, others, source.parent, run_dir, "imported_", title)
    if data is not None and (Path(data) / PAIRS).is_file():
        _save(_places(read_jsonl(Path(data) / PAIRS, Pair)), run_dir / "places.png", config.dpi)
    write_json(run_dir / "metrics_summary.json", summary)
    return run_dir


def _predictions_file(path: Path) -> Path:
    file = path / PREDICTIONS if path.is_dir() else path
    if not file.is_file():
        raise MissingUpstreamError(f"{file}: expected the predictions of 04_evaluation there; run that stage first")
    return file


def _draw(
    config: MapConfig, rows: Sequence[Prediction], images_dir: Path, run_dir: Path, prefix: str, title: str
) -> dict[str, Any]:
    page = build_map(
        rows,
        images_dir=images_dir,
        title=title,
        max_thumbnails=config.max_thumbnails,
        max_text_characters=config.max_text_characters,
    )
    path = save_map(page, run_dir / f"{prefix}map.html")
    normal = [row for row in rows if row.condition == "normal"]
    _save(_map_figure(normal, config.max_arcs), run_dir / f"{prefix}map.png", config.dpi)
    _save(_error_figure(normal), run_dir / f"{prefix}errors.png", config.dpi)
    samples = to_samples(rows)
    counts = {
        outcome: sum(s.outcome == outcome for s in samples) for outcome in dict.fromkeys(s.outcome for s in samples)
    }
    logger.info("%s: %d samples, %s", path.name, len(rows), ", ".join(f"{n} {name}" for name, n in counts.items()))
    return {
        f"{prefix}samples": len(rows),
        **{f"{prefix}{name}": count for name, count in counts.items()},
        f"{prefix}positioned": sum(s.truth is not None or s.guess is not None for s in samples),
        f"{prefix}page_bytes": path.stat().st_size,
    }


def _map_figure(rows: Sequence[Prediction], max_arcs: int) -> Figure:
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
        single = [row for row in chosen if row.rotation == 0]
        plots.error_map(ax, single, max_arcs=max_arcs, title=f"{model}: {task}, n = {len(single):,}")
    if not shown:
        plots.draw_outlines(plots.world_axes(axes[0]))
    return figure


def _error_figure(rows: Sequence[Prediction]) -> Figure:
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


def _worst_sheet(rows: Sequence[Prediction], images_dir: Path, count: int, north_known: set[str]) -> Figure:
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


def _north_known(data: Path | str | None) -> set[str]:
    """Items whose panorama has north in its middle column: the miniature world's; real ones may be turned anyhow."""
    path = None if data is None else Path(data) / QUESTIONS
    if path is None or not path.is_file():
        return set()
    world = [question for question in read_jsonl(path, Question) if question.source == "world"]
    return {question.question_id for question in world} | {question.pair_id for question in world}


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


def _places(pairs: Sequence[Pair]) -> Figure:
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


def _save(figure: Figure, path: Path, dpi: int) -> None:
    """Write a PNG atomically."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        with matplotlib.rc_context(plots.STYLE):
            figure.savefig(partial, format="png", dpi=dpi)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
