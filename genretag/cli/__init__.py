"""The command line: commands, common options, and errors as messages and exit codes.

Each command has a module of its name. Nothing heavy is imported before a command runs.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import io
import logging
import os
import re
import sqlite3
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

import genretag
from genretag.cli import (
    apply,
    audit,
    config,
    demo,
    doctor,
    errors,
    evaluate,
    export,
    help,
    history,
    info,
    plan,
    players,
    playlist,
    report,
    review,
    scan,
    settings,
    similar,
    tidy,
    train,
    undo,
    verify,
    watch,
)
from genretag.cli.formatting import Command, Group
from genretag.cli.models import models_app
from genretag.cli.option_groups import with_groups
from genretag.cli.output import OutputMode
from genretag.errors import GenretagError, UsageError

FAILED, WRONG_USAGE = 1, 2  # exit codes; 130: interrupted
READER_GONE = 141  # 128 + SIGPIPE: what a shell reports for cat or grep before head
_LOG_LEVELS = (logging.WARNING, logging.INFO, logging.DEBUG)  # of -v's

log = logging.getLogger("genretag")

app = typer.Typer(
    name="genretag",
    cls=Group,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["--help"]},
)


def _add(heading: str, name: str, command: Callable[..., Any], **groups: Any) -> None:
    """Add a command under a heading of the help."""
    app.command(name, cls=Command, rich_help_panel=heading)(with_groups(command, **groups))


_add("Analyse and write", "scan", scan.scan)
_add("Analyse and write", "plan", plan.plan)
_add("Analyse and write", "tidy", tidy.tidy, omit=tidy.NEEDS_VERDICT)
_add("Analyse and write", "review", review.review)
_add("Analyse and write", "apply", apply.apply)
# An album that arrives in parts cannot be decided as a whole.
_add("Analyse and write", "watch", watch.watch, omit=("album",))
_add("Analyse and write", "undo", undo.undo)
_add("Inspect", "report", report.report)
_add("Inspect", "info", info.info)
_add("Inspect", "audit", audit.audit)
_add("Inspect", "playlist", playlist.playlist)
_add("Inspect", "similar", similar.similar)
_add("Inspect", "export", export.export)
_add("Inspect", "history", history.history)
_add("Inspect", "verify", verify.verify)
_add("Inspect", "errors", errors.errors)
_add("Train and evaluate", "train", train.train)
_add("Train and evaluate", "evaluate", evaluate.evaluate)
app.add_typer(models_app, name="models", rich_help_panel="Train and evaluate")
_add("Setup and help", "demo", demo.demo)
_add("Setup and help", "doctor", doctor.doctor)
_add("Setup and help", "config", config.config)
_add("Setup and help", "players", players.players)
_add("Setup and help", "help", help.help_)


def _print_version(wanted: bool) -> None:
    """Print the version and exit."""
    if wanted:
        print(f"genretag {genretag.__version__}")
        raise typer.Exit


@app.callback()
def _set_up(
    context: typer.Context,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Print errors only.")] = False,
    verbose: Annotated[
        int,
        typer.Option("-v", "--verbose", count=True, help="Print more; -vv prints everything."),
    ] = 0,
    plain: Annotated[
        bool,
        typer.Option(
            "--plain",
            envvar="GENRETAG_PLAIN",
            help="Print sentences instead of tables.\n\nFor screen readers and logs.",
        ),
    ] = False,
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE", help="Read settings from this file."),
    ] = None,
    log_file: Annotated[
        Path | None, typer.Option("--log-file", metavar="FILE", help="Write a log to this file.")
    ] = None,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Analyse your music, and write genres into its tags after you approve the plan.

    genretag scan shows which genre each file would get, genretag apply writes exactly that, and
    genretag undo restores every byte.

    Examples:
      genretag scan ~/Music --dry-run
      genretag apply
      genretag undo
      genretag help everyday
    """
    _set_up_logging(logging.ERROR if quiet else _LOG_LEVELS[min(verbose, 2)], log_file)
    context.obj = OutputMode(quiet, plain)


def _set_up_logging(level: int, log_file: Path | None) -> None:
    """Log to stderr from this level on, and everything to a file if one is given."""
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


