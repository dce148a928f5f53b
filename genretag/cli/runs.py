"""Runs that wrote, as the shell completes them for undo and verify."""

from __future__ import annotations

from collections.abc import Iterator

from genretag.cli.output import format_time
from genretag.writing.session import open_databases


def complete_run() -> Iterator[tuple[str, str]]:
    """Offer the runs that wrote, the newest first, each with its date."""
    with open_databases(None) as databases:
        for run in reversed(databases.journal.runs()):
            if run.kind == "apply":
                written = run.counts.get("written", 0)
                yield str(run.id), f"{format_time(run.began)}, {written} written"
