"""Sweeps: the Cartesian product of parameter values and seeds, each point a run of the notebooks from one stage on.

A point changes values of the profile (:func:`geor1.runs.profiles.overridden`), so that parameters count that no
parameters cell names, and the notebooks after the swept stage find the swept run as the profile's own. Stages before it
are run or found as always, and shared by all points. What each point gave is kept in
``runs/<profile>/sweeps/points/``: a finished one returns at once, also to another sweep, and one element of a Slurm
array (``--index``) leaves its part of the table there.
"""

from __future__ import annotations

import dataclasses
import datetime
import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from geor1.runs.config import config_class_of, config_fields
from geor1.runs.errors import ConfigError, ManifestError, NotebookFailedError, did_you_mean
from geor1.runs.files import sha256_of_json, write_json
from geor1.runs.launch import execute, parse_given
from geor1.runs.logs import announce
from geor1.runs.manifest import check_products, read_manifest
from geor1.runs.notebook import Declared, notebook_declarations
from geor1.runs.pipeline import is_current
from geor1.runs.profiles import STAGES, check_stage, load_profile, notebooks_dir, overridden, own_seed
from geor1.runs.scores import read_table
from geor1.runs.typed import check_value, to_plain

SWEEPS_FOLDER = "sweeps"
DEFAULT_METRICS = {  # of the last stage of a sweep: "label.column" of its score table, or a figure of its summary
    "01_data_synthesis": "questions_train",
    "02_scaffold_sft": "mean_token_accuracy",
    "03_grpo": "heldout_accuracy_last",
    "04_evaluation": "grpo.accuracy",
}
HELD_OUT_METRICS = ("heldout_accuracy_first", "heldout_accuracy_last")  # of 03, measured only with eval_every


@dataclasses.dataclass(frozen=True)
class Sweep:
    """What is to be run.

    Attributes:
        profile: Profile name.
        stages: The stages of each point, in order.
        grid: Values by ``stage.parameter``, in the order given.
        seeds: Seeds of each point.
        metric: What the table is about.
    """

    profile: str
    stages: tuple[str, ...]
    grid: dict[str, tuple[Any, ...]]
    seeds: tuple[int, ...]
    metric: str

    @property
    def points(self) -> list[tuple[dict[str, Any], int]]:
        """Parameter values and seed of each element, the seed varying fastest."""
        combinations = itertools.product(*self.grid.values())
        return [
            (dict(zip(self.grid, values, strict=True)), seed)
            for values, seed in itertools.product(combinations, self.seeds)
        ]

    @property
    def name(self) -> str:
        """Name of the table's files: the first stage, and a hash of the rest."""
        return f"{self.stages[0]}-{sha256_of_json(to_plain(self))[:8]}"


def read_sweep(
    stage: str, assignments: Sequence[str], *, profile: str, seeds: Sequence[int] | None, until: str, metric: str
) -> Sweep:
    """Read what a command line asks for, and refuse what no notebook knows before anything runs.

    Args:
        stage: First stage of each point, to which plain parameter names belong.
        assignments: ``parameter=value,value`` or ``stage.parameter=value,value``, values as YAML (lists in brackets).
        profile: Profile name.
        seeds: Seeds of each point; None for the profile's own.
        until: Last stage.
        metric: As in :class:`Sweep`; empty for the last stage's usual one.

    Raises:
        ConfigError: A stage, profile or parameter that does not exist, a value of the wrong type, or a figure that a
            point does not measure.
    """
    first, last = STAGES.index(check_stage(stage)), STAGES.index(check_stage(until))
    if last < first:
        raise ConfigError(f"--until {until}: expected a stage from {STAGES[first]} on")
    load_profile(profile)
    stages = STAGES[first : last + 1]
    grid: dict[str, tuple[Any, ...]] = {}
    for assignment in assignments:
        name, values = _read_assignment(assignment, stages)
        if name in grid:
            raise ConfigError(f"{name} stands twice; give all its values at once: {name}=…,…")
        grid[name] = values
    if not grid:
        raise ConfigError("expected at least one parameter=value,value, as in learning_rate=1.0e-6,3.0e-6")
    if stages[-1] not in DEFAULT_METRICS and not metric:
        raise ConfigError(f"--metric: expected a figure of {stages[-1]}")
    metric = metric or DEFAULT_METRICS[stages[-1]]
    if stages[-1] == "03_grpo" and metric in HELD_OUT_METRICS:
        _check_held_out(profile, grid, metric)
    own = (own_seed(profile, stages[-1]),) if seeds is None else tuple(seeds)
    return Sweep(profile, stages, grid, own, metric)


