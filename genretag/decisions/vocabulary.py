"""Map a model's labels to the user's words. The keys are those of beets' lastgenre.

A vocabulary is a TOML file, beets' YAML configuration, or beets' tree, whitelist and alias files:

    whitelist = "mine.txt"         # a file, a list, "id3v1", or true for all words of the tree
    canonical = true               # true: the built-in tree; or a file like beets' genres-tree.yaml
    parents = true                 # write parent and child as separate values: Electronic; Techno
    ignorelist = ["Pop"]           # never written; or { artist = [patterns], "*" = [patterns] }
    count = 2                      # maximum number of values per file
    fallback = "Unclassified"      # if no word is left
    title_case = true              # capitalise words that are all lower case
    language = "de"                # ready-made words: de es fr it ja pl pt ru; yours come first
    generic = ["To Sort"]          # genres in tags that count as none, beside Other, Unknown ...
    unknown = "pass"               # words outside the whitelist: "pass" or "drop"

    [aliases]                      # the model's label = your word
    Hip-Hop = "Rap"

    [moods]                        # the same for moods and styles; "" is never written
    Calm = "Ruhig"

    [styles]
    Piano = ""
"""

from __future__ import annotations

import difflib
import re
import string
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from importlib import resources
from typing import Any

from genretag.errors import UsageError

ALL_ARTISTS = "*"  # key of an ignorelist


def normalise_genre(word: str) -> str:
    """Return a genre's letters and digits, case folded, with ``&`` as *and*.

    Hip-Hop, hip hop and HipHop are one genre, and so are Drum & Bass and Drum and Bass.
    """
    bare = re.sub(
        r"[\W_]+", "", unicodedata.normalize("NFKC", word).replace("&", " and ").casefold()
    )
    return bare or word.casefold()


@dataclass(frozen=True)
class Tree:
    """A tree of genres; keys are normalised genres."""

    parent: Mapping[str, str] = field(default_factory=dict)  # genre -> parent
    spelling: Mapping[str, str] = field(default_factory=dict)  # genre -> as written in the tree

    def chain(self, word: str) -> list[str]:
        """Return a word and its parents, finest first; the word alone if it is not in the tree."""
        at, out = normalise_genre(word), [self.spelling.get(normalise_genre(word), word)]
        while (at := self.parent.get(at, "")) and self.spelling[at] not in out:
            out.append(self.spelling[at])
        return out

    def is_finer(self, word: str, general: str) -> bool:
        """Return whether ``word`` is a descendant of ``general``."""
        return normalise_genre(word) != normalise_genre(general) and normalise_genre(general) in {
            normalise_genre(w) for w in self.chain(word)
        }


def tree_of(nested: Any) -> Tree:
    """Return the tree of nested lists and mappings, as in beets' genres-tree.yaml.

    Raises:
        UsageError: the nesting is different.
    """
    parent: dict[str, str] = {}
    spelling: dict[str, str] = {}

    def add(node: Any, above: str | None) -> None:
        if isinstance(node, list):
            for one in node:
                add(one, above)
        elif isinstance(node, dict):
            for word, below in node.items():
                add(str(word), above)
                add(below if below is not None else [], normalise_genre(str(word)))
        else:
            key = normalise_genre(str(node))
            spelling.setdefault(key, str(node))
            if above is not None and above != key:
                parent.setdefault(key, above)

    if not isinstance(nested, list | dict):
        raise UsageError("a genre tree is nested lists of words")
    add(nested, None)
    return Tree(parent, spelling)


@cache
def built_in_tree() -> Tree:
    """Return the built-in tree."""
    import yaml

    text = (
        resources.files("genretag.vocabularies").joinpath("tree.yaml").read_text(encoding="utf-8")
    )
    return tree_of(yaml.safe_load(text))


@cache
def languages() -> tuple[str, ...]:
    """Return the languages with ready-made words, as ISO 639-1 codes."""
    files = resources.files("genretag.vocabularies").iterdir()
    return tuple(sorted(f.name.removesuffix(".toml") for f in files if f.name.endswith(".toml")))


@cache
def ready_made(language: str) -> Mapping[str, Mapping[str, str]]:
    """Return the ready-made words of a language: table (genres, moods) -> label -> word.

    Labels are normalised. An unknown language, of a newer version's plan, has no words.
    """
    import tomllib

    if language not in languages():
        return {}
    file = resources.files("genretag.vocabularies").joinpath(f"{language}.toml")
    tables = tomllib.loads(file.read_text(encoding="utf-8"))
    return {
        name: {normalise_genre(label): word for label, word in table.items()}
        for name, table in tables.items()
    }


