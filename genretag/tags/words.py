"""Genre words that say something, and such that say nothing."""

from __future__ import annotations

#: A genre that says nothing counts as an empty one.
GENERIC = frozenset(
    """other|others|unknown|misc|misc.|miscellaneous|music|genre|none|default|undefined|unclassifiable|unclassified
    |n/a|<unknown>|(unknown)|[unknown]|no genre|not set|unknown genre|genre unknown|other genre|genre (unknown)
    """.replace("\n", "")
    .replace("    ", "")
    .split("|")
)


def is_generic(word: str) -> bool:
    """Return whether a genre says nothing (Other, Unknown, Misc, Music ...)."""
    folded = " ".join(word.split()).casefold()
    return not folded or folded in GENERIC


def meaningful(genres: list[str]) -> list[str]:
    """Return the genres that say something."""
    return [g for g in genres if not is_generic(g)]
