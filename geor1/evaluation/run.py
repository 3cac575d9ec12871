"""Stage 04 in one call: every model on the same test questions, controls, real pairs, and other models' outputs."""

from __future__ import annotations

import contextlib
import json
import logging
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from geor1.asking.backends import PASSING_FAILURES, Backend, UnansweredError
from geor1.asking.journal import PredictionJournal, only_writer
from geor1.asking.selection import Generate, Load, asking_of, choose_backend
from geor1.evaluation.config import EvaluationConfig
from geor1.evaluation.pairing import tile_sets
from geor1.evaluation.predict import Asking, predict_geolocation, predict_pairing
from geor1.evaluation.tables import (
    Row,
    bias_rows,
    compared_imports,
    geolocation_row,
    import_rows,
    paired_rows,
    pairing_details,
    pairing_row,
    pairing_scores,
)
from geor1.evaluation.voting import voting_row
from geor1.records import Prediction, Question, RecordError, read_jsonl, write_jsonl
from geor1.runs import MissingUpstreamError, write_json

logger = logging.getLogger(__name__)

GENERATIONS = "generations.jsonl"
PREDICTIONS = "predictions.jsonl"
IMPORTED = "imported.jsonl"
SCORES = "scores.json"
LABELS_SEEN = "labels_seen.json"
ALL_ROTATIONS = 1000  # more than any question has options


def run_evaluation(
    config: EvaluationConfig,
    data: Path | str,
    models: Mapping[str, Path],
    run_dir: Path | str,
    pairs_dir: Path | str | None = None,
    real_data: Path | str | None = None,
    *,
    load: Load | None = None,
    generate: Generate | None = None,
) -> Path:
    """Evaluate models side by side. A killed run is started again: what was generated already is kept.

    Every completion is added to ``generations.jsonl`` as it comes. The report is made from those alone that belong to
    this call's parameters, prompts, images and weights, in an order that does not depend on theirs.

    Args:
        config: What to ask, and whom.
        data: Run folder of stage 01 with ``questions_test.jsonl`` (and ``questions_real.jsonl``, if it has real pairs).
        models: Checkpoint by row label, in table order. ``base``, ``sft``, ``grpo``, ``control`` and ``zero`` are
            compared with each other; other labels get rows of their own. For a server, the name it serves a model by.
        run_dir: Folder for ``generations.jsonl``, ``predictions.jsonl`` (those of the report; image paths relative to
            it), ``imported.jsonl`` (other models' outputs), ``scores.json`` and ``metrics_summary.json``.
        pairs_dir: Another run folder of stage 01, made from a folder of real pairs.
        real_data: Folder of other models' outputs (``imageo/``, ``geoguess/``).
        load: Checkpoint -> (model, processor); ``geor1.models.loading`` when None.
        generate: As ``geor1.models.generate.generate``, which is used when None.

    Returns:
        ``run_dir``.

    Raises:
        MissingUpstreamError: ``data`` holds no test questions.
        RecordError: A questions file does not fit, or real and test questions share an id.
        ImageFileError, FileNotFoundError: An image is broken or missing; what was generated so far is kept.
        BackendError: No further request can succeed; what was generated so far is kept.
        UnansweredError: Questions ended in errors that may pass; the report is written, with these counted as wrong.
            The same call again asks them alone; ``keep_errors`` takes them as they are.
        RunLockedError: Another process writes into ``run_dir``.
    """
    data, run_dir = Path(data), Path(run_dir)
    run_dir.mkdir(parents=True, exist_ok=True)
    questions = draw(_questions(data / "questions_test.jsonl"), config.n_questions, config.seed)
    real_dir, real = _real_questions(data, Path(pairs_dir) if pairs_dir else None, questions)
    shown = 1 + max(len(question.candidates) for question in [*questions, *real])  # the panorama and every tile
    predictions: list[Prediction] = []
    with only_writer(run_dir):
        journal = PredictionJournal(run_dir / GENERATIONS)
        for label, checkpoint in models.items():
            asking = asking_of(config, label, Path(checkpoint))
            made = choose_backend(config, Path(checkpoint), load, generate, images_per_prompt=shown)
            with contextlib.closing(made) as backend:  # one model at a time has the memory
                predictions += _predict(config, backend, asking, questions, data, journal)
                if real:
                    how: dict[str, Any] = {"conditions": ("normal",), "rotations": ALL_ROTATIONS}
                    predictions += predict_pairing(backend, real, real_dir, asking=asking, output=journal, **how)
        _write_report(config, models, questions, real, predictions, run_dir, real_data)
    _check_answered(predictions, config)
    return run_dir