#: Separates parent and child in the labels of models with styles (Discogs: ``Rock---Punk``).
PARENT_SEPARATOR = "---"


@dataclass(frozen=True)
class Step:
    """One step from labels to words, for ``--explain``."""

    what: str
    words: tuple[str, ...]


@dataclass(frozen=True)
class Vocabulary:
    """Rules that map labels to words. The default changes nothing."""

    whitelist: tuple[str, ...] | None = None
    nested: Any = None  # the tree as read; None: no canonicalisation
    parents: bool = False
    ignorelist: Mapping[str, Sequence[str]] = field(
        default_factory=dict
    )  # artist, or "*" -> patterns
    count: int | None = None
    fallback: str | None = None
    title_case: bool = True
    drop_unknown: bool | None = None  # None: only with a whitelist
    aliases: tuple[tuple[str, str], ...] = ()  # (pattern of a whole label, replacement)
    generic: tuple[str, ...] = ()  # further genres that count as no genre
    moods: tuple[tuple[str, str], ...] = ()  # (label, word); an empty word is never written
    styles: tuple[tuple[str, str], ...] = ()
    language: str | None = None  # of the ready-made words for labels without a word here

    @cached_property
    def tree(self) -> Tree:
        """The canonical tree; empty without one."""
        return Tree() if self.nested is None else tree_of(self.nested)

    @cached_property
    def memo(self) -> dict[str, frozenset[str]]:
        """What values in tags mean after this vocabulary; ``sources.genre_keys`` fills it."""
        return {}

    @cached_property
    def _allowed(self) -> frozenset[str] | None:
        return None if self.whitelist is None else frozenset(map(normalise_genre, self.whitelist))

    @cached_property
    def _spelling(self) -> dict[str, str]:
        return {normalise_genre(w): w for w in reversed(self.whitelist or ())}

    @property
    def changes_nothing(self) -> bool:
        """Whether genres are written unchanged."""
        return replace(self, generic=(), moods=(), styles=()) == Vocabulary()

    def field_words(self, field: str, labels: Sequence[str]) -> list[str]:
        """Return the words for labels of a mood or style, each once, best first."""
        pairs = self.moods if field == "mood" else self.styles
        words = dict(self._ready("moods" if field == "mood" else "genres"))
        words |= {normalise_genre(label): word for label, word in pairs}
        found = (words.get(normalise_genre(label), label) for label in labels)
        return list(dict.fromkeys(word for word in found if word))

    def words(
        self, labels: Sequence[str], artist: str = "", steps: list[Step] | None = None
    ) -> list[str]:
        """Return the words for labels, best first; append each step to ``steps``."""
        if self.changes_nothing:
            return [label.rpartition(PARENT_SEPARATOR)[2] for label in labels]
        note = steps.append if steps is not None else (lambda _: None)
        renamed = [self._renamed(label) for label in labels]
        note(Step("aliases", tuple(renamed)))
        found: list[str] = []
        for word in renamed:
            chain = [
                w for w in self._chain(word) if not self._ignored(w, artist) and self._is_allowed(w)
            ]
            chain = list(reversed(chain)) if self.parents else chain[:1]
            found += [
                w for w in chain if normalise_genre(w) not in {normalise_genre(f) for f in found}
            ]
        note(Step("tree, whitelist and ignorelist", tuple(found)))
        if not found and self.fallback:
            found = [self.fallback]
            note(Step("fallback", tuple(found)))
        spelled = [self._spelled(w) for w in found[: self.count]]
        note(Step("count and case", tuple(spelled)))
        return spelled

    def has_alias(self, label: str) -> bool:
        """Return whether an alias replaces a label."""
        return bool(self.aliases or self.language) and self._renamed(label) != label

    def _ready(self, table: str) -> Mapping[str, str]:
        """Return the ready-made words of the language, by normalised label."""
        return ready_made(self.language).get(table, {}) if self.language is not None else {}

    def _renamed(self, label: str) -> str:
        for pattern, replacement in self.aliases:
            try:
                match = re.fullmatch(pattern, label, re.IGNORECASE)
                if match is None and _is_spelling_of(pattern, label):
                    match = re.fullmatch(r"(?s:.*)", label)
                if match:
                    return match.expand(replacement)
            except re.error:
                continue
        if (word := self._ready("genres").get(normalise_genre(label))) is not None:
            return word
        parent, mark, child = label.rpartition(PARENT_SEPARATOR)
        return parent + mark + self._renamed(child) if mark else label

    def _chain(self, word: str) -> list[str]:
        """Return a word and its parents, from the tree or from a label such as ``Rock---Punk``."""
        child, *parents = reversed(word.split(PARENT_SEPARATOR))
        above = [*parents, *(self.tree.chain(child)[1:] if self.nested is not None else [])]
        return [
            child,
            *(
                w
                for i, w in enumerate(above)
                if normalise_genre(w) not in map(normalise_genre, [child, *above[:i]])
            ),
        ]

    def _is_allowed(self, word: str) -> bool:
        if self._allowed is None:
            return (
                not self.drop_unknown
                or self.nested is None
                or normalise_genre(word) in self.tree.spelling
            )
        return normalise_genre(word) in self._allowed or self.drop_unknown is False

    def _ignored(self, word: str, artist: str) -> bool:
        patterns = [
            *self.ignorelist.get(ALL_ARTISTS, ()),
            *self.ignorelist.get(artist.casefold(), ()),
        ]
        return any(
            normalise_genre(p) == normalise_genre(word) or _matches(p, word) for p in patterns
        )

    def _spelled(self, word: str) -> str:
        """Return a word in the spelling of the whitelist, capitalised if it is all lower case."""
        word = self._spelling.get(normalise_genre(word), word)
        return string.capwords(word) if self.title_case and word == word.lower() else word

    def to_dict(self) -> dict[str, Any]:
        """Return the vocabulary as JSON data."""
        return {k: v for k, v in vars(self).items() if k in self.__dataclass_fields__}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Vocabulary:
        """Read the output of ``to_dict``."""
        whitelist = data.get("whitelist")
        aliases = tuple((str(a), str(b)) for a, b in data.get("aliases", ()))
        return cls(
            **{
                **data,
                "whitelist": None if whitelist is None else tuple(whitelist),
                "aliases": aliases,
                "generic": tuple(data.get("generic", ())),
                "moods": tuple((str(a), str(b)) for a, b in data.get("moods", ())),
                "styles": tuple((str(a), str(b)) for a, b in data.get("styles", ())),
            }
        )


