"""Profiles: named sets of parameters, one YAML file each, one section a stage.

A file ``notebooks/profiles/<name>.yaml`` holds a section per stage and, if it likes, one called ``about`` and one
called ``launch`` (:mod:`geor1.runs.processes`)::

    about: {description: "two CPU cores, twelve minutes", run_missing_stages: true}
    launch: {processes: 8, launcher: fsdp2}
    03_grpo: {steps: 150, learning_rate: 1.0e-5}

A profile may stand on another, ``about: {extends: paper}``: what it does not name, parameter by parameter, is the
other's. So a study of one's own is a file with its data and what it changes.

``run_missing_stages`` says whether a notebook may run the stages before it by itself; it is on for ``miniature`` and
``smoke`` and off for every other profile, unless the file says otherwise. The environment variable
``GEOR1_OVERRIDES``, set by :func:`overridden`, changes a profile's values for one process and what it starts.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from geor1.runs.errors import ConfigError, did_you_mean

STAGES = ("01_data_synthesis", "02_scaffold_sft", "03_grpo", "04_evaluation", "05_map_visualisation")
DEFAULT_PROFILE = "miniature"  # the one whose values the notebooks' parameters cells show
OVERRIDES_VARIABLE = "GEOR1_OVERRIDES"
_SELF_RUNNING = ("miniature", "smoke")
_OTHER_SECTIONS = ("about", "launch")


@dataclasses.dataclass(frozen=True)
class About:
    """The ``about`` section of a profile.

    Attributes:
        description: One line: for which machine, how long.
        run_missing_stages: Whether a notebook may run the stages before it by itself.
        device: Accelerator that it is for, a name in :mod:`geor1.capacity.hardware`; empty for a CPU.
        extends: Profile whose values stand wherever this one names none; empty for none.
    """

    description: str = ""
    run_missing_stages: bool = False
    device: str = ""
    extends: str = ""


def notebooks_dir() -> Path:
    """Return the folder of the notebooks: ``GEOR1_NOTEBOOKS``, or the checkout's, or the installed copy.

    Raises:
        ConfigError: If there is none.
    """
    named = os.environ.get("GEOR1_NOTEBOOKS")
    if named and not Path(named).is_dir():
        raise ConfigError(f"GEOR1_NOTEBOOKS={named}: no such folder")
    for place in _places():
        if named or (place / "profiles").is_dir():
            return place.resolve()
    looked = " or ".join(map(str, _places()))
    raise ConfigError(f"no notebooks found in {looked}; clone the repository or set GEOR1_NOTEBOOKS")


def _places() -> list[Path]:
    if named := os.environ.get("GEOR1_NOTEBOOKS"):
        return [Path(named)]
    return [Path(__file__).resolve().parents[2] / "notebooks", Path(sys.prefix) / "share" / "geor1" / "notebooks"]


def default_runs_dir() -> Path:
    """Return where runs go unless told otherwise: ``GEOR1_RUNS``, or ``runs/`` beside the notebooks folder."""
    if named := os.environ.get("GEOR1_RUNS"):
        return Path(named).resolve()
    return notebooks_dir().parent / "runs"


def profile_names() -> list[str]:
    """Return the names of the profiles that exist, sorted."""
    return sorted(path.stem for path in (notebooks_dir() / "profiles").glob("*.yaml"))


def load_profile(name: str) -> dict[str, dict[str, Any]]:
    """Read a profile: stage name -> parameter name -> value.

    Args:
        name: File name in ``notebooks/profiles`` without ``.yaml``.

    Returns:
        One dict per stage of :data:`STAGES`; empty where the file has no such section.

    Raises:
        ConfigError: Unknown profile or stage (with a suggestion), a name twice, or text that is not YAML.
    """
    document = _read(name)
    changed = json.loads(os.environ.get(OVERRIDES_VARIABLE, "{}")).get(name, {})
    return {stage: {**(document.get(stage) or {}), **changed.get(stage, {})} for stage in STAGES}


def own_seed(profile: str, last: str = "04_evaluation") -> int:
    """Return the seed that a profile gives its stages; 0, as in every config, where it names none.

    Args:
        profile: Profile name.
        last: Last of the stages that count.

    Raises:
        ConfigError: They have different ones.
    """
    sections = load_profile(profile)
    stages = [stage for stage in STAGES[: STAGES.index(last) + 1] if stage != STAGES[-1]]  # 05 draws nothing
    seeds = {stage: sections[stage].get("seed", 0) for stage in stages}
    if len(set(seeds.values())) > 1:
        raise ConfigError(f"profile {profile}: expected one seed for all stages, got {seeds}; give --seed or --seeds")
    return int(seeds[STAGES[0]])


@contextlib.contextmanager
def overridden(profile: str, values: Mapping[str, Mapping[str, Any]]) -> Iterator[None]:
    """Change values of a profile meanwhile, here and in every process started meanwhile: what a sweep does.

    This reaches parameters that a notebook's parameters cell does not name, and notebooks that run meanwhile find the
    changed run as the profile's own.

    Args:
        profile: Profile name.
        values: Parameter values by stage and name, plain JSON.
    """
    before = os.environ.get(OVERRIDES_VARIABLE)
    changed = json.loads(before or "{}")
    section = changed.get(profile, {})
    changed[profile] = {stage: {**section.get(stage, {}), **values.get(stage, {})} for stage in {**section, **values}}
    os.environ[OVERRIDES_VARIABLE] = json.dumps(changed)
    try:
        yield
    finally:
        if before is None:
            del os.environ[OVERRIDES_VARIABLE]
        else:
            os.environ[OVERRIDES_VARIABLE] = before


def launch_section(name: str) -> dict[str, Any]:
    """Return the ``launch`` section of a profile, empty if it has none or there is no such profile.

    Raises:
        ConfigError: The file is no profile; see :func:`load_profile`.
    """
    if not any((place / "profiles" / f"{name}.yaml").is_file() for place in _places()):
        return {}  # a script may file its runs under any name
    return dict(_read(name).get("launch") or {})


def about_profile(name: str) -> About:
    """Return the ``about`` section of a profile, or its defaults.

    Raises:
        ConfigError: As :func:`load_profile`.
    """
    from geor1.runs.typed import build_dataclass

    section = {"run_missing_stages": name in _SELF_RUNNING, **(_read(name).get("about") or {})}
    return build_dataclass(About, section, f"{name}.yaml: about")


def check_stage(stage: str) -> str:
    """Return the stage's full name; a number alone (``03``) or the name with ``.ipynb`` will do.

    Raises:
        ConfigError: If there is no such stage.
    """
    plain = Path(stage).name.removesuffix(".ipynb")
    found = [known for known in STAGES if known == plain or known.split("_")[0] == plain]
    if not found:
        raise ConfigError(f"no notebook or stage {stage!r}{did_you_mean(plain, STAGES)}")
    return found[0]


def _read(name: str, extended_by: tuple[str, ...] = ()) -> dict[str, Any]:
    """A profile's sections, those of the profile that it extends beneath them."""
    known = profile_names()
    if name not in known:
        by = f"{extended_by[-1]}.yaml: extends: " if extended_by else ""
        raise ConfigError(f"{by}no profile {name!r}{did_you_mean(name, known)}")
    if name in extended_by:
        raise ConfigError(f"{name}.yaml: extends itself, by way of {' -> '.join((*extended_by, name))}")
    document = _read_file(notebooks_dir() / "profiles" / f"{name}.yaml")
    extends = (document.get("about") or {}).get("extends")
    if not extends:
        return document
    beneath = _read(str(extends), (*extended_by, name))
    beneath["about"] = {key: value for key, value in (beneath.get("about") or {}).items() if key != "description"}
    both = {**beneath, **document}
    return {section: {**(beneath.get(section) or {}), **(document.get(section) or {})} for section in both}


