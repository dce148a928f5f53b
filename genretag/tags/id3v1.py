"""The genres of ID3v1 by number; ID3v2 took the numbers over as text."""

from __future__ import annotations

import functools
import re

#: The genre byte of ID3v1 for a genre without a number.
NO_NUMBER = 255

_NUMBERED = re.compile(r"\((\d{1,3}|RX|CR)\)")
_SPECIAL = {"RX": "Remix", "CR": "Cover"}


@functools.cache
def _table() -> tuple[str, ...]:
    """Return the genres by number; mutagen is not imported where nobody asks for one."""
    from mutagen._constants import GENRES

    return tuple(map(str, GENRES))


def by_number(number: str) -> str:
    """Return the genre with a number of ID3v1's table; an unknown number is ``Unknown``."""
    if number in _SPECIAL:
        return _SPECIAL[number]
    index, genres = int(number), _table()
    return genres[index] if index < len(genres) else "Unknown"


def resolve(text: str) -> list[str]:
    """Return the genres of one ID3 value.

    ``(17)`` and ``17`` are Rock, ``(4)Eurodisco`` is Disco and Eurodisco, ``17/80`` is Rock and
    Folk.
    """
    words = []
    rest = text.strip()
    while match := _NUMBERED.match(rest):
        words.append(by_number(match.group(1)))
        rest = rest[match.end() :]
    rest = rest.removeprefix("(") if rest.startswith("((") else rest
    rest = rest.strip()
    parts = [part.strip() for part in rest.split("/")]
    if all(_is_number(part) for part in parts):
        words += [by_number(part) for part in parts]
    elif rest:
        words.append(rest)
    return list(dict.fromkeys(words))


def _is_number(text: str) -> bool:
    return text in _SPECIAL or (text.isascii() and text.isdigit() and len(text) <= 3)


def number_of(word: str) -> int:
    """Return a genre's number in ID3v1's table, or ``NO_NUMBER``."""
    folded = word.casefold()
    return next((i for i, g in enumerate(_table()) if g.casefold() == folded), NO_NUMBER)


def listed() -> list[str]:
    """Return the genres of ID3v1 and Winamp in the order of their numbers."""
    return list(_table())
