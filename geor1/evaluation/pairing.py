"""Cross-view pairing: rotations of a question, and the scores of a model over them.

A model that always answers "A" is right on a fifth of five-option questions, and a model that prefers "A" looks better
or worse than it is. So every question is asked with its images shifted cyclically under letters that stay in place:
the mean over rotations is the primary accuracy, and the circular accuracy counts a question only when every rotation
is answered right (MMBench's CircularEval; here the options are images, so images move and letters stay).
"""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence

from geor1.evaluation.statistics import Interval, bootstrap_interval, proportion_interval, wilson_interval
from geor1.records import Prediction, Question


@dataclasses.dataclass(frozen=True)
class PositionRecall:
    """How often the right answer was found when it stood at one letter.

    Attributes:
        letter: The position.
        n: Predictions whose right answer stood there.
        correct: Those answered right.
    """

    letter: str
    n: int
    correct: int

    @property
    def recall(self) -> float | None:
        """``correct / n``, or None when nothing stood there."""
        return self.correct / self.n if self.n else None


@dataclasses.dataclass(frozen=True)
class PairingScore:
    """Scores of one model under one condition.

    Attributes:
        model: Row label.
        condition: ``normal``, ``blind`` or ``shuffled``.
        n_items: Questions.
        rotations: Rotations asked of each.
        n_options: K.
        n_independent: Items, or groups of items where some depend on each other; what is resampled.
        accuracy: Mean over all rotations of all items; interval by bootstrap (Wilson's when all are right or all
            wrong). The primary figure.
        accuracy_single: Rotation 0 only; None when rotation 0 was not asked. Wilson interval, bootstrap over groups.
        circular: Items right under every rotation asked; the same intervals.
        by_position: Recall for each position of the right answer.
        choices: How often each letter was chosen; unusable completions under ``none``.
        failures: Unusable completions by reason; all count as wrong.
        facts_stated: Facts stated in the chains that the metadata can test.
        facts_true: Those that hold.
        completion_tokens: Mean completion length in tokens; None when no length is known.
        unfinished: Share of completions cut at the token limit.
    """

    model: str
    condition: str
    n_items: int
    n_independent: int
    rotations: int
    n_options: int
    accuracy: Interval
    accuracy_single: Interval | None
    circular: Interval
    by_position: tuple[PositionRecall, ...]
    choices: dict[str, int]
    failures: dict[str, int]
    facts_stated: int
    facts_true: int
    completion_tokens: float | None
    unfinished: float

    @property
    def chance(self) -> float:
        """Accuracy of guessing, 1/K."""
        return 1 / self.n_options

    @property
    def facts_true_share(self) -> float | None:
        """Share of the stated facts that hold, or None when none was stated."""
        return self.facts_true / self.facts_stated if self.facts_stated else None

    @property
    def n_failures(self) -> int:
        """Completions that could not be used."""
        return sum(self.failures.values())


def rotate(question: Question, shift: int) -> Question:
    """Shift the options cyclically while the letters stay A … K.

    The option at index i moves to index (i + shift) mod K and takes the letter that stands there; the answer moves
    with it.

    Args:
        question: Any question.
        shift: Places to move by; taken modulo K.

    Returns:
        The question as asked under this rotation (the same object for shift 0).
    """
    count = len(question.candidates)
    if shift % count == 0:
        return question
    letters = [candidate.letter for candidate in question.candidates]
    moved = tuple(
        dataclasses.replace(question.candidates[(index - shift) % count], letter=letter)
        for index, letter in enumerate(letters)
    )
    answer = letters[(letters.index(question.answer) + shift) % count]
    return dataclasses.replace(question, candidates=moved, answer=answer)


def rotations(question: Question, count: int) -> list[tuple[int, Question]]:
    """The first ``count`` rotations with their shifts, at most K.

    Raises:
        ValueError: ``count`` < 1.
    """
    if count < 1:
        raise ValueError(f"rotations: expected at least 1, got {count}")
    return [(shift, rotate(question, shift)) for shift in range(min(count, len(question.candidates)))]


def tile_sets(questions: Iterable[Question]) -> dict[str, tuple[str, ...]]:
    """Which tiles each question shows, by its id.

    Questions that show the same tiles (``share_sets`` of stage 01) are not independent: who can tell one tile from the
    others is helped in all of them.
    """
    return {one.question_id: tuple(sorted(option.satellite_image for option in one.candidates)) for one in questions}


