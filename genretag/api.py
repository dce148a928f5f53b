"""genretag from Python: hear, plan, apply, undo. What the command line does, it does through the same functions below.

    from pathlib import Path
    import genretag.api as genretag

    if __name__ == "__main__":                       # decoders run in processes of their own
        with genretag.Library("my.db") as library:
            for row in library.hear([Path("Music")]):
                print(row.path, row.genre, row.confidence)
            library.apply(confirm=lambda rows: len(rows) < 100)
            library.undo()

Every path may be a file or a folder. Nothing is written but by ``apply`` and ``undo``, with the journal and the safe
write of the command line; one file that fails never stops the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

import genretag
from genretag.decisions.plan import Action, Row
from genretag.decisions.players import Id3Version
from genretag.decisions.policy import AlbumRule, Existing, HardLinks, Policy, Rule
from genretag.decisions.vocabulary import Vocabulary
from genretag.errors import GenretagError, RunError, TrackError
from genretag.inference.model import Model, model_threads
from genretag.scan.cores import automatic_jobs
from genretag.scan.replan import replan
from genretag.scan.scanner import Options, Scanner
from genretag.storage.config import default_model
from genretag.storage.vocabularies import read_vocabulary
from genretag.tags import TagOptions
from genretag.writing.apply import Result, apply_rows, undo_runs
from genretag.writing.replace import WriteOptions
from genretag.writing.session import open_databases as open_books
from genretag.writing.session import writing

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
    "TrackError",
    "Vocabulary",
    "read_vocabulary",
]


class Library:
    """A store with its journal: what was heard, what is planned, what was written.

    Args:
        database: where it is kept; None: where the command line keeps it.
        model: a model file; None: the default one.
        jobs: decode workers; None: as many as there are cores.

    Raises:
        ModelError: the model cannot be used.
        RunError: the database cannot be used.
    """

    def __init__(
        self, database: str | Path | None = None, model: Path | None = None, jobs: int | None = None
    ) -> None:
        self._jobs = jobs or automatic_jobs()
        self._run: int | None = None  # of the plan that was made here
        chosen = model or default_model()
        self._model = Model(chosen, threads=model_threads(self._jobs, chosen))
        self._context = open_books(Path(database) if database is not None else None)
        self._books = self._context.__enter__()

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
        """The labels that the model knows."""
        return self._model.metadata.labels

    def hear(self, paths: Sequence[Path], policy: Policy | None = None) -> list[Row]:
        """Hear files and folders and make the plan; return its rows. What is known is not decoded again."""
        open_databases, options = (
            self._books,
            Options(tuple(paths), policy or Policy(), self._jobs, aside=True),
        )
        run = open_databases.journal.begin(
            "scan", genretag.__version__, {"paths": [str(p) for p in paths]}
        )
        scanner = Scanner(
            open_databases.store, self._model, options, run, past=open_databases.journal
        )
        open_databases.journal.end(run, dict(scanner.scan()))
        self._run = run
        return self.plan()

    def plan(self, policy: Policy | None = None) -> list[Row]:
        """Return the rows of the plan, decided again by ``policy`` if one is given; nothing is heard.

        It is the plan of what this library heard, else the one that waits to be applied on the command line.
        """
        store = self._books.store
        last = store.scan(self._run) if self._run is not None else store.last_scan()
        if last is None:
            raise RunError("nothing was heard yet")
        run = last.run
        if policy is not None:
            run = self._books.journal.begin("plan", genretag.__version__, policy.to_dict())
            count = replan(self._books.store, last, policy, run, self._books.journal)
            self._books.journal.end(run, {"files": count})
            self._run = run
        return [Row.from_dict(data) for _, _, data in self._books.store.plan(run)]

    def apply(
        self,
        rows: Sequence[Row] | None = None,
        *,
        confirm: Callable[[list[Row]], bool] | None = None,
        preserve_mtimes: bool = False,
        hardlinks: HardLinks = HardLinks.SKIP,
        id3_version: Id3Version = Id3Version.KEEP,
    ) -> list[Result]:
        """Write the plan, or rows of it; return what became of each file. ``confirm`` sees what would be written first."""
        todo = [
            r for r in (self.plan() if rows is None else rows) if r.action == Action.WRITE and r.new
        ]
        if not todo or (confirm is not None and not confirm(todo)):
            return []
        results: list[Result] = []
        with writing(self._books):
            run = self._books.journal.begin("apply", genretag.__version__, {})
            manner = WriteOptions(
                preserve_mtimes, TagOptions(id3_version=id3_version.number), hardlinks
            )
            counts = apply_rows(
                self._books.store,
                self._books.journal,
                run,
                ((None, r) for r in todo),
                manner,
                results.append,
            )
            self._books.journal.end(run, dict(counts))
        return results

    def undo(self, run: int | None = None) -> list[Result]:
        """Take back a run, or the last one that wrote; return what became of each file."""
        changes = sorted(self._books.journal.changes(states=("replaced",)), key=lambda c: -c.id)
        number = run if run is not None else max((c.run for c in changes), default=0)
        results: list[Result] = []
        with writing(self._books):
            undoing = self._books.journal.begin("undo", genretag.__version__, {"runs": [number]})
            mine = [c for c in changes if c.run == number]
            counts = undo_runs(
                self._books.store, self._books.journal, undoing, mine, results.append
            )
            self._books.journal.end(undoing, dict(counts))
        return results
