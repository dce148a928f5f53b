"""Read vocabularies: genretag's TOML, and the files of beets' lastgenre."""

from __future__ import annotations

import re
import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

from genretag.decisions.vocabulary import (
    ALL_ARTISTS,
    Vocabulary,
    built_in_tree,
    languages,
    tree_of,
)
from genretag.errors import UsageError, describe_error
from genretag.storage.config import config_path
from genretag.text import suggestion

_KEYS = frozenset(
    (
        "whitelist canonical parents ignorelist count fallback title_case unknown aliases generic"
        " moods styles language"
    ).split()
)


def _yaml(text: str, name: str) -> Any:
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UsageError(f"{name}: {error}") from error


def read_vocabulary(path: Path) -> Vocabulary:
    """Read a vocabulary: our TOML, or beets' configuration (its section ``lastgenre``).

    Raises:
        UsageError: it cannot be read, or has an unknown key; the message suggests the nearest.
    """
    if str(path) in languages() and not path.exists():
        return Vocabulary(language=str(path))
    text = _text(path)
    if path.suffix.lower() in (".yaml", ".yml"):
        data = _yaml(text, str(path)) or {}
        section = data.get("lastgenre", data) if isinstance(data, dict) else None
        if not isinstance(section, dict) or not (set(section) & _KEYS):
            raise UsageError(f"{path}: no settings of lastgenre in it")
        known = {
            k: v for k, v in section.items() if k in _KEYS
        }  # beets has others: source, force ...
        return _built(known, path, beets=True)
    try:
        return _built(tomllib.loads(text), path, beets=False)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path}: {error}") from error


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{path}: the vocabulary cannot be read: {describe_error(error)}"
        ) from error


def _built(data: dict[str, Any], path: Path, *, beets: bool) -> Vocabulary:
    for key in data:
        if key not in _KEYS:
            raise UsageError(f"{path}: {key} is no key of a vocabulary{suggestion(key, _KEYS)}")
    unknown = data.get("unknown")
    if unknown not in (None, "pass", "drop"):
        raise UsageError(f'{path}: unknown = {unknown!r}; "pass" or "drop"')
    count = data.get("count", 1 if beets else None)
    if count is not None and (not isinstance(count, int) or count < 1):
        raise UsageError(f"{path}: count = {count!r}; a number from 1 on")
    nested = _tree(data.get("canonical", False), path)
    return Vocabulary(
        whitelist=_whitelist(data.get("whitelist", beets and nested is None), nested, path),
        nested=nested,
        parents=_yes(data, "parents", False, path),
        ignorelist=_ignorelist(data.get("ignorelist", {}), path),
        count=count,
        fallback=str(data["fallback"]) if data.get("fallback") else None,
        title_case=_yes(data, "title_case", True, path),
        drop_unknown=None if unknown is None else unknown == "drop",
        aliases=_aliases(data.get("aliases", {}), path, beets=beets),
        generic=_words(data.get("generic", []), path),
        moods=_pairs(data, "moods", path),
        styles=_pairs(data, "styles", path),
        language=_language(data.get("language"), path),
    )


def _pairs(data: dict[str, Any], key: str, path: Path) -> tuple[tuple[str, str], ...]:
    """Return (label, word) pairs of a table."""
    table = data.get(key, {})
    if not isinstance(table, dict) or not all(isinstance(word, str) for word in table.values()):
        raise UsageError(f'{path}: [{key}] holds pairs: label = "word"')
    return tuple(table.items())


def _language(value: Any, path: Path) -> str | None:
    """Return the language of the ready-made words."""
    if value is not None and value not in languages():
        raise UsageError(f"{path}: language = {value!r}; one of {', '.join(languages())}")
    return value if value is None else str(value)


def _words(value: Any, path: Path) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        raise UsageError(f"{path}: generic = {value!r}; a list of words")
    return tuple(value)


def _yes(data: dict[str, Any], key: str, default: bool, path: Path) -> bool:
    value = data.get(key, default)
    if not isinstance(value, bool):
        raise UsageError(f"{path}: {key} = {value!r}; true or false")
    return value


def _tree(value: Any, path: Path) -> Any:
    """Return the nested tree that ``canonical`` asks for."""
    if value in (False, None, ""):
        return None
    if value is True or value == "built-in":
        return _yaml(
            resources.files("genretag.vocabularies")
            .joinpath("tree.yaml")
            .read_text(encoding="utf-8"),
            "the built-in tree",
        )
    if isinstance(value, str):
        file = path.parent / Path(value).expanduser()
        nested = _yaml(_text(file), str(file))
    else:
        nested = value
    tree_of(nested)  # refused here if it is no tree
    return nested


def _whitelist(value: Any, nested: Any, path: Path) -> tuple[str, ...] | None:
    if value in (False, None, ""):
        return None
    if value is True:
        tree = built_in_tree() if nested is None else tree_of(nested)
        return tuple(tree.spelling.values())
    if value == "id3v1":
        from genretag.tags.id3v1 import listed as id3v1_genres  # imports mutagen

        return tuple(id3v1_genres())
    if isinstance(value, str):
        lines = _text(path.parent / Path(value).expanduser()).splitlines()
        return tuple(
            line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")
        )
    if isinstance(value, list):
        return tuple(map(str, value))
    raise UsageError(f'{path}: whitelist = {value!r}; a file, a list of words, "id3v1", or true')


def _ignorelist(value: Any, path: Path) -> dict[str, tuple[str, ...]]:
    if isinstance(value, list):
        return {ALL_ARTISTS: tuple(map(str, value))}
    if isinstance(value, dict) and all(isinstance(v, list) for v in value.values()):
        return {
            str(artist).casefold(): tuple(map(str, patterns)) for artist, patterns in value.items()
        }
    raise UsageError(f"{path}: ignorelist = {value!r}; a list of words, or lists by artist")


def _aliases(value: Any, path: Path, *, beets: bool) -> tuple[tuple[str, str], ...]:
    """Return (pattern, replacement) pairs; beets' files have word = [patterns of labels]."""
    if isinstance(value, str):
        value, beets = _yaml(_text(path.parent / Path(value).expanduser()), value), True
    if value in (None, True, False):
        return ()
    if not isinstance(value, dict):
        raise UsageError(f'{path}: aliases are pairs: label = "word"')
    out: list[tuple[str, str]] = []
    for key, words in value.items():
        if isinstance(words, list):  # beets' direction, wherever it stands
            out += [(str(pattern), str(key)) for pattern in words]
        elif beets:
            out.append((str(words), str(key)))
        else:
            out.append((re.escape(str(key)), str(words).replace("\\", r"\\")))
    return tuple(out)


def default_vocabulary() -> Vocabulary:
    """Return the vocabulary beside ``config.toml``, or one that changes nothing."""
    path = config_path().with_name("vocabulary.toml")
    return read_vocabulary(path) if path.exists() else Vocabulary()
