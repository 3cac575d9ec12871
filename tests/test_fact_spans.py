"""Where in a completion the facts are stated."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from geor1.answers import StatedFact, chain_spans, check_facts, fact_holds, fact_spans, stated_facts
from geor1.answers.chains import MAX_CHAIN_CHARS

WORDS = [
    "north", "east", "west", "ground", "water", "sand", "A", "B", "C", "same", "other", ".", ".", "matches", "4", "1",
    "climate", "arid", "hemisphere", "coast", "no", "country", "South", "Africa", "so", "tile", "the", "<think>",
    "</think>", "<answer>", "\U0001f600",
]  # fmt: skip
chains = st.lists(st.sampled_from(WORDS), max_size=60).flatmap(
    lambda words: st.lists(st.sampled_from([" ", "  ", "\n", "\r\n", "\u2003"]), min_size=len(words), max_size=60).map(
        lambda gaps: "".join(word + gap for word, gap in zip(words, gaps, strict=False))
    )
)


def pieces(completion: str) -> list[str]:
    return [completion[span.start : span.end] for span in fact_spans(completion)]


def test_spans_of_a_comparison_and_of_a_geolocation() -> None:
    assert pieces("<think> climate arid . north ground water A water same B forest other . matches A 1 B 0 . so") == [
        "climate arid", "ground water", "A water", "same", "B forest", "other", "A 1", "B 0",
    ]  # fmt: skip
    assert pieces("north  water east\nforest . country South Africa </think>") == [
        "north  water", "east\nforest", "country South Africa",
    ]  # fmt: skip


def test_a_fact_stated_twice_is_marked_where_it_is_first_stated() -> None:
    (span,) = fact_spans("<think> climate arid . climate arid . </think>")
    assert span == (8, 20, StatedFact("ground", "climate", "arid"))


@given(chains)
def test_spans_are_ordered_disjoint_and_hold_what_they_state(completion: str) -> None:
    spans = fact_spans(completion)
    assert [span.fact for span in spans] == stated_facts(completion)
    for before, after in zip(spans, spans[1:], strict=False):
        assert before.end < after.start
    for span in spans:
        words = completion[span.start : span.end].split()
        said = {"yes": "same", "no": "other"}[span.fact.value] if "_same" in span.fact.key else span.fact.value
        assert (" ".join(words).endswith(said) and len(words) <= 2) or span.fact.key == "country"


@given(chains)
def test_a_completion_cut_after_a_fact_states_it_and_those_before(completion: str) -> None:
    for count, span in enumerate(fact_spans(completion), start=1):
        assert stated_facts(completion[: span.end]) == stated_facts(completion)[:count]


@given(chains, chains)
def test_checking_one_by_one_counts_as_checking_all(completion: str, other: str) -> None:
    ground = {fact.key: fact.value for fact in stated_facts(other) if fact.subject == "ground"}
    tiles = {letter: {f.key: f.value for f in stated_facts(other) if f.subject == letter} for letter in "ABC"}
    held = [fact_holds(fact, ground, tiles) for fact in stated_facts(completion)]
    check = check_facts(stated_facts(completion), ground, tiles)
    assert (check.n_stated, check.n_true) == (len(held) - held.count(None), held.count(True))


def test_an_endless_completion_is_read_to_its_last_whole_sentence() -> None:
    text = "climate arid . " * (MAX_CHAIN_CHARS // 15 - 1) + "coast no"
    assert [span.fact.key for span in chain_spans(text)] == ["climate", "coast"]
    assert [span.fact.key for span in chain_spans(text + " words" * 100)] == ["climate"]
