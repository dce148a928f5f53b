r"""Make text from files and tags safe to display.

Names and tags may hold terminal escapes, newlines, bidirectional overrides, bytes that are not
UTF-8, and spreadsheet formulas. Control characters become visible: ``\x1b``, ``\u202e``.
"""

from __future__ import annotations

import difflib
import os
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

# A tag may hold a megabyte, or a thousand genres; a report must not be flooded by one file.
_MAX_WORD, _MAX_WORDS = 80, 20

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_BREAKS = {"\u2028", "\u2029"}
_DIRECTION = set("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def _escape(char: str) -> str:
    """Return a character, or its escape if a terminal would act on it."""
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is not UTF-8, as surrogateescape keeps it
        return f"\\x{code - 0xDC00:02x}"
    category = unicodedata.category(char)
    if char in _DIRECTION or char in _BREAKS or category in ("Cc", "Cs", "Cn", "Co"):
        return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
    return char


def escape_control(text: str | Path) -> str:
    """Return text with control characters escaped."""
    raw = os.fspath(text)
    return raw if raw.isascii() and raw.isprintable() else "".join(map(_escape, raw))


def is_unicode(name: str) -> bool:
    """Return whether a name is free of surrogates, which stand for bytes that are not UTF-8."""
    return not any(0xD800 <= ord(char) <= 0xDFFF for char in name)


def cell(text: str) -> str:
    """Return text for a CSV cell: control characters escaped, formulas disarmed."""
    safe = escape_control(text)
    return "'" + safe if safe.startswith(_FORMULA) else safe


def word(genre: str) -> str:
    """Return a genre for display: control characters escaped, a very long one cut."""
    safe = escape_control(genre)
    return safe if len(safe) <= _MAX_WORD else f"{safe[: _MAX_WORD - 1]}…"


def all_words(genres: Sequence[str]) -> list[str]:
    """Return genres for display, each cut as by ``word``; many end with how many more there are."""
    shown = [word(genre) for genre in genres[:_MAX_WORDS]]
    more = len(genres) - len(shown)
    return [*shown, f"{more:,} more"] if more else shown


def words(genres: Sequence[str]) -> str:
    """Return genres joined by commas, or a dash if there are none."""
    return ", ".join(all_words(genres)) if genres else "—"


def count_windows(windows: int, piece: float) -> str:
    """Return ``8 windows`` or, for pieces of a length in s, ``12 pieces of 5 s``."""
    return f"{count(windows, 'piece')} of {piece:g} s" if piece else count(windows, "window")


def two_digits(share: float) -> str:
    """Return a share (0 to 1) with two digits, rounded down.

    A confidence of 0.696 must not look like 0.70 when 0.70 is the threshold.
    """
    return f"{round_down(share, 2):.2f}"


def round_down(share: float, digits: int) -> float:
    """Return a share (0 to 1) rounded down to decimal digits; float noise is no digit."""
    scale = 10.0**digits
    return int(share * scale + 1e-9) / scale


def count(number: int, noun: str) -> str:
    """Return a number with its noun: ``1 file``, ``2,000 files``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def suggestion(name: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """Return ``; did you mean X?`` with the nearest known name; empty if none is similar.

    ``cutoff``: the least similarity, 0 to 1, as ``difflib`` computes it.
    """
    near = difflib.get_close_matches(name, list(known), 1, cutoff)
    return f"; did you mean {near[0]}?" if near else ""


def suggestion_or_all(name: str, known: Iterable[str]) -> str:
    """Return ``; did you mean X?`` or, if no known name is similar, ``; there are A, B``."""
    names = list(known)
    return suggestion(name, names) or f"; there are {', '.join(names)}"
