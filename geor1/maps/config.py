"""Parameters of stage 05."""

from __future__ import annotations

import dataclasses

from geor1.runs import ConfigError


@dataclasses.dataclass(frozen=True, kw_only=True)
class MapConfig:
    """What to draw, and how much of it.

    Attributes:
        title: Title of the page.
        max_thumbnails: Most pictures in the page (4–12 kB each); the worst samples are served first.
        max_text_characters: Longest completion in the page; the rest is counted.
        worst_cases: Samples on the contact sheet of worst cases.
        max_arcs: Most arcs on a static map, the longest ones; the page draws all.
        dpi: Resolution of the PNG files in dots per inch.
        imported: Whether to map other models' outputs too, when stage 04 imported any.
    """

    title: str = "Where the model errs"
    max_thumbnails: int = 2000
    max_text_characters: int = 4000
    worst_cases: int = 6
    max_arcs: int = 4000
    dpi: int = 130
    imported: bool = True

    def __post_init__(self) -> None:
        if not self.title.strip():
            raise ConfigError(f"title={self.title!r}: expected some text")
        for name in ("max_thumbnails", "max_text_characters", "max_arcs"):
            _within(name, getattr(self, name), 0, None)
        _within("worst_cases", self.worst_cases, 1, 24)
        _within("dpi", self.dpi, 40, 600)


def _within(name: str, value: int, low: int, high: int | None) -> None:
    if value < low or (high is not None and value > high):
        expected = f"{low} or more" if high is None else f"{low} … {high}"
        raise ConfigError(f"{name}={value}: expected {expected}")
