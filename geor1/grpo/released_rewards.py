"""The reward functions as the authors shipped them, faults included.

Written from a description of the released trainer (a fork of VLM-R1, ``--reward_method mcq``,
``--reward_funcs accuracy format length repetition``), to compare with :mod:`geor1.grpo.rewards`. Known faults:

- accuracy reads the first answer block, or the whole completion where there is none; a correct sentence can score 0
  (``The answer is C because B is wrong.``), so do ``(C)`` and ``**C**``; naming several options can score 1.
- length takes every completion for correct and climbs again past 1,024 tokens.
- format accepts several answer blocks, and refuses a trailing newline.
- all terms are added unweighted.

Its branch for JSON lists of boxes in the repetition term cannot be reached by this task's answers and is left out.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from geor1.grpo.rewards import Completion, RewardFunction, completion_text, repeated_share, token_counts

_ANSWER = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)
_FORMAT = re.compile(r"<think>.*?</think>\s*<answer>.*?</answer>", re.DOTALL)
_CANDIDATE = re.compile(r"(?<![A-Z])([A-Z])(?=[\.\,\?\!\:\;]|$)")
_KEYWORDS = (
    *("ANSWER", "CORRECT", "CHOOSE", "SELECT", "RIGHT", "THINK", "BELIEVE", "SHOULD"),
    *("答案", "选择", "正确", "是", "对", "认为", "应该", "觉得"),
)
_WINDOW = 20  # characters on either side of a letter in which keywords count
_LATE = 0.7  # letters beyond this share of the text count as its conclusion
_MAX_LENGTH = 1024
_NGRAM = 6


def extract_choice(text: str) -> str | None:
    """The letter that the released heuristic reads out of a text, or None.

    >>> extract_choice("Image c"), extract_choice("(C)"), extract_choice("A, B, C")
    ('C', None, 'C')
    """
    text = re.sub(r"\s+", " ", text.upper())
    candidates = list(dict.fromkeys(_CANDIDATE.findall(text)))
    if len(candidates) < 2:
        return candidates[0] if candidates else None
    return max(candidates, key=lambda letter: _score(letter, text))


def _score(letter: str, text: str) -> int:
    position = text.find(letter)  # of the letter anywhere, even inside a word
    window = text[max(0, position - _WINDOW) : position + _WINDOW]
    score = sum(keyword in window for keyword in _KEYWORDS)
    score += 2 * (position > _LATE * len(text))
    return score + (text[position + 1 : position + 2] in tuple("。.!！,，"))


@dataclass(frozen=True)
class ReleasedAccuracy:
    """1 if the heuristic reads the gold letter out of the first answer block, else 0."""

    __name__: ClassVar[str] = "accuracy"

    def __call__(self, completions: Sequence[Completion], *, answer: Sequence[str], **_: Any) -> list[float]:
        """Reward each of N completions against its gold letter."""
        rows = zip(completions, answer, strict=True)
        return [self._reward(completion_text(completion), gold) for completion, gold in rows]

    def _reward(self, text: str, gold: str) -> float:
        block = _ANSWER.search(text)
        choice = extract_choice((block.group(1) if block else text).strip())
        expected = extract_choice(gold.strip()) or f"<answer> {gold} </answer>"
        return 1.0 if choice is not None and choice == expected else 0.0


@dataclass(frozen=True)
class ReleasedFormat:
    """1 if the whole completion matches think and answer tags, with anything between them, else 0."""

    __name__: ClassVar[str] = "format"

    def __call__(self, completions: Sequence[Completion], **_: Any) -> list[float]:
        """Reward each of N completions."""
        return [1.0 if _FORMAT.fullmatch(completion_text(completion)) else 0.0 for completion in completions]


@dataclass(frozen=True)
class ReleasedLength:
    """1 - (1 - cos(pi L / 1024)) / 4, right or wrong, without end.

    Attributes:
        tokenizer: Counts the tokens of the text, as released; None: ``completion_ids`` are counted.
    """

    __name__: ClassVar[str] = "length"
    tokenizer: Callable[..., Any] | None = None

    def __call__(
        self,
        completions: Sequence[Completion],
        *,
        completion_ids: Sequence[Sequence[int]] | None = None,
        **_: Any,
    ) -> list[float]:
        """Reward each of N completions.

        Raises:
            ValueError: Neither a tokenizer nor ``completion_ids``.
        """
        lengths = token_counts(completions, None if self.tokenizer else completion_ids, self.tokenizer)
        return [1.0 - 0.25 * (1.0 - math.cos(math.pi * n / _MAX_LENGTH)) for n in lengths]


@dataclass(frozen=True)
class ReleasedRepetition:
    """Minus the share of word 6-grams that repeat an earlier one."""

    __name__: ClassVar[str] = "repetition"

    def __call__(self, completions: Sequence[Completion], **_: Any) -> list[float]:
        """Reward each of N completions."""
        return [0.0 - repeated_share(completion_text(completion), _NGRAM) for completion in completions]


def released_rewards(*, tokenizer: Callable[..., Any] | None = None) -> list[RewardFunction]:
    """The shipped functions in their order: accuracy, format, length, repetition.

    Args:
        tokenizer: See :class:`ReleasedLength`.
    """
    return [ReleasedAccuracy(), ReleasedFormat(), ReleasedLength(tokenizer), ReleasedRepetition()]
