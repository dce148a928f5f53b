"""Declare options in groups: a group is a dataclass whose fields are options.

``with_groups`` expands a command's parameters of such a type into one option per field, so that
commands name groups and never their options. The first paragraph of a help text is its summary, the
one line that ``-h`` shows.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar, get_type_hints

import typer

# Headings of the help, in the order in which they are shown.
WRITE, FILES, ANALYSIS, OUTPUT, CLUSTER = (
    "What to write",
    "Which files",
    "Analysis",
    "Output",
    "Cluster",
)

#: Long flags of options that describe one call (where to write, how to print).
#: A configuration key or variable for all commands must not set them.
ONE_CALL: set[str] = set()

Result = TypeVar("Result")


def one_call(*flags: str, **details: Any) -> Any:
    """Declare an option of one call, which no setting for all commands may change."""
    ONE_CALL.update(name for flag in flags for name in flag.split("/") if name.startswith("--"))
    return typer.Option(*flags, **details)


def output_file(**details: Any) -> Any:
    """Declare ``-O``, the file that one call writes."""
    return one_call("-O", "--output", metavar="FILE", rich_help_panel=OUTPUT, **details)


def with_groups(
    command: Callable[..., Result], *, omit: Collection[str] = ()
) -> Callable[..., Result]:
    """Expand the parameters that are groups of options; fields in ``omit`` keep their default."""
    # typer reads signatures, so the expanded one must hold real types instead of strings.
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, Any] = {}
    expanded: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(command).parameters.items():
        if is_dataclass(hints[name]):
            groups[name] = hints[name]
            expanded += (p for p in _parameters(hints[name]) if p.name not in omit)
        else:
            expanded.append(
                parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hints[name])
            )

    def run(**values: Any) -> Result:
        made = {
            name: group(
                **{p.name: values.pop(p.name) for p in _parameters(group) if p.name in values}
            )
            for name, group in groups.items()
        }
        return command(**values, **made)

    functools.update_wrapper(run, command)
    del run.__wrapped__  # type: ignore[attr-defined]  # typer would read the groups again
    run.__annotations__ = {p.name: p.annotation for p in expanded}
    run.__signature__ = inspect.Signature(expanded)  # type: ignore[attr-defined]
    return run


@functools.cache
def _parameters(group: type) -> tuple[inspect.Parameter, ...]:
    """Return a group's fields as keyword parameters."""
    hints = get_type_hints(group, include_extras=True)
    return tuple(
        inspect.Parameter(
            f.name, inspect.Parameter.KEYWORD_ONLY, default=f.default, annotation=hints[f.name]
        )
        for f in fields(group)
    )
