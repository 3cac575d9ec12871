"""Execute a notebook with papermill, strictly, and leave the executed copy in its run folder.

Which folder that is, only the kernel knows. So the launcher names an empty file in the environment variable
``GEOR1_RUN_RECORD``; ``run_stage`` appends a line (stage, folder) to it; afterwards the launcher moves the executed
notebook to ``<run folder>/notebook.ipynb``. If the notebook fails before that, its copy goes to
``runs/<profile>/<stage>/failed.ipynb``.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from geor1.runs.config import config_fields
from geor1.runs.errors import ConfigError, NotebookFailedError, did_you_mean
from geor1.runs.files import disk_full_is_clear
from geor1.runs.notebook import Declared, check_given, notebook_declarations
from geor1.runs.processes import TRAINING_STAGES
from geor1.runs.profiles import check_stage, default_runs_dir, load_profile, notebooks_dir, overridden
from geor1.runs.stages import RECORD_VARIABLE
from geor1.runs.stopping import request_stop
from geor1.runs.typed import check_value, to_plain

# libgomp's busy waiting makes two processes on two cores 10 to 30 times slower; tokenizers warns after every fork
QUIET_ENVIRONMENT = {"OMP_WAIT_POLICY": "passive", "TOKENIZERS_PARALLELISM": "false"}
# glibc gives large freed arrays back to the system, and every operation of a training step gets them anew, zeroed: a
# seventh of the time on CPUs. Models of many gigabytes should give back what they free.
CPU_ENVIRONMENT = {"MALLOC_TRIM_THRESHOLD_": str(1 << 32), "MALLOC_MMAP_MAX_": "0"}
_RECORDS: list[Path] = []  # of the notebooks that run at present, for stop_running
_SMALL_PROFILES = ("miniature", "smoke")  # for CPUs, and they need nothing from a model hub


@dataclasses.dataclass(frozen=True)
class Executed:
    """A notebook that ran to its end.

    Attributes:
        stage: Its stage.
        run_dir: The run folder that it worked in.
        notebook: The executed copy.
        wall_s: Wall time in seconds.
    """

    stage: str
    run_dir: Path
    notebook: Path
    wall_s: float


def execute(stage: str, profile: str, given: Mapping[str, Any], runs_dir: Path | str | None = None) -> Executed:
    """Execute a stage's notebook with papermill.

    Args:
        stage: Stage or notebook name, or its number.
        profile: Profile name; its values for the notebook's parameters are given to papermill explicitly.
        given: Parameters that win over the profile's: values, or text from a command line (read by annotation). Any
            field of the stage's config will do, whether or not the notebook's parameters cell shows it.
        runs_dir: Folder of all runs; default see ``default_runs_dir``. Relative to the present working directory.

    Returns:
        Where everything is.

    Raises:
        ConfigError: Unknown notebook, profile or parameter, or a value of the wrong type; nothing has run then.
        NotebookFailedError: If a cell failed or the kernel died; names the error and the half-executed copy.
    """
    stage = check_stage(stage)
    load_profile(profile)
    runs_dir = Path(runs_dir).resolve() if runs_dir else default_runs_dir()
    source = notebooks_dir() / f"{stage}.ipynb"
    if not source.is_file():
        raise ConfigError(f"{source}: no such notebook")
    hidden = hidden_parameters(stage, given)
    parameters = notebook_parameters(
        stage, profile, {name: value for name, value in given.items() if name not in hidden}, runs_dir
    )
    folder = runs_dir / profile / stage
    with disk_full_is_clear(folder), overridden(profile, {stage: hidden}):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".executing-") as scratch:
            return _execute_in(Path(scratch), source, stage, profile, parameters, folder)


def notebook_parameters(stage: str, profile: str, given: Mapping[str, Any], runs_dir: Path) -> dict[str, Any]:
    """Return what to inject into a notebook: profile, runs folder, the profile's values, then what was given.

    Raises:
        ConfigError: Unknown profile or parameter (with a suggestion), or a value of the wrong type.
    """
    section = load_profile(profile)[stage]
    declared = notebook_declarations(notebooks_dir() / f"{stage}.ipynb")
    fixed = {"profile": profile, "runs_dir": str(runs_dir)}
    for name in fixed:
        if name in given:
            raise ConfigError(f"{stage}: give {name} as --{name.replace('_', '-')}, not with -p")
    values = {name: value for name, value in {**section, **fixed}.items() if name in declared}
    for name, text in given.items():
        values[name] = check_given(name, parse_given(name, text, declared), declared, stage)
    return values


def hidden_parameters(stage: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of the given values that only the stage's config knows, as plain JSON.

    A notebook shows at most a dozen parameters; these reach its config by the profile (:func:`overridden`).

    Args:
        stage: Full stage name.
        given: As in :func:`execute`.

    Raises:
        ConfigError: A name that neither knows (with a suggestion), or a value of the wrong type.
    """
    declared = notebook_declarations(notebooks_dir() / f"{stage}.ipynb")
    unknown_to_it = [name for name in given if name not in declared]
    if not unknown_to_it:
        return {}
    fields = config_fields(stage)
    hidden = {}
    for name in unknown_to_it:
        if name not in fields:
            raise ConfigError(f"{stage}: no parameter {name!r}{did_you_mean(name, {**fields, **declared})}")
        value = parse_given(name, given[name], {name: Declared(fields[name], None)})
        hidden[name] = to_plain(check_value(value, fields[name], f"{stage}: {name}"))
    return hidden


