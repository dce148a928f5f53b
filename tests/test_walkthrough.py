"""Problems that newcomers with messy libraries met once, and that stay solved."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from pathlib import Path

import pytest
from conftest import Program
from mutagen.id3 import ID3
from rawtags import make_id3, make_id3v1

import genretag.api as api
from genretag import audio, tags
from genretag.audio import mpeg, synthesis
from genretag.decisions.genre import decide
from genretag.decisions.policy import Existing, Policy, Protect
from genretag.decisions.rows import Row
from genretag.decisions.vote import Status, Verdict
from genretag.errors import TrackError
from genretag.library.walk import Found, lies_in, walk
from genretag.records import Tags
from genretag.report.summary import Summary
from genretag.tags import TagOptions
from genretag.text import two_digits


@pytest.fixture
def music(tmp_path: Path) -> Path:
    folder = tmp_path / "music"
    for n, name in enumerate(["Tie/1.flac", "Tie/2.flac", "Other/3.flac"]):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        synthesis.encode(
            folder / name,
            synthesis.piece(n, 3),
            22_050,
            tags={"artist": "Willie Somebody" if n == 1 else "A"},
        )
    return folder


@pytest.fixture
def planned(genretag: Program, music: Path, tmp_path: Path) -> Path:
    genretag("scan", music, "--dry-run", "--min-confidence", 0, "-O", tmp_path / "plan.jsonl")
    return tmp_path / "plan.jsonl"


def genres(folder: Path) -> dict[str, list[str]]:
    return {p.name: tags.read(p).genres for p in sorted(folder.rglob("*.flac"))}


def test_an_edited_plan_can_be_limited_to_a_path(
    genretag: Program, music: Path, planned: Path
) -> None:
    rows = [json.loads(line) for line in planned.read_text().splitlines()]
    for row in rows:
        row["new"] = ["Mine"]
        if row["path"].endswith("1.flac"):
            row["action"] = "skip"
    planned.write_text("\n".join(map(json.dumps, rows)))
    assert genretag("apply", planned, music / "Tie", "--yes").status == 0
    assert genres(music) == {"1.flac": [], "2.flac": ["Mine"], "3.flac": []}


@pytest.mark.parametrize(
    "option",
    [("--min-confidence", "0.99"), ("--album", "all"), ("-f",), ("--vocabulary", "x.toml")],
)
def test_options_that_would_change_a_given_plan_are_refused(
    genretag: Program, planned: Path, option: tuple[str, ...]
) -> None:
    done = genretag("apply", planned, *option, "--yes")
    assert done.status == 2
    assert "as it stands" in done.err


def test_files_protected_after_the_scan_are_not_written(
    genretag: Program, music: Path, planned: Path, tmp_path: Path
) -> None:
    (tmp_path / "config.toml").write_text('[protect]\npaths = ["Other"]\nartists = ["willie*"]\n')
    done = genretag("apply", "--yes")
    assert done.status == 0
    assert "protected path (Other)" in done.err
    assert "protected artist (willie*)" in done.err
    assert [name for name, found in genres(music).items() if found] == ["1.flac"]
    assert genretag("apply", planned, "--yes").status in (0, 1)
    assert [name for name, found in genres(music).items() if found] == ["1.flac"]


@pytest.mark.parametrize("command", ["apply", "plan"])
def test_a_path_outside_the_scan_is_an_error(
    genretag: Program, planned: Path, tmp_path: Path, command: str
) -> None:
    done = genretag(command, tmp_path / "music" / "Nope")
    assert done.status == 2
    assert "found no music there" in done.err
    (tmp_path / "p.csv").write_text("x")
    if command == "apply":
        assert "-O plan.jsonl" in genretag("apply", tmp_path / "p.csv").err


def test_apply_dry_run_shows_the_plan(genretag: Program, planned: Path) -> None:
    assert "1.flac" in genretag("apply", "--dry-run").out


def test_plan_names_the_rules_that_decided(genretag: Program, planned: Path) -> None:
    genretag("plan", "-f", "--album", "majority")
    err = genretag("plan").err
    assert "--existing replace" in err
    assert "--album majority" in err


def test_a_scan_through_the_api_keeps_the_plan_of_the_command_line(
    genretag: Program, music: Path, planned: Path, tmp_path: Path
) -> None:
    with api.Library(tmp_path / "db" / "genretag.db", jobs=1) as library:
        assert len(library.hear([music / "Other"])) == 1
        assert len(library.plan(Policy(min_confidence=0.0))) == 1
    assert len(genretag("report", "--json").rows) == 3
    assert genretag("apply", "--yes").status == 0
    assert all(genres(music).values())


def test_an_empty_argument_is_an_error(genretag: Program) -> None:
    done = genretag("scan", "", "--dry-run")
    assert done.status == 2
    assert "empty" in done.err


def test_a_missing_config_file_is_an_error(genretag: Program, music: Path, tmp_path: Path) -> None:
    assert (
        "no such file"
        in genretag("--config", tmp_path / "none.toml", "scan", music, "--dry-run").err
    )


def test_an_unknown_report_format_is_refused_before_the_scan(
    genretag: Program, music: Path, tmp_path: Path
) -> None:
    done = genretag("scan", music, "--dry-run", "-O", tmp_path / "plan.xlsx")
    assert done.status == 2
    assert "files in" not in done.err


@pytest.mark.parametrize(
    ("path", "glob", "want"),
    [
        ("/m/Broken/x.mp3", "Broken/*", True),
        ("/m/Broken/x.mp3", "Broken", True),
        ("/m/Broken/x.mp3", "*.mp3", True),
        ("/m/Broken/x.mp3", "/m/Broken", True),
        ("/m/NotBroken/x.mp3", "Broken", False),
        ("m/a/x.mp3", "m/a", True),
    ],
)
def test_exclusion_and_protection_use_the_same_globs(path: str, glob: str, want: bool) -> None:
    assert lies_in(path, glob) is want
    assert (Protect(paths=(glob,)).reason(path, (), []) is not None) is want


def test_a_file_reached_through_two_links_is_planned_once(
    genretag: Program, music: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "Outside"
    outside.mkdir()
    shutil.copy(music / "Tie" / "1.flac", outside / "x.flac")
    for name in ("a", "z"):
        (music / f"{name}.flac").symlink_to(outside / "x.flac")
    (music / "m-folder").symlink_to(outside)
    rows = genretag("scan", music, "--dry-run", "--json", "--min-confidence", 0).rows
    reasons = Counter(r["action"] for r in rows if "Outside" in os.path.realpath(r["path"]))
    assert reasons == {"write": 1, "skip": 2}
    assert [f.link for f in walk([music]) if isinstance(f, Found) and f.path.name == "x.flac"] == [
        True
    ]


def body(seed_files: dict[str, Path]) -> bytes:
    data = seed_files[".mp3"].read_bytes()
    return data[mpeg.id3v2_size(data[:10]) :]


def test_an_empty_id3v2_tag_does_not_hide_id3v1(
    seed_files: dict[str, Path], tmp_path: Path
) -> None:
    for version in (3, 4):
        path = tmp_path / f"{version}.mp3"
        path.write_bytes(
            make_id3(version, []) + body(seed_files) + make_id3v1("Title", "Artist", 12)
        )
        before = tags.non_genre_tags(path)
        tags.write(path, ["Cumbia"])
        assert tags.changed_places(before, tags.non_genre_tags(path)) == []
        found = ID3(path, load_v1=False)
        assert (str(found["TIT2"]), str(found["TPE1"]), str(found["TCON"])) == (
            "Title",
            "Artist",
            "Cumbia",
        )


@pytest.mark.parametrize(("share", "decodes"), [(0.8, True), (0.4, False)])
def test_a_truncated_mp3_is_noticed(tmp_path: Path, share: float, decodes: bool) -> None:
    whole = tmp_path / "x.mp3"
    synthesis.encode(whole, synthesis.piece(1, 12), 44_100)
    data = whole.read_bytes()
    assert mpeg.declared_seconds(whole) == pytest.approx(12, abs=0.2)
    log = audio.DecodeLog()
    list(audio.decode(whole, 16_000, log))
    assert log.share > 0.995
    whole.write_bytes(data[: int(len(data) * share)])
    log = audio.DecodeLog()
    if decodes:
        list(audio.decode(whole, 16_000, log))
        assert log.share == pytest.approx(share, abs=0.05)
    else:
        with pytest.raises(TrackError, match="% of it decodes"):
            list(audio.decode(whole, 16_000, log))


def test_id3v22_tags_are_skipped_in_the_plan(seed_files: dict[str, Path], tmp_path: Path) -> None:
    frames = (
        b"TT2"
        + (8).to_bytes(3, "big")
        + b"\x00A Title"
        + b"TCO"
        + (6).to_bytes(3, "big")
        + b"\x00Other"
    )
    path = tmp_path / "x.mp3"
    path.write_bytes(
        b"ID3\x02\x00\x00"
        + bytes([0, 0, 0, len(frames) + 10])
        + frames
        + bytes(10)
        + body(seed_files)
    )
    read = tags.read(path)
    sure = Verdict(Status.OK, "Jazz", 0.9, {"Jazz": 1.0}, 3, 1.0, 1.0)
    assert decide(sure, read, Policy())[:2] == (
        "skip",
        "ID3v2.2 tag (--convert-v22 writes it as v2.3)",
    )
    assert decide(sure, read, Policy(convert_v22=True))[0] == "write"
    tags.write(path, ["Jazz"], TagOptions(convert_v22=True))
    assert tags.read(path).field == "TCON"


def test_existing_joined_genres_are_not_appended_again() -> None:
    sure = Verdict(Status.OK, "Blues", 0.9, {"Blues": 1.0}, 3, 1.0, 1.0)
    for old in (["Blues, Jazz"], ["Jazz/Blues"], ["Rock; Blues"]):
        assert decide(sure, Tags(old, "TCON"), Policy(existing=Existing.APPEND))[:2] == (
            "keep",
            "already has this genre",
        )


def test_rounding_never_lifts_a_confidence_over_the_threshold() -> None:
    assert two_digits(0.6957) == "0.69"
    assert two_digits(0.7) == "0.70"
    assert two_digits(1.0) == "1.00"


def test_totals_group_similar_reasons() -> None:
    summary = Summary()
    for n in range(3):
        reason = f"its album does not agree ({n} of 7 sure tracks of its album)"
        summary.add(Row("x", "ok", None, None, {}, 1, 1.0, [], [], "skip", reason))
    assert summary.left == {"its album does not agree": 3}
