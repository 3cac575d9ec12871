"""Score other models' stored outputs: ``python -m geor1.evaluation.outputs KIND FILE … [--labels CSV] [--preset P]``.

KIND is ``imageo`` (result JSONL, with the labels' CSV), ``geoguess`` (CSV), ``osv5m`` (``select.csv``) or
``predictions`` (this project's JSONL, geolocation alone). Printed: one row a model, the rule, what could not be used by
reason, defects of the labels, and every two models item by item. ``--bias`` adds groups of places (and of the labels'
own columns, ``--columns weather,lighting_condition``), the gap between them beside what noise shows; ``--json`` writes
all of it.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from geor1.evaluation.bias import bias_report, slice_rows
from geor1.evaluation.columns import columns_of, true_cells
from geor1.evaluation.comparison import ItemsDifferError, compare_geolocation, comparison_row
from geor1.evaluation.defects import truth_defects
from geor1.evaluation.geolocation import score_geolocation, score_row
from geor1.evaluation.importers import read_geoguess, read_imageo
from geor1.evaluation.osv5m import read_osv5m
from geor1.evaluation.presets import PRESETS, ScoringPreset, preset_named
from geor1.evaluation.slices import Columns, place_cells, read_columns
from geor1.evaluation.tables import to_json_values
from geor1.records import Prediction, RecordError, read_jsonl
from geor1.runs import write_json
from geor1.runs.scores import format_table

KINDS = ("imageo", "geoguess", "osv5m", "predictions")


def read_outputs(kind: str, path: Path | str, labels: Path | str | None = None) -> list[list[Prediction]]:
    """The geolocation predictions of a file, one list a model.

    Args:
        kind: One of :data:`KINDS`.
        path: The file.
        labels: CSV of the labels, ``imageo`` only.

    Raises:
        RecordError: The file does not fit, or holds no geolocation predictions.
        ValueError: An unknown kind, or ``imageo`` without labels.
    """
    if kind not in KINDS:
        raise ValueError(f"kind {kind!r}: expected one of {', '.join(KINDS)}")
    if (kind == "imageo") != (labels is not None):
        raise ValueError("labels: expected the labels' CSV with kind imageo, and there alone")
    if kind == "imageo":
        return [read_imageo(path, labels or "")]
    if kind == "geoguess":
        return [read_geoguess(path)]
    if kind == "osv5m":
        header = Path(path).read_text(encoding="utf-8").split("\n", 1)[0]
        both = [("osv5m", ""), ("osv5m baseline", "_base")] if "pred_lat_base" in header else [("osv5m", "")]
        return [read_osv5m(path, model=model, suffix=suffix) for model, suffix in both]
    found: dict[str, list[Prediction]] = {}
    for prediction in read_jsonl(Path(path), Prediction):
        if (prediction.task, prediction.condition, prediction.sample) == ("geolocation", "normal", 0):
            found.setdefault(prediction.model, []).append(prediction)
    if not found:
        raise RecordError(f"{path}: no geolocation predictions under normal conditions")
    return list(found.values())


def score_outputs(
    runs: Sequence[Sequence[Prediction]],
    *,
    preset: ScoringPreset,
    intersect: bool = False,
    by_cell: bool = False,
    resamples: int = 2000,
    seed: int = 0,
) -> dict[str, list[dict[str, Any]]]:
    """Score several models under one convention, and compare every two.

    Args:
        runs: Predictions of one model each.
        preset: The convention.
        intersect: Compare models over different items on those that they share.
        by_cell: Resample cells of 0.01° instead of items.
        resamples: Bootstrap draws.
        seed: Of the bootstrap.

    Returns:
        ``models``, ``compared`` and ``defects`` of the labels, flat rows ready for JSON.

    Raises:
        ItemsDifferError: Models over different items, without ``intersect``.
        ValueError: Two runs of one name, or nothing to score.
    """
    names = [run[0].model for run in runs]
    if len(set(names)) < len(names):
        raise ValueError(f"models: expected different names, got {names}; rename the files or their model field")
    options: dict[str, Any] = {"preset": preset, "resamples": resamples, "seed": seed}
    scored = []
    for run in runs:
        clusters = true_cells(columns_of(run)) if by_cell else None
        scored.append(to_json_values(score_row(score_geolocation(run, clusters=clusters, **options))))
    compared = [
        comparison_row(
            compare_geolocation(*pair, intersect=intersect, clusters_of=true_cells if by_cell else None, **options)
        )
        for pair in itertools.combinations(runs, 2)
    ]
    defects = {(defect.item_id, defect.kind): vars(defect) for run in runs for defect in truth_defects(run)}
    return {"models": scored, "compared": to_json_values(compared), "defects": to_json_values(list(defects.values()))}


def bias_of_outputs(
    runs: Sequence[Sequence[Prediction]], *, columns: Columns | None = None, resamples: int = 1000, seed: int = 0
) -> list[dict[str, Any]]:
    """Every model's scores by group of places, cells of 0.01° resampled as wholes.

    Args:
        runs: Predictions of one model each.
        columns: Further columns by item id, such as weather.
        resamples: Bootstrap draws and shuffles.
        seed: Of both.

    Returns:
        One row a group, with ``label`` the model, ``slice`` and ``group``; the gap stands in the row of ``all``.
    """
    rows = []
    for run in runs:
        report = bias_report(run, columns=columns, clusters=place_cells(run), resamples=resamples, seed=seed)
        for scores in report:
            gap = dataclasses.asdict(scores.gap) if scores.gap else None
            for row in slice_rows(scores):
                group = row.pop("label")
                found = {"label": run[0].model, "slice": scores.name, "group": group, **row}
                rows.append(to_json_values(found | ({"gap": gap} if group == "all" else {})))
    return rows


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the arguments, score, print."""
    parser = argparse.ArgumentParser(prog="python -m geor1.evaluation.outputs", description=__doc__.splitlines()[0])
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--labels", type=Path, help="labels' CSV, for imageo")
    parser.add_argument("--preset", default="strict", choices=list(PRESETS), help="the convention")
    parser.add_argument("--intersect", action="store_true", help="compare on shared items where items differ")
    parser.add_argument("--cells", action="store_true", help="resample cells of 0.01 degrees instead of items")
    parser.add_argument("--bias", action="store_true", help="also by group of places")
    parser.add_argument("--columns", default="", help="further columns of --labels to group by, with commas")
    parser.add_argument("--resamples", type=int, default=2000)
    parser.add_argument("--json", type=Path, help="also write everything here")
    given = parser.parse_args(arguments)
    preset = preset_named(given.preset)
    try:
        runs = [run for file in given.files for run in read_outputs(given.kind, file, given.labels)]
        result = score_outputs(
            runs, preset=preset, intersect=given.intersect, by_cell=given.cells, resamples=given.resamples
        )
        if given.bias:
            names = [name for name in given.columns.split(",") if name]
            columns = read_columns(given.labels, key="image_id", names=names) if names and given.labels else None
            result["bias"] = bias_of_outputs(runs, columns=columns, resamples=given.resamples)
    except (RecordError, ItemsDifferError, ValueError, OSError) as error:
        sys.exit(f"{type(error).__name__}: {error}")
    hidden = ("rule", "condition", "failures")
    shown = [
        {name: value for name, value in row.items() if name not in hidden and not name.endswith(("_low", "_high"))}
        for row in result["models"]
    ]
    print(format_table(shown), preset.rule, sep="\n\n")
    for row in result["models"]:
        print(f"{row['label']}: not usable {row['failures'] or 'none'}")
    for row in result["compared"]:
        ends = f"[{row['geoscore_low']:.1f}, {row['geoscore_high']:.1f}]"
        print(f"{row['label']}: GeoScore {row['geoscore']:+.1f} {ends}, n = {row['n']}, {row['clusters']} clusters")
    for row in result.get("bias", ()):
        if gap := row.get("gap"):
            print(
                f"{row['label']} by {row['slice']}: {gap['best']} minus {gap['worst']} "
                f"{gap['difference']['estimate']:.3f} within 750 km, noise alone {gap['expected_difference']:.3f}, "
                f"adjusted p {gap['p_any_holm']:.3f}"
            )
    if result["defects"]:
        print(f"{len(result['defects'])} labels with defects; they count, --json lists them")
    if given.json:
        write_json(given.json, result)


if __name__ == "__main__":
    main()
