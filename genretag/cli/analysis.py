"""Load a model and analyse one or many tracks, for the commands that need it."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from genretag.cli.output import OutputMode, exit_interrupted, file_progress
from genretag.errors import RunError

if TYPE_CHECKING:
    from genretag.decisions.policy import Windows
    from genretag.inference.metadata import ModelMetadata
    from genretag.inference.model import Model
    from genretag.records import Analysis, FileRow
    from genretag.scan.options import Options, Progress
    from genretag.writing.session import Databases


_LARGE_LIBRARY = 2_000  # files


def load_model(path: Path | None, device: str, jobs: int) -> Model:
    """Load the given model, else the default one, with threads for this number of workers."""
    from genretag.inference.model import Model, model_threads
    from genretag.storage.config import default_model

    chosen = path or default_model()
    return Model(chosen, device, model_threads(jobs, chosen))


def analyse_file(
    file: Path, model: Path | None, db: Path | None, windows: Windows | None = None
) -> tuple[ModelMetadata, FileRow, Analysis]:
    """Return a file's stored analysis; analyse it, without making a plan, if there is none.

    ``windows`` is how much of it the analysis has to cover; None: a stored one may be of pieces.
    """
    from genretag.decisions.policy import Windows
    from genretag.features import FEATURE_VERSION
    from genretag.inference.model import Model
    from genretag.library.urls import absolute
    from genretag.library.walk import on_disk_case
    from genretag.scan.local import LocalEngine
    from genretag.scan.options import Options
    from genretag.scan.scanner import Scanner
    from genretag.storage.config import default_model
    from genretag.writing.session import open_databases

    loaded = Model(model or default_model())
    with open_databases(db) as databases:
        options = Options(
            (file,),
            retry_failed=True,
            windows=windows or Windows.ALL,
            reuse_pieces=windows is None,
        )
        Scanner(databases.store, LocalEngine(loaded), options, run=0).analyse()
        path = absolute(on_disk_case(file))
        if (failure := databases.store.failure(path)) is not None:
            raise RunError(f"{file}: {failure.error}")
        known = databases.store.known(path, loaded.metadata.id, FEATURE_VERSION)
    if known is None:
        raise RunError(f"{file}: it could not be analysed")
    return loaded.metadata, *known


def known_models(databases: Databases, model: Path | None) -> list[ModelMetadata]:
    """Return what the database knows of the given or the default model, without loading it.

    A file has two possible ids: with metadata of its own, or with the JSON beside it.
    """
    from genretag.inference.documents import possible_ids
    from genretag.inference.metadata import read_metadata
    from genretag.inference.model import bundled_model
    from genretag.storage.config import default_model

    chosen = model or default_model() or bundled_model()
    texts = {name: databases.store.model_metadata(name) for name in possible_ids(chosen)}
    return [read_metadata(chosen, name, text) for name, text in texts.items() if text is not None]


def stored_analysis(
    databases: Databases, file: Path, model: Path | None
) -> tuple[ModelMetadata, Analysis] | None:
    """Return the stored analysis of an unchanged file, without loading the model."""
    import os

    from genretag.features import FEATURE_VERSION
    from genretag.library.urls import absolute
    from genretag.library.walk import on_disk_case

    path, stat = absolute(on_disk_case(file)), os.stat(file)
    row = databases.store.file(path)
    if row is None or (row.size, row.mtime_ns) != (stat.st_size, stat.st_mtime_ns):
        return None
    for metadata in known_models(databases, model):
        analysis = databases.store.analysis(
            row.content_key, metadata.id, FEATURE_VERSION, audio_key=row.audio_key
        )
        if analysis is not None:
            return metadata, analysis
    return None


@contextmanager
def scan_progress(mode: OutputMode, options: Options) -> Iterator[Callable[[Progress], None]]:
    """Show the progress of a scan; the total appears once its files are counted."""
    counter, tip = _FileCounter(options), _Tip(options)
    with file_progress(None, quiet=mode.quiet) as bar:

        def show(progress: Progress) -> None:
            # Counting begins with the first analysis, when all workers have been started:
            # an unchanged library is not walked twice, and no process is forked beside a thread.
            if not (mode.quiet or counter.started or progress.phase):
                counter.start()
            if counter.total is not None and tip.fits(counter.total, progress):
                print(tip.text(counter.total), file=sys.stderr)
            bar.update(progress.files, describe_progress(progress), counter.total)

        yield show


def describe_progress(progress: Progress) -> str:
    """Return the phase of a scan; while files are analysed, counts by status and hours of music."""
    if progress.phase:
        return progress.phase
    names = {"nonmusic": "not music"}
    found = progress.counts.items()
    counts = ", ".join(f"{n:,} {names.get(status, status)}" for status, n in found if n)
    return f"{counts or 'analysing'}, {progress.seconds / 3600:,.1f} h of music"


@dataclass
class _Tip:
    """Names the faster way once, early in a scan of a large library."""

    options: Options
    given: bool = False

    def fits(self, total: int, progress: Progress) -> bool:
        """Return whether to name it now; it is named once."""
        large = total >= _LARGE_LIBRARY and total - progress.files >= _LARGE_LIBRARY // 2
        if self.given or not large or self.options.windows.are_sparse or progress.seconds == 0:
            return False
        self.given = True
        return True

    @staticmethod
    def text(total: int) -> str:
        """Return the tip."""
        return (
            f"genretag: {total:,} files; --windows sparse analyses pieces of each track, in a"
            " fraction of the time (genretag help speed); what is done is kept if you stop"
        )


class _FileCounter:
    """Counts the files of a scan in a thread beside it; a walk opens no file."""

    def __init__(self, options: Options) -> None:
        self.total: int | None = None
        self.started = False
        self._options = options

    def start(self) -> None:
        """Start to count."""
        self.started = True
        threading.Thread(target=self._count, daemon=True).start()

    def _count(self) -> None:
        from genretag.library.walk import walk

        found = walk(self._options.paths, self._options.exclude)
        total = sum(1 for _ in islice(found, self._options.limit))
        self.total = total or None  # URLs are not walked here


def analyse_tracks(
    databases: Databases, model: Model, paths: list[Path], jobs: int, mode: OutputMode
) -> None:
    """Analyse the tracks that are not in the database yet."""
    from genretag.scan.options import Options
    from genretag.training import collection

    try:
        with scan_progress(mode, Options(tuple(paths), jobs=jobs)) as show:
            collection.analyse_tracks(databases.store, model, paths, jobs, show)
    except KeyboardInterrupt as error:
        raise exit_interrupted(
            "finished analyses are kept, and the same command goes on from there"
        ) from error
