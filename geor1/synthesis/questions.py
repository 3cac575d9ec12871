"""Pairs to multiple-choice questions: one panorama, K lettered tiles, the letter of the right one uniform."""

from __future__ import annotations

import string
from collections.abc import Sequence

import numpy as np

from geor1.records import Candidate, Pair, Question
from geor1.synthesis.negatives import Neighbourhoods
from geor1.synthesis.shared_sets import shared_sets
from geor1.synthesis.sources import chosen_rows

MAX_CANDIDATES = len(string.ascii_uppercase)


def letters_of(candidates: int) -> tuple[str, ...]:
    """Option letters in order.

    Args:
        candidates: K, 2 to 26.

    Raises:
        ValueError: K is out of range.

    >>> letters_of(3)
    ('A', 'B', 'C')
    """
    if not 2 <= candidates <= MAX_CANDIDATES:
        raise ValueError(
            f"candidates={candidates}: expected 2 to {MAX_CANDIDATES} options, so that each has one letter"
        )
    return tuple(string.ascii_uppercase[:candidates])


def balanced_positions(n: int, candidates: int, rng: np.random.Generator) -> np.ndarray:
    """Gold positions that occur equally often (up to the remainder) in random order.

    Args:
        n: How many.
        candidates: K.
        rng: Decides the order, and which positions get the remainder.

    Returns:
        ``[n]`` integers in 0 … K-1; the counts of any two positions differ by at most 1.
    """
    cycle = rng.permutation(candidates)
    return rng.permutation(cycle[np.arange(n) % candidates])


def build_questions(
    hood: Neighbourhoods,
    *,
    split: str,
    candidates: int = 5,
    questions_per_pair: int = 1,
    questions_per_city: int = 0,
    seed: int = 0,
    skip_isolated: bool = False,
    share_sets: bool = False,
) -> tuple[list[Question], list[str]]:
    """Questions about every pair of one split.

    Args:
        hood: The pairs, with the rule for negatives.
        split: ``train`` or ``test``.
        candidates: K, the true tile included.
        questions_per_pair: How often each panorama is asked about, each time with other negatives and letters.
        questions_per_city: Ask about at most so many panoramas of each city, a seeded choice, while the tiles of all
            pairs stand by as negatives; 0 asks about all.
        seed: Decides negatives, letters and the order of the list.
        skip_isolated: Leave out pairs with too few negatives instead of stopping.
        share_sets: Ask about each set of K tiles once for each of its places (:mod:`geor1.synthesis.shared_sets`), so
            that the set says nothing of the answer. Places that no set has room for are left out.

    Returns:
        The questions in random order, and the ids of the pairs left out (of the first round, where there are several).

    Raises:
        NegativesError: A pair has too few negatives (unless ``skip_isolated``).
    """
    letters = letters_of(candidates)
    rng = np.random.default_rng([seed, 11, ("train", "test").index(split)])
    if share_sets:
        return _of_shared_sets(hood, split, letters, questions_per_pair, questions_per_city // candidates, rng)
    mine = hood.numbers_of(split)
    keep = chosen_rows((str(code) for code in hood.cities[mine]), questions_per_city, seed)
    mine = mine if keep is None else mine[keep]
    isolated = [int(number) for number in mine if hood.count(number) < candidates - 1] if skip_isolated else []
    asked = np.setdiff1d(mine, isolated).tolist()
    positions = balanced_positions(len(asked) * questions_per_pair, candidates, rng)
    questions = [
        make_question(
            hood,
            number,
            f"{hood.pairs[number].pair_id}/q{turn}",
            letters,
            int(positions[turn * len(asked) + place]),
            hood.choose(number, candidates - 1, rng),
        )
        for turn in range(questions_per_pair)
        for place, number in enumerate(asked)
    ]
    order = rng.permutation(len(questions))
    return [questions[k] for k in order], [hood.pairs[number].pair_id for number in isolated]


def _of_shared_sets(
    hood: Neighbourhoods, split: str, letters: Sequence[str], rounds: int, per_city: int, rng: np.random.Generator
) -> tuple[list[Question], list[str]]:
    questions, alone = [], []
    for turn in range(rounds):
        sets, left = shared_sets(hood, hood.numbers_of(split), len(letters), rng, per_city)
        alone = left if turn == 0 else alone
        positions = iter(balanced_positions(len(sets) * len(letters), len(letters), rng).tolist())
        for members in sets:
            for number in members:
                others = rng.permutation([other for other in members if other != number])
                name = f"{hood.pairs[number].pair_id}/q{turn}"
                questions.append(
                    make_question(hood, number, name, letters, next(positions), hood.beside(number, others))
                )
    order = rng.permutation(len(questions))
    return [questions[k] for k in order], [hood.pairs[number].pair_id for number in alone]


def make_question(
    hood: Neighbourhoods,
    number: int,
    question_id: str,
    letters: Sequence[str],
    gold: int,
    others: list[tuple[int, float | None]],
) -> Question:
    """One question.

    Args:
        hood: The pairs, with the rule for negatives.
        number: Position of the panorama's pair in ``hood.pairs``.
        question_id: Unique in the file.
        letters: K option letters in order.
        gold: Position of the true tile, 0 … K-1.
        others: The K - 1 wrong tiles in order: numbers in ``hood.pairs`` and distances in metres (None unknown).
    """
    chosen = [*others[:gold], (number, 0.0), *others[gold:]]
    pair = hood.pairs[number]
    return Question(
        question_id=question_id,
        pair_id=pair.pair_id,
        source=pair.source,
        split=pair.split,
        ground_image=pair.ground_image,
        candidates=tuple(
            candidate_of(hood.pairs[other], letter, distance)
            for letter, (other, distance) in zip(letters, chosen, strict=True)
        ),
        answer=letters[gold],
        latitude_deg=pair.latitude_deg,
        longitude_deg=pair.longitude_deg,
        city=pair.city,
        country=pair.country,
        country_code=pair.country_code,
        facts=pair.facts,
    )


def candidate_of(pair: Pair, letter: str, distance_m: float | None) -> Candidate:
    """The tile of a pair as a lettered option."""
    return Candidate(
        letter=letter,
        pair_id=pair.pair_id,
        satellite_image=pair.satellite_image,
        distance_m=distance_m,
        facts=pair.facts,
    )
