"""The rules that a user sets: how windows vote, which confidence suffices, which files to skip."""

from __future__ import annotations

import fnmatch
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from functools import cache
from typing import Any, get_args, get_type_hints

from genretag.decisions.players import READINGS, Id3Version, Player, separator_of
from genretag.decisions.vocabulary import Vocabulary, normalise_genre
from genretag.library.walk import lies_in


class Rule(StrEnum):
    """How the windows of a track vote."""

    MEAN = "mean"  # mean of log-probabilities
    MAJORITY = "majority"  # of the windows' labels; ties go to the higher mean
    WEIGHTED = "weighted"  # mean of probabilities, weighted by each window's confidence


class Existing(StrEnum):
    """What to do if a file has a genre already."""

    SKIP = "skip"
    REPLACE = "replace"
    APPEND = "append"


class Trust(StrEnum):
    """Who is believed about a file that has a genre: this can withhold a write, and never adds one.

    ``existing`` decides first, so that none of these changes a genre that it keeps.
    """

    TAGS = "tags"  # a genre that says something stays
    MODEL = "model"  # a sure prediction is offered, and ``existing`` decides
    AGREE = "agree"  # written only where tags and model name the same genre


class Field(StrEnum):
    """What can be written into tags."""

    GENRE = "genre"
    MOOD = "mood"
    STYLE = "style"


class StyleField(StrEnum):
    """Where styles are written."""

    STYLE = "style"  # a field of their own
    GROUPING = "grouping"
    GENRE = "genre"  # further genres


class Windows(StrEnum):
    """How much of a track is analysed."""

    ALL = "all"
    SPARSE = "sparse"  # pieces of 5 s, and more where they do not settle the decision
    ADAPTIVE = "adaptive"  # another name of sparse

    @property
    def are_sparse(self) -> bool:
        """Whether only pieces of a track are analysed."""
        return self is not Windows.ALL


class HardLinks(StrEnum):
    """What to do with a file that has other hard links, as torrents and deduplication make."""

    SKIP = "skip"
    BREAK = "break"  # this name gets a file of its own
    IN_PLACE = "in-place"  # all names see the change; the next run repairs a killed write


class Owner(StrEnum):
    """Owner of a file after a write, where the file belongs to another user."""

    KEEP = "keep"  # a file whose owner cannot be kept is not written
    MINE = "mine"


class AlbumRule(StrEnum):
    """How the tracks of an album decide together."""

    OFF = "off"  # each track for itself
    MAJORITY = "majority"  # the genre of more than half of the certain tracks goes into all
    ALL = "all"  # written only where all certain tracks agree


@dataclass(frozen=True)
class Protect:
    """Files that are never written, whatever the other options say."""

    paths: tuple[str, ...] = ()  # globs of a path or of a folder in it
    artists: tuple[str, ...] = ()  # globs
    genres: tuple[str, ...] = ()  # a file with one of these genres keeps it

    def reason(self, path: str, artists: tuple[str, ...], genres: list[str]) -> str | None:
        """Return why a file is protected; None if it is not."""
        for glob in self.paths:
            if lies_in(path, glob):
                return f"protected path ({glob})"
        names = {name.strip().casefold() for name in artists if name}
        for artist in self.artists:
            if any(fnmatch.fnmatchcase(name, artist.strip().casefold()) for name in names):
                return f"protected artist ({artist})"
        present = {normalise_genre(g) for g in genres}
        for genre in self.genres:
            if normalise_genre(genre) in present:
                return f"protected genre ({genre})"
        return None


#: Metadata of a field that changes how a planned genre is written, not which one is planned.
_WRITE = {"write": True}


@dataclass(frozen=True)
class Policy:
    """The rules that turn verdicts into a plan.

    Each field but ``vocabulary`` and ``protect`` is an option of scan, plan and apply, declared
    under the same name in ``cli.policy_options.PolicyOptions``.
    """

    min_confidence: float | None = None  # 0 to 1; None: the model's own threshold
    existing: Existing = Existing.SKIP
    trust: Trust | None = None  # None: the tags, but the model where ``existing`` changes genres
    top: int = 1  # maximum number of genres per track
    vote: Rule = Rule.MEAN
    hardlinks: HardLinks = field(default=HardLinks.SKIP, metadata=_WRITE)
    owner: Owner = field(default=Owner.KEEP, metadata=_WRITE)
    convert_v22: bool = field(
        default=False, metadata=_WRITE
    )  # write ID3v2.2 tags as v2.3; else they are skipped
    album: AlbumRule = AlbumRule.OFF
    coarsen: bool = False  # replace a subgenre by its parent (Bebop by Jazz)
    vocabulary: Vocabulary = field(default_factory=Vocabulary)
    protect: Protect = field(default_factory=Protect)
    separator: str | None = None  # joins several genres into one value; None: as the player reads
    player: Player | None = field(
        default=None, metadata=_WRITE
    )  # None: values as each container defines them
    id3_version: Id3Version | None = field(
        default=None, metadata=_WRITE
    )  # None: as the player reads, else unchanged

    write: tuple[Field, ...] = (Field.GENRE,)
    style_field: StyleField = StyleField.STYLE
    evidence: bool = False  # write where the values come from into a field of its own

    @property
    def writes_genre_alone(self) -> bool:
        """Whether no field is written but the genre, and no evidence."""
        return self.write == (Field.GENRE,) and not self.evidence

    @property
    def trusted(self) -> Trust:
        """Who is believed; a request to replace or append without ``trust`` means the model."""
        if self.trust is not None:
            return self.trust
        return Trust.TAGS if self.existing is Existing.SKIP else Trust.MODEL

    def separator_in(self, place: str | None) -> str | None:
        """Return the text that joins genres in a field; None: each genre is a value."""
        return self.separator or separator_of(self.player, "TCON" if place == "TCO" else place)

    @property
    def id3(self) -> Id3Version:
        """Version in which ID3v2 tags are written."""
        if self.id3_version is not None or self.player is None:
            return self.id3_version or Id3Version.KEEP
        return READINGS[self.player].id3

    def to_dict(self) -> dict[str, Any]:
        """Return the policy in JSON's types."""
        flat = {k: v for k, v in vars(self).items() if k not in ("vocabulary", "protect")}
        return {**flat, "vocabulary": self.vocabulary.to_dict(), "protect": asdict(self.protect)}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Policy:
        """Read the result of ``to_dict``; fields that an older version lacked get their default."""
        choices = _choice_types()
        values = {f.name: data[f.name] for f in fields(cls) if data.get(f.name) is not None}
        for name, kind in choices.items():
            if name in values:
                value = values[name]
                several = isinstance(value, list | tuple)
                values[name] = tuple(map(kind, value)) if several else kind(value)
        values["vocabulary"] = Vocabulary.from_dict(data.get("vocabulary", {}))
        protect = data.get("protect", {})
        values["protect"] = Protect(**{name: tuple(globs) for name, globs in protect.items()})
        return cls(**values)


@cache
def _choice_types() -> dict[str, type[StrEnum]]:
    """Return the fields of ``Policy`` whose type is an enumeration, possibly optional."""
    return {
        name: kind
        for name, hint in get_type_hints(Policy).items()
        for kind in (get_args(hint) or (hint,))
        if isinstance(kind, type) and issubclass(kind, StrEnum)
    }


#: Fields that change how a planned genre is written; ``apply`` takes them for a given plan, too.
WRITE_FIELDS = frozenset(f.name for f in fields(Policy) if f.metadata.get("write"))
