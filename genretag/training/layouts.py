"""Read labelled music: genre folders, tables of path and label, FMA's tables, corrected plans."""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from genretag.decisions.vocabulary import normalise_genre
from genretag.errors import RunError, UsageError
from genretag.library.walk import Found, is_music, walk

_PATH_COLUMNS = ("path", "file", "filename", "filepath", "file_path", "track")
_LABEL_COLUMNS = ("label", "genre", "class", "category")
_ARTIST_COLUMNS = ("artist", "artist_id", "performer", "group")
_FMA_SUBSETS = ("small", "medium", "large", "full")  # each is part of the next
_MAX_QUOTED = 200  # characters of a header in an error message


@dataclass(frozen=True)
class Example:
    """A labelled track."""

    path: Path
    label: str
    artist: str | None = None  # from a table
    folder: str | None = None  # below the genre's folder: the artist if the tags name none
    part: str | None = None  # official split: training, validation or test


@dataclass(frozen=True)
class LabelledTracks:
    """Labelled tracks of a folder or table, and notes about problems."""

    examples: list[Example]
    notes: list[str] = field(default_factory=list)


def read_labelled(
    source: Path, *, subset: str | None = None, audio: Path | None = None
) -> LabelledTracks:
    """Read labelled tracks from a folder of genre folders or from a table.

    FMA's ``tracks.csv`` is recognised by its header.

    Args:
        source: the folder or the table.
        subset: FMA's small, medium, large or full.
        audio: base folder of the paths in a table; by default that of the table.

    Raises:
        UsageError: ``source`` does not exist or is neither a folder nor a table.
        RunError: it contains no labelled tracks.
    """
    if not source.exists():
        raise UsageError(f"{source}: no such file or folder")
    if source.is_dir():
        labelled = _read_folders(source)
    elif source.suffix.lower() in (".csv", ".tsv", ".txt"):
        labelled = _read_csv(source, subset, audio)
    else:
        raise UsageError(f"{source}: expected a folder of genre folders or a .csv file")
    return merge_spellings(labelled)


# --- folders ------------------------------------------------------------------------------------


def _read_folders(top: Path) -> LabelledTracks:
    """Read ``top/Genre/**/track``; a single folder around the genre folders is skipped."""
    notes: list[str] = []
    genres = _list_folders(top)
    while (
        len(genres) == 1
        and not _has_music(top)
        and not _has_music(genres[0])
        and _list_folders(genres[0])
    ):
        top, genres = genres[0], _list_folders(genres[0])
    examples = []
    for folder in genres:
        count = 0
        for entry in walk([folder]):
            if not isinstance(entry, Found):
                notes.append(f"{entry.path}: cannot be read ({entry.error})")
                continue
            inner = entry.path.relative_to(folder).parts[:-1]
            examples.append(Example(entry.path, folder.name, folder=inner[0] if inner else None))
            count += 1
        if not count:
            notes.append(f"{folder.name}: the folder contains no music")
    if _has_music(top):
        notes.append(f"{top}: the music beside the genre folders has no label and was left out")
    if not examples:
        raise RunError(f"{top}: no music in subfolders; genretag train needs one folder per genre")
    return LabelledTracks(examples, notes)


def _list_folders(top: Path) -> list[Path]:
    try:
        return sorted(p for p in top.iterdir() if p.is_dir() and not p.name.startswith("."))
    except OSError as error:
        raise RunError(f"{top}: cannot be read: {error.strerror}") from error


def _has_music(folder: Path) -> bool:
    return any(is_music(p.name) and p.is_file() for p in folder.iterdir())


# --- tables -------------------------------------------------------------------------------------


