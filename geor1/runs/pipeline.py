"""What a stage needs from the stages before it: find their finished runs, or make them, or say how."""

from __future__ import annotations

import dataclasses
import logging
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from geor1.runs.errors import ManifestError, MissingUpstreamError
from geor1.runs.keys import code_version, fingerprint, without
from geor1.runs.logs import announce
from geor1.runs.manifest import check_products, read_manifest
from geor1.runs.profiles import about_profile, check_stage, load_profile
from geor1.runs.stages import ASKED_FOR, RECORD_VARIABLE
from geor1.runs.typed import to_plain


@dataclasses.dataclass(frozen=True)
class FoundRun:
    """A finished run found on the disk.

    Attributes:
        path: The run folder.
        manifest: Content of its ``manifest.json``.
    """

    path: Path
    manifest: dict[str, Any]


def upstream(stage: str, profile: str, runs_dir: Path | str, **overrides: Any) -> Path:
    """Return the finished run folder of an earlier stage, for the profile's parameters and these overrides.

    Only a run of the present code counts, whose inputs are the profile's own (same seed). If there is none, a profile
    that runs missing stages by itself (``miniature``, ``smoke``) runs the notebook first, announced; any other stops.

    Args:
        stage: Stage name, e.g. ``02_scaffold_sft``.
        profile: Profile name.
        runs_dir: Folder of all runs.
        **overrides: Parameters of that stage other than the profile's, usually ``seed=seed``.

    Returns:
        The run folder.

    Raises:
        MissingUpstreamError: If there is none and the profile does not run stages by itself.
        NotebookFailedError: If the notebook that makes it stopped with an error.
        ConfigError: Unknown stage or profile.
    """
    stage, runs_dir = check_stage(stage), Path(runs_dir).resolve()
    found = next(iter(find_runs(stage, profile, runs_dir, **overrides)), None)
    folder = found.path if found else _made_now(stage, profile, runs_dir, overrides)
    ASKED_FOR[folder] = to_plain(overrides)
    return folder


def _made_now(stage: str, profile: str, runs_dir: Path, overrides: Mapping[str, Any]) -> Path:
    """Run the notebook of a missing stage, or say with which command that is done."""
    command = _command(stage, profile, runs_dir, overrides)
    if not about_profile(profile).run_missing_stages:
        raise MissingUpstreamError(
            f"no finished run of {stage} for profile {profile} {_shown(overrides)}in {runs_dir}; "
            f"make it with: {' '.join(['geor1', *command])}"
        )
    announce(f"{stage}: no finished run for profile {profile} {_shown(overrides)}yet, running it first")
    return run_in_process_of_its_own(stage, command)


def find_runs(stage: str, profile: str, runs_dir: Path | str, **overrides: Any) -> list[FoundRun]:
    """Return the finished runs that answer to a profile's parameters and these overrides, newest first.

    Args:
        stage: Stage name.
        profile: Profile name.
        runs_dir: Folder of all runs.
        **overrides: Parameters of that stage other than the profile's.
    """
    runs_dir = Path(runs_dir).resolve()
    wanted = {**load_profile(profile)[check_stage(stage)], **to_plain(overrides)}
    return [
        run
        for run in finished_runs(stage, profile, runs_dir)
        if _has_parameters(run.manifest, wanted) and is_current(run.manifest, runs_dir)
    ]


def finished_runs(stage: str, profile: str, runs_dir: Path | str) -> Iterator[FoundRun]:
    """Yield the sound finished runs of a stage under a profile, newest first; damaged ones are logged and left out."""
    folders = (Path(runs_dir) / profile / stage).glob("*/manifest.json")
    for path in sorted(folders, key=lambda path: path.stat().st_mtime, reverse=True):
        try:
            manifest = read_manifest(path.parent)
            if manifest is not None:
                check_products(path.parent, manifest)
                yield FoundRun(path.parent, manifest)
        except ManifestError as error:
            logging.getLogger("geor1").warning("left out: %s", error)


