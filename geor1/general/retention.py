"""Are general abilities kept? Base and ours on identical items, with a margin that was set beforehand.

A task is non-inferior where the lower end of the two-sided interval of (ours − base) lies above −margin: at 95 % a
one-sided test at 2.5 %. To claim it for all of several tasks needs no correction, since every one must pass; the
p-values of McNemar's test, which ask for any difference, are adjusted by Holm over the tasks.

Source: the paper claims that general abilities are retained (MEGA-Bench, MMMU, GPQA); how it tests that is not known.
Margin and test are ours. lmms-eval has a paired t-test; none of the harnesses tests non-inferiority.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np

from geor1.evaluation.statistics import Interval, holm, mcnemar_exact, paired_bootstrap_difference
from geor1.general.samples import GeneralSample, check_unique

NON_INFERIOR, NOT_SHOWN, INFERIOR = "non-inferior", "not shown", "inferior"
DEFAULT_MARGIN_POINTS = 1.5
RESAMPLES = 10_000

Items = Mapping[str, GeneralSample]


class DifferentItemsError(ValueError):
    """The two models were not asked the same; the message says where they differ and what to do."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Retained:
    """Base against ours on one task; scores and differences are shares, in [0, 1] and [−1, 1].

    Attributes:
        task: Task name.
        metric: Name of the score.
        n: Items compared.
        groups: Independent groups among them; equal to n where items are independent.
        base: Mean score of the base model.
        ours: Mean score of ours.
        difference: ours − base.
        low: Lower end of its interval.
        high: Upper end.
        base_only: Items that only the base got right; None unless all scores are 0 or 1.
        ours_only: Items that only ours got right; likewise.
        p_value: Exact McNemar test; likewise, and None where items are grouped.
        p_holm: The same, adjusted over the tasks that have one.
        verdict: ``non-inferior``, ``inferior`` (the interval lies wholly below −margin), or ``not shown``.
        base_failed: Items of the base without a reply, which count as wrong.
        ours_failed: The same of ours.
    """

    task: str
    metric: str
    n: int
    groups: int
    base: float
    ours: float
    difference: float
    low: float
    high: float
    base_only: int | None
    ours_only: int | None
    p_value: float | None
    p_holm: float | None
    verdict: str
    base_failed: int
    ours_failed: int


@dataclasses.dataclass(frozen=True)
class Report:
    """Rows by task, and what was left out to make the items identical."""

    rows: tuple[Retained, ...]
    notes: tuple[str, ...]
    margin_points: float
    level: float

    @property
    def retained(self) -> bool:
        """Whether every task is non-inferior."""
        return all(row.verdict == NON_INFERIOR for row in self.rows)


def retention(
    base: Sequence[GeneralSample],
    ours: Sequence[GeneralSample],
    *,
    margin_points: float = DEFAULT_MARGIN_POINTS,
    tasks: Collection[str] | None = None,
    intersect: bool = False,
    resamples: int = RESAMPLES,
    level: float = 0.95,
    seed: int = 0,
) -> Report:
    """Compare two models task by task, on identical items.

    Args:
        base: Samples of the model before training.
        ours: Samples of the model after it.
        margin_points: Largest loss that counts as none, in points of 100; above 0.
        tasks: Only these; all when None.
        intersect: Compare the items that both were asked, and note the others, instead of refusing.
        resamples: Bootstrap draws.
        level: Coverage of the interval.
        seed: Seed of the bootstrap.

    Raises:
        DifferentItemsError: Tasks or items differ (unless ``intersect``); harness, task version or score differ; or
            no item is left.
        ValueError: ``margin_points`` is not above 0 and below 100, or a task asked for is in neither.
    """
    if not 0.0 < margin_points < 100.0:
        raise ValueError(
            f"margin: expected the largest tolerated loss, above 0 and below 100 points, got {margin_points}"
        )
    first, second = _by_task(base), _by_task(ours)
    names, notes = _common_tasks(first, second, tasks, intersect)
    rows = []
    for name in names:
        pairs, note = _pairs(name, first[name], second[name], intersect)
        notes += note
        rows.append(_row(name, pairs, margin_points / 100, resamples=resamples, level=level, seed=seed))
    return Report(_with_holm(rows), tuple(notes), margin_points, level)


def _by_task(samples: Iterable[GeneralSample]) -> dict[str, dict[str, GeneralSample]]:
    samples = list(samples)
    check_unique(samples)
    tasks: dict[str, dict[str, GeneralSample]] = {}
    for sample in samples:
        tasks.setdefault(sample.task, {})[sample.item_id] = sample
    return tasks


def _common_tasks(
    first: Collection[str], second: Collection[str], wanted: Collection[str] | None, intersect: bool
) -> tuple[list[str], list[str]]:
    unknown = sorted(set(wanted or ()) - set(first) - set(second))
    if unknown:
        raise ValueError(f"tasks: no {unknown} in either file; there are {sorted({*first, *second})}")
    asked = {*first, *second} if wanted is None else set(wanted)
    missing = {"base": sorted(asked - set(first)), "ours": sorted(asked - set(second))}
    notes = [f"{task}: left out, {name} was not asked it" for name, absent in missing.items() for task in absent]
    if notes and not intersect:
        raise DifferentItemsError("; ".join(notes) + ". Run it for both, choose with --tasks, or give --intersect")
    common = sorted(asked & set(first) & set(second))
    if not common:
        raise DifferentItemsError(f"no task in common: base has {sorted(first)}, ours {sorted(second)}")
    return common, notes


