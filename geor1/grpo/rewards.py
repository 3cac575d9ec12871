"""The four reward terms of GRPO, as pure functions that TRL's ``reward_funcs`` takes.

A completion y with L tokens, gold letter g::

    r(y) = w_acc accuracy + w_fmt format + w_len length + w_rep repetition

    accuracy    correct (1) if y is one think block, one answer block that names g alone, and ended; else wrong (0)
    format      1 if y is one think block and one answer block, else 0
    length      cosine from the value at L = 0 to the value at L >= L_max; other values if y is correct than if not
    repetition  -(1 - distinct / all) over word n-grams

Departures from the released code (``preset="released_code"`` reproduces that, see :mod:`geor1.grpo.released_rewards`):

- accuracy pays only for a well-formed, ended completion. Where the right answer block may stand anywhere, policies
  learn within tens of steps to go on after it and to name several options.
- length depends on whether the answer is right, which is hard-coded there, and stays at its end value past L_max.
- weights are applied. The paper's weights are not known; the released code adds the terms as they are.

Each term is called as ``term(completions, **columns)`` and returns one float a completion. Completions are strings or
TRL's one-message lists; columns are lists of the same length.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, fields
from typing import Any, ClassVar, Protocol, TypeAlias

from geor1.answers import ParseFailure, is_well_formed, parse_choice

Completion: TypeAlias = str | Sequence[dict[str, Any]]
PRESETS = ("corrected", "released_code")
OUTCOMES = ("correct", "wrong", "not_well_formed", "not_ended", *(failure.value for failure in ParseFailure))
_CHOICE_OUTCOMES = tuple(
    outcome
    for outcome in OUTCOMES
    if outcome not in (ParseFailure.NO_COORDINATES.value, ParseFailure.OUT_OF_RANGE.value)
)


class RewardFunction(Protocol):
    """What TRL calls: ``term(completions=..., **columns) -> list[float]``, with a name for its curve."""

    __name__: str

    def __call__(self, completions: Sequence[Completion], **columns: Any) -> list[float]:
        """One reward a completion."""


@dataclass(frozen=True, kw_only=True)
class RewardWeights:
    """Weights of the terms; the order of the fields is the order of the reward functions.

    Attributes:
        accuracy: Weight of accuracy.
        format: Weight of the format term.
        length: Weight of the length term.
        repetition: Weight of the repetition penalty.
    """

    accuracy: float = 1.0
    format: float = 1.0
    length: float = 1.0
    repetition: float = 1.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not math.isfinite(value) or value < 0.0:
                raise ValueError(
                    f"{field.name}={value}: expected a finite weight >= 0 (0 keeps the curve, without effect)"
                )


def completion_text(completion: Completion) -> str:
    """Text of a completion in either of TRL's forms: a string, or a list of messages with string content."""
    if isinstance(completion, str):
        return completion
    return "".join(str(message["content"]) for message in completion)


def judge(text: str, answer: str, letters: Sequence[str], *, ended: bool = True) -> str:
    """Why a completion does or does not earn the accuracy reward.

    Args:
        text: The completion.
        answer: Gold letter.
        letters: The options offered.
        ended: Whether the model ended the completion itself.

    Returns:
        One of ``OUTCOMES``: ``correct``, ``wrong``, a parse failure, ``not_well_formed`` or ``not_ended``.

    >>> judge("<think> water </think> <answer> C </answer>", "C", "ABCDE")
    'correct'
    >>> judge("<think> water </think> <answer> C </answer> <answer> D </answer>", "D", "ABCDE")
    'not_well_formed'
    """
    choice = parse_choice(text, letters)
    if isinstance(choice, ParseFailure):
        return choice.value
    if not is_well_formed(text):
        return "not_well_formed"
    if not ended:
        return "not_ended"
    return "correct" if choice == answer else "wrong"


