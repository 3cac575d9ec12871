"""Parameters of stage 05."""

from __future__ import annotations

import dataclasses

from geor1.runs import ConfigError


@dataclasses.dataclass(frozen=True, kw_only=True)
class MapConfig:
    """What to draw, and how much of it.

    Attributes:
        title: Title of the page.
        max_thumbnails: Most different pictures in the page, the smaller the more there are (see
            :mod:`geor1.maps.thumbnails`); the worst samples are served first.
        max_text_characters: Longest completion in the page; the rest is counted.
        worst_cases: Samples on the contact sheet of worst cases.
        max_arcs: Most arcs on a static map, the longest ones; the page draws all.
        dpi: Resolution of the PNG files in dots per inch.
        imported: Whether to map other models' outputs too, when stage 04 imported any.
        base: What lies beneath: ``outlines``, ``blue-marble``, or a URL template of tiles (the page then loads pictures
            from that host, and from no other).
        attribution: Whom the owner of the tiles wants named; empty for the host.
        rollouts_title: Title of the page of a GRPO run's rollouts.
        max_rollout_thumbnails: Most pictures in that page, of an even spread of steps.
    """

    title: str = "Where the model errs"
    max_thumbnails: int = 10_000
    max_text_characters: int = 4000
    worst_cases: int = 6
    max_arcs: int = 4000
    dpi: int = 130
    imported: bool = True
    base: str = "outlines"
    attribution: str = ""
    rollouts_title: str = "What the policy tried"
    max_rollout_thumbnails: int = 900

    def __post_init__(self) -> None:
        for name in ("title", "rollouts_title"):
            if not getattr(self, name).strip():
                raise ConfigError(f"{name}={getattr(self, name)!r}: expected some text")
        for name in ("max_thumbnails", "max_text_characters", "max_arcs", "max_rollout_thumbnails"):
            _within(name, getattr(self, name), 0, None)
        if not self.base.strip():
            raise ConfigError(f"base={self.base!r}: expected outlines, blue-marble or a URL of tiles")
        _within("worst_cases", self.worst_cases, 1, 24)
        _within("dpi", self.dpi, 40, 600)


def _within(name: str, value: int, low: int, high: int | None) -> None:
    if value < low or (high is not None and value > high):
        expected = f"{low} or more" if high is None else f"{low} … {high}"
        raise ConfigError(f"{name}={value}: expected {expected}")
