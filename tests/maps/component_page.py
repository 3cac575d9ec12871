"""A small page with parts of the inspector over hand-made rows, for tests of one part at a time.

The rows are written as the page's own blob, so that the page's data.js and state.js read them; the strings are not
cleaned on the way, as they are for a real page, so that a part meets what it must never be hurt by.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import Page

from geor1.geodesy import haversine_km
from geor1.maps.frame import asset, leaflet_script
from geor1.maps.text import script_json

OUTCOMES = ["right", "wrong", "located", "unusable"]
LETTERS = "ABCDEFGH"
DTYPES = {"u1": "u8", "u2": "u16", "u4": "u32", "i4": "i32", "f4": "f32"}
CORE = ("geometry.js", "data.js", "state.js", "order.js", "search.js", "words.js")
STYLES = ("theme.css", "inspector.css", "table.css", "card.css", "export.css")

HOSTILE = [
    "<script>window.hurt = 1</script>",
    "<img src=x onerror=\"window.hurt = 1\"> & <svg onload='window.hurt=1'>",
    "javascript:window.hurt=1",
    "</script></textarea></style>--><script>window.hurt=1</script>",
    "\ud800 lone \udfff surrogates",
    "NUL \x00 and \x1b[31m controls",
    "\u202egnp.exe right to left \u202c \u05e9\u05dc\u05d5\u05dd \u0627\u0644\u0633\u0644\u0627\u0645",
    "=HYPERLINK(\"http://evil.example\",\"x\")",
    "__proto__",
    "{{7*7}} ${7*7} %00 %2e%2e/ #&=+;?",
    'a "quoted", comma\r\nand lines\u2028\u2029',
]  # fmt: skip
"""What completions, names of models and of files may hold."""


def row(**fields: Any) -> dict[str, Any]:
    """One geolocation row with a truth at (10, 20) and a guess at (11, 21), or what the fields say.

    ``truth`` and ``guess`` are (latitude, longitude) in degrees or None; ``choice`` and ``answer`` letters (they make a
    pairing row); ``rewards`` name -> value; ``facts`` (true, stated); ``pictures`` [(role, letter, thumbnail)];
    ``marks`` [(begin, end, holds)]; ``slices`` name -> value.
    """
    pairing = "answer" in fields
    values = {
        "model": "grpo", "condition": "normal", "item": "photo-1", "rotation": 0, "sample": 0, "text": "",
        "status": "ok",
        "place": "", "guessed": "", "truth": (10.0, 20.0), "guess": None if pairing else (11.0, 21.0), "choice": None,
        "answer": None, "rewards": {}, "facts": (0, 0), "tokens": None, "finished": True, "pictures": [], "marks": [],
        "slices": {}, "country": "Chad", "continent": "Africa", "climate": "BWh",
    }  # fmt: skip
    values |= fields
    values["task"] = int(pairing)
    usable = values["choice"] if pairing else values["guess"]
    good = "right" if values["choice"] == values["answer"] else "wrong"
    values.setdefault("outcome", "unusable" if not usable else good if pairing else "located")
    values["km"] = np.nan
    if values["truth"] and values["guess"]:
        (lat1, lon1), (lat2, lon2) = values["truth"], values["guess"]
        values["km"] = float(haversine_km(lat1=lat1, lon1=lon1, lat2=lat2, lon2=lon2))
    return values


class _Names(list):
    """Distinct strings in order of first appearance."""

    def codes(self, values: Iterable[str], width: str) -> np.ndarray:
        """Index of each value, adding what is new."""
        index = {name: k for k, name in enumerate(self)}
        found = np.array([index.setdefault(value, len(index)) for value in values], width)
        self[:] = list(index)
        return found


def _ranks(rows: Sequence[dict[str, Any]]) -> np.ndarray:
    def badness(values):
        if not np.isnan(values["km"]):
            return (2, values["km"])
        return {"wrong": (2, 0), "unusable": (1, 0)}.get(values["outcome"], (0, 0))

    order = sorted(range(len(rows)), key=lambda i: badness(rows[i]), reverse=True)
    ranks = np.empty(len(rows), "u4")
    ranks[order] = np.arange(len(rows))
    return ranks


def _columns(rows: Sequence[dict[str, Any]]) -> tuple[dict[str, np.ndarray], dict[str, list[str]], dict[str, Any]]:
    columns: dict[str, np.ndarray] = {}
    tables = {name: _Names() for name in ("model", "condition", "status", "country", "continent", "climate")}
    stores = {name: _Names() for name in ("item", "text", "label")}
    for name, width in (
        ("model", "u2"),
        ("condition", "u1"),
        ("status", "u2"),
        ("country", "u2"),
        ("continent", "u1"),
        ("climate", "u1"),
    ):
        columns[name] = tables[name].codes((values[name] for values in rows), width)
    for name, store in (("item", "item"), ("text", "text"), ("place", "label"), ("guessed", "label")):
        columns[name] = stores[store].codes((values[name] for values in rows), "u4")
    for name, width in (("task", "u1"), ("rotation", "u1"), ("sample", "u2"), ("km", "f4"), ("finished", "u1")):
        columns[name] = np.array([values[name] for values in rows]).astype(width)
    for name, field, k in (("tlat", "truth", 0), ("tlon", "truth", 1), ("plat", "guess", 0), ("plon", "guess", 1)):
        columns[name] = np.array([values[field][k] if values[field] else np.nan for values in rows], "f4")
    for name in ("choice", "answer"):
        columns[name] = np.array([LETTERS.index(values[name]) if values[name] else 255 for values in rows], "u1")
    columns["outcome"] = np.array([OUTCOMES.index(values["outcome"]) for values in rows], "u1")
    columns["tokens"] = np.array([-1 if values["tokens"] is None else values["tokens"] for values in rows], "i4")
    columns["facts_true"], columns["facts_stated"] = np.array([values["facts"] for values in rows], "u2").T
    columns["rank"] = _ranks(rows)
    rewards = list(dict.fromkeys(name for values in rows for name in values["rewards"]))
    for k, name in enumerate(rewards):
        columns[f"reward:{k}"] = np.array([values["rewards"].get(name, np.nan) for values in rows], "f4")
    slices = []
    for k, name in enumerate(dict.fromkeys(name for values in rows for name in values["slices"])):
        tables[f"slice:{k}"] = _Names()
        columns[f"slice:{k}"] = tables[f"slice:{k}"].codes(
            (values["slices"].get(name, "none") for values in rows), "u2"
        )
        slices.append({"name": name, "column": f"slice:{k}", "table": f"slice:{k}"})
    columns |= _ragged(rows) | _strings(stores)
    return (
        columns,
        {name: list(table) for name, table in tables.items()} | {"letter": list(LETTERS)},
        {"rewards": rewards, "slices": slices},
    )


def _ragged(rows: Sequence[dict[str, Any]]) -> dict[str, np.ndarray]:
    pictures = [picture for values in rows for picture in values["pictures"]]
    marks = [mark for values in rows for mark in values["marks"]]
    return {
        "picset": np.arange(len(rows), dtype="u4"),
        "picset.start": _starts(rows, "pictures"),
        "pic.role": np.array([role == "tile" for role, _, _ in pictures], "u1"),
        "pic.letter": np.array([LETTERS.index(letter) if letter else 255 for _, letter, _ in pictures], "u1"),
        "pic.thumb": np.array([thumb for _, _, thumb in pictures], "i4"),
        "fact.start": _starts(rows, "marks"),
        **{
            f"fact.{name}": np.array([mark[k] for mark in marks], width)
            for k, (name, width) in enumerate((("begin", "u4"), ("end", "u4"), ("holds", "u1")))
        },
    }


def _starts(rows: Sequence[dict[str, Any]], field: str) -> np.ndarray:
    return np.cumsum([0, *(len(values[field]) for values in rows)]).astype("u4")


def _strings(stores: dict[str, Sequence[str]]) -> dict[str, np.ndarray]:
    columns = {}
    for name, values in stores.items():
        encoded = [value.encode("utf-8", "surrogatepass") for value in values]
        columns[f"{name}.offsets"] = np.cumsum([0, *map(len, encoded)]).astype("u4")
        columns[f"{name}.bytes"] = np.frombuffer(b"".join(encoded), "u1")
    return columns


def write_blob(rows: Sequence[dict[str, Any]], thumbs: Sequence[str], **header: Any) -> str:
    """The rows as the text of ``#geor1-blob``."""
    columns, tables, more = _columns(rows)
    columns["thumb.offsets"] = np.cumsum([0, *map(len, thumbs)]).astype("u4")
    sections, placed, offset = [], {}, 0
    for name, column in columns.items():
        body = column.tobytes()
        placed[name] = [DTYPES[column.dtype.str[1:]], offset, len(column)]
        body += bytes(-len(body) % 8)
        sections.append(body)
        offset += len(body)
    models = tables["model"]
    head = {
        "version": 2, "n": len(rows), "columns": placed, "tables": tables, "title": "A page of parts",
        "outcomes": OUTCOMES,
        "model_colours": [["#CC79A7", "#E69F00", "#56B4E9", "#332288"][k % 4] for k in range(len(models))],
        "thresholds_km": [1, 25, 200, 750, 2500], "thumb_type": "image/png", "colours": {}, **more, **header,
    }  # fmt: skip
    text = json.dumps(head).encode()
    text += b" " * (-(4 + len(text)) % 8)
    return base64.b64encode(
        gzip.compress(len(text).to_bytes(4, "little") + text + b"".join(sections), mtime=0)
    ).decode()


