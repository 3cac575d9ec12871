"""The result table of the repository's README.md, between two HTML comments."""

from __future__ import annotations

from geor1.evaluation.results import ClaimsError, Measurement, Results, format_figure

START = "<!-- results: written by `python -m geor1.evaluation.claims` from papers/results.json; do not edit -->"
END = "<!-- end of results -->"
# Rows of the score table as a reader knows them; a label that is not here is shown as it is.
ROW_NAMES = {
    "base": "base",
    "sft": "+ scaffold SFT",
    "grpo": "+ scaffold SFT + GRPO",
    "control": "control: SFT on as many labels as GRPO saw",
    "zero": "GRPO from the base, without scaffold",
}
# Column title, figure of the score table, unit.
COLUMNS = (
    ("blind", "blind", "%"),
    ("shuffled", "shuffled", "%"),
    ("stated facts that are true", "facts_true", "%"),
    ("tokens", "completion_tokens", ""),
)


def result_table(results: Results | None) -> str:
    """The table as Markdown, or a sentence that nothing is measured yet.

    Args:
        results: From ``papers/results.json``; None without that file.
    """
    if results is None:
        return "Not measured yet: `papers/results.json` is absent. `make reproduce` writes it, and this table."
    titles = ("model", "pairing labels seen", "n", "seeds", "accuracy", *(title for title, _, _ in COLUMNS))
    lines = ["| " + " | ".join(titles) + " |", "|---|" + "---:|" * (len(titles) - 1)]
    lines += ["| " + " | ".join(_cells(results, label)) + " |" for label in results.labels]
    seeds = ", ".join(map(str, results.seeds))
    lines += [
        "",
        f"Profile `{results.profile}`, seeds {seeds}; made by `{results.command}`. Mean over seeds ±",
        "the standard deviation between them; in brackets the outermost ends of the seeds' 95 % intervals; n:",
        "questions of each seed.",
        *_differences(results),
        *_minutes(results),
    ]
    return "\n".join(lines)


def with_table(text: str, table: str) -> str:
    """A README's text with ``table`` between the markers.

    Args:
        text: The whole file; each marker on a line of its own.
        table: From :func:`result_table`.

    Raises:
        ClaimsError: A marker is missing, repeated, or the two are in the wrong order.
    """
    before, start, rest = text.partition(START)
    _, end, after = rest.partition(END)
    if not start or not end or text.count(START) != 1 or text.count(END) != 1:
        raise ClaimsError(f"README.md: expected the line {START} once and after it the line {END} once; put them back")
    return f"{before}{START}\n\n{table}\n\n{END}{after}"


def _differences(results: Results) -> list[str]:
    if not results.differences:
        return []
    lines = ["", "| on identical questions | accuracy gained, points |", "|---|---:|"]
    for label, found in results.differences.items():
        lines.append(f"| {label} | {format_figure(found, '%').replace(' %', '')} |")
    return [*lines, "", "Brackets: the outermost ends of the seeds' paired 95 % bootstrap intervals over questions."]


def _minutes(results: Results) -> list[str]:
    if not results.minutes:
        return []
    each = ", ".join(f"`{stage}` {minutes:.1f}" for stage, minutes in results.minutes.items())
    return ["", f"Minutes a notebook ({results.hardware}): {each}; {sum(results.minutes.values()):.1f} in all."]


def _cells(results: Results, label: str) -> list[str]:
    accuracy = results.figures.get((label, "accuracy"))
    labels = results.figures.get((label, "pairing_labels_seen"))
    name = ROW_NAMES.get(label, label.replace("|", "\\|"))
    size = str(accuracy.n) if accuracy and accuracy.n is not None else "–"
    seen = _count(labels)
    others = [_figure(results.figures.get((label, metric)), unit) for _, metric, unit in COLUMNS]
    return [name, seen, size, str(len(accuracy.seeds)) if accuracy else "–", _figure(accuracy, "%"), *others]


def _figure(found: Measurement | None, unit: str) -> str:
    return format_figure(found, unit) if found else "–"


def _count(found: Measurement | None) -> str:
    if found is None:
        return "not recorded"
    return f"{found.mean:,.0f}".replace(",", " ")
