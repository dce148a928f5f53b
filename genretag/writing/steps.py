"""The steps of a write, between which the fault tests kill the program."""

from __future__ import annotations

from collections.abc import Callable

#: Called with the name of each step; only the fault tests set it.
hook: Callable[[str], None] | None = None


def step(name: str) -> None:
    """Mark a moment between two steps, where the fault tests kill the program."""
    if hook is not None:
        hook(name)
