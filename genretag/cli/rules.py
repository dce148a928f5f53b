"""The options that decide what is written: shared by scan, plan and apply."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from genretag.decisions.players import Id3Version, Player
from genretag.decisions.policy import AlbumRule, Existing, HardLinks, Policy, Protect, Rule
from genretag.decisions.vocabulary import Vocabulary
from genretag.errors import UsageError
from genretag.storage.vocabularies import default_vocabulary, read_vocabulary

Top = Annotated[
    int | None,
    typer.Option(
        "--top", min=1, max=5, help="Write up to so many genres a track.", show_default="1"
    ),
]
ExistingOption = Annotated[
    Existing | None,
    typer.Option(
        "--existing",
        help="What to do with a genre that is there: skip the file, replace it, or append to it.",
        show_default="skip",
    ),
]
Skip = Annotated[bool, typer.Option("-S", "--skip-existing", help="The same as --existing skip.")]
Force = Annotated[bool, typer.Option("-f", "--force", help="The same as --existing replace.")]
Keep = Annotated[bool, typer.Option("-k", "--keep-existing", help="The same as --existing append.")]
Vote = Annotated[
    Rule | None, typer.Option("--vote", help="How a track's windows vote.", show_default="mean")
]
Links = Annotated[
    HardLinks | None,
    typer.Option(
        "--hardlinks",
        show_default="skip",
        help="Files with other hard links: skip them, break the link, or write in place for all names (not atomic).",
    ),
]
ConvertV22 = Annotated[
    bool | None,
    typer.Option(
        "--convert-v22/--no-convert-v22",
        help="Write ID3v2.2 tags as v2.3; else they are left alone.",
        show_default="no",
    ),
]
Album = Annotated[
    AlbumRule | None,
    typer.Option(
        "--album",
        show_default="off",
        help="Let an album's tracks decide together: by the majority of the sure ones, or only where all of these agree.",
    ),
]
Coarsen = Annotated[
    bool | None,
    typer.Option(
        "--coarsen/--no-coarsen",
        help="Replace a finer genre by its parent, too (Bebop by Jazz).",
        show_default="no",
    ),
]
VocabularyFile = Annotated[
    Path | None,
    typer.Option(
        "--vocabulary",
        help="Your words: a vocabulary.toml, or a beets configuration.",
        show_default="vocabulary.toml beside config.toml",
    ),
]


Separator = Annotated[
    str | None,
    typer.Option(
        "--separator",
        help="Write several genres as one value with this between them (for players that read one alone).",
        show_default="several values",
    ),
]


PlayerOption = Annotated[
    Player | None,
    typer.Option(
        "--player",
        help="Write several genres, and ID3, as this player reads them (genretag players tells how).",
        show_default="as each container defines it",
    ),
]
Id3 = Annotated[
    Id3Version | None,
    typer.Option(
        "--id3v2-version",
        help="Write ID3v2 tags in this version; nothing in them is lost.",
        show_default="keep",
    ),
]


def existing_of(
    context: typer.Context, existing: Existing | None, skip: bool, force: bool, keep: bool
) -> Existing | None:
    """Return what was asked for by --existing or by one of its short forms; a flag counts before a setting."""
    given = {
        "skip_existing": (Existing.SKIP, skip),
        "force": (Existing.REPLACE, force),
        "keep_existing": (Existing.APPEND, keep),
    }
    asked = {name: rule for name, (rule, wanted) in given.items() if wanted}
    if existing is not None:
        asked["existing"] = existing
    flags = {rule for name, rule in asked.items() if _is_flag(context, name)}
    rules = flags or set(asked.values())
    if len(rules) > 1:
        raise UsageError("--existing, -S, -f and -k say different things; give one of them")
    return next(iter(rules), None)


def _is_flag(context: typer.Context, name: str) -> bool:
    """Return whether an option was given on the command line."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def in_force(policy: Policy) -> str:
    """Return what a policy does otherwise than the default, as one would ask for it."""
    usual, told = Policy(), list[str]()
    for name, value in vars(policy).items():
        if value == getattr(usual, name) or name in ("vocabulary", "protect"):
            continue
        flag = "--" + {"id3_version": "id3v2-version"}.get(name, name.replace("_", "-"))
        told.append(flag if value is True else f"{flag} {value}")
    return " ".join(told)


def protection() -> Protect:
    """Return what ``[protect]`` in config.toml says."""
    from genretag.storage import config

    table = config.read().get("protect", {})
    known = {"paths", "artists", "genres"}
    if (
        not isinstance(table, dict)
        or set(table) - known
        or not all(isinstance(v, list) for v in table.values())
    ):
        raise UsageError(
            f"{config.config_path()}: [protect] has lists named paths, artists and genres, and nothing else"
        )
    return Protect(**{k: tuple(map(str, v)) for k, v in table.items()})


def vocabulary_of(path: Path | None) -> Vocabulary:
    """Return the vocabulary that was named, or the user's own."""
    return read_vocabulary(path.expanduser()) if path is not None else default_vocabulary()


def first_policy(vocabulary: Path | None, **asked: Any) -> Policy:
    """Return the policy of a scan: what was asked for, else the defaults."""
    return Policy(
        vocabulary=vocabulary_of(vocabulary),
        protect=protection(),
        **{k: v for k, v in asked.items() if v is not None},
    )


def changed_policy(base: dict[str, Any], vocabulary: Path | None, **asked: Any) -> Policy:
    """Return an earlier policy with what was asked for in its place; the vocabulary and protection are read anew."""
    before = Policy.from_dict(base)
    kept = {k: v for k, v in vars(before).items() if k not in ("vocabulary", "protect")}
    given = {k: v for k, v in asked.items() if v is not None}
    return Policy(**{**kept, **given}, vocabulary=vocabulary_of(vocabulary), protect=protection())
