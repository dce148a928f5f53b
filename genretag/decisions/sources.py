"""Who names the genre of a file: its tags, the model, both, or a person."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from functools import cache

from genretag.decisions.tidy import Tidier
from genretag.decisions.vocabulary import Vocabulary, normalise_genre
from genretag.tags import meaningful
from genretag.tags.id3v1 import listed


class Source(StrEnum):
    """Who names a genre: a stable code for scripts."""

    TAGS = "tags"  # a person, or another tagger
    MODEL = "model"
    BOTH = "both"
    PERSON = "person"  # an answer in a review


def genre_keys(genres: Iterable[str], vocabulary: Vocabulary) -> frozenset[str]:
    """Return what genres mean after the vocabulary: a key for each, the same for all spellings.

    Joined values count as their parts, and genres that say nothing are left out.
    """
    words = meaningful(list(genres), vocabulary.generic)
    return frozenset(key for word in words for key in _keys(word, vocabulary))


def _keys(word: str, vocabulary: Vocabulary) -> frozenset[str]:
    """Return the keys of a value; a word that the vocabulary drops keeps its own."""
    if word not in vocabulary.memo:
        tidier = Tidier(vocabulary, listed_keys())
        parts = tidier.propose({word: 1})[word] or [word]
        vocabulary.memo[word] = frozenset(map(tidier.key, parts))
    return vocabulary.memo[word]


@cache
def listed_keys() -> frozenset[str]:
    """Return the keys of the genres that ID3v1 numbers."""
    return frozenset(map(normalise_genre, listed()))


def agreed(words: Sequence[str], genres: Sequence[str], vocabulary: Vocabulary) -> list[str]:
    """Return the words that are among the genres after the vocabulary, in any spelling."""
    keys = genre_keys(genres, vocabulary)
    return [word for word in words if not keys.isdisjoint(genre_keys([word], vocabulary))]


def source_of(
    genres: Sequence[str],
    tagged: Sequence[str],
    predicted: Sequence[str],
    vocabulary: Vocabulary,
) -> Source | None:
    """Return who names a file's genres; None if they say nothing, or nobody names them.

    Args:
        genres: the genres that the file will have.
        tagged: those in its tags now, without those that genretag wrote.
        predicted: the model's words.
        vocabulary: the vocabulary of the plan.
    """
    keys = genre_keys(genres, vocabulary)
    in_tags = not keys.isdisjoint(genre_keys(tagged, vocabulary))
    by_model = not keys.isdisjoint(genre_keys(predicted, vocabulary))
    if in_tags:
        return Source.BOTH if by_model else Source.TAGS
    return Source.MODEL if by_model else None