@dataclass(frozen=True, kw_only=True)
class AccuracyReward:
    """``correct`` for one well-formed, ended completion that names the gold letter, ``wrong`` for everything else.

    Attributes:
        correct: Value of a right answer.
        wrong: Value of anything else. Sources conflict: 1/0 in the released code, +1/-1 in notes on the paper's second
            version, +1/-0.8 in a public review of its first.
        end_token_ids: Ids one of which must be the last of ``completion_ids``; empty: the text and ``finished`` decide.
    """

    __name__: ClassVar[str] = "accuracy"
    correct: float = 1.0
    wrong: float = 0.0
    end_token_ids: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not (math.isfinite(self.correct) and math.isfinite(self.wrong) and self.correct > self.wrong):
            raise ValueError(f"correct={self.correct}, wrong={self.wrong}: expected finite values, correct above wrong")

    def __call__(
        self,
        completions: Sequence[Completion],
        *,
        answer: Sequence[str],
        letters: Sequence[Sequence[str]],
        completion_ids: Sequence[Sequence[int]] | None = None,
        finished: Sequence[bool] | None = None,
        log_metric: Callable[[str, float], None] | None = None,
        **_: Any,
    ) -> list[float]:
        """Reward each completion, and log the share of each outcome where TRL offers ``log_metric``.

        Args:
            completions: N completions.
            answer: N gold letters.
            letters: N option sets, e.g. ``"ABCDE"``.
            completion_ids: N token id lists without padding, as TRL gives them.
            finished: N flags, False where generation was cut.
            log_metric: ``log_metric(name, value)``.

        Returns:
            N values, each ``correct`` or ``wrong``.
        """
        outcomes = self.outcomes(
            completions, answer=answer, letters=letters, completion_ids=completion_ids, finished=finished
        )
        if log_metric is not None and outcomes:
            counts = Counter(outcomes)
            for outcome in _CHOICE_OUTCOMES:
                log_metric(f"outcome/{outcome}", counts[outcome] / len(outcomes))
        return [self.correct if outcome == "correct" else self.wrong for outcome in outcomes]

    def outcomes(
        self,
        completions: Sequence[Completion],
        *,
        answer: Sequence[str],
        letters: Sequence[Sequence[str]],
        completion_ids: Sequence[Sequence[int]] | None = None,
        finished: Sequence[bool] | None = None,
    ) -> list[str]:
        """The outcome of each completion (see :func:`judge`); arguments as in the call."""
        ended = ended_flags(len(completions), completion_ids, finished, self.end_token_ids)
        rows = zip(completions, answer, letters, ended, strict=True)
        return [judge(completion_text(completion), gold, options, ended=end) for completion, gold, options, end in rows]


def ended_flags(
    n: int,
    completion_ids: Sequence[Sequence[int]] | None,
    finished: Sequence[bool] | None,
    end_token_ids: Sequence[int],
) -> list[bool]:
    """Whether each of ``n`` completions ended by itself: not flagged as cut, and its last token ends a completion.

    Args:
        n: Completions.
        completion_ids: N token id lists without padding, or None if not known.
        finished: N flags, False where generation was cut, or None.
        end_token_ids: Tokens that end a completion; empty: the flags alone decide.
    """
    ended = [True] * n if finished is None else [bool(flag) for flag in finished]
    if not end_token_ids or completion_ids is None:
        return ended
    last = [ids[-1] if len(ids) else None for ids in completion_ids]
    return [flag and token in end_token_ids for flag, token in zip(ended, last, strict=True)]


@dataclass(frozen=True)
class FormatReward:
    """1 for exactly one think block followed by exactly one answer block and nothing else, 0 otherwise."""

    __name__: ClassVar[str] = "format"

    def __call__(self, completions: Sequence[Completion], **_: Any) -> list[float]:
        """Reward each of N completions."""
        return [1.0 if is_well_formed(completion_text(completion)) else 0.0 for completion in completions]


def cosine_value(n_tokens: int, *, max_length: int, short: float, long: float) -> float:
    """Half a cosine from ``short`` at no tokens to ``long`` at ``max_length`` tokens, and ``long`` beyond.

    Source: arXiv 2502.03373, appendix C.1; clamped here, since the cosine would climb again past ``max_length``.

    >>> [round(cosine_value(n, max_length=1024, short=1.0, long=0.5), 3) for n in (0, 512, 1024, 2048)]
    [1.0, 0.75, 0.5, 0.5]
    """
    progress = min(n_tokens / max_length, 1.0)
    return long + 0.5 * (short - long) * (1.0 + math.cos(math.pi * progress))


@dataclass(frozen=True, kw_only=True)
class LengthReward:
    """Cosine of the completion's length in tokens, with one schedule for right and one for wrong completions.

    The values are the released code's: a right completion earns less as it grows, a wrong one is punished most when
    short, so that exploring costs less (the form of arXiv 2502.03373).

    Attributes:
        max_length: Tokens from which on the end value holds.
        correct_short: Value of a right completion without tokens.
        correct_long: Value of a right completion at ``max_length``.
        wrong_short: Value of a wrong completion without tokens.
        wrong_long: Value of a wrong completion at ``max_length``.
        accuracy: Says what is right; the same strict judgement as the accuracy term.
        tokenizer: Counts tokens where TRL gives no ``completion_ids``: called with a text, returns ``input_ids``.
    """

    __name__: ClassVar[str] = "length"
    max_length: int = 1024
    correct_short: float = 1.0
    correct_long: float = 0.5
    wrong_short: float = -0.5
    wrong_long: float = 0.0
    accuracy: AccuracyReward = AccuracyReward()
    tokenizer: Callable[..., Any] | None = None

    def __post_init__(self) -> None:
        if self.max_length < 1:
            raise ValueError(f"max_length={self.max_length}: expected at least 1 token")

    def __call__(
        self,
        completions: Sequence[Completion],
        *,
        answer: Sequence[str],
        letters: Sequence[Sequence[str]],
        completion_ids: Sequence[Sequence[int]] | None = None,
        finished: Sequence[bool] | None = None,
        **_: Any,
    ) -> list[float]:
        """Reward each of N completions; arguments as in :class:`AccuracyReward`.

        Raises:
            ValueError: Neither ``completion_ids`` nor a tokenizer.
        """
        outcomes = self.accuracy.outcomes(
            completions, answer=answer, letters=letters, completion_ids=completion_ids, finished=finished
        )
        lengths = token_counts(completions, completion_ids, self.tokenizer)
        return [self._value(n, outcome == "correct") for n, outcome in zip(lengths, outcomes, strict=True)]

    def _value(self, n_tokens: int, correct: bool) -> float:
        short, long = (self.correct_short, self.correct_long) if correct else (self.wrong_short, self.wrong_long)
        return cosine_value(n_tokens, max_length=self.max_length, short=short, long=long)


