"""The dataset card: a README.md that people read and ``datasets.load_dataset(folder, config)`` obeys."""

from __future__ import annotations

from pathlib import Path
from typing import Any

_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


def write_card(run_dir: Path, report: dict[str, Any], config: dict[str, Any]) -> Path:
    """Write the card of a data set.

    Args:
        run_dir: Folder of the data set.
        report: Counts, as in ``report.json``.
        config: The parameters.

    Returns:
        Path of ``README.md``.
    """
    synthetic = config["source"] == "world"
    path = run_dir / "README.md"
    path.write_text(
        "\n".join((*_front_matter(run_dir, report, synthetic), *_body(report, config, synthetic))), encoding="utf-8"
    )
    return path


def data_files(run_dir: Path) -> dict[str, dict[str, str]]:
    """Subset -> split -> file, of what the folder holds; Parquet where it exists, else JSON Lines."""
    wanted = {
        "questions": {"train": "questions_train", "test": "questions_test", "real": "questions_real"},
        "pairs": {"train": "pairs"},
        "scaffolds": {"train": "scaffolds"},
        "labelled_scaffolds": {"train": "labelled_scaffolds"},
    }
    found: dict[str, dict[str, str]] = {}
    for subset, splits in wanted.items():
        for split, stem in splits.items():
            lines = run_dir / f"{stem}.jsonl"
            if not lines.is_file() or lines.stat().st_size == 0:
                continue
            packed = run_dir / "parquet" / f"{stem}.parquet"
            found.setdefault(subset, {})[split] = f"parquet/{stem}.parquet" if packed.is_file() else f"{stem}.jsonl"
    return found


def _front_matter(run_dir: Path, report: dict[str, Any], synthetic: bool) -> list[str]:
    questions = sum(report["questions"].values())
    size = next((label for bound, label in _SIZES if questions < bound), "n>1M")
    lines = ["---", "pretty_name: Geo-R1 cross-view pairing", "language: [en]"]
    lines += ["license: cc-by-4.0"] if synthetic else ["license: other", "license_name: as-the-source-images"]
    lines += ["task_categories: [visual-question-answering]", f"size_categories: ['{size}']"]
    lines += [f"tags: [geospatial, cross-view, geolocation{', synthetic' if synthetic else ''}]", "configs:"]
    for subset, splits in data_files(run_dir).items():
        lines += [f"- config_name: {subset}", *(["  default: true"] if subset == "questions" else []), "  data_files:"]
        for split, file in splits.items():
            lines += [f"  - split: {split}", f"    path: {file}"]
    return [*lines, "---", ""]


def _body(report: dict[str, Any], config: dict[str, Any], synthetic: bool) -> list[str]:
    origin = (
        "All images are **synthetic**: scenes of a miniature Earth, rendered from real geography (city positions from "
        "GeoNames, CC BY 4.0; climate, relief, coast and surface colour from public layers). No photograph is involved."
        if synthetic
        else "Images were read from files and stripped of metadata; those of another size were encoded anew. "
        "Their licence is that of their source."
    )
    chains = report["scaffolds"]
    k = config["candidates"]
    return [
        "# Cross-view pairing questions",
        "",
        "Which of the lettered satellite tiles shows the same place as the ground panorama?",
        origin,
        "",
        "| | count |",
        "|---|---:|",
        *(f"| pairs, {split} | {count} |" for split, count in report["pairs"].items()),
        *(f"| questions, {split} | {count} |" for split, count in report["questions"].items()),
        *(f"| chains of thought, {kind} | {chains[kind]['kept']} of {chains[kind]['written']} |" for kind in chains),
        f"| cities / countries | {report['cities']} / {report['countries']} |",
        "",
        f"- **Questions**: 1 panorama, up to {k} tiles, one of them the same place, its letter uniform. The others lie",
        f"  in the same neighbourhood, {_reach(report, config)} away; difficulty "
        f"`{config['difficulty']}`. No city is in both splits."
        + (" Each set of tiles is asked about once for each of its places." if config["share_sets"] else ""),
        "- **Chains of thought** of the kind `unmatched` never show a panorama beside its own tile, so they carry no",
        "  pairing label (`pairing_labels_seen` is 0); `labelled` ones do (1), for a control. Chains with a fact that",
        "  contradicts the metadata were dropped.",
        "- **File names** say nothing of place or pairing, and images carry no EXIF. The records do: show a model",
        "  `prompt` and images only.",
        "",
        *_probes(report),
        "Chance level is 1 / K. Image paths in the JSON Lines files are relative to this folder; `report.json` holds",
        "all counts.",
        "",
    ]


def _reach(report: dict[str, Any], config: dict[str, Any]) -> str:
    """How near and far negatives are, where positions are known."""
    least = report["separation"]["least_m"]
    return f"{'' if least is None else f'{least:g} to '}{config['max_radius_m']:g} m"


def _probes(report: dict[str, Any]) -> list[str]:
    """What the anti-shortcut probes found, or that nobody looked."""
    probes = report.get("probes")
    if probes is None:
        return ["Anti-shortcut probes were not run.", ""]
    lines = ["## Can the right tile be told without looking?", ""]
    for split, one in probes["sets"].items():
        lines += [
            f"Probes on {one['n_tested']} of {one['n_questions']} {split} questions, learnt on {one['learnt_on']}; "
            f"chance {100 * one['chance']:.1f} %. `alone` and `traces` must stay there; `cues` compare the "
            "views and are weak content.",
            "",
            "| probe | kind | sees | accuracy (95 %) | verdict | finds leaks from |",
            "|---|---|---|---:|---|---:|",
            *(
                f"| {row['name']} | {row['kind']} | {row['sees']} | {_accuracy(row)} | {_verdict(row)} | "
                f"{'any: all alike' if row['constant'] else format(100 * row['detectable'], '.0f') + ' %'} |"
                for row in one["probes"]
            ),
            "",
        ]
    return lines


def _verdict(row: dict[str, Any]) -> str:
    return row["verdict"] + (", below" if row["verdict"] == "leak" and row["accuracy"] < row["chance"] else "")


def _accuracy(row: dict[str, Any]) -> str:
    if row["accuracy"] is None:
        return "too few questions"
    return f"{100 * row['accuracy']:.1f} ({100 * row['low']:.1f} to {100 * row['high']:.1f})"
