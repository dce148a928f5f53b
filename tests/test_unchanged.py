"""A scan of what did not change: the plan stands, and stands only then."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from genretag import tags
from genretag.audio import synthesis
from genretag.decisions.plan import Row
from genretag.decisions.policy import Policy
from genretag.inference.model import Model
from genretag.scan.scanner import Options, Scanner, Windows
from genretag.storage.cache import AnalysisCache
from genretag.storage.journal import Journal
from genretag.writing.apply import apply_rows
from genretag.writing.replace import WriteOptions


class Library:
    """A small library with its books."""

    def __init__(self, folder: Path) -> None:
        self.music = folder / "music"
        self.music.mkdir()
        for n in range(3):
            synthesis.encode(self.music / f"{n}.mp3", synthesis.piece(n, 3), 44_100)
        (self.music / "broken.mp3").write_bytes(b"no music")
        self.store, self.journal, self.model = (
            AnalysisCache(folder / "g.db"),
            Journal(folder / "g.journal.db"),
            Model(),
        )

    def scan(self, **changes: object) -> Scanner:
        options = replace(Options((self.music,)), **changes)
        run = self.journal.begin("scan", "0", {})
        scanner = Scanner(self.store, self.model, options, run, past=self.journal)
        scanner.counts_told = dict(scanner.scan())
        return scanner

    def rows(self, scanner: Scanner) -> list[Row]:
        return [Row.from_dict(data) for _, _, data in self.store.plan(scanner.run)]


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return Library(tmp_path)


def test_nothing_changed_and_the_plan_stands(library: Library) -> None:
    first = library.scan()
    assert not first.stands
    assert not library.scan().stands  # a file failed: from now on that is known, and said so
    first = library.scan()
    again = library.scan()
    assert again.stands
    assert again.run == first.run
    assert again.counts_told == first.counts_told
    assert sum(again.counts_told.values()) == 4
    assert library.scan().stands


def touched(library: Library) -> None:
    os.utime(library.music / "1.mp3")


def retagged(library: Library) -> None:
    tags.write(library.music / "1.mp3", ["Polka"])


def added(library: Library) -> None:
    synthesis.encode(library.music / "9.mp3", synthesis.piece(9, 2), 44_100)


def removed(library: Library) -> None:
    (library.music / "2.mp3").unlink()


def moved(library: Library) -> None:
    (library.music / "2.mp3").rename(library.music / "a.mp3")


def linked(library: Library) -> None:
    os.link(library.music / "0.mp3", library.music.parent / "other.mp3")


def mended(library: Library) -> None:
    synthesis.encode(library.music / "broken.mp3", synthesis.piece(4, 2), 44_100)


def applied(library: Library) -> None:
    rows = [
        (n, Row.from_dict(data))
        for n, _, data in library.store.plan(library.store.last_scan().run, open_writes=True)
    ]
    rows = [(n, replace(r, new=["Jazz"], action="write")) for n, r in rows]
    assert apply_rows(
        library.store,
        library.journal,
        library.journal.begin("apply", "0", {}),
        rows,
        WriteOptions(),
        lambda _: None,
    )["written"]


def answered(library: Library) -> None:
    library.journal.keep_answer("0" * 32, ["Jazz"])


def heard_elsewhere(library: Library) -> None:
    retagged(library)
    Scanner(
        library.store, library.model, Options((library.music / "1.mp3",)), run=0
    ).hear()  # as ``info`` and ``train`` do


@pytest.mark.parametrize(
    "change",
    [touched, retagged, added, removed, moved, linked, mended, applied, answered, heard_elsewhere],
)
def test_any_change_and_it_is_decided_again(
    library: Library, change: Callable[[Library], None]
) -> None:
    for _ in range(2):
        library.scan(policy=Policy(min_confidence=0.0))
    change(library)
    again = library.scan(policy=Policy(min_confidence=0.0))
    assert not again.stands
    alone = Scanner(
        library.store,
        library.model,
        Options((library.music,), Policy(min_confidence=0.0), rescan=True),
        10**6,
        past=library.journal,
    )
    alone.scan()
    told = [(r.path, r.status, r.old, r.new, r.action) for r in library.rows(again)]
    assert told == [(r.path, r.status, r.old, r.new, r.action) for r in library.rows(alone)]


QUESTIONS = [
    {"policy": Policy(top=2)},
    {"limit": 2},
    {"exclude": ("1.mp3",)},
    {"windows": Windows.ADAPTIVE},
    {"retry_failed": True},
    {"rescan": True},
    {"aside": True},
]


@pytest.mark.parametrize("asked", QUESTIONS)
def test_another_question_gets_an_answer_of_its_own(
    library: Library, asked: dict[str, object]
) -> None:
    library.scan()
    assert not library.scan().stands  # of what failed, it is said from now on that it is known
    assert library.scan().stands
    assert not library.scan(**asked).stands
