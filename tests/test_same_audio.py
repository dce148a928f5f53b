"""Files are copies if any key of their audio matches, directly or through others."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

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
