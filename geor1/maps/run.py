"""Stage 05 in one call: the inspector, its static twins, the distribution of errors and the worst cases."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from geor1.maps import figures
from geor1.maps.base import Base, read_base
from geor1.maps.config import MapConfig
from geor1.maps.figures import save_figure
from geor1.maps.inspector import build_map, save_map
from geor1.maps.payload import Slices
from geor1.maps.rollout_figure import draw_rollouts
from geor1.maps.samples import to_samples
from geor1.maps.slices import place_slices, question_slices
from geor1.maps.sources import gather
from geor1.records import Pair, Prediction, Question, read_jsonl
from geor1.runs import write_json

logger = logging.getLogger(__name__)

IMPORTED = ("imported.jsonl", "imported_predictions.jsonl")
PAIRS = "pairs.jsonl"
QUESTIONS = "questions_test.jsonl"


@dataclasses.dataclass(frozen=True)
class _Page:
    """What one page is drawn from.

    Attributes:
        rows: Its predictions.
        images_dir: Folder of their pictures.
        title: Its title.
        prefix: Before the names of its files.
        slices: Groups to filter by.
        questions: The questions asked, if known.
        base: What lies beneath.
    """

    rows: Sequence[Prediction]
    images_dir: Path
    title: str
    prefix: str
    slices: Slices
    questions: Sequence[Question]
    base: Base


def run_map(
    config: MapConfig,
    predictions: Path | str | Mapping[str, Path],
    data: Path | str | None,
    run_dir: Path | str,
    *,
    grpo: Path | str | None = None,
    labels: Slices | None = None,
) -> Path:
    """Draw the predictions of stage 04.

    Args:
        config: What to draw.
        predictions: Run folder of stage 04, or its ``predictions.jsonl``; image paths are relative to its folder.
            Several on one page: label -> path (see :func:`geor1.maps.sources.gather`).
        data: Run folder of stage 01: its questions give groups to filter by and the truth of stated facts, its pairs
            the map of sampled places. None leaves these out.
        run_dir: Folder for ``map.html``, and as PNG and SVG ``map``, ``errors``, ``worst``, ``countries`` if there is
            geolocation, ``places`` if ``data`` is given; ``imported_map.html`` and ``imported_…`` figures if stage 04
            imported other models' outputs.
        grpo: Run folder of stage 03, for ``rollouts.html`` and, as PNG and SVG, ``rollouts``; None leaves them out.
        labels: Further groups to filter by: shown name -> item id -> value.

    Returns:
        ``run_dir``.

    Raises:
        MissingUpstreamError: No predictions, or no rollouts, there.
        RecordError: A line does not fit, or a true position is out of range.
        ConfigError: ``config.base`` names no base layer.
    """
    base = read_base(config.base, config.attribution or None)
    sources = predictions if isinstance(predictions, Mapping) else {"predictions": Path(predictions)}
    gathered = gather(sources)
    questions = _questions(data)
    run_dir = Path(run_dir)
    run_dir.mkdir(parents=True, exist_ok=True)
    slices = {**question_slices(questions), **place_slices(gathered.rows), **(labels or {})}
    page = _Page(gathered.rows, gathered.images_dir, config.title, "", slices, questions, base)
    summary = _draw(config, page, run_dir)
    worst = figures.worst_figure(page.rows, page.images_dir, config.worst_cases, _north_known(questions))
    save_figure(worst, run_dir / "worst.png", config.dpi)
    others = _imported(gathered.folders) if config.imported else []
    if others:
        title = f"{config.title}: imported models"
        slices = {**place_slices(others), **(labels or {})}
        summary |= _draw(config, _Page(others, gathered.images_dir, title, "imported_", slices, (), base), run_dir)
    if data is not None and (Path(data) / PAIRS).is_file():
        places = figures.places_figure(read_jsonl(Path(data) / PAIRS, Pair))
        save_figure(places, run_dir / "places.png", config.dpi)
    if grpo is not None:
        summary |= draw_rollouts(config, grpo, data, run_dir)
    write_json(run_dir / "metrics_summary.json", summary)
    return run_dir


def _questions(data: Path | str | None) -> list[Question]:
    path = None if data is None else Path(data) / QUESTIONS
    return [] if path is None or not path.is_file() else read_jsonl(path, Question)


def _imported(folders: Sequence[Path]) -> list[Prediction]:
    """What stage 04 imported, of the first run that imported any."""
    files = (folder / name for folder in folders for name in IMPORTED)
    found = next((file for file in files if file.is_file()), None)
    return [] if found is None else read_jsonl(found, Prediction)


def _draw(config: MapConfig, page: _Page, run_dir: Path) -> dict[str, Any]:
    inspector = build_map(
        page.rows,
        images_dir=page.images_dir,
        title=page.title,
        max_thumbnails=config.max_thumbnails,
        max_text_characters=config.max_text_characters,
        slices=page.slices,
        questions=page.questions,
        base=page.base,
    )
    path = save_map(inspector, run_dir / f"{page.prefix}map.html")
    normal = [row for row in page.rows if row.condition == "normal"]
    save_figure(figures.map_figure(normal, config.max_arcs), run_dir / f"{page.prefix}map.png", config.dpi)
    save_figure(figures.error_figure(normal), run_dir / f"{page.prefix}errors.png", config.dpi)
    if (confusion := figures.confusion_figure(normal)) is not None:
        save_figure(confusion, run_dir / f"{page.prefix}countries.png", config.dpi)
    samples = to_samples(page.rows)
    counts = {
        outcome: sum(s.outcome == outcome for s in samples) for outcome in dict.fromkeys(s.outcome for s in samples)
    }
    told = ", ".join(f"{n} {name}" for name, n in counts.items())
    logger.info("%s: %d samples, %s", path.name, len(samples), told)
    return {
        f"{page.prefix}samples": len(samples),
        **{f"{page.prefix}{name}": count for name, count in counts.items()},
        f"{page.prefix}positioned": sum(s.truth is not None or s.guess is not None for s in samples),
        f"{page.prefix}page_bytes": path.stat().st_size,
    }


def _north_known(questions: Sequence[Question]) -> set[str]:
    """Items whose panorama has north in its middle column: the miniature world's; real ones may be turned anyhow."""
    world = [question for question in questions if question.source == "world"]
    return {question.question_id for question in world} | {question.pair_id for question in world}
