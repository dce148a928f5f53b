"""The pages: they show every command, every example runs, and every name and path exists."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer
from conftest import Program
from test_architecture import ORDER

from genretag.audio import synthesis
from genretag.cli import app
from genretag.cli.help import TOPICS, page

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")

SITE = "https://example.org/genretag"

#: Examples that are not run here: they wait for a person, or other tests run them with more music.
NOT_RUN = (
    "genretag train ",
    "genretag models calibrate ",
    "genretag models use ",
    "genretag evaluate ~/Labelled2",
    "genretag watch ",
)
NOT_RUN_WITH = ("other.onnx", "Labelled.onnx", "mel-cnn.onnx", "--engine ray", "results/")


RAN: set[str] = set()  # an example that several pages show is run once
FRESH: set[str] = set()  # commands that ran in an interpreter of their own, as a user's do


def examples(text: str) -> list[str]:
    """Return the genretag commands in the shell blocks of a page, without comments."""
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    lines = [line.split("  #")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line.startswith("genretag ")]


def is_not_run(line: str) -> bool:
    """Return whether an example is not run here."""
    return (
        line.startswith(NOT_RUN)
        or any(word in line for word in NOT_RUN_WITH)
        or line in ("genretag review", "genretag apply")
    )


def commands() -> set[str]:
    group = typer.main.get_command(app)
    return set(group.commands)  # type: ignore[attr-defined]


def test_every_command_is_in_a_page() -> None:
    text = "\n".join(page(t) for t in TOPICS) + README
    assert "`genretag help`" in text
    missing = {c for c in commands() if f"genretag {c}" not in text}
    assert not missing


def test_every_page_is_a_topic_and_begins_with_its_title() -> None:
    pages = {p.stem for p in (ROOT / "genretag" / "docs").glob("*.md")}
    assert pages == set(TOPICS)
    assert all(page(t).startswith("# ") for t in TOPICS)


def test_tests_that_the_pages_name_exist() -> None:
    source = "\n".join(p.read_text(encoding="utf-8") for p in (ROOT / "tests").rglob("*.py"))
    for name in set(re.findall(r"`(test_\w+)`", README + "".join(map(page, TOPICS)))):
        assert f"def {name}(" in source, name


def test_links_of_the_readme_are_absolute_and_lead_to_pages() -> None:
    links = re.findall(r"\]\(([^)]+)\)", README)
    assert all(link.startswith("https://") for link in links), "PyPI shows relative links broken"
    docs = [
        link.removeprefix(f"{SITE}/docs/") for link in links if link.startswith(f"{SITE}/docs/")
    ]
    assert set(TOPICS) <= set(docs)
    for name in docs:
        file = name if "." in name else f"{name}.md"
        assert (ROOT / "genretag" / "docs" / file).exists(), name


def test_the_readme_has_the_commands_that_ci_runs() -> None:
    for marker in ("<!-- first look: -->\n```sh\n", "<!-- tests: -->\n```sh\n"):
        assert marker in README


def test_paths_in_the_guides_exist() -> None:
    guides = README + (ROOT / ".github" / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for text in (guides, page("architecture")):
        for path in re.findall(r"`((?:genretag|tests|models|findings|\.ci)/[\w./-]*)`", text):
            assert (ROOT / path).exists(), path


def test_every_package_is_in_the_architecture_page() -> None:
    text = page("architecture")
    listed = re.search(r"## Packages(.*?)\n## ", text, re.DOTALL)
    assert listed is not None
    rows = re.findall(r"^\| (`.*?) \|", listed[1], re.MULTILINE)
    names = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    assert names == [name for name in ORDER if name != "__main__"]


def test_the_recipes_cover_every_kind_of_extension() -> None:
    recipes = page("architecture").split("## How to add")[1]
    kinds = (
        *("container", "front end", "player", "report format"),
        *("scan option", "baseline", "engine", "command"),
    )
    for kind in kinds:
        assert re.search(rf"^\*\*An? {kind}\.\*\*", recipes, re.MULTILINE), kind


def test_options_in_the_pages_are_options() -> None:
    """Check the options of every example, also of those that are not run."""
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
    """Make a home folder with the files that the pages mention."""
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
    "topic", [t for t in ("README", *TOPICS) if not all(map(is_not_run, examples(text_of(t))))]
)
def test_every_example_runs(
    genretag: Program, home: Path, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(home)
    lines = [line for line in examples(text_of(topic)) if not is_not_run(line)]
    names = commands()
    monkeypatch.setenv("GENRETAG_MIN_CONFIDENCE", "0")
    genretag("scan", home / "Music", "--dry-run", "-O", home / "plan.jsonl")
    for line in lines:
        if line in RAN:
            continue
        RAN.add(line)
        words = [
            w.replace("~", str(home), 1) if w.startswith("~") else w for w in shlex.split(line)[1:]
        ]
        # The synthesised music is Electronic to the model.
        words = ["electronic" if w == "jazz" else w for w in words]
        if "plan.jsonl" in line and words[0] == "apply":
            genretag("undo", "--all", "--yes")  # the plan fits only unwritten files
        if "--unsure" in words:
            genretag("plan", "--min-confidence", 1)  # so that some tracks are unsure
        if words[0] == "undo":
            genretag("plan", "--force", "--min-confidence", 0)
            genretag("apply", "--yes")  # so that there is a write to undo
        command = next((w for w in words if w in names), "")
        done = genretag(*words, fresh=command not in FRESH)
        FRESH.add(command)
        assert done.status == 0, (line, done.err)
