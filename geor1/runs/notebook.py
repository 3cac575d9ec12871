"""Parameters cells, read as text: what a notebook declares, and what papermill put behind it.

Papermill inserts a cell that begins with ``# Parameters`` after the one tagged ``parameters``, and only warns of a name
that the notebook does not declare. Both cells are in IPython's input history, so the notebook can be strict by itself.
"""

from __future__ import annotations

import ast
import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from geor1.runs.errors import ConfigError, did_you_mean
from geor1.runs.typed import check_value

_INJECTED_MARK = "# Parameters"  # papermill's own comment, first line of the cell that it inserts
_ANNOTATION_NAMES = {kind.__name__: kind for kind in (int, float, str, bool, list, tuple, dict)} | {"Literal": Literal}


@dataclasses.dataclass(frozen=True)
class Declared:
    """One line of a parameters cell.

    Attributes:
        annotation: The type.
        value: The literal.
        comment: What stands behind it as a comment: unit and meaning.
    """

    annotation: Any
    value: Any
    comment: str = ""


@dataclasses.dataclass(frozen=True)
class NotebookParameters:
    """What a running notebook was given.

    Attributes:
        declared: The parameters cell: name -> annotation and literal.
        injected: Papermill's cell: name -> value; empty if there is none.
    """

    declared: dict[str, Declared]
    injected: dict[str, Any]


def declared_parameters(source: str) -> dict[str, Declared] | None:
    """Read a parameters cell: annotated literals, one a line (``steps: int = 150  # optimiser steps``).

    Args:
        source: The cell's text.

    Returns:
        Name -> declaration in cell order, or None if any statement of the cell is something else.
    """
    tree = _parse(source)
    if tree is None or not tree.body:
        return None
    lines = source.splitlines()
    declared = {}
    for statement in tree.body:
        if not isinstance(statement, ast.AnnAssign) or not isinstance(statement.target, ast.Name):
            return None
        try:
            value = ast.literal_eval(statement.value) if statement.value else None
            annotation = _annotation(statement.annotation)
        except (ValueError, TypeError, NameError, SyntaxError):
            return None
        behind = lines[(statement.end_lineno or 1) - 1][statement.end_col_offset or 0 :]
        declared[statement.target.id] = Declared(annotation, value, behind.partition("#")[2].strip())
    return declared


def injected_parameters(source: str) -> dict[str, Any] | None:
    """Read the cell that papermill inserts; None if this is not one."""
    if source.lstrip().split("\n")[0].strip() != _INJECTED_MARK:
        return None
    tree = _parse(source)
    if tree is None:
        return None
    injected = {}
    for statement in tree.body:
        if not isinstance(statement, ast.Assign) or not isinstance(statement.targets[0], ast.Name):
            return None
        injected[statement.targets[0].id] = _literal(statement.value)
    return injected


def parameters_in_history(history: Sequence[str]) -> NotebookParameters | None:
    """Find the parameters cell, and papermill's behind it, among the cells run so far.

    Args:
        history: Cell sources in the order in which they ran, as in IPython's ``In``.

    Returns:
        The latest parameters cell (one that declares ``profile``; failing that, one right before papermill's cell)
        and the latest inserted cell after it; None if no cell is a parameters cell.
    """
    found: int | None = None
    for index, source in enumerate(history):
        declared = declared_parameters(source)
        follows = index + 1 < len(history) and injected_parameters(history[index + 1]) is not None
        if declared and ("profile" in declared or follows):
            found = index
    if found is None:
        return None
    injected: dict[str, Any] = {}
    for source in history[found + 1 :]:
        injected = injected_parameters(source) or injected
    return NotebookParameters(declared_parameters(history[found]) or {}, injected)


def running_notebook() -> NotebookParameters | None:
    """Return the parameters of the notebook that this process is the kernel of; None outside IPython."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    if shell is None:
        return None
    return parameters_in_history([str(source) for source in shell.user_ns.get("In", [])])


def check_injected(parameters: NotebookParameters, where: str) -> None:
    """Refuse what papermill only warns of: a name that the notebook does not declare, or a value of another type.

    Args:
        parameters: Of the running notebook.
        where: Prefix of the message: the stage.

    Raises:
        ConfigError: For the first such parameter.
    """
    for name, value in parameters.injected.items():
        check_given(name, value, parameters.declared, where)


def check_given(name: str, value: Any, declared: dict[str, Declared], where: str) -> Any:
    """Check one given value against the parameters cell.

    Args:
        name: Parameter name.
        value: What was given.
        declared: From :func:`declared_parameters`.
        where: Prefix of the message: the stage.

    Returns:
        The value as the annotated type.

    Raises:
        ConfigError: Unknown name, or wrong type.
    """
    if name not in declared:
        raise ConfigError(f"{where}: the notebook has no parameter {name!r}{did_you_mean(name, declared)}")
    return check_value(value, declared[name].annotation, f"{where}: {name}")


def notebook_declarations(path: Path) -> dict[str, Declared]:
    """Read the cell tagged ``parameters`` of a notebook file.

    Args:
        path: An ``.ipynb`` file.

    Returns:
        Name -> declaration.

    Raises:
        ConfigError: If the file is no notebook, or has no such cell, or one that is not made of annotated literals.
    """
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path}: not a notebook ({error})") from error
    tagged = [cell for cell in cells if "parameters" in cell.get("metadata", {}).get("tags", [])]
    if len(tagged) != 1:
        raise ConfigError(f"{path}: expected one cell tagged 'parameters', found {len(tagged)}")
    declared = declared_parameters("".join(tagged[0]["source"]))
    if declared is None:
        raise ConfigError(f"{path}: the parameters cell should hold annotated literals only (steps: int = 150)")
    return declared


def _parse(source: str) -> ast.Module | None:
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError):
        return None


def _annotation(node: ast.expr) -> Any:
    code = compile(ast.Expression(body=node), "<parameters cell>", "eval")
    return eval(code, {"__builtins__": {}}, dict(_ANNOTATION_NAMES))  # names of plain types only


def _literal(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except ValueError:
        text = ast.unparse(node)  # papermill writes float('nan') and float('inf')
        is_float = text.startswith("float('") and text.endswith("')")
        return float(text[len("float('") : -len("')")]) if is_float else text
