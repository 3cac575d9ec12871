"""Facts that a completion states, as ranges of the text shown, each with whether it holds."""

from __future__ import annotations

import bisect
import logging
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from geor1.answers import chain_spans, fact_holds
from geor1.records import Prediction, Question

logger = logging.getLogger(__name__)

_SHIFTING = re.compile("\r\n|[\U00010000-\U0010ffff]")


class Mark(NamedTuple):
    """One stated fact in a text.

    Attributes:
        begin: First character.
        end: After the last one.
        holds: Whether the metadata agree.
    """

    begin: int
    end: int
    holds: bool


class Marker:
    """Finds the facts of completions and holds them against what is known of the questions' scenes.

    Args:
        questions: Item id -> question as it stands in the data, before any rotation.

    Attributes:
        differing: Predictions whose own counts of facts differ from what was found with these questions; they get no
            marks, so that marks and counts on the page never disagree.
    """

    def __init__(self, questions: Mapping[str, Question]) -> None:
        self._questions = questions
        self.differing = 0

    def marks(self, prediction: Prediction) -> list[Mark]:
        """Marks in the completion as generated; none unless the model saw the scene (condition ``normal``)."""
        question = self._questions.get(prediction.item_id)
        if question is None or prediction.condition != "normal":
            return []
        tiles = facts_by_letter(question, prediction.rotation) if prediction.task == "pairing" else {}
        held = ((s.start, s.end, fact_holds(s.fact, question.facts, tiles)) for s in chain_spans(prediction.raw))
        marks = [Mark(start, end, holds) for start, end, holds in held if holds is not None]
        counts = (len(marks), sum(mark.holds for mark in marks))
        if counts != (prediction.facts_stated, prediction.facts_true):
            self.differing += 1
            return []
        return marks

    def report(self) -> None:
        """Log, once, how many predictions do not fit the questions."""
        if self.differing:
            logger.warning(
                "facts of %d completions are not marked: with these questions other numbers of them hold than the "
                "predictions say; are the questions of another run?",
                self.differing,
            )


def facts_by_letter(question: Question, rotation: int) -> dict[str, Mapping[str, str]]:
    """What is known of each tile under the letter it had when the question was asked.

    Args:
        question: As in the data.
        rotation: Places by which the options were moved, as in :class:`~geor1.records.Prediction`; the option at index
            i then has the letter at (i + rotation) mod K.
    """
    count = len(question.candidates)
    letters = [candidate.letter for candidate in question.candidates]
    return {letters[(i + rotation) % count]: candidate.facts for i, candidate in enumerate(question.candidates)}


def shown_marks(raw: str, marks: Sequence[Mark], limit: int) -> list[Mark]:
    """Marks moved to where they stand in the text as shown, counted as a browser counts.

    :func:`geor1.maps.text.clean_text` cuts at ``limit`` and makes ``\\r\\n`` one character; a browser counts UTF-16
    units, two for a character beyond U+FFFF.

    Args:
        raw: The completion as generated.
        marks: From :meth:`Marker.marks`.
        limit: As given to ``clean_text``; marks that reach beyond it are left out.

    >>> shown_marks("a\\r\\n\U0001f600 dry", [Mark(5, 8, True)], 100)
    [Mark(begin=5, end=8, holds=True)]
    """
    kept = [mark for mark in marks if mark.end <= limit]
    if not kept:
        return []
    moved = [(match.end(), -1 if match.group() == "\r\n" else 1) for match in _SHIFTING.finditer(raw, 0, kept[-1].end)]
    places, shifts = [end for end, _ in moved], [0]
    for _, by in moved:
        shifts.append(shifts[-1] + by)

    def at(place: int) -> int:
        """A place in the text shown."""
        return place + shifts[bisect.bisect_right(places, place)]

    return [Mark(at(mark.begin), at(mark.end), mark.holds) for mark in kept]
