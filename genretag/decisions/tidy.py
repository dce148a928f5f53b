"""Propose one word for each genre that is in the tags: split joined values, group spellings.

Nothing is analysed. A proposal is the vocabulary's word, else the spelling of the built-in tree,
else the most frequent spelling in the library.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property

from genretag.decisions.vocabulary import (
    PARENT_SEPARATOR,
    Vocabulary,
    built_in_tree,
    languages,
    normalise_genre,
    ready_made,
)
from genretag.tags import is_generic
from genretag.tags.id3v1 import listed, resolve

#: Spellings that differ from the tree's by more than case, spaces and punctuation.
_SYNONYMS = {
    **dict.fromkeys(("hiphoprap", "raphiphop", "hiphopandrap", "rapandhiphop"), "Hip-Hop"),
    **dict.fromkeys(("rnb", "rhythmandblues", "rhythmnblues"), "R&B"),
    **dict.fromkeys(("dnb", "drumnbass"), "Drum and Bass"),
    **dict.fromkeys(("rocknroll",), "Rock & Roll"),
}

#: Always separates genres, and separates them only where each part is a genre on its own.
_SEMICOLON, _DOUBTFUL = re.compile(r"\s*;\s*"), re.compile(r"\s*[,/|\\]+\s*|\s+[&+]\s+")

#: Numbers of ID3v1 that a tagger copied as text: (17), 17, (4)Eurodisco.
_NUMBERED = re.compile(r"\(\d{1,3}\).*|\d{1,3}(/\d{1,3})*", re.ASCII | re.DOTALL)

Table = Mapping[str, list[str]]  # value in the tags -> values that replace it; empty: it is removed


@dataclass(frozen=True)
class Tidier:
    """Proposes words for values; ``known`` are further genres beside those of the tree."""

    vocabulary: Vocabulary
    known: frozenset[str] = frozenset()  # normalised

    def propose(self, values: Mapping[str, int]) -> dict[str, list[str]]:
        """Return the words for each value; ``values`` counts the files that have it."""
        parts = {value: self.split(value) for value in values}
        spellings: dict[str, Counter[str]] = defaultdict(Counter)
        for value, inner in parts.items():
            for part in inner:
                spellings[self.key(part)][part] += values[value]
        words = {key: self._words(key, seen) for key, seen in spellings.items()}
        return {
            value: _distinct(
                word
                for part in inner
                # Other says nothing under any spelling; only a person can replace it.
                for word in ([part] if is_generic(part) else words[self.key(part)])
            )
            for value, inner in parts.items()
        }

    def split(self, value: str) -> list[str]:
        """Return the genres that a value joins; the value alone if it is one genre."""
        if is_generic(value) or self._is_own(value):
            return [value.strip() or value]
        if _NUMBERED.fullmatch(value.strip()):
            return [word for word in resolve(value) if not is_generic(word)] or [value]
        parts = [part for part in _SEMICOLON.split(value.strip()) if part]
        if parts == [value.strip()]:
            return self._split_doubtful(value.strip())
        # A part may be a number of ID3v1 in its turn.
        return [genre for part in parts for genre in self.split(part)] or [value]

    def _split_doubtful(self, part: str) -> list[str]:
        """Return the parts between commas, slashes and ampersands if each of them is a genre."""
        inner = [word for word in _DOUBTFUL.split(part) if word]
        if len(inner) < 2 or self._is_one(part) or not all(map(self._is_genre, inner)):
            return [part]
        return inner

    def _is_one(self, joined: str) -> bool:
        """Return whether a text with a separator is one genre: Drum & Bass, but not Jazz, Funk.

        The keys ignore separators, and Jazz-Funk is a genre, too.
        """
        key, spelling = normalise_genre(joined), _with_and(joined).casefold()
        if key in _SYNONYMS or self._is_own(joined):
            return True
        if key in self.known and joined.casefold() in map(str.casefold, listed()):
            return True
        return any(
            _with_and(tree[key]).casefold() == spelling for tree in self._spellings if key in tree
        )

    def _is_genre(self, word: str) -> bool:
        """Return whether a word is a genre."""
        key = normalise_genre(word)
        if key in _SYNONYMS or key in self.known or key in _foreign() or self._is_own(word):
            return True
        return any(key in tree for tree in self._spellings)

    def _is_own(self, word: str) -> bool:
        """Return whether the vocabulary itself says that a word is a genre."""
        return normalise_genre(word) in self._own or self.vocabulary.has_alias(word)

    @cached_property
    def _spellings(self) -> tuple[Mapping[str, str], ...]:
        """The spellings of the trees by key."""
        return built_in_tree().spelling, self.vocabulary.tree.spelling

    @cached_property
    def _own(self) -> frozenset[str]:
        """The words that the vocabulary itself writes, normalised."""
        replacements = (word for _, word in self.vocabulary.aliases)
        return frozenset(map(normalise_genre, (*(self.vocabulary.whitelist or ()), *replacements)))

    @cached_property
    def _each(self) -> Vocabulary:
        """The vocabulary for one value; fallback and count are rules for a whole file."""
        return replace(self.vocabulary, fallback=None, count=None)

    def key(self, word: str) -> str:
        """Return what all spellings of a genre have in common, in every language with words."""
        key = normalise_genre(word)
        if key in self._own:
            return key
        return normalise_genre(_SYNONYMS[key]) if key in _SYNONYMS else _foreign().get(key, key)

    def _words(self, key: str, seen: Counter[str]) -> list[str]:
        """Return the words for a genre of which these spellings were ``seen``."""
        frequent = min(seen, key=lambda word: (-seen[word], word))
        keys = {normalise_genre(word) for word in seen}
        if self._each.changes_nothing and len(keys) == 1 and keys <= _foreign().keys():
            return [frequent]  # a library in one language is as tidy
        usual = built_in_tree().spelling.get(key)
        if usual is None:
            usual = next((word for word in _SYNONYMS.values() if self.key(word) == key), None)
        # The tree has Drum and Bass; a library that has Drum & Bass is as tidy.
        word = frequent if usual is None or _with_and(frequent) == _with_and(usual) else usual
        if self._each.changes_nothing or PARENT_SEPARATOR in word:
            return [word]
        if self._each.has_alias(frequent):  # a pattern may be for a spelling in the tags
            word = frequent
        return self._each.words([word])

    def new_genres(self, old: Sequence[str], table: Table, artist: str = "") -> list[str]:
        """Return what a file's genres become; values that are not in the table stay.

        The artist's ignorelist, fallback and count of the vocabulary hold for the whole file.
        """
        if all(table.get(value, [value]) == [value] for value in old):
            return list(old)
        new = _distinct(word for value in old for word in table.get(value, [value]))
        if new and artist.casefold() in self.vocabulary.ignorelist:
            new = [word for word in new if self._each.words([word], artist)]
        if not new and self.vocabulary.fallback:
            new = [self.vocabulary.fallback]
        return new[: self.vocabulary.count]


@cache
def _foreign() -> Mapping[str, str]:
    """Return the key of each ready-made word of another language, with that of its genre.

    Words that are a genre of the tree or of ID3v1 mean that one.
    """
    known = {*built_in_tree().spelling, *map(normalise_genre, listed()), *_SYNONYMS}
    out: dict[str, str] = {}
    for language in languages():
        for label, word in ready_made(language)["genres"].items():
            if (key := normalise_genre(word)) not in known and key != label:
                out.setdefault(key, label)
    return out


def _distinct(words: Iterable[str]) -> list[str]:
    """Return words in order; of several spellings of a genre the first."""
    first: dict[str, str] = {}
    for word in words:
        first.setdefault(normalise_genre(word), word)
    return list(first.values())


def _with_and(word: str) -> str:
    """Return a word with ``&`` spelled out."""
    return word.replace(" & ", " and ").replace(" And ", " and ")
