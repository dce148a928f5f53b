"""Genre words as containers spell them: ID3v1's numbers, and words that say nothing."""

from __future__ import annotations

import re

from mutagen._constants import GENRES

#: A genre that says nothing counts as an empty one.
GENERIC = frozenset(
    """other|others|unknown|misc|misc.|miscellaneous|music|genre|none|default|undefined|unclassifiable|unclassified
    |n/a|<unknown>|(unknown)|[unknown]|no genre|not set|unknown genre|genre unknown|other genre|genre (unknown)
    """.replace("\n", "")
    .replace("    ", "")
    .split("|")
)

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


def is_generic(word: str) -> bool:
    """Return whether a genre says nothing (Other, Unknown, Misc, Music ...)."""
    folded = " ".join(word.split()).casefold()
    return not folded or folded in GENERIC


def meaningful(genres: list[str]) -> list[str]:
    """Return the genres that say something."""
    return [g for g in genres if not is_generic(g)]


def id3v1_list() -> list[str]:
    """Return ID3v1's genres with Winamp's, in the order of their numbers."""
    return list(map(str, GENRES))