def literal_of(pattern: str) -> str | None:
    """Return the text that a pattern stands for; None if it is more than one text."""
    text = re.sub(r"\\(.)", r"\1", pattern)
    return text if re.escape(text) == pattern else None


def _is_spelling_of(pattern: str, label: str) -> bool:
    """Return whether a pattern is another spelling of a label: HipHop for Hip-Hop."""
    text = literal_of(pattern)
    return text is not None and normalise_genre(text) == normalise_genre(label)


def misspelt_fields(
    vocabulary: Vocabulary, moods: Sequence[str], styles: Sequence[str]
) -> list[tuple[str, str, str]]:
    """Return (list, word, suggestion) of moods and styles that the model does not know."""
    tables = (("moods", vocabulary.moods, moods), ("styles", vocabulary.styles, styles))
    return [
        found
        for table, pairs, known in tables
        for found in _unknown(table, [label for label, _ in pairs], known)
    ]


def misspelt_words(vocabulary: Vocabulary, labels: Sequence[str]) -> list[tuple[str, str, str]]:
    """Return (list, word, suggestion) of words that match nothing; the suggestion may be empty.

    An alias must be a label of the model or a word of the tree; a word of the ignorelist may also
    be one of the vocabulary's own.
    """
    parts = [part for label in labels for part in (label, *label.split(PARENT_SEPARATOR))]
    trees = [*built_in_tree().spelling.values(), *vocabulary.tree.spelling.values()]
    known = [*parts, *trees]
    own = [*(word for _, word in vocabulary.aliases), *(vocabulary.whitelist or ())]
    aliases = [literal_of(pattern) for pattern, _ in vocabulary.aliases]
    ignored = [word for words in vocabulary.ignorelist.values() for word in words]
    return [
        *_unknown("aliases", [word for word in aliases if word], known),
        *_unknown("ignorelist", [w for w in ignored if literal_of(w)], [*known, *own]),
    ]


def _unknown(table: str, words: Sequence[str], known: Sequence[str]) -> list[tuple[str, str, str]]:
    """Return (table, word, nearest known word) for each word that is not known."""
    by_key = {normalise_genre(word): word for word in reversed(known)}
    out = []
    for word in words:
        if (key := normalise_genre(word)) not in by_key:
            near = difflib.get_close_matches(key, by_key, 1)
            out.append((table, word, by_key[near[0]] if near else ""))
    return out


def _matches(pattern: str, word: str) -> bool:
    try:
        return re.fullmatch(pattern, word, re.IGNORECASE) is not None
    except re.error:
        return False
