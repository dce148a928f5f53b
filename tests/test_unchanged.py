"""A scan of an unchanged library keeps its plan; any change leads to a new one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields, make_dataclass, replace
from pathlib import Path

import pytest

from genretag import tags
from genretag.audio import synthesis
from genretag.cli import approval
from genretag.cli.options import ApprovalOptions, ReportOptions
from genretag.cli.output import OutputMode
from genretag.cli.printing import print_plan
from genretag.decisions.policy import AlbumRule, Existing, Policy, Windows
from genretag.decisions.rows import Row
from genretag.inference.model import Model
from genretag.report import summary, terminal
from genretag.scan import phase, recorder
from genretag.scan.local import LocalEngine
from genretag.scan.options import Options, Progress
from genretag.scan.scanner import Scanner
from genretag.storage.cache import AnalysisCache
from genretag.storage.journal import Journal
from genretag.writing.apply import apply_rows
from genretag.writing.session import Databases
from genretag.writing.target import WriteOptions


class Library:
    """A small library with its databases."""

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

    def scan(
        self, on_progress: Callable[[Progress], None] | None = None, **changes: object
    ) -> Scanner:
        options = replace(Options((self.music,)), **changes)
        run = self.journal.begin("scan", "0", {})
        scanner = Scanner(self.store, LocalEngine(self.model), options, run, self.journal)
        scanner.counts_returned = dict(scanner.scan(on_progress))
        return scanner

    def rows(self, scanner: Scanner) -> list[Row]:
        return [Row.from_dict(data) for _, _, data in self.store.plan(scanner.run)]


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return Library(tmp_path)


def test_the_plan_of_an_unchanged_library_is_kept(library: Library) -> None:
    first = library.scan()
    assert not first.unchanged
    assert not library.scan().unchanged  # a file failed: now it is a known failure
    first = library.scan()
    again = library.scan()
    assert again.unchanged
    assert again.run == first.run
    assert again.counts_returned == first.counts_returned
    assert sum(again.counts_returned.values()) == 4
    assert library.scan().unchanged


def test_the_plan_of_an_unchanged_library_is_summed_up_once(
    library: Library, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    summed, original = list[int](), summary.summarise

    def count(rows: Iterable[Row]) -> summary.Summary:
        summed.append(1)
        return original(rows)

    monkeypatch.setattr(summary, "summarise", count)
    # A longer plan is not listed, so that the totals are all that is read.
    monkeypatch.setattr(terminal, "MAX_LISTED_ROWS", 2)
    databases, texts = Databases(library.store, library.journal), list[str]()
    library.scan()
    for _ in range(2):
        print_plan(databases, library.scan().run, ReportOptions(), OutputMode())
        texts.append(capsys.readouterr().out)
    assert len(summed) == 1
    assert texts[0] == texts[1]
    assert "left alone" in texts[0]
    (library.music / "0.mp3").unlink()
    print_plan(databases, library.scan().run, ReportOptions(), OutputMode())
    assert len(summed) == 2
    assert capsys.readouterr().out != texts[0]


def test_writes_are_counted_from_the_totals_while_these_hold(
    library: Library, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    databases = Databases(library.store, library.journal)
    for path in sorted(library.music.glob("?.mp3"))[:2]:
        tags.write(path, ["Polka"])
    anything = Policy(min_confidence=0.0, existing=Existing.REPLACE)
    run = library.scan(policy=anything).run
    read, original = list[int](), approval.rows_in_force

    def count(*arguments: object, **options: object) -> Iterator[tuple[object, ...]]:
        read.append(1)
        return original(*arguments, **options)

    monkeypatch.setattr(approval, "rows_in_force", count)

    def statement() -> str:
        plan = library.store.scan(run)
        assert plan is not None
        dry = ApprovalOptions(dry_run=True)
        approval.approve_plans(databases, [plan], [], dry, OutputMode())
        return capsys.readouterr().err

    counted = statement()
    assert len(read) == 1
    print_plan(databases, run, ReportOptions(), OutputMode())
    capsys.readouterr()
    assert statement() == counted
    assert len(read) == 1
    assert "3 genres to write; 2 of them replace" in counted
    ordinals = [n for n, _, data in library.store.plan(run) if data["action"] == "write"]
    library.store.mark_done(run, ordinals[0])
    assert "2 genres to write" in statement()
    assert len(read) == 2


def test_every_phase_of_a_scan_reports_progress(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "_REPORT_SECONDS", -1.0)
    monkeypatch.setattr(phase, "_REPORT_SECONDS", -1.0)
    library.scan()
    library.scan()
    reports: list[Progress] = []
    policy = Policy(min_confidence=0.0, existing=Existing.REPLACE, album=AlbumRule.MAJORITY)
    library.scan(reports.append, policy=policy)
    # No file is decoded here, and every one is counted all the same.
    assert {1, 2, 3, 4} <= {r.files for r in reports}
    phases = {r.phase.partition(":")[0] for r in reports} - {""}
    assert {"deciding albums", "checking which files can be written"} <= phases
    reports.clear()
    library.scan(reports.append, policy=policy)
    assert {r.phase for r in reports} == {
        f"comparing with the last scan: {n} files" for n in range(4)
    }


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


def analysed_elsewhere(library: Library) -> None:
    retagged(library)
    options = Options((library.music / "1.mp3",))
    # As ``info`` and ``train`` do.
    Scanner(library.store, LocalEngine(library.model), options, run=0).analyse()


@pytest.mark.parametrize(
    "change",
    [
        touched,
        retagged,
        added,
        removed,
        moved,
        linked,
        mended,
        applied,
        answered,
        analysed_elsewhere,
    ],
)
def test_any_change_leads_to_a_new_plan(
    library: Library, change: Callable[[Library], None]
) -> None:
    for _ in range(2):
        library.scan(policy=Policy(min_confidence=0.0))
    change(library)
    again = library.scan(policy=Policy(min_confidence=0.0))
    assert not again.unchanged
    alone = Scanner(
        library.store,
        LocalEngine(library.model),
        Options((library.music,), Policy(min_confidence=0.0), rescan=True),
        10**6,
        library.journal,
    )
    alone.scan()
    decided = [(r.path, r.status, r.old, r.new, r.action) for r in library.rows(again)]
    assert decided == [(r.path, r.status, r.old, r.new, r.action) for r in library.rows(alone)]


OPTIONS = [
    {"policy": Policy(top=2)},
    {"limit": 2},
    {"exclude": ("1.mp3",)},
    {"windows": Windows.ADAPTIVE},
    {"retry_failed": True},
    {"rescan": True},
    {"aside": True},
]


@pytest.mark.parametrize("options", OPTIONS)
def test_other_options_lead_to_a_new_plan(library: Library, options: dict[str, object]) -> None:
    library.scan()
    assert not library.scan().unchanged  # a file failed: now it is a known failure
    assert library.scan().unchanged
    assert not library.scan(**options).unchanged


def test_every_option_takes_part_in_the_comparison() -> None:
    base, unlike = Options(()), {"paths": (Path("x"),), "policy": Policy(top=2)}
    for name in (f.name for f in fields(Options) if f.name != "jobs"):
        changed = replace(base, **{name: unlike.get(name, "another")})
        assert changed.needs_new_plan or changed.compared() != base.compared(), name
    more = make_dataclass("More", [("shuffle", bool, False)], bases=(Options,), frozen=True)
    assert more((), shuffle=True).compared() != more(()).compared()
    assert replace(base, jobs=2).compared() == base.compared()
