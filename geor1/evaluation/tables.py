"""From predictions to the rows of ``scores.json``; no model, no file of images.

Every row is a flat object that begins with a ``label``. An infinite figure (a median when half is missed) is None.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Collection, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

from geor1.evaluation.bias import bias_report, slice_rows
from geor1.evaluation.columns import true_cells
from geor1.evaluation.comparison import compare_geolocation, comparison_row
from geor1.evaluation.config import EvaluationConfig
from geor1.evaluation.geolocation import score_geolocation
from geor1.evaluation.imageo import imageo_official, imageo_strict
from geor1.evaluation.importers import read_geoguess, read_imageo
from geor1.evaluation.ladder import ALIKE, NEAREST, ladder_columns
from geor1.evaluation.pairing import PairingScore, item_accuracies, score_pairing, tile_sets
from geor1.evaluation.statistics import Interval, holm, mcnemar_exact, paired_bootstrap_difference
from geor1.records import Prediction, Question

Row = dict[str, Any]

# The steps of the method, and the control against it; compared where both labels were evaluated.
COMPARISONS = (("base", "sft"), ("sft", "grpo"), ("control", "grpo"), ("base", "grpo"), ("base", "zero"))
IMAGEO_LABELS = "pcw_labels.csv"
BIAS_SLICES = ("continent", "subregion", "climate", "hemisphere", "near_city")


def pairing_scores(
    predictions: Sequence[Prediction], label: str, items: Mapping[str, Hashable], config: EvaluationConfig
) -> dict[str, PairingScore]:
    """Score one model on one set of questions, by condition; conditions without predictions are absent.

    Args:
        predictions: Of any models and questions.
        label: The model.
        items: Ids of the questions, and for each what it shares with those that it is resampled with.
        config: For the bootstrap.
    """
    groups: dict[str, list[Prediction]] = {}
    for p in predictions:
        if p.model == label and p.task == "pairing" and p.item_id in items:
            groups.setdefault(p.condition, []).append(p)
    draws: dict[str, Any] = {"resamples": config.bootstrap_resamples, "seed": config.seed}
    return {name: score_pairing(group, groups=items, **draws) for name, group in groups.items()}


def pairing_row(scores: Mapping[str, PairingScore], labels_seen: int | None) -> Row:
    """The main table's row of one model.

    Args:
        scores: By condition, with ``normal``.
        labels_seen: Pairing labels that its training saw; None if not recorded.
    """
    score = scores["normal"]
    row = {
        "label": score.model,
        "n": score.n_items,
        **_interval("accuracy", score.accuracy, plain=True),
        "single": score.accuracy_single.estimate if score.accuracy_single else None,
        "circular": score.circular.estimate,
        **{name: _estimate(scores, name) for name in ("blind", "shuffled")},
        "facts_true": score.facts_true_share,
        "parse_failures": score.n_failures,
        "completion_tokens": score.completion_tokens,
        "pairing_labels_seen": labels_seen,
    }
    return to_json_values(row)


def pairing_details(scores: Mapping[str, PairingScore]) -> list[Row]:
    """One row a condition with everything measured: positions, choices, failures by reason."""
    rows = []
    for condition, score in scores.items():
        rows.append(
            {
                "label": score.model,
                "condition": condition,
                "n": score.n_items,
                "n_independent": score.n_independent,
                "rotations": score.rotations,
                "options": score.n_options,
                "chance": score.chance,
                **_interval("accuracy", score.accuracy),
                **(_interval("single", score.accuracy_single) if score.accuracy_single else {}),
                **_interval("circular", score.circular),
                "recall_by_position": {p.letter: p.recall for p in score.by_position},
                "choices": score.choices,
                "failures": score.failures,
                "facts_stated": score.facts_stated,
                "facts_true": score.facts_true_share,
                "completion_tokens": score.completion_tokens,
                "unfinished": score.unfinished,
            }
        )
    return [to_json_values(row) for row in rows]


def paired_rows(
    predictions: Sequence[Prediction], labels: Sequence[str], items: Mapping[str, Hashable], config: EvaluationConfig
) -> list[Row]:
    """Compare the steps of the method on identical questions.

    The difference is of the accuracies over rotations, with a bootstrap over questions; McNemar's test takes rotation 0
    alone, since rotations of one question are not independent. Holm's adjustment is over the rows of this table.

    Args:
        predictions: Of any models and questions.
        labels: The models.
        items: As in :func:`pairing_scores`.
        config: For the bootstrap.

    Raises:
        ValueError: Two models were not asked the same questions.
    """
    asked = {label: _of(predictions, label, items) for label in labels}
    rows: list[Row] = []
    for first, second in COMPARISONS:
        if first in asked and second in asked:
            rows.append(_paired_row(first, second, asked[first], asked[second], items, config))
    for row, adjusted in zip(rows, holm([row["p_value"] for row in rows]), strict=True):
        row["p_holm"] = adjusted
    return rows


def geolocation_row(predictions: Sequence[Prediction], config: EvaluationConfig, *, by_city: bool = False) -> Row:
    """One model's geolocation row; every item is in every denominator.

    Args:
        predictions: Of one model.
        config: For the bootstrap.
        by_city: Resample whole cities: panoramas of one city have nearly the same answer.
    """
    clusters = [p.true_city or p.item_id for p in predictions] if by_city else None
    score = score_geolocation(predictions, clusters=clusters, resamples=config.bootstrap_resamples, seed=config.seed)
    stated = sum(p.facts_stated for p in predictions)
    row: Row = {"label": score.model, "n": score.n, "missed": score.n_missed}
    row["clusters"] = len(set(clusters)) if clusters else score.n
    for radius, interval in score.accuracy_at_km.items():
        row.update(_interval(f"within_{radius:g}_km", interval))
    row.update(_interval("geoscore", score.geoscore))
    row.update(_interval("median_km", score.median_km))
    row["country"] = score.names["country"].estimate if "country" in score.names else None
    row["facts_true"] = sum(p.facts_true for p in predictions) / stated if stated else None
    row["failures"] = score.failures
    row["rule"] = score.rule
    return to_json_values(row)


def compared_imports(
    imported: Sequence[Prediction], datasets: Mapping[str, str], config: EvaluationConfig
) -> list[Row]:
    """Every two imported models of one data set against each other, item by item.

    Args:
        imported: Predictions of several models.
        datasets: Data set of each model.
        config: For the bootstrap.
    """
    runs = {name: [p for p in imported if p.model == name] for name in datasets}
    rows = []
    for first, second in itertools.combinations(runs, 2):
        if datasets[first] != datasets[second]:
            continue
        compared = compare_geolocation(
            runs[first],
            runs[second],
            clusters_of=true_cells,
            resamples=config.bootstrap_resamples,
            seed=config.seed,
        )
        rows.append(to_json_values({**comparison_row(compared), "dataset": datasets[first]}))
    return rows


def bias_rows(
    predictions: Sequence[Prediction], labels: Sequence[str], questions: Sequence[Question], config: EvaluationConfig
) -> list[Row]:
    """Pairing accuracy of each model by group of places, and by how near and how alike the wrong tiles are.

    For each slice the gap stands beside what noise would show.

    One row a group, with ``label`` the model, ``slice`` and ``group``; a slice's gap stands in the row of its group
    ``all``. Cities are resampled as wholes; where the city is unknown, questions on the same tiles.
    """
    rows: list[Row] = []
    columns, sets = ladder_columns(questions), tile_sets(questions)
    for label in labels:
        asked = _of(predictions, label, columns)
        report = bias_report(
            asked,
            columns=columns,
            names=(*BIAS_SLICES, NEAREST, ALIKE),
            clusters=[p.true_city or sets[p.item_id] for p in asked],
            resamples=config.bootstrap_resamples,
            seed=config.seed,
        )
        for scores in report:
            gap = dataclasses.asdict(scores.gap) if scores.gap else {}
            for group in slice_rows(scores):
                name = group.pop("label")
                row = {"label": label, "slice": scores.name, "group": name, **group}
                rows.append(to_json_values(row | ({"gap": gap} if name == "all" else {})))
    return rows


def import_rows(real_data: Path | str, config: EvaluationConfig) -> tuple[list[Row], list[Prediction]]:
    """Score other models' real outputs, those that lie under a folder.

    Args:
        real_data: Folder with ``imageo/pcw_*.jsonl`` beside ``imageo/pcw_labels.csv``, and ``geoguess/*.csv``.
        config: For the bootstrap.

    Returns:
        Rows, and the predictions behind them.
    """
    rows, imported = [], []
    labels = Path(real_data) / "imageo" / IMAGEO_LABELS
    for path in sorted(labels.parent.glob("pcw_*.jsonl")) if labels.is_file() else []:
        predictions = read_imageo(path, labels)
        row = {**geolocation_row(predictions, config), "dataset": "imageo-pcw"}
        official = {f"official_{name}": value for name, value in imageo_official(path, labels).items()}
        strict = imageo_strict(predictions)
        kept = ("city_accuracy_all", "country_accuracy_all_us_aliases")
        rows.append({**row, **official, **{f"strict_{name}": strict[name] for name in kept}})
        imported.extend(predictions)
    for path in sorted((Path(real_data) / "geoguess").glob("*.csv")):
        predictions = read_geoguess(path)
        rows.append({**geolocation_row(predictions, config), "dataset": "geoguess"})
        imported.extend(predictions)
    return [to_json_values(row) for row in rows], imported


def to_json_values(value: Any) -> Any:
    """The same value with infinities and NaN as None, for JSON."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: to_json_values(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_json_values(item) for item in value]
    return value


def _paired_row(
    first: str,
    second: str,
    before: list[Prediction],
    after: list[Prediction],
    groups: Mapping[str, Hashable],
    config: EvaluationConfig,
) -> Row:
    first_accuracy, second_accuracy = item_accuracies(before), item_accuracies(after)
    if first_accuracy.keys() != second_accuracy.keys():
        raise ValueError(f"{first} and {second} were asked different questions; paired figures need the same")
    items = sorted(first_accuracy)
    clusters = [groups[item] for item in items]
    difference = paired_bootstrap_difference(
        [first_accuracy[item] for item in items],
        [second_accuracy[item] for item in items],
        clusters=clusters,
        resamples=config.bootstrap_resamples,
        seed=config.seed,
    )
    single = [{p.item_id: p.correct for p in group if p.rotation == 0} for group in (before, after)]
    right = ([one[item] for item in items] for one in single)
    test = mcnemar_exact(*right, clusters=clusters)
    row = {"label": f"{first} → {second}", "first": first, "second": second, "n": len(items)}
    return to_json_values({**row, **_interval("difference", difference, plain=True), **dataclasses.asdict(test)})


def _of(predictions: Sequence[Prediction], label: str, items: Collection[str]) -> list[Prediction]:
    return [
        p
        for p in predictions
        if p.model == label and p.task == "pairing" and p.condition == "normal" and p.item_id in items
    ]


def _interval(name: str, interval: Interval, *, plain: bool = False) -> Row:
    prefix = "" if plain else f"{name}_"
    return {name: interval.estimate, f"{prefix}low": interval.low, f"{prefix}high": interval.high}


def _estimate(scores: Mapping[str, PairingScore], condition: str) -> float | None:
    return scores[condition].accuracy.estimate if condition in scores else None
