"""The beets plugin in a real beets: import and ``beet genretag``."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from genretag import tags
from genretag.audio import synthesis

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("beets") is None, reason="beets is not installed"
)


@pytest.fixture
def beet(tmp_path: Path):
    """Run beets with a library of the test."""

    def run(*arguments: object, auto: bool = False) -> str:
        (tmp_path / "config.yaml").write_text(
            f"directory: {tmp_path / 'library'}\nlibrary: {tmp_path / 'library.db'}\n"
            "plugins: genretag\n"
            f"genretag:\n  auto: {'yes' if auto else 'no'}\n  min_confidence: 0\n"
            f"  database: {tmp_path / 'g.db'}\n"
        )
        command = [sys.executable, "-m", "beets", *map(str, arguments)]
        env = {
            **os.environ,
            "BEETSDIR": str(tmp_path),
            "GENRETAG_CONFIG": str(tmp_path / "none.toml"),
        }
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=200, env=env
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture
def music(tmp_path: Path) -> Path:
    folder = tmp_path / "music"
    folder.mkdir()
    for n, genre in enumerate(("", "Mine")):
        fields = {
            "title": f"T{n}",
            "artist": "A",
            "album": "B",
            **({"genre": genre} if genre else {}),
        }
        synthesis.encode(folder / f"{n}.flac", synthesis.piece(n, 3), 44_100, tags=fields)
    return folder


def genres(folder: Path) -> dict[str, list[str]]:
    return {p.stem[-2:]: tags.read(p).genres for p in sorted(folder.rglob("*.flac"))}


def test_beet_genretag_shows_and_writes_genres_that_undo_restores(
    beet, music: Path, tmp_path: Path
) -> None:
    beet("import", "-qA", music)
    shown = beet("genretag", "--pretend")
    assert "(none) ->" in shown
    assert genres(tmp_path / "library") == {"T0": [], "T1": ["Mine"]}
    beet("genretag")
    written = genres(tmp_path / "library")
    assert len(written["T0"]) == 1
    assert written["T1"] == ["Mine"]
    assert written["T0"][0] in beet("ls", "-f", "$genres $genre", "title:T0")
    env = {**os.environ, "GENRETAG_DB": str(tmp_path / "g.db")}
    subprocess.run(
        [sys.executable, "-m", "genretag", "undo", "--all", "--yes"],
        check=True,
        env=env,
        capture_output=True,
    )
    assert genres(tmp_path / "library") == {"T0": [], "T1": ["Mine"]}


def test_imported_tracks_get_genres_and_originals_stay_untouched(
    beet, music: Path, tmp_path: Path
) -> None:
    before = {p: p.read_bytes() for p in music.iterdir()}
    beet("import", "-qA", music, auto=True)
    assert (
        beet("ls", "-f", "$genres $genre", "title:T0")
        .replace("$genres", "")
        .replace("$genre", "")
        .strip()
    )
    assert "Mine" in beet("ls", "-f", "$genres $genre", "title:T1")
    assert len(genres(tmp_path / "library")["T0"]) == 1  # as-is imports are written too
    assert {p: p.read_bytes() for p in music.iterdir()} == before


def test_hard_linked_sources_are_imported_with_genres(beet, music: Path, tmp_path: Path) -> None:
    seed = tmp_path / "seed"
    seed.mkdir()
    os.link(music / "0.flac", seed / "0.flac")
    before = (seed / "0.flac").read_bytes()
    beet("import", "-qA", music, auto=True)
    assert len(genres(tmp_path / "library")["T0"]) == 1
    assert (seed / "0.flac").read_bytes() == before


def test_source_and_confidence_are_fields_and_append_adds(
    beet, music: Path, tmp_path: Path
) -> None:
    beet("import", "-qA", music)
    beet("genretag", "--append")
    assert genres(tmp_path / "library")["T1"][0] == "Mine"
    assert len(genres(tmp_path / "library")["T1"]) == 2
    source, confidence = beet("ls", "-f", "$genre_source $genre_confidence", "title:T0").split()
    assert source == "genretag"
    assert 0 < float(confidence) <= 1
    assert beet("ls", "-f", "$genre_source", "title:T1").strip() == "keep + genretag"


def test_a_genre_that_stays_is_said_to_be_kept(beet, music: Path, tmp_path: Path) -> None:
    beet("import", "-qA", music)
    beet("genretag", "--force", "--trust", "tags")
    assert genres(tmp_path / "library")["T1"] == ["Mine"]
    assert beet("ls", "-f", "$genre_source", "title:T1").strip() == "keep"
    beet("genretag", "--force")
    assert beet("ls", "-f", "$genre_source", "title:T1").strip() == "genretag"
