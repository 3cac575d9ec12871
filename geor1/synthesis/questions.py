"""Pairs to multiple-choice questions: one panorama, K lettered tiles, the letter of the right one uniform."""

from __future__ import annotations

import dataclasses
import string
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from geor1.records import Candidate, Pair, Question
from geor1.synthesis.negatives import Neighbourhoods
from geor1.synthesis.record_file import RecordFile, RecordWriter
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


@dataclasses.dataclass(frozen=True)
class QuestionPlan:
    """Questions about one split, to be made once, one at a time.

    Attributes:
        hood: The pairs, with the rule for negatives.
        letters: K option letters in order.
        asked: Numbers of the pairs asked about, one for each question.
        gold: Positions of the right tiles, 0 … K-1, one for each question.
        turns: For each question, how many there are of its pair before it.
        left_out: Ids of pairs with too few negatives.
        rng: Decides negatives and the final order.
        others: ``[N, K - 1]`` wrong tiles, where they are decided; None to choose them.
    """

    hood: Neighbourhoods
    letters: tuple[str, ...]
    asked: np.ndarray
    gold: np.ndarray
    turns: np.ndarray
    left_out: list[str]
    rng: np.random.Generator
    others: np.ndarray | None = None

    def made(self) -> Iterator[Question]:
        """The questions, pair after pair.

        Raises:
            NegativesError: A pair has too few negatives.
        """
        numbers = map(int, self.asked)
        if self.others is None:
            chosen = self.hood.choose_each(numbers, len(self.letters) - 1, self.rng)
        else:
            chosen = map(self.hood.beside, numbers, self.others)
        for place, others in enumerate(chosen):
            yield self._question(place, others)

    def order(self) -> np.ndarray:
        """The order in which they shall stand; drawn when all are made."""
        return self.rng.permutation(len(self.asked))

    def _question(self, place: int, others: list[tuple[int, float | None]]) -> Question:
        number, gold, turn = int(self.asked[place]), int(self.gold[place]), int(self.turns[place])
        pair = self.hood.pairs[number]
        others.insert(gold, (number, 0.0))
        return Question(
            question_id=f"{pair.pair_id}/q{turn}",
            pair_id=pair.pair_id,
            source=pair.source,
            split=pair.split,
            ground_image=pair.ground_image,
            candidates=tuple(
                candidate_of(self.hood.pairs[other], letter, distance)
                for letter, (other, distance) in zip(self.letters, others, strict=True)
            ),
            answer=self.letters[gold],
            latitude_deg=pair.latitude_deg,
            longitude_deg=pair.longitude_deg,
            city=pair.city,
            country=pair.country,
            country_code=pair.country_code,
            facts=pair.facts,
        )


def plan_questions(
    hood: Neighbourhoods,
    *,
    split: str,
    candidates: int = 5,
    questions_per_pair: int = 1,
    questions_per_city: int = 0,
    seed: int = 0,
    skip_isolated: bool = False,
    share_sets: bool = False,
) -> QuestionPlan:
    """Decide which pairs of one split are asked about, and where the right tiles stand.

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
    """
    letters = letters_of(candidates)
    rng = np.random.default_rng([seed, 11, ("train", "test").index(split)])
    if share_sets:
        return _plan_of_sets(hood, split, letters, questions_per_pair, questions_per_city // candidates, rng)
    mine = hood.numbers_of(split)
    keep = chosen_rows((str(code) for code in hood.cities[mine]), questions_per_city, seed)
    mine = mine if keep is None else mine[keep]
    isolated = [int(number) for number in mine if not hood.enough(number, candidates - 1)] if skip_isolated else []
    asked = np.setdiff1d(mine, isolated)
    return QuestionPlan(
        hood=hood,
        letters=letters,
        asked=np.tile(asked, questions_per_pair),
        gold=balanced_positions(len(asked) * questions_per_pair, candidates, rng),
        turns=np.repeat(np.arange(questions_per_pair), len(asked)),
        left_out=[hood.pairs[number].pair_id for number in isolated],
        rng=rng,
    )


def _plan_of_sets(
    hood: Neighbourhoods, split: str, letters: tuple[str, ...], rounds: int, per_city: int, rng: np.random.Generator
) -> QuestionPlan:
    """Each round cuts the pairs into other sets; what the first has no room for counts as left out."""
    size = len(letters)
    cut = [shared_sets(hood, hood.numbers_of(split), size, rng, per_city) for _ in range(rounds)]
    asked = [np.array(sets, dtype=np.int64).ravel() for sets, _ in cut]
    gold = [balanced_positions(len(numbers), size, rng) for numbers in asked]
    others = [rng.permutation([other for other in members if other != number])
              for sets, _ in cut for members in sets for number in members]  # fmt: skip
    return QuestionPlan(
        hood=hood,
        letters=letters,
        asked=np.concatenate(asked),
        gold=np.concatenate(gold),
        turns=np.repeat(np.arange(rounds), [len(numbers) for numbers in asked]),
        left_out=[hood.pairs[number].pair_id for number in cut[0][1]],
        rng=rng,
        others=np.array(others, dtype=np.int64).reshape(-1, size - 1),
    )


def build_questions(hood: Neighbourhoods, **settings: Any) -> tuple[list[Question], list[str]]:
    """Questions about every pair of one split, all in memory.

    Args:
        hood: The pairs, with the rule for negatives.
        settings: As :func:`plan_questions` takes them.

    Returns:
        The questions in random order, and the ids of the pairs left out (of the first round, where there are several).

    Raises:
        NegativesError: A pair has too few negatives (unless ``skip_isolated``).
    """
    plan = plan_questions(hood, **settings)
    questions = list(plan.made())
    return [questions[k] for k in plan.order()], plan.left_out


def write_questions(
    path: Path, plan: QuestionPlan, watch: Callable[[Iterator[Question]], Iterator[Question]] = iter
) -> RecordFile[Question]:
    """The same questions in the same order, written as they are made; none but the one at hand is in memory.

    Args:
        path: Destination.
        plan: What to make.
        watch: Hands each question on before it is written.

    Raises:
        NegativesError: As :func:`build_questions`; nothing is then at ``path``.
    """
    writer = RecordWriter(path, Question, cached=0)
    writer.extend(watch(plan.made()))
    return writer.finish(plan.order())


def candidate_of(pair: Pair, letter: str, distance_m: float | None) -> Candidate:
    """The tile of a pair as a lettered option."""
    return Candidate(
        letter=letter,
        pair_id=pair.pair_id,
        satellite_image=pair.satellite_image,
        distance_m=distance_m,
        facts=pair.facts,
    )
