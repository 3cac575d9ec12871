"""Completions are data: whatever they hold, they become an answer or a named failure, soon, and nothing is executed."""

from __future__ import annotations

import ast
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import geor1.answers
from geor1.answers import ParseFailure, StatedFact, parse_choice, parse_coordinates, stated_facts
from geor1.evaluation import json_replies
from geor1.evaluation.json_replies import find_object
from geor1.evaluation.reading import chain_facts, geolocation_fields, pairing_fields, place_names

LONGEST_S = 0.2  # of processor time a text
LETTERS = "ABCDE"
STATUSES = {failure.value for failure in ParseFailure}
ANSWER_TOO_LONG = ParseFailure.ANSWER_TOO_LONG.value
PIECES = (
    "<think>", "</think>", "<answer>", "</answer>", "< answer >", "</ answer", "<b>", "</b>", "&lt;b&gt;", "{", "}",
    "[", "]", '"', "'", ":", ",", "lat", '{"lat": 1', "```json", "```", "None", "True", "\\", "\\u0041", "A", "B",
    "or", "not", "(C)", "**D**", "either", "image", "all but", "e.g.", "I", "a", "23", "-102", "1e999", "9" * 400,
    ".", "°", "33°52'10\" S", "N", "west", "latitude", "longitude:", "km", "−", "½", "٣", "Ⓐ", "🅰", "ﷺ", "\u0301",
    "\u202e", "\x00", "\ud800", "\n", "\r\n", "\u2028", "\t", " ", "north", "ground", "water", "same", "other",
    "matches", "so tile", "country", "city", "climate", "hemisphere", "__import__('os').system('echo')", "eval(",
    "${7*7}", "%s%n", "<|im_end|>", "<image>",
)  # fmt: skip
COMPLETIONS = st.one_of(
    st.text(max_size=60),
    st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=4)), max_size=30).map(" ".join),
    st.lists(st.sampled_from(PIECES), max_size=30).map("".join),
    st.lists(st.sampled_from(PIECES), max_size=12).map(lambda parts: f"<answer> {' '.join(parts)} </answer>"),
)


def check(completion: str) -> None:
    """Every reader gives an answer or a named failure."""
    choice = parse_choice(completion, LETTERS)
    assert isinstance(choice, ParseFailure) or choice in LETTERS
    position = geolocation_fields(completion)
    if "status" in position:
        assert position == {"status": position["status"]} and position["status"] in STATUSES
    else:
        assert -90 <= position["latitude_deg"] <= 90 and -180 <= position["longitude_deg"] <= 180
    found = find_object(completion, "lat")
    assert found is None or (isinstance(found, dict) and "lat" in found)
    assert all(isinstance(fact, StatedFact) and all(map(str, fact)) for fact in stated_facts(completion))
    assert pairing_fields(completion, LETTERS) == (
        {"status": choice.value} if isinstance(choice, ParseFailure) else {"choice": choice}
    )


@pytest.mark.parametrize(
    "examples", [2_000, pytest.param(100_000, marks=[pytest.mark.slow, pytest.mark.timeout(3000)])]
)
def test_arbitrary_completions_are_answers_or_named_failures(examples: int) -> None:
    slowest, seen = 0.0, 0

    @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(COMPLETIONS)
    def every(completion: str) -> None:
        nonlocal slowest, seen
        took = LONGEST_S
        for _ in range(3):  # the collector's pauses over a hundred thousand examples are not the readers' time
            began = time.process_time()
            check(completion)
            took = min(took, time.process_time() - began)
            if took < LONGEST_S / 10:
                break
        slowest, seen = max(slowest, took), seen + 1

    every()
    print(f"\n{seen} completions, the slowest {slowest * 1000:.1f} ms through all readers")
    assert seen >= examples
    assert slowest < LONGEST_S


