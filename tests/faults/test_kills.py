"""Killed at any moment: a short round of what the soak does at length."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from breaking import CONTAINERS, Killer, make_library, rows_for, sha

from genretag.report.formats import json_line
from genretag.storage.journal import Journal


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 3])
def test_killed_at_random_moments_nothing_is_lost(tmp_path: Path, jobs: int) -> None:
    files = make_library(tmp_path / "music", 3, big=False)
    found = Killer(files, tmp_path / "g.db", seed=1, jobs=jobs).run(kills=30)
    assert found.lost == []
    assert sum(found.kills.values()) >= 30


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_asked_to_stop_it_ends_the_file_in_hand_and_the_next_apply_goes_on(
    tmp_path: Path, number: signal.Signals
) -> None:
    files = make_library(tmp_path / "music", 12, big=False)
    before = {p: sha(p) for p in files}
    plan = tmp_path / "plan.jsonl"
    plan.write_text("".join(json_line(row) + "\n" for row in rows_for(files)))
    env = {**os.environ, "GENRETAG_DB": str(tmp_path / "g.db")}
    command = [sys.executable, "-m", "genretag", "apply", str(plan), "--yes"]
    process = subprocess.Popen(command, env=env, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and not any(sha(p) != before[p] for p in files):
        time.sleep(0.01)
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    changed = [p for p in files if sha(p) != before[p]]
    assert 1 <= len(changed) <= len(CONTAINERS)
    if len(changed) < len(files):
        assert process.returncode == 1
        assert b"goes on with the rest" in err
    journal = Journal(tmp_path / "g.journal.db")
    assert [c.state for c in journal.changes()] == ["replaced"] * len(changed)
    journal.close()
    assert not [s for s in os.listdir(tmp_path / "music") if s.startswith(".")]
    subprocess.run(
        [sys.executable, "-m", "genretag", "undo", "--yes"],
        env=env,
        check=True,
        capture_output=True,
    )
    assert {p: sha(p) for p in files} == before
