"""Making untrusted text safe to show: completions, file names and metadata are data, never markup.

Three hazards are handled here, once: characters that no file or font can carry (lone surrogates, NUL and other control
characters), text of any length, and JSON that stands inside a ``<script>`` element.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_UNSAFE_IN_SCRIPT = re.compile("[<>&\\u2028\\u2029\\u007f-\\u009f\\ufffe\\uffff]")


def clean_text(text: str, limit: int | None = None) -> str:
    """Text that survives UTF-8, HTML and fonts: control characters become visible, lone surrogates U+FFFD.

    A byte order mark, which decoders drop at a text's start, becomes the word joiner that is meant for its place.

    Args:
        text: Anything.
        limit: Longest result in characters before the note on what was left out; None for no limit.

    Returns:
        The text, with newlines as ``\\n``. Markup is left as it is: escaping belongs to whoever writes the markup.

    >>> clean_text("a\\x00b\\r\\nc")
    'a␀b\\nc'
    >>> clean_text("abcdef", limit=4)
    'abcd … [2 more characters]'
    """
    rest = 0
    if limit is not None and len(text) > limit:
        text, rest = text[:limit], len(text) - limit
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = _CONTROL.sub(lambda match: "␡" if match.group() == "\x7f" else chr(0x2400 + ord(match.group())), text)
    text = _SURROGATE.sub("\ufffd", text).replace("\ufeff", "\u2060")
    return f"{text} … [{rest} more characters]" if rest else text


def plain_text(text: str, limit: int | None = None) -> str:
    """Like :func:`clean_text` on one line, for titles, labels and legends.

    >>> plain_text("two\\n lines ")
    'two lines'
    """
    return clean_text(" ".join(text.split()), limit)


def script_json(value: Any) -> str:
    """JSON that may stand inside ``<script type="application/json">`` whatever strings it holds.

    No ``<``, ``>`` or ``&`` remains, so that neither ``</script`` nor ``<!--`` can occur; U+2028/9 and lone surrogates
    are escaped too. ``JSON.parse`` and ``json.loads`` give the value back unchanged.

    Args:
        value: JSON-able; every float must be finite (see :func:`finite`).

    Raises:
        ValueError: A float is NaN or infinite.

    >>> script_json(["</script>"])
    '["\\\\u003c/script\\\\u003e"]'
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    text = _SURROGATE.sub(_escape, text)
    return _UNSAFE_IN_SCRIPT.sub(_escape, text)


def finite(value: float | None, digits: int) -> float | None:
    """The value rounded, or None for NaN and infinities (JSON has no word for them).

    >>> finite(1.23456, 2), finite(float("nan"), 2)
    (1.23, None)
    """
    if value is None or not math.isfinite(value):
        return None
    return round(float(value), digits)


def _escape(match: re.Match[str]) -> str:
    return f"\\u{ord(match.group()):04x}"
