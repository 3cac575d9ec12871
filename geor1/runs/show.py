"""A config as a table, for the eye."""

from __future__ import annotations

import dataclasses
import html
import inspect
import re
import typing
from typing import Any

from geor1.runs.typed import to_plain, type_name

_ATTRIBUTE = re.compile(r"^(\w+)(?: \([^)]*\))?:\s*(.*)$")


@dataclasses.dataclass(frozen=True)
class Table:
    """A small table that shows itself in a notebook (HTML) and in a terminal (text).

    Attributes:
        head: Column names.
        rows: Cells as text, one per column.
    """

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def _repr_html_(self) -> str:
        head = "".join(f"<th style='text-align:left'>{html.escape(cell)}</th>" for cell in self.head)
        body = "".join(
            "<tr>" + "".join(f"<td style='text-align:left'>{html.escape(cell)}</td>" for cell in row) + "</tr>"
            for row in self.rows
        )
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"

    def __repr__(self) -> str:
        grid = [self.head, *self.rows]
        widths = [max((len(row[column]) for row in grid), default=0) for column in range(len(self.head))]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in grid]
        return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


def show_config(config: Any) -> Table:
    """Return a config dataclass as a table: parameter, value, type, meaning (from its docstring's ``Attributes``).

    Args:
        config: An instance of a dataclass.
    """
    hints = typing.get_type_hints(type(config))
    meanings = attribute_texts(type(config))
    values = to_plain(config)
    rows = tuple(
        (field.name, str(values[field.name]), type_name(hints[field.name]), meanings.get(field.name, ""))
        for field in dataclasses.fields(config)
    )
    return Table(("parameter", "value", "type", "meaning"), rows)


def attribute_texts(cls: type) -> dict[str, str]:
    """Return the texts of the ``Attributes:`` section of a Google-style class docstring, by attribute name.

    Those of its bases count too, where the class itself says nothing else of the attribute.
    """
    texts: dict[str, str] = {}
    for one in reversed(cls.__mro__):
        texts |= _own_attribute_texts(one)
    return texts


def _own_attribute_texts(cls: type) -> dict[str, str]:
    section = inspect.cleandoc(cls.__doc__ or "").partition("Attributes:\n")[2]
    texts: dict[str, str] = {}
    name = ""
    for line in section.splitlines():
        if line and not line.startswith(" "):
            break
        indent = len(line) - len(line.lstrip())
        found = _ATTRIBUTE.match(line.strip())
        if found and indent <= 4:
            name = found[1]
            texts[name] = found[2]
        elif name and line.strip():
            texts[name] += " " + line.strip()
    return texts
