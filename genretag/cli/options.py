"""Options that several commands share: each is declared here once, in groups.

A group is a dataclass whose fields are options. ``with_groups`` expands a command's parameters
of such a type into one option per field, so that commands name groups and never their options.
The first paragraph of a help text is its summary, the one line that ``-h`` shows.
"""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, fields, is_dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_type_hints

import typer

from genretag.decisions.players import Id3Version, Player
from genretag.decisions.policy import (
    AlbumRule,
    Existing,
    Field,
    HardLinks,
    Owner,
    Policy,
    Protect,
    Rule,
    StyleField,
    Trust,
    Windows,
)
from genretag.decisions.vocabulary import Vocabulary
from genretag.errors import UsageError
from genretag.notify.kinds import Kind
from genretag.storage.vocabularies import default_vocabulary, read_vocabulary

if TYPE_CHECKING:
    from genretag.scan.options import Options

# Headings of the help, in the order in which they are shown.
WRITE, FILES, ANALYSIS, OUTPUT, CLUSTER = (
    "What to write",
    "Which files",
    "Analysis",
    "Output",
    "Cluster",
)

MAX_JOBS = 256  # tracks at once; far above the cores of any machine that runs one scan

#: Long flags of options that describe one call (where to write, how to print).
#: A configuration key or variable for all commands must not set them.
ONE_CALL: set[str] = set()

Result = TypeVar("Result")


def one_call(*flags: str, **details: Any) -> Any:
    """Declare an option of one call, which no setting for all commands may change."""
    ONE_CALL.update(name for flag in flags for name in flag.split("/") if name.startswith("--"))
    return typer.Option(*flags, **details)


def with_groups(
    command: Callable[..., Result], *, omit: Collection[str] = ()
) -> Callable[..., Result]:
    """Expand the parameters that are groups of options; fields in ``omit`` keep their default."""
    # typer reads signatures, so the expanded one must hold real types instead of strings.
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, Any] = {}
    expanded: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(command).parameters.items():
        if is_dataclass(hints[name]):
            groups[name] = hints[name]
            expanded += (p for p in _parameters(hints[name]) if p.name not in omit)
        else:
            expanded.append(
                parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hints[name])
            )

    def run(**values: Any) -> Result:
        made = {
            name: group(
                **{p.name: values.pop(p.name) for p in _parameters(group) if p.name in values}
            )
            for name, group in groups.items()
        }
        return command(**values, **made)

    functools.update_wrapper(run, command)
    del run.__wrapped__  # type: ignore[attr-defined]  # typer would read the groups again
    run.__annotations__ = {p.name: p.annotation for p in expanded}
    run.__signature__ = inspect.Signature(expanded)  # type: ignore[attr-defined]
    return run


@functools.cache
def _parameters(group: type) -> tuple[inspect.Parameter, ...]:
    """Return a group's fields as keyword parameters."""
    hints = get_type_hints(group, include_extras=True)
    return tuple(
        inspect.Parameter(
            f.name, inspect.Parameter.KEYWORD_ONLY, default=f.default, annotation=hints[f.name]
        )
        for f in fields(group)
    )


Database = Annotated[
    Path | None,
    typer.Option(
        "--db",
        metavar="FILE",
        envvar="GENRETAG_DB",
        show_default=False,
        help="Database file; its journal lies beside it.",
    ),
]
Json = Annotated[bool, one_call("--json", rich_help_panel=OUTPUT, help="Print JSON lines.")]
Relative = Annotated[
    bool,
    one_call(
        "--relative/--absolute",
        rich_help_panel=OUTPUT,
        help="Write paths relative to the playlist.",
    ),
]
JsonObject = Annotated[
    bool, one_call("--json", rich_help_panel=OUTPUT, help="Print one JSON object.")
]
Paths = Annotated[
    list[Path] | None,
    typer.Argument(metavar="[PATH...]", help="Only files below these paths."),
]
ModelFile = Annotated[
    Path | None,
    typer.Option(
        "--model",
        metavar="FILE",
        rich_help_panel=ANALYSIS,
        show_default=False,
        help="Use this model instead of the default one.",
    ),
]
Jobs = Annotated[
    str,
    typer.Option(
        "-j",
        "--jobs",
        metavar="N",
        rich_help_panel=ANALYSIS,
        help="Tracks to work on at once, or auto: one per core.",
    ),
]
MinConfidence = Annotated[
    float | None,
    typer.Option(
        "--min-confidence",
        metavar="P",
        min=0.0,
        max=1.0,
        rich_help_panel=WRITE,
        show_default="the model's own, 0.7",
        help="Skip tracks less certain than this (0 to 1).",
    ),
]
DryRun = Annotated[
    bool,
    one_call(
        "-n",
        "--dry-run",
        "--pretend",
        rich_help_panel=WRITE,
        help="Show what would be written; write nothing.",
    ),
]
PreserveTimes = Annotated[
    bool,
    typer.Option(
        "-p",
        "--preserve-mtimes",
        rich_help_panel=WRITE,
        help="Keep the modification times of files.\n\n"
        "Many players find changed files by their time, so by default it changes.",
    ),
]