def run_in_process_of_its_own(stage: str, command: list[str]) -> Path:
    """Run ``geor1 <command>`` in a new process and return the run folder that it reports on its last line.

    Its output is passed on line by line.

    Args:
        stage: For messages.
        command: Arguments of the command line, beginning with ``run``.

    Raises:
        NotebookFailedError: If it fails.
    """
    from geor1.runs.errors import NotebookFailedError

    dropped = (RECORD_VARIABLE, "JPY_SESSION_NAME", "JPY_PARENT_PID", "MPLBACKEND")  # they belong to this kernel
    environment = {name: value for name, value in os.environ.items() if name not in dropped}
    environment["GEOR1_PROGRESS"] = "lines"
    last = ""
    with subprocess.Popen(
        [sys.executable, "-m", "geor1", *command],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        for line in process.stdout:
            last = line.strip() or last
            print(f"  | {line}", end="", flush=True)
    if process.returncode != 0:
        raise NotebookFailedError(f"{stage} failed: {last}")
    return Path(last.removeprefix("run folder: "))


def _command(stage: str, profile: str, runs_dir: Path, overrides: Mapping[str, Any]) -> list[str]:
    given = [part for name, value in overrides.items() for part in ("-p", f"{name}={to_plain(value)}")]
    return ["run", stage, "--profile", profile, "--runs-dir", str(runs_dir), *given]


def _shown(overrides: Mapping[str, Any]) -> str:
    return "(" + ", ".join(f"{name}={value!r}" for name, value in overrides.items()) + ") " if overrides else ""


def _has_parameters(manifest: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Tell whether a run has the wanted parameters, and its defaults for all that is not named.

    What is no part of its key may be anything.
    """
    outside = manifest.get("no_part_of_key", ())
    made_with = without(manifest["parameters"], outside)
    expected = without(_filled(manifest["defaults"], wanted), outside)
    return set(wanted) <= set(manifest["parameters"]) and all(
        expected.get(name, value) == value for name, value in made_with.items()
    )


def _filled(defaults: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """The defaults with what is wanted instead; of a config in a config, only what is named of it."""
    filled = {**defaults, **wanted}
    for name, value in filled.items():
        inner = defaults.get(name)
        if isinstance(inner, Mapping) and isinstance(value, Mapping):
            filled[name] = _filled(inner, value)
    return filled


def is_current(manifest: Mapping[str, Any], runs_dir: Path) -> bool:
    """Tell whether a run was made by the present code, from the profile's own inputs, unchanged since."""
    if manifest["code"].get("version") != code_version(manifest["stage"]):
        return False
    return all(_input_is_current(entry, manifest, runs_dir) for entry in _flat(manifest["inputs"]))


def _input_is_current(entry: Mapping[str, Any], outer: Mapping[str, Any], runs_dir: Path) -> bool:
    path = runs_dir / entry["path"] if entry["in_runs"] else Path(entry["path"])
    try:
        if "key" not in entry:
            return fingerprint(path).get("sha256") == entry["sha256"]
        manifest = read_manifest(path)
    except (ManifestError, OSError):
        return False
    if manifest is None or manifest["key"] != entry["key"] or manifest["profile"] != outer["profile"]:
        return False
    asked = entry["asked_for"]
    if asked is None:  # a path given by hand: it must be what the profile would have given
        same_seed = "seed" in outer["parameters"] and "seed" in manifest["parameters"]
        asked = {"seed": outer["parameters"]["seed"]} if same_seed else {}
    wanted = {**load_profile(outer["profile"])[entry["stage"]], **asked}
    return _has_parameters(manifest, wanted) and is_current(manifest, runs_dir)


def _flat(value: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the described paths of a manifest's inputs, however they are nested."""
    if isinstance(value, Mapping) and "in_runs" in value:
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _flat(item)
    elif isinstance(value, list):
        for item in value:
            yield from _flat(item)
