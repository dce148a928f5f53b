"""Find written files that were moved since, by their content."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from genretag.audio import AUDIO_KEY_PREFIX, content_key, file_sha256
from genretag.errors import TrackError
from genretag.library.walk import Found, walk
from genretag.storage.cache import AnalysisCache
from genretag.storage.changes import Change
from genretag.storage.journal import Journal


def scanned_places(journal: Journal) -> list[Path]:
    """Return the folders and files of the last scan that can be reached now."""
    for run in reversed(journal.runs()):
        if run.kind == "scan" and run.options.get("paths"):
            places = [Path(str(place)).absolute() for place in run.options["paths"]]
            return [place for place in places if place.exists()]
    return []


def last_changes(changes: Iterable[Change]) -> list[Change]:
    """Return the last change of each file, the oldest first.

    A file that was moved between two writes is recognised by its hash.
    """
    by_target = {change.target: change for change in sorted(changes, key=lambda c: c.id)}
    newest: dict[str, int] = {}  # hash before a change -> its number
    for change in by_target.values():
        newest[change.before] = max(newest.get(change.before, 0), change.id)
    return [
        change
        for change in sorted(by_target.values(), key=lambda c: c.id)
        if change.target.exists() or newest.get(change.after or "", 0) <= change.id
    ]


def find_moved(
    store: AnalysisCache, journal: Journal, changes: list[Change], *, retagged: bool = False
) -> dict[Path, Path]:
    """Return old target -> new path of files that are not at their place any more.

    They are searched below the places of the last scan. A file must be the only one with its
    bytes; with ``retagged`` also the only one with its audio. Files that were written at the place
    where they are now are no candidates.
    """
    # Only the last write of a file can be undone, so only it is searched.
    missing = [c for c in last_changes(changes) if c.after and not c.target.exists()]
    if not missing:
        return {}
    at_home = {c.target for c in journal.changes(states=("replaced",))}
    strangers = [f for f in _files(journal) if f.path.resolve() not in at_home]
    moved = _match(((c.target, c.after) for c in missing), _hashes(store, strangers))
    rest = [c for c in missing if c.target not in moved]
    if retagged and rest:
        taken = set(moved.values())
        others = [f for f in strangers if f.path not in taken]
        # By the audio only where the bytes found nothing: the exact match is the safer one.
        moved |= _match(((c.target, c.content_key) for c in rest), _content_keys(store, others))
    return moved


def relocate(changes: Iterable[Change], moved: dict[Path, Path]) -> list[Change]:
    """Return changes with the new paths of moved files."""
    return [
        replace(c, path=moved[c.target], target=moved[c.target]) if c.target in moved else c
        for c in changes
    ]


def _files(journal: Journal) -> Iterator[Found]:
    """Yield the files below the places of the last scan."""
    return (f for f in walk(scanned_places(journal)) if isinstance(f, Found))


def _match(
    wanted: Iterable[tuple[Path, str | None]], found: dict[str, list[Path]]
) -> dict[Path, Path]:
    """Return target -> path where exactly one target and one path have a key."""
    targets = list(wanted)
    wanted_count = Counter(key for _, key in targets)
    return {
        target: found[key][0]
        for target, key in targets
        if key and wanted_count[key] == 1 and len(found.get(key, ())) == 1
    }


def _hashes(store: AnalysisCache, files: Iterable[Found]) -> dict[str, list[Path]]:
    """Return SHA-256 -> files; the cache spares reading those that did not change."""
    found: dict[str, list[Path]] = defaultdict(list)
    for f in files:
        known = store.file(f.path)
        same = known is not None and (known.size, known.mtime_ns) == (f.size, f.mtime_ns)
        try:
            sha256 = known.sha256 if same and known else ""
            found[sha256 or file_sha256(f.path)].append(f.path)
        except OSError:
            continue
    return found


def _content_keys(store: AnalysisCache, files: Iterable[Found]) -> dict[str, list[Path]]:
    """Return content key -> files."""
    found: dict[str, list[Path]] = defaultdict(list)
    for f in files:
        known = store.file(f.path)
        same = known is not None and (known.size, known.mtime_ns) == (f.size, f.mtime_ns)
        try:
            key = known.content_key if same and known else AUDIO_KEY_PREFIX
            if key.startswith(AUDIO_KEY_PREFIX):
                key = content_key(f.path)
        except (TrackError, OSError):
            continue
        found[key].append(f.path)
    return found
