"""Chains of thought that teach a way of reasoning, written from metadata: look, compare, place on Earth, conclude.

Two kinds. A *pairing* chain says what geography shows, then goes through the four directions, naming what lies there on
the ground and on each tile and whether the two words agree, then concludes. A *geolocation* chain goes from cues to
climate, hemisphere and driving side to country and coordinates.

Pairing chains are by default *unmatched*: the tiles are all of other places of the neighbourhood. No panorama is ever
shown beside its own tile, so the form is taught and no pairing label is given away. *Labelled* chains, for the control
that spends labels on imitation instead of reinforcement, are the same text about a real question with the right letter.

Metadata stands in for the teacher model; :class:`Teacher` can be told to err, so that the fact check has work to do.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from geor1.answers import geolocation_prompt, pairing_prompt
from geor1.answers.chains import DIRECTIONS, comparison, matches
from geor1.records import Candidate, Pair, Question, Scaffold
from geor1.synthesis.facts import Metadata
from geor1.synthesis.negatives import Neighbourhoods
from geor1.synthesis.questions import candidate_of, letters_of

Facts = Mapping[str, str]

CONCLUSIONS = ("random", "most_same")
REGION_KEYS = ("climate", "hemisphere", "traffic")
PAIRING_KEYS = (*REGION_KEYS, *DIRECTIONS)
GEOLOCATION_KEYS = (*DIRECTIONS, *REGION_KEYS, "coast", "relief", "country")
VOCABULARY: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(DIRECTIONS, ("water", "forest", "houses", "towers", "field", "sand")),
    "climate": ("tropical", "arid", "temperate", "continental", "polar"),
    "hemisphere": ("north", "south"),
    "traffic": ("left", "right"),
    "coast": ("yes", "no"),
    "relief": ("flat", "hills", "mountains"),
}
"""Words that a chain may use under each key."""
MANY_MATCHES = 3
"""Directions in which a lookalike agrees with the panorama, at least; tiles of one neighbourhood agree in fewer."""
COORDINATE_ERROR_DEG = (5.0, 60.0)
"""How far an erring teacher moves the longitude."""


@dataclasses.dataclass(frozen=True)
class Draft:
    """A scaffold as the teacher wrote it, with the metadata that the fact check may use."""

    scaffold: Scaffold
    metadata: Metadata


@dataclasses.dataclass(frozen=True, kw_only=True)
class Teacher:
    """Writes chains from metadata, wrongly now and then.

    Attributes:
        error_rate: Share of chains in which one stated fact is false.
        countries: Names that an erring teacher may put in place of the right country.
    """

    error_rate: float = 0.1
    countries: tuple[str, ...] = ()

    def perceive(self, ground: Facts, tiles: Sequence[Facts], rng: np.random.Generator) -> tuple[Facts, list[Facts]]:
        """What the teacher believes to see on a panorama and tiles: the truth, or the truth with one word changed."""
        if rng.random() >= self.error_rate:
            return ground, list(tiles)
        views = [dict(ground), *(dict(tile) for tile in tiles)]
        slots = [(0, key) for key in (*REGION_KEYS, *DIRECTIONS)]
        slots += [(view, key) for view in range(1, len(views)) for key in DIRECTIONS]
        view, key = slots[rng.integers(len(slots))]
        views[view][key] = self.wrong_word(key, views[view][key], rng)
        return views[0], list(views[1:])

    def wrong_word(self, key: str, right: str, rng: np.random.Generator) -> str:
        """Another word of the same kind, always different from the right one."""
        words = self.countries if key == "country" else VOCABULARY[key]
        others = [word for word in words if word != right]
        return others[rng.integers(len(others))] if others else f"not {right}"


def pairing_completion(ground: Facts, tiles: Mapping[str, Facts], conclusion: str) -> str:
    """The chain that compares direction by direction, with its answer.

    Args:
        ground: Facts of the panorama: ``climate``, ``hemisphere``, ``traffic`` and the four directions.
        tiles: Letter -> facts of the tile: the four directions.
        conclusion: The letter to conclude.

    >>> words = {"north": "water", "east": "sand", "south": "field", "west": "forest"}
    >>> text = pairing_completion({"climate": "arid", "hemisphere": "north", "traffic": "right", **words},
    ...                           {"A": {**words, "north": "sand"}, "B": words}, "B")
    >>> text[:101]
    '<think> climate arid hemisphere north traffic right . north ground water A sand other B water same . '
    >>> text[text.index("west"):]
    'west ground forest A forest same B forest same . matches A 3 B 4 . so tile B </think> <answer> B </answer>'
    """
    region = " ".join(f"{key} {ground[key]}" for key in REGION_KEYS)
    return (
        f"<think> {region} . {comparison(ground, tiles)} so tile {conclusion} </think> <answer> {conclusion} </answer>"
    )


def geolocation_completion(facts: Facts, *, latitude_deg: float, longitude_deg: float) -> str:
    """The chain from cues to country, with whole-degree coordinates as its answer.

    Args:
        facts: All of ``GEOLOCATION_KEYS``.
        latitude_deg: WGS84, rounded to whole degrees in the answer.
        longitude_deg: WGS84, rounded likewise.
    """
    seen = " ".join(f"{key} {facts[key]}" for key in DIRECTIONS)
    region = " ".join(f"{key} {facts[key]}" for key in (*REGION_KEYS, "coast", "relief"))
    answer = f"{round(latitude_deg)} , {round(longitude_deg)}"
    return f"<think> {seen} . {region} . country {facts['country']} </think> <answer> {answer} </answer>"


def unmatched_pairing(
    hood: Neighbourhoods,
    *,
    n: int,
    candidates: int,
    teacher: Teacher,
    conclusion: str = "random",
    lookalikes: float = 0.0,
    seed: int = 0,
) -> Iterator[Draft]:
    """Pairing chains about train panoramas beside tiles of other places only.

    Args:
        hood: The pairs, with the rule for negatives.
        n: How many; every train panorama is used before any is used again, each time with other tiles.
        candidates: K.
        teacher: Writes the chains.
        conclusion: ``random`` draws the concluding letter evenly; ``most_same`` names the tile with the most matches by
            the chain's own words (ties drawn), which teaches to conclude from the comparison, still without any label.
        lookalikes: Share of chains in which one tile, at a random place, is exchanged for one of another neighbourhood
            that agrees with the panorama in three or four directions. Tiles of one neighbourhood never agree in so
            many, and a form that is taught without high counts cannot be kept when one occurs.
        seed: Decides tiles, letters and errors.

    Raises:
        NegativesError: A panorama has fewer than ``candidates`` other places in its neighbourhood.
    """
    letters = letters_of(candidates)
    rng = np.random.default_rng([seed, 21])
    prompt = pairing_prompt(letters)
    for turn, number in _cycle(_described(hood, PAIRING_KEYS), n, rng):
        pair = hood.pairs[number]
        chosen = hood.choose(number, candidates, rng)
        if rng.random() < lookalikes and (far := hood.lookalike(number, MANY_MATCHES, rng)) is not None:
            chosen[rng.integers(candidates)] = (far, None)
        options = [
            candidate_of(hood.pairs[other], letter, distance)
            for letter, (other, distance) in zip(letters, chosen, strict=True)
        ]
        ground, tiles = teacher.perceive(pair.facts, [option.facts for option in options], rng)
        seen = dict(zip(letters, tiles, strict=True))
        letter = letters[rng.integers(candidates)] if conclusion == "random" else _most_same(ground, seen, rng)
        yield _draft(
            f"{pair.pair_id}/unmatched{turn}", pair, options, prompt, pairing_completion(ground, seen, letter), 0
        )


def labelled_pairing(questions: Sequence[Question], *, n: int, teacher: Teacher, seed: int = 0) -> Iterator[Draft]:
    """The same chains about real questions, concluding with the right letter: each shows one pairing label.

    Args:
        questions: Train questions, taken from the first on.
        n: How many, at most ``len(questions)``; questions without facts are passed over.
        teacher: Writes the chains.
        seed: Decides errors.
    """
    rng = np.random.default_rng([seed, 22])
    described = [question for question in questions if _has_facts(question.facts, PAIRING_KEYS)]
    for question in described[:n]:
        options = question.candidates
        ground, tiles = teacher.perceive(question.facts, [option.facts for option in options], rng)
        seen = {option.letter: tile for option, tile in zip(options, tiles, strict=True)}
        text = pairing_completion(ground, seen, question.answer)
        prompt = pairing_prompt(tuple(seen))
        yield _draft(f"{question.question_id}/labelled", question, options, prompt, text, 1)


def geolocation(hood: Neighbourhoods, *, n: int, teacher: Teacher, seed: int = 0) -> Iterator[Draft]:
    """Geolocation chains about train panoramas.

    Args:
        hood: The pairs; those without position or without all of ``GEOLOCATION_KEYS`` are passed over.
        n: How many; every panorama is used before any is used again.
        teacher: Writes the chains.
        seed: Decides order and errors.
    """
    rng = np.random.default_rng([seed, 23])
    numbers = [k for k in _described(hood, GEOLOCATION_KEYS) if hood.pairs[k].latitude_deg is not None]
    prompt = geolocation_prompt()
    for turn, number in _cycle(numbers, n, rng):
        pair = hood.pairs[number]
        assert pair.latitude_deg is not None and pair.longitude_deg is not None
        facts, longitude_deg = dict(pair.facts), pair.longitude_deg
        if rng.random() < teacher.error_rate:
            slot = (*GEOLOCATION_KEYS, "coordinates")[rng.integers(len(GEOLOCATION_KEYS) + 1)]
            if slot == "coordinates":
                moved = longitude_deg + rng.uniform(*COORDINATE_ERROR_DEG)
                longitude_deg = moved if moved <= 180.0 else moved - 360.0
            else:
                facts[slot] = teacher.wrong_word(slot, facts[slot], rng)
        text = geolocation_completion(facts, latitude_deg=pair.latitude_deg, longitude_deg=longitude_deg)
        yield _draft(f"{pair.pair_id}/geolocation{turn}", pair, (), prompt, text, 0)


def _draft(
    scaffold_id: str,
    ground: Pair | Question,
    options: Sequence[Candidate],
    prompt: str,
    completion: str,
    pairing_labels_seen: int,
) -> Draft:
    scaffold = Scaffold(
        scaffold_id=scaffold_id,
        kind="pairing" if options else "geolocation",
        split=ground.split,
        images=(ground.ground_image, *(option.satellite_image for option in options)),
        prompt=prompt,
        completion=completion,
        n_facts=0,
        pairing_labels_seen=pairing_labels_seen,
    )
    return Draft(scaffold, Metadata.of(ground, options))


def _has_facts(facts: Facts, keys: Sequence[str]) -> bool:
    return all(key in facts for key in keys)


def _described(hood: Neighbourhoods, keys: Sequence[str]) -> list[int]:
    return [k for k, pair in enumerate(hood.pairs) if pair.split == "train" and _has_facts(pair.facts, keys)]


def _cycle(numbers: Sequence[int], n: int, rng: np.random.Generator) -> Iterator[tuple[int, int]]:
    """``n`` times (round, number): all numbers in random order, then again in another order."""
    for start in range(0, n if numbers else 0, max(1, len(numbers))):
        for number in rng.permutation(np.array(numbers))[: n - start]:
            yield start // len(numbers), int(number)


def _most_same(ground: Facts, tiles: Mapping[str, Facts], rng: np.random.Generator) -> str:
    counts = {letter: matches(ground, tile) for letter, tile in tiles.items()}
    best = [letter for letter, count in counts.items() if count == max(counts.values())]
    return best[rng.integers(len(best))]
