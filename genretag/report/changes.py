"""What a row changes, field by field, as text."""

from __future__ import annotations

from genretag.decisions.fields import EVIDENCE, FieldPlan
from genretag.decisions.plan import Action, Row
from genretag.text import words


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
