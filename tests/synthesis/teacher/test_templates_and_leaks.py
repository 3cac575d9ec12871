"""Prompts from text files, and what of a chain gives its answer away."""

from __future__ import annotations

from pathlib import Path

import pytest
from teacher_cases import chain, settings, write_questions

from geor1.records import Prediction
from geor1.runs import ConfigError
from geor1.synthesis.teacher.checks import REASONS, Checker
from geor1.synthesis.teacher.claims import MAX_CHARS
from geor1.synthesis.teacher.jobs import Job, Shard, make_jobs
from geor1.synthesis.teacher.leaks import names_answer, names_source, passed_over, step_places
from geor1.synthesis.teacher.templates import SHIPPED, load_template, parse_template
from geor1.synthesis.teacher.vocabulary import Names

OWN = """name: mine
task: pairing
tiles: all
told: no
given: country
steps: Look; Decide
hidden: blue ink
---
{images} Which of {letters}? {facts} {steps}"""


def job(tmp_path: Path, template: str, number: int = 0) -> Job:
    return make_jobs(write_questions(tmp_path, 6), load_template(template), settings(), Shard())[number]


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_prompts_say_what_they_should_and_nothing_else(tmp_path: Path, name: str) -> None:
    one = job(tmp_path, name)
    assert one.prompt.count("<image>") == len(one.images) == one.student_prompt.count("<image>")
    assert "- country: Australia" in one.prompt and "- driving side: left" in one.prompt and "Köppen" in one.prompt
    assert ("151.2" in one.prompt) == (name == "geolocation")
    assert "{" not in one.prompt
    told = f"tile {one.answer}. Explain" in one.prompt or f"{one.answer} into <answer>" in one.prompt
    assert told == load_template(name).told
    for word in ("Sydney", "Australia", "-33"):
        assert word not in one.student_prompt
    assert not any(hidden in one.student_prompt for hidden in one.template.hidden)


def test_letters_of_lone_tiles_are_spread(tmp_path: Path) -> None:
    jobs = make_jobs(write_questions(tmp_path, 60), load_template("positive"), settings(), Shard())
    counts = {letter: sum(one.answer == letter for one in jobs) for letter in "ABC"}
    assert min(counts.values()) >= 10
    assert all(one.letters == (one.answer,) and f"Satellite tiles: {one.answer}:" in one.prompt for one in jobs)