def draw(questions: Sequence[Question], count: int, seed: int) -> list[Question]:
    """``count`` questions drawn without replacement, in drawn order, so that the first n of them are a sample too."""
    if count > len(questions):
        logger.warning("asked for %d questions, the file has %d; all of them are used", count, len(questions))
    order = np.random.default_rng(seed).permutation(len(questions))
    return [questions[index] for index in order[:count]]


def read_labels_seen(checkpoint: Path | str) -> int | None:
    """Pairing labels that a checkpoint's training saw, all stages together, from its ``labels_seen.json``.

    The file lies in the checkpoint or in the folder above; None without one.

    Raises:
        RecordError: The file does not hold ``pairing_labels_seen`` as a whole number.
    """
    for folder in (Path(checkpoint), Path(checkpoint).parent):
        path = folder / LABELS_SEEN
        if not path.is_file():
            continue
        try:
            seen = json.loads(path.read_text(encoding="utf-8"))["pairing_labels_seen"]
        except (ValueError, KeyError, TypeError) as error:
            raise RecordError(f"{path}: expected an object with 'pairing_labels_seen', got {error!r}") from error
        if isinstance(seen, bool) or not isinstance(seen, int):
            raise RecordError(f"{path}: pairing_labels_seen should be a whole number, got {seen!r}")
        return seen
    return None


def summary(scores: Mapping[str, Any]) -> dict[str, float]:
    """The figures that go into the manifest, flat."""
    flat: dict[str, float] = {}
    for row in scores["table"]:
        flat[f"accuracy_{row['label']}"] = row["accuracy"]
    for row in scores["geolocation"]:
        flat[f"geoscore_{row['label']}"] = row["geoscore"]
    for row in scores["real"]:
        flat[f"accuracy_real_{row['label']}"] = row["accuracy"]
    return flat


def _predict(
    config: EvaluationConfig,
    backend: Backend,
    asking: Asking,
    questions: list[Question],
    data: Path,
    journal: PredictionJournal,
) -> list[Prediction]:
    common: dict[str, Any] = {"asking": asking, "output": journal}
    predictions = predict_pairing(
        backend, questions, data, conditions=("normal",), rotations=config.rotations, **common
    )
    if config.controls:
        turns = {"conditions": config.controls, "rotations": config.control_rotations}
        predictions += predict_pairing(backend, questions[: config.n_control], data, **turns, **common)
    if config.n_geolocation:
        predictions += predict_geolocation(backend, questions[: config.n_geolocation], data, **common)
    return predictions


def _write_report(
    config: EvaluationConfig,
    models: Mapping[str, Path],
    questions: Sequence[Question],
    real: Sequence[Question],
    predictions: Sequence[Prediction],
    run_dir: Path,
    real_data: Path | str | None,
) -> None:
    first = [prediction for prediction in predictions if prediction.sample == 0]
    scores = _scores(config, models, questions, real, first)
    if config.samples > 1:
        scores["by_sample"] = _sample_rows(config, models, questions, predictions)
        scores["voting"] = _voting_rows(config, models, questions, predictions)
    scores["imports"], imported = import_rows(real_data, config) if real_data else ([], [])
    datasets = {row["label"]: row["dataset"] for row in scores["imports"]}
    scores["imports_paired"] = compared_imports(imported, datasets, config)
    write_jsonl(run_dir / PREDICTIONS, predictions)
    write_jsonl(run_dir / IMPORTED, imported)
    write_json(run_dir / SCORES, scores)
    write_json(run_dir / "metrics_summary.json", summary(scores))


