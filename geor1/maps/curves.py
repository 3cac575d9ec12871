"""Curves of a GRPO run over its optimiser steps, from ``metrics.jsonl``, or from the rollouts where that lacks one."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import Any

from geor1.maps.rollout_log import RolloutGroup, RolloutLog, terms_of

ZERO_VARIANCE_KEYS = ("zero_variance_share", "frac_reward_zero_std")  # ours; TRL's
LENGTH_KEYS = ("completion_tokens", "completions/mean_length", "completion_length")
TERM = re.compile(r"^(?:rewards?/)(?P<term>[^/]+)(?:/mean)?$")  # rewards/<term>/mean (TRL) or reward/<term>


@dataclasses.dataclass(frozen=True, kw_only=True)
class Curve:
    """One quantity by optimiser step.

    Attributes:
        name: What it is, with its unit.
        kind: ``reward``, ``term``, ``tied``, ``length``, ``loss``, ``kl`` or ``heldout``.
        source: ``metrics`` (every completion of the step) or ``rollouts`` (the logged groups only).
        steps: Ascending, shape (M,).
        values: Shape (M,), finite.
    """

    name: str
    kind: str
    source: str
    steps: tuple[int, ...]
    values: tuple[float, ...]

    @property
    def window(self) -> int:
        """Values that the moving mean takes together: an eighth of them, 10 at most."""
        return min(10, max(1, round(len(self.values) / 8)))


def term_keys(metrics: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Reward term -> the key of its mean in the rows."""
    return {match["term"]: key for row in metrics for key in row if (match := TERM.match(key))}


def training_curves(metrics: Sequence[Mapping[str, Any]], log: RolloutLog, weights: Mapping[str, float]) -> list[Curve]:
    """All that the rollout page and its static twin draw, in their order.

    Args:
        metrics: Rows of ``metrics.jsonl``; may be empty.
        log: The rollouts.
        weights: Weights of the reward terms, for the total where only the rollouts tell it.

    Returns:
        Curves with at least one point. The length is in tokens from the metrics, in characters from the rollouts.
    """
    keys = term_keys(metrics)
    terms = list(dict.fromkeys([*keys, *terms_of(log)]))
    found = [
        _from_metrics("reward, weighted sum", "reward", metrics, ("reward",))
        or _from_log("reward, weighted sum", "reward", log, lambda group: [r.total(weights) for r in group.rollouts])
    ]
    for term in terms:
        found.append(
            _from_metrics(f"reward: {term}", "term", metrics, (keys.get(term, ""),))
            or _from_log(f"reward: {term}", "term", log, lambda group, term=term: _values(group, term))
        )
    found += [
        _from_metrics("tied groups (share)", "tied", metrics, ZERO_VARIANCE_KEYS)
        or _from_log("tied groups (share)", "tied", log, lambda group: [float(group.tied)]),
        _from_metrics("completion length (tokens)", "length", metrics, LENGTH_KEYS)
        or _from_log("completion length (characters)", "length", log, _lengths),
        _from_metrics("loss", "loss", metrics, ("loss",)),
        _from_metrics("KL from the start (nats a token)", "kl", metrics, ("kl",)),
        _from_metrics("held-out accuracy (share)", "heldout", metrics, ("heldout/accuracy",)),
    ]
    return [curve for curve in found if curve is not None]


def _from_metrics(name: str, kind: str, metrics: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> Curve | None:
    """The first of the keys that any row holds, as a curve."""
    key = next((key for key in keys if any(key in row for row in metrics)), None)
    points = {row["step"]: row[key] for row in metrics if key is not None and _is_number(row.get(key))}
    return _curve(name, kind, "metrics", points)


def _from_log(name: str, kind: str, log: RolloutLog, values: Callable[[RolloutGroup], list[float]]) -> Curve | None:
    """The mean over a step's logged completions (or groups), as a curve."""
    by_step: dict[int, list[float]] = {}
    for group in log.groups:
        by_step.setdefault(group.step, []).extend(value for value in values(group) if math.isfinite(value))
    return _curve(name, kind, "rollouts", {step: fmean(found) for step, found in by_step.items() if found})


def _curve(name: str, kind: str, source: str, points: Mapping[int, float]) -> Curve | None:
    if not points:
        return None
    steps = sorted(points)
    return Curve(
        name=name, kind=kind, source=source, steps=tuple(steps), values=tuple(float(points[step]) for step in steps)
    )


def _values(group: RolloutGroup, term: str) -> list[float]:
    found = (rollout.rewards.get(term) for rollout in group.rollouts)
    return [value for value in found if value is not None]


def _lengths(group: RolloutGroup) -> list[float]:
    return [float(len(rollout.completion)) for rollout in group.rollouts]


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
