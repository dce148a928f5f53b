"""Genres that say nothing count as empty, in every language; real genres never do."""

from __future__ import annotations

import pytest

from genretag.tags.generic import is_generic, meaningful


@pytest.mark.parametrize(
    "word",
    [
        *("", " ", "Other", "UNKNOWN", "misc", "Music", "(12)", "(255)", "255", "<unknown>"),
        *("Unbekannt", "Musik", "Andere", "Inconnu", "Autre", "Desconocido", "Otro"),
        *("Sconosciuto", "Altro", "Onbekend", "Nieznany", "Неизвестно", "Другое"),
        *("不明", "その他", "未知", "기타", "ＯＴＨＥＲ", "Unknown  Genre"),
    ],
)
def test_a_word_that_says_nothing_is_generic(word: str) -> None:
    assert is_generic(word)


@pytest.mark.parametrize(
    "word", ["Rock", "(17)", "17", "World Music", "Música Popular Brasileira", "Musique Concrète"]
)
def test_a_genre_is_not_generic(word: str) -> None:
    assert not is_generic(word)


def test_a_setting_adds_words() -> None:
    assert meaningful(["To Sort", "Jazz"], ["to sort"]) == ["Jazz"]
