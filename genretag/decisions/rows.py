"""Rows of a plan: one file each, and the keys of ``--json``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, dataclass, field, fields, replace
from itertools import islice
from pathlib import Path
from typing import Any

from genretag.decisions.fields import EVIDENCE, FieldPlan, are_plans
from genretag.decisions.reasons import TEXT, Action, Reason
from genretag.decisions.sources import Source
from genretag.decisions.vote import Status, Verdict
from genretag.errors import RunError
from genretag.library.urls import absolute, to_url
from genretag.records import Analysis, FileRow
from genretag.tags import meaningful
from genretag.text import round_down

MAX_SCORES = 24  # highest scores kept in a row; some models have hundreds of labels


@dataclass(frozen=True)
class Row:
    """One file of a plan or report; its fields are the keys of ``--json``."""

    path: str  # as walked; bytes that are not UTF-8 are surrogates
    status: str
    genre: str | None
    confidence: float | None
    scores: dict[str, float]
    windows: int
    agreement: float | None
    old: list[str]
    new: list[str]
    action: str
    reason: str
    error: str | None = None
    file: str = ""  # absolute path; "" if ``path`` is absolute
    music: float | None = None  # probability of music, 0 to 1
    seconds: float | None = None
    share: float | None = None  # part of the track that decoded, 0 to 1
    size: int = 0
    mtime_ns: int = 0
    sha256: str | None = None  # of the whole file; null in plans that have a check
    content_key: str = ""  # the audio key, where the packets were never read
    artist: str = ""
    album: str = ""
    album_artist: str = ""
    reviewed: bool = False  # a person chose the genre
    of_windows: int = 0  # windows in the track, if only some were analysed
    styles: list[str] = field(default_factory=list)  # above their thresholds
    code: str = ""  # the reason's code; "" in plans of older versions
    compilation: bool = False  # by the file's tags
    file_check: str | None = None  # "xxh3:" or "sha256:" and a hash of the whole file
    audio_key: str | None = None  # a hash of parts of the audio; see genretag.audio.audio_key
    piece: float = 0.0  # s; ``windows`` counts pieces of this length; 0: windows of 30 s
    source: str = ""  # who names the genre in ``new``: a ``Source``; "" if nobody does
    #: Field beside the genre -> what is planned for it; empty unless ``--write`` names one.
    fields: dict[str, FieldPlan] = field(default_factory=dict)

    @property
    def absolute(self) -> Path:
        """Absolute path of the file."""
        return absolute(Path(self.file or self.path))

    @property
    def writes(self) -> dict[str, list[str]]:
        """The fields that apply writes, the genre first, with their new values.

        Evidence alone, in a plan that somebody edited, is not written.
        """
        found = {"genre": self.new} if self.action == Action.WRITE and self.new else {}
        planned = ((name, plan) for name, plan in self.fields.items())
        found |= {n: p["new"] for n, p in planned if p["action"] == Action.WRITE}
        return found if found.keys() != {EVIDENCE} else {}

    def to_dict(self) -> dict[str, Any]:
        """Return the row as JSON data; its lists are those of the row."""
        return dict(vars(self))  # asdict copies them, which takes ten times as long

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Row:
        """Read a row from JSON data.

        Raises:
            RunError: the data is not a row of a plan.
        """
        if not isinstance(data, dict):
            raise RunError("not a row of a plan: it is no JSON object")
        try:
            known = data if data.keys() <= _KEYS else {k: v for k, v in data.items() if k in _KEYS}
            row = cls(**known)
        except TypeError as error:
            missing = ", ".join(field for field in _REQUIRED if field not in known)
            raise RunError(f"not a row of a plan: it has no {missing}") from error
        valid = isinstance(row.path, str) and all(map(_is_word_list, (row.old, row.new)))
        if not valid or row.action not in set(Action) or not are_plans(row.fields):
            raise RunError(f"not a row of a plan: {row.path!r}")
        return row


_KEYS = frozenset(f.name for f in fields(Row))
_REQUIRED = [f.name for f in fields(Row) if f.default is MISSING and f.default_factory is MISSING]


def _is_word_list(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(word, str) for word in value)


def base_row(path: Path, f: FileRow, analysis: Analysis, verdict: Verdict) -> Row:
    """Return the row of an analysed file before anything is decided."""
    return Row(
        path=to_url(path),
        status=verdict.status,
        genre=verdict.genre if verdict.status is Status.OK else None,
        confidence=round_down(verdict.confidence, 4),
        scores={g: round_down(s, 4) for g, s in islice(verdict.scores.items(), MAX_SCORES)},
        windows=verdict.windows,
        agreement=round(verdict.agreement, 4),
        old=f.tags.genres,
        new=f.tags.genres,
        action=Action.SKIP,
        reason="",
        file=to_url(f.path),
        music=round(verdict.music, 4),
        seconds=round(analysis.seconds, 2),
        share=round(analysis.share, 3),
        size=f.size,
        mtime_ns=f.mtime_ns,
        sha256=f.sha256 or None,
        content_key=f.content_key,
        file_check=f.file_check,
        audio_key=f.audio_key,
        piece=analysis.piece,
        artist=f.tags.album.artist,
        album=f.tags.album.album,
        album_artist=f.tags.album.album_artist,
        compilation=f.tags.album.compilation,
        of_windows=analysis.of,
        styles=list(verdict.styles),
    )


def _row_without_analysis(path: str, status: Status, code: Reason, reason: str) -> Row:
    return Row(
        path=path,
        status=status,
        genre=None,
        confidence=None,
        scores={},
        windows=0,
        agreement=None,
        old=[],
        new=[],
        action=Action.SKIP,
        reason=reason,
        code=code,
    )


def skipped_row(row: Row, code: Reason, reason: Callable[[list[str]], str]) -> Row:
    """Return a row that writes nothing; ``reason`` makes the text from the values not written."""
    plans = dict(row.fields)
    for name, plan in row.fields.items():
        if plan["action"] == Action.WRITE:
            plans[name] = plan.copy()
            plans[name]["action"], plans[name]["new"] = Action.SKIP, plan["old"]
            plans[name]["code"], plans[name]["reason"] = code, reason(plan["new"])
    row = replace(row, fields=plans)
    if row.action != Action.WRITE:
        return row
    text, source = reason(row.new), source_of_old(row)
    return replace(row, action=Action.SKIP, new=row.old, code=code, reason=text, source=source)


def source_of_old(row: Row) -> str:
    """Return who names the genre of a file that is left alone."""
    return Source.TAGS if meaningful(row.old) else ""


def failed_row(path: Path, error: str) -> Row:
    """Return the row of a file that could not be analysed."""
    row = _row_without_analysis(to_url(path), Status.FAILED, Reason.FAILED, TEXT[Reason.FAILED])
    return replace(row, file=to_url(absolute(path)), error=error)


def linked_row(path: Path, target: Path) -> Row:
    """Return the row of a link to a file that has a row of its own."""
    reason = f"same file as {target}"
    row = _row_without_analysis(to_url(path), Status.OK, Reason.DUPLICATE, reason)
    return replace(row, file=to_url(absolute(path)))


def unanalysed_row(path: Path) -> Row:
    """Return the row of a file that was not analysed, before anything is decided."""
    row = _row_without_analysis(to_url(path), Status.OK, Reason.HAS_GENRE, "")
    return replace(row, file=to_url(absolute(path)))


def keep_tidied(row: Row) -> Row:
    """Return the row of a file that an earlier plan would tidy and this one leaves alone."""
    code = Reason.HAS_GENRE
    source = source_of_old(row)
    return replace(
        row, action=Action.KEEP, new=row.old, reason=TEXT[code], code=code, source=source
    )
