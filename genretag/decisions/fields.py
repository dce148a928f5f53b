"""Plan the fields beside the genre: mood, style, and the evidence of what is written.

Each field is decided for itself, by its own threshold in the model and by what the file has there.
"""

from __future__ import annotations

from collections.abc import Container
from typing import TYPE_CHECKING, Protocol, TypedDict

from genretag.decisions.policy import Existing, Field, Policy, StyleField
from genretag.decisions.reasons import TEXT, Action, Reason
from genretag.decisions.vocabulary import normalise_genre
from genretag.decisions.vote import Status, Verdict
from genretag.inference.metadata import ModelMetadata
from genretag.records import FileRow, Tags

if TYPE_CHECKING:
    from genretag.decisions.rows import Row

EVIDENCE = "evidence"  # key of a row's fields, and the name of the tag field


class FieldPlan(TypedDict):
    """What a plan does with one field of a file; a plain dictionary, as JSON has it."""

    old: list[str]
    new: list[str]
    action: str
    reason: str
    code: str
    confidence: float | None
    tag: str  # the field in the tags: ``style`` may be written as ``grouping``


class FieldHistory(Protocol):
    """Earlier writes, by content key and field."""

    def wrote(
        self, content_key: str, field: str = "genre", audio_key: str | None = None
    ) -> list[str] | None:
        """Return what genretag last wrote to a field; None if nothing, or it was undone."""


def are_plans(data: object) -> bool:
    """Return whether JSON data is a row's plans of fields."""
    return isinstance(data, dict) and all(map(_is_plan, data.values()))


def _is_plan(data: object) -> bool:
    if not isinstance(data, dict) or data.get("action") not in set(Action):
        return False
    lists = all(_is_text_list(data.get(key)) for key in ("old", "new"))
    texts = all(isinstance(data.get(key), str) for key in ("reason", "code", "tag"))
    return lists and texts and (data["action"] != Action.WRITE or bool(data["new"]))


