"""What several samples of one question are worth: the vote among them, and the chance that one of k is right."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from geor1.evaluation.statistics import Interval, bootstrap_interval
from geor1.records import Prediction


def pass_at_k(samples: int, correct: int, k: int) -> float:
    """Chance that at least one of k samples is right, estimated without bias from more of them.

    Args:
        samples: Samples drawn, n >= k.
        correct: Right ones among them.
        k: Samples that one would draw.

    Raises:
        ValueError: Not 1 <= k <= n, or not 0 <= correct <= n.

    Source: Chen et al. 2021 (arXiv 2107.03374), equation 1.

    >>> pass_at_k(4, 1, 1), pass_at_k(4, 1, 2), pass_at_k(4, 3, 2)
    (0.25, 0.5, 1.0)
    """
    if not 1 <= k <= samples or not 0 <= correct <= samples:
        raise ValueError(f"pass_at_k: expected 1 <= k and k, correct <= samples, got {samples=}, {correct=}, {k=}")
    return 1.0 - math.comb(samples - correct, k) / math.comb(samples, k)


def vote_credit(choices: Sequence[str | None], answer: str) -> float:
    """1 where most samples choose the right option, a share of it where options tie, else 0.

    An unusable sample votes for nothing, and a question without any usable one is wrong.

    >>> vote_credit(["A", "A", "B"], "A"), vote_credit(["A", "B", None], "A"), vote_credit([None], "A")
    (1.0, 0.5, 0.0)
    """
    votes = Counter(choice for choice in choices if choice is not None)
    most = max(votes.values(), default=0)
    tied = [choice for choice, count in votes.items() if count == most]
    return 1.0 / len(tied) if answer in tied else 0.0


def voting_row(
    predictions: Sequence[Prediction],
    *,
    groups: Mapping[str, Hashable] | None = None,
    resamples: int = 2000,
    seed: int = 0,
) -> dict[str, Any]:
    """One model's pairing answers over all samples of each question and rotation.

    Args:
        predictions: Of one model under one condition, all samples.
        groups: As in :func:`geor1.evaluation.pairing.score_pairing`.
        resamples: Bootstrap draws, over groups.
        seed: Of the bootstrap.

    Returns:
        ``label``, ``n`` questions, ``samples``, and with their ends ``majority`` and ``pass_at_<k>`` for k = 1, 2, 4 …
        up to the number of samples.

    Raises:
        ValueError: Nothing to score, several models, or questions with different numbers of samples.
    """
    asked: dict[tuple[str, int], list[Prediction]] = defaultdict(list)
    for prediction in predictions:
        asked[prediction.item_id, prediction.rotation].append(prediction)
    sizes, labels = {len(samples) for samples in asked.values()}, {p.model for p in predictions}
    if len(sizes) != 1 or len(labels) != 1:
        raise ValueError(f"voting: expected one model and one number of samples, got {sorted(labels)}, {sorted(sizes)}")
    (samples,), (label,) = sizes, labels
    items = [item for item, _ in asked]
    clusters = items if groups is None else [groups[item] for item in items]
    row: dict[str, Any] = {"label": label, "n": len(set(items)), "samples": samples}
    values = {"majority": [vote_credit([p.choice for p in one], one[0].answer or "") for one in asked.values()]}
    right = [sum(p.correct for p in one) for one in asked.values()]
    for k in (2**power for power in range(samples.bit_length())):
        values[f"pass_at_{k}"] = [pass_at_k(samples, correct, k) for correct in right]
    for name, of_asked in values.items():
        interval: Interval = bootstrap_interval(of_asked, clusters=clusters, resamples=resamples, seed=seed)
        row |= {name: interval.estimate, f"{name}_low": interval.low, f"{name}_high": interval.high}
    return row
