"""The pages: every command is in them, every example runs, and nothing in them points nowhere."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer
from conftest import Program

from genretag.audio import synthesis
from genretag.cli import app
from genretag.cli.helping import TOPICS, page

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")

#: What is shown in the pages and not run here: it waits for a person, a disk or a shell, or is run with more music in tests of its own.
ELSEWHERE = (
    "genretag train ",
    "genretag models calibrate ",
    "genretag models use ",
    "genretag evaluate ~/Labelled2",
    "genretag watch ",
)
ELSEWHERE_WITH = ("other.onnx", "Labelled.onnx", "mel-cnn.onnx", "--engine ray", "results/")


RAN: set[str] = set()  # one page's example is another's, too


def examples(text: str) -> list[str]:
    """Return the genretag lines of a page's shell blocks, without their comments."""
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    lines = [line.split("  #")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line.startswith("genretag ")]


def waits(line: str) -> bool:
    """Return whether an example is not run here."""
    return (
        line.startswith(ELSEWHERE)
        or any(w in line for w in ELSEWHERE_WITH)
        or line in ("genretag review", "genretag apply")
    )


def commands() -> set[str]:
    group = typer.main.get_command(app)
    return set(group.commands)  # type: ignore[attr-defined]


def test_every_command_is_in_some_page() -> None:
    told = "\n".join(page(t) for t in TOPICS) + README
    assert "`genretag help`" in told
    missing = {c for c in commands() if f"genretag {c}" not in told}
    assert not missing


def test_every_page_is_a_topic_and_begins_with_its_title() -> None:
    pages = {p.stem for p in (ROOT / "genretag" / "docs").glob("*.md")}
    assert pages == set(TOPICS)
    assert all(page(t).startswith("# ") for t in TOPICS)


def test_tests_that_the_pages_name_exist() -> None:
    source = "\n".join(p.read_text(encoding="utf-8") for p in (ROOT / "tests").rglob("*.py"))
    for name in set(re.findall(r"`(test_\w+)`", README + "".join(map(page, TOPICS)))):
        assert f"def {name}(" in source, name


def test_files_that_the_readme_points_to_exist() -> None:
    for target in re.findall(r"\]\(((?!https?:)[^)#]+)\)", README):
        assert (ROOT / target).exists(), target


def test_options_in_the_pages_are_options() -> None:
    """Whatever is not run below is parsed at least: a flag that went away is found."""
    group = typer.main.get_command(app)
    for text in (README, *map(page, TOPICS)):
        for line in examples(text):
            words = shlex.split(line)[1:]
            command, context = group, typer.Context(group)
            while words and words[0] in getattr(command, "commands", {}):
                command = command.commands[words.pop(0)]  # type: ignore[attr-defined]
            known = {o for p in command.params for o in [*p.opts, *p.secondary_opts]} | {
                "-q",
                "-v",
                "--plain",
            }
            flags = [w.partition("=")[0] for w in words if re.match(r"--?[a-zA-Z]", w)]
            assert set(flags) <= known, (line, set(flags) - known)
            assert context is not None


@pytest.fixture
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with the files that the pages speak of."""
    folder = tmp_path_factory.mktemp("home")
    for n, place in enumerate(("Music", "Music/Jazz", "Music/New")):
        (folder / place).mkdir(parents=True)
        synthesis.encode(
            folder / place / "track.flac",
            synthesis.piece(n, 4),
            22_050,
            tags={"artist": f"A{n}", "album": "One"},
        )
    (folder / "mine.toml").write_text('canonical = true\n[aliases]\nHip-Hop = "Rap"\n')
    return folder


def text_of(topic: str) -> str:
    return README if topic == "README" else page(topic)


@pytest.mark.parametrize(
    "topic", [t for t in ("README", *TOPICS) if not all(map(waits, examples(text_of(t))))]
)
def test_every_example_runs(
    genretag: Program, home: Path, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(home)
    lines = [line for line in examples(text_of(topic)) if not waits(line)]
    monkeypatch.setenv("GENRETAG_MIN_CONFIDENCE", "0")
    genretag("scan", home / "Music", "--dry-run", "-O", home / "plan.jsonl")
    for line in lines:
        if line in RAN:
            continue
        RAN.add(line)
        words = [
            w.replace("~", str(home), 1) if w.startswith("~") else w for w in shlex.split(line)[1:]
        ]
        words = [
            "electronic" if w == "jazz" else w for w in words
        ]  # what the ear makes of synthesised music
        if "plan.jsonl" in line and words[0] == "apply":
            genretag("undo", "--all", "--yes")  # an older plan fits only the files as they were
        if "--unsure" in words:
            genretag("plan", "--min-confidence", 1)  # so that something is
        if words[0] == "undo":
            genretag("plan", "--force", "--min-confidence", 0)
            genretag("apply", "--yes")  # so that there is something to undo
        done = genretag(*words)
        assert done.status == 0, (line, done.err)