def _read_file(path: Path) -> dict[str, Any]:
    document = _parse_yaml(path)
    for section, values in document.items():
        if section not in (*_OTHER_SECTIONS, *STAGES):
            raise ConfigError(f"{path.name}: no stage {section!r}{did_you_mean(str(section), STAGES)}")
        if not isinstance(values, dict | None):
            raise ConfigError(f"{path.name}: section {section!r} should map names to values, got {values!r}")
    return document


def _parse_yaml(path: Path) -> dict[str, Any]:
    import yaml

    class UniqueKeys(yaml.SafeLoader):
        """SafeLoader that refuses a name given twice (YAML's own reader keeps the last, silently)."""

        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
            """A mapping's values by name; a name that stands twice is an error with its line."""
            names = [key.value for key, _ in node.value]
            for index, key in enumerate(names):
                if key in names[:index]:
                    line = node.value[index][0].start_mark.line + 1
                    raise ConfigError(f"{path.name} line {line}: {key!r} stands twice")
            return super().construct_mapping(node, deep)

    try:
        document = yaml.load(path.read_text(encoding="utf-8"), UniqueKeys)  # a SafeLoader: builds plain values only
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not YAML: {error}") from error
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise ConfigError(f"{path}: expected sections per stage, got {type(document).__name__}")
    return document
