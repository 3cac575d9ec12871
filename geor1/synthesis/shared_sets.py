"""Sets of K tiles that are asked about once for each of their places.

Wrong tiles that are chosen by their likeness to the right one, or by their distance from it, put it in the middle of
its set, and a policy finds it there without a look at the panorama. Where the same set is asked about K times, each
time for another of its places, the set says nothing of the answer: P(Y | S) = 1/K exactly, however its tiles were
chosen.

Source: the premise I(Y; N(S)) = 0 of Theorem 3.1 of arXiv 2510.00072 (second version), which neighbourhood negatives
are said to give; how they are drawn there is not known.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from geor1.synthesis.negatives import Neighbourhoods


def shared_sets(
    hood: Neighbourhoods, numbers: Sequence[int] | np.ndarray, size: int, rng: np.random.Generator, per_city: int = 0
) -> tuple[list[list[int]], list[int]]:
    """Cut places into sets of which each two may stand beside each other.

    A place drawn at random takes in, from those still free, what the rule's ``difficulty`` puts first, as long as it
    fits all that are in already.

    Args:
        hood: The pairs, with the rule for negatives.
        numbers: Pairs to be cut into sets.
        size: K, places of a set.
        rng: Decides who begins and how ties are broken.
        per_city: Sets of one city at most; 0 for all.

    Returns:
        The sets, no place in two of them, and the places that are in none: too few free ones fit them.
    """
    numbers = np.asarray(numbers, dtype=np.int64)
    free = np.zeros(len(hood.pairs), dtype=bool)
    free[numbers] = True
    made: dict[int, int] = {}
    sets: list[list[int]] = []
    for first in rng.permutation(numbers).tolist():
        city = int(hood.cities[first])
        if not free[first] or (per_city and made.get(city, 0) >= per_city):
            continue
        members = _around(hood, first, free, size, rng)
        if members is not None:
            free[members] = False
            made[city] = made.get(city, 0) + 1
            sets.append(members)
    alone = [] if per_city else numbers[free[numbers]].tolist()
    return sets, alone


def _around(
    hood: Neighbourhoods, first: int, free: np.ndarray, size: int, rng: np.random.Generator
) -> list[int] | None:
    open_to_all = hood.ranked(first, rng)
    open_to_all, members = open_to_all[free[open_to_all]], [first]
    while len(members) < size:
        if not len(open_to_all):
            return None
        members.append(int(open_to_all[0]))
        beside, _, _ = hood.eligible(members[-1])
        open_to_all = open_to_all[np.isin(open_to_all, beside)]
    return members
