"""Prompts, and the strict reading of completions."""

import itertools
import json
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geor1.answers import (
    DIRECTIONS,
    Coordinates,
    FactCheck,
    ParseFailure,
    StatedFact,
    answer_block,
    check_facts,
    geolocation_prompt,
    is_well_formed,
    pairing_prompt,
    parse_choice,
    parse_coordinates,
    stated_facts,
    think_block,
    to_messages,
)
from geor1.answers.chains import comparison
from geor1.answers.coordinates import _read_any

LETTERS = "ABCDE"
CORPUS = [json.loads(line) for line in (Path(__file__).parent / "answers_corpus.jsonl").open(encoding="utf-8")]


def answer(text: str) -> str:
    return f"<think> water </think> <answer> {text} </answer>"


# Prompts


def test_pairing_prompt_interleaves_letters_and_images() -> None:
    assert pairing_prompt("AB") == (
        "Ground panorama: <image> Satellite tiles: A: <image> B: <image> Which satellite tile shows the same place as "
        "the ground panorama? First output the thinking process in <think> </think> tags and then output the final "
        "answer in <answer> </answer> tags."
    )
    with pytest.raises(ValueError, match="at least one option letter"):
        pairing_prompt("")


def test_geolocation_prompt() -> None:
    assert geolocation_prompt().startswith(
        "Ground panorama: <image> Where was this panorama taken? Answer with latitude "
    )


@pytest.mark.parametrize(
    "prompt", [pairing_prompt(LETTERS), geolocation_prompt(), "no image", "<image>", "<image><image>"]
)
def test_messages_keep_text_and_order(prompt: str) -> None:
    (turn,) = to_messages(prompt)
    assert turn["role"] == "user"
    parts = ["<image>" if part["type"] == "image" else part["text"] for part in turn["content"]]
    assert "".join(parts) == prompt and "" not in parts
    assert parts.count("<image>") == prompt.count("<image>")


# Blocks


@pytest.mark.parametrize(
    ("completion", "expected"),
    [
        ("<think>a</think><answer>C</answer>", True),
        ("<think> a </think> <answer> C </answer>", True),
        ("\n<think>\na\n</think>\n\n<answer>\nC\n</answer>\n", True),
        ("< think > a < / think > < answer > C < /answer >", True),
        ("<think></think><answer></answer>", True),
        ("<think>a</think><answer>C</answer><|im_end|>", True),
        ("<think>a</think><answer>C</answer> <|im_end|>\n<|endoftext|>", True),
        ("<think>a</think><answer>C</answer><|im_end|> D", False),
        ("<think>a</think><answer>C</answer> D", False),
        ("<think>a</think><answer>C</answer>.", False),
        ("So: <think>a</think><answer>C</answer>", False),
        ("<think>a</think> so <answer>C</answer>", False),
        ("<think>a</think><answer>C</answer><answer>C</answer>", False),
        ("<think>a</think><think>b</think><answer>C</answer>", False),
        ("<think>a<think>b</think><answer>C</answer>", False),
        ("<think>a</think><answer><answer>C</answer>", False),
        ("<think>a</think><answer>C</answer></answer>", False),
        ("<think>a<answer>C</answer></think>", False),
        ("<answer>C</answer><think>a</think>", False),
        ("<answer>C</answer>", False),
        ("<think>a</think>C", False),
        ("<think>a</think><answer>C", False),
        ("<think>a</think><answer>C</answer", False),
        ("<think>a<answer>C</answer>", False),
        ("<THINK>a</THINK><ANSWER>C</ANSWER>", False),
        ("", False),
    ],
)
def test_well_formed(completion: str, expected: bool) -> None:
    assert is_well_formed(completion) is expected


