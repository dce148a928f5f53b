"""The HTML report in a real browser: search, sort, filter, slider, edit, export, hostile names."""

from __future__ import annotations

import json
import random
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import CHROMIUM, Browser
from command_server import CommandServer
from conftest import Program, program

from genretag import tags
from genretag.audio import synthesis
from genretag.cli.plans import plan_rows
from genretag.decisions.policy import Policy
from genretag.decisions.rows import Row, failed_row, linked_row
from genretag.report.html import Page, compact_row, render_page
from genretag.review.questions import Review, questions_from_rows
from genretag.writing.session import open_databases

LABELS = tuple("Blues Classical Country Disco Electronic Jazz Latin Metal Pop Reggae Rock".split())

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")


def make_music(folder: Path) -> Path:
    """Write five pieces with hostile names; the fourth has a hostile genre."""
    names = [
        "plain",
        "</script><script>document.title='owned'<script>",
        "<img src=x onerror=document.title='owned'>",
        "a,b;c",
        "é ü 漢",
    ]
    for n, name in enumerate(names):
        path = folder / f"sub{n % 2}" / f"{name.replace('/', '∕')}.flac"
        path.parent.mkdir(parents=True, exist_ok=True)
        metadata = {"artist": "<b>Band</b>", "genre": "\x1b[31m<i>Old</i>" if n == 3 else ""}
        seed = (0, 1, 3, 2, 4)[n]  # the model is certain of the track with a genre
        synthesis.encode(path, synthesis.piece(seed, 3), 44_100, tags=metadata)
    return folder


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_music(tmp_path_factory.mktemp("made") / "music")


@pytest.fixture
def music(made_once: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made_once, tmp_path / "music"))


