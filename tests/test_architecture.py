"""The packages of genretag import only what stands above them, and each library has one home."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

_PACKAGE = Path(__file__).parents[1] / "genretag"

#: Every package imports only packages that stand before it.
ORDER = (
    *("errors", "records", "text", "numeric", "atomic", "layout"),
    *("library", "audio", "features", "inference", "tags", "decisions", "storage"),
    *("writing", "scan", "review", "report", "notify", "evaluation", "cluster", "training"),
    *("baselines", "doctor", "api", "cli", "__main__"),
)

#: Library -> the packages that may import it.
HOMES = {
    "onnxruntime": {"inference", "doctor"},  # doctor lists its providers
    "av": {"audio"},
    "mutagen": {"tags"},
    "sqlite3": {"storage", "cli", "writing", "doctor"},  # the others catch its errors, or check
    "ray": {"cluster"},
    "torch": {"training", "baselines"},
}

#: Packages of plain rules: no files, no database, no network.
PURE = ("decisions",)
_IO_CALLS = {"open", "read_text", "write_text", "read_bytes", "write_bytes", "connect", "urlopen"}
_OWN_DATA = {"vocabulary.py"}  # reads the tree of genres that comes with the package


def _modules() -> Iterator[tuple[str, Path, ast.Module]]:
    for path in sorted(_PACKAGE.rglob("*.py")):
        parts = path.relative_to(_PACKAGE).parts
        if parts[0] not in ("beets", "vocabularies") and parts != ("__init__.py",):
            yield parts[0].removesuffix(".py"), path, ast.parse(path.read_text(encoding="utf-8"))


def _imports(tree: ast.Module) -> Iterator[tuple[str, list[str]]]:
    """Yield (module, imported names) of every import of a tree."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module, [alias.name for alias in node.names]
        elif isinstance(node, ast.Import):
            yield from ((alias.name, []) for alias in node.names)


def _packages_of(module: str, names: list[str]) -> set[str]:
    """Return the packages of genretag that an import names."""
    if module == "genretag":
        return {name for name in names if name in ORDER}
    return {module.split(".")[1]} if module.startswith("genretag.") else set()


def test_every_package_has_a_place_in_the_order() -> None:
    assert {package for package, _, _ in _modules()} <= set(ORDER)


def test_imports_go_one_way() -> None:
    wrong = [
        f"{path.relative_to(_PACKAGE)} imports {used}"
        for package, path, tree in _modules()
        for module, names in _imports(tree)
        for used in _packages_of(module, names)
        if used in ORDER and ORDER.index(used) > ORDER.index(package)
    ]
    assert not wrong


@pytest.mark.parametrize("library", HOMES)
def test_each_library_has_one_home(library: str) -> None:
    users = defaultdict(set)
    for package, path, tree in _modules():
        for module, _ in _imports(tree):
            if module.split(".")[0] == library:
                users[package].add(path.name)
    assert set(users) <= HOMES[library], dict(users)


def test_decisions_do_no_input_or_output() -> None:
    calls = [
        f"{path.name}:{node.lineno}"
        for package, path, tree in _modules()
        if package in PURE and path.name not in _OWN_DATA
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and getattr(node.func, "id", getattr(node.func, "attr", "")) in _IO_CALLS
    ]
    assert not calls


def test_nothing_imports_the_private_names_of_another_module() -> None:
    private = [
        f"{path.relative_to(_PACKAGE)}: {module}.{name}"
        for _, path, tree in _modules()
        for module, names in _imports(tree)
        for name in names
        if module.startswith("genretag") and name.startswith("_") and not name.startswith("__")
    ]
    assert not private