def _pairs(
    task: str, first: Items, second: Items, intersect: bool
) -> tuple[list[tuple[GeneralSample, GeneralSample]], list[str]]:
    """The items that both were asked, in the same words, ordered by id."""
    common = sorted(first.keys() & second.keys())
    pairs = [(first[item], second[item]) for item in common if first[item].asked == second[item].asked]
    reworded = [first[item] for item in common if first[item].asked != second[item].asked]
    kinds = {
        "only base was asked": [first[item] for item in sorted(first.keys() - second.keys())],
        "only ours was asked": [second[item] for item in sorted(second.keys() - first.keys())],
        "the two were asked differently (other wording, order of options or truth)": reworded,
    }
    found = [
        f"{task}: {len(items)} items {kind}, first {items[0].item_id!r} ({items[0].source})"
        for kind, items in kinds.items()
        if items
    ]
    if found and not intersect:
        raise DifferentItemsError("; ".join(found) + ". Run both with the same command, or give --intersect")
    if not pairs:
        raise DifferentItemsError(f"{task}: no item was asked of both in the same words; {'; '.join(found)}")
    for before, after in pairs:
        _check_comparable(before, after)
    return pairs, [f"{text}: left out" for text in found]


def _check_comparable(before: GeneralSample, after: GeneralSample) -> None:
    for field in ("suite", "task_version", "metric"):
        old, new = getattr(before, field), getattr(after, field)
        if old != new:
            raise DifferentItemsError(
                f"{before.task}: {field} differs, base has {old!r} ({before.source}), ours {new!r} ({after.source}); "
                "run both with the same version of the same harness"
            )


def _row(
    task: str,
    pairs: Sequence[tuple[GeneralSample, GeneralSample]],
    margin: float,
    *,
    resamples: int,
    level: float,
    seed: int,
) -> Retained:
    before, after = (np.array([pair[side].score for pair in pairs]) for side in (0, 1))
    clusters = [pair[0].group if pair[0].group is not None else f"item {pair[0].item_id}" for pair in pairs]
    groups = len(set(clusters))
    interval = paired_bootstrap_difference(
        before, after, clusters=clusters if groups < len(pairs) else None, resamples=resamples, level=level, seed=seed
    )
    interval = _never_without_width(interval, groups, level)
    binary = bool(np.isin(before, (0.0, 1.0)).all() and np.isin(after, (0.0, 1.0)).all())
    test = mcnemar_exact((before == 1).tolist(), (after == 1).tolist()) if binary else None
    return Retained(
        task=task, metric=pairs[0][0].metric, n=len(pairs), groups=groups, base=float(before.mean()),
        ours=float(after.mean()), difference=interval.estimate, low=interval.low, high=interval.high,
        base_only=test.first_only if test else None, ours_only=test.second_only if test else None,
        p_value=test.p_value if test and groups == len(pairs) else None, p_holm=None,
        verdict=_verdict(interval, margin), base_failed=sum(not pair[0].replied for pair in pairs),
        ours_failed=sum(not pair[1].replied for pair in pairs),
    )  # fmt: skip


def _never_without_width(interval: Interval, groups: int, level: float) -> Interval:
    """Where all groups differ by the same, the bootstrap has no width; an exact bound takes its place.

    If a share q of all groups differed otherwise, none of ``groups`` would show it with probability (1 − q)^groups;
    q = 1 − tail^(1/groups) makes that the tail, (1 − level)/2. Each could lose or gain at most 1.

    >>> _never_without_width(Interval(0.0, 0.0, 0.0, 244), 244, 0.95).low < -0.015
    True
    >>> _never_without_width(Interval(0.0, 0.0, 0.0, 245), 245, 0.95).low < -0.015
    False
    """
    if interval.low < interval.high:
        return interval
    share = 1 - ((1 - level) / 2) ** (1 / groups)
    low, high = max(-1.0, interval.estimate - share), min(1.0, interval.estimate + share)
    return Interval(interval.estimate, low, high, interval.n)


def _verdict(interval: Interval, margin: float) -> str:
    if interval.low > -margin:
        return NON_INFERIOR
    return INFERIOR if interval.high < -margin else NOT_SHOWN


def _with_holm(rows: Sequence[Retained]) -> tuple[Retained, ...]:
    adjusted = iter(holm([row.p_value for row in rows if row.p_value is not None]))
    return tuple(row if row.p_value is None else dataclasses.replace(row, p_holm=next(adjusted)) for row in rows)


def format_report(report: Report) -> str:
    """The report as a Markdown table, in points of 100, with what was left out below."""
    level = f"{report.level * 100:g} %"
    lines = [
        f"| task | n | base | ours | difference [{level}] | base only / ours only | McNemar p | Holm p | verdict |"
    ]
    lines.append("|---|---|---|---|---|---|---|---|---|")
    lines += [_line(row) for row in report.rows]
    lines += ["", f"Verdict against a margin of −{report.margin_points:g} points; scores in points of 100."]
    for row in report.rows:
        if row.base_failed or row.ours_failed:
            failed = f"{row.base_failed} of base, {row.ours_failed} of ours"
            lines.append(f"{row.task}: items without a reply count as wrong: {failed}; run again to retry them")
    return "\n".join([*lines, *report.notes])


def _line(row: Retained) -> str:
    size = f"{row.n}" if row.groups == row.n else f"{row.n} in {row.groups} groups"
    interval = f"{row.difference * 100:+.2f} [{row.low * 100:+.2f}, {row.high * 100:+.2f}]"
    discordant = f"{row.base_only} / {row.ours_only}" if row.base_only is not None else "–"
    scores = f"{row.base * 100:.2f} | {row.ours * 100:.2f}"
    p_values = " | ".join("–" if value is None else f"{value:.4f}" for value in (row.p_value, row.p_holm))
    return f"| {row.task} | {size} | {scores} | {interval} | {discordant} | {p_values} | {row.verdict} |"