def _check_answered(predictions: Sequence[Prediction], config: EvaluationConfig) -> None:
    failed = Counter(p.status for p in predictions if p.status in PASSING_FAILURES)
    if not failed or config.keep_errors:
        return
    example = next(p for p in predictions if p.status in PASSING_FAILURES)
    raise UnansweredError(
        f"{failed.total()} of {len(predictions)} questions ended in an error ({dict(failed)}; the first: "
        f"{example.error}); scores.json counts them as wrong. Run the same command again to ask these alone, "
        "or set keep_errors to take them as they are"
    )


def _scores(
    config: EvaluationConfig,
    models: Mapping[str, Path],
    questions: Sequence[Question],
    real: Sequence[Question],
    predictions: Sequence[Prediction],
) -> dict[str, Any]:
    items, real_items = tile_sets(questions), tile_sets(real)
    by_label = {label: pairing_scores(predictions, label, items, config) for label in models}
    on_real = {label: pairing_scores(predictions, label, real_items, config) for label in models} if real else {}
    return {
        "chance": {str(len(q.candidates)): 1 / len(q.candidates) for q in [*questions, *real]},
        "table": [pairing_row(by_label[label], _labels_seen(Path(models[label]))) for label in models],
        "pairing": [row for label in models for row in pairing_details(by_label[label])],
        "paired": paired_rows(predictions, list(models), items, config),
        "bias": bias_rows(predictions, list(models), questions, config),
        "geolocation": _geolocation_rows(predictions, list(models), items, config),
        "real": [row for scores in on_real.values() for row in pairing_details(scores)],
    }


def _labels_seen(checkpoint: Path) -> int | None:
    return read_labels_seen(checkpoint) if checkpoint.is_dir() else None  # else the name of a served model


def _sample_rows(
    config: EvaluationConfig,
    models: Mapping[str, Path],
    questions: Sequence[Question],
    predictions: Sequence[Prediction],
) -> list[Row]:
    """Every sample's main row, so that the spread between samples is seen."""
    items = tile_sets(questions)
    rows = []
    for label, checkpoint in models.items():
        for sample in range(config.samples):
            scores = pairing_scores([p for p in predictions if p.sample == sample], label, items, config)
            rows.append({**pairing_row(scores, _labels_seen(Path(checkpoint))), "sample": sample})
    return rows


def _voting_rows(
    config: EvaluationConfig,
    models: Mapping[str, Path],
    questions: Sequence[Question],
    predictions: Sequence[Prediction],
) -> list[Row]:
    """Each model's vote over its samples, and the chance that one of k is right."""
    items = tile_sets(questions)
    draws: dict[str, Any] = {"resamples": config.bootstrap_resamples, "seed": config.seed}
    asked = [p for p in predictions if (p.task, p.condition) == ("pairing", "normal") and p.item_id in items]
    return [voting_row([p for p in asked if p.model == label], groups=items, **draws) for label in models]


def _geolocation_rows(
    predictions: Sequence[Prediction], labels: Sequence[str], items: Collection[str], config: EvaluationConfig
) -> list[Row]:
    rows = []
    for label in labels:
        group = [p for p in predictions if p.model == label and p.task == "geolocation" and p.item_id in items]
        if group:
            rows.append(geolocation_row(group, config, by_city=True))
    return rows


def _questions(path: Path) -> list[Question]:
    if not path.is_file():
        raise MissingUpstreamError(f"{path} is missing; make it with: geor1 run 01_data_synthesis")
    questions = read_jsonl(path, Question)
    if not questions:
        raise RecordError(f"{path.name}: expected test questions, found none")
    return questions


def _real_questions(data: Path, pairs_dir: Path | None, questions: Sequence[Question]) -> tuple[Path, list[Question]]:
    """Questions from real pairs with the folder their images are in: ``pairs_dir`` first, else beside the test ones."""
    if pairs_dir is None:
        path = data / "questions_real.jsonl"
        real = read_jsonl(path, Question) if path.is_file() else []
    else:
        named = pairs_dir / "questions_real.jsonl"
        real = _questions(named if named.is_file() else pairs_dir / "questions_test.jsonl")
    shared = {q.question_id for q in questions} & {q.question_id for q in real}
    if shared:
        raise RecordError(f"question id {sorted(shared)[0]!r} is in the test and the real questions; ids must differ")
    return pairs_dir or data, real
