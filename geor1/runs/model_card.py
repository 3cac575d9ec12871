"""The card of a trained model, made from its run's manifest: nothing is written by hand, nothing is guessed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from geor1.runs.errors import ManifestError
from geor1.runs.manifest import read_manifest
from geor1.runs.profiles import notebooks_dir
from geor1.runs.scores import read_table

SMALL_BASE = "the 2-million-parameter base that geor1 ships (rendered pictures, two dozen words; a demonstration)"
_WHAT = {
    "02_scaffold_sft": "supervised fine-tuning on chains of thought whose pairing answers are random: it learns the "
    "form, not the answers",
    "03_grpo": "GRPO on cross-view pairing: which satellite tile shows the place of a ground panorama; the reward "
    "knows that one label and no other",
}


def model_card(run_dir: Path, manifest: Mapping[str, Any], repo_id: str, licence: str) -> str:
    """Return the README of a model repository.

    Args:
        run_dir: Finished run folder of stage 02 or 03, in its folder of all runs.
        manifest: Its manifest.
        repo_id: ``owner/name``.
        licence: The hub's name of a licence.
    """
    base, hub_base = base_of(run_dir, manifest)
    front = {
        "license": licence,
        **({"base_model": hub_base} if hub_base else {}),
        "library_name": "transformers",
        "pipeline_tag": "image-text-to-text",
        "tags": ["geospatial", "cross-view", "geolocation", "grpo" if manifest["stage"] == "03_grpo" else "sft"],
    }
    lines = ["---", *(f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in front.items()), "---", ""]
    lines += [f"# {repo_id.partition('/')[2]}", "", f"Made by {_WHAT[manifest['stage']]}.", ""]
    lines += [f"- Base: {base}.", *_provenance(manifest), "", *_figures(run_dir, manifest), *_use(repo_id)]
    lines += ["## Parameters", "", "```json", json.dumps(manifest["parameters"], indent=1), "```", ""]
    return "\n".join(lines)


def base_of(run_dir: Path, manifest: Mapping[str, Any]) -> tuple[str, str]:
    """Return what a model was trained from, in words, and its hub name if it has one.

    Args:
        run_dir: Run folder of stage 02 or 03.
        manifest: Its manifest.
    """
    if manifest["stage"] == "03_grpo":
        entry = manifest["inputs"]["checkpoint"]
        before = run_dir.parents[2] / entry["path"] if entry.get("in_runs") else None
        upstream = read_manifest(before) if before is not None and before.is_dir() else None
        if upstream is None:
            return f"the checkpoint {entry.get('key', entry.get('name'))}", ""
        words, hub_name = base_of(before, upstream)
        return f"{words}, then {upstream['stage']} (run {upstream['key']})", hub_name
    name = manifest["parameters"]["base_model"]
    if not name:
        return SMALL_BASE, ""
    if name.startswith((".", "~", "/")) or name.count("/") != 1 or _is_here(name):
        return f"a local folder, {Path(name).name}", ""
    return name, name


def _is_here(name: str) -> bool:
    """Whether a name like a hub's is a folder: relative to where a script, or a notebook, would look."""
    return any((place / name).is_dir() for place in (Path.cwd(), notebooks_dir()))


def scored_by(run_dir: Path, manifest: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Yield the evaluations in the same folder of runs that scored this very model: its row, and their manifest."""
    for path in sorted((run_dir.parents[1] / "04_evaluation").glob("*/manifest.json")):
        try:
            evaluation = read_manifest(path.parent)
            rows = read_table(path.parent) if evaluation else []
        except ManifestError:
            continue  # a damaged evaluation says nothing of this model
        models = evaluation["inputs"].get("models", {}) if evaluation else {}
        labels = {label for label, model in models.items() if model and model.get("key") == manifest["key"]}
        yield from ((row, evaluation) for row in rows if row["label"] in labels and evaluation is not None)


def _provenance(manifest: Mapping[str, Any]) -> list[str]:
    git, hardware = manifest["code"]["git"], manifest["hardware"]
    commit = f"{git['sha']}{' with edits' if git['dirty'] else ''}" if git["sha"] else "unknown"
    machine = ", ".join(hardware["gpus"]) or f"{hardware['cores']} CPU cores ({hardware['processor']})"
    launch = manifest.get("launch") or {}
    how = launch.get("launcher") or ("a file for accelerate" if launch.get("accelerate_config") else "ddp")
    processes = f", {launch['processes']} processes ({how})" if launch.get("processes") else ""
    data = manifest["inputs"].get("data") or {}
    packages = ", ".join(f"{name} {manifest['packages'][name]}" for name in ("torch", "transformers", "trl", "peft")
                         if name in manifest["packages"])  # fmt: skip
    return [
        f"- Run: stage {manifest['stage']}, profile {manifest['profile']}, key {manifest['key']}, begun "
        f"{manifest['started']}, seeds {json.dumps(manifest['seeds'])}.",
        f"- Data: run {data.get('key', data.get('name', 'unknown'))} of stage {data.get('stage', 'unknown')}.",
        f"- Code: geor1 {manifest['packages'].get('geor1', 'unknown')}, commit {commit}; {packages}.",
        f"- Machine: {machine}{processes}; the last attempt took {manifest['wall_s'] / 60:.1f} minutes.",
    ]


def _figures(run_dir: Path, manifest: Mapping[str, Any]) -> list[str]:
    lines = ["## Figures", "", "| of training | |", "|---|---:|"]
    lines += [f"| {name} | {_short(value)} |" for name, value in manifest["metrics"].items()]
    scored = list(scored_by(run_dir, manifest))
    if not scored:
        return [*lines, "", "No evaluation of this model lies beside it.", ""]
    lines += ["", "| pairing on unseen cities | accuracy | 95 % interval | n | unusable answers | labels seen |",
              "|---|---:|---:|---:|---:|---:|"]  # fmt: skip
    for row, evaluation in scored:
        lines.append(
            f"| evaluation {evaluation['key']} | {row['accuracy']:.3f} | {row['low']:.3f} … {row['high']:.3f} | "
            f"{row['n']} | {_short(row.get('parse_failures'))} | {_short(row.get('pairing_labels_seen'))} |"
        )
    return [*lines, ""]


def _use(repo_id: str) -> list[str]:
    return [
        "## Use",
        "",
        "```python",
        "from geor1.models.generate import generate",
        "from geor1.models.loading import load_model, load_processor",
        "",
        f'model, processor = load_model("{repo_id}"), load_processor("{repo_id}")',
        "```",
        "",
        "Its answers are a model's answers: coordinates and facts in a chain of thought may be wrong. The base model's",
        "limits and terms hold here too.",
        "",
    ]


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
