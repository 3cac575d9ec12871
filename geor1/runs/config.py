"""From profile and overrides to one frozen, checked config object."""

from __future__ import annotations

import dataclasses
import importlib
import typing
from typing import Any, TypeVar

from geor1.runs.keys import STAGE_PACKAGES
from geor1.runs.notebook import NotebookParameters, check_injected, running_notebook
from geor1.runs.profiles import DEFAULT_PROFILE, check_stage, load_profile
from geor1.runs.typed import build_dataclass, to_plain

C = TypeVar("C")


def configure(config_class: type[C], stage: str, profile: str, /, **overrides: Any) -> C:
    """Build the config of a stage: the profile's section, then the overrides, strict in names and types.

    In a notebook the overrides are usually the names of its parameters cell. Their literals show the values of the
    profile ``miniature``. So, under another profile, a literal that is neither changed nor given by papermill does not
    count as chosen, and the profile's own value stands, or the config's default where the profile names none. In
    scripts every override counts.

    Args:
        config_class: Frozen dataclass of the stage; checks ranges in ``__post_init__``.
        stage: Stage name, e.g. ``03_grpo``.
        profile: Profile name, e.g. ``miniature``.
        **overrides: Field values that win over the profile's.

    Returns:
        The config.

    Raises:
        ConfigError: Unknown profile or stage; a misspelt parameter (with a suggestion), also one that papermill put
            into the running notebook; a value of the wrong type or out of range.
    """
    stage = check_stage(stage)
    where = f"{stage}, profile {profile}"
    notebook = running_notebook()
    if notebook is not None:
        check_injected(notebook, where)
    section = load_profile(profile)[stage]
    chosen = _chosen(overrides, stage, profile, notebook)
    return build_dataclass(config_class, {**section, **chosen}, where)


def config_class_of(stage: str) -> Any:
    """Return the config of a stage, found by name: this package imports none of those above it.

    Args:
        stage: Full stage name.
    """
    module = importlib.import_module(f"{STAGE_PACKAGES[stage]}.config")
    (config,) = [
        item
        for name, item in vars(module).items()
        if name.endswith("Config") and dataclasses.is_dataclass(item) and item.__module__ == module.__name__
    ]
    return config


def config_fields(stage: str) -> dict[str, Any]:
    """Return the types of all fields of a stage's config by name; a notebook's parameters cell shows a few of them.

    Args:
        stage: Full stage name.
    """
    return typing.get_type_hints(config_class_of(stage))


def _chosen(overrides: dict[str, Any], stage: str, profile: str, notebook: NotebookParameters | None) -> dict[str, Any]:
    """Leave out the overrides that only repeat the default profile's value as shown in the parameters cell."""
    if notebook is None or profile == DEFAULT_PROFILE:
        return overrides
    shown = load_profile(DEFAULT_PROFILE)[stage]
    literals = shown.keys() & notebook.declared.keys() - notebook.injected.keys()
    return {
        name: value for name, value in overrides.items() if not (name in literals and to_plain(value) == shown[name])
    }
