"""Claims against measurements: the committed files agree, and a made-up result lands in the right cells."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from geor1.evaluation.claims import ClaimsError, main, read_claims, read_results, render

PAPERS = Path(__file__).resolve().parents[2] / "papers"

CLAIMS = """
tables:
  - id: t
    title: Pairing
    note: A note.
    source: somewhere
    who: someone
    grade: secondary
    quoted: exact
    claims:
      - {model: Geo-R1, metric: accuracy, unit: "%", value: 82.4, ours: {label: grpo, metric: accuracy}}
      - {model: Geo-R1-Zero, metric: accuracy, unit: "%", value: 78.1, ours: {label: zero, metric: accuracy}}
      - {model: Geo-R1, metric: gain, unit: points, value: 60, quoted: approximate}
"""


@pytest.fixture
def papers(tmp_path: Path) -> Path:
    (tmp_path / "claims.yaml").write_text(CLAIMS, encoding="utf-8")
    return tmp_path


def write_results(folder: Path, accuracies: dict[int, float]) -> None:
    rows = {
        str(seed): [
            {"label": "grpo", "n": 400, "accuracy": value, "low": value - 0.04, "high": value + 0.04, "blind": 0.2}
        ]
        for seed, value in accuracies.items()
    }
    content = {"command": "geor1 reproduce --seeds 0 1 2", "profile": "miniature", "seeds": [0], "by_seed": rows}
    (folder / "results.json").write_text(json.dumps(content), encoding="utf-8")


def test_committed_readme_is_up_to_date() -> None:
    text = render(read_claims(PAPERS / "claims.yaml"), read_results(PAPERS / "results.json"))
    readme = (PAPERS / "README.md").read_text(encoding="utf-8")
    assert readme == text, "run: python -m geor1.evaluation.claims"


def test_committed_claims_hold_the_main_table() -> None:
    claims = {(c.model, c.metric): c for table in read_claims(PAPERS / "claims.yaml") for c in table.claims}
    assert [claims[model, "accuracy"].value for model in ("Qwen2.5-VL-7B", "Geo-SFT", "Geo-R1-Zero", "Geo-R1")] == [
        19.0,
        23.1,
        78.1,
        82.4,
    ]
    assert all(c.grade == "low" for c in claims.values() if c.who == "wizwand.com")
    assert len(claims) > 100


def test_majority_baselines_agree_with_their_mean() -> None:
    tables = {table.title: table for table in read_claims(PAPERS / "claims.yaml")}
    rows = {c.metric: c.value for c in tables["GeoChain, out of distribution"].claims if c.model == "majority answer"}
    block = [value for name, value in rows.items() if re.match(r"Q(5|6|7|8|9|1[0-7]) ", name)]
    assert len(block) == 13
    assert sum(block) / 13 == pytest.approx(rows["mean of Q5 to Q17"], abs=0.06)


def test_nothing_measured_says_so(papers: Path) -> None:
    text = render(read_claims(papers / "claims.yaml"), read_results(papers / "results.json"))
    assert "Nothing is measured yet" in text
    assert "| Geo-R1: accuracy | 82.4 % | secondary | not measured | – | – |" in text
    assert "| Geo-R1 | gain | about 60 points | someone | secondary | not measured |" in text


def test_measured_by_hand(papers: Path) -> None:
    write_results(papers, {0: 0.80, 1: 0.84, 2: 0.88})
    text = render(read_claims(papers / "claims.yaml"), read_results(papers / "results.json"))
    assert "| Geo-R1: accuracy | 82.4 % | secondary | 84.0 ± 4.0 % [76.0, 92.0] | 400 | 3 |" in text
    assert "| Geo-R1-Zero: accuracy | 78.1 % | secondary | not measured | – | – |" in text
    assert "| grpo | blind | 20.0 ± 0.0 % | 400 | 3 |" in text
    assert "`geor1 reproduce --seeds 0 1 2`" in text


def test_one_seed_has_no_spread(papers: Path) -> None:
    write_results(papers, {0: 0.8})
    text = render(read_claims(papers / "claims.yaml"), read_results(papers / "results.json"))
    assert "80.0 % [76.0, 84.0] | 400 | 1 |" in text


def test_command_writes_and_checks(papers: Path) -> None:
    arguments = ["--papers", str(papers)]
    assert main([*arguments, "--check"]) == 1
    assert main(arguments) == 0
    assert main([*arguments, "--check"]) == 0
    write_results(papers, {0: 0.8})
    assert main([*arguments, "--check"]) == 1


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("grade: secondary", "grade: certain", "expected a grade"),
        ("value: 82.4", "value: high", "should be a number"),
        ("value: 82.4, ", "", "missing fields"),
        ("metric: gain", "metrc: gain", "unknown fields"),
        ("ours: {label: zero, metric: accuracy}", "ours: {label: zero}", "ours should hold"),
        ("title: Pairing", "titel: Pairing", "unknown fields"),
    ],
)
def test_malformed_claims_are_named(papers: Path, before: str, after: str, message: str) -> None:
    assert before in CLAIMS
    (papers / "claims.yaml").write_text(CLAIMS.replace(before, after), encoding="utf-8")
    with pytest.raises(ClaimsError, match=message):
        read_claims(papers / "claims.yaml")


def test_malformed_results_are_named(papers: Path) -> None:
    (papers / "results.json").write_text("[]", encoding="utf-8")
    with pytest.raises(ClaimsError, match="geor1 reproduce"):
        read_results(papers / "results.json")


def test_bibliography_has_each_key_once_and_balanced_braces() -> None:
    text = (PAPERS / "references.bib").read_text(encoding="utf-8")
    keys = re.findall(r"^@\w+\{([^,]+),", text, flags=re.MULTILINE)
    assert len(keys) == len(set(keys)) > 20
    assert text.count("{") == text.count("}")
