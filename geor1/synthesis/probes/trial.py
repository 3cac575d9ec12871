"""One probe tried: learn on one table of options, choose on another, judge all probes together."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from geor1.synthesis.probes.choice import fit, folds_of, hits
from geor1.synthesis.probes.verdict import Outcome, holm, outcome, smallest_detectable, verdict

FEWEST_TO_TRY = 20
"""With fewer questions to learn on and to try, nothing is said: each part of them would be a handful."""
PARTS = 5
"""Where nothing else teaches, the groups are cut in so many parts, and each is tried by a model that learnt on those
before it. Were they to teach each other, luck that two share would count twice."""
ENOUGH_FOR_THIRDS = 1000
"""With as many questions in thirds: it takes half the time, and a third is enough to learn on."""


@dataclasses.dataclass(frozen=True)
class Table:
    """What one probe sees of some questions.

    Attributes:
        rows: ``[N, K, D]``, NaN for options that a question lacks.
        gold: ``[N]`` number of the right option.
        groups: ``[N]`` groups of questions that share tiles.
    """

    rows: np.ndarray
    gold: np.ndarray
    groups: np.ndarray

    def __getitem__(self, mask: np.ndarray) -> Table:
        """The questions of a mask."""
        return Table(self.rows[mask], self.gold[mask], self.groups[mask])


def trial(
    test: Table,
    learn: Table | None,
    *,
    clusters: np.ndarray | None = None,
    seed: int = 0,
    bend: bool = True,
    below: bool = True,
) -> Outcome | None:
    """Try one probe.

    Args:
        test: Questions to choose on.
        learn: Questions of other places to learn on; None: each part of ``test`` but the first is tried by a model that
            learnt on the groups of the parts before it.
        clusters: ``[N]`` test questions that may be hit or missed together; None where all are independent. For a
            nuisance these are the questions about one panorama, or about one set of tiles; questions that merely
            share tiles are not more alike than others if nothing leaks, as the right tile of one is a wrong one of the
            other. For a cue they are the neighbourhoods, some of which are easier.
        seed: Decides held-out groups and random features.
        bend: Also try the non-linear model.
        below: Whether a hit rate below 1/K counts as well, where it can.

    Returns:
        What came of it; None where there is nothing else to learn on and all test questions are of one group, or too
        few. Learnt elsewhere, a hit rate below 1/K counts too; among the parts of one set it does not: where letters
        are balanced, what is rarer in some parts is more frequent in the others.
    """
    clusters = np.arange(len(test.gold)) if clusters is None else clusters
    if learn is None:
        parts = _parts(test)
        if len(parts) < 2 or len(test.gold) < FEWEST_TO_TRY:
            return None
        rounds = [(test[np.logical_or.reduce(parts[:k])], parts[k]) for k in range(1, len(parts))]
    else:
        rounds = [(learn, np.ones(len(test.gold), dtype=bool))]
    share, told, tried = np.zeros(len(test.gold)), set(), np.zeros(len(test.gold), dtype=bool)
    for known, part in rounds:
        model = fit(known.rows, known.gold, known.groups, seed, bend=bend)
        share[part] = hits(model.scores(test.rows[part]), test.gold[part])
        told.add(model.kind)
        tried |= part
    test = test[tried]
    spread = np.nanmax(test.rows, axis=1) - np.nanmin(test.rows, axis=1)
    chances = 1.0 / (~np.isnan(test.rows).any(axis=2)).sum(axis=1)
    tied = bool(spread.max() <= 0.0) and told == {"nothing_varies"}
    return outcome(share[tried], chances, clusters[tried], tied, sides=2 if below and learn is not None else 1)


def _parts(test: Table) -> Sequence[np.ndarray]:
    return folds_of(test.groups, 3 if len(test.gold) >= ENOUGH_FOR_THIRDS else PARTS)


def judge(outcomes: Sequence[Outcome | None], *, nuisance: bool) -> list[dict[str, Any]]:
    """Figures and verdict of each probe of one family, of all sets; the family's false alarms are held together.

    Args:
        outcomes: From :func:`trial`, of cues with one side only.
        nuisance: Whether these must score 1/K (``leak``) or are weak content (``cue``).
    """
    adjusted = holm([found.p_value if found else 1.0 for found in outcomes])
    rows = []
    for found, p_value in zip(outcomes, adjusted, strict=True):
        if found is None:
            blank = dict.fromkeys(("accuracy", "low", "high", "chance", "n_effective", "p_value"))
            rows.append({**blank, "n": 0, "constant": False, "adjusted_p": 1.0, "detectable": 1.0})
            rows[-1]["verdict"] = "underpowered"
            continue
        detectable = smallest_detectable(found.n_effective, found.chance, len(outcomes) * found.sides)
        figures = {**dataclasses.asdict(found), "adjusted_p": p_value, "detectable": detectable}
        rounded = {name: round(value, 6) if isinstance(value, float) else value for name, value in figures.items()}
        rows.append({**rounded, "verdict": verdict(found, p_value, detectable, nuisance=nuisance)})
    return rows