NotifyServers = Annotated[
    list[Kind] | None,
    typer.Option(
        "--notify",
        metavar="SERVER",
        rich_help_panel=WRITE,
        show_default=False,
        help="Tell a player's server; repeatable.\n\n"
        "navidrome, jellyfin, plex or mpd reads what was written. genretag help notify says where"
        " its address and password come from.",
    ),
]

ResetRules = Annotated[
    bool,
    one_call(
        "--reset-rules",
        rich_help_panel=WRITE,
        help="Begin with the default rules.\n\n"
        "Otherwise the rules of the plan hold, its vocabulary included, and options change them.",
    ),
]
RunNumber = Annotated[
    int | None,
    one_call(
        "--run",
        metavar="N",
        rich_help_panel=FILES,
        show_default="the newest plan",
        help="The plan of this run (see history).",
    ),
]


def parse_jobs(text: str) -> int:
    """Return the number of tracks to work on at once.

    Raises:
        UsageError: the text is neither "auto" nor a number from 1 to MAX_JOBS.
    """
    from genretag.scan.cores import automatic_jobs

    if text == "auto":
        return automatic_jobs()
    if text.isdigit() and 1 <= int(text) <= MAX_JOBS:
        return int(text)
    raise UsageError(f"--jobs {text}: give a number from 1 to {MAX_JOBS}, or auto")


@dataclass(frozen=True)
class ApprovalOptions:
    """Whether to write, to ask first, or only to show."""

    dry_run: DryRun = False
    yes: Annotated[
        bool,
        one_call("--yes", "-y", rich_help_panel=WRITE, help="Write without asking."),
    ] = False


