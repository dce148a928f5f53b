"""Labelled music as people keep it -> (path, label, artist): folders, CSV, FMA's tables, a plan that was corrected."""

from __future__ import annotations

import csv
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from genretag.errors import RunError, UsageError
from genretag.library.walk import Found, is_music, walk

_PATH_COLUMNS = ("path", "file", "filename", "filepath", "file_path", "track")
_LABEL_COLUMNS = ("label", "genre", "class", "category")
_ARTIST_COLUMNS = ("artist", "artist_id", "performer", "group")


@dataclass(frozen=True)
class Example:
    """One labelled track."""

    path: Path
    label: str
    artist: str | None = None  # where a table says so
    folder: str | None = (
        None  # between the genre's folder and the file: an artist, where the tags name none
    )
    part: str | None = None  # official split: training | validation | test


@dataclass(frozen=True)
class LabelledTracks:
    """What a layout holds, and what was noticed while it was read."""

    examples: list[Example]
    notes: list[str] = field(default_factory=list)


def read_labelled(
    source: Path, *, subset: str | None = None, audio: Path | None = None
) -> LabelledTracks:
    """Read labelled tracks from a folder of genre folders, or from a CSV (FMA's ``tracks.csv`` is known by its header).

    Args:
        source: the folder or the CSV.
        subset: FMA's small, medium, large or full; the smaller ones are part of the larger.
        audio: where a CSV's paths begin; its own folder by default.

    Raises:
        RunError: nothing labelled can be found there, and why.
    """
    if not source.exists():
        raise UsageError(f"{source}: there is no such file or folder")
    if source.is_dir():
        labelled = _from_folders(source)
    elif source.suffix.lower() in (".csv", ".tsv", ".txt"):
        labelled = _from_csv(source, subset, audio)
    else:
        raise UsageError(f"{source}: neither a folder of genre folders nor a .csv")
    return merge_spellings(labelled)


# --- folders -----------------------------------------------------------------------------------------------------


def _from_folders(top: Path) -> LabelledTracks:
    """Read ``top/Genre/**/track``; one folder that only wraps the genre folders is looked through."""
    notes: list[str] = []
    genres = _folders(top)
    while (
        len(genres) == 1
        and not _has_music(top)
        and not _has_music(genres[0])
        and _folders(genres[0])
    ):
        top, genres = genres[0], _folders(genres[0])
    examples = []
    for folder in genres:
        found = 0
        for entry in walk([folder]):
            if not isinstance(entry, Found):
                notes.append(f"{entry.path}: cannot be read ({entry.error})")
                continue
            inner = entry.path.relative_to(folder).parts[:-1]
            examples.append(Example(entry.path, folder.name, folder=inner[0] if inner else None))
            found += 1
        if not found:
            notes.append(f"{folder.name}: the folder holds no music")
    if _has_music(top):
        notes.append(
            f"{top}: music that lies beside the genre folders has no label, and was left out"
        )
    if not examples:
        raise RunError(
            f"{top}: no music in folders below it; genretag train wants one folder a genre"
        )
    return LabelledTracks(examples, notes)


def _folders(top: Path) -> list[Path]:
    try:
        return sorted(p for p in top.iterdir() if p.is_dir() and not p.name.startswith("."))
    except OSError as error:
        raise RunError(f"{top}: cannot be read: {error.strerror}") from error


def _has_music(folder: Path) -> bool:
    return any(is_music(p.name) and p.is_file() for p in folder.iterdir())


# --- tables ------------------------------------------------------------------------------------------------------