def _read_csv(path: Path, subset: str | None, audio: Path | None) -> LabelledTracks:
    """Read a table of path and label, or FMA's."""
    try:
        text = path.read_text(encoding="utf-8-sig", errors="surrogateescape")
    except OSError as error:
        raise RunError(f"{path}: cannot be read: {error.strerror}") from error
    header = text.split("\n", 1)[0]
    tabs = path.suffix.lower() == ".tsv" or header.count("\t") > header.count(",")
    rows = list(csv.reader(text.splitlines(), delimiter="\t" if tabs else ","))
    if len(rows) > 2 and "genre_top" in rows[1]:
        return _read_fma(path, rows, subset or "small", audio)
    if subset is not None:
        raise UsageError(f"{path}: --subset is only for FMA's tracks.csv")
    return _read_table(path, rows, audio or path.parent)


def _find_column(header: Sequence[str], names: Iterable[str]) -> int | None:
    lower = [h.strip().lower() for h in header]
    return next((lower.index(n) for n in names if n in lower), None)


def _read_table(path: Path, rows: list[list[str]], base: Path) -> LabelledTracks:
    if not rows:
        raise RunError(f"{path}: the table is empty")
    at_path, at_label, at_artist = (
        _find_column(rows[0], names) for names in (_PATH_COLUMNS, _LABEL_COLUMNS, _ARTIST_COLUMNS)
    )
    body = rows[1:]
    if at_path is None or at_label is None:
        if len(rows[0]) != 2 or not is_music(rows[0][0]):
            raise RunError(
                f"{path}: the first line must name a column path and a column label"
                f" (it has: {', '.join(rows[0])[:_MAX_QUOTED]})"
            )
        at_path, at_label, body = 0, 1, rows  # no header: the first column is a file
    examples, notes = [], []
    for number, row in enumerate(body, len(rows) - len(body) + 1):
        complete = len(row) > max(at_path, at_label)
        if not complete or not row[at_path].strip() or not row[at_label].strip():
            if any(cell.strip() for cell in row):
                notes.append(f"{path.name}, line {number}: no path or no label")
            continue
        artist = row[at_artist].strip() if at_artist is not None and at_artist < len(row) else ""
        examples.append(Example(base / row[at_path].strip(), row[at_label], artist or None))
    return _drop_missing(path, examples, notes)


def _read_fma(path: Path, rows: list[list[str]], subset: str, audio: Path | None) -> LabelledTracks:
    """Read FMA's ``tracks.csv`` (Defferrard et al. 2017).

    Two rows of headers and a row with the name of the index precede the tracks.
    """
    if subset not in _FMA_SUBSETS:
        raise UsageError(f"--subset {subset}: expected small, medium, large or full")
    wanted = set(_FMA_SUBSETS[: _FMA_SUBSETS.index(subset) + 1])
    columns = {pair: n for n, pair in enumerate(zip(rows[0], rows[1], strict=True))}
    try:
        in_subset, in_split = columns["set", "subset"], columns["set", "split"]
        genre, artist = columns["track", "genre_top"], columns["artist", "id"]
    except KeyError as error:
        raise RunError(f"{path}: FMA's table lacks the column {error.args[0]}") from error
    base = audio or _find_fma_clips(path, subset)
    examples = []
    for row in rows[2:]:
        if len(row) <= genre or not row[0].strip().isdigit():
            continue
        if row[in_subset] not in wanted or not row[genre].strip():
            continue
        name = f"{int(row[0]):06d}"
        clip = base / name[:3] / f"{name}.mp3"
        examples.append(
            Example(clip, row[genre], artist=row[artist] or None, part=row[in_split] or None)
        )
    return _drop_missing(path, examples, [])


def _find_fma_clips(path: Path, subset: str) -> Path:
    """Return the folder of the clips, beside that of the metadata as FMA's archives unpack."""
    for base in (path.parent, path.parent.parent):
        for folder in (base / f"fma_{subset}", base):
            if (folder / "000").is_dir():
                return folder
    raise RunError(f"{path}: no folder fma_{subset} beside it; name the clips' folder with --audio")


