"""Files are copies if any key of their audio matches, directly or through others."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import Program
from hypothesis import given
from hypothesis import strategies as st

from genretag.audio import streaminfo_key, synthesis
from genretag.decisions.same_audio import group_by_keys

Pairs = list[tuple[int, str]]
PAIRS = st.lists(st.tuples(st.integers(0, 9), st.sampled_from("abcdefgh")), max_size=20)


def closure(pairs: Pairs) -> set[frozenset[int]]:
    """Return the groups by joining sets until nothing changes."""
    groups = [({n}, {key}) for n, key in pairs]
    for _ in pairs:
        for numbers, keys in groups:
            for other_numbers, other_keys in groups:
                if keys & other_keys or numbers & other_numbers:
                    numbers |= other_numbers
                    keys |= other_keys
    return {frozenset(numbers) for numbers, _ in groups}


@given(PAIRS)
def test_groups_are_those_that_keys_connect(pairs: Pairs) -> None:
    groups = group_by_keys(pairs)
    assert {frozenset(g) for g in groups} == closure(pairs)
    assert groups == sorted(sorted(g) for g in groups)


@pytest.mark.parametrize("samples", [3 * 44_100, 3 * 44_100 + 1, 4608, 1000, 44_100 * 12 + 77])
@pytest.mark.parametrize("rate", [44_100, 12_345])  # the second one is not in the table of rates
def test_only_a_complete_flac_file_has_the_key_of_its_samples(
    tmp_path: Path, samples: int, rate: int
) -> None:
    music = synthesis.piece(samples, 14)[:, :samples]
    keys = []
    for level in ("0", "8"):
        path = tmp_path / f"{level}.flac"
        how = synthesis.Container(
            "flac", rate, options=(("compression_level", level),), sample_format="s16"
        )
        synthesis.encode(path, music, rate, how)
        keys.append(streaminfo_key(path))
    assert keys[0] is not None
    assert keys[0] == keys[1]
    tagged = tmp_path / "tagged.flac"
    tagged.write_bytes(path.read_bytes() + b"TAG" + bytes(125))
    assert streaminfo_key(tagged) == keys[0]
    content = path.read_bytes()
    for share in (0.3, 0.5, 0.8, 0.95):
        cut = tmp_path / "cut.flac"
        cut.write_bytes(content[: int(len(content) * share)])
        # A file of one frame has its last frame as long as the header of that is there.
        assert streaminfo_key(cut) is None or samples <= 4608


@pytest.mark.parametrize("first", ["whole", "half"])
def test_a_truncated_file_and_the_whole_one_are_no_copies(
    genretag: Program, tmp_path: Path, first: str
) -> None:
    """Whichever is scanned first: the invariant is that the order makes no difference."""
    folder = tmp_path / "music"
    folder.mkdir()
    whole, half = folder / "whole.flac", folder / "half.flac"
    synthesis.encode(whole, synthesis.piece(4, 40), 44_100)
    content = whole.read_bytes()
    half.write_bytes(content[: int(len(content) * 0.9)])
    genretag("scan", folder / f"{first}.flac", "--dry-run", "-q")
    rows = genretag("scan", folder, "--dry-run", "--json").rows
    shares = {Path(row["path"]).stem: row["share"] for row in rows}
    assert shares["whole"] == 1
    assert 0.8 < shares["half"] < 0.95
