"""Reward terms: by hand, against the values measured on the released code, and where the two differ."""

import math
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geor1.grpo.released_rewards import ReleasedAccuracy, ReleasedFormat, ReleasedLength, extract_choice
from geor1.grpo.rewards import (
    OUTCOMES,
    AccuracyReward,
    FormatReward,
    LengthReward,
    RepetitionReward,
    RewardWeights,
    completion_text,
    cosine_value,
    judge,
    make_rewards,
    repeated_share,
)

LETTERS = "ABCDE"
EOS = 7


def well_formed(text: str) -> str:
    return f"<think> water </think> <answer> {text} </answer>"


def accuracy_of(text: str, gold: str = "C", **columns: object) -> float:
    (reward,) = AccuracyReward()([text], answer=[gold], letters=[LETTERS], **columns)
    return reward


# Accuracy


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        (well_formed("C"), "correct"),
        (well_formed("**C**"), "correct"),
        (well_formed("(C)"), "correct"),
        (well_formed("Tile C"), "correct"),
        (well_formed("The answer is C because of the river"), "correct"),
        (well_formed("B"), "wrong"),
        (well_formed("A, B, C, D"), "hedged"),
        (well_formed("C or D"), "hedged"),
        (well_formed("F"), "unknown_option"),
        (well_formed("lake"), "unknown_option"),
        (well_formed(""), "empty"),
        ("", "empty"),
        ("C", "no_answer"),
        ("<think> so tile C </think>", "no_answer"),
        ("<think> water </think> <answer> C", "unfinished"),
        ("<answer> C </answer>", "not_well_formed"),
        (well_formed("C") + " and D", "not_well_formed"),
        (well_formed("C") + " <answer> D </answer>", "not_well_formed"),
        (well_formed("D") + well_formed("C"), "not_well_formed"),
        ("Sure! " + well_formed("C"), "not_well_formed"),
        ("<think> <answer> C </answer> </think>", "not_well_formed"),
    ],
)
def test_only_one_right_well_formed_answer_pays(text: str, outcome: str) -> None:
    assert judge(text, "C", LETTERS) == outcome
    assert accuracy_of(text) == (1.0 if outcome == "correct" else 0.0)


def test_cut_completions_do_not_pay() -> None:
    whole = well_formed("C")
    assert accuracy_of(whole) == 1.0
    assert accuracy_of(whole, finished=[True]) == 1.0
    assert accuracy_of(whole, finished=[False]) == 0.0
    assert all(accuracy_of(whole[:end]) == 0.0 for end in range(len(whole)))


def test_the_last_token_must_be_an_end_token_where_those_are_known() -> None:
    reward = AccuracyReward(end_token_ids=(EOS, 9))
    columns = {"answer": ["C"] * 4, "letters": [LETTERS] * 4}
    ids = [[1, 2, EOS], [1, 2, 9], [1, 2, 3], []]
    assert reward([well_formed("C")] * 4, completion_ids=ids, **columns) == [1.0, 1.0, 0.0, 0.0]
    assert reward([well_formed("C")] * 4, completion_ids=ids, finished=[False, True, True, True], **columns) == [
        0,
        1,
        0,
        0,
    ]
    assert reward([well_formed("C")] * 4, **columns) == [1.0] * 4
    assert reward.outcomes([well_formed("C")], answer=["C"], letters=[LETTERS], completion_ids=[[1]]) == ["not_ended"]


@pytest.mark.parametrize(("correct", "wrong"), [(1.0, 0.0), (1.0, -1.0), (1.0, -0.8), (2.5, 0.5)])
def test_accuracy_values_are_parameters(correct: float, wrong: float) -> None:
    reward = AccuracyReward(correct=correct, wrong=wrong)
    texts = [well_formed("C"), well_formed("D"), "nonsense", ""]
    assert reward(texts, answer=["C"] * 4, letters=[LETTERS] * 4) == [correct, wrong, wrong, wrong]


@pytest.mark.parametrize(("correct", "wrong"), [(0.0, 0.0), (0.0, 1.0), (math.inf, 0.0), (1.0, math.nan)])
def test_accuracy_values_are_checked(correct: float, wrong: float) -> None:
    with pytest.raises(ValueError, match="correct above wrong"):
        AccuracyReward(correct=correct, wrong=wrong)


def test_columns_of_unequal_length_are_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        AccuracyReward()([well_formed("C")] * 2, answer=["C"], letters=[LETTERS] * 2)


@pytest.mark.parametrize("letters", [LETTERS, list(LETTERS), tuple(LETTERS)])
def test_letters_may_be_any_sequence(letters: str) -> None:
    assert AccuracyReward()([well_formed("C")], answer=["C"], letters=[letters]) == [1.0]