def long(piece: str, characters: int = 100_000) -> str:
    return (piece * (characters // len(piece) + 1))[:characters]


HOSTILE = {
    "open tags": long("<b>"), "tags never closed": long("<b x"), "half tags": long("<a  ="), "angles": long("<"),
    "spaced tags": long("<" + " " * 100), "entities": long("&lt;b&gt;"),
    "tags and closers": long("<b>", 50_000) + long("</b>", 50_000), "spaces": long(" "), "digits": long("1"),
    "decimals": long("1.1"), "numbers": long("1 "), "minus": long("- "), "degrees": long("1°1'1\" "),
    "lat": long("lat "), "number and spaces": long("1" + " " * 50), "decimal commas": long("2,3;"),
    "fractions": long("½"), "ligatures": long("ﷺ", 33_000), "accents": "a" + long("\u0301"), "A": long("A "),
    "A or": long("A or "), "A-": long("A-"), "not": long("not "), "image": long("image "), "stars": long("*"),
    "e.g.": long("e."), "braces": long("{"), "open strings": long('{"a":'), "fences": long("```json "),
    "brackets": '{"a":' + long("["), "backslashes": '{"a":"' + long("\\"), "nested": long('{"lat":{'),
    "None": '{"lat":1,"x":' + long("None "), "comparisons": long("north ground A x same "),
    "countries": long("country a . "), "facts": long("climate arid "), "think": long("<think>"),
    "answers": long("<answer>"), "answered": long("<answer>a</answer>"), "closers": long("</answer>"),
    "half answers": long("<answer "),
}  # fmt: skip
READERS: dict[str, Callable[[str], Any]] = {
    "pairing": lambda text: pairing_fields(text, LETTERS),
    "geolocation": geolocation_fields,
    "names": place_names,
    "facts": chain_facts,
    "object": lambda text: find_object(text, "lat"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_texts_of_100_kb_take_no_time(name: str) -> None:
    for text in (HOSTILE[name], f"<think> x </think> <answer> {HOSTILE[name]} </answer>", f"<think> {HOSTILE[name]}"):
        for reader, read in READERS.items():
            began = time.process_time()
            result = read(text)
            assert time.process_time() - began < LONGEST_S, f"{reader}, {len(text)} characters"
            if isinstance(result, dict) and "status" in result:
                assert result["status"] in STATUSES


def test_an_answer_longer_than_answers_are_is_none() -> None:
    near = "the tile B " + "x" * 3_980
    assert pairing_fields(f"<answer> {near} </answer>", LETTERS) == {"choice": "B"}
    assert pairing_fields(f"<answer> {near} {near} </answer>", LETTERS) == {"status": ANSWER_TOO_LONG}
    assert geolocation_fields(f"<answer> 1 , 2 {' ' * 5000} x </answer>") == {"status": ANSWER_TOO_LONG}
    assert pairing_fields("x" * 90_000 + "<answer> B </answer>", LETTERS) == {"choice": "B"}


def test_facts_are_read_from_whole_sentences_of_a_bounded_length() -> None:
    sentence = "country South Africa . "
    assert chain_facts(f"<think> {sentence}</think>") == stated_facts(sentence)
    assert chain_facts("<think> " + sentence * 5_000) == stated_facts(sentence)
    assert chain_facts("<think> " + "x" * 90_000) == []


BELOW_ANY_FLOAT = f"<answer> -{'9' * 400}° 1' , 3 </answer>"


def test_degrees_below_any_float_are_a_failure() -> None:
    assert parse_coordinates(BELOW_ANY_FLOAT) is ParseFailure.NO_COORDINATES
    assert geolocation_fields(BELOW_ANY_FLOAT) == {"status": "no_coordinates"}


def test_nothing_that_reads_replies_can_execute_them() -> None:
    sources = [*Path(geor1.answers.__file__).parent.glob("*.py"), Path(json_replies.__file__)]
    sources += Path(json_replies.__file__).parent.glob("*.py")
    for source in sources:
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                called = getattr(node.func, "id", getattr(node.func, "attr", ""))
                builtin = isinstance(node.func, ast.Name) and called in ("eval", "exec", "compile", "__import__")
                assert not builtin and called not in ("literal_eval", "system", "Popen"), f"{source.name}: {called}"
