"""Prompts for the teacher: one text file a template, so that another is added without touching code.

A file begins with ``key: value`` lines, then a line ``---``, then the prompt. Keys:

``name``      of the template, as it is chosen by.
``task``      ``pairing`` or ``geolocation``: which question the student is asked, and what form the answer has.
``tiles``     which tiles are shown: ``own`` (the place's own tile alone), ``all`` (every option) or ``none``.
``told``      whether the teacher is told the right answer: ``yes`` or ``no``.
``given``     metadata that the teacher is given, of ``FIELDS``, separated by commas; unknown ones are left out.
``steps``     headings that the chain must have, in this order, separated by semicolons; the last is its conclusion.
``hidden``    phrases that must not occur in the chain, separated by semicolons, besides those of :mod:`.leaks`.

In the prompt, ``{images}`` (required, once) becomes the images with their labels, ``{facts}`` the metadata,
``{answer}`` the right answer, ``{letters}`` the option letters, ``{steps}`` the headings, ``{min_words}`` and
``{max_words}`` limits.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path

from geor1.answers import IMAGE_MARKER
from geor1.runs import ConfigError
from geor1.synthesis.teacher.places import Place

TASKS = ("pairing", "geolocation")
TILES = ("own", "all", "none")
FIELDS = ("city", "country", "climate", "hemisphere", "driving_side", "coast", "relief", "coordinates")
PLACEHOLDERS = ("images", "facts", "answer", "letters", "steps", "min_words", "max_words")
SHIPPED = ("positive", "distractors", "search", "geolocation")
_KEYS = ("name", "task", "tiles", "told", "given", "steps", "hidden")
_PLACEHOLDER = re.compile(r"\{(\w+)\}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Template:
    """A prompt and the rules of what it may bring forth; see the module's text.

    Attributes:
        name: Chosen by, and kept with every generation.
        task: ``pairing`` or ``geolocation``.
        tiles: ``own``, ``all`` or ``none``.
        told: Whether the teacher knows the right answer.
        given: Metadata fields that it is given.
        steps: Headings of the chain; the last is its conclusion.
        hidden: Phrases that must not occur in the chain, lower case.
        text: The prompt with its placeholders.
    """

    name: str
    task: str
    tiles: str
    told: bool
    given: tuple[str, ...]
    steps: tuple[str, ...]
    hidden: tuple[str, ...]
    text: str

    def __post_init__(self) -> None:
        where = f"template {self.name!r}"
        if not self.name or "/" in self.name:  # a part of every scaffold's id, between slashes
            raise ConfigError(f"{where}: expected a name without '/'; change it in the template's head")
        _one_of(where, "task", self.task, TASKS)
        _one_of(where, "tiles", self.tiles, TILES)
        if (self.tiles == "none") != (self.task == "geolocation"):
            raise ConfigError(f"{where}: tiles={self.tiles!r} does not fit task={self.task!r}; geolocation shows none")
        for field in self.given:
            _one_of(where, "given", field, FIELDS)
        if len(self.steps) < 2:
            raise ConfigError(f"{where}: steps={self.steps}: expected two headings or more, the last its conclusion")
        used = _PLACEHOLDER.findall(self.text)
        unknown = sorted(set(used) - set(PLACEHOLDERS))
        if unknown:
            raise ConfigError(f"{where}: unknown placeholder {{{unknown[0]}}}; there are {', '.join(PLACEHOLDERS)}")
        if used.count("images") != 1 or IMAGE_MARKER in self.text:
            raise ConfigError(f"{where}: expected {{images}} once and no {IMAGE_MARKER}; images stand where it stands")
        if self.told != ("answer" in used):
            raise ConfigError(
                f"{where}: told={self.told}, but {{answer}} {'is not' if self.told else 'is'} in the prompt"
            )


def load_template(name_or_path: str) -> Template:
    """A shipped template by its name, or one from a text file.

    Raises:
        ConfigError: No such template, or the file does not fit; the message names it.
    """
    path = Path(name_or_path)
    if name_or_path in SHIPPED:
        text = resources.files("geor1.synthesis.teacher").joinpath("templates", f"{path}.txt").read_text("utf-8")
    elif path.is_file():
        text = path.read_text(encoding="utf-8")
    else:
        raise ConfigError(
            f"template {name_or_path!r}: expected one of {', '.join(SHIPPED)}, or a text file; found neither"
        )
    return parse_template(text, name_or_path)


def parse_template(text: str, where: str) -> Template:
    """A template from the text of its file.

    Raises:
        ConfigError: The head or the prompt does not fit.
    """
    head, divider, prompt = text.partition("\n---\n")
    if not divider or not prompt.strip():
        raise ConfigError(f"template {where}: expected 'key: value' lines, a line '---', and the prompt")
    values: dict[str, str] = {}
    for number, line in enumerate(head.splitlines(), start=1):
        key, colon, value = line.partition(":")
        if not line.strip() or line.startswith("#"):
            continue
        if not colon or key.strip() not in _KEYS or key.strip() in values:
            raise ConfigError(
                f"template {where} line {number}: expected one of {', '.join(_KEYS)}, each once, got {line!r}"
            )
        values[key.strip()] = value.strip()
    missing = [key for key in _KEYS if key not in values and key != "hidden"]
    if missing:
        raise ConfigError(f"template {where}: {missing[0]} is missing; its head needs {', '.join(_KEYS[:-1])}")
    _one_of(f"template {where}", "told", values["told"], ("yes", "no"))
    return Template(
        name=values["name"],
        task=values["task"],
        tiles=values["tiles"],
        told=values["told"] == "yes",
        given=_list(values["given"], ","),
        steps=_list(values["steps"], ";"),
        hidden=tuple(phrase.lower() for phrase in _list(values.get("hidden", ""), ";")),
        text=prompt.strip(),
    )


def render(
    template: Template, *, letters: Sequence[str], answer: str, place: Place, min_words: int, max_words: int
) -> str:
    """The prompt for one question, an image marker for the panorama and for each tile.

    Args:
        template: Which.
        letters: Letters of the tiles shown, in order; empty for geolocation.
        answer: The right answer, as the student is to write it; only used if the template tells it.
        place: What is known of the panorama's place.
        min_words: Shortest chain asked for.
        max_words: Longest chain asked for.
    """
    tiles = " ".join(f"{letter}: {IMAGE_MARKER}" for letter in letters)
    filled = {
        "images": f"Ground panorama: {IMAGE_MARKER}" + (f" Satellite tiles: {tiles}" if letters else ""),
        "facts": facts_text(template.given, place),
        "answer": answer,
        "letters": ", ".join(letters),
        "steps": "\n".join(f"{step}:" for step in template.steps),
        "min_words": str(min_words),
        "max_words": str(max_words),
    }
    return _PLACEHOLDER.sub(lambda match: filled[match[1]], template.text)  # once: metadata are not templates


def facts_text(fields: Sequence[str], place: Place) -> str:
    """What is known of a place, one fact a line, in the words that the fact check reads.

    >>> facts_text(("country", "driving_side", "coast"), Place(country="Japan", driving_side="left"))
    '- country: Japan\\n- driving side: left'
    """
    known = _known(place)
    lines = [f"- {field.replace('_', ' ')}: {' '.join(known[field].split())}" for field in fields if known.get(field)]
    return "\n".join(line.replace(IMAGE_MARKER, "") for line in lines) or "- nothing"


def _known(place: Place) -> Mapping[str, str]:
    climate = place.climate or ""
    if place.koppen_here:
        climate = f"{climate} (Köppen {place.koppen_here})".strip()
    coast = {"yes": "coastal", "no": "inland"}.get(place.coast or "", "")
    position = ""
    if place.latitude_deg is not None and place.longitude_deg is not None:
        position = f"{place.latitude_deg:.1f} , {place.longitude_deg:.1f}"
    return {
        "city": place.city or "",
        "country": place.country or "",
        "climate": climate,
        "hemisphere": place.hemisphere or "",
        "driving_side": place.driving_side or "",
        "coast": coast,
        "relief": place.relief or "",
        "coordinates": position,
    }


def _list(text: str, separator: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(separator) if part.strip())


def _one_of(where: str, key: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise ConfigError(f"{where}: {key}={value!r}: expected one of {', '.join(allowed)}")
