"""The command line: parse, dispatch, errors to exit codes. Nothing heavy is imported before a command runs."""

from __future__ import annotations

import copy
import gc
import logging
import os
import sqlite3
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

import genretag
from genretag.cli import (
    apply,
    doctoring,
    helping,
    inspect,
    players,
    playlist,
    report,
    reviewing,
    scan,
    settings,
    train,
    watching,
)
from genretag.cli.models import models
from genretag.errors import GenretagError, UsageError
from genretag.storage.config import config_path

SOME_FAILED, WRONG_USAGE = 1, 2
_OF_ALL_COMMANDS = ("config",)  # it tells of the settings of all

app = typer.Typer(
    name="genretag",
    help="Hears your music, and writes the genre into the files' own tags - after you have seen the plan.",
    epilog="First look: genretag scan ~/Music --dry-run     then: genretag apply     and back: genretag undo     more: genretag help",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.command("scan", rich_help_panel="Hear and write")(scan.scan)
app.command("plan", rich_help_panel="Hear and write")(apply.plan)
app.command("review", rich_help_panel="Hear and write")(reviewing.review)
app.command("apply", rich_help_panel="Hear and write")(apply.apply)
app.command("watch", rich_help_panel="Hear and write")(watching.watch)
app.command("undo", rich_help_panel="Hear and write")(apply.undo)
app.command("verify", rich_help_panel="Look")(apply.verify)
app.command("train", rich_help_panel="Teach")(train.train)
app.command("evaluate", rich_help_panel="Teach")(train.evaluate)
app.command("report", rich_help_panel="Look")(report.report)
app.command("info", rich_help_panel="Look")(inspect.info)
app.command("history", rich_help_panel="Look")(inspect.history)
app.command("errors", rich_help_panel="Look")(inspect.errors)
app.add_typer(models, name="models", rich_help_panel="Look")
app.command("playlist", rich_help_panel="Look")(playlist.playlist)
app.command("players", rich_help_panel="Look")(players.players)
app.command("doctor", rich_help_panel="Look")(doctoring.doctor)
app.command("config", rich_help_panel="Look")(settings.config)
app.command("demo", rich_help_panel="Try")(inspect.demo)
app.command("help", rich_help_panel="Try")(helping.help_)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"genretag {genretag.__version__}")
        raise typer.Exit


@app.callback()
def _common(
    context: typer.Context,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Say only what went wrong.")] = False,
    verbose: Annotated[
        int, typer.Option("-v", "--verbose", count=True, help="Say more (-vv: everything).")
    ] = 0,
    plain: Annotated[
        bool,
        typer.Option(
            "--plain",
            envvar="GENRETAG_PLAIN",
            help="Plain sentences instead of tables, for screen readers and logs.",
        ),
    ] = False,
    config: Annotated[
        Path | None,
        typer.Option("--config", help="Settings from this file instead of config.toml."),
    ] = None,
    log_file: Annotated[
        Path | None, typer.Option("--log-file", help="Keep a log in this file.")
    ] = None,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    level = (
        logging.ERROR if quiet else [logging.WARNING, logging.INFO, logging.DEBUG][min(verbose, 2)]
    )
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    handlers[0].setLevel(level)
    if log_file is not None:
        try:
            handlers.append(
                logging.FileHandler(log_file, encoding="utf-8", errors="backslashreplace")
            )
        except OSError as error:
            raise UsageError(f"{log_file}: the log cannot be written: {error.strerror}") from error
    logging.basicConfig(
        level=logging.DEBUG, format="%(asctime)s %(levelname)s %(message)s", handlers=handlers
    )
    logging.getLogger("genretag").setLevel(logging.DEBUG)
    logging.getLogger("filelock").setLevel(logging.WARNING)
    context.obj = {"quiet": quiet, "verbose": verbose, "plain": plain}


def main() -> None:
    """Run the command line, and leave with its exit status."""
    _start_lightly()
    try:
        arguments = _common_first(sys.argv[1:])
        command = typer.main.get_command(_needed(arguments))
        command(arguments, prog_name="genretag", default_map=_defaults(command))
    except UsageError as error:
        _say(str(error))
        sys.exit(WRONG_USAGE)
    except GenretagError as error:
        _say(str(error))
        sys.exit(SOME_FAILED)
    except sqlite3.Error as error:
        _say(f"the database could not be used: {error}; no music file was changed by this")
        sys.exit(SOME_FAILED)
    except BrokenPipeError:  # the reader of our output has gone
        sys.stderr.close()
        sys.exit(SOME_FAILED)
    finally:
        gc.freeze()  # the interpreter looks through all that is left, twice, before it lets it go


def _start_lightly() -> None:
    """Spare what loading modules would cost: collections of garbage that find none, and BLAS threads that wait busily."""
    gc.set_threshold(20_000, 20, 20)
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")  # 2^4 ticks; read when numpy loads


def _needed(arguments: list[str]) -> typer.Typer:
    """Return the command line, or the one command of it that is asked for: to build all takes longer than most commands.

    All are there for the help, and where settings have to be held against what every command knows.
    """
    name = next((a for a in arguments if not _is_common(a)), "")
    named = [c for c in app.registered_commands if c.name == name and name not in _OF_ALL_COMMANDS]
    if not named or any(v.startswith("GENRETAG_") for v in os.environ) or config_path().exists():
        return app
    alone = copy.copy(app)
    alone.registered_commands, alone.registered_groups = named, []
    return alone


def _is_common(word: str) -> bool:
    """Return whether a word is a flag that may stand before and after every command."""
    return word in ("-q", "--quiet", "--verbose", "--plain") or (
        word.startswith("-v") and set(word[1:]) == {"v"}
    )


def _common_first(arguments: list[str]) -> list[str]:
    """Let -q, -v and --plain stand after the command as well as before it, and take --config to heart."""
    if any(
        not a and (i == 0 or not arguments[i - 1].startswith("-")) for i, a in enumerate(arguments)
    ):
        raise UsageError("an argument is empty: is a variable of the shell not set?")
    end = arguments.index("--") if "--" in arguments else len(arguments)
    for i, word in enumerate(arguments[:end]):  # settings are read before anything is parsed
        if word == "--config" and i + 1 < end:
            os.environ["GENRETAG_CONFIG"] = arguments[i + 1]
        elif word.startswith("--config="):
            os.environ["GENRETAG_CONFIG"] = word.removeprefix("--config=")
    named = (
        os.environ.get("GENRETAG_CONFIG")
        if any(a.partition("=")[0] == "--config" for a in arguments[:end])
        else None
    )
    if named and not Path(named).is_file():
        raise UsageError(f"--config {named}: there is no such file")
    common = [a for a in arguments[:end] if _is_common(a)]
    return [*common, *(a for a in arguments[:end] if a not in common), *arguments[end:]]


def _defaults(command: Any) -> dict[str, Any]:
    """Return what config.toml says; a mistake in it does not keep anybody from the help."""
    try:
        return settings.install(command)
    except GenretagError:
        if {"--help", "-h", "--version"} & set(sys.argv):
            return {}
        raise


def _say(text: str) -> None:
    from genretag.text import escape_control

    print(f"genretag: {escape_control(text)}", file=sys.stderr)
