"""GeoChain scored: accuracy with what chance and constant answers would get beside it, and whether a chain holds.

Most questions have one answer nearly always, so plain accuracy means little: answering every yes/no question with its
most common answer gets 92.09 %. Every accuracy here stands beside that baseline, balanced accuracy, macro-F1 and MCC.
An image that was not answered, or not usably, counts as wrong.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geor1.answers import ParseFailure
from geor1.benchmarks.geochain_chain import Consistency, chain_checks
from geor1.benchmarks.geochain_questions import SUBSETS, TITLES, parse, truth
from geor1.benchmarks.items import MISSING, BenchmarkError, Item, Reply, replies_by_key
from geor1.benchmarks.location import predict_locations
from geor1.evaluation.geolocation import GeolocationScore, score_geolocation
from geor1.evaluation.statistics import FloatArray, Interval, bootstrap_interval, wilson_interval
from geor1.geodesy import haversine_km

RADIUS_KM = 25.0  # coordinates within this count as right; the benchmark names no radius, 25 km is "the city"
OTHER = "other"  # an answer that is none of the true labels of its question
Answers = dict[str, Any]  # rank -> parsed answer or ParseFailure


@dataclasses.dataclass(frozen=True)
class QuestionScore:
    """One question over all images.

    Attributes:
        rank: Question.
        title: In a word.
        n: Images.
        failures: Unusable or missing answers by reason; all count as wrong.
        accuracy: Share right, Wilson interval.
        majority: Share of the most common true answer: what always saying it would get. None for coordinates.
        balanced_accuracy: Mean recall over the true answers; None as below.
        macro_f1: Mean F1 over the true answers; None as below.
        mcc: Matthews correlation, many-class form, in [-1, 1]; 0 for a constant answer. These three are None for the
            languages (a set) and coordinates, and where all images have one true answer (poles, island).
        accuracy_all: Languages only: share where every true language was named, beside ``accuracy``, where any was.
    """

    rank: str
    title: str
    n: int
    failures: dict[str, int]
    accuracy: Interval
    majority: float | None
    balanced_accuracy: float | None
    macro_f1: float | None
    mcc: float | None
    accuracy_all: Interval | None = None


@dataclasses.dataclass(frozen=True)
class SliceScore:
    """Images of one band, city … : count, pass score, and mean majority rate over the same images and questions."""

    n: int
    pass_score: Interval
    majority: float | None


@dataclasses.dataclass(frozen=True)
class GeoChainScore:
    """Scores of one model.

    Attributes:
        model: Row label.
        subset: Which questions; a key of ``SUBSETS``.
        n: Images.
        questions: One score a question, in order.
        pass_score: Mean share of an image's questions answered right; bootstrap over clusters.
        accuracy: Mean accuracy over questions (the pass score again, as the benchmark's tables add it up).
        majority: Mean majority rate over the questions that have one.
        balanced_accuracy: Means over the questions in ``macro_over``; None if there are none.
        macro_f1: Likewise.
        mcc: Likewise.
        macro_over: Ranks behind these means.
        single_class: Ranks left out of them because all images have one true answer.
        slices: Slice -> value -> score; ``seen_city: no`` are the cities absent from the training data.
        consistency: Chain checks.
        location: Distances of the coordinates (question 21), misses infinite; None if the subset does not ask them.
    """

    model: str
    subset: str
    n: int
    questions: tuple[QuestionScore, ...]
    pass_score: Interval
    accuracy: float
    majority: float | None
    balanced_accuracy: float | None
    macro_f1: float | None
    mcc: float | None
    macro_over: tuple[str, ...]
    single_class: tuple[str, ...]
    slices: dict[str, dict[str, SliceScore]]
    consistency: tuple[Consistency, ...]
    location: GeolocationScore | None


def score(
    items: Sequence[Item],
    replies: Iterable[Reply],
    *,
    model: str,
    subset: str = "all21",
    radius_km: float = RADIUS_KM,
    resamples: int = 2000,
    seed: int = 0,
) -> GeoChainScore:
    """Score one model.

    Args:
        items: From :func:`geor1.benchmarks.geochain.load`, or some of them.
        replies: At most one an item and question.
        model: Row label.
        subset: ``all21``, ``binary13`` (the yes/no questions) or ``q5_q17``.
        radius_km: Coordinates within it count as right.
        resamples: Bootstrap draws.
        seed: Of the bootstrap.

    Raises:
        BenchmarkError: No items, an unknown subset, a reply to no item, or two replies to one question.
    """
    if not items or subset not in SUBSETS:
        raise BenchmarkError(f"expected items and a subset of {sorted(SUBSETS)}, got {len(items)} items, {subset!r}")
    given = replies_by_key(replies, items)
    ranks = SUBSETS[subset]
    parsed = [_parsed(item, given, ranks) for item in items]
    answered = zip(items, parsed, strict=True)
    right = np.array([[is_right(rank, row[rank], item, radius_km) for rank in ranks] for item, row in answered])
    questions = tuple(_question(rank, items, parsed, right[:, column]) for column, rank in enumerate(ranks))
    macro = [one for one in questions if one.mcc is not None]
    clusters = [item.cluster for item in items]
    passed = bootstrap_interval(right.mean(axis=1), clusters=clusters, resamples=resamples, seed=seed)
    location = None
    if "21" in ranks:
        predictions = predict_locations(items, given, "21", parse, model)
        location = score_geolocation(predictions, clusters=clusters, resamples=resamples, seed=seed)
    return GeoChainScore(
        model=model,
        subset=subset,
        n=len(items),
        questions=questions,
        pass_score=passed,
        accuracy=float(right.mean()),
        majority=_mean([one.majority for one in questions]),
        balanced_accuracy=_mean([one.balanced_accuracy for one in macro]),
        macro_f1=_mean([one.macro_f1 for one in macro]),
        mcc=_mean([one.mcc for one in macro]),
        macro_over=tuple(one.rank for one in macro),
        single_class=tuple(one.rank for one in questions if one.majority == 1.0),
        slices=_slices(items, right, ranks, resamples, seed),
        consistency=tuple(chain_checks(parsed)),
        location=location,
    )


def rows(scored: GeoChainScore) -> list[dict[str, Any]]:
    """One row a question, for :func:`geor1.runs.scores.format_table`; every accuracy beside its majority rate."""
    return [
        {
            "question": f"{one.rank} {one.title}",
            "n": one.n,
            "unanswered": sum(one.failures.values()),
            "accuracy": one.accuracy.estimate,
            "interval": (one.accuracy.low, one.accuracy.high),
            "majority": one.majority,
            "balanced_accuracy": one.balanced_accuracy,
            "macro_f1": one.macro_f1,
            "mcc": one.mcc,
        }
        for one in scored.questions
    ]


def is_right(rank: str, answer: Any, item: Item, radius_km: float = RADIUS_KM) -> bool:
    """Whether a parsed answer is right: coordinates within the radius, any true language named, else equality."""
    if isinstance(answer, ParseFailure) or answer == MISSING:
        return False
    if rank == "21":
        distance = haversine_km(
            lat1=answer.latitude_deg, lon1=answer.longitude_deg, lat2=item.latitude_deg, lon2=item.longitude_deg
        )
        return bool(distance <= radius_km)
    expected = truth(rank, item.truth[rank])
    return bool(expected & answer) if rank == "18" else bool(expected == answer)


def majority_rate(rank: str, items: Sequence[Item]) -> float:
    """Share of the most common true answer.

    Args:
        rank: Any question but the coordinates.
        items: At least one.
    """
    return Counter(item.truth[rank] for item in items).most_common(1)[0][1] / len(items)


def macro_metrics(expected: Sequence[str], answered: Sequence[str]) -> tuple[float, float, float] | None:
    """Balanced accuracy, macro-F1 and MCC.

    Args:
        expected: True labels.
        answered: Labels given, in the same order; anything that is no true label counts as wrong.

    Returns:
        None when there is one true label only: then there is nothing to tell apart.

    Source: Gorodkin (2004) for the many-class MCC.

    >>> macro_metrics(["a", "a", "b", "b"], ["a", "b", "b", "b"])  # recalls 1/2 and 1; F1 2/3 and 4/5
    (0.75, 0.7333..., 0.5773...)
    """
    labels = sorted(set(expected))
    if len(labels) < 2:
        return None
    index = {label: number for number, label in enumerate(labels)}
    table = np.zeros((len(labels), len(labels) + 1))  # the last column: none of the true labels
    for one, other in zip(expected, answered, strict=True):
        table[index[one], index.get(other, len(labels))] += 1
    hits, true, said = np.diag(table), table.sum(axis=1), table.sum(axis=0)
    f1 = 2 * hits / (true + said[:-1])
    return float((hits / true).mean()), float(f1.mean()), _mcc(hits.sum(), true, said)


def _mcc(hits: float, true: FloatArray, said: FloatArray) -> float:
    n = true.sum()
    spread = (n * n - (true * true).sum()) * (n * n - (said * said).sum())
    return float((hits * n - (true * said[:-1]).sum()) / np.sqrt(spread)) if spread > 0 else 0.0


def _parsed(item: Item, given: Mapping[tuple[str, str], str], ranks: Sequence[str]) -> Answers:
    keys = ((rank, given.get((item.item_id, rank))) for rank in ranks)
    return {rank: MISSING if raw is None else parse(rank, raw) for rank, raw in keys}


def _question(rank: str, items: Sequence[Item], parsed: Sequence[Answers], right: NDArray[np.bool_]) -> QuestionScore:
    given = [row[rank] for row in parsed]
    failures = Counter(str(answer) for answer in given if isinstance(answer, ParseFailure) or answer == MISSING)
    macro, every = None, None
    if rank == "18":
        named = [isinstance(answer, frozenset) and truth(rank, item.truth[rank]) <= answer
                 for answer, item in zip(given, items, strict=True)]  # fmt: skip
        every = wilson_interval(sum(named), len(items))
    elif rank != "21":
        expected = [str(truth(rank, item.truth[rank])) for item in items]
        macro = macro_metrics(expected, [OTHER if isinstance(one, ParseFailure) else str(one) for one in given])
    balanced, f1, mcc = macro or (None, None, None)
    return QuestionScore(
        rank=rank,
        title=TITLES[rank],
        n=len(items),
        failures=dict(sorted(failures.items())),
        accuracy=wilson_interval(int(right.sum()), len(items)),
        majority=None if rank == "21" else majority_rate(rank, items),
        balanced_accuracy=balanced,
        macro_f1=f1,
        mcc=mcc,
        accuracy_all=every,
    )


def _slices(
    items: Sequence[Item], right: NDArray[np.bool_], ranks: Sequence[str], resamples: int, seed: int
) -> dict[str, dict[str, SliceScore]]:
    found: dict[str, dict[str, SliceScore]] = {}
    for name in items[0].slices:
        values = [item.slices[name] for item in items]
        found[name] = {}
        for value in sorted(set(values)):
            chosen = [index for index, one in enumerate(values) if one == value]
            members = [items[index] for index in chosen]
            rates = [majority_rate(rank, members) for rank in ranks if rank != "21"]
            interval = bootstrap_interval(
                right[chosen].mean(axis=1),
                clusters=[item.cluster for item in members],
                resamples=resamples,
                seed=seed,
            )
            found[name][value] = SliceScore(len(members), interval, _mean(rates))
    return found


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
