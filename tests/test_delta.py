"""The way back: any old file can be made from any new one, and tags cost little."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genretag.writing import delta


def round_trip(folder: Path, old: bytes, new: bytes) -> delta.Delta:
    (folder / "old").write_bytes(old)
    (folder / "new").write_bytes(new)
    made = delta.compare(folder / "old", folder / "new")
    out = io.BytesIO()
    digest = delta.rebuild(delta.Delta.unpack(made.pack()), folder / "new", out)
    assert out.getvalue() == old
    assert digest == hashlib.sha256(old).hexdigest()
    return made


@given(st.binary(max_size=300), st.binary(max_size=300))
@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_file_can_be_rebuilt_from_any_other(tmp_path: Path, old: bytes, new: bytes) -> None:
    round_trip(tmp_path, old, new)


@given(st.binary(max_size=50), st.binary(max_size=50), st.binary(max_size=50), st.integers(0, 5000))
@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_changed_piece_anywhere_can_be_taken_back(
    tmp_path: Path, a: bytes, b: bytes, c: bytes, at: int
) -> None:
    body = np.random.default_rng(0).bytes(5000)
    round_trip(tmp_path, a + body[:at] + b + body[at:], c + body[:at] + body[at:] + a)


MUSIC = np.random.default_rng(1).bytes(3_000_000)


@pytest.mark.parametrize(
    ("old", "new", "most"),
    [
        (MUSIC, b"ID3" + b"\0" * 500 + MUSIC, 0),
        (b"T" * 900 + MUSIC, b"U" * 1400 + MUSIC, 900),
        (MUSIC + b"TAG" + b"x" * 125, MUSIC + b"TAG" + b"x" * 124 + b"\x08", 1),
        (b"A" * 100 + MUSIC + b"B" * 100, b"C" * 4096 + MUSIC + b"D" * 300, 200),
    ],
    ids=[
        "a new tag at the head",
        "a tag that grew",
        "one byte at the tail",
        "tags at both ends grew",
    ],
)
def test_what_is_kept_is_about_as_much_as_changed(
    tmp_path: Path, old: bytes, new: bytes, most: int
) -> None:
    assert round_trip(tmp_path, old, new).weight <= most + 64


def test_bytes_that_are_no_delta_are_refused() -> None:
    with pytest.raises(ValueError, match="no delta"):
        delta.Delta.unpack(b"rubbish")
