"""Mood and style are decided, written and taken back each for itself."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import json
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import Program
from rich.console import Console

from genretag import audio, tags
from genretag.decisions.fields import FieldPlan, plan_fields, sure_labels
from genretag.decisions.genre import decide
from genretag.decisions.plan import with_fields
from genretag.decisions.policy import Existing, Field, Policy, Protect, StyleField
from genretag.decisions.reasons import Reason
from genretag.decisions.rows import Row, skipped_row
from genretag.decisions.vocabulary import Vocabulary
from genretag.decisions.vote import Status, Verdict
from genretag.errors import RunError
from genretag.inference.metadata import ModelMetadata
from genretag.library.walk import Found
from genretag.records import Album, FieldTags, FileRow, Tags
from genretag.report.formats import write_csv, write_markdown
from genretag.report.sentences import report_lines
from genretag.report.summary import summarise
from genretag.report.terminal import print_report
from genretag.scan.track import TrackResult
from genretag.storage.changes import FieldChange
from genretag.storage.journal import Journal
from genretag.writing import steps, undo
from genretag.writing.recovery import recover
from genretag.writing.target import Expected, WriteOptions
from genretag.writing.undo import undo_change, undo_fields
from genretag.writing.write import write_fields

NOTHING = FieldTags()  # in a file without mood and style
BOTH = (Field.GENRE, Field.MOOD, Field.STYLE)


def metadata_of(model: object) -> ModelMetadata:
    return model.metadata  # type: ignore[attr-defined, no-any-return]


@pytest.fixture(scope="module")
def metadata() -> ModelMetadata:
    from genretag.inference.model import Model, bundled_model

    return metadata_of(Model(bundled_model()))


def verdict(**changes: object) -> Verdict:
    usual = Verdict(
        Status.OK,
        "Jazz",
        0.9,
        {"Jazz": 0.9},
        1,
        1.0,
        1.0,
        styles={"Piano": 0.9, "Vocal": 0.8},
        moods={"Calm": 0.8, "Sad": 0.1, "Happy": 0.05, "Tense": 0.05},
    )
    return replace(usual, **changes)  # type: ignore[arg-type]


def file(fields: FieldTags | None, genres: list[str] | None = None) -> FileRow:
    found = Tags(genres or [], "TCON", Album("A"), None, fields)
    return FileRow(Path("/m/a.mp3"), 1, 1, 1, 1, 1, "s", "k", found)


def planned(
    metadata: ModelMetadata,
    policy: Policy,
    fields: FieldTags | None = NOTHING,
    **changes: object,
) -> dict[str, tuple[str, list[str], str]]:
    """Return action, new values and code of each field."""
    plans = plan_fields(file(fields), verdict(**changes), metadata, policy)
    return {name: (p["action"], p["new"], p["code"]) for name, p in plans.items()}


def test_each_field_is_decided_by_its_own_threshold(metadata: ModelMetadata) -> None:
    policy = Policy(write=BOTH)
    sure = planned(metadata, policy)
    assert sure == {
        "mood": ("write", ["Calm"], "empty"),
        "style": ("write", ["Piano", "Vocal"], "empty"),
    }
    unsure = {"Calm": 0.3, "Sad": 0.3, "Happy": 0.2, "Tense": 0.2}
    assert planned(metadata, policy, moods=unsure)["mood"] == ("skip", [], "unsure")
    assert planned(metadata, policy, styles={})["style"] == ("skip", [], "unsure")
    # The genre's status does not count, but what is not music has no mood.
    assert planned(metadata, policy, status=Status.UNSURE) == sure
    nothing = planned(metadata, policy, status=Status.NONMUSIC)
    assert {code for _, _, code in nothing.values()} == {"not-music"}


def test_a_model_may_state_a_threshold_for_each_mood(metadata: ModelMetadata) -> None:
    moods = metadata.moods
    assert moods is not None
    thresholds = tuple(0.95 if name == "Calm" else 0.5 for name in moods.names)
    strict = replace(metadata, moods=replace(moods, thresholds=thresholds))
    assert sure_labels(Field.MOOD, verdict(), strict) == {}
    assert sure_labels(Field.MOOD, verdict(moods={"Sad": 0.6, "Calm": 0.4}), strict) == {"Sad": 0.6}
    assert type(moods).from_metadata(strict.moods.to_metadata()) == strict.moods  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("existing", "expected"),
    [
        (Existing.SKIP, ("keep", ["Angry"], "has-field")),
        (Existing.REPLACE, ("write", ["Calm"], "replaces")),
        (Existing.APPEND, ("write", ["Angry", "Calm"], "adds")),
    ],
)
def test_existing_holds_for_each_field(
    metadata: ModelMetadata, existing: Existing, expected: tuple[str, list[str], str]
) -> None:
    policy = Policy(write=BOTH, existing=existing)
    found = planned(metadata, policy, FieldTags({"mood": ["Angry"]}))
    assert found["mood"] == expected
    assert found["style"] == ("write", ["Piano", "Vocal"], "empty")
    same = planned(metadata, policy, FieldTags({"mood": ["Calm"]}))["mood"]
    assert same[:2] == ("keep", ["Calm"])


def test_what_cannot_or_must_not_be_written_is_told(metadata: ModelMetadata) -> None:
    policy = Policy(write=(Field.MOOD,))
    assert planned(metadata, policy, None)["mood"][2] == "not-read"
    problem = FieldTags({}, {"mood": "RIFF INFO tags have a field for the genre only"})
    assert planned(metadata, policy, problem)["mood"] == ("skip", [], "not-writable")
    protected = replace(policy, protect=Protect(artists=("a",)))
    assert planned(metadata, protected)["mood"] == ("skip", [], "protected")
    without = replace(metadata, moods=None)
    assert planned(without, policy)["mood"] == ("skip", [], "no-labels")
    nothing = replace(policy, vocabulary=Vocabulary(moods=(("calm", ""),)))
    assert planned(metadata, nothing)["mood"] == ("skip", [], "no-word")


def test_styles_go_to_the_chosen_field(metadata: ModelMetadata) -> None:
    policy = Policy(write=BOTH, style_field=StyleField.GROUPING)
    plans = plan_fields(file(FieldTags({"style": ["Mine"]})), verdict(), metadata, policy)
    assert (plans["style"]["tag"], plans["style"]["action"]) == ("grouping", "write")
    assert "style" not in planned(metadata, replace(policy, style_field=StyleField.GENRE))


def test_words_of_the_vocabulary_are_written(metadata: ModelMetadata) -> None:
    words = Vocabulary(moods=(("CALM", "Ruhig"),), styles=(("Piano", "Klavier"), ("Vocal", "")))
    found = planned(metadata, Policy(write=BOTH, vocabulary=words))
    assert (found["mood"][1], found["style"][1]) == (["Ruhig"], ["Klavier"])


def test_a_policy_survives_the_database() -> None:
    policy = Policy(write=(Field.MOOD, Field.STYLE), style_field=StyleField.GROUPING, evidence=True)
    assert Policy.from_dict(json.loads(json.dumps(policy.to_dict()))) == policy
    old = policy.to_dict()
    for key in ("write", "style_field", "evidence"):
        del old[key]
    assert Policy.from_dict(old).write == (Field.GENRE,)


# --- writing and undoing --------------------------------------------------------------------------


def expected(path: Path) -> Expected:
    s, identity = path.stat(), audio.identify(path)
    return Expected(s.st_size, s.st_mtime_ns, sha(path), identity.content_key or "")


def sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


ALL = {
    "genre": FieldChange([], ["Jazz"]),
    "mood": FieldChange([], ["Calm"]),
    "style": FieldChange([], ["Piano", "Vocal"]),
    "evidence": FieldChange([], ["genre=Jazz; source=model", "mood=Calm; source=model"]),
}


def values(path: Path) -> dict[str, list[str]]:
    read = tags.read(path)
    assert read.fields is not None
    return {"genre": read.genres, **read.fields.values}


@pytest.mark.parametrize("extension", [".mp3", ".flac", ".ogg", ".m4a", ".wma", ".wv", ".aiff"])
def test_a_field_is_taken_back_for_itself_and_then_the_rest(
    seed_files: dict[str, Path], tmp_path: Path, extension: str
) -> None:
    path, journal = tmp_path / f"a{extension}", Journal(tmp_path / "j.db")
    path.write_bytes(seed_files[extension].read_bytes())
    before, mtime = path.read_bytes(), path.stat().st_mtime_ns
    run = journal.begin("apply", "0", {})
    write_fields(journal, run, path, [], ALL, expected(path), WriteOptions())
    assert values(path) == {name: change.new for name, change in ALL.items()}
    key = audio.identify(path).content_key
    assert journal.wrote(key, "mood") == ["Calm"]

    (change,) = journal.changes(run, ("replaced",))
    undo_fields(journal, journal.begin("undo", "0", {}), change, {"mood"})
    assert values(path) == {
        "genre": ["Jazz"],
        "style": ["Piano", "Vocal"],
        "evidence": ["genre=Jazz; source=model"],
    }
    assert journal.wrote(key, "mood") is None and journal.wrote(key) == ["Jazz"]

    (left,) = journal.changes(run, ("replaced",))
    assert set(left.fields) == {"genre", "style", "evidence"}
    undo_change(journal, journal.begin("undo", "0", {}), left)
    assert (path.read_bytes(), path.stat().st_mtime_ns) == (before, mtime)
    assert [p.name for p in tmp_path.glob(".*")] == []


STEPS = ("copied", "tagged", "verified", "ready", "replaced")


@pytest.mark.parametrize("step", STEPS)
def test_an_undo_of_a_field_that_is_stopped_leaves_one_of_both_files(
    seed_files: dict[str, Path], tmp_path: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, journal = tmp_path / "a.mp3", Journal(tmp_path / "j.db")
    path.write_bytes(seed_files[".mp3"].read_bytes())
    original = sha(path)
    run = journal.begin("apply", "0", {})
    write_fields(journal, run, path, [], ALL, expected(path), WriteOptions())
    (change,) = journal.changes(run, ("replaced",))

    class Killed(BaseException):
        pass

    def kill(name: str) -> None:
        if name == step:
            raise Killed

    monkeypatch.setattr(steps, "hook", kill)
    monkeypatch.setattr(undo, "settle", lambda *_: None)  # a kill runs no handler
    with pytest.raises(Killed):
        undo_fields(journal, run, change, {"mood"})
    monkeypatch.setattr(steps, "hook", None)
    recover(journal)
    assert [p.name for p in tmp_path.glob(".*")] == []
    (valid,) = journal.changes(run, ("replaced",))
    assert valid.after == sha(path)
    assert ("mood" in valid.fields) == ("mood" in values(path))
    undo_change(journal, run, valid)
    assert sha(path) == original


def test_a_plan_of_an_older_version_has_no_fields() -> None:
    row = Row.from_dict(
        {
            "path": "a",
            "status": "ok",
            "genre": "Jazz",
            "confidence": 0.9,
            "scores": {},
            "windows": 1,
            "agreement": 1.0,
            "old": [],
            "new": ["Jazz"],
            "action": "write",
            "reason": "fills an empty genre",
        }
    )
    assert row.fields == {} and row.writes == {"genre": ["Jazz"]}


# --- the program ----------------------------------------------------------------------------------


@pytest.fixture
def library(seed_files: dict[str, Path], tmp_path: Path) -> Path:
    folder = tmp_path / "music"
    folder.mkdir()
    for extension in (".mp3", ".flac", ".m4a"):
        (folder / f"a{extension}").write_bytes(seed_files[extension].read_bytes())
    return folder


def test_mood_and_style_are_planned_written_and_taken_back(
    genretag: Program, library: Path
) -> None:
    before = {path: path.read_bytes() for path in library.iterdir()}
    done = genretag("scan", library, "--dry-run", "--write", "genre,mood,style", "--json")
    rows = done.rows
    assert {frozenset(row["fields"]) for row in rows} == {frozenset({"mood", "style"})}
    codes = {plan["code"] for row in rows for plan in row["fields"].values()}
    assert codes <= {"empty", "unsure", "not-music"}
    lines = []
    for row in rows:  # an edited plan is written as it is
        mood = {**row["fields"]["mood"], "new": ["Calm"], "action": "write", "code": "empty"}
        lines.append(json.dumps({**row, "fields": {"mood": mood}}))
    plan = library.parent / "plan.jsonl"
    plan.write_text("\n".join(lines))
    assert genretag("apply", plan, "--yes").status == 0
    assert {tuple(values(path)["mood"]) for path in before} == {("Calm",)}
    verified = genretag("verify", "--json")
    assert verified.status == 0
    assert {row["fields"]["mood"][0] for row in verified.rows} == {"Calm"}
    again = genretag("plan", "--write", "mood", "--json").rows
    assert {row["code"] for row in again} <= {"not-chosen", "unsure", "not-music", "same"}
    assert {row["fields"]["mood"]["code"] for row in again} <= {"renews", "same", "unsure"}
    assert all(row["fields"]["mood"]["old"] == ["Calm"] for row in again)
    undone = genretag("undo", "--field", "mood", "--yes", "--json")
    assert undone.status == 0 and len(undone.rows) == len(before)
    assert all("mood" not in values(path) for path in before)
    assert "--field mood" in genretag("history").out
    after = genretag("apply", "--yes").err  # a plan from before the undo writes nothing
    assert "nothing to write" in after or "wrote 0 of" in after
    genres = {path: values(path)["genre"] for path in before}  # still written
    assert genres == {path: row["new"] for path, row in zip(sorted(before), rows, strict=True)}
    genretag("undo", "--all", "--yes")
    assert {path: path.read_bytes() for path in before} == before


def test_styles_can_become_further_genres(metadata: ModelMetadata) -> None:
    policy = Policy(write=BOTH, style_field=StyleField.GENRE)
    found = verdict(styles={"Piano": 0.9, "jazz": 0.8})
    tags_of = file(NOTHING).tags
    assert decide(found, tags_of, policy).new == ["Jazz", "Piano"]
    kept = decide(found, file(NOTHING, ["Rock"]).tags, policy)
    assert (kept.action, kept.new) == ("keep", ["Rock"])
    without = replace(policy, write=(Field.GENRE, Field.MOOD))
    assert decide(found, tags_of, without).new == ["Jazz"]


def test_a_misspelt_field_gets_a_hint(genretag: Program, library: Path) -> None:
    done = genretag("scan", library, "--write", "genre,modo")
    assert done.status == 2 and "did you mean mood?" in done.err
    done = genretag("scan", library, "--write", "style", "--style-field", "genre")
    assert done.status == 2 and "--write genre,style" in done.err
    done = genretag("undo", "--field", "styles")
    assert done.status == 2 and "did you mean style?" in done.err


def test_evidence_tells_of_each_field_and_keeps_what_it_does_not_write(
    metadata: ModelMetadata,
) -> None:
    known = FieldTags({"evidence": ["style=Piano; source=model", "mood=Sad; source=model"]})
    f = file(known)
    row = with_fields(base_row(), f, verdict(), metadata, Policy(write=BOTH[:2], evidence=True))
    model = f"{metadata.name} {metadata.version}"
    assert row.fields["evidence"]["new"] == [
        "style=Piano; source=model",
        f"genre=Jazz; source=model; confidence=0.91; model={model}",
        f"mood=Calm; source=model; confidence=0.80; model={model}",
    ]
    # Without a write there is nothing to tell, also where somebody edits the plan.
    left = {**row.fields["mood"], "action": "skip"}
    edited = replace(row, action="keep", fields={**row.fields, "mood": left})  # type: ignore[dict-item]
    assert edited.writes == {}
    nothing = verdict(moods={})
    kept = replace(base_row(), action="keep", new=[])
    row = with_fields(kept, f, nothing, metadata, Policy(write=BOTH[:2], evidence=True))
    assert set(row.fields) == {"mood"} and row.writes == {}


def base_row() -> Row:
    """Return a row that writes Jazz into a file without a genre."""
    return Row(
        path="/m/a.mp3",
        status="ok",
        genre="Jazz",
        confidence=0.91,
        scores={"Jazz": 0.91},
        windows=1,
        agreement=1.0,
        old=[],
        new=["Jazz"],
        action="write",
        reason="fills an empty genre",
        code="empty",
        source="model",
    )


MOOD: FieldPlan = {
    "old": ["Sad"],
    "new": ["Calm"],
    "action": "write",
    "reason": "replaces the mood",
    "code": "replaces",
    "confidence": 0.8,
    "tag": "mood",
}
STYLE: FieldPlan = {
    "old": [],
    "new": [],
    "action": "skip",
    "reason": "no style is sure enough",
    "code": "unsure",
    "confidence": None,
    "tag": "style",
}


def test_reports_show_each_field() -> None:
    kept = replace(base_row(), action="keep", old=["Rock"], new=["Rock"], reason="kept")
    rows = [replace(row, fields={"mood": MOOD, "style": STYLE}) for row in (base_row(), kept)]
    summary = summarise(rows)
    assert summary.field_writes == {("mood", "Calm"): 2}
    assert summary.left == {"no style is sure enough": 2}
    blocked = {**MOOD, "action": "skip", "reason": "would write Calm; the file is read-only"}
    blocked_row = replace(kept, fields={"mood": blocked})  # type: ignore[dict-item]
    assert summarise([blocked_row]).left == {"kept": 1, "mood: the file is read-only": 1}
    several: FieldPlan = {**STYLE, "action": "write", "code": "empty"}
    combined = [
        replace(base_row(), path=path, fields={"mood": MOOD, "style": {**several, "new": new}})
        for path, new in (("a.mp3", ["Soul", "Drums"]), ("b.mp3", ["Drums"]))
    ]
    assert summarise(combined).field_totals() == [
        (("mood", "Calm"), 2),
        (("style", "Drums"), 2),
        (("style", "Soul"), 1),
    ]
    lines = list(report_lines(rows, summary))
    assert "2 files get the mood Calm." in lines
    assert "Mood: Sad becomes Calm; replaces the mood." in lines[-1]
    console = Console(file=io.StringIO(), width=160)
    print_report(console, rows, summary)
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "Rock; mood Calm" in shown and "→ Jazz; mood Calm" in shown
    out = io.StringIO()
    write_csv(rows, out)
    (first, _) = csv.DictReader(io.StringIO(out.getvalue()))
    assert (first["mood"], first["style"]) == ("Calm", "")
    assert first["style_reason"] == "no style is sure enough"
    markdown = io.StringIO()
    write_markdown(rows, markdown)
    assert "Jazz; mood: Calm" in markdown.getvalue()
    assert Row.from_dict(json.loads(json.dumps(rows[0].to_dict()))) == rows[0]


@pytest.mark.parametrize(
    "damage",
    [
        {"action": "delete"},
        {"new": "Calm"},
        {"new": [1]},
        {"new": []},
        {"tag": None},
    ],
)
def test_a_damaged_plan_of_a_field_is_refused(damage: dict[str, object]) -> None:
    data = base_row().to_dict() | {"fields": {"mood": {**MOOD, **damage}}}
    with pytest.raises(RunError, match="not a row of a plan"):
        Row.from_dict(data)


def test_a_file_that_cannot_be_replaced_keeps_all_fields() -> None:
    row = replace(base_row(), fields={"mood": MOOD, "style": STYLE})
    skipped = skipped_row(row, Reason.NOT_WRITABLE, lambda new: f"would write {new}")
    assert skipped.writes == {} and row.writes != {}
    assert skipped.fields["mood"]["reason"] == "would write ['Calm']"
    assert skipped.fields["style"] == STYLE


def test_a_file_of_which_only_the_genre_is_known_is_read_again_but_not_decoded(
    genretag: Program, library: Path, tmp_path: Path
) -> None:
    genretag("scan", library, "--dry-run")
    with contextlib.closing(sqlite3.connect(tmp_path / "db" / "genretag.db")) as db, db:
        db.execute("UPDATE file SET fields = NULL")  # as an older version left it
    planned = genretag("plan", "--write", "mood", "--json").rows
    assert {row["fields"]["mood"]["code"] for row in planned} <= {"not-read", "not-music"}
    done = genretag("scan", library, "--dry-run", "--write", "mood", "--json")
    codes = {row["fields"]["mood"]["code"] for row in done.rows}
    assert "not-read" not in codes and len(done.rows) == len(planned)
    with contextlib.closing(sqlite3.connect(tmp_path / "db" / "genretag.db")) as db:
        assert db.execute("SELECT count(*) FROM file WHERE fields IS NULL").fetchone() == (0,)


def test_fields_come_back_from_the_results_of_a_cluster() -> None:
    pytest.importorskip("pyarrow")
    from genretag.cluster import results

    found = Found("/m/a.mp3", 1, 2, 3, 4, 1, False)
    known = FieldTags({"mood": ["Träumerei"]}, {"style": "its style cannot be read"})
    for fields in (known, FieldTags(), None):
        before = TrackResult(0, found, Tags(["Jazz"], "TCON", Album("A"), None, fields), error="e")
        table = results.table_of([results.row_of(before, Path("/m/a.mp3"))])
        ((after, _),) = results.track_results(table)
        assert after.tags == before.tags
