"""What a plan does with a file, and why: stable codes for scripts, and their texts."""

from __future__ import annotations

from enum import StrEnum


class Action(StrEnum):
    """What apply does to a file."""

    WRITE = "write"
    KEEP = "keep"  # it has a genre, which stays
    SKIP = "skip"  # no verdict, or the file cannot be written


class Reason(StrEnum):
    """Why a row has its action: a stable code for scripts and filters."""

    EMPTY = "empty"  # fills an empty genre
    GENERIC = "generic"  # fills a genre such as Other
    REPLACES = "replaces"
    ADDS = "adds"
    RENEWS = "renews"  # replaces a genre that genretag wrote
    REVIEWED = "reviewed"
    TIDIES = "tidies"  # the same genre in another spelling, or split; no analysis is involved
    HAS_GENRE = "has-genre"
    SAME = "same"  # the file already has exactly this genre
    DISAGREE = "disagree"  # tags and model name different genres (``--trust agree``)
    MODEL_ONLY = "model-only"  # the tags name none that the model could agree with
    FINER = "finer"  # the genre in the file is finer than the model's
    UNSURE = "unsure"
    NOT_MUSIC = "not-music"
    PROTECTED = "protected"
    NO_WORD = "no-word"  # the vocabulary has no word for the label
    ALBUM = "album"  # the tracks of the album disagree
    HARD_LINKS = "hard-links"
    OLD_TAG = "id3v2.2"
    NOT_WRITABLE = "not-writable"
    DUPLICATE = "duplicate"  # a link to a file that has a row of its own
    FAILED = "failed"
    NOT_CHOSEN = "not-chosen"  # the genre is not among the fields to write (``--write``)
    HAS_FIELD = "has-field"  # a mood or style is there, which stays
    NOT_READ = "not-read"  # an older version read the file's genre alone
    NO_LABELS = "no-labels"  # the model knows no moods or styles


#: Reasons whose text does not depend on the file.
TEXT = {
    Reason.EMPTY: "fills an empty genre",
    Reason.GENERIC: "fills a generic genre",
    Reason.REPLACES: "replaces the genre",
    Reason.ADDS: "adds to the genre",
    Reason.RENEWS: "renews what genretag wrote",
    Reason.REVIEWED: "reviewed",
    Reason.TIDIES: "tidies the genre",
    Reason.HAS_GENRE: "already has a genre",
    Reason.SAME: "already has this genre",
    Reason.DISAGREE: "tags and model disagree",
    Reason.MODEL_ONLY: "only the model names a genre",
    Reason.FINER: "has a finer genre",
    Reason.UNSURE: "unsure",
    Reason.NOT_MUSIC: "not music",
    Reason.HARD_LINKS: "has other hard links (see --hardlinks)",
    Reason.OLD_TAG: "ID3v2.2 tag (--convert-v22 writes it as v2.3)",
    Reason.FAILED: "failed",
    Reason.NOT_CHOSEN: "the genre is not among what is written",
}