def until(page: Page, expression: str, seconds: float = 10.0) -> None:
    """Wait until a JavaScript expression holds. (Playwright's own waiting evaluates strings; the policy forbids it.)"""
    end = time.monotonic() + seconds
    while not page.evaluate(f"Boolean({expression})"):
        assert time.monotonic() < end, f"not so within {seconds:g} s: {expression}"
        page.wait_for_timeout(20)


def write_page(
    path: Path, rows: Sequence[dict[str, Any]], script: str, *, scripts: Sequence[str] = (), thumbs: Sequence[str] = (),
    blob: str | None = None, leaflet: bool = True, **header: Any,
) -> Path:  # fmt: skip
    """A page under the inspector's own policy.

    Args:
        path: Where to write it.
        rows: From :func:`row`.
        script: Run with ``data``, ``state`` and ``root`` (the body's main element); may await. ``follow(part)`` lets
            parts follow the state, as the page does.
        scripts: Assets beside the core.
        thumbs: Base64 bodies of PNG pictures.
        blob: Instead of the rows'.
        leaflet: Whether Leaflet is there, which geometry.js needs.
        header: Entries of the blob's header.
    """
    start = (
        "(async () => { const data = await geor1.Data.load(), state = new geor1.State(data);"
        "const root = document.querySelector('main'); Object.assign(window, { data, state, root });"
        "document.documentElement.dataset.theme = geor1.isDark('auto') ? 'dark' : 'light';"
        "const follow = (...parts) => { state.on((changed) => parts.forEach((part) => part.update(changed)));"
        "const all = new Set([...Object.keys(state.values), 'rows', 'window']);"
        "parts.forEach((part) => part.update(all)); };"
        f"{script}; document.body.dataset.ready = 'true'; }})();"
    )
    code = [*([leaflet_script()] if leaflet else []), *(asset(name) for name in (*CORE, *scripts)), start]
    hashes = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in code)
    policy = (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    layout = "html, body { height: 100% !important; } body { display: block; } main { height: 100%; display: flex; "
    layout += "flex-direction: column; }"
    style = "\n".join([*(asset(name) for name in STYLES), layout])
    path.write_text(
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>parts</title>'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        f'<meta name="viewport" content="width=device-width"><style>{style}</style></head><body><main></main>'
        f'<script type="text/plain" id="geor1-blob">{blob or write_blob(rows, thumbs, **header)}</script>'
        f'<script type="text/plain" id="geor1-pictures">{"".join(thumbs)}</script>'
        f'<script type="application/json" id="names">{script_json(HOSTILE)}</script>'
        + "".join(f"<script>{text}</script>" for text in code)
        + "</body></html>",
        encoding="utf-8",
    )
    return path
