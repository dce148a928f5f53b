"""Genres that say nothing: Other, Unknown, Music, in the languages of common taggers."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

_ENGLISH = """other|others|unknown|misc|misc.|miscellaneous|music|genre|none|default|undefined
|unclassifiable|unclassified|n/a|<unknown>|(unknown)|[unknown]|no genre|not set|unknown genre
|genre unknown|other genre|genre (unknown)|audio|general"""
_GERMAN = "unbekannt|unbekanntes genre|musik|andere|anderes|sonstige|sonstiges|verschiedenes"
_FRENCH = "inconnu|inconnue|genre inconnu|autre|autres|musique|divers"
_SPANISH = "desconocido|desconocida|género desconocido|otro|otros|otra|otras|música|varios"
_ITALIAN = "sconosciuto|sconosciuta|genere sconosciuto|altro|altri|altra|musica|varie"
_PORTUGUESE = "desconhecido|desconhecida|gênero desconhecido|outro|outros|outra|outras|vários"
_DUTCH = "onbekend|onbekend genre|overig|overige|anders|muziek|diversen"
_POLISH = "nieznany|nieznana|nieznane|inny|inna|inne|muzyka|różne"
_RUSSIAN = "неизвестно|неизвестный|неизвестный жанр|неизвестен|другое|другой|прочее|музыка|разное"
_SCANDINAVIAN = "okänd|okänt|övrigt|annat|ukendt|ukjent|andet|annet|tuntematon|muu|musiikki"
_CZECH = "neznámý|neznámé|neznámo|jiné|jiný|ostatní|hudba|ismeretlen|egyéb|zene"
_TURKISH = "bilinmeyen|bilinmiyor|diğer|müzik|άγνωστο|άλλο|μουσική|אחר|לא ידוע"
_JAPANESE = "不明|その他|音楽|ミュージック|未設定|ジャンルなし"
_CHINESE = "未知|其他|其它|音乐|音樂|未知流派|不详"
_KOREAN = "기타|알 수 없음|음악|미분류"

_WORDS = "|".join(
    (
        *(_ENGLISH, _GERMAN, _FRENCH, _SPANISH, _ITALIAN, _PORTUGUESE, _DUTCH, _POLISH),
        *(_RUSSIAN, _SCANDINAVIAN, _CZECH, _TURKISH, _JAPANESE, _CHINESE, _KOREAN),
    )
)


def fold(word: str) -> str:
    """Return a word without differences in case, width and white space."""
    return " ".join(unicodedata.normalize("NFKC", word).split()).casefold()


#: A file with such a genre counts as a file without one.
GENERIC = frozenset(fold(word) for word in _WORDS.replace("\n", "").split("|"))

#: Numbers of ID3v1 for Other, and beyond its table, wherever a tagger copied them as text.
_NUMBERED = re.compile(r"\((12|19[2-9]|2[0-9]{2})\)|(12|255)")


def is_generic(word: str, more: Iterable[str] = ()) -> bool:
    """Return whether a genre says nothing; ``more`` are further words that say nothing."""
    folded = fold(word)
    return (
        not folded
        or folded in GENERIC
        or _NUMBERED.fullmatch(folded) is not None
        or any(folded == fold(other) for other in more)
    )


def meaningful(genres: list[str], more: Iterable[str] = ()) -> list[str]:
    """Return the genres that say something."""
    extra = tuple(more)
    return [genre for genre in genres if not is_generic(genre, extra)]