def test_nonsense_gets_defined_rewards_and_is_counted() -> None:
    texts = [
        "",
        "blah",
        "<answer>",
        well_formed("A or B"),
        well_formed("lake"),
        "</think>" * 9,
        "\x00",
        "<answer> C </answer>",
    ]
    logged: dict[str, float] = {}
    functions, _ = make_rewards(max_length=100)
    columns = {"answer": ["C"] * 8, "letters": [LETTERS] * 8, "completion_ids": [[1] * 5] * 8}
    for function in functions:
        rewards = function(completions=texts, log_metric=logged.__setitem__, trainer_state=None, **columns)
        assert len(rewards) == 8 and all(isinstance(value, float) and math.isfinite(value) for value in rewards)
    assert logged["outcome/correct"] == logged["outcome/wrong"] == 0.0
    assert logged["outcome/hedged"] == logged["outcome/unfinished"] == logged["outcome/not_well_formed"] == 1 / 8
    assert logged["outcome/no_answer"] == 3 / 8
    assert sum(logged.values()) == pytest.approx(1.0)
    assert {name.removeprefix("outcome/") for name in logged} <= set(OUTCOMES)


@given(st.text(), st.sampled_from(LETTERS))
def test_no_text_breaks_a_term(text: str, gold: str) -> None:
    for preset in ("corrected", "released_code"):
        for function in make_rewards(preset=preset)[0]:
            for completion in (text, well_formed(text)):
                (value,) = function([completion], answer=[gold], letters=[LETTERS], completion_ids=[[0] * len(text)])
                assert math.isfinite(value)


@given(st.lists(st.sampled_from(LETTERS), min_size=2, max_size=5, unique=True), st.sampled_from(LETTERS))
def test_naming_several_options_never_pays(named: list[str], gold: str) -> None:
    assert accuracy_of(well_formed(" , ".join(named)), gold) == 0.0
    assert accuracy_of("".join(f"<answer> {letter} </answer>" for letter in named), gold) == 0.0
    assert accuracy_of("<think> </think>" + "".join(f"<answer> {letter} </answer>" for letter in named), gold) == 0.0


# Format, length, repetition


def test_format() -> None:
    texts = [well_formed("C"), well_formed("anything"), well_formed("C") + "x", "C", ""]
    assert FormatReward()(texts) == [1.0, 1.0, 0.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("n", "right", "wrong"),
    [
        (0, 1.0, -0.5),
        (256, 0.926777, -0.426777),
        (512, 0.75, -0.25),
        (1024, 0.5, 0.0),
        (1025, 0.5, 0.0),
        (5000, 0.5, 0.0),
    ],
)
def test_length_depends_on_correctness_and_is_clamped(n: int, right: float, wrong: float) -> None:
    texts = [well_formed("C"), well_formed("D"), "C"]
    rewards = LengthReward()(texts, answer=["C"] * 3, letters=[LETTERS] * 3, completion_ids=[[1] * n] * 3)
    assert rewards == pytest.approx([right, wrong, wrong], abs=1e-6)


@given(st.integers(0, 3000), st.integers(0, 3000), st.integers(1, 2000))
def test_longer_is_never_better_for_right_and_never_worse_for_wrong(a: int, b: int, max_length: int) -> None:
    a, b = min(a, b), max(a, b)
    assert cosine_value(a, max_length=max_length, short=1.0, long=0.5) >= cosine_value(
        b, max_length=max_length, short=1.0, long=0.5
    )
    assert cosine_value(a, max_length=max_length, short=-0.5, long=0.0) <= cosine_value(
        b, max_length=max_length, short=-0.5, long=0.0
    )


def test_length_judges_as_strictly_as_accuracy() -> None:
    functions, _ = make_rewards(end_token_ids=[EOS])
    length = functions[2]
    columns = {"answer": ["C"] * 2, "letters": [LETTERS] * 2, "completion_ids": [[EOS], [1]]}
    ended, cut = length([well_formed("C")] * 2, **columns)
    assert ended > 0.9 and cut < -0.4


def tokenizer(text: str, *, add_special_tokens: bool) -> dict[str, list[int]]:
    assert not add_special_tokens
    return {"input_ids": [1] * len(text.split())}


def test_length_counts_with_the_tokenizer_where_there_are_no_ids() -> None:
    text = well_formed("C")  # 6 words
    columns = {"answer": ["C"], "letters": [LETTERS]}
    assert LengthReward(max_length=12, tokenizer=tokenizer)([text], **columns) == pytest.approx([0.75])
    assert LengthReward(max_length=12, tokenizer=tokenizer)([text], completion_ids=[[1] * 12], **columns) == [0.5]
    with pytest.raises(ValueError, match="expected completion_ids or a tokenizer"):
        LengthReward()([text], **columns)


def test_length_limit_is_checked() -> None:
    with pytest.raises(ValueError, match="max_length=0"):
        LengthReward(max_length=0)