def test_a_template_is_a_text_file(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text(OWN)
    one = job(tmp_path / "data", str(tmp_path / "mine.txt"))
    assert one.prompt.endswith("Which of A, B, C? - country: Australia Look:\nDecide:")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("---", "", "'---'"),
        ("name: mine", "nam: mine", "line 1"),
        ("name: mine", "name: my/own", "without '/'"),
        ("told: no", "told: maybe", "told='maybe'"),
        ("told: no", "told: yes", "{answer} is not"),
        ("tiles: all", "tiles: some", "tiles='some'"),
        ("tiles: all", "tiles: none", "does not fit"),
        ("given: country", "given: zip code", "given='zip code'"),
        ("Look; Decide", "Look", "two headings"),
        ("{letters}", "{letter}", "unknown placeholder {letter}"),
        ("{images}", "<image>", "{images} once"),
        ("steps: Look; Decide\n", "", "steps is missing"),
    ],
)
def test_templates_that_do_not_fit_are_refused(old: str, new: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_template(OWN.replace(old, new), "mine.txt")
    assert said in str(caught.value)


def test_metadata_are_not_templates(tmp_path: Path) -> None:
    question = write_questions(tmp_path, 1)[0]
    nasty = type(question)(**{**vars(question), "city": "{answer}\n<image> {nope}", "country": None})
    (one,) = make_jobs([nasty], load_template("search"), settings(), Shard())
    assert "- city: {answer}  {nope}" in one.prompt
    assert one.prompt.count("<image>") == 4


@pytest.mark.parametrize(
    ("before", "leaks"),
    [
        ("Tile B shows a river, as does the panorama.", False),
        ("Tile B matches the bend of the road.", False),
        ("Tile B is the match.", True),
        ("The second tile is the correct one.", True),
        ("The answer is B.", True),
        ("So the answer must be (B).", True),
        ("Option B is clearly the right one.", True),
        ("Tile A is not the correct one.", False),
        ("The third tile is the right one.", False),
        ("A beach lies to the north. The right side is wooded.", False),
        ("Candidate B and the panorama show the same place.", True),
        ("So B is correct.", True),
        ("**B** is the right tile.", True),
        ("The correct tile is B.", True),
        ("The right one is B.", True),
        ("The match is B.", True),
        ("B matches.", True),
        ("I therefore pick B.", True),
        ("We choose B.", True),
        ("My answer would be tile B.", True),
        ("So it has to be B.", True),
        ("Tile B matches the panorama best.", True),
        ("Tile B aligns perfectly with the panorama.", True),
        ("Option B is the best fit.", True),
        ("Only tile B fits", True),
        ("The panorama was taken at tile B.", True),
        ("Of A, B, C, D and E the correct one is B.", True),
        ("All tiles but B are ruled out.", True),
        ("Tiles A, C, D and E are ruled out.", True),
        ("Tile A is ruled out. C does not match. D and E are excluded.", True),
        ("None of A, C, D and E match.", True),
        ("So, tile B it is.", True),
        ("B is where the panorama was taken.", True),
        ("I would go for B.", True),
        ("Tiles B and D both fit the wide road.", False),
        ("Hence B and D remain.", False),
        ("B has the same bend as the panorama.", False),
        ("Tiles A, C and D are ruled out.", False),
        ("Whether A, B, C, D or E is correct is not yet clear.", False),
        ("Tile B shows a river.", False),
        ("In A a road runs north.", False),
        ("In B the dark patch must be a lake.", False),
        ("Tile B fits the bend of the road, as C does.", False),
        ("B: a bend that matches. C: none.", False),
        ("Only tile B shows a river.", False),
        ("Plan B", False),
        ("A sign reads: Plan B is the right choice.", False),
    ],
)
def test_verdicts_before_the_conclusion(before: str, leaks: bool) -> None:
    assert names_answer(before, "B", 1, 5) is leaks


@pytest.mark.parametrize(
    ("before", "leaks"),
    [
        ("So A is correct.", True),
        ("The answer is A.", True),
        ("I pick A.", True),
        ("Tiles B and C are ruled out.", True),
        ("In A a road runs north.", False),
        ("A correct reading of the roofs takes time.", False),
        ("A river and a field match.", False),
        ("These questions answer a doubt.", False),
    ],
)
def test_the_letter_a_is_told_from_the_article(before: str, leaks: bool) -> None:
    assert names_answer(before, "A", 0, 3) is leaks


def test_sources_and_tiles_passed_over() -> None:
    assert names_source("According to the facts, it is hot.", ()) == "According to the facts"
    assert names_source("A hint of blue. I was told so.", ()) == "I was told"
    assert names_source("A hint of blue.", ()) is None
    assert names_source("Written in Blue Ink.", ("blue ink",)) == "blue ink"
    assert passed_over("Tile A has a road, B a field; tiles C and D are wooded.", "ABCDE") == ["E"]
    assert passed_over("A: road. B: field.", "AB") == []
    assert passed_over("A road and a field.", "AB") == ["A", "B"]
    assert step_places("Look: a. Decide: b. Look: c.", ("Look", "Decide")) is None
    assert step_places("Decide: b. Look: a.", ("Look", "Decide")) is None


def rejected(one: Job, text: str, tokens: int | None = 50) -> tuple[str, ...]:
    line = Prediction(model="m", task="pairing", item_id=one.item_id, raw=text, status="ok", completion_tokens=tokens)
    return Checker(settings(min_tokens=20, max_tokens=100), Names()).check(one, line).reasons


def test_reasons(tmp_path: Path) -> None:
    one = job(tmp_path, "distractors")  # Sydney, the answer is A
    good = chain("A", letters="ABC", geography="Traffic keeps left in Sydney.")
    assert rejected(one, good) == ()
    assert rejected(one, good + " or B") == ("format",)
    assert rejected(one, " ") == ("empty",)
    assert rejected(one, good, tokens=19) == ("too_short",)
    assert rejected(one, good, tokens=101) == ("too_long",)
    assert rejected(one, good, tokens=None) == ()
    unread = good.replace("Conclusion:", "and " * (MAX_CHARS // 4) + "\nConclusion:")
    assert rejected(one, unread, tokens=99) == ("too_long",)
    assert rejected(one, chain("B", letters="ABC")) == ("wrong_answer",)
    assert rejected(one, chain("A or B", letters="ABC"))[0] == "no_answer"
    assert rejected(one, chain("A", letters="AB")) == ("one_sided",)
    assert rejected(one, chain("A", letters="ABC", before="Tile A is the match.")) == ("leak_answer",)
    assert rejected(one, chain("A", letters="ABC", steps=False))[0] == "steps"
    false = chain("A", letters="ABC", geography="Cars drive on the right in Paris.", before="The metadata say so.")
    assert rejected(one, false) == ("leak_source", "false_city", "false_driving_side")
    assert rejected(one, chain("A", letters="ABC", geography="Unlike Paris, traffic keeps left.")) == ()
    place = job(tmp_path, "geolocation")
    told = chain("-33.87 , 151.21")
    assert rejected(place, told) == ()
    assert rejected(place, told.replace("Conclusion", "At 33.87° S, 151.21° E it is. Conclusion")) == ("leak_answer",)
    assert rejected(place, chain("48.9 , 2.4"))[:2] == ("wrong_answer",)
    assert rejected(place, chain("Sydney"))[0] == "no_answer"
    assert len(set(REASONS)) == len(REASONS)
