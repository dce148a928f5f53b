"""beets plugin: genres by ear. In beets' config.yaml:

    plugins: genretag
    genretag:
        auto: yes              # hear what is imported
        force: no              # renew genres that are there
        min_confidence: 0.7
        vocabulary: ~/words.toml

``beet genretag [QUERY]`` hears what is in the library; ``--pretend`` only shows. Tags are written by genretag's safe write,
so that ``genretag undo`` takes them back.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from beets import ui
from beets.plugins import BeetsPlugin
from beets.util import displayable_path


class GenretagPlugin(BeetsPlugin):
    """Genres by ear."""

    def __init__(self) -> None:
        super().__init__()
        self.config.add(
            {
                "auto": True,
                "force": False,
                "min_confidence": None,
                "database": None,
                "vocabulary": None,
            }
        )
        if self.config["auto"].get(bool):
            self.import_stages = [self.imported]

    def commands(self) -> list[Any]:
        """Return ``beet genretag``."""
        command = ui.Subcommand("genretag", help="hear genres and write them")
        command.parser.add_option(
            "-p", "--pretend", action="store_true", help="only show what would change"
        )
        command.parser.add_option(
            "-f", "--force", action="store_true", help="renew genres that are there"
        )
        command.func = self.run
        return [command]

    def run(self, lib: Any, opts: Any, args: list[str]) -> None:
        """Hear the items that a query finds."""
        self.hear(
            list(lib.items(args)),
            force=bool(opts.force),
            pretend=bool(opts.pretend),
            write=ui.should_write(),
        )

    def imported(self, _session: Any, task: Any) -> None:
        """Hear what is imported; beets writes the tags together with all others (as it does for lastgenre)."""
        self.hear(list(task.imported_items()), force=False, pretend=False, write=False)

    def hear(self, items: list[Any], *, force: bool, pretend: bool, write: bool) -> None:
        """Set the genres of items, and write them where asked."""
        from genretag import api

        threshold, words = self.config["min_confidence"].get(), self.config["vocabulary"].get()
        force = force or self.config["force"].get(bool)
        policy = api.Policy(
            min_confidence=None if threshold is None else float(threshold),
            existing=api.Existing.REPLACE if force else api.Existing.SKIP,
            vocabulary=api.read_vocabulary(Path(words).expanduser()) if words else api.Vocabulary(),
        )
        by_path = {os.path.abspath(os.fsdecode(item.path)): item for item in items}
        try:
            with api.Library(self.config["database"].get()) as library:
                rows = library.hear([Path(p) for p in by_path], policy)
                todo = [row for row in rows if row.action == "write" and row.file in by_path]
                for row in rows:
                    self._tell(row, by_path.get(row.file))
                if pretend:
                    return
                failed = (
                    {r.path for r in library.apply(todo) if r.error is not None}
                    if write and todo
                    else set()
                )
                for row in todo:
                    if Path(row.path) not in failed:
                        self._keep(by_path[row.file], row.new, written=write)
        except api.GenretagError as error:
            self._log.error("{}", error)

    def _tell(self, row: Any, item: Any) -> None:
        name = displayable_path(item.path) if item is not None else row.path
        if row.action == "write":
            ui.print_(
                f"{name}: {'; '.join(row.old) or '(none)'} -> {'; '.join(row.new)} ({row.confidence:.2f})"
            )
        else:
            self._log.info("{}: left alone: {}", name, row.error or row.reason)

    def _keep(self, item: Any, genres: list[str], *, written: bool) -> None:
        """Note genres in beets' library; ``genres`` is a list from beets 2.7 on, before that there is one ``genre``."""
        if "genres" in item._fields:
            item["genres"] = genres
        else:
            item["genre"] = "; ".join(genres)
        if written:
            item.mtime = item.current_mtime()
        item.store()
