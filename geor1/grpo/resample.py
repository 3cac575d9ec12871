"""Replace questions whose completions all earned the same, which carry no gradient, by others until some differ.

Source: dynamic sampling of DAPO (Yu et al. 2025, arXiv 2503.14476, section 3.2). There, prompts are drawn until the
batch is full; here for a given number of rounds, after which what ties stays, so that a step always ends.

Axis letters: B questions of a step, G completions of a group.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from geor1.grpo.rollout import Rollouts
from geor1.models.encoding import EncodedPrompt


@dataclasses.dataclass(frozen=True, eq=False)
class Group:
    """One question and its completions.

    Attributes:
        row: The question's row in the training set.
        prompt: The question, encoded.
        sampled: Its G completions.
        tied: Whether all earned the same.
    """

    row: dict[str, Any]
    prompt: EncodedPrompt
    sampled: Rollouts
    tied: bool


def replace_ties(
    rows: Sequence[dict[str, Any]],
    sample: Callable[[Sequence[dict[str, Any]], int], list[Group]],
    dataset: Any,
    *,
    rounds: int,
    seed: int,
) -> tuple[list[Group], list[int]]:
    """Sample a group for each question; where it ties, another question of the training set takes the place.

    Args:
        rows: B questions.
        sample: Makes the groups of some questions, given the round (0 for the first).
        dataset: Where replacements are drawn from, at random and none twice in a step.
        rounds: Replacements tried for each place at most.
        seed: Seed of the draw; a resumed run draws what an uninterrupted one would.

    Returns:
        B groups, replacements in the first places that needed one, and how many tied in each round.
    """
    chosen = sample(rows, 0)
    tied = [sum(group.tied for group in chosen)]
    asked = {_identity(row) for row in rows}
    draw = iter(np.random.default_rng(seed).permutation(len(dataset)).tolist())
    for round_ in range(1, rounds + 1):
        places = [place for place, group in enumerate(chosen) if group.tied]
        fresh = []
        while len(fresh) < len(places) and (index := next(draw, None)) is not None:
            row = dataset[index]
            if _identity(row) not in asked:
                asked.add(_identity(row))
                fresh.append(row)
        if not fresh:
            break
        groups = sample(fresh, round_)
        tied.append(sum(group.tied for group in groups))
        untied = [group for group in groups if not group.tied]
        for place, group in zip(places, untied, strict=False):
            chosen[place] = group
    return chosen, tied


def joined(groups: Sequence[Group]) -> Rollouts:
    """The completions of several groups, group by group."""
    entropies = [group.sampled.entropies for group in groups]
    return Rollouts(
        completion_ids=[ids for group in groups for ids in group.sampled.completion_ids],
        log_probs=[row for group in groups for row in group.sampled.log_probs],
        entropies=None if None in entropies else [row for of_one in entropies for row in of_one],
        decode_steps=0,
    )


def split(rollouts: Rollouts, group_size: int) -> list[Rollouts]:
    """Rollouts of each group; the decoding passes that they shared are counted in none."""
    ids, log_probs, entropies = rollouts.completion_ids, rollouts.log_probs, rollouts.entropies
    parts = [slice(first, first + group_size) for first in range(0, len(ids), group_size)]
    return [Rollouts(ids[part], log_probs[part], entropies and entropies[part], decode_steps=0) for part in parts]


def _identity(row: dict[str, Any]) -> str:
    return repr((row["prompt"], row["images"]))
