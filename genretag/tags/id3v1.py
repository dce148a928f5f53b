"""ID3v1's table: genres as numbers, which ID3v2 took over as text."""

from __future__ import annotations

import re

from mutagen._constants import GENRES

#: ID3v1's genre byte where the genre has no number.
NO_NUMBER = 255

_NUMBERED = re.compile(r"\((\d{1,3}|RX|CR)\)")
_SPECIAL = {"RX": "Remix", "CR": "Cover"}


def by_number(number: str) -> str:
    """Return the word for a number of ID3v1's table, as text; unknown numbers say nothing."""
    if number in _SPECIAL:
        return _SPECIAL[number]
    index = int(number)
    return str(GENRES[index]) if index < len(GENRES) else "Unknown"


def resolve(text: str) -> list[str]:
    """Return the words of one ID3 genre value: ``(17)`` is Rock, ``(4)Eurodisco`` is both, ``17`` is Rock."""
    words = []
    rest = text.strip()
    while match := _NUMBERED.match(rest):
        words.append(by_number(match.group(1)))
        rest = rest[match.end() :]
    rest = rest.removeprefix("(") if rest.startswith("((") else rest
    rest = rest.strip()
    if rest.isascii() and rest.isdigit() and len(rest) <= 3:
        rest = by_number(rest)
    if rest and rest not in words:
        words.append(rest)
    return words


def number_of(word: str) -> int:
    """Return a word's number in ID3v1's table; ``NO_NUMBER`` where it has none."""
    folded = word.casefold()
    return next((i for i, g in enumerate(GENRES) if g.casefold() == folded), NO_NUMBER)


def listed() -> list[str]:
    """Return ID3v1's genres with Winamp's, in the order of their numbers."""
    return list(map(str, GENRES))