def _drop_missing(path: Path, examples: list[Example], notes: list[str]) -> LabelledTracks:
    """Leave out files that do not exist, with a note."""
    existing = [e for e in examples if e.path.is_file()]
    if len(existing) < len(examples):
        missing = next(e.path for e in examples if not e.path.is_file())
        notes.append(
            f"{path.name}: {len(examples) - len(existing):,} of {len(examples):,} files"
            f" do not exist (the first: {missing})"
        )
    if not existing:
        details = f" ({notes[-1]})" if notes else ""
        raise RunError(f"{path}: none of its {len(examples):,} files exists{details}")
    return LabelledTracks(existing, notes)


# --- corrected plans ----------------------------------------------------------------------------


def read_corrected_plan(path: Path) -> LabelledTracks:
    """Read a plan or report that a person corrected: changed and reviewed genres are labels."""
    from genretag.report.formats import read_plan

    rows = list(read_plan(path))
    corrected = [
        r
        for r in rows
        if r.new
        and (r.reviewed or (r.new != r.old and r.new[0] != (r.genre or next(iter(r.scores), None))))
    ]
    if not corrected:
        raise RunError(
            f"{path}: none of its {len(rows):,} rows was corrected, so there is nothing to learn"
        )
    return merge_spellings(
        LabelledTracks(
            [Example(r.absolute, r.new[0]) for r in corrected],
            [f"{path.name}: {len(corrected):,} of {len(rows):,} rows were corrected"],
        )
    )


# --- labels -------------------------------------------------------------------------------------


def merge_spellings(labelled: LabelledTracks) -> LabelledTracks:
    """Merge labels that are the same genre, such as "Hip-Hop" and "hip hop".

    The most frequent spelling is kept.
    """
    spellings: dict[str, Counter[str]] = defaultdict(Counter)
    raw: dict[str, set[str]] = defaultdict(set)
    for e in labelled.examples:
        key = normalise_genre(e.label)
        spellings[key][" ".join(e.label.split())] += 1
        raw[key].add(e.label)
    best = {key: counts.most_common(1)[0][0] for key, counts in spellings.items()}
    notes = [
        f"{', '.join(map(repr, sorted(names)))} were merged into one label: {best[key]}"
        for key, names in raw.items()
        if len(names) > 1
    ]
    return LabelledTracks(
        [replace(e, label=best[normalise_genre(e.label)]) for e in labelled.examples],
        [*labelled.notes, *notes],
    )


def select_labels(labelled: LabelledTracks, classes: Sequence[str]) -> LabelledTracks:
    """Keep only some labels (``--classes rock,jazz``).

    Raises:
        UsageError: there is no such label.
    """
    wanted = {normalise_genre(c) for c in classes}
    have = {normalise_genre(e.label) for e in labelled.examples}
    if unknown := [c for c in classes if normalise_genre(c) not in have]:
        labels = ", ".join(sorted({e.label for e in labelled.examples}))
        raise UsageError(f"--classes {', '.join(unknown)}: no such label; the labels are {labels}")
    kept = [e for e in labelled.examples if normalise_genre(e.label) in wanted]
    return LabelledTracks(kept, labelled.notes)


def drop_small_labels(labelled: LabelledTracks, *, min_tracks: int = 2) -> LabelledTracks:
    """Leave out labels with fewer than ``min_tracks`` tracks.

    Raises:
        RunError: fewer than two labels remain.
    """
    counts = Counter(e.label for e in labelled.examples)
    small = sorted(label for label, n in counts.items() if n < min_tracks)
    notes = [
        f"{label}: {counts[label]} track, fewer than {min_tracks}; the label was left out"
        for label in small
    ]
    kept = [e for e in labelled.examples if e.label not in small]
    if len({e.label for e in kept}) < 2:
        found = ", ".join(f"{label} ({n})" for label, n in counts.most_common(5)) or "none"
        raise RunError(
            f"training needs at least two labels with {min_tracks} tracks each; found: {found}"
        )
    return LabelledTracks(kept, [*labelled.notes, *notes])
