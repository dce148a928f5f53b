"""beets plugin: genres from the sound. In beets' config.yaml:

    plugins: genretag
    genretag:
        auto: yes              # analyse imported tracks
        force: no              # replace existing genres
        append: no             # add to existing genres
        trust: tags            # whom to believe if there is a genre: tags, model or agree
        album: no              # let the tracks of an album decide together
        min_confidence: 0.7
        vocabulary: ~/words.toml
        model: ~/my.onnx       # instead of the default model

``beet genretag [QUERY]`` analyses tracks of the library; ``--pretend`` only shows the changes.
genretag's safe writer writes the tags, so ``genretag undo`` restores them. Each track that gets a
genre has the fields ``genre_source`` and ``genre_confidence`` (0 to 1) in beets. The sources are
named as lastgenre names them in its log: ``genretag``, ``keep`` (the genre was there),
``keep + genretag`` (both name it, or genretag added to it); ``person`` is an answer in a review.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from beets import ui
from beets.plugins import BeetsPlugin
from beets.util import displayable_path

#: ``Row.source`` -> ``genre_source``
_SOURCES = {"model": "genretag", "tags": "keep", "both": "keep + genretag", "person": "person"}


class GenretagPlugin(BeetsPlugin):
    """Set genres on import, and with ``beet genretag``."""

    def __init__(self) -> None:
        super().__init__()
        self.config.add(
            {
                "auto": True,
                "force": False,
                "append": False,
                "trust": None,
                "album": False,
                "model": None,
                "min_confidence": None,
                "database": None,
                "vocabulary": None,
            }
        )
        if self.config["auto"].get(bool):
            self.import_stages = [self.process_import]
            self.register_listener("import_task_files", self.write_import)

    def commands(self) -> list[Any]:
        """Return the command ``beet genretag``."""
        command = ui.Subcommand("genretag", help="analyse music and write genres")
        command.parser.add_option(
            "-p", "--pretend", action="store_true", help="show changes, write nothing"
        )
        command.parser.add_option(
            "-f", "--force", action="store_true", help="replace existing genres"
        )
        command.parser.add_option(
            "-k", "--append", action="store_true", help="add to existing genres"
        )
        command.parser.add_option(
            "-t", "--trust", choices=["tags", "model", "agree"], help="whom to believe"
        )
        command.parser.add_option(
            "-a", "--album", action="store_true", help="let the tracks of an album decide together"
        )
        command.parser.add_option("-m", "--model", help="use this model instead of the default one")
        command.func = self.run
        return [command]

    def run(self, lib: Any, opts: Any, args: list[str]) -> None:
        """Process the items that match a query."""
        for name in ("force", "append", "trust", "album", "model"):
            if value := getattr(opts, name):
                self.config[name].set(value)
        self.process(list(lib.items(args)), pretend=bool(opts.pretend), write=ui.should_write())

    def process_import(self, _session: Any, task: Any) -> None:
        """Set the genres of imported items before beets copies and writes their files."""
        self.process(list(task.imported_items()), pretend=False, write=False)

    def write_import(self, task: Any, **_: Any) -> None:
        """Write the genres into the imported files, where beets has not: after an as-is import."""
        if ui.should_write():
            self.process(list(task.imported_items()), pretend=False, write=True, quiet=True)

    def process(self, items: list[Any], *, pretend: bool, write: bool, quiet: bool = False) -> None:
        """Analyse items, set their genres, and write them into the files on request."""
        from genretag import api

        by_path = {os.path.abspath(os.fsdecode(item.path)): item for item in items}
        model = self.config["model"].get()
        chosen = Path(model).expanduser() if model else None
        try:
            with api.Library(self.config["database"].get(), chosen) as library:
                rows = library.hear([Path(p) for p in by_path], self._policy(write=write))
                for row in () if quiet else rows:
                    self._report(row, by_path.get(row.file))
                if pretend:
                    return
                todo = [row for row in rows if row.action == "write" and row.file in by_path]
                results = library.apply(todo) if write and todo else []
                failed = {r.path for r in results if r.error is not None}
                for row in todo:
                    if Path(row.path) not in failed:
                        self._store(by_path[row.file], row, written=write)
                for row in () if quiet else rows:
                    if row.action != "write" and row.file in by_path:
                        self._store_source(by_path[row.file], row)
        except api.GenretagError as error:
            self._log.error("{}", error)

    def _policy(self, *, write: bool) -> Any:
        """Return the policy of the plugin's configuration.

        While beets imports, it writes a copy of its own: hard links of the source do not matter.
        """
        from genretag import api

        threshold, words = self.config["min_confidence"].get(), self.config["vocabulary"].get()
        existing = api.Existing.SKIP
        if self.config["force"].get(bool):
            existing = api.Existing.REPLACE
        elif self.config["append"].get(bool):
            existing = api.Existing.APPEND
        album, trust = self.config["album"].get(bool), self.config["trust"].get()
        return api.Policy(
            min_confidence=None if threshold is None else float(threshold),
            existing=existing,
            trust=None if trust is None else api.Trust(trust),
            album=api.AlbumRule.MAJORITY if album else api.AlbumRule.OFF,
            hardlinks=api.HardLinks.SKIP if write else api.HardLinks.BREAK,
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

    def _store(self, item: Any, row: Any, *, written: bool) -> None:
        """Store genres in beets' library: a list from beets 2.7 on, one ``genre`` before."""
        if "genres" in item._fields:
            item["genres"] = row.new
        else:
            item["genre"] = "; ".join(row.new)
        item["genre_source"] = _SOURCES.get(row.source, "genretag")
        item["genre_confidence"] = round(row.confidence or 0.0, 2)
        if written:
            item.mtime = item.current_mtime()
        item.store()

    def _store_source(self, item: Any, row: Any) -> None:
        """Store who named a genre that stays, unless that is known already."""
        source = _SOURCES.get(row.source)
        if source is not None and not item.get("genre_source"):
            item["genre_source"] = source
            item.store()
