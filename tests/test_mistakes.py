"""Mistakes of users are named, with the nearest right word, and never end in a traceback."""

from __future__ import annotations

import ast
import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Program

from genretag import cli
from genretag.audio import synthesis
from genretag.decisions.vocabulary import Vocabulary, misspelt_words
from genretag.errors import ModelError, UsageError
from genretag.inference.metadata import metadata_to_json, read_metadata
from genretag.inference.model import Model
from genretag.storage.vocabularies import read_vocabulary

LABELS = ("Hip-Hop", "Classical", "Electronic---Techno")


@pytest.fixture
def vocabulary(tmp_path: Path) -> Path:
    return tmp_path / "words.toml"


def test_a_misspelt_alias_is_named_with_the_nearest_label(vocabulary: Path) -> None:
    vocabulary.write_text('[aliases]\n"Hip-Hpo" = "Rap"\n"Techno" = "House"\n"Jazz" = "Swing"\n')
    found = misspelt_words(read_vocabulary(vocabulary), LABELS)
    assert found == [("aliases", "Hip-Hpo", "Hip-Hop")]  # Jazz is a word of the tree


def test_a_misspelt_word_of_the_ignorelist_is_named(vocabulary: Path) -> None:
    vocabulary.write_text(
        'ignorelist = ["Clasical", "Swing.*", "Mine"]\n[aliases]\nJazz = "Mine"\n'
    )
    found = misspelt_words(read_vocabulary(vocabulary), LABELS)
    assert found == [("ignorelist", "Clasical", "Classical")]


def test_a_misspelt_key_of_a_vocabulary_is_refused_with_the_nearest(vocabulary: Path) -> None:
    vocabulary.write_text("whitlist = true\n")
    with pytest.raises(UsageError, match="did you mean whitelist"):
        read_vocabulary(vocabulary)


def test_another_spelling_of_a_label_is_its_alias(vocabulary: Path) -> None:
    vocabulary.write_text('[aliases]\nHipHop = "Rap"\n')
    assert read_vocabulary(vocabulary).words(["Hip-Hop", "Classical"]) == ["Rap", "Classical"]
    assert Vocabulary(aliases=(("hip.*", "Rap"),)).words(["Hip-Hop"]) == ["Rap"]


def test_plan_and_scan_name_a_misspelt_alias_and_nothing_else(
    genretag: Program, tmp_path: Path, vocabulary: Path
) -> None:
    music = tmp_path / "music"
    music.mkdir()
    synthesis.encode(music / "a.flac", synthesis.piece(1, 3), 44_100)
    vocabulary.write_text('[aliases]\nMetall = "Metal"\n')
    message = "Metall is no label of the model and no genre of the tree; did you mean Metal?"
    assert message in genretag("scan", music, "--dry-run", "--vocabulary", vocabulary).err
    assert message in genretag("plan", "--vocabulary", vocabulary).err
    vocabulary.write_text('[aliases]\nMetal = "Heavy"\n')
    assert "did you mean" not in genretag("plan", "--vocabulary", vocabulary).err


def test_config_names_every_value_that_no_command_accepts(
    genretag: Program, tmp_path: Path
) -> None:
    (tmp_path / "config.toml").write_text(
        'min_confidence = 7\nexisting = "replce"\nexistin = 1\n[scan]\nlimit = "x"\nlimt = 1\n'
        '[protect]\ngenre = ["x"]\n'
    )
    ran = genretag("config", env={"GENRETAG_TOP": "9"})
    assert ran.status == 2
    for words in (
        "min_confidence = 7: 7.0 is not in the range",
        "existing = 'replce': 'replce' is not one of",
        "[scan] limit = 'x'",
        "[scan] limt is no setting; did you mean limit?",
        "existin is no setting; did you mean existing?",
        "GENRETAG_TOP = '9'",
        "[protect] genre is no setting; did you mean genres?",
    ):
        assert words in ran.err
    assert "min_confidence" in ran.out
    assert genretag("config", "--json", env={"GENRETAG_TOP": "9"}).status == 2
    (tmp_path / "config.toml").write_text('min_confidence = 0.8\n[protect]\npaths = "Bootlegs"\n')
    assert '[protect] paths is a list of texts: paths = ["..."]' in genretag("config").err
    (tmp_path / "config.toml").write_text('jobs = 2\ncoarsen = true\n[protect]\npaths = ["B"]\n')
    assert (genretag("config").status, genretag("config").err) == (0, "")


