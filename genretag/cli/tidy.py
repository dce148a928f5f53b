"""``genretag tidy``: plan tidier spellings of the genres that are in the tags already."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from genretag.cli.notify import notifying
from genretag.cli.option_groups import FILES, one_call, output_file
from genretag.cli.options import (
    ApprovalOptions,
    Database,
    NotifyServers,
    PlanJson,
    PreserveTimes,
    ReportOptions,
)
from genretag.cli.output import OutputMode, file_progress, message_console, output_mode
from genretag.cli.pager import paged_console
from genretag.cli.plans import absolute_paths
from genretag.cli.policy_options import PolicyOptions
from genretag.cli.printing import print_rows
from genretag.cli.scan_options import Jobs, parse_jobs
from genretag.cli.writes import write_options, write_plan
from genretag.decisions.policy import WRITE_FIELDS, Policy
from genretag.errors import UsageError
from genretag.text import count
from genretag.writing.session import Databases, open_databases

if TYPE_CHECKING:
    from genretag.decisions.rows import Row
    from genretag.decisions.tidy import Table, Tidier
    from genretag.scan.tidy import Survey

#: Options of ``PolicyOptions`` that need a model's verdict.
NEEDS_VERDICT = (
    *("min_confidence", "top", "existing", "skip_existing", "force", "keep_existing"),
    *("trust", "vote", "album", "coarsen"),
)


def tidy(
    context: typer.Context,
    policy: PolicyOptions,
    approval: ApprovalOptions,
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[PATH...]",
            show_default=False,
            help="Music folders or files; otherwise those of the last scan.",
        ),
    ] = None,
    table: Annotated[
        Path | None,
        one_call(
            "--table",
            metavar="FILE",
            rich_help_panel=FILES,
            show_default=False,
            help="Use the new values of this edited table.\n\n"
            "An empty new value removes a genre; several are separated by semicolons.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        output_file(
            show_default=False,
            help="Write the table of genres to a .csv file, to edit it.",
        ),
    ] = None,
    json: PlanJson = False,
    preserve_mtimes: PreserveTimes = False,
    notify: NotifyServers = None,
    jobs: Jobs = "auto",
    db: Database = None,
) -> None:
    """Tidy the genres in the tags, without analysing any music.

    The table shows each genre, its files, and the word that it becomes: spellings of one genre
    get one spelling, joined values are split, and vocabulary.toml is applied. Genres such as
    Other stay unless an edited table replaces them. The plans of all other files are kept.

    Examples:
      genretag tidy ~/Music --dry-run
      genretag tidy ~/Music -O genres.csv --dry-run
      genretag tidy ~/Music --table genres.csv --yes
    """
    from genretag.report.genre_table import check_table_name, write_table

    mode, workers = output_mode(context), parse_jobs(jobs)
    if output is not None:
        check_table_name(output)
    with (
        notifying(notify, approval, mode, times_kept=preserve_mtimes) as written,
        open_databases(db) as databases,
    ):
        rules = policy.new_policy(context)
        tops = _places(databases, paths)
        survey = _read_genres(databases, tops, mode)
        tidier, genres = _new_values(survey, rules, table)
        if output is not None:
            write_table(output, survey.values, genres)
            message_console(mode.quiet).print(f"wrote {output}")
        if not (json or mode.quiet):
            _print_table(survey, genres, mode)
        how_written = {k: v for k, v in policy.to_fields(context).items() if k in WRITE_FIELDS}
        planner = _Planner(databases, rules, how_written, tops, mode)
        run, numbered = planner.plan(survey, tidier, genres)
        rows = [row for _, row in numbered]
        failed = 0
        if rows:
            from genretag.report.summary import Scope

            report = ReportOptions(json=json)
            named = shlex.quote(str(table)) if table else ""
            scope = Scope(shlex.join(map(str, paths or ())), tidied=0, table=named)
            if approval.dry_run:
                open_writes = databases.store.open_writes(run or 0)
                # With other rules than the stored ones, apply alone writes what was shown.
                usual = not (policy.to_fields(context) or preserve_mtimes or db)
                tidied = sum(row.action == "write" for row in rows) if usual else None
                scope = replace(scope, writes=open_writes, tidied=tidied)
            failed = print_rows(lambda: iter(rows), report, mode, scope=scope)
        writes = [(n, row) for n, row in numbered if row.action == "write"]
        how = write_options(rules, preserve_mtimes)
        failed += write_plan(databases, run, writes, how, approval, mode, workers, written)
    raise typer.Exit(1 if failed else 0)


def _places(databases: Databases, paths: list[Path] | None) -> list[Path]:
    """Return the given paths, else the places of the last scan.

    Raises:
        UsageError: a path does not exist, or there is no place.
    """
    from genretag.writing.moved import scanned_places

    for path in paths or ():
        if not path.exists():
            raise UsageError(f"{path}: there is no such file or folder")
    places = absolute_paths(paths) or scanned_places(databases.journal)
    if not places:
        raise UsageError("nothing was scanned yet: genretag tidy FOLDER names the music to tidy")
    return places


def _read_genres(databases: Databases, tops: list[Path], mode: OutputMode) -> Survey:
    """Return the genres in the tags, with progress."""
    from genretag.scan.tidy import read_genres

    with file_progress(None, quiet=mode.quiet) as progress:
        return read_genres(databases.store, tops, progress.advance)


def _new_values(survey: Survey, policy: Policy, table: Path | None) -> tuple[Tidier, Table]:
    """Return the tidier, and the new values of the edited table or else its proposals."""
    from genretag.decisions.tidy import Tidier
    from genretag.decisions.vocabulary import normalise_genre
    from genretag.report.genre_table import read_table
    from genretag.tags.id3v1 import listed

    tidier = Tidier(policy.vocabulary, frozenset(map(normalise_genre, listed())))
    proposals = tidier.propose(survey.values)
    if table is None:
        return tidier, proposals
    # A person's table is final: no rule of the vocabulary adds to it or takes from it.
    final = replace(policy.vocabulary, fallback=None, count=None, ignorelist={})
    return Tidier(final), read_table(table, survey.values, proposals)


def _print_table(survey: Survey, genres: Table, mode: OutputMode) -> None:
    """Print the genres, the most frequent first, and what each becomes."""
    from rich.table import Table as RichTable
    from rich.text import Text

    from genretag.report.genre_table import by_frequency
    from genretag.tags import is_generic
    from genretag.text import word

    if not survey.values:
        print(f"no genres in {count(survey.seen, 'music file')}", file=sys.stderr)
        return
    lines = [
        (survey.values[value], word(value), _becomes(value, genres), is_generic(value))
        for value in by_frequency(survey.values)
    ]
    if mode.plain:
        for files, value, new, generic in lines:
            stays = "says nothing, and stays" if generic else "stays"
            change = f"becomes {new}" if new else stays
            print(f"{value} in {count(files, 'file')} {change}.")
        return
    grid = RichTable(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    grid.add_column("files", justify="right", no_wrap=True)
    grid.add_column("genre in the tags", overflow="fold")
    grid.add_column("becomes", overflow="fold")
    for files, value, new, generic in lines:
        nothing = Text("(says nothing)" if generic else "", style="dim")
        becomes = Text(new, style="bold green") if new else nothing
        grid.add_row(f"{files:,}", Text(value), becomes)
    with paged_console(wanted=False) as console:
        console.print(grid)
        console.print()


def _becomes(value: str, genres: Mapping[str, list[str]]) -> str:
    """Return what a value becomes, for display; empty if it stays."""
    from genretag.text import all_words

    new = genres.get(value, [value])
    if new == [value]:
        return ""
    return ", ".join(all_words(new)) or "(removed)"


@dataclass(frozen=True)
class _Planner:
    """Makes and stores the plan of the files that change."""

    databases: Databases
    policy: Policy
    how_written: dict[str, Any]  # requested options that ``apply`` has to follow
    tops: list[Path]
    mode: OutputMode

    def plan(
        self, survey: Survey, tidier: Tidier, genres: Table
    ) -> tuple[int | None, list[tuple[int | None, Row]]]:
        """Store the plan; return its run, and its rows with ordinals.

        Nothing is stored if no file changes, and no earlier table would have changed one.
        """
        import genretag
        from genretag.scan.tidy import has_tidied, plan_tidy, save_tidy

        store, last = self.databases.store, self.databases.store.last_scan()
        with file_progress(None, quiet=self.mode.quiet) as progress:
            planned = plan_tidy(store, survey, tidier, genres, self.policy, last, progress.advance)
            rows = list(planned)
        if not rows and not has_tidied(store, last, self.tops):
            return None, []
        options = {"paths": [str(top) for top in self.tops]}
        run = self.databases.journal.begin("tidy", genretag.__version__, options)
        before = last.policy if last is not None else self.policy.to_dict()
        ordinals = save_tidy(store, run, rows, self.tops, {**before, **self.how_written}, last)
        self.databases.journal.end(run, {"files": survey.seen, "rows": len(rows)})
        return run, list(zip(ordinals, rows, strict=True))
