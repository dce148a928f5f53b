"""The options that decide on genres, and the rules (``Policy``) that they make."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any

import typer

from genretag.cli.option_groups import WRITE
from genretag.decisions.players import Id3Version, Player
from genretag.decisions.policy import (
    AlbumRule,
    Existing,
    Field,
    HardLinks,
    Owner,
    Policy,
    Rule,
    StyleField,
    Trust,
)
from genretag.decisions.vocabulary import Vocabulary
from genretag.errors import UsageError
from genretag.storage.protection import read_protection
from genretag.storage.vocabularies import default_vocabulary, read_vocabulary
from genretag.text import suggestion_or_all

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
            hint = suggestion_or_all(name, known)
            raise UsageError(f"{flag} {text}: {name or 'nothing'} is no field{hint}")
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


def read_user_vocabulary(path: Path | None) -> Vocabulary:
    """Read the given vocabulary, else the user's own."""
    return read_vocabulary(path.expanduser()) if path is not None else default_vocabulary()
