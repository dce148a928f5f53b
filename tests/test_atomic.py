"""Output files are written as a whole or not at all; links and devices stay what they are."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from genretag.errors import RunError
from genretag.report.formats import write_text
from genretag.report.playlists import write_playlist

resource = pytest.importorskip("resource")


def test_a_file_that_cannot_grow_leaves_the_old_one_whole(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("old")
    old, action = resource.getrlimit(resource.RLIMIT_FSIZE), signal.getsignal(signal.SIGXFSZ)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, old[1]))
    try:
        with pytest.raises(RunError, match=r"page\.html: cannot be written: File too large"):
            write_text(page, "x" * 100_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, action)
    assert page.read_text() == "old"
    assert os.listdir(tmp_path) == ["page.html"]


def test_a_link_stays_and_its_target_keeps_its_mode(tmp_path: Path) -> None:
    target, link = tmp_path / ("n" * 250 + ".m3u8"), tmp_path / "link.m3u8"
    target.write_text("old")
    target.chmod(0o640)
    link.symlink_to(target)
    write_playlist([], link, None)
    assert link.is_symlink()
    assert target.read_text() == "#EXTM3U\n"
    assert target.stat().st_mode & 0o777 == 0o640


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_device_is_written_directly(tmp_path: Path) -> None:
    link = tmp_path / "page.html"
    link.symlink_to("/dev/full")
    with pytest.raises(RunError, match="No space left on device"):
        write_text(link, "x")
    assert Path("/dev/full").is_char_device()
    assert link.is_symlink()
