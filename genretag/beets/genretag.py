"""beets plugin: genres from the sound. In beets' config.yaml:

    plugins: genretag
    genretag:
        auto: yes              # analyse imported tracks
        force: no              # replace existing genres
        min_confidence: 0.7
        vocabulary: ~/words.toml

``beet genretag [QUERY]`` analyses tracks of the library; ``--pretend`` only shows the changes.
genretag's safe writer writes the tags, so ``genretag undo`` restores them.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from beets import ui
from beets.plugins import BeetsPlugin
from beets.util import displayable_path


class GenretagPlugin(BeetsPlugin):
    """Set genres on import, and with ``beet genretag``."""

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
            self.import_stages = [self.process_import]

    def commands(self) -> list[Any]:
        """Return the command ``beet genretag``."""
        command = ui.Subcommand("genretag", help="analyse music and write genres")
        command.parser.add_option(
            "-p", "--pretend", action="store_true", help="show changes, write nothing"
        )
        command.parser.add_option(
            "-f", "--force", action="store_true", help="replace existing genres"
        )
        command.func = self.run
        return [command]

    def run(self, lib: Any, opts: Any, args: list[str]) -> None:
        """Process the items that match a query."""
        self.process(
            list(lib.items(args)),
            force=bool(opts.force),
            pretend=bool(opts.pretend),
            write=ui.should_write(),
        )

    def process_import(self, _session: Any, task: Any) -> None:
        """Process imported items; beets writes their tags itself, as it does for lastgenre."""
        self.process(list(task.imported_items()), force=False, pretend=False, write=False)

    def process(self, items: list[Any], *, force: bool, pretend: bool, write: bool) -> None:
        """Analyse items, set their genres, and write them into the files on request."""
        from genretag import api

        by_path = {os.path.abspath(os.fsdecode(item.path)): item for item in items}
        try:
            with api.Library(self.config["database"].get()) as library:
                rows = library.hear([Path(p) for p in by_path], self._policy(force))
                for row in rows:
                    self._report(row, by_path.get(row.file))
                if pretend:
                    return
                todo = [row for row in rows if row.action == "write" and row.file in by_path]
                results = library.apply(todo) if write and todo else []
                failed = {r.path for r in results if r.error is not None}
                for row in todo:
                    if Path(row.path) not in failed:
                        self._store(by_path[row.file], row.new, written=write)
        except api.GenretagError as error:
            self._log.error("{}", error)

    def _policy(self, force: bool) -> Any:
        """Return the policy of the plugin's configuration."""
        from genretag import api

        threshold, words = self.config["min_confidence"].get(), self.config["vocabulary"].get()
        replace = force or self.config["force"].get(bool)
        return api.Policy(
            min_confidence=None if threshold is None else float(threshold),
            existing=api.Existing.REPLACE if replace else api.Existing.SKIP,
            vocabulary=api.read_vocabulary(Path(words).expanduser()) if words else api.Vocabulary(),
        )

    def _report(self, row: Any, item: Any) -> None:
        """Print a change; log why a track is left alone."""
        name = displayable_path(item.path) if item is not None else row.path
        if row.action == "write":
            old, new = "; ".join(row.old) or "(none)", "; ".join(row.new)
            ui.print_(f"{name}: {old} -> {new} ({row.confidence:.2f})")
        else:
            self._log.info("{}: left alone: {}", name, row.error or row.reason)

    def _store(self, item: Any, genres: list[str], *, written: bool) -> None:
        """Store genres in beets' library: a list from beets 2.7 on, one ``genre`` before."""
        if "genres" in item._fields:
            item["genres"] = genres
        else:
            item["genre"] = "; ".join(genres)
        if written:
            item.mtime = item.current_mtime()
        item.store()