@dataclass(frozen=True)
class PolicyOptions:
    """The options that decide on genres: one per field of ``Policy``, and short forms.

    A new field of ``Policy`` needs one field here, of the same name.
    """

    min_confidence: MinConfidence = None
    top: Annotated[
        int | None,
        typer.Option(
            "--top",
            metavar="N",
            min=1,
            max=5,
            rich_help_panel=WRITE,
            show_default="1",
            help="Maximum number of genres per track.",
        ),
    ] = None
    existing: Annotated[
        Existing | None,
        typer.Option(
            "--existing",
            metavar="RULE",
            rich_help_panel=WRITE,
            show_default="skip",
            help="What to do if a file has a genre already.\n\n"
            "Skip the file, replace its genre, or append to it.",
        ),
    ] = None
    skip_existing: Annotated[
        bool,
        typer.Option(
            "-S", "--skip-existing", rich_help_panel=WRITE, help="Same as --existing skip."
        ),
    ] = False
    force: Annotated[
        bool,
        typer.Option("-f", "--force", rich_help_panel=WRITE, help="Same as --existing replace."),
    ] = False
    keep_existing: Annotated[
        bool,
        typer.Option(
            "-k", "--keep-existing", rich_help_panel=WRITE, help="Same as --existing append."
        ),
    ] = False
    trust: Annotated[
        Trust | None,
        typer.Option(
            "--trust",
            metavar="WHOM",
            rich_help_panel=WRITE,
            show_default="tags; model with --existing replace or append",
            help="Whom to believe if a file has a genre already.\n\n"
            "tags keeps a genre that says something; model offers a sure prediction, which"
            " --existing may use; agree writes only where both name the same genre in your"
            " vocabulary. None of them changes what --existing or [protect] keeps.",
        ),
    ] = None
    write: Annotated[
        str | None,
        typer.Option(
            "--write",
            metavar="A,B,...",
            rich_help_panel=WRITE,
            show_default="genre",
            help="Which fields to write: genre, mood, style.\n\n"
            "A mood or style is written only above its own threshold in the model. --existing"
            " holds for each field.",
        ),
    ] = None
    style_field: Annotated[
        StyleField | None,
        typer.Option(
            "--style-field",
            metavar="FIELD",
            rich_help_panel=WRITE,
            show_default="style",
            help="Where styles are written.\n\n"
            "A field of their own (style), the grouping, or as further genres (genre).",
        ),
    ] = None
    evidence: Annotated[
        bool | None,
        typer.Option(
            "--evidence/--no-evidence",
            rich_help_panel=WRITE,
            show_default="no",
            help="Write source, confidence and model, too.\n\n"
            "Into a field named GENRETAG, for each field that is written.",
        ),
    ] = None
    vote: Annotated[
        Rule | None,
        typer.Option(
            "--vote",
            metavar="RULE",
            rich_help_panel=WRITE,
            show_default="mean",
            help="How the windows of a track vote.\n\n"
            "By the mean of their scores, by majority, or weighted by each window's confidence.",
        ),
    ] = None
    album: Annotated[
        AlbumRule | None,
        typer.Option(
            "--album",
            metavar="RULE",
            rich_help_panel=WRITE,
            show_default="off",
            help="Decide for whole albums.\n\n"
            "Write the genre of most of an album's certain tracks into all of its tracks"
            " (majority), or write only where all certain tracks agree (all).",
        ),
    ] = None
    coarsen: Annotated[
        bool | None,
        typer.Option(
            "--coarsen/--no-coarsen",
            rich_help_panel=WRITE,
            show_default="no",
            help="Replace an existing subgenre by its parent.\n\nFor example, Bebop becomes Jazz.",
        ),
    ] = None
    vocabulary: Annotated[
        Path | None,
        typer.Option(
            "--vocabulary",
            metavar="FILE",
            rich_help_panel=WRITE,
            show_default="vocabulary.toml beside config.toml",
            help="Your own words for genres, moods and styles.\n\n"
            "A vocabulary.toml, a beets configuration, or a language with ready-made words: de, es,"
            " fr, it, ja, pl, pt, ru.",
        ),
    ] = None
    separator: Annotated[
        str | None,
        typer.Option(
            "--separator",
            metavar="TEXT",
            rich_help_panel=WRITE,
            show_default="several values",
            help="Join several genres into one value.\n\n"
            "For players that read only the first value of a field.",
        ),
    ] = None
    player: Annotated[
        Player | None,
        typer.Option(
            "--player",
            metavar="NAME",
            rich_help_panel=WRITE,
            show_default="as each container defines it",
            help="Write tags the way this player reads them.\n\n"
            "Chooses the separator and the ID3 version; genretag players lists the facts.",
        ),
    ] = None
    id3v2_version: Annotated[
        Id3Version | None,
        typer.Option(
            "--id3v2-version",
            metavar="VERSION",
            rich_help_panel=WRITE,
            show_default="keep",
            help="Version of ID3v2 tags to write.\n\nOther fields are carried over losslessly.",
        ),
    ] = None
    convert_v22: Annotated[
        bool | None,
        typer.Option(
            "--convert-v22/--no-convert-v22",
            rich_help_panel=WRITE,
            show_default="no",
            help="Convert ID3v2.2 tags to v2.3.\n\nOtherwise files with such tags are skipped.",
        ),
    ] = None
    hardlinks: Annotated[
        HardLinks | None,
        typer.Option(
            "--hardlinks",
            metavar="RULE",
            rich_help_panel=WRITE,
            show_default="skip",
            help="What to do with files with other hard links.\n\n"
            "Skip them, break the link, or write in place for all names (not atomic).",
        ),
    ] = None
    owner: Annotated[
        Owner | None,
        typer.Option(
            "--owner",
            metavar="RULE",
            rich_help_panel=WRITE,
            show_default="keep",
            help="Owner of files of another user.\n\n"
            "keep skips them where the owner cannot be kept; mine makes them yours.",
        ),
    ] = None

    def to_fields(self, context: typer.Context) -> dict[str, Any]:
        """Return the fields of ``Policy`` that were requested, without the vocabulary.

        Raises:
            UsageError: --existing and its short forms contradict each other.
        """
        requested = {_FIELDS.get(name, name): value for name, value in vars(self).items()}
        requested["existing"] = self._existing_rule(context)
        if self.write is not None:
            names = parse_names(self.write, tuple(Field), "--write")
            requested["write"] = tuple(field for field in Field if field in names)
        return {
            f.name: requested[f.name]
            for f in fields(Policy)
            if f.name != "vocabulary" and requested.get(f.name) is not None
        }

    def _existing_rule(self, context: typer.Context) -> Existing | None:
        """Return the rule of --existing or a short form; a flag overrides a setting."""
        requested: dict[str, Existing] = {
            name: rule for name, rule in _SHORT_FORMS.items() if getattr(self, name)
        }
        if self.existing is not None:
            requested["existing"] = self.existing
        flags = {rule for name, rule in requested.items() if _is_flag(context, name)}
        rules = flags or set(requested.values())
        if len(rules) > 1:
            raise UsageError("--existing, -S, -f and -k contradict each other; give one of them")
        return next(iter(rules), None)

    def new_policy(self, context: typer.Context) -> Policy:
        """Return the policy of a scan: the requested rules, and the defaults."""
        return self.changed_policy(default_policy(), context)

    def changed_policy(self, base: Policy, context: typer.Context) -> Policy:
        """Return ``base`` with the requested rules; only the protection is read again."""
        changes = self.to_fields(context)
        if self.vocabulary is not None:
            changes["vocabulary"] = read_user_vocabulary(self.vocabulary)
        policy = Policy(**{**vars(base), **changes, "protect": read_protection()})
        if policy.style_field is StyleField.GENRE and Field.GENRE not in policy.write:
            raise UsageError("--style-field genre makes further genres: --write genre,style")
        return policy


