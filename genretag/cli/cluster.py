"""Ray clusters on the command line: URLs, missing packages, and results that are imported."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from genretag.cli.output import message_console
from genretag.cli.policy_options import read_user_vocabulary
from genretag.cli.scan_options import AnalysisOptions, Engine, EngineOptions
from genretag.decisions.policy import Policy
from genretag.errors import UsageError
from genretag.library.urls import is_url, to_url
from genretag.storage.protection import read_protection
from genretag.text import count

if TYPE_CHECKING:
    from genretag.cluster.options import ClusterOptions
    from genretag.writing.session import Databases

INSTALL = "pip install 'genretag[ray]'"


def cluster_urls(paths: list[Path], engine: EngineOptions) -> tuple[str, ...]:
    """Return the URLs among the paths.

    Raises:
        UsageError: an option or a URL needs another engine, or a package is missing.
    """
    urls = tuple(to_url(p) for p in paths if is_url(p))
    if engine.engine is Engine.ray:
        require_packages("--engine ray", "ray", "pyarrow", "fsspec")
        return urls
    given = {"--address": engine.address, "--results": engine.results, **{u: u for u in urls[:1]}}
    for name, value in given.items():
        if value is not None:
            raise UsageError(f"{name}: that needs --engine ray")
    return ()


def require_packages(what: str, *packages: str) -> None:
    """Raise ``UsageError`` with the command that installs missing packages."""
    from importlib.util import find_spec

    if missing := [name for name in packages if find_spec(name) is None]:
        raise UsageError(f"{what}: {' and '.join(missing)} is not installed; {INSTALL}")


def cluster_options(
    urls: tuple[str, ...], engine: EngineOptions, analysis: AnalysisOptions
) -> ClusterOptions:
    """Return the options of a cluster; by default one decoder per CPU of it."""
    from genretag.cluster.options import ClusterOptions
    from genretag.storage.config import default_model

    decoders = None if analysis.jobs == "auto" else analysis.workers
    return ClusterOptions(
        urls,
        engine.address,
        engine.results,
        analysis.device.value,
        analysis.model or default_model(),
        decoders,
    )


def import_results(databases: Databases, paths: list[Path], quiet: bool) -> list[Path]:
    """Import the results among the paths as the last scan; return the other paths.

    Raises:
        UsageError: there are several results, or a package that reads them is missing.
    """
    found = [p for p in paths if p.suffix.lower() == ".parquet" or is_url(p) or _has_parquet(p)]
    if not found:
        return paths
    if len(found) > 1:
        raise UsageError("give the results of one place at a time")
    require_packages(to_url(found[0]), "pyarrow", "fsspec")
    import genretag
    from genretag.cluster import importing

    policy = Policy(vocabulary=read_user_vocabulary(None), protect=read_protection())
    run = databases.journal.begin("import", genretag.__version__, {"results": to_url(found[0])})
    counts = importing.import_results(databases.store, found[0], policy, run, databases.journal)
    databases.journal.end(run, dict(counts))
    message_console(quiet).print(
        f"imported {count(sum(counts.values()), 'track')} from {to_url(found[0])}"
    )
    return [p for p in paths if p != found[0]]


def _has_parquet(path: Path) -> bool:
    """Return whether a folder holds results."""
    return path.is_dir() and any(path.glob("[!.]*.parquet"))
