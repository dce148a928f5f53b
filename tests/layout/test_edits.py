"""Edits of a file: the same bytes as a rebuilt copy, whatever moves where."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genretag.tags import edits
from genretag.tags.edits import Edit, apply_edits, edited

CUTS = st.lists(
    st.tuples(st.integers(0, 40), st.integers(0, 9), st.binary(max_size=30)), max_size=8
)


@given(data=st.binary(max_size=300), cuts=CUTS)
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_file_gets_the_bytes_of_a_rebuilt_copy(
    tmp_path: Path, data: bytes, cuts: list[tuple[int, int, bytes]]
) -> None:
    at, made = 0, []
    for gap, length, new in cuts:
        start = min(at + gap, len(data))
        at = min(start + length, len(data))
        made.append(Edit(start, at, new))
    path = tmp_path / "file"
    path.write_bytes(data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(edits, "_MOVE_SIZE", 7)
        apply_edits(path, made)
    assert path.read_bytes() == edited(data, made)


def test_edits_that_overlap_are_refused() -> None:
    with pytest.raises(ValueError, match="overlap"):
        edited(bytes(9), [Edit(1, 5, b""), Edit(4, 6, b"")])