def parse_names(text: str, known: Sequence[str], flag: str) -> tuple[str, ...]:
    """Return the names in a list with commas, each once.

    Raises:
        UsageError: there is none, or one is not known; the message suggests the nearest.
    """
    names = tuple(dict.fromkeys(n for part in text.split(",") if (n := part.strip().casefold())))
    for name in names or ("",):
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
            raise UsageError(f"{flag} {text}: {name or 'nothing'} is no field; {hint}")
    return names


def default_policy() -> Policy:
    """Return the rules that hold where no option names another: defaults, the user's words."""
    return Policy(vocabulary=default_vocabulary())


_FIELDS = {"id3v2_version": "id3_version"}  # options whose name differs from the policy's field
_SHORT_FORMS = {
    "skip_existing": Existing.SKIP,
    "force": Existing.REPLACE,
    "keep_existing": Existing.APPEND,
}
#: Names of all options that decide on genres; ``apply`` ignores settings for them.
POLICY_NAMES = frozenset(f.name for f in fields(PolicyOptions))


def flag_of(field: str) -> str:
    """Return the flag that sets a field of ``Policy``."""
    name = next((option for option, of in _FIELDS.items() if of == field), field)
    return "--" + name.replace("_", "-")


def _is_flag(context: typer.Context, name: str) -> bool:
    """Return whether an option was given on the command line."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def describe_policy(policy: Policy) -> str:
    """Return the flags that would request this policy; empty for the defaults."""
    usual = vars(Policy())
    flags = (
        flag_of(name) if value is True else f"{flag_of(name)} {_text_of(value)}"
        for name, value in vars(policy).items()
        if value != usual[name] and name not in ("vocabulary", "protect")
    )
    words = policy.vocabulary
    described = [*flags]
    if not words.changes_nothing:
        described.append(f"a vocabulary ({_describe_vocabulary(words)})")
    return " ".join(described)


def _text_of(value: object) -> str:
    """Return a value of a rule as an option has it."""
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _describe_vocabulary(words: Vocabulary) -> str:
    """Return what a vocabulary changes: the number of entries in each part that is not usual."""
    usual = vars(Vocabulary())
    changed = {n: v for n, v in words.to_dict().items() if v != usual[n]}
    parts = []
    for key, value in changed.items():
        # Messages about aliases that match no label must stand out from this one.
        name = "renamed words" if key == "aliases" else key.replace("_", " ")
        if isinstance(value, tuple | dict | list):
            name = f"{name}: {len(value)}"
        parts.append(f"{name} {value}" if key == "language" else name)
    return ", ".join(parts)


def read_user_vocabulary(path: Path | None) -> Vocabulary:
    """Read the given vocabulary, else the user's own."""
    return read_vocabulary(path.expanduser()) if path is not None else default_vocabulary()


def read_protection() -> Protect:
    """Read ``[protect]`` in config.toml.

    Raises:
        UsageError: it has other keys than the three lists, or other values than texts.
    """
    from genretag.storage import config

    table, place = config.read().get("protect", {}), config.config_path()
    known = ("paths", "artists", "genres")
    if not isinstance(table, dict):
        raise UsageError(f"{place}: [protect] is a table of the lists {', '.join(known)}")
    for key, value in table.items():
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
            raise UsageError(f"{place}: [protect] {key} is no setting; {hint}")
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise UsageError(f'{place}: [protect] {key} is a list of texts: {key} = ["..."]')
    return Protect(**{key: tuple(texts) for key, texts in table.items()})