@pytest.mark.parametrize(
    ("text", "n", "share"),
    [
        ("", 6, 0.0),
        ("one two three four five", 6, 0.0),  # fewer than n words
        ("a b c d e f", 6, 0.0),
        ("a b a b a b", 2, 3 / 5),  # 5 bigrams, ab and ba
        ("A b a B", 2, 1 / 3),  # case is ignored
        ("x " * 13, 6, 7 / 8),  # 8 six-grams, 1 distinct
        ("a b c d e f a b c d e f", 6, 1 / 7),  # 7 six-grams, the last repeats the first
    ],
)
def test_repeated_share_by_hand(text: str, n: int, share: float) -> None:
    assert repeated_share(text, n) == pytest.approx(share)
    assert RepetitionReward(ngram=n)([text]) == pytest.approx([-share])


@given(st.text(), st.integers(1, 8))
def test_repetition_lies_between_minus_one_and_zero(text: str, n: int) -> None:
    (value,) = RepetitionReward(ngram=n)([text])
    assert -1.0 < value <= 0.0


def test_ngram_is_checked() -> None:
    with pytest.raises(ValueError, match="ngram=0"):
        RepetitionReward(ngram=0)


# What TRL calls


@pytest.mark.parametrize("preset", ["corrected", "released_code"])
def test_terms_have_names_and_weights_and_survive_pickling(preset: str) -> None:
    functions, weights = make_rewards(preset=preset)
    assert [function.__name__ for function in functions] == ["accuracy", "format", "length", "repetition"]
    assert weights == [1.0] * 4
    columns = {"answer": ["C"], "letters": [LETTERS], "completion_ids": [[1] * 9]}
    for function in functions:
        copy = pickle.loads(pickle.dumps(function))
        assert copy([well_formed("C")], **columns) == function([well_formed("C")], **columns)


@pytest.mark.parametrize("preset", ["corrected", "released_code"])
def test_both_forms_of_completions_are_read_alike(preset: str) -> None:
    texts = [well_formed("C"), well_formed("B"), "C", "word " * 20]
    messages = [[{"role": "assistant", "content": text}] for text in texts]
    columns = {"answer": ["C"] * 4, "letters": [LETTERS] * 4, "completion_ids": [[1] * 9] * 4, "prompts": ["p"] * 4}
    for function in make_rewards(preset=preset)[0]:
        assert function(texts, **columns) == function(messages, **columns)
    assert completion_text(messages[2]) == "C"


def test_weights() -> None:
    weights = RewardWeights(accuracy=2.0, format=0.5, length=0.0, repetition=0.1)
    assert make_rewards(weights=weights)[1] == [2.0, 0.5, 0.0, 0.1]
    with pytest.raises(ValueError, match="length=-1"):
        RewardWeights(length=-1.0)


def test_settings_reach_their_terms() -> None:
    functions, _ = make_rewards(correct=1.0, wrong=-0.8, max_length=96, ngram=4, end_token_ids=[EOS])
    accuracy, _, length, repetition = functions
    assert accuracy == AccuracyReward(wrong=-0.8, end_token_ids=(EOS,))
    assert length.max_length == 96 and length.accuracy == accuracy and repetition.ngram == 4


def test_unknown_preset_lists_those_known() -> None:
    with pytest.raises(ValueError, match=r"preset='paper': expected one of .*released_code"):
        make_rewards(preset="paper")


@pytest.mark.parametrize(
    "changed", [{"weights": RewardWeights(length=0.5)}, {"wrong": -1.0}, {"max_length": 96}, {"ngram": 3}]
)
def test_released_code_has_nothing_to_set(changed: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=f"fixes .*{next(iter(changed))}"):
        make_rewards(preset="released_code", **changed)  # type: ignore[arg-type]


def test_rewards_do_not_import_torch() -> None:
    code = "import sys, geor1.grpo.rewards, geor1.grpo.released_rewards; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=False).returncode == 0


# The released functions, against the values measured on the authors' code (gold C)


@pytest.mark.parametrize(
    ("text", "reward"),
    [
        *((f"<answer>{text}</answer>", 1.0) for text in ("C", "C.", "c", "Image C", "Candidate_C", "C ", " C ")),
        *((f"<answer>{text}</answer>", 0.0) for text in ("(C)", "C)", "**C**", "3", "B", "")),
        ("<answer>The answer is C because B is wrong.</answer>", 0.0),
        ("I think it is C", 1.0),  # no tags: the whole completion is read
        ("<answer>C</answer><answer>B</answer>", 1.0),  # the first counts
        ("<answer>B</answer><answer>C</answer>", 0.0),
    ],
)
def test_released_accuracy(text: str, reward: float) -> None:
    assert ReleasedAccuracy()([text], answer=["C"]) == [reward]


