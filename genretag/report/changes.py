"""What a row changes, field by field, as text; and its path as it is shown."""

from __future__ import annotations

from pathlib import Path

from genretag.decisions.fields import EVIDENCE, FieldPlan
from genretag.decisions.reasons import Action
from genretag.decisions.rows import Row
from genretag.library.urls import absolute, is_url
from genretag.text import words


def shown_path(row: Row) -> Path:
    """Return a row's path as it was walked; absolute where that leads elsewhere from here."""
    walked = Path(row.path)
    if walked.is_absolute() or is_url(walked):
        return walked
    try:
        return walked if absolute(walked) == row.absolute else row.absolute
    except FileNotFoundError:  # the current folder was removed
        return row.absolute


def written_fields(row: Row) -> dict[str, FieldPlan]:
    """Return the plans of fields beside the genre that apply writes, without the evidence."""
    return {
        name: plan
        for name, plan in row.fields.items()
        if plan["action"] == Action.WRITE and name != EVIDENCE
    }


def changes_text(row: Row) -> str:
    """Return what apply changes in a file as ``old -> new``, each other field with its name."""
    parts = [f"{words(row.old)} -> {words(row.new)}"] if row.action == Action.WRITE else []
    for name, plan in written_fields(row).items():
        parts.append(f"{name} {words(plan['old'])} -> {words(plan['new'])}")
    return "; ".join(parts)
