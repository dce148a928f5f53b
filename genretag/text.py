r"""Text from files and tags, made safe for where it is seen.

Names and tags may hold terminal escapes, newlines, bidirectional overrides, bytes that are not
UTF-8, and formulas. What would act instead of being read becomes visible: ``\x1b``, ``\u202e``.
"""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_BREAKS = {"\u2028", "\u2029"}
_DIRECTION = set("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def _visible(char: str) -> str:
    """Return a character, or what shows it where it would act."""
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is not UTF-8, as Python keeps it
        return f"\\x{code - 0xDC00:02x}"
    if (
        char in _DIRECTION
        or char in _BREAKS
        or unicodedata.category(char) in ("Cc", "Cs", "Cn", "Co")
    ):
        return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
    return char


def escape_control(text: str | Path) -> str:
    """Return text with everything that would act on a terminal made visible."""
    plain = os.fspath(text)
    return plain if plain.isascii() and plain.isprintable() else "".join(map(_visible, plain))


def cell(text: str) -> str:
    """Return text for a CSV cell: as ``escape_control``, and never a formula."""
    safe = escape_control(text)
    return "'" + safe if safe.startswith(_FORMULA) else safe


def words(genres: list[str]) -> str:
    """Return genres as one line; a dash where there are none."""
    return ", ".join(map(escape_control, genres)) if genres else "—"


def two_digits(share: float) -> str:
    """Return a share with two digits, rounded down: 0.696 must not look like a 0.70 that was left alone."""
    return f"{int(share * 100 + 1e-9) / 100:.2f}"