def score_pairing(
    predictions: Iterable[Prediction],
    *,
    n_options: int | None = None,
    groups: Mapping[str, Hashable] | None = None,
    resamples: int = 2000,
    seed: int = 0,
) -> PairingScore:
    """Score one model under one condition.

    Args:
        predictions: Pairing predictions of one model and one condition; every item under the same rotations.
        n_options: K; when None, the count of letters up to the last one seen as answer or choice, or of the images of a
            question, whichever is larger.
        groups: Of each item, by its id; items of one group are resampled together (:func:`tile_sets`). None: each item
            stands alone.
        resamples: Bootstrap draws.
        seed: Seed of the bootstrap.

    Raises:
        ValueError: Nothing to score, models or conditions mixed, a repeated key, or items asked under different
            rotations.
        KeyError: ``groups`` lacks an item.
    """
    scored = list(predictions)
    _check_uniform(scored)
    by_item = _by_item(scored)
    group_of = dict(zip(by_item, by_item, strict=True)) if groups is None else {item: groups[item] for item in by_item}
    draws = {"resamples": resamples, "seed": seed}
    first = [p for p in scored if p.rotation == 0]
    always = [all(p.correct for p in of_item) for of_item in by_item.values()]
    lengths = [p.completion_tokens for p in scored if p.completion_tokens is not None]
    count = n_options or _infer_options(scored)
    return PairingScore(
        model=scored[0].model,
        condition=scored[0].condition,
        n_items=len(by_item),
        n_independent=len(set(group_of.values())),
        rotations=len(scored) // len(by_item),
        n_options=count,
        accuracy=_accuracy(scored, [group_of[p.item_id] for p in scored], **draws),
        accuracy_single=proportion_interval([p.correct for p in first], [group_of[p.item_id] for p in first], **draws)
        if first
        else None,
        circular=proportion_interval(always, [group_of[item] for item in by_item], **draws),
        by_position=_position_recall(scored, count),
        choices=_choice_histogram(scored, count),
        failures=dict(sorted(Counter(p.status for p in scored if p.status != "ok").items())),
        facts_stated=sum(p.facts_stated for p in scored),
        facts_true=sum(p.facts_true for p in scored),
        completion_tokens=sum(lengths) / len(lengths) if lengths else None,
        unfinished=sum(not p.finished for p in scored) / len(scored),
    )


def item_accuracies(predictions: Iterable[Prediction]) -> dict[str, float]:
    """Mean correctness of each item over its rotations, by item id; what paired comparisons use."""
    return {item: sum(p.correct for p in group) / len(group) for item, group in _by_item(list(predictions)).items()}


def option_letters(count: int) -> list[str]:
    """The first ``count`` option letters.

    >>> option_letters(3)
    ['A', 'B', 'C']
    """
    return [chr(ord("A") + index) for index in range(count)]


def _accuracy(
    predictions: Sequence[Prediction], clusters: Sequence[Hashable], *, resamples: int, seed: int
) -> Interval:
    """Mean over all rotations of all items, bootstrap over what is independent.

    When every answer is right, or none, resampling sees no variation; Wilson's interval over the clusters stands then.
    """
    correct = [float(p.correct) for p in predictions]
    if len(set(correct)) == 1:
        independent = len(set(clusters))
        interval = wilson_interval(independent if correct[0] else 0, independent)
        return dataclasses.replace(interval, n=len(correct))
    return bootstrap_interval(correct, clusters=clusters, resamples=resamples, seed=seed)


def _by_item(predictions: Sequence[Prediction]) -> dict[str, list[Prediction]]:
    groups: dict[str, list[Prediction]] = defaultdict(list)
    for prediction in predictions:
        groups[prediction.item_id].append(prediction)
    return dict(groups)


def _check_uniform(predictions: Sequence[Prediction]) -> None:
    if not predictions:
        raise ValueError("score_pairing: expected predictions, got none; was the model evaluated under this condition?")
    kinds = sorted({(p.model, p.task, p.condition) for p in predictions})
    if len(kinds) > 1 or kinds[0][1] != "pairing":
        raise ValueError(f"score_pairing: expected pairing predictions of one model and condition, got {kinds}")
    groups = _by_item(predictions)
    expected = sorted(p.rotation for p in next(iter(groups.values())))
    for item, group in groups.items():
        asked = sorted(p.rotation for p in group)
        if len(set(asked)) < len(asked):
            raise ValueError(f"score_pairing: item {item!r} has a rotation twice ({asked}); drop the repeated lines")
        if asked != expected:
            raise ValueError(
                f"score_pairing: item {item!r} was asked under rotations {asked}, others under {expected}; "
                "finish the interrupted run before scoring it"
            )


def _infer_options(predictions: Sequence[Prediction]) -> int:
    letters = [letter for p in predictions for letter in (p.answer, p.choice) if letter]
    by_letter = max((ord(letter) - ord("A") + 1 for letter in letters), default=1)
    return max(by_letter, max(len(p.images) for p in predictions) - 1)


def _position_recall(predictions: Sequence[Prediction], count: int) -> tuple[PositionRecall, ...]:
    asked = Counter(p.answer for p in predictions)
    right = Counter(p.answer for p in predictions if p.correct)
    return tuple(PositionRecall(letter, asked[letter], right[letter]) for letter in option_letters(count))


def _choice_histogram(predictions: Sequence[Prediction], count: int) -> dict[str, int]:
    chosen = Counter(p.choice if p.status == "ok" and p.choice else "none" for p in predictions)
    return {letter: chosen[letter] for letter in [*option_letters(count), "none"]}