def _from_csv(path: Path, subset: str | None, audio: Path | None) -> LabelledTracks:
    """Read a table of path and label, or FMA's."""
    try:
        text = path.read_text(encoding="utf-8-sig", errors="surrogateescape")
    except OSError as error:
        raise RunError(f"{path}: cannot be read: {error.strerror}") from error
    delimiter = (
        "\t"
        if path.suffix.lower() == ".tsv"
        or text.split("\n", 1)[0].count("\t") > text.split("\n", 1)[0].count(",")
        else ","
    )
    rows = list(csv.reader(text.splitlines(), delimiter=delimiter))
    if len(rows) > 2 and "genre_top" in rows[1]:
        return _from_fma(path, rows, subset or "small", audio)
    if subset is not None:
        raise UsageError(f"{path}: --subset is for FMA's tracks.csv, and this is another table")
    return _from_table(path, rows, audio or path.parent)


def _column(header: Sequence[str], names: Iterable[str]) -> int | None:
    normalise_label = [h.strip().lower() for h in header]
    return next((normalise_label.index(n) for n in names if n in normalise_label), None)


def _from_table(path: Path, rows: list[list[str]], base: Path) -> LabelledTracks:
    if not rows:
        raise RunError(f"{path}: the table is empty")
    at_path, at_label, at_artist = (
        _column(rows[0], names) for names in (_PATH_COLUMNS, _LABEL_COLUMNS, _ARTIST_COLUMNS)
    )
    body = rows[1:]
    if at_path is None or at_label is None:
        if len(rows[0]) != 2 or not is_music(rows[0][0]):
            raise RunError(
                f"{path}: its first line must name a column path and a column label (it has: {', '.join(rows[0])[:200]})"
            )
        at_path, at_label, body = 0, 1, rows  # no header, and the first column is a file
    examples, notes = [], []
    for number, row in enumerate(body, len(rows) - len(body) + 1):
        if (
            len(row) <= max(at_path, at_label)
            or not row[at_path].strip()
            or not row[at_label].strip()
        ):
            if any(cell.strip() for cell in row):
                notes.append(f"{path.name}, line {number}: no path or no label")
            continue
        artist = row[at_artist].strip() if at_artist is not None and at_artist < len(row) else ""
        examples.append(Example(base / row[at_path].strip(), row[at_label], artist or None))
    return _existing(path, examples, notes)


def _from_fma(path: Path, rows: list[list[str]], subset: str, audio: Path | None) -> LabelledTracks:
    """Read FMA's ``tracks.csv`` (Defferrard et al. 2017): a header of two rows, and the ids' row below it."""
    sizes = ("small", "medium", "large", "full")
    if subset not in sizes:
        raise UsageError(f"--subset {subset}: small, medium, large or full")
    wanted = set(sizes[: sizes.index(subset) + 1])
    columns = {pair: n for n, pair in enumerate(zip(rows[0], rows[1], strict=True))}
    try:
        in_subset, in_split = columns["set", "subset"], columns["set", "split"]
        genre, artist = columns["track", "genre_top"], columns["artist", "id"]
    except KeyError as error:
        raise RunError(f"{path}: FMA's table without the column {error.args[0]}") from error
    base = audio or _fma_audio(path, subset)
    examples = []
    for row in rows[2:]:
        if (
            len(row) <= genre
            or not row[0].strip().isdigit()
            or row[in_subset] not in wanted
            or not row[genre].strip()
        ):
            continue
        name = f"{int(row[0]):06d}"
        examples.append(
            Example(
                base / name[:3] / f"{name}.mp3",
                row[genre],
                artist=row[artist] or None,
                part=row[in_split] or None,
            )
        )
    return _existing(path, examples, [])


def _fma_audio(path: Path, subset: str) -> Path:
    """Return the folder of the clips: beside the metadata's folder, as FMA's archives unpack."""
    for base in (path.parent, path.parent.parent):
        for folder in (base / f"fma_{subset}", base):
            if (folder / "000").is_dir():
                return folder
    raise RunError(
        f"{path}: no folder fma_{subset} beside it; say where the clips are with --audio"
    )


