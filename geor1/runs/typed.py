"""Strict values: a value either fits its annotation or is refused by name. Nothing is guessed from a string."""

from __future__ import annotations

import collections.abc
import dataclasses
import enum
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

from geor1.runs.errors import ConfigError, did_you_mean

C = TypeVar("C")


def type_name(annotation: Any) -> str:
    """Return the annotation as a person would write it (``int | None``, not ``typing.Optional[int]``)."""
    if annotation is type(None):
        return "None"
    origin = typing.get_origin(annotation)
    if origin in (typing.Union, types.UnionType):
        return " | ".join(type_name(part) for part in typing.get_args(annotation))
    if origin is None and isinstance(annotation, type):
        return annotation.__name__
    return str(annotation).replace("typing.", "")


def check_value(value: Any, annotation: Any, where: str) -> Any:
    """Return ``value`` as the annotated type, or refuse it.

    A bool is not an int; an int is a float; a list from YAML or a notebook becomes the annotated tuple; a string
    becomes a Path or an enum member where one is annotated; a mapping becomes the annotated dataclass.

    Args:
        value: What was given.
        annotation: A resolved type annotation.
        where: Name of the value for the message, e.g. ``03_grpo: steps``.

    Returns:
        The value, converted as above.

    Raises:
        ConfigError: If the value does not fit.

    >>> check_value(3, float, "learning rate")
    3.0
    >>> check_value([1, 2], tuple[int, ...], "seeds")
    (1, 2)
    """
    origin = typing.get_origin(annotation)
    if annotation is Any or isinstance(annotation, TypeVar):
        return value
    if origin in (typing.Union, types.UnionType):
        return _check_union(value, annotation, where)
    if origin is Literal:
        for choice in typing.get_args(annotation):
            if value == choice and type(value) is type(choice):
                return choice
        choices = ", ".join(repr(choice) for choice in typing.get_args(annotation))
        raise ConfigError(f"{where}: expected one of {choices}, got {value!r}")
    container = origin or annotation
    if container in (tuple, list, collections.abc.Sequence):
        return _check_sequence(value, annotation, where)
    if container in (dict, collections.abc.Mapping):
        return _check_mapping(value, annotation, where)
    return _check_plain(value, annotation, where)


def build_dataclass(config_class: type[C], values: Mapping[str, Any], where: str) -> C:
    """Build a dataclass from a mapping, strict in names and types.

    Args:
        config_class: A dataclass; its ``__post_init__`` checks ranges and raises ``ValueError``.
        values: Field name -> value.
        where: Prefix of every message, e.g. ``03_grpo (profile miniature)``.

    Returns:
        The instance.

    Raises:
        ConfigError: Unknown field (with a suggestion), missing field, wrong type, or a refusal of ``__post_init__``.
    """
    fields = {field.name: field for field in dataclasses.fields(config_class) if field.init}
    for name in values:
        if name not in fields:
            raise ConfigError(f"{where}: {config_class.__name__} has no parameter {name!r}{did_you_mean(name, fields)}")
    required = [name for name, field in fields.items() if _has_no_default(field) and name not in values]
    if required:
        raise ConfigError(f"{where}: {config_class.__name__} needs {', '.join(required)}; give them in the profile")
    hints = typing.get_type_hints(config_class)
    checked = {name: check_value(value, hints[name], f"{where}: {name}") for name, value in values.items()}
    try:
        return config_class(**checked)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{where}: {error}") from error


def to_plain(value: Any) -> Any:
    """Return dataclasses, tuples, paths and enums as what JSON can hold, field order kept."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, enum.Enum):
        return to_plain(value.value)
    if isinstance(value, Path):
        return value.as_posix()
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_plain(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted(to_plain(item) for item in value)
    return value


def field_defaults(config_class: type) -> dict[str, Any]:
    """Return the defaults of a dataclass's fields, as plain JSON values; fields without one are left out."""
    defaults = {}
    for field in dataclasses.fields(config_class):
        if field.default is not dataclasses.MISSING:
            defaults[field.name] = to_plain(field.default)
        elif field.default_factory is not dataclasses.MISSING:
            defaults[field.name] = to_plain(field.default_factory())
    return defaults


def _has_no_default(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _refuse(value: Any, annotation: Any, where: str, hint: str = "") -> ConfigError:
    return ConfigError(f"{where}: expected {type_name(annotation)}, got {value!r} ({type(value).__name__}){hint}")


def _check_union(value: Any, annotation: Any, where: str) -> Any:
    for part in typing.get_args(annotation):  # an exact type first, so that int | float keeps an int
        if isinstance(part, type) and type(value) is part:
            return value
    for part in typing.get_args(annotation):
        try:
            return check_value(value, part, where)
        except ConfigError:
            continue
    raise _refuse(value, annotation, where)


def _check_sequence(value: Any, annotation: Any, where: str) -> Any:
    if not isinstance(value, (list, tuple)):
        raise _refuse(value, annotation, where)
    parts = typing.get_args(annotation)
    container = list if (typing.get_origin(annotation) or annotation) is list else tuple
    if not parts:
        return container(value)
    if container is tuple and parts[-1] is not Ellipsis and typing.get_origin(annotation) is tuple:
        if len(parts) != len(value):
            raise _refuse(value, annotation, where, f": {len(value)} items")
        item_types: list[Any] = list(parts)
    else:
        item_types = [parts[0]] * len(value)
    pairs = enumerate(zip(value, item_types, strict=True))
    return container(check_value(item, item_type, f"{where}[{index}]") for index, (item, item_type) in pairs)


def _check_mapping(value: Any, annotation: Any, where: str) -> dict[Any, Any]:
    if not isinstance(value, Mapping):
        raise _refuse(value, annotation, where)
    key_type, value_type = typing.get_args(annotation) or (Any, Any)
    return {
        check_value(key, key_type, f"{where} key"): check_value(item, value_type, f"{where}[{key!r}]")
        for key, item in value.items()
    }


def _check_plain(value: Any, annotation: Any, where: str) -> Any:
    if annotation is type(None) or annotation is None:
        if value is None:
            return None
    elif annotation is float:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return float(value)
        raise _refuse(value, annotation, where, _float_hint(value))
    elif annotation is int:
        if isinstance(value, int) and not isinstance(value, bool):
            return int(value)
    elif dataclasses.is_dataclass(annotation) and isinstance(annotation, type):
        if isinstance(value, annotation):
            return value
        if isinstance(value, Mapping):
            return build_dataclass(annotation, value, where)
    elif isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        members = {member.value: member for member in annotation}
        if isinstance(value, annotation):
            return value
        if isinstance(value, (str, int)) and value in members:
            return members[value]
        raise ConfigError(f"{where}: expected one of {', '.join(map(str, members))}, got {value!r}")
    elif annotation is Path:
        if isinstance(value, (str, Path)):
            return Path(value)
    elif isinstance(annotation, type) and isinstance(value, annotation):
        return value
    raise _refuse(value, annotation, where)


def _float_hint(value: Any) -> str:
    if not isinstance(value, str):
        return ""
    try:
        number = float(value)
    except ValueError:
        return ""
    return f"; YAML reads {value} as text, write {number!r} with a point (1.0e-6, not 1e-6)"
