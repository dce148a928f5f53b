"""The private parts of dependencies that genretag uses exist in the installed versions."""

from __future__ import annotations

import ast
import importlib
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import mutagen
import pytest
from mutagen import apev2, id3

ROOT = Path(__file__).parents[1]
TAGS = sorted((ROOT / "genretag" / "tags").glob("*.py"))

#: Private attributes of mutagen's objects that genretag.tags uses -> an object that has them.
PRIVATE_ATTRIBUTES = {
    "_write": apev2.APETextValue,
    "_writeData": id3.TCON,
    "_fromData": id3.TCON,
    "_framespec": id3.TCON,
    "_unknown_v2_version": id3.ID3(),
}


def _private_imports() -> Iterator[tuple[str, str]]:
    """Yield (module, name) for every import from a private module of mutagen."""
    for path in TAGS:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            module = getattr(node, "module", None) or ""
            if isinstance(node, ast.ImportFrom) and re.match(r"mutagen\..*_", module):
                yield from ((module, alias.name) for alias in node.names)


def _private_attributes() -> set[str]:
    """Return the private attributes that genretag.tags reads from objects other than self."""
    return {
        node.attr
        for path in TAGS
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
        and re.match(r"_[a-z]", node.attr)
        and getattr(node.value, "id", "") not in ("self", "cls")
    }


@pytest.mark.parametrize(("module", "name"), sorted(set(_private_imports())))
def test_private_functions_of_mutagen_exist(module: str, name: str) -> None:
    assert hasattr(importlib.import_module(module), name), mutagen.version_string


@pytest.mark.parametrize("attribute", PRIVATE_ATTRIBUTES)
def test_private_attributes_of_mutagen_exist(attribute: str) -> None:
    assert hasattr(PRIVATE_ATTRIBUTES[attribute], attribute), mutagen.version_string


def test_every_private_attribute_in_use_is_checked() -> None:
    own = {"_replace", "_asdict"}  # of named tuples
    assert _private_attributes() <= PRIVATE_ATTRIBUTES.keys() | own


def test_mutagen_has_an_upper_bound() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (requirement,) = (d for d in project["dependencies"] if d.startswith("mutagen"))
    assert "<" in requirement, "private functions may change in any release"