def token_counts(
    completions: Sequence[Completion],
    completion_ids: Sequence[Sequence[int]] | None,
    tokenizer: Callable[..., Any] | None,
) -> list[int]:
    """Length of each completion in tokens, from its ids where given, else by tokenizing its text.

    Raises:
        ValueError: Neither ids nor a tokenizer.
    """
    if completion_ids is not None:
        return [len(ids) for ids in completion_ids]
    if tokenizer is None:
        raise ValueError("length reward: expected completion_ids or a tokenizer to count tokens, got neither")
    texts = [completion_text(completion) for completion in completions]
    return [len(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in texts]


def repeated_share(text: str, n: int) -> float:
    """Share of the word n-grams of a text that repeat an earlier one, in [0, 1); 0 for fewer than n words.

    >>> repeated_share("sand sand sand sand", 2)  # 3 bigrams, 1 distinct
    0.6666666666666667
    """
    words = text.lower().split()
    grams = [tuple(words[start : start + n]) for start in range(len(words) - n + 1)]
    return 1.0 - len(set(grams)) / len(grams) if grams else 0.0


@dataclass(frozen=True, kw_only=True)
class RepetitionReward:
    """``-max_penalty`` times the share of word n-grams that repeat an earlier one.

    Attributes:
        ngram: Words in an n-gram; 6 in the released code.
        max_penalty: Penalty towards which endless repetition tends.
    """

    __name__: ClassVar[str] = "repetition"
    ngram: int = 6
    max_penalty: float = 1.0

    def __post_init__(self) -> None:
        if self.ngram < 1:
            raise ValueError(f"ngram={self.ngram}: expected at least 1 word")

    def __call__(self, completions: Sequence[Completion], **_: Any) -> list[float]:
        """Reward each of N completions."""
        return [0.0 - self.max_penalty * repeated_share(completion_text(c), self.ngram) for c in completions]


def make_rewards(
    *,
    preset: str = "corrected",
    weights: RewardWeights | None = None,
    correct: float = 1.0,
    wrong: float = 0.0,
    max_length: int = 1024,
    ngram: int = 6,
    tokenizer: Callable[..., Any] | None = None,
    end_token_ids: Sequence[int] = (),
) -> tuple[list[RewardFunction], list[float]]:
    """Reward functions and weights for ``GRPOTrainer(reward_funcs=...)`` and ``GRPOConfig(reward_weights=...)``.

    Args:
        preset: ``corrected``, or ``released_code`` for the authors' shipped functions, faults included.
        weights: Of the terms; None: all 1.
        correct: Accuracy value of a right answer.
        wrong: Accuracy value of anything else.
        max_length: Tokens at which the length term ends.
        ngram: Words in an n-gram of the repetition term.
        tokenizer: See :class:`LengthReward`.
        end_token_ids: See :class:`AccuracyReward`.

    Returns:
        Functions named accuracy, format, length, repetition, and their weights in the same order.

    Raises:
        ValueError: Unknown preset; or ``released_code`` with other than its own values, which are fixed.

    >>> functions, weights = make_rewards(weights=RewardWeights(length=0.2))
    >>> [function.__name__ for function in functions], weights
    (['accuracy', 'format', 'length', 'repetition'], [1.0, 1.0, 0.2, 1.0])
    """
    if preset not in PRESETS:
        raise ValueError(f"preset={preset!r}: expected one of {PRESETS}")
    weights = weights or RewardWeights()
    if preset == "released_code":
        _check_released(weights, (correct, wrong), max_length, ngram)
        from geor1.grpo.released_rewards import released_rewards

        return released_rewards(tokenizer=tokenizer), list(astuple(weights))
    accuracy = AccuracyReward(correct=correct, wrong=wrong, end_token_ids=tuple(end_token_ids))
    length = LengthReward(max_length=max_length, accuracy=accuracy, tokenizer=tokenizer)
    return [accuracy, FormatReward(), length, RepetitionReward(ngram=ngram)], list(astuple(weights))


def _check_released(weights: RewardWeights, values: tuple[float, float], max_length: int, ngram: int) -> None:
    given = {"weights": astuple(weights), "(correct, wrong)": values, "max_length": max_length, "ngram": ngram}
    fixed = {"weights": (1, 1, 1, 1), "(correct, wrong)": (1, 0), "max_length": 1024, "ngram": 6}
    for name, value in given.items():
        if value != fixed[name]:
            raise ValueError(
                f"preset='released_code' fixes {name} to {fixed[name]}, got {value}; "
                "use preset='corrected' to change it"
            )
