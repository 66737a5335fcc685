"""What comes from elsewhere, a log or a saved report: its text made safe to print, its JSON to read.

Requires nothing, so that every layer, and an audited process too, can use it.
"""

from __future__ import annotations

import json
import re
import unicodedata
from typing import Any

# Colours go without a trace: the tracebacks of newer Pythons stay readable, and nothing hides in a colour.
_COLOURS = re.compile(r"(?:\x1b\[|\x9b)[0-9;:]*m")
# Control, format (bidirectional overrides), surrogate, line and paragraph separator.
_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_KEPT = frozenset("\n\u200c\u200d")  # words of some scripts, and emojis, are joined by the last two


def shown(text: str) -> str:
    r"""Makes text from elsewhere safe to print; line breaks stay.

    Args:
        text: anything.

    Returns:
        The text, in which whatever would move a terminal, or turn the direction of what follows, stands as an
        escape that can be seen, such as \x1b; tabs as spaces, colours left out.
    """
    if text.isprintable():  # by far the most, and the fastest to tell
        return text
    text = _COLOURS.sub("", text).replace("\r\n", "\n").expandtabs(4)
    return "".join(char if _is_safe(char) else _escape(char) for char in text)


def shown_line(text: str) -> str:
    """Makes text from elsewhere safe to print within one line: line breaks become blanks."""
    return shown(" ".join(text.split("\n")))


def _is_safe(char: str) -> bool:
    return char in _KEPT or unicodedata.category(char) not in _UNSAFE


def _escape(char: str) -> str:
    code = ord(char)
    if 0xD800 <= code < 0xE000:  # JSON cannot keep it: a saved report would not look like itself
        return "\N{REPLACEMENT CHARACTER}"
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def json_of(text: str | bytes) -> Any:
    """Reads JSON from elsewhere.

    Raises:
        ValueError: it is none, is no UTF-8, is nested more deeply than Python can follow, or holds what JSON
            does not know: NaN or an infinity.
    """
    try:
        return json.loads(text if isinstance(text, str) else text.decode(), parse_constant=_refused)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _refused(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def is_whole(value: object, low: int, high: int) -> bool:
    """Whether a value from JSON is a whole number, and neither below `low` nor above `high`."""
    return type(value) is int and low <= value <= high