def _is_text_list(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


def plan_fields(
    f: FileRow,
    verdict: Verdict,
    metadata: ModelMetadata,
    policy: Policy,
    obstacle: Reason | None = None,
    past: FieldHistory | None = None,
) -> dict[str, FieldPlan]:
    """Return the plans of the chosen fields of a file.

    ``obstacle`` is why the file is not written whatever its fields are.
    """
    plans = dict[str, FieldPlan]()
    for field in policy.write:
        if field is Field.GENRE or (
            field is Field.STYLE and policy.style_field is StyleField.GENRE
        ):
            continue
        plans[field] = _plan(field, f, verdict, metadata, policy, obstacle, past)
    return plans


def _plan(
    field: Field,
    f: FileRow,
    verdict: Verdict,
    metadata: ModelMetadata,
    policy: Policy,
    obstacle: Reason | None,
    past: FieldHistory | None,
) -> FieldPlan:
    """Return the plan of one field."""
    grouping = field is Field.STYLE and policy.style_field is StyleField.GROUPING
    tag = "grouping" if grouping else str(field)
    old = f.tags.fields.values.get(tag, []) if f.tags.fields is not None else []
    found = sure_labels(field, verdict, metadata)

    def plan(action: Action, code: Reason, text: str, new: list[str] | None = None) -> FieldPlan:
        confidence = None if not found else round(max(found.values()), 4)
        return FieldPlan(
            old=old,
            new=old if new is None else new,
            action=action,
            reason=text,
            code=code,
            confidence=confidence,
            tag=tag,
        )

    if verdict.status is Status.NONMUSIC:
        return plan(Action.SKIP, Reason.NOT_MUSIC, TEXT[Reason.NOT_MUSIC])
    if (blocked := _block(tag, f, policy)) is not None:
        return plan(Action.SKIP, *blocked)
    ours = past is not None and bool(old) and past.wrote(f.content_key, tag, f.audio_key) == old
    if old and policy.existing is Existing.SKIP and not ours:
        return plan(Action.KEEP, Reason.HAS_FIELD, f"already has a {tag}")
    if not found or not has_labels(field, metadata):
        return plan(Action.SKIP, *_without_labels(field, metadata))
    words = policy.vocabulary.field_words(field, list(found))
    if not words:
        text = f"the vocabulary has no word for {', '.join(found)}"
        return plan(Action.SKIP, Reason.NO_WORD, text)
    if policy.existing is Existing.APPEND and not ours:
        words = _appended(old, words)
    if words == old:
        return plan(Action.KEEP, Reason.SAME, f"already has this {tag}")
    if obstacle is not None:
        return plan(Action.SKIP, obstacle, TEXT[obstacle])
    code = _reason_to_write(old, policy, ours=ours)
    return plan(Action.WRITE, code, f"{_VERBS[code]} {tag}", words)


def _without_labels(field: Field, metadata: ModelMetadata) -> tuple[Reason, str]:
    """Return why a field gets no labels from the model."""
    if not has_labels(field, metadata):
        return Reason.NO_LABELS, f"the model knows no {field}s"
    return Reason.UNSURE, f"no {field} is sure enough"


def _appended(old: list[str], words: list[str]) -> list[str]:
    """Return the old values, and those words behind them that are not among them."""
    known = {normalise_genre(word) for word in old}
    return [*old, *(word for word in words if normalise_genre(word) not in known)]


_VERBS = {
    Reason.EMPTY: "fills an empty",
    Reason.ADDS: "adds to the",
    Reason.RENEWS: "renews its own",
    Reason.REPLACES: "replaces the",
}


def _reason_to_write(old: list[str], policy: Policy, *, ours: bool) -> Reason:
    if not old:
        return Reason.EMPTY
    if ours:
        return Reason.RENEWS
    return Reason.ADDS if policy.existing is Existing.APPEND else Reason.REPLACES


def _block(tag: str, f: FileRow, policy: Policy) -> tuple[Reason, str] | None:
    """Return code and text of why a field of a file cannot be written; None if it can."""
    if f.tags.problem is not None:
        return Reason.NOT_WRITABLE, f.tags.problem
    if f.tags.fields is None:
        return Reason.NOT_READ, f"its {tag} was not read yet; scan again"
    if (problem := f.tags.fields.problems.get(tag)) is not None:
        return Reason.NOT_WRITABLE, problem
    artists = (f.tags.album.artist, f.tags.album.album_artist)
    if (why := policy.protect.reason(str(f.path), artists, f.tags.genres)) is not None:
        return Reason.PROTECTED, why
    return None


def has_labels(field: Field, metadata: ModelMetadata) -> bool:
    """Return whether a model has labels of a field."""
    return (metadata.moods if field is Field.MOOD else metadata.styles) is not None


def sure_labels(field: Field, verdict: Verdict, metadata: ModelMetadata) -> dict[str, float]:
    """Return the labels of a field that reach their thresholds, likeliest first.

    Moods exclude each other: only the likeliest counts. Their thresholds are the model's own, and
    the one of its genres where it states none.
    """
    if field is Field.STYLE:
        return verdict.styles
    if metadata.moods is None or not verdict.moods:
        return {}
    mood, probability = next(iter(verdict.moods.items()))
    threshold = metadata.moods.threshold_of(mood, metadata.confidence_threshold)
    return {mood: probability} if probability >= threshold else {}


# --- evidence -------------------------------------------------------------------------------------


def plan_evidence(row: Row, tags: Tags, metadata: ModelMetadata) -> FieldPlan | None:
    """Return the plan of the evidence of a row's writes; None if it writes nothing.

    Each value tells of one field: ``mood=Calm; source=model; confidence=0.81; model=NAME VERSION``.
    Values on fields that are not written now stay.
    """
    if not row.writes or tags.fields is None or EVIDENCE in tags.fields.problems:
        return None
    old = tags.fields.values.get(EVIDENCE, [])
    kept = without_evidence(old, row.writes)
    model = f"{metadata.name} {metadata.version}"
    return FieldPlan(
        old=old,
        new=[*kept, *(_evidence(row, field, model) for field in row.writes)],
        action=Action.WRITE,
        reason="tells where the values come from",
        code=Reason.EMPTY if not old else Reason.RENEWS,
        confidence=None,
        tag=EVIDENCE,
    )


def _evidence(row: Row, field: str, model: str) -> str:
    """Return where the new value of a field comes from."""
    if field == Field.GENRE:
        confidence, source = row.confidence, row.source or "model"
    else:
        confidence, source = row.fields[field]["confidence"], "model"
    parts = {field: ", ".join(row.writes[field]), "source": source}
    if source != "person" and confidence is not None:
        parts |= {"confidence": f"{confidence:.2f}", "model": model}
    return "; ".join(f"{key}={value}" for key, value in parts.items())


def without_evidence(evidence: list[str], fields: Container[str]) -> list[str]:
    """Return the values of evidence that tell of other fields."""
    return [text for text in evidence if text.partition("=")[0] not in fields]