def run_point(sweep: Sweep, index: int, runs_dir: Path) -> dict[str, Any]:
    """Run one element, or return what it gave before.

    Args:
        sweep: The sweep.
        index: Place in :attr:`Sweep.points`.
        runs_dir: Folder of all runs.

    Returns:
        ``parameters``, ``seed``, ``runs`` (folders by stage, relative to ``runs_dir``) and either ``finished`` or
        ``error``.

    Raises:
        NotebookFailedError: Only if the run was asked to stop; any other failure is noted in ``error``.
    """
    parameters, seed = sweep.points[index]
    changes = _changes(parameters)
    path = point_file(sweep, index, runs_dir)
    with overridden(sweep.profile, changes):
        known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
        if known is not None and "finished" in known and _is_sound(known, runs_dir):
            announce(f"[{index + 1}/{len(sweep.points)}] {shown(parameters, seed)}: finished before")
            return known
        announce(f"[{index + 1}/{len(sweep.points)}] {shown(parameters, seed)}")
        note: dict[str, Any] = {"parameters": parameters, "seed": seed, "runs": {}}
        try:
            for stage in sweep.stages:
                declared = notebook_declarations(notebooks_dir() / f"{stage}.ipynb")
                given = {"seed": seed} if "seed" in declared else {}
                done = execute(stage, sweep.profile, given, runs_dir)
                note["runs"][stage] = done.run_dir.relative_to(runs_dir).as_posix()
            note["finished"] = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        except (NotebookFailedError, OSError, ValueError) as error:
            if getattr(error, "error_name", "") == "RunStoppedError":
                raise
            note["error"] = str(error)
            announce(f"failed, the other points go on: {error}")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, note)
    return note


def point_file(sweep: Sweep, index: int, runs_dir: Path) -> Path:
    """Return where a point's note lies: the same for every sweep that holds this point, until the profile changes."""
    parameters, seed = sweep.points[index]
    sections = load_profile(sweep.profile)  # of the stages before the swept one as well: the points are built upon them
    profile = {stage: sections[stage] for stage in STAGES[: STAGES.index(sweep.stages[-1]) + 1]}
    identity = {"stages": sweep.stages, "parameters": parameters, "seed": seed, "profile": profile}
    folder = runs_dir / sweep.profile / SWEEPS_FOLDER / "points"
    return folder / f"{sha256_of_json(to_plain(identity))[:16]}.json"


def figure_of(note: Mapping[str, Any], metric: str, runs_dir: Path) -> float:
    """Return a point's figure.

    Args:
        note: From :func:`run_point`, finished.
        metric: ``label.column`` of the score table of the last stage, or a name in its ``metrics``.
        runs_dir: Folder of all runs.

    Raises:
        ConfigError: The last stage has no such figure.
    """
    run_dir = runs_dir / list(note["runs"].values())[-1]
    manifest = read_manifest(run_dir) or {"metrics": {}}
    figures = {name: value for name, value in manifest["metrics"].items() if isinstance(value, (int, float))}
    if (run_dir / "scores.json").exists():
        for row in read_table(run_dir):
            numbers = {name: value for name, value in row.items() if isinstance(value, (int, float))}
            figures |= {f"{row['label']}.{name}": value for name, value in numbers.items()}
    if metric not in figures:
        raise ConfigError(f"--metric: {run_dir.name} has no figure {metric!r}{did_you_mean(metric, figures)}")
    return float(figures[metric])