def main() -> None:
    """Run the command line and exit with its status."""
    # OpenBLAS threads wait busily for 2^26 ticks by default; numpy reads this when it loads.
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")
    _escape_what_the_output_cannot_hold()
    try:
        try:
            _run()
        finally:
            sys.stdout.flush()  # at exit, Python would report a full disk as an ignored exception
    except UsageError as error:
        _print_error(str(error))
        sys.exit(WRONG_USAGE)
    except GenretagError as error:
        _print_error(str(error))
        sys.exit(FAILED)
    except sqlite3.Error as error:
        _print_error(f"the database could not be used: {error}; no music file was changed by this")
        sys.exit(FAILED)
    except BrokenPipeError:  # the reader of the output, such as head, has closed it
        _drop_output()
        sys.exit(READER_GONE)
    except SystemExit as error:
        # click turns a closed pipe into status 1 itself; only the context still names the cause.
        if not isinstance(error.__context__, BrokenPipeError):
            raise
        _drop_output()
        sys.exit(READER_GONE)
    except OSError as error:
        log.debug("error of the system", exc_info=True)
        _drop_output()
        _print_error(_describe_os_error(error))
        sys.exit(FAILED)
    except Exception as error:
        log.debug("unexpected error", exc_info=True)
        _print_error(
            f"something went wrong that genretag did not expect: {error or type(error).__name__}"
            " (genretag -vv COMMAND shows where; please report it)"
        )
        sys.exit(FAILED)
    finally:
        # At exit Python searches all objects for garbage, twice; frozen ones are passed over.
        # Worth 21 ms of 229 in genretag history (the fastest of 20 runs each).
        gc.freeze()


def _run() -> None:
    """Run the command that the arguments name; raises SystemExit at its end."""
    arguments = _reorder(sys.argv[1:])
    command = typer.main.get_command(app)
    with _quoted_completions():
        command(arguments, prog_name="genretag", default_map=_read_defaults(command))


@contextlib.contextmanager
def _quoted_completions() -> Iterator[None]:
    """Quote what bash is offered: it inserts words as they are, and some genres have spaces."""
    if os.environ.get("_GENRETAG_COMPLETE") != "complete_bash":
        yield
        return
    offered = io.StringIO()
    try:
        with contextlib.redirect_stdout(offered):
            yield
    finally:
        sys.stdout.write(re.sub(r"([^\w\n@%+=:,./~-])", r"\\\1", offered.getvalue()))


#: Errors of a write to standard output: a full or broken disk, a closed pipe or terminal.
_OUTPUT_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EPIPE, errno.EBADF}


def _describe_os_error(error: OSError) -> str:
    """Return an error of the system as a message."""
    reason = (error.strerror or str(error)).lower()
    if error.filename is not None:
        return f"{os.fsdecode(error.filename)}: {reason}"
    if error.errno in _OUTPUT_ERRORS:  # standard output has no name
        return f"the output could not be written: {reason}"
    return f"the system refused something that genretag needs: {reason} (-vv shows what)"


def _escape_what_the_output_cannot_hold() -> None:
    """Print characters as escapes that the output's encoding lacks, as a pipe's on Windows."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")


def _drop_output() -> None:
    """Send what is still buffered for stdout nowhere, so that the end of Python is silent."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def _is_common(word: str) -> bool:
    """Return whether a word is a flag of every command."""
    return word in ("-q", "--quiet", "--verbose", "--plain") or (
        word.startswith("-v") and set(word[1:]) == {"v"}
    )


def _reorder(arguments: list[str]) -> list[str]:
    """Move -q, -v and --plain before the command, where click wants them; export --config.

    Settings are read before click parses anything, hence ``GENRETAG_CONFIG``.
    """
    for i, word in enumerate(arguments):
        if not word and not (i and arguments[i - 1].startswith("-")):
            raise UsageError("an argument is empty: is a shell variable not set?")
    end = arguments.index("--") if "--" in arguments else len(arguments)
    if (path := _config_argument(arguments[:end])) is not None:
        os.environ["GENRETAG_CONFIG"] = path
        if path and not Path(path).is_file():
            raise UsageError(f"--config {path}: there is no such file")
    common = [word for word in arguments[:end] if _is_common(word)]
    return [*common, *(w for w in arguments[:end] if not _is_common(w)), *arguments[end:]]


def _config_argument(arguments: list[str]) -> str | None:
    """Return the value of the last --config; None if there is none."""
    path = None
    for i, word in enumerate(arguments):
        if word == "--config" and i + 1 < len(arguments):
            path = arguments[i + 1]
        elif word.startswith("--config="):
            path = word.removeprefix("--config=")
    return path


def _command_name(arguments: list[str]) -> str | None:
    """Return the command among the arguments of the program."""
    words = [
        word
        for before, word in zip(["", *arguments], arguments, strict=False)
        if before != "--config" and not word.startswith("-")
    ]
    return words[0] if words else None


def _read_defaults(command: Any) -> dict[str, Any]:
    """Return the defaults of config.toml; a mistake in it does not keep anyone from the help."""
    try:
        # ``config`` lists all mistakes itself.
        return settings.install(command, strict=_command_name(sys.argv[1:]) != "config")
    except GenretagError:
        if {"--help", "-h", "--version"} & set(sys.argv):
            return {}
        raise


def _print_error(text: str) -> None:
    """Print an error message on stderr."""
    from genretag.text import escape_control

    print(f"genretag: {escape_control(text)}", file=sys.stderr)