def test_a_misspelt_page_or_command_is_suggested(genretag: Program) -> None:
    assert "did you mean scan?" in genretag("help", "scna").err
    assert "did you mean vocabulary?" in genretag("help", "vocabluary").err


def test_an_empty_folder_is_no_music_found(genretag: Program, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    ran = genretag("scan", tmp_path / "empty", "--dry-run")
    assert ran.status == 0
    assert "no music found" in ran.err
    assert "earlier scans" not in ran.err


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_an_output_that_is_not_utf8_gets_escapes(
    genretag: Program, tmp_path: Path, encoding: str
) -> None:
    (tmp_path / "音.flac").write_bytes(b"no music")
    env = {"PYTHONIOENCODING": encoding}
    ran = genretag("scan", tmp_path, "--dry-run", env=env)
    assert (ran.status, "went wrong" in ran.err) == (1, False), ran.err
    assert "\\u97f3.flac" in ran.out
    page = genretag("report", "--html", "-O", "-", env=env)
    assert "→" in page.out, page.err


def test_a_folder_whose_music_is_gone_may_be_a_disk_that_is_not_mounted(
    genretag: Program, tmp_path: Path
) -> None:
    music = tmp_path / "music" / "disk"
    for place in (music, tmp_path / "music" / "disk 2"):
        place.mkdir(parents=True)
        synthesis.encode(place / "a.flac", synthesis.piece(1, 3), 44_100)
    genretag("scan", music.parent, "--dry-run")
    (music / "a.flac").unlink()
    ran = genretag("scan", music, "--dry-run")
    assert ran.status == 0
    assert "earlier scans found 1 file there: is a disk not mounted?" in ran.err


@pytest.mark.skipif(not os.access("/dev/full", os.W_OK), reason="there is no /dev/full")
@pytest.mark.parametrize("command", [["history"], ["players"], ["config", "--json"], ["--help"]])
def test_a_full_disk_behind_stdout_is_one_sentence(command: list[str], tmp_path: Path) -> None:
    environment = {**os.environ, "GENRETAG_DB": str(tmp_path / "g.db")}
    with open("/dev/full", "w") as full:
        ran = subprocess.run(
            [sys.executable, "-m", "genretag", *command],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
            check=False,
        )
    assert ran.returncode == 1
    assert ran.stderr == "genretag: the output could not be written: no space left on device\n"


def test_an_unexpected_error_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise KeyError("x")

    monkeypatch.setattr(cli, "_run", fail)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 1
    err = capsys.readouterr().err
    assert "something went wrong that genretag did not expect" in err
    assert "Traceback" not in err


def test_an_error_of_the_system_is_not_blamed_on_the_output(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")

    monkeypatch.setattr(cli, "_run", fail)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 1
    err = capsys.readouterr().err
    assert "output" not in err
    assert "connection refused" in err


def test_files_that_cannot_be_read_are_named_with_the_cause_in_plain_words(
    genretag: Program, tmp_path: Path
) -> None:
    latin, folder, list_of_rows = tmp_path / "latin.toml", tmp_path / "music", tmp_path / "p.jsonl"
    latin.write_bytes(b"# caf\xe9\n")
    latin_plan = latin.with_suffix(".jsonl")
    latin_plan.write_bytes(latin.read_bytes())
    folder.mkdir()
    list_of_rows.write_text('["a"]\n')
    incomplete = tmp_path / "row.jsonl"
    incomplete.write_text('{"path": "a.mp3"}\n')
    words = ("scan", folder, "--vocabulary")
    cases: dict[str, tuple[object, ...]] = {
        "gone.jsonl: the plan cannot be read: No such file": ("apply", tmp_path / "gone.jsonl"),
        "latin.jsonl: the plan cannot be read: it is not UTF-8 text": ("apply", latin_plan),
        "p.jsonl, line 1: not a row of a plan: it is no JSON object": ("apply", list_of_rows),
        "row.jsonl, line 1: not a row of a plan: it has no status, genre": ("apply", incomplete),
        "the vocabulary cannot be read: No such file": (*words, "gone.toml"),
        "the vocabulary cannot be read: it is not UTF-8 text": (*words, latin),
        "the settings cannot be read: it is not UTF-8 text": ("--config", latin, "report"),
        "music: this is a folder; give a file": ("info", folder),
        "gone.mp3: there is no such file": ("similar", tmp_path / "gone.mp3"),
    }
    for message, command in cases.items():
        ran = genretag(*command)
        assert message in ran.err, command
        assert ran.status in (1, 2)
        assert not any(word in ran.err for word in ("Errno", "codec", "__init__", "Traceback"))


def test_no_message_repeats_the_number_of_an_error_of_the_system() -> None:
    """``str`` of an ``OSError`` has its number and the path, which the message names already."""
    for module in (Path(cli.__file__).parents[1]).rglob("*.py"):
        text = module.read_text(encoding="utf-8")
        for handler in ast.walk(ast.parse(text)):
            if not isinstance(handler, ast.ExceptHandler) or handler.type is None:
                continue
            caught = {node.id for node in ast.walk(handler.type) if isinstance(node, ast.Name)}
            if not caught & {"OSError", "UnicodeDecodeError", "FileNotFoundError"}:
                continue
            shown = {
                node.value.id
                for node in ast.walk(handler)
                if isinstance(node, ast.FormattedValue) and isinstance(node.value, ast.Name)
            }
            assert handler.name not in shown, f"{module}:{handler.lineno}: use describe_error"


@pytest.mark.skipif(os.name == "nt", reason="Windows reports a closed pipe otherwise")
@pytest.mark.parametrize("arguments", ["--version", "scan --help", "help safety", "players"])
def test_a_reader_that_closes_the_pipe_ends_the_program_as_it_ends_cat(arguments: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    ran = subprocess.run(
        [sys.executable, "-m", "genretag", *arguments.split()],
        stdout=writing,
        stderr=subprocess.PIPE,
        timeout=60,
        check=False,
    )
    os.close(writing)
    assert (ran.returncode, ran.stderr) == (cli.READER_GONE, b"")


#: Words of Python's own messages; none helps a user who reads one.
PYTHONS_WORDS = ("argument", "NoneType", "object", "Error", "int(", "literal", "char ", "convert")


@pytest.mark.parametrize(
    "changes",
    [
        {"front_end": {"kind": "log-mel", "colour": 1}},
        {"front_end": {"kind": "log-mel", "hop_length": "x"}},
        {"front_end": 5},
        {"labels": 5},
        {"chunks": ["x"]},
        {"chunks": [None]},
        {"thresholds": None},
        {"thresholds": {"music": "loud", "confidence": 0.5}},
        {"thresholds": {"music": 10**400, "confidence": 0.5}},
        {"thresholds": {"confidence": 0.5}},
        {"about": 7},
        {"styles": {"names": 1}},
        {"moods": 3},
    ],
)
def test_wrong_metadata_are_described_without_pythons_words(
    changes: dict[str, object],
) -> None:
    text = json.dumps(json.loads(metadata_to_json(Model().metadata)) | changes)
    with pytest.raises(ModelError) as caught:
        read_metadata(Path("mine.onnx"), "an id", text)
    assert str(caught.value).startswith("mine.onnx: ")
    assert not [word for word in PYTHONS_WORDS if word in str(caught.value)], caught.value


@pytest.mark.parametrize("text", ["{", "[]", '"x"', "nonsense"])
def test_metadata_that_are_no_object_are_described_without_pythons_words(text: str) -> None:
    with pytest.raises(ModelError, match="invalid metadata") as caught:
        read_metadata(Path("mine.onnx"), "an id", text)
    assert not [word for word in PYTHONS_WORDS if word in str(caught.value)], caught.value