@dataclass(frozen=True)
class FileOptions:
    """Which files a scan analyses; a field of ``scanner.Options`` has the same name."""

    exclude: Annotated[
        list[str] | None,
        typer.Option(
            "--exclude",
            metavar="GLOB",
            rich_help_panel=FILES,
            help="Skip files and folders that match; repeatable.",
        ),
    ] = None
    limit: Annotated[
        int | None,
        one_call(
            "--limit", metavar="N", min=1, rich_help_panel=FILES, help="Stop after this many files."
        ),
    ] = None
    rescan: Annotated[
        bool,
        typer.Option("--rescan", rich_help_panel=FILES, help="Analyse known tracks again."),
    ] = False
    retry_failed: Annotated[
        bool,
        typer.Option(
            "--retry-failed", rich_help_panel=FILES, help="Try files again that failed before."
        ),
    ] = False


class Device(StrEnum):
    """Where the model runs."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


@dataclass(frozen=True)
class AnalysisOptions:
    """How a scan analyses tracks; a field of ``scanner.Options`` has the same name."""

    windows: Annotated[
        Windows,
        typer.Option(
            "--windows",
            metavar="MODE",
            rich_help_panel=ANALYSIS,
            help="How much of each track to analyse.\n\n"
            "all of it, or sparse: six or twelve pieces of 5 s, four times as fast. adaptive is"
            " another name of sparse.",
        ),
    ] = Windows.ALL
    model: ModelFile = None
    device: Annotated[
        Device,
        typer.Option(
            "--device", metavar="NAME", rich_help_panel=ANALYSIS, help="Where the model runs."
        ),
    ] = Device.auto
    jobs: Jobs = "auto"

    @property
    def workers(self) -> int:
        """Number of tracks to work on at once."""
        return parse_jobs(self.jobs)


def scan_options(
    paths: Sequence[Path], policy: Policy, files: FileOptions, analysis: AnalysisOptions
) -> Options:
    """Return the scanner's options: each field that the groups share with it by name."""
    from genretag.scan.options import Options

    known = {f.name for f in fields(Options)} - {"jobs"}
    given: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in (*vars(files).items(), *vars(analysis).items())
        if name in known and value is not None
    }
    return Options(tuple(paths), policy, analysis.workers, **given)


@dataclass(frozen=True)
class ReportOptions:
    """How a plan is shown, and where it is written."""

    json: Annotated[
        bool, one_call("--json", rich_help_panel=OUTPUT, help="Print the plan as JSON lines.")
    ] = False
    output: Annotated[
        Path | None,
        one_call(
            "-O",
            "--output",
            metavar="FILE",
            rich_help_panel=OUTPUT,
            show_default=False,
            help="Write the whole plan to a .csv, .jsonl or .md file.",
        ),
    ] = None


class Engine(StrEnum):
    """What runs the analysis."""

    local = "local"
    ray = "ray"


@dataclass(frozen=True)
class EngineOptions:
    """Where a scan runs: on this machine or on a cluster."""

    engine: Annotated[
        Engine,
        typer.Option(
            "--engine",
            metavar="NAME",
            rich_help_panel=CLUSTER,
            help="Analyse on this machine or on a Ray cluster.",
        ),
    ] = Engine.local
    address: Annotated[
        str | None,
        typer.Option(
            "--address",
            metavar="HOST:PORT",
            rich_help_panel=CLUSTER,
            show_default="a cluster on this machine",
            help="The cluster's address, or auto.",
        ),
    ] = None
    results: Annotated[
        str | None,
        typer.Option(
            "--results",
            metavar="PLACE",
            rich_help_panel=CLUSTER,
            show_default=False,
            help="Keep all analyses in this folder or URL.\n\nAs Parquet; needs --engine ray.",
        ),
    ] = None


@dataclass(frozen=True)
class LabelOptions:
    """Which labels of a table or of genre folders are used."""

    classes: Annotated[
        str | None,
        typer.Option(
            "--classes",
            metavar="A,B,...",
            rich_help_panel=FILES,
            show_default=False,
            help="Only these labels, separated by commas.",
        ),
    ] = None
    subset: Annotated[
        str | None,
        typer.Option(
            "--subset",
            metavar="NAME",
            rich_help_panel=FILES,
            show_default=False,
            help="Subset of FMA's tracks.csv.\n\nsmall, medium, large or full.",
        ),
    ] = None
    audio: Annotated[
        Path | None,
        typer.Option(
            "--audio",
            metavar="FOLDER",
            rich_help_panel=FILES,
            show_default="the table's folder",
            help="Folder that a table's paths start from.",
        ),
    ] = None
