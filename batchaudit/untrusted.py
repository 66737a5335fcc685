"""Text from a log, made safe to print: a name in it may be anybody's.

Requires nothing, so that every layer, and an audited process too, can say what it found.
"""

from __future__ import annotations

import re
import unicodedata

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