def parse_given(name: str, value: Any, declared: Mapping[str, Declared]) -> Any:
    """Read a value from a command line by its parameter's annotation: text stays text where ``str`` is annotated.

    Args:
        name: Parameter name.
        value: Text, or a value, which is returned as it is.
        declared: The notebook's parameters cell.
    """
    if not isinstance(value, str) or name not in declared or declared[name].annotation is str:
        return value
    import yaml

    try:
        parsed = yaml.safe_load(value)
    except yaml.YAMLError:
        return value
    if isinstance(parsed, str):  # 1e-6 is text to YAML; from a command line it can only be meant as a number
        with contextlib.suppress(ValueError):
            return float(parsed)
    return parsed


def quiet_environment(profile: str) -> dict[str, str]:
    """Return the environment variables that a notebook's process should have and that are not set yet."""
    wanted = dict(QUIET_ENVIRONMENT)
    if profile in _SMALL_PROFILES:
        wanted |= {**CPU_ENVIRONMENT, "HF_HUB_OFFLINE": "1"}
    return {name: value for name, value in wanted.items() if name not in os.environ}


def stop_running(why: str) -> bool:
    """Ask the training of the notebook that runs at present to save a checkpoint and end.

    Args:
        why: Name of the signal.

    Returns:
        Whether there is one. Asked again, it still needs the time to save; only Ctrl-C and SIGKILL are shorter.
    """
    for record in _RECORDS:
        for entry in reversed(_entries(record)):
            folder = Path(entry["path"])
            if entry["stage"] in TRAINING_STAGES and not (folder / "manifest.json").exists():
                request_stop(folder, why)
                return True
    return False


def _execute_in(
    scratch: Path, source: Path, stage: str, profile: str, parameters: Mapping[str, Any], folder: Path
) -> Executed:
    import papermill
    from nbclient.exceptions import CellTimeoutError, DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    record, output = scratch / "record.jsonl", scratch / "notebook.ipynb"
    started = time.perf_counter()
    _RECORDS.append(record)
    try:
        with _environment({RECORD_VARIABLE: str(record), "GEOR1_PROGRESS": "lines", **quiet_environment(profile)}):
            papermill.execute_notebook(
                source, output, parameters=dict(parameters), kernel_name="python3", language="python",
                cwd=str(source.parent), progress_bar=False, stdout_file=sys.stdout,
                extra_arguments=["--IPKernelApp.log_level=ERROR"],  # no warning about local sockets at every start
            )  # fmt: skip
    except PapermillExecutionError as error:
        kept = _keep(output, folder / "failed.ipynb")
        raise NotebookFailedError(f"{stage}: {error.ename}: {error.evalue}\nsee {kept}", error.ename) from error
    except (DeadKernelError, CellTimeoutError) as error:
        kept = _keep(output, folder / "failed.ipynb")
        message = f"{stage}: the kernel died ({error}); out of memory? Run it again, it resumes\nsee {kept}"
        raise NotebookFailedError(message) from error
    finally:
        _RECORDS.remove(record)
    run_dir = _recorded(record, stage)
    if run_dir is None:
        kept = _keep(output, folder / "failed.ipynb")
        raise NotebookFailedError(f"{stage}: the notebook ended without a run_stage call for its stage\nsee {kept}")
    return Executed(stage, run_dir, _keep(output, run_dir / "notebook.ipynb"), time.perf_counter() - started)


def _recorded(record: Path, stage: str) -> Path | None:
    return next((Path(entry["path"]) for entry in reversed(_entries(record)) if entry["stage"] == stage), None)


def _entries(record: Path) -> list[dict[str, str]]:
    """The run folders that a notebook has begun to work in, in order."""
    if not record.exists():
        return []
    return [json.loads(line) for line in record.read_text(encoding="utf-8").splitlines()]


def _keep(output: Path, place: Path) -> Path:
    if output.exists():
        os.replace(output, place)
    return place


@contextlib.contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
