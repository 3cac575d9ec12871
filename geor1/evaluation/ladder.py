"""How hard a pairing question is: how near its wrong tiles lie, and how much they look like the right one.

Both are columns that :func:`geor1.evaluation.bias.bias_report` cuts by, so that every rung has its n and interval.
"""

from __future__ import annotations

from collections.abc import Sequence

from geor1.records import Question

NEAREST, ALIKE = "nearest_wrong_tile", "most_alike_wrong_tile"
UNKNOWN = "unknown"
# Upper ends. Source: the radii of the im2gps protocol, with a rung for the tiles of one neighbourhood.
_RUNGS_M = ((2e3, "below 2 km"), (25e3, "2 to 25 km"), (200e3, "25 to 200 km"), (2500e3, "200 to 2500 km"))
_FARTHEST = "2500 km and more"
_SHARES = ((0.5, "below half of the facts"), (0.75, "half to three quarters"), (1.0, "three quarters and more"))
_SAME = "all facts (near-duplicate)"


def ladder_columns(questions: Sequence[Question]) -> dict[str, dict[str, str]]:
    """The two columns of each question, by its id.

    Args:
        questions: With ``distance_m`` of the wrong tiles, or facts of all tiles; what is absent is ``unknown``.

    Returns:
        Question id -> :data:`NEAREST` and :data:`ALIKE`.
    """
    return {question.question_id: {NEAREST: _nearest(question), ALIKE: _alike(question)} for question in questions}


def _nearest(question: Question) -> str:
    distances = [one.distance_m for one in question.candidates if one.letter != question.answer]
    known = [distance for distance in distances if distance is not None]
    if not known or len(known) < len(distances):
        return UNKNOWN
    return next((name for end, name in _RUNGS_M if min(known) < end), _FARTHEST)


def _alike(question: Question) -> str:
    right = next(one for one in question.candidates if one.letter == question.answer)
    shares = []
    for wrong in question.candidates:
        shared = [key for key in right.facts if key in wrong.facts] if wrong.letter != question.answer else []
        if shared:
            shares.append(sum(wrong.facts[key] == right.facts[key] for key in shared) / len(shared))
    if not shares:
        return UNKNOWN
    return next((name for end, name in _SHARES if max(shares) < end), _SAME)