@pytest.fixture(scope="module")
def report(
    made_once: Path, command_server: CommandServer | None, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Write the report of a plan, once for all tests that only open it."""
    folder = tmp_path_factory.mktemp("report")
    return write_report(program(folder, command_server), made_once, folder)


def write_report(genretag: Program, music: Path, folder: Path) -> Path:
    assert genretag("scan", music, "--dry-run", "--min-confidence", 0.5).status == 0
    assert genretag("report", "--html", "-O", folder / "r.html").status == 0
    return folder / "r.html"


def open_report(browser: Browser, report: Path) -> Browser:
    browser.open(f"file://{report}")
    browser.until("document.querySelectorAll('.row').length === 5")
    return browser


@pytest.fixture
def page(report: Path, browser: Browser) -> Browser:
    return open_report(browser, report)


@pytest.fixture
def own_page(genretag: Program, music: Path, browser: Browser, tmp_path: Path) -> Browser:
    """Open the report of a plan of this test's program, for tests that change either."""
    return open_report(browser, write_report(genretag, music, tmp_path))


def shown_names(page: Browser) -> list[str]:
    return list(
        page.run(
            "[...document.querySelectorAll('.row')].map(r => r.children[1].firstChild.textContent)"
        )
    )


def set_field(page: Browser, box: str, value: str) -> None:
    element = f"document.getElementById('{box}')"
    page.run(f"(b => {{ b.value = {json.dumps(value)}; b.oninput(); }})({element})")


def test_markup_in_names_and_tags_stays_text(page: Browser) -> None:
    time.sleep(0.3)
    assert page.run("document.title") == "genretag: the plan"
    assert "<img src=x onerror=document.title='owned'>.flac" in shown_names(page)
    assert page.run("document.querySelectorAll('#view img, #view script, #view i').length") == 0
    assert "\\x1b[31m<i>Old</i>" in page.run("document.getElementById('view').innerText")


def test_search_sort_and_filter_choose_the_rows(page: Browser) -> None:
    set_field(page, "q", "plain")
    assert shown_names(page) == ["plain.flac"]
    set_field(page, "q", "")
    page.run("document.querySelector('[data-key=confidence]').click()")
    shown = page.run("[...document.querySelectorAll('.row')].map(r => +r.children[3].textContent)")
    assert shown == sorted(shown)
    page.run("document.querySelector('[data-key=confidence]').click()")
    assert page.run(
        "[...document.querySelectorAll('.row')].map(r => +r.children[3].textContent)"
    ) == sorted(shown, reverse=True)
    folders = page.run("[...document.getElementById('folder').options].map(o => o.value)")
    set_field(page, "folder", folders[-1])
    assert len(shown_names(page)) == 2
    set_field(page, "folder", "")
    set_field(page, "threshold", "0.00")  # whatever the model thinks of made-up music
    set_field(page, "status", "keep")
    assert shown_names(page) == ["a,b;c.flac"]


def test_the_slider_gives_the_same_plan_as_the_command(
    own_page: Browser, genretag: Program
) -> None:
    assert_slider_plans_as_the_command(own_page, genretag)


def test_the_slider_leaves_files_alone_that_cannot_be_written(
    genretag: Program, music: Path, browser: Browser, tmp_path: Path
) -> None:
    (music / "sub0" / "plain.flac").chmod(0o444)
    (music / "sub0" / "link.flac").symlink_to("plain.flac")
    genretag("scan", music, "--dry-run", "--min-confidence", 1)
    assert genretag("report", "--html", "-O", tmp_path / "r.html").status == 0
    browser.open(f"file://{tmp_path / 'r.html'}")
    browser.until("document.querySelectorAll('.row').length === 6")
    assert_slider_plans_as_the_command(browser, genretag)
    set_field(browser, "threshold", "0.00")
    assert "read-only" in browser.run("document.getElementById('reasons').textContent")


def assert_slider_plans_as_the_command(page: Browser, genretag: Program) -> None:
    """Compare page and command at round thresholds, and at a row's own rounded confidence."""
    own = page.run("rows.filter(r => r[CONFIDENCE]).map(r => r[CONFIDENCE].toFixed(2))")
    for threshold in ("0.00", "0.29", "0.50", "0.57", "0.80", "0.95", "1.00", *own[:2]):
        set_field(page, "threshold", threshold)
        planned = genretag("plan", "--min-confidence", threshold, "--json").rows
        decided = page.run("rows.map((r, i) => [now(i).action, now(i).reason])")
        assert decided == [[r["action"], r["reason"]] for r in planned], threshold
        count = sum(r["action"] == "write" for r in planned)
        files = f"{count} file{'' if count == 1 else 's'} to write"
        counts = page.run("document.getElementById('counts').textContent")
        assert counts == f"At {threshold}: {files}"


def test_moods_and_styles_are_shown_and_exported(browser: Browser, tmp_path: Path) -> None:
    mood = {"old": ["<Sad>"], "new": ["Calm"], "action": "write", "reason": "replaces the mood"}
    style = {"old": [], "new": [], "action": "skip", "reason": "no style is sure enough"}
    facts = {"code": "", "confidence": None}
    row = Row(
        path="/music/a.mp3",
        status="ok",
        genre="Jazz",
        confidence=0.9,
        scores={"Jazz": 0.9},
        windows=1,
        agreement=1.0,
        old=["Rock"],
        new=["Rock"],
        action="keep",
        reason="already has a genre",
        fields={
            "mood": {**mood, **facts, "tag": "mood"},  # type: ignore[typeddict-item]
            "style": {**style, **facts, "tag": "style"},  # type: ignore[typeddict-item]
        },
    )
    page = Page([compact_row(row, None, "")], ("Jazz", "Blues"), 0.7, True, "moods")
    (tmp_path / "moods.html").write_text(render_page(page), encoding="utf-8")
    browser.open(f"file://{tmp_path / 'moods.html'}")
    browser.until("document.querySelectorAll('.row').length === 1")
    shown = browser.run("document.querySelector('.row .genre').textContent")
    assert "Rock; mood Calm" in shown
    assert "mood Calm" in browser.run("document.getElementById('fields').textContent")
    assert "1 to write" in browser.run("document.getElementById('summary').textContent")
    set_field(browser, "q", "calm")
    assert browser.run("shown.length") == 1
    browser.run("details(0)")
    details = browser.run("document.getElementById('detaillist').textContent")
    assert "<Sad> → Calm; replaces the mood" in details and "no style is sure enough" in details
    (exported,) = browser.run("plan()").splitlines()
    assert Row.from_dict(json.loads(exported)).fields == row.fields


def test_apply_writes_the_exported_plan(
    own_page: Browser, genretag: Program, music: Path, tmp_path: Path
) -> None:
    page = own_page
    page.run("document.querySelector('.row').children[2].dispatchEvent(new Event('dblclick'))")
    first = shown_names(page)[0]
    enter = "b.onkeydown({key: 'Enter', stopPropagation() {}})"
    genres = "b.value = 'Cumbia; Vallenato, old'"
    page.run(f"(b => {{ {genres}; {enter}; }})(document.querySelector('input.name'))")
    page.run("picked.add(1); show(); document.getElementById('skipall').click()")
    (tmp_path / "plan.jsonl").write_text(page.run("plan()"), encoding="utf-8")
    rows = [json.loads(line) for line in (tmp_path / "plan.jsonl").read_text().splitlines()]
    assert rows[0]["new"] == ["Cumbia", "Vallenato, old"]
    assert rows[0]["reviewed"] is True
    assert rows[1]["action"] == "skip"
    path = Path(rows[0]["file"])
    assert rows[0]["mtime_ns"] == path.stat().st_mtime_ns  # too large for a JavaScript number
    assert path.name == first
    assert genretag("apply", tmp_path / "plan.jsonl", "--yes").status == 0
    assert tags.read(path).genres == ["Cumbia", "Vallenato, old"]
    assert tags.read(Path(rows[1]["file"])).genres == []


def test_edits_survive_a_reload_until_they_are_discarded(page: Browser) -> None:
    address = page.run("location.href")
    loaded = "!window.old && document.querySelectorAll('.row').length === 5"
    page.run("change([0], 'Cumbia'); window.old = true")
    page.open(address)
    page.until(f"{loaded} && edits.size === 1")
    assert page.run("now(0).genres") == ["Cumbia"]
    page.run("document.getElementById('discard').click(); window.old = true")
    page.open(address)
    page.until(f"{loaded} && edits.size === 0")


def test_another_page_of_the_same_plan_has_the_edits(
    own_page: Browser, genretag: Program, tmp_path: Path
) -> None:
    page = own_page
    page.run("change([0, 4], 'Cumbia')")
    ready = "document.querySelectorAll('.row').length > 0"
    first, last = page.run("[0, 4].map(i => JSON.parse(rows[i][PATH]))")
    genretag("report", Path(last).parent, "--html", "-O", tmp_path / "part.html")
    page.open(f"file://{tmp_path / 'part.html'}")
    page.until(f"{ready} && location.pathname.endsWith('part.html')")
    edited = "[...edits.keys()].map(i => JSON.parse(rows[i][PATH]))"
    assert set(page.run(edited)) == {first, last} & set(
        page.run("rows.map(r => JSON.parse(r[PATH]))")
    )
    # Discarding them here leaves those of other files.
    page.run("document.getElementById('discard').click()")
    page.open(f"file://{tmp_path / 'r.html'}")
    page.until(f"{ready} && location.pathname.endsWith('r.html')")
    assert last not in page.run(edited)
    genretag("plan", "--min-confidence", 0.4)
    genretag("report", "--html", "-O", tmp_path / "new.html")
    page.open(f"file://{tmp_path / 'new.html'}")
    page.until(f"{ready} && location.pathname.endsWith('new.html')")
    assert page.run("edits.size") == 0


def test_the_genre_of_several_rows_is_asked_with_completion(page: Browser) -> None:
    page.run("picked.add(0); picked.add(2); show(); document.getElementById('setall').click()")
    assert page.run("document.getElementById('ask').open")
    assert page.run("document.getElementById('askwhat').textContent") == "Set the genre of 2 files"
    field = "document.getElementById('askgenre')"
    assert page.run(f"document.activeElement === {field}")
    page.run(f"{field}.value = 'Ska; Elec'; {field}.oninput()")
    offered = page.run("[...document.getElementById('words').options].map(o => o.value)")
    assert offered == ["Ska; Electronic"]
    page.run("document.getElementById('askcancel').click()")
    assert page.run("edits.size") == 0
    page.run("document.getElementById('setall').click()")
    page.run(f"{field}.value = 'Ska; Electronic'")
    page.press("Enter")
    page.until("edits.size === 2")
    assert page.run("[now(0).genres, now(1).action === 'write' && edits.has(1)]") == [
        ["Ska", "Electronic"],
        False,
    ]


def test_a_click_on_a_name_shows_the_row_in_full(page: Browser) -> None:
    page.resize(400)
    page.run("change([0], 'Ska'); document.querySelector('.row .info').click()")
    shown = page.run("document.getElementById('details').innerText")
    for words in (*page.run("[rows[0][NAME], rows[0][FOLDER]]"), "→ Ska", "<b>Band</b>"):
        assert words in shown
    assert page.run(
        "document.getElementById('details').getBoundingClientRect().right <= innerWidth"
    )


def test_the_slider_keeps_reviewed_answers(
    genretag: Program, music: Path, browser: Browser, tmp_path: Path
) -> None:
    genretag("scan", music, "--dry-run", "--min-confidence", 0.5)
    with open_databases(tmp_path / "db" / "genretag.db") as opened:
        last = opened.store.last_scan()
        assert last is not None
        policy, rows = Policy.from_dict(last.policy), list(plan_rows(opened, last.run))
        named = [row.absolute for _, row in rows if row.absolute.name == "plain.flac"]
        Review(opened, last.run, policy, questions_from_rows(rows, named=named)).answer(["Ska"])
    assert genretag("report", "--html", "-O", tmp_path / "r.html").status == 0
    browser.open(f"file://{tmp_path / 'r.html'}")
    browser.until("document.querySelectorAll('.row').length === 5")
    set_field(browser, "threshold", "1.00")
    assert browser.run("rows.map((r, i) => now(i)).filter(n => n.action === 'write')") == [
        {"action": "write", "genres": ["Ska"], "reason": "reviewed", "status": "ok"}
    ]


def test_sorted_columns_are_announced_and_an_empty_search_says_so(page: Browser) -> None:
    sorted_as = "document.querySelector('[data-key=confidence]').parentNode.ariaSort"
    assert page.run(sorted_as) == "none"
    page.run("document.querySelector('[data-key=confidence]').click()")
    assert page.run(sorted_as) == "ascending"
    page.run("document.querySelector('[data-key=confidence]').click()")
    assert page.run(sorted_as) == "descending"
    set_field(page, "q", "no such thing")
    assert "No file matches" in page.run("document.getElementById('view').innerText")


def test_the_header_names_folder_model_and_rules_and_the_legend_the_genres(
    page: Browser, made_once: Path
) -> None:
    about = page.run("document.getElementById('about').textContent")
    for words in (str(made_once), "genretag-ear", "--min-confidence 0.5"):
        assert words in about
    assert "Electronic" in page.run("document.getElementById('legend').textContent")


def test_the_header_names_the_folder_of_its_plan_not_of_the_last_scan(
    genretag: Program, music: Path, browser: Browser, tmp_path: Path
) -> None:
    for folder in ("sub0", "sub1"):
        genretag("scan", music / folder, "--dry-run")
    page = tmp_path / "r.html"
    assert genretag("report", music / "sub0", "--html", "-O", page).status == 0
    browser.open(f"file://{page}")
    browser.until("document.querySelectorAll('.row').length === 3")
    about = browser.run("document.getElementById('about').textContent")
    assert "sub0" in about
    assert "sub1" not in about
    assert "threshold" in about


def test_play_shows_its_position_and_escape_stops_it(page: Browser) -> None:
    button = "document.querySelector('.row').lastChild.firstChild"
    page.run(f"{button}.click()", click=True)
    page.until("document.getElementById('player').currentTime > 0")
    page.until("document.getElementById('playing').textContent.includes('of 0:03')")
    assert page.run(f"{button}.textContent") == "■"
    page.run("document.dispatchEvent(new KeyboardEvent('keydown', {key: 'Escape'}))")
    assert page.run("document.getElementById('player').paused") is True
    assert page.run("document.getElementById('playing').textContent") == ""
    assert page.run(f"{button}.textContent") == "▶"


def test_the_play_button_starts_and_stops(page: Browser) -> None:
    button = "document.querySelector('.row').lastChild.firstChild"
    for playing in (True, False, True, False):
        page.run(f"{button}.click()", click=True)
        assert page.run("!document.getElementById('player').paused") is playing


@pytest.mark.parametrize("status", ["ok", "failed"])
def test_links_and_failed_files_have_an_absolute_address(status: str) -> None:
    linked = linked_row(Path("music/link.mp3"), Path("music/a.mp3"))
    row = linked if status == "ok" else failed_row(Path("music/a.mp3"), "why")
    assert row.status == status
    assert row.file == str(Path.cwd() / row.path)


def test_leaving_with_edits_that_are_not_exported_warns(page: Browser) -> None:
    leave = "window.dispatchEvent(new Event('beforeunload', {cancelable: true}))"
    assert page.run(leave) is True
    page.run("change([0], 'Cumbia')")
    assert page.run(leave) is False
    page.run("document.getElementById('export').click()")
    assert page.run(leave) is True
    page.run("change([1], 'Cumbia')")
    assert page.run(leave) is False
    page.run("document.getElementById('discard').click()")
    assert page.run(leave) is True


def test_after_an_export_the_next_command_can_be_copied(page: Browser) -> None:
    assert page.run("document.getElementById('next').hidden") is True
    page.run("document.getElementById('export').click()", click=True)
    shown = page.run("document.getElementById('next').innerText").split()
    assert " ".join(shown).endswith("Now run: genretag apply plan.jsonl Copy")
    page.run("document.getElementById('copy').click()", click=True)
    page.until("document.getElementById('copy').textContent === 'Copied'")


def test_a_count_in_the_overview_shows_exactly_its_rows(page: Browser) -> None:
    for box in ("genres", "reasons", "changes"):
        set_field(page, "threshold", "0.00" if box != "reasons" else "1.00")
        button = f"document.querySelector('#{box} button')"
        count = int(page.run(f"{button}.lastChild.textContent"))
        page.run(f"{button}.click()")
        assert len(shown_names(page)) == count
        page.run("document.getElementById('only').click()")
        assert len(shown_names(page)) == 5


def test_a_file_that_is_not_music_has_no_confidence(browser: Browser, tmp_path: Path) -> None:
    row = Row(
        path="/music/rain.mp3",
        status="nonmusic",
        genre=None,
        confidence=0.98,
        scores={"Jazz": 0.98, "Blues": 0.02},
        windows=1,
        agreement=1.0,
        old=[],
        new=[],
        action="skip",
        reason="not music",
    )
    page = Page([compact_row(row, None, "")], ("Jazz", "Blues"), 0.7, True, "rain")
    (tmp_path / "rain.html").write_text(render_page(page), encoding="utf-8")
    browser.open(f"file://{tmp_path / 'rain.html'}")
    browser.until("document.querySelectorAll('.row').length === 1")
    assert browser.run("document.querySelector('.row').children[3].textContent") == ""


@pytest.mark.parametrize("width", [400, 600, 900, 1280, 1600])
def test_change_and_reason_are_visible_at_any_width(page: Browser, width: int) -> None:
    page.resize(width)
    set_field(page, "threshold", "0.00")
    page.until(f"innerWidth === {width}")
    assert page.run("document.documentElement.scrollWidth <= innerWidth")
    for cell in (2, 5):
        box = f"document.querySelector('.row').children[{cell}]"
        assert page.run(f"{box}.getBoundingClientRect().right <= innerWidth")
        assert page.run(f"{box}.firstChild.getBoundingClientRect().height > 10")
    page.run("document.getElementById('overview').open = true")
    # Cards fill their lines, without and with the one of moods and styles.
    for hidden in ("true", "false"):
        page.run(f"document.getElementById('fieldcard').hidden = {hidden}")
        filled = """(() => {
            const lines = {}, all = document.querySelector('.cards').clientWidth;
            for (const card of document.querySelectorAll('.card:not([hidden])'))
                (lines[card.offsetTop] ||= []).push(card.offsetWidth);
            return Object.values(lines).map(
                widths => all - widths.reduce((a, b) => a + b) - 12 * (widths.length - 1));
        })()"""
        assert max(map(abs, page.run(filled))) <= 4
    cut = "[...document.querySelectorAll('.bars span')].filter(s => s.scrollWidth > s.offsetWidth)"
    assert page.run(f"{cut}.length") == 0


def test_the_keyboard_stays_in_its_row_after_a_change(page: Browser) -> None:
    page.run("document.querySelectorAll('.pen')[1].focus(); document.activeElement.click()")
    enter = "b.value = 'Ska'; b.onkeydown({key: 'Enter', stopPropagation() {}})"
    page.run(f"(b => {{ {enter}; }})(document.activeElement)")
    focus = "document.activeElement.className + document.activeElement.closest('.row').dataset.row"
    assert page.run(focus) == "pen1"
    page.run("document.querySelectorAll('.pick')[2].focus(); document.activeElement.click()")
    assert page.run(focus) == "pick2"
    assert page.run("picked.size") == 1


def random_rows(number: int) -> Iterator[Row]:
    """Yield rows whose names, hashes and scores do not compress."""
    dice = random.Random(1)
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["".join(dice.choices(letters, k=dice.randrange(3, 10))) for _ in range(20_000)]
    folder = ""
    for n in range(number):
        if n % 12 == 0:
            folder = f"/music/{' '.join(dice.sample(words, 2))}/{' '.join(dice.sample(words, 3))}"
        weights = sorted((dice.random() ** 4 for _ in LABELS), reverse=True)
        labels = dice.sample(LABELS, len(LABELS))
        scores = {g: round(w / sum(weights), 4) for g, w in zip(labels, weights, strict=True)}
        yield Row(
            path=f"{folder}/{n:05d} {' '.join(dice.sample(words, 4))}.mp3",
            status="ok",
            genre=labels[0],
            confidence=round(dice.random(), 4),
            scores=scores,
            windows=8,
            agreement=round(dice.random(), 4),
            old=[],
            new=[labels[0]],
            action="write",
            reason="fills an empty genre",
            music=round(dice.random(), 4),
            seconds=round(dice.uniform(60, 600), 2),
            share=1.0,
            sha256=dice.randbytes(32).hex(),
            content_key=dice.randbytes(16).hex(),
            size=dice.randrange(10**7),
            mtime_ns=dice.randrange(17 * 10**17),
            artist=folder.split("/")[2],
            album=folder.split("/")[3],
        )


def test_fifty_thousand_rows_stay_under_15_mb_and_only_those_in_view_are_drawn(
    browser: Browser, tmp_path: Path
) -> None:
    dice = random.Random(2)
    rows = []
    for row in random_rows(50_000):
        letters = (chr(0x100 + dice.randrange(len(LABELS))) for _ in range(8))
        rows.append(compact_row(row, None, "".join(f"{c}{dice.randrange(3, 10)}" for c in letters)))
    text = render_page(Page(rows, LABELS, 0.7, True, "big"))
    assert len(text.encode()) < 15_000_000
    (tmp_path / "big.html").write_text(text, encoding="utf-8")
    browser.open(f"file://{tmp_path / 'big.html'}")
    browser.until("document.querySelectorAll('.row').length > 0", seconds=60)
    assert browser.run("rows.length") == 50_000
    assert browser.run("document.querySelectorAll('.row').length") < 150
    set_field(browser, "q", "no such thing")
    assert browser.run("shown.length") == 0
    set_field(browser, "q", "/49999")
    (name,) = shown_names(browser)
    set_field(browser, "q", "")
    browser.run("window.scrollTo(0, document.body.scrollHeight)")
    browser.until(
        f"[...document.querySelectorAll('.row')].some(r => r.textContent.includes('{name}'))"
    )


def test_the_report_is_written_in_every_format(
    genretag: Program, music: Path, tmp_path: Path
) -> None:
    genretag("scan", music, "--dry-run", "--min-confidence", 0)
    assert genretag("report", "-O", tmp_path / "r.md").status == 0
    table = (tmp_path / "r.md").read_text().splitlines()
    assert len(table) == 2 + 5
    assert "<img" not in "".join(table)
    assert genretag("report", "-O", tmp_path / "r.csv").status == 0
    assert genretag("report", "--html", "-O", tmp_path / "r.txt").status == 2
    assert len(genretag("report", "--json").rows) == 5
    assert "genretag.html" not in {p.name for p in Path.cwd().iterdir()}