def test_released_accuracy_can_never_reward_a_digit() -> None:
    assert ReleasedAccuracy()(["<answer>3</answer>"], answer=["3"]) == [0.0]


@pytest.mark.parametrize(
    ("text", "choice"),
    [
        ("A, B, C, D", "D"),  # late (+2) beats punctuation (+1)
        ("A. The correct answer is not this one, by the look of B, which has no lake at all", "A"),
        ("I choose B. Tiles like E, far away, do not look alike in any way at all here", "B"),
        ("", None),
        ("no letter here", None),
    ],
)
def test_released_heuristic_by_hand(text: str, choice: str | None) -> None:
    assert extract_choice(text) == choice


@pytest.mark.parametrize(
    ("n", "reward"),
    [
        (0, 1.0),
        (256, 0.927),
        (379, 0.849),
        (588, 0.692),
        (768, 0.573),
        (1024, 0.5),
        (1128, 0.513),
        (1536, 0.75),
        (2048, 1.0),
    ],
)
def test_released_length_table(n: int, reward: float) -> None:
    (found,) = ReleasedLength()(["whatever"], completion_ids=[[1] * n])
    assert found == pytest.approx(reward, abs=6e-4)


def test_released_length_counts_the_text_where_it_has_a_tokenizer() -> None:
    assert ReleasedLength(tokenizer)(["word " * 512], completion_ids=[[1]]) == pytest.approx([0.75])


@pytest.mark.parametrize(
    ("text", "reward"),
    [
        ("<think>a</think><answer>C</answer>", 1.0),
        ("<think>a</think>\n<answer>\nC\n</answer>", 1.0),
        ("<think>a</think><answer>C</answer><answer>D</answer>", 1.0),  # two answer blocks still pass
        ("<think>a</think><answer>C</answer>\n", 0.0),  # a trailing newline does not
        ("Sure: <think>a</think><answer>C</answer>", 0.0),
    ],
)
def test_released_format(text: str, reward: float) -> None:
    assert ReleasedFormat()([text]) == [reward]


def test_released_total_lies_between_minus_a_half_and_three() -> None:
    functions, weights = make_rewards(preset="released_code")
    columns = {"answer": ["C"], "letters": [LETTERS], "completion_ids": [[]]}
    total = sum(w * f([well_formed("C")], **columns)[0] for f, w in zip(functions, weights, strict=True))
    assert total == 3.0


# Where the two differ


@pytest.mark.parametrize(
    ("text", "ours", "theirs"),
    [
        (well_formed("C"), 1.0, 1.0),
        (well_formed("B"), 0.0, 0.0),
        (well_formed("(C)"), 1.0, 0.0),
        (well_formed("**C**"), 1.0, 0.0),
        (well_formed("C: the one with the lake"), 1.0, 1.0),
        (well_formed("The answer is C because of the river"), 1.0, 0.0),
        (well_formed("A, B, C"), 0.0, 1.0),  # hedging pays there
        (well_formed("not C"), 0.0, 1.0),
        ("I think it is C", 0.0, 1.0),  # no tags
        (well_formed("C") + " or D", 0.0, 1.0),  # going on after the answer pays there
        (well_formed("C") + " <answer> A </answer>", 0.0, 1.0),
        ("<think> water </think> <answer> C", 0.0, 1.0),  # cut: the whole text is read, and it ends in C
    ],
)
def test_accuracy_differs_from_the_released_code_here(text: str, ours: float, theirs: float) -> None:
    assert accuracy_of(text) == ours
    assert ReleasedAccuracy()([text], answer=["C"]) == [theirs]


def test_length_differs_from_the_released_code() -> None:
    columns = {"answer": ["C"] * 2, "letters": [LETTERS] * 2}
    texts = [well_formed("C"), well_formed("D")]
    for n, agrees in [(100, True), (1024, True), (1500, False)]:
        ids = [[1] * n] * 2
        ours, theirs = LengthReward()(texts, completion_ids=ids, **columns), ReleasedLength()(texts, completion_ids=ids)
        assert theirs[0] == theirs[1]  # a wrong answer earns as much as a right one there
        assert ours[1] < ours[0]
        assert (ours[0] == pytest.approx(theirs[0])) is agrees  # past the limit theirs climbs again


def test_format_differs_from_the_released_code() -> None:
    texts = [
        well_formed("C") + "\n",
        well_formed("C") + "<answer> D </answer>",
        "<think> </think> <answer> < answer > </answer>",
    ]
    assert FormatReward()(texts) == [1.0, 0.0, 0.0]
    assert ReleasedFormat()(texts) == [0.0, 1.0, 1.0]


def test_repetition_agrees_with_the_released_code() -> None:
    texts = ["", "x " * 13, well_formed("C"), "a b c d e f a b c d e f"]
    assert RepetitionReward()(texts) == make_rewards(preset="released_code")[0][3](texts)
