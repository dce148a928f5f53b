"""Group items that share any key of their audio: a match on any one is a match."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from genretag.decisions.rows import Row


def keys_of(row: Row) -> set[str]:
    """Return the keys of a row's audio; none for a file without an analysis."""
    return {key for key in (row.content_key, row.audio_key) if key}


def number_keys(
    rows: Iterable[Row], second_key: Callable[[Iterable[str]], str | None]
) -> Iterator[tuple[int, str]]:
    """Yield (number of the row, key) for every key of each row's audio.

    ``second_key`` returns the second key that is stored with these keys.
    """
    for number, row in enumerate(rows):
        keys = keys_of(row)
        for key in keys:
            yield number, key
        second = second_key(keys)
        if second is not None:
            yield number, second


def group_by_keys(keyed: Iterable[tuple[int, str]]) -> list[list[int]]:
    """Return the groups of numbers that share a key, directly or through others of the group.

    Groups are in the order of their lowest number, and their numbers are sorted.
    """
    # Disjoint sets (Tarjan 1975): each number points to another of its group, the lowest to itself.
    parent: dict[int, int] = {}
    first_with: dict[str, int] = {}

    def lowest(number: int) -> int:
        while parent[number] != number:
            parent[number] = parent[parent[number]]
            number = parent[number]
        return number

    for number, key in keyed:
        parent.setdefault(number, number)
        a, b = lowest(number), lowest(first_with.setdefault(key, number))
        parent[max(a, b)] = min(a, b)
    groups: dict[int, list[int]] = {}
    for number in sorted(parent):
        groups.setdefault(lowest(number), []).append(number)
    return list(groups.values())
