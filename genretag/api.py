"""genretag from Python: analyse, plan, apply, undo; on the same functions as the command line.

    from pathlib import Path
    import genretag.api as genretag

    if __name__ == "__main__":  # decoders run in processes that import the main module
        with genretag.Library("my.db") as library:
            for row in library.hear([Path("Music")]):
                print(row.path, row.genre, row.confidence)
            library.apply(confirm=lambda rows: len(rows) < 100)
            library.undo()

Every path may be a file or a folder. Only ``apply`` and ``undo`` write, with the journal and the
safe writer of the command line. A file that fails never stops the others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

import genretag
from genretag.decisions.players import Id3Version
from genretag.decisions.policy import AlbumRule, Existing, HardLinks, Policy, Rule, Trust
from genretag.decisions.rows import Row
from genretag.decisions.vocabulary import Vocabulary
from genretag.errors import GenretagError, RunError, TrackError
from genretag.features import FEATURE_VERSION
from genretag.inference.model import Model, model_threads
from genretag.library.urls import absolute
from genretag.library.walk import on_disk_case
from genretag.report.similar import SimilarTrack, find_similar
from genretag.scan.cores import automatic_jobs
from genretag.scan.local import LocalEngine
from genretag.scan.options import Options
from genretag.scan.replan import replan
from genretag.scan.scanner import Scanner
from genretag.storage.config import default_model
from genretag.storage.vocabularies import read_vocabulary
from genretag.tags import TagOptions
from genretag.writing.apply import Result, apply_rows, undo_runs
from genretag.writing.session import open_databases, writing
from genretag.writing.target import WriteOptions

__all__ = [
    "AlbumRule",
    "Existing",
    "GenretagError",
    "HardLinks",
    "Library",
    "Policy",
    "Result",
    "Row",
    "Rule",
    "RunError",
    "SimilarTrack",
    "TrackError",
    "Trust",
    "Vocabulary",
    "read_vocabulary",
]


class Library:
    """A database with its journal: analyses, the plan, and writes.

    Args:
        database: the database file; None: that of the command line.
        model: a model file; None: the default model.
        jobs: number of decode workers; None: one per core.

    Raises:
        ModelError: the model cannot be used.
        RunError: the database cannot be used.
    """

    def __init__(
        self, database: str | Path | None = None, model: Path | None = None, jobs: int | None = None
    ) -> None:
        self._jobs = jobs or automatic_jobs()
        self._run: int | None = None  # that made the current plan
        chosen = model or default_model()
        self._model = Model(chosen, threads=model_threads(self._jobs, chosen))
        self._context = open_databases(Path(database) if database is not None else None)
        self._databases = self._context.__enter__()

    def __enter__(self) -> Library:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._context.__exit__(kind, value, trace)

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels of the model."""
        return self._model.metadata.labels

    def hear(self, paths: Sequence[Path], policy: Policy | None = None) -> list[Row]:
        """Analyse files and folders, plan, and return the plan's rows.

        Tracks that were analysed before are not decoded again.
        """
        options = Options(tuple(paths), policy or Policy(), self._jobs, aside=True)
        store, journal = self._databases.store, self._databases.journal
        places = [str(absolute(path)) for path in paths]
        run = journal.begin("scan", genretag.__version__, {"paths": places})
        scanner = Scanner(store, LocalEngine(self._model), options, run, journal)
        journal.end(run, dict(scanner.scan()))
        self._run = run
        return self.plan()

    def similar(self, path: Path, count: int = 20) -> list[SimilarTrack]:
        """Return the analysed tracks that sound most like one; it is analysed if it is new.

        Raises:
            RunError: it cannot be analysed, or there is nothing to compare with.
        """
        store, model = self._databases.store, self._model.metadata
        options = Options((path,), jobs=1, retry_failed=True)
        Scanner(store, LocalEngine(self._model), options, run=0).analyse()
        known = store.known(absolute(on_disk_case(path)), model.id, FEATURE_VERSION)
        if known is None:
            raise RunError(f"{path}: it could not be analysed")
        return find_similar(store, model, known[1], count).tracks

    def plan(self, policy: Policy | None = None) -> list[Row]:
        """Return the rows of the plan, decided again if a policy is given; nothing is decoded.

        This is the plan of this object's last analysis, else that of the command line.

        Raises:
            RunError: there is no plan.
        """
        store, journal = self._databases.store, self._databases.journal
        last = store.scan(self._run) if self._run is not None else store.last_scan()
        if last is None:
            raise RunError("nothing was analysed yet")
        run = last.run
        if policy is not None:
            run = journal.begin("plan", genretag.__version__, policy.to_dict())
            journal.end(run, {"files": replan(store, last, policy, run, journal)})
            self._run = run
        return [Row.from_dict(data) for _, _, data in store.plan(run)]

    def apply(
        self,
        rows: Sequence[Row] | None = None,
        *,
        confirm: Callable[[list[Row]], bool] | None = None,
        preserve_mtimes: bool = False,
        hardlinks: HardLinks = HardLinks.SKIP,
        id3_version: Id3Version = Id3Version.KEEP,
    ) -> list[Result]:
        """Write the plan, or rows of it, if ``confirm`` agrees; return a result for each file."""
        planned = self.plan() if rows is None else rows
        todo = [row for row in planned if row.writes]
        if not todo or (confirm is not None and not confirm(todo)):
            return []
        tags = TagOptions(id3_version=id3_version.number)
        options = WriteOptions(preserve_mtimes, tags, hardlinks)
        store, journal = self._databases.store, self._databases.journal
        results: list[Result] = []
        with writing(self._databases):
            run = journal.begin("apply", genretag.__version__, {})
            numbered = ((None, row) for row in todo)
            counts = apply_rows(store, journal, run, numbered, options, results.append)
            journal.end(run, dict(counts))
        return results

    def undo(self, run: int | None = None) -> list[Result]:
        """Restore the files of a run, or of the last one that wrote; return a result for each."""
        store, journal = self._databases.store, self._databases.journal
        changes = sorted(journal.changes(states=("replaced",)), key=lambda c: -c.id)
        number = run if run is not None else max((c.run for c in changes), default=0)
        results: list[Result] = []
        with writing(self._databases):
            undoing = journal.begin("undo", genretag.__version__, {"runs": [number]})
            own = [c for c in changes if c.run == number]
            counts = undo_runs(store, journal, undoing, own, results.append)
            journal.end(undoing, dict(counts))
        return results