def shown(parameters: Mapping[str, Any], seed: int | None = None) -> str:
    """Return ``learning_rate=1e-06, beta=0.04, seed 0``; stages are left out."""
    named = ", ".join(f"{name.partition('.')[2]}={value}" for name, value in parameters.items())
    return named if seed is None else f"{named}, seed {seed}"


def _check_held_out(profile: str, grid: Mapping[str, tuple[Any, ...]], metric: str) -> None:
    """Refuse a figure of held-out questions where a point of the sweep evaluates none."""
    usual = load_profile(profile)["03_grpo"].get("eval_every", config_class_of("03_grpo").eval_every)
    if 0 in grid.get("03_grpo.eval_every", (usual,)):
        raise ConfigError(
            f"{metric} is not measured with eval_every=0 (profile {profile}, 03_grpo); set eval_every in the profile, "
            "name another figure by --metric, or judge by stage 04 (--until 04)"
        )


def _read_assignment(assignment: str, stages: Sequence[str]) -> tuple[str, tuple[Any, ...]]:
    target, equals, text = assignment.partition("=")
    stage, dot, name = target.rpartition(".")
    stage = check_stage(stage) if dot else stages[0]
    if not equals or not name.isidentifier() or not text:
        raise ConfigError(f"{assignment}: expected parameter=value,value, as in beta=0.0,0.04")
    if stage not in stages:
        raise ConfigError(f"{assignment}: {stage} is not run by this sweep, which runs {', '.join(stages)}")
    known = _known_parameters(stage)
    if name == "seed":
        raise ConfigError(f"{assignment}: give seeds as --seeds 0 1 2")
    if name not in known:
        raise ConfigError(f"{stage}: no parameter {name!r}{did_you_mean(name, known)}")
    declared = {name: Declared(known[name], None)}
    where = f"{stage}: {name}"
    values = tuple(check_value(parse_given(name, one, declared), known[name], where) for one in _listed(text))
    if len(set(map(repr, values))) < len(values):
        raise ConfigError(f"{assignment}: a value stands twice")
    return f"{stage}.{name}", values


def _listed(text: str) -> list[str]:
    """Cut at the commas that stand outside brackets: a value may be a list or a mapping in YAML's short form.

    >>> _listed("[[0, 500, 1]],[[500, 2000, 1]]")
    ['[[0, 500, 1]]', '[[500, 2000, 1]]']
    """
    values, depth = [""], 0
    for letter in text:
        depth += (letter in "[{") - (letter in "]}")
        if letter == "," and depth == 0:
            values.append("")
        else:
            values[-1] += letter
    return values


def _known_parameters(stage: str) -> dict[str, Any]:
    """Types by name: of the stage's config, and of the notebook's own parameters."""
    cell = notebook_declarations(notebooks_dir() / f"{stage}.ipynb")
    declared = {name: one.annotation for name, one in cell.items() if name in load_profile("miniature")[stage]}
    return {**declared, **config_fields(stage)}


def _changes(parameters: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    changes: dict[str, dict[str, Any]] = {}
    for target, value in parameters.items():
        stage, _, name = target.rpartition(".")
        changes.setdefault(stage, {})[name] = to_plain(value)
    return changes


def _is_sound(note: Mapping[str, Any], runs_dir: Path) -> bool:
    """Tell whether the last run of a point is still there, made by the present code from present inputs."""
    try:
        for place in note["runs"].values():
            manifest = read_manifest(runs_dir / place)
            if manifest is None or not is_current(manifest, runs_dir):
                return False
            check_products(runs_dir / place, manifest)
    except ManifestError:
        return False
    return True
