"""Describe rules as the flags that would request them."""

from __future__ import annotations

from genretag.cli.policy_options import flag_of
from genretag.decisions.policy import Policy
from genretag.decisions.vocabulary import Vocabulary


def describe_policy(policy: Policy) -> str:
    """Return the flags that would request this policy; empty for the defaults."""
    usual = vars(Policy())
    flags = (
        flag_of(name) if value is True else f"{flag_of(name)} {_text_of(value)}"
        for name, value in vars(policy).items()
        if value != usual[name] and name not in ("vocabulary", "protect")
    )
    words = policy.vocabulary
    described = [*flags]
    if not words.changes_nothing:
        described.append(f"a vocabulary ({_describe_vocabulary(words)})")
    return " ".join(described)


def _text_of(value: object) -> str:
    """Return a value of a rule as an option has it."""
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _describe_vocabulary(words: Vocabulary) -> str:
    """Return what a vocabulary changes: the number of entries in each part that is not usual."""
    usual = vars(Vocabulary())
    changed = {n: v for n, v in words.to_dict().items() if v != usual[n]}
    parts = []
    for key, value in changed.items():
        # Messages about aliases that match no label must stand out from this one.
        name = "renamed words" if key == "aliases" else key.replace("_", " ")
        if isinstance(value, tuple | dict | list):
            name = f"{name}: {len(value)}"
        parts.append(f"{name} {value}" if key == "language" else name)
    return ", ".join(parts)