def _existing(path: Path, examples: list[Example], notes: list[str]) -> LabelledTracks:
    """Leave out what is not there, and say how many."""
    there = [e for e in examples if e.path.is_file()]
    if len(there) < len(examples):
        missing = next(e.path for e in examples if not e.path.is_file())
        notes.append(
            f"{path.name}: {len(examples) - len(there):,} of {len(examples):,} files are not there (the first: {missing})"
        )
    if not there:
        raise RunError(
            f"{path}: none of its {len(examples):,} files can be found"
            + (f" ({notes[-1]})" if notes else "")
        )
    return LabelledTracks(there, notes)


# --- corrected plans ---------------------------------------------------------------------------------------------


def read_corrected_plan(path: Path) -> LabelledTracks:
    """Read a plan or report that a person corrected: rows whose genre is no longer what the ear said become labels."""
    from genretag.report.formats import read_plan

    rows = list(read_plan(path))
    fixed = [
        r
        for r in rows
        if r.new
        and (r.reviewed or (r.new != r.old and r.new[0] != (r.genre or next(iter(r.scores), None))))
    ]
    if not fixed:
        raise RunError(
            f"{path}: {len(rows):,} rows, and in none of them the genre is another than the ear said: nothing to learn"
        )
    return merge_spellings(
        LabelledTracks(
            [Example(r.absolute, r.new[0]) for r in fixed],
            [f"{path.name}: {len(fixed):,} corrected rows of {len(rows):,}"],
        )
    )


# --- labels ------------------------------------------------------------------------------------------------------


def normalise_label(label: str) -> str:
    """Return what makes two labels the same: case, outer space and Unicode form do not count."""
    return " ".join(unicodedata.normalize("NFKC", label).casefold().split())


def merge_spellings(labelled: LabelledTracks) -> LabelledTracks:
    """Make labels that differ only by case or space one, spelt as most of the tracks spell it."""
    spellings: dict[str, Counter[str]] = defaultdict(Counter)
    for e in labelled.examples:
        spellings[normalise_label(e.label)][" ".join(e.label.split())] += 1
    best = {key: counts.most_common(1)[0][0] for key, counts in spellings.items()}
    raw: dict[str, set[str]] = defaultdict(set)
    for e in labelled.examples:
        raw[normalise_label(e.label)].add(e.label)
    notes = [
        f"{', '.join(map(repr, sorted(names)))} were taken as one label: {best[key]}"
        for key, names in raw.items()
        if len(names) > 1
    ]
    return LabelledTracks(
        [replace(e, label=best[normalise_label(e.label)]) for e in labelled.examples],
        [*labelled.notes, *notes],
    )


def select_labels(labelled: LabelledTracks, classes: Sequence[str]) -> LabelledTracks:
    """Keep only some labels (``--classes rock,jazz``); raise for one that is not there."""
    wanted = {normalise_label(c) for c in classes}
    have = {normalise_label(e.label) for e in labelled.examples}
    if unknown := [c for c in classes if normalise_label(c) not in have]:
        raise UsageError(
            f"--classes {', '.join(unknown)}: no such label; there are {', '.join(sorted({e.label for e in labelled.examples}))}"
        )
    return LabelledTracks(
        [e for e in labelled.examples if normalise_label(e.label) in wanted], labelled.notes
    )


def drop_small_labels(labelled: LabelledTracks, *, least: int = 2) -> LabelledTracks:
    """Leave out labels with fewer than ``least`` tracks; raise ``RunError`` where fewer than two labels are left."""
    counts = Counter(e.label for e in labelled.examples)
    small = sorted(label for label, n in counts.items() if n < least)
    notes = [
        f"{label}: {counts[label]} track, and two are the least; the label was left out"
        for label in small
    ]
    rest = [e for e in labelled.examples if e.label not in small]
    labels = {e.label for e in rest}
    if len(labels) < 2:
        found = ", ".join(f"{label} ({n})" for label, n in counts.most_common(5)) or "none"
        raise RunError(
            f"two labels of two tracks or more are the least to learn from; found: {found}"
        )
    return LabelledTracks(rest, [*labelled.notes, *notes])
