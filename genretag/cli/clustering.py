"""What commands say to a cluster: which places are URLs, whether all is installed, and results that were heard elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from genretag.cli import rules, session
from genretag.errors import UsageError
from genretag.library.urls import is_url, to_url

if TYPE_CHECKING:
    from genretag.cluster.engine import ClusterOptions, ClusterScanner
    from genretag.inference.model import Model
    from genretag.scan.scanner import Options

INSTALL = "pip install 'genretag[ray]'"


def places(
    paths: list[Path], engine: str, address: str | None, results: str | None
) -> tuple[str, ...]:
    """Return the URLs among paths; raise ``UsageError`` for what the engine does not go with, or for what it lacks."""
    urls = tuple(to_url(p) for p in paths if is_url(p))
    if engine == "ray":
        need("--engine ray", "ray", "pyarrow", "fsspec")
        return urls
    for given, name in (
        (address, "--address"),
        (results, "--results"),
        (urls[0] if urls else None, urls[0] if urls else ""),
    ):
        if given is not None:
            raise UsageError(f"{name}: that takes --engine ray")
    return ()


def need(what: str, *packages: str) -> None:
    """Raise ``UsageError`` that says how to install what is missing."""
    from importlib.util import find_spec

    if missing := [name for name in packages if find_spec(name) is None]:
        raise UsageError(f"{what}: {' and '.join(missing)} is not installed; {INSTALL}")


def asked(
    urls: tuple[str, ...],
    address: str | None,
    results: str | None,
    device: str,
    model: Path | None,
    jobs: int | None,
) -> ClusterOptions:
    """Return what a cluster is asked for; ``jobs`` None: as many decoders as it has CPUs."""
    from genretag.cluster.engine import ClusterOptions
    from genretag.storage.config import default_model

    return ClusterOptions(urls, address, results, device, model or default_model(), jobs)


def scanner(
    databases: session.Databases, model: Model, options: Options, run: int, asked: ClusterOptions
) -> ClusterScanner:
    """Return the scan that hears on a cluster."""
    from genretag.cluster.engine import ClusterScanner

    return ClusterScanner(databases.store, model, options, run, asked, past=databases.journal)


def take_results(databases: session.Databases, paths: list[Path], quiet: bool) -> list[Path]:
    """Take results among paths into the books, as the last scan; return the paths that are none.

    Raises:
        UsageError: there are several, or what reads them is not installed.
    """
    found = [p for p in paths if p.suffix.lower() == ".parquet" or is_url(p) or _holds_parquet(p)]
    if not found:
        return paths
    if len(found) > 1:
        raise UsageError("the results of one place at a time")
    need(to_url(found[0]), "pyarrow", "fsspec")
    import genretag
    from genretag.cluster.importing import import_results

    run = databases.journal.begin("import", genretag.__version__, {"results": to_url(found[0])})
    counts = import_results(
        databases.store, found[0], rules.first_policy(None), run, databases.journal
    )
    databases.journal.end(run, dict(counts))
    session.talk(quiet).print(f"took {sum(counts.values()):,} tracks from {to_url(found[0])}")
    return [p for p in paths if p != found[0]]


def _holds_parquet(path: Path) -> bool:
    """Return whether a folder holds results."""
    return path.is_dir() and any(path.glob("[!.]*.parquet"))
