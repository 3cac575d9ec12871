"""Stage 04 in one call: every model on the same test questions, controls, real pairs, and other models' outputs."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from geor1.evaluation.config import EvaluationConfig
from geor1.evaluation.journal import PredictionJournal
from geor1.evaluation.predict import Generate, predict_geolocation, predict_pairing
from geor1.evaluation.tables import (
    Row,
    geolocation_row,
    import_rows,
    paired_rows,
    pairing_details,
    pairing_row,
    pairing_scores,
)
from geor1.records import Prediction, Question, RecordError, read_jsonl, write_jsonl
from geor1.runs import MissingUpstreamError, write_json

logger = logging.getLogger(__name__)

PREDICTIONS = "predictions.jsonl"
IMPORTED = "imported.jsonl"
SCORES = "scores.json"
LABELS_SEEN = "labels_seen.json"
ALL_ROTATIONS = 1000  # more than any question has options
Load = Callable[[Path], tuple[Any, Any]]


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
    """Evaluate models side by side. A killed run is started again: predictions already written are kept.

    Args:
        config: What to ask.
        data: Run folder of stage 01 with ``questions_test.jsonl`` (and ``questions_real.jsonl``, if it has real pairs).
        models: Checkpoint by row label, in table order. ``base``, ``sft``, ``grpo``, ``control`` and ``zero`` are
            compared with each other; other labels get rows of their own.
        run_dir: Folder for ``predictions.jsonl`` (image paths relative to it), ``imported.jsonl`` (other models'
            outputs), ``scores.json`` and ``metrics_summary.json``.
        pairs_dir: Another run folder of stage 01, made from a folder of real pairs.
        real_data: Folder of other models' outputs (``imageo/``, ``geoguess/``).
        load: Checkpoint -> (model, processor); ``geor1.models.loading`` when None.
        generate: As ``geor1.models.generate.generate``, which is used when None.

    Returns:
        ``run_dir``.

    Raises:
        MissingUpstreamError: ``data`` holds no test questions.
        RecordError: A questions file does not fit, or real and test questions share an id.
        ImageFileError, FileNotFoundError: An image is broken or missing; what was predicted so far is kept.
    """
    data, run_dir = Path(data), Path(run_dir)
    run_dir.mkdir(parents=True, exist_ok=True)
    questions = draw(_questions(data / "questions_test.jsonl"), config.n_questions, config.seed)
    real_dir, real = _real_questions(data, Path(pairs_dir) if pairs_dir else None)
    shared = {q.question_id for q in questions} & {q.question_id for q in real}
    if shared:
        raise RecordError(f"question id {sorted(shared)[0]!r} is in the test and the real questions; ids must differ")
    journal = PredictionJournal(run_dir / PREDICTIONS)
    for label, checkpoint in models.items():
        ask = _lazily(Path(checkpoint), load or _loader(config), generate)
        _predict(config, label, questions, data, journal, ask)
        if real:
            common = _common(config, label, journal, ask)
            predict_pairing(None, None, real, real_dir, conditions=("normal",), rotations=ALL_ROTATIONS, **common)
    scores = _scores(config, models, questions, real, journal.predictions)
    scores["imports"], imported = import_rows(real_data, config) if real_data else ([], [])
    write_jsonl(run_dir / IMPORTED, imported)
    write_json(run_dir / SCORES, scores)
    write_json(run_dir / "metrics_summary.json", summary(scores))
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
    label: str,
    questions: list[Question],
    data: Path,
    journal: PredictionJournal,
    ask: Generate,
) -> None:
    common = _common(config, label, journal, ask)
    predict_pairing(None, None, questions, data, conditions=("normal",), rotations=config.rotations, **common)
    controls = questions[: config.n_control]
    if config.controls:
        rotations = config.control_rotations
        predict_pairing(None, None, controls, data, conditions=config.controls, rotations=rotations, **common)
    if config.n_geolocation:
        predict_geolocation(None, None, questions[: config.n_geolocation], data, **common)


def _common(config: EvaluationConfig, label: str, journal: PredictionJournal, ask: Generate) -> dict[str, Any]:
    return {
        "label": label,
        "batch_size": config.batch_size,
        "max_new_tokens": config.max_new_tokens,
        "seed": config.seed,
        "output": journal,
        "generate": ask,
    }


def _scores(
    config: EvaluationConfig,
    models: Mapping[str, Path],
    questions: Sequence[Question],
    real: Sequence[Question],
    predictions: Sequence[Prediction],
) -> dict[str, Any]:
    items = {question.question_id for question in questions}
    real_items = {question.question_id for question in real}
    by_label = {label: pairing_scores(predictions, label, items, config) for label in models}
    on_real = {label: pairing_scores(predictions, label, real_items, config) for label in models} if real else {}
    return {
        "chance": {str(len(q.candidates)): 1 / len(q.candidates) for q in [*questions, *real]},
        "table": [pairing_row(by_label[label], read_labels_seen(models[label])) for label in models],
        "pairing": [row for label in models for row in pairing_details(by_label[label])],
        "paired": paired_rows(predictions, list(models), items, config),
        "geolocation": _geolocation_rows(predictions, list(models), items, config),
        "real": [row for scores in on_real.values() for row in pairing_details(scores)],
    }


def _geolocation_rows(
    predictions: Sequence[Prediction], labels: Sequence[str], items: set[str], config: EvaluationConfig
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


def _real_questions(data: Path, pairs_dir: Path | None) -> tuple[Path, list[Question]]:
    """Questions from real pairs with the folder their images are in: ``pairs_dir`` first, else beside the test ones."""
    if pairs_dir is None:
        path = data / "questions_real.jsonl"
        return data, read_jsonl(path, Question) if path.is_file() else []
    named = pairs_dir / "questions_real.jsonl"
    return pairs_dir, _questions(named if named.is_file() else pairs_dir / "questions_test.jsonl")


def _loader(config: EvaluationConfig) -> Load:
    def load(checkpoint: Path) -> tuple[Any, Any]:
        """Model, on the GPU where there is one, and processor of a checkpoint."""
        import torch

        from geor1.models.loading import load_model, load_processor

        model = load_model(checkpoint, dtype=config.dtype)
        return model.to("cuda" if torch.cuda.is_available() else "cpu"), load_processor(checkpoint)

    return load


def _lazily(checkpoint: Path, load: Load, generate: Generate | None) -> Generate:
    """A ``generate`` that loads its model when first called: a finished evaluation loads none."""
    loaded: list[tuple[Any, Any]] = []

    def ask(_model: Any, _processor: Any, prompts: list[str], images: list[Any], **options: Any) -> Sequence[Any]:
        """Answer prompts with the checkpoint's model, whatever model and processor are handed in."""
        if not loaded:
            loaded.append(load(checkpoint))
        if generate is None:
            from geor1.models.generate import generate as generate_with_model

            return generate_with_model(*loaded[0], prompts, images, **options)
        return generate(*loaded[0], prompts, images, **options)

    return ask
