"""The rollout explorer: one self-contained HTML page of a GRPO run, offline under the same policy as the inspector.

A slider over the logged steps, the run's curves, the groups of a step on the map and in a list, and a group's G
completions side by side with the rewards by term, the advantage and the letter that each one names.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import folium

from geor1.maps.curves import training_curves
from geor1.maps.frame import offline_page
from geor1.maps.outlines import cut_at_antimeridian, natural_earth
from geor1.maps.rollout_log import Rollout, RolloutLog, read_rollouts, terms_of, to_groups, weights_of
from geor1.maps.rollout_payload import Limits, build_rollout_payload
from geor1.records import Question, read_jsonl
from geor1.runs import atomic_write_text, read_metrics

__all__ = ["Limits", "Rollout", "build_rollout_map", "read_rollouts", "run_parameters", "save_rollout_map", "terms_of"]

QUESTIONS_FILE = "questions_train.jsonl"
SCRIPTS = (
    "geometry.js",
    "data.js",
    "rollouts-data.js",
    "rollouts-curves.js",
    "rollouts-group.js",
    "rollouts-map.js",
    "rollouts.js",
)


def build_rollout_map(
    run: Path | str | RolloutLog | Iterable[Rollout],
    metrics: Sequence[Mapping[str, Any]] | None = None,
    questions: Path | str | Iterable[Question] | None = None,
    *,
    images_dir: Path | str | None = None,
    weights: Mapping[str, float] | None = None,
    outlines: dict[str, Any] | None = None,
    title: str = "What the policy tried",
    limits: Limits | None = None,
) -> folium.Map:
    """Build the rollout page of a GRPO run.

    Args:
        run: Run folder of 03_grpo (its ``rollouts.jsonl``, ``metrics.jsonl`` and ``config.json``), or the rollouts.
        metrics: Rows of ``metrics.jsonl``; None takes the run folder's, or none.
        questions: Run folder of 01_data_synthesis, or its training questions, for places. None hides the map.
        images_dir: Folder that the image paths are relative to; None takes the run folder.
        weights: Weight of each reward term; None takes the run folder's. A term without a weight counts once.
        outlines: GeoJSON of land and countries; None takes Natural Earth's from the package.
        title: Page title.
        limits: How much to keep; every step's counts of tied and untied groups are kept in any case.

    Returns:
        The folium map; it shows itself in Jupyter, and :func:`save_rollout_map` writes it.

    Raises:
        MissingUpstreamError: No ``rollouts.jsonl`` in the run folder.
        FileNotFoundError: No training questions in the run folder of 01.
        RecordError: A line does not fit its record.
    """
    folder = Path(run) if isinstance(run, (str, Path)) else None
    if folder is not None:
        parameters = run_parameters(folder)
        log = read_rollouts(folder, parameters.get("group_size"))
        metrics = read_metrics(folder) if metrics is None else metrics
        images_dir = folder if images_dir is None else images_dir
        weights = weights_of(parameters, terms_of(log)) if weights is None else weights
    else:
        log = run if isinstance(run, RolloutLog) else to_groups(run)  # type: ignore[arg-type]
    payload = build_rollout_payload(
        log,
        training_curves(metrics or (), log, weights or {}),
        images_dir=None if images_dir is None else Path(images_dir),
        questions=_questions(questions, log),
        weights=weights or {},
        title=title,
        limits=limits or Limits(),
    )
    world = natural_earth() if outlines is None else cut_at_antimeridian(outlines)
    return offline_page(
        payload.header["title"],
        scripts=SCRIPTS,
        styles=("theme.css", "rollouts.css"),
        markup="rollouts.html",
        data={"geor1-blob": payload.blob, "geor1-pictures": payload.pictures},
        outlines=world,
        start="geor1.startRollouts",
    )


def save_rollout_map(page: folium.Map, path: Path | str) -> Path:
    """Write the page as one HTML file, atomically."""
    return atomic_write_text(path, page.get_root().render())


def run_parameters(run_dir: Path | str) -> dict[str, Any]:
    """Parameters in the ``config.json`` of a run folder; empty where there is no such file.

    Raises:
        ValueError: It is not a run's.
    """
    path = Path(run_dir) / "config.json"
    if not path.is_file():
        return {}
    parameters = json.loads(path.read_text(encoding="utf-8")).get("parameters")
    if not isinstance(parameters, dict):
        raise ValueError(f"{path}: expected an object 'parameters', got {type(parameters).__name__}")
    return parameters


def _questions(given: Path | str | Iterable[Question] | None, log: RolloutLog) -> dict[str, Question]:
    """The questions that the groups ask, by id."""
    if given is None:
        return {}
    if isinstance(given, (str, Path)):
        path = Path(given)
        given = read_jsonl(path / QUESTIONS_FILE if path.is_dir() else path, Question)
    asked = {group.question_id for group in log.groups}
    return {question.question_id: question for question in given if question.question_id in asked}
