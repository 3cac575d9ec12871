"""Pairing questions as they were made: how they look, what they are called, and how hard their wrong tiles are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from PIL import Image

from geor1.maps import colours
from geor1.maps.plots.contact import contact_sheet
from geor1.maps.plots.style import label_of
from geor1.records import Question


def question_sheet(
    ax: Axes, question: Question, folder: Path, *, choice: str | None = None, title: str | None = None
) -> Axes:
    """Draw a question as it is asked, the right tile framed: :func:`geor1.maps.plots.contact_sheet`.

    Args:
        ax: Axes to draw on.
        question: The question.
        folder: Folder that its image paths are relative to.
        choice: Letter that a model chose.
        title: Axes title; None for :func:`question_title`.

    Raises:
        OSError: An image that is missing or cannot be read.
    """
    return contact_sheet(
        ax,
        Image.open(folder / question.ground_image),
        {option.letter: Image.open(folder / option.satellite_image) for option in question.candidates},
        answer=question.answer,
        choice=choice,
        north_at=0.5 if question.source == "world" else None,  # photographs do not say where they look
        title=title or question_title(question),
    )


def question_title(question: Question) -> str:
    """Return where a question lies, and that its pictures are synthetic where they are.

    Args:
        question: Any question; one without a known city is called by its id.
    """
    place = ", ".join(filter(None, (question.city, question.country))) or question.question_id
    return label_of(place) + (" (synthetic)" if question.source == "world" else "")


def wrong_options(
    ax: Axes, questions: Mapping[str, Sequence[Question]], shared: Mapping[str, Mapping[str, int]]
) -> Axes:
    """Draw how near to the truth the wrong tiles are: in content where it is known, else in metres.

    Args:
        ax: Axes to draw on.
        questions: By split.
        shared: By split, how many questions have a hardest wrong tile that shares so many directions with the truth
            (``0`` … ``4``, or ``unknown``), as in ``report.json``.

    Returns:
        The axes; y is a share of the questions, or of the wrong tiles.
    """
    if any("unknown" in counts for counts in shared.values()):
        return _distances(ax, questions)
    for offset, (split, counts) in zip((-0.2, 0.2), shared.items(), strict=False):
        share = np.array(list(counts.values())) / len(questions[split])
        ax.bar(np.array(list(map(int, counts))) + offset, share, 0.38, color=colours.SPLITS[split], label=split)
    ax.set(xlabel="directions shared with the hardest negative", xticks=range(5), ylabel="share of questions")
    return ax


def _distances(ax: Axes, questions: Mapping[str, Sequence[Question]]) -> Axes:
    for split, asked in questions.items():
        away_m = [
            option.distance_m
            for question in asked
            for option in question.candidates
            if option.letter != question.answer and option.distance_m is not None
        ]
        if away_m:
            weights = np.full(len(away_m), 1.0 / len(away_m))
            ax.hist(away_m, bins=20, weights=weights, histtype="step", color=colours.SPLITS[split], linewidth=1.8)
    ax.set(xlabel="distance of a wrong tile from the truth (m)", ylabel="share of wrong tiles")
    return ax