@given(
    st.text(alphabet=st.characters(exclude_characters="<>")), st.text(alphabet=st.characters(exclude_characters="<>"))
)
def test_every_proper_prefix_is_unfinished(thought: str, text: str) -> None:
    completion = f"<think>{thought}</think><answer>{text}</answer>"
    assert is_well_formed(completion)
    for end in {len(completion) - 1, len(completion) - 9, len(completion) // 2}:
        assert not is_well_formed(completion[:end])


def test_blocks() -> None:
    assert think_block("<think> a b </think> <answer> C </answer>") == "a b"
    assert think_block("<think> a b") == "a b"
    assert think_block("a b <answer> C </answer>") == "a b"
    assert think_block("") == ""
    assert answer_block("<answer> C </answer>") == "C"


def test_failures_compare_and_print_as_their_value() -> None:
    assert ParseFailure.HEDGED == "hedged" and str(ParseFailure.HEDGED) == "hedged"


# Option letter


def test_corpus_is_large_varied_and_without_duplicates() -> None:
    assert len(CORPUS) >= 200
    assert len({(case["completion"], case["letters"]) for case in CORPUS}) == len(CORPUS)
    counts = Counter(case["expected"] for case in CORPUS)
    assert {"A", "B", "C", "D", "E", "hedged", "unknown_option", "no_answer", "unfinished", "empty"} <= set(counts)
    assert sum(count for name, count in counts.items() if len(name) == 1) >= 100


def test_corpus_is_read_right() -> None:
    read = [(case, str(parse_choice(case["completion"], case["letters"]))) for case in CORPUS]
    wrong = [
        f"{case['completion']!r}: {case['expected']}, not {found}" for case, found in read if found != case["expected"]
    ]
    assert not wrong, "\n".join(wrong)


FORMS = [
    *("{}", "({})", "**{}**", "{})", "{}.", "{}:", "Image {}", "tile {}", "Candidate_{}", "the answer is {}", "'{}'"),
    *(
        r"\boxed{{{}}}",
        "{}: the one with the lake",
        "{}, a lake",
        "I think it is {}",
        "<b>{}</b>",
        '{{"answer": "{}"}}',
    ),
    *("答案是{}", "{} because of the river", "{} matches best", "{}'s lake matches", "The match is {}, not far off"),
]
JOINS = [
    ", ",
    " or ",
    " and ",
    "/",
    " ",
    "; ",
    "|",
    " & ",
    "+",
    "-",
    ".",
    "\n",
    ", then ",
    " > ",
    " versus ",
    "、",
    "或",
]
letters_of_options = st.sampled_from(LETTERS)


@given(st.sampled_from(FORMS), letters_of_options)
def test_naming_one_option_in_any_form_yields_it(form: str, letter: str) -> None:
    assert parse_choice(answer(form.format(letter)), LETTERS) == letter


@given(
    st.lists(st.tuples(st.sampled_from(FORMS), letters_of_options), min_size=1, max_size=4),
    st.sampled_from(JOINS),
    st.permutations(LETTERS),
)
def test_relabelling_the_options_permutes_the_result(
    parts: list[tuple[str, str]], join: str, permuted: list[str]
) -> None:
    relabel = dict(zip(LETTERS, permuted, strict=True))
    before = parse_choice(answer(join.join(form.format(letter) for form, letter in parts)), LETTERS)
    after = parse_choice(answer(join.join(form.format(relabel[letter]) for form, letter in parts)), LETTERS)
    assert after == (before if isinstance(before, ParseFailure) else relabel[before])


@given(st.sampled_from(FORMS), letters_of_options, st.permutations(LETTERS))
def test_the_order_in_which_options_are_offered_is_irrelevant(form: str, letter: str, order: list[str]) -> None:
    assert parse_choice(answer(form.format(letter)), order) == letter


@given(st.lists(st.tuples(st.sampled_from(FORMS), letters_of_options), min_size=2, max_size=6), st.sampled_from(JOINS))
def test_naming_more_than_one_option_never_yields_an_option(parts: list[tuple[str, str]], join: str) -> None:
    found = parse_choice(answer(join.join(form.format(letter) for form, letter in parts)), LETTERS)
    if len({letter for _, letter in parts}) > 1:
        assert found == ParseFailure.HEDGED


@pytest.mark.parametrize("join", JOINS)
def test_every_pair_of_options_is_a_hedge(join: str) -> None:
    for first, second in itertools.permutations(LETTERS, 2):
        for text in (first + join + second, f"option {first}{join}option {second}", f"({first}){join}({second})"):
            assert parse_choice(answer(text), LETTERS) == ParseFailure.HEDGED, text


@given(st.text())
def test_any_text_gets_a_defined_result(text: str) -> None:
    for completion in (text, answer(text)):
        found = parse_choice(completion, LETTERS)
        assert isinstance(found, ParseFailure) or found in LETTERS
        assert isinstance(parse_coordinates(completion), Coordinates | ParseFailure)
        assert isinstance(stated_facts(completion), list)


@given(letters_of_options, st.text(alphabet=st.characters(exclude_characters="<>")))
def test_text_outside_the_block_is_ignored(letter: str, text: str) -> None:
    assert parse_choice(f"{text}<answer>{letter}</answer>{text}", LETTERS) == letter


@pytest.mark.parametrize("letters", ["", "AA", "abc", ["AB"], ["A", "1"], "AÄ"])
def test_letters_must_be_distinct_capitals(letters: str) -> None:
    with pytest.raises(ValueError, match="expected distinct single capitals"):
        parse_choice(answer("A"), letters)


@pytest.mark.parametrize(
    "text",
    [
        "A " * 5000,
        "<b>" * 3000,
        "not " * 5000 + "C",
        "<answer>" * 3000,
        "9" * 20000,
        "23 " * 5000,
        " " * 20000 + "C",
        "<" * 20000,
    ],
)
def test_long_nonsense_is_read_quickly(text: str) -> None:
    start = time.perf_counter()
    parse_choice(answer(text), LETTERS)
    parse_coordinates(answer(text))
    stated_facts(answer(text))
    assert time.perf_counter() - start < 5.0


# Coordinates


@pytest.mark.parametrize(
    ("text", "latitude", "longitude"),
    [
        ("23 , -102", 23, -102),
        ("23,-102", 23, -102),
        ("23 -102", 23, -102),
        ("(23.5, -102.25)", 23.5, -102.25),
        ("[23.5; -102.25]", 23.5, -102.25),
        ("23,5; -102,25", 23.5, -102.25),
        ("-.5, +.25", -0.5, 0.25),
        ("0, 0", 0, 0),
        ("90, 180", 90, 180),
        ("-90 , -180", -90, -180),
        ("23 , - 102", 23, -102),
        ("−23, –102", -23, -102),
        ("23°, -102°", 23, -102),
        ("23° N, 102° W", 23, -102),
        ("23°S 102°E", -23, 102),
        ("23ºS, 102ºE", -23, 102),
        ("23.5N,102.25W", 23.5, -102.25),
        ("23n 102w", 23, -102),
        ("N 23 W 102", 23, -102),
        ("N23.5 W102.3", 23.5, -102.3),
        ("N: 23, E: 102", 23, 102),
        ("102 W, 23 N", 23, -102),
        ("-23 S, -102 W", -23, -102),
        ("23 N, 102", 23, 102),
        ("23 degrees north, 102 degrees west", 23, -102),
        ("23 degrees N latitude and 102 degrees W longitude", 23, -102),
        ("23 grados Sur, 102 grados Oeste", -23, -102),
        ("北纬23度，东经102度", 23, 102),
        ("lat 23 lon -102", 23, -102),
        ("lat: 23, lng: -102", 23, -102),
        ("lon -102 lat 23", 23, -102),
        ("latitude 23 S longitude 102 W", -23, -102),
        ("latitude = 23.5; longitude = -102", 23.5, -102),
        ("Latitude is 23 and longitude is -102", 23, -102),
        ("23 latitude, -102 longitude", 23, -102),
        ("**Latitude:** 23.0 **Longitude:** -102.0", 23, -102),
        ('{"latitude": 23.5, "longitude": -102}', 23.5, -102),
        ("33°52'30\" S, 151°12'36\" E", -33.875, 151.21),
        ("33° 52′ 30″ S 151° 12′ 36″ E", -33.875, 151.21),
        ("48° 51.5' N 2° 21' E", 48 + 51.5 / 60, 2.35),
        ("33 deg 30 min N, 15 deg 45 min W", 33.5, -15.75),
        ("23, -102 (within 50 km)", 23, -102),
        ("The panorama is near 23.1, -102.2 in Mexico.", 23.1, -102.2),
        ("23. , -102.", 23, -102),
        ("١٢, ٣٤", 12, 34),
    ],
)
def test_coordinates_are_read(text: str, latitude: float, longitude: float) -> None:
    assert parse_coordinates(answer(text)) == pytest.approx((latitude, longitude))


@pytest.mark.parametrize(
    ("text", "failure"),
    [
        ("-102, 23", "out_of_range"),  # swapped, and not for the reader to guess
        ("lon 23 lat -102", "out_of_range"),
        ("91, 0", "out_of_range"),
        ("0, 181", "out_of_range"),
        ("0, 190", "out_of_range"),
        ("9" * 400 + ", 0", "out_of_range"),
        ("Mexico", "no_coordinates"),
        ("23", "no_coordinates"),
        ("23 N", "no_coordinates"),
        ("23 N, 24 N", "no_coordinates"),
        ("-23 N, 5 E", "no_coordinates"),
        ("lat 23 E, lon 5 E", "no_coordinates"),
        ("23 - 102", "no_coordinates"),  # minus or dash?
        ("23 N, 102 O", "no_coordinates"),  # Ost or oeste?
        ("23°75' N, 5° E", "no_coordinates"),
        ("1e5, 3", "no_coordinates"),
        ("nan, nan", "no_coordinates"),
        ("inf, 0", "no_coordinates"),
        ("C", "no_coordinates"),
        ("23, -102 or 24, -103", "hedged"),
        ("between 20 and 30 N, 100 W", "hedged"),
        ("lat 23, lon -102, 50", "hedged"),
        ("23,5, -102,3", "hedged"),  # decimal commas, or four numbers?
        ("?", "empty"),
        ("", "empty"),
    ],
)
def test_coordinates_are_refused(text: str, failure: str) -> None:
    assert parse_coordinates(answer(text)) == failure


@pytest.mark.parametrize(
    ("completion", "failure"),
    [("23, -102", "no_answer"), ("<answer> 23, -102", "unfinished"), ("", "empty"), ("<think> 23, -102", "no_answer")],
)
def test_coordinates_need_an_answer_block(completion: str, failure: str) -> None:
    assert parse_coordinates(completion) == failure


@given(st.floats(-90, 90), st.floats(-180, 180))
def test_decimal_coordinates_round_trip(latitude: float, longitude: float) -> None:
    found = parse_coordinates(answer(f"{latitude:.6f} , {longitude:.6f}"))
    assert found == pytest.approx((latitude, longitude), abs=1e-6)


@given(st.integers(-90, 90), st.integers(-180, 180))
def test_hemisphere_letters_say_the_same_as_signs(latitude: int, longitude: int) -> None:
    text = f"{abs(latitude)}° {'S' if latitude < 0 else 'N'}, {abs(longitude)}° {'W' if longitude < 0 else 'E'}"
    assert (
        parse_coordinates(answer(text))
        == parse_coordinates(answer(f"{latitude} , {longitude}"))
        == (latitude, longitude)
    )


# Stated facts

PAIRING = (
    "<think> climate arid hemisphere north traffic right . north ground water A water same B forest other . "
    "east ground sand A field other B sand same . so tile A </think> <answer> A </answer>"
)
GEOLOCATION = (
    "<think> north water east forest south houses west field . climate arid hemisphere south traffic left coast no "
    "relief hills . country South Africa </think> <answer> -30 , 25 </answer>"
)


def test_facts_of_a_pairing_chain() -> None:
    assert [tuple(fact) for fact in stated_facts(PAIRING)] == [
        ("ground", "climate", "arid"),
        ("ground", "hemisphere", "north"),
        ("ground", "traffic", "right"),
        ("ground", "north", "water"),
        ("A", "north", "water"),
        ("A", "north_same", "yes"),
        ("B", "north", "forest"),
        ("B", "north_same", "no"),
        ("ground", "east", "sand"),
        ("A", "east", "field"),
        ("A", "east_same", "no"),
        ("B", "east", "sand"),
        ("B", "east_same", "yes"),
    ]


def test_facts_of_a_geolocation_chain() -> None:
    assert {fact.key: fact.value for fact in stated_facts(GEOLOCATION)} == {
        "north": "water",
        "east": "forest",
        "south": "houses",
        "west": "field",
        "climate": "arid",
        "hemisphere": "south",
        "traffic": "left",
        "coast": "no",
        "relief": "hills",
        "country": "South Africa",
    }
    assert all(fact.subject == "ground" for fact in stated_facts(GEOLOCATION))


@pytest.mark.parametrize(
    ("chain", "expected"),
    [
        ("", []),
        ("<think>", []),
        ("<think> I see a river to the north of some houses .", []),
        ("<think> north", []),
        ("<think> north ground", []),
        ("<think> north ground water A", [("ground", "north", "water")]),
        ("<think> north ground A water", [("A", "north", "water")]),
        ("<think> north ground water A same", [("ground", "north", "water"), ("A", "north_same", "yes")]),
        ("<think> climate hemisphere north", [("ground", "hemisphere", "north")]),
        ("<think> climate . hemisphere . north east forest", [("ground", "east", "forest")]),
        ("<think> country </think> <answer> 1 , 2 </answer>", []),
        (
            "north water . country Chad <answer> 1 , 2 </answer>",
            [("ground", "north", "water"), ("ground", "country", "Chad")],
        ),
        (
            "<think> north water . north water . north water",
            [("ground", "north", "water")],
        ),  # said thrice, counted once
        ("<think> north water . north sand", [("ground", "north", "water"), ("ground", "north", "sand")]),
        ("<think> so tile A", []),
        ("<think> matches A 4 B 1 . so tile A", [("A", "matches", "4"), ("B", "matches", "1")]),
        ("<think> matches A 4 B", [("A", "matches", "4")]),
        ("<think> matches nothing I know", []),
        (
            "<think> north ground water A water same . matches A",
            [
                ("ground", "north", "water"),
                ("A", "north", "water"),
                ("A", "north_same", "yes"),
            ],
        ),
        ("<answer> north water </answer>", []),
    ],
)
def test_partial_chains(chain: str, expected: list[tuple[str, str, str]]) -> None:
    assert [tuple(fact) for fact in stated_facts(chain)] == expected


@given(st.integers(0, len(PAIRING)))
def test_a_cut_chain_invents_nothing(end: int) -> None:
    whole = stated_facts(PAIRING)
    cut = stated_facts(PAIRING[:end])
    assert cut[:-1] == whole[: max(len(cut) - 1, 0)]  # only the last word can be cut short


GROUND = {"north": "water", "east": "sand", "climate": "arid", "hemisphere": "south", "country": "South Africa"}
TILES = {"A": {"north": "water", "east": "field"}, "B": {"north": "forest", "east": "houses"}}


def test_facts_are_held_against_metadata() -> None:
    check = check_facts(stated_facts(PAIRING), GROUND, TILES)
    assert check.n_stated == 12  # traffic is not in the metadata
    assert check.n_true == 9
    assert check.false == [
        StatedFact("ground", "hemisphere", "north"),
        StatedFact("B", "east", "sand"),
        StatedFact("B", "east_same", "yes"),
    ]


def test_counts_of_matches_are_held_against_metadata() -> None:
    ground = dict(zip(DIRECTIONS, ("water", "sand", "field", "forest"), strict=True))
    tiles = {"A": ground, "B": {**ground, "north": "sand", "west": "houses"}, "C": {"north": "water"}}
    stated = [StatedFact("A", "matches", "4"), StatedFact("B", "matches", "3"), StatedFact("C", "matches", "1")]
    assert check_facts(stated, ground, tiles) == FactCheck(2, 1, [stated[1]])  # of C not enough is known


def test_a_written_comparison_states_true_facts_only() -> None:
    ground = dict(zip(DIRECTIONS, ("water", "sand", "field", "forest"), strict=True))
    tiles = {"A": {**ground, "north": "sand"}, "B": ground}
    stated = stated_facts(f"<think> {comparison(ground, tiles)} so tile A </think>")
    assert len(stated) == 4 + 2 * 8 + 2
    assert check_facts(stated, ground, tiles) == FactCheck(22, 22, [])


def test_geolocation_facts_need_no_tiles() -> None:
    assert check_facts(stated_facts(GEOLOCATION), GROUND, {}) == FactCheck(
        5, 4, [StatedFact("ground", "east", "forest")]
    )


def test_nothing_to_test_is_not_counted() -> None:
    assert check_facts(stated_facts(PAIRING), {}, {}) == FactCheck(0, 0, [])
    assert (
        check_facts([StatedFact("E", "north", "water"), StatedFact("E", "north_same", "yes")], GROUND, TILES).n_stated
        == 0
    )
    assert check_facts([], GROUND, TILES) == FactCheck(0, 0, [])


def test_country_names_compare_without_case() -> None:
    assert check_facts([StatedFact("ground", "country", "south africa")], GROUND, {}).n_true == 1


def test_the_ground_floor_does_not_import_torch() -> None:
    code = "import sys, geor1.answers, geor1.geodesy, geor1.records; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[1], check=False).returncode == 0


@given(
    st.tuples(*[st.from_regex(r"[+-]?[0-9]{1,9}(\.[0-9]{1,9})?", fullmatch=True)] * 2),
    st.sampled_from((",", " ,", ", ", " , ")),
)
def test_two_plain_numbers_are_read_as_any_other_text(numbers: tuple[str, str], between: str) -> None:
    """The short way must not say anything else than the long one."""
    text = between.join(numbers)
    assert parse_coordinates(f"<answer> {text} </answer>") == _read_any(text)
