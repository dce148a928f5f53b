"""``--trust`` never overrides a rule, and each row says who named its genre."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import Program
from hypothesis import given
from hypothesis import strategies as st

from genretag import tags
from genretag.audio import synthesis
from genretag.cli.policy_text import describe_policy
from genretag.decisions.genre import decide
from genretag.decisions.policy import Existing, Policy, Protect, Trust
from genretag.decisions.reasons import Action, Reason
from genretag.decisions.rows import failed_row, skipped_row
from genretag.decisions.sources import Source, agreed, genre_keys, source_of
from genretag.decisions.vocabulary import Vocabulary
from genretag.decisions.vote import Status, Verdict
from genretag.records import Tags


def verdict(genre: str = "Hip-Hop", status: Status = Status.OK) -> Verdict:
    return Verdict(status, genre, 0.8, {genre: 0.8, "Pop": 0.2}, 4, 1.0, 0.99)


@pytest.mark.parametrize(
    ("old", "existing", "trust", "action", "new"),
    [
        # A genre that says something stays, whatever was requested for the others.
        (["Rock"], Existing.REPLACE, Trust.TAGS, Action.KEEP, ["Rock"]),
        (["Rock"], Existing.APPEND, Trust.TAGS, Action.KEEP, ["Rock"]),
        (["Other"], Existing.REPLACE, Trust.TAGS, Action.WRITE, ["Hip-Hop"]),
        ([], Existing.SKIP, Trust.TAGS, Action.WRITE, ["Hip-Hop"]),
        # The model is offered, and --existing decides.
        (["Rock"], Existing.SKIP, Trust.MODEL, Action.KEEP, ["Rock"]),
        (["Rock"], Existing.REPLACE, Trust.MODEL, Action.WRITE, ["Hip-Hop"]),
        (["Rock"], Existing.APPEND, Trust.MODEL, Action.WRITE, ["Rock", "Hip-Hop"]),
        # Only where both name the same genre, in any spelling.
        (["Rock"], Existing.REPLACE, Trust.AGREE, Action.KEEP, ["Rock"]),
        ([], Existing.REPLACE, Trust.AGREE, Action.SKIP, []),
        (["hip hop"], Existing.REPLACE, Trust.AGREE, Action.WRITE, ["Hip-Hop"]),
        (["Hip-Hop/Rap"], Existing.REPLACE, Trust.AGREE, Action.WRITE, ["Hip-Hop"]),
        (["Soul; HipHop"], Existing.REPLACE, Trust.AGREE, Action.WRITE, ["Hip-Hop"]),
        (["hip hop"], Existing.SKIP, Trust.AGREE, Action.KEEP, ["hip hop"]),
        (["hip hop"], Existing.APPEND, Trust.AGREE, Action.KEEP, ["hip hop"]),
        # Without --trust, a request to replace or append is one to believe the model.
        (["Rock"], Existing.REPLACE, None, Action.WRITE, ["Hip-Hop"]),
        (["Rock"], Existing.SKIP, None, Action.KEEP, ["Rock"]),
    ],
)
def test_trust_says_whom_to_believe(
    old: list[str], existing: Existing, trust: Trust | None, action: Action, new: list[str]
) -> None:
    got = decide(verdict(), Tags(old, "TCON"), Policy(existing=existing, trust=trust))
    assert (got.action, got.new) == (action, new)


_GENRES = st.lists(
    st.sampled_from(["Rock", "hip hop", "Hip-Hop/Rap", "Other", "", "Bebop", "Zydeco"]), max_size=3
)


@given(_GENRES, st.sampled_from(list(Existing)), st.sampled_from(list(Trust)))
def test_no_trust_writes_what_the_existing_rule_keeps(
    old: list[str], existing: Existing, trust: Trust
) -> None:
    file = Tags(old, "TCON")
    without = decide(verdict(), file, Policy(existing=existing))
    got = decide(verdict(), file, Policy(existing=existing, trust=trust))
    if without.action is not Action.WRITE:
        assert (got.action, got.new) != (Action.WRITE, without.new)
        assert got.action is not Action.WRITE
    if got.action is Action.WRITE:
        assert got.new == without.new


@given(st.sampled_from(list(Existing)), st.sampled_from(list(Trust)))
def test_no_trust_writes_a_protected_file(existing: Existing, trust: Trust) -> None:
    policy = Policy(existing=existing, trust=trust, protect=Protect(genres=("hip hop",)))
    assert decide(verdict(), Tags(["Hip-Hop"], "TCON"), policy).code is Reason.PROTECTED


def test_what_genretag_wrote_is_no_second_source() -> None:
    policy = Policy(existing=Existing.REPLACE, trust=Trust.TAGS)
    got = decide(verdict(), Tags(["Pop"], "TCON"), policy, ours=True)
    assert (got.action, got.code) == (Action.WRITE, Reason.RENEWS)


def test_agreement_counts_after_the_vocabulary() -> None:
    words = Vocabulary(aliases=(("Hip\\-Hop", "Rap"),))
    policy = Policy(existing=Existing.REPLACE, trust=Trust.AGREE, vocabulary=words)
    got = decide(verdict(), Tags(["hiphop"], "TCON"), policy)
    assert (got.action, got.new) == (Action.WRITE, ["Rap"])
    assert decide(verdict("Pop"), Tags(["hiphop"], "TCON"), policy).code is Reason.DISAGREE


@pytest.mark.parametrize(
    ("genres", "tagged", "predicted", "source"),
    [
        (["Jazz"], ["Jazz"], ["jazz"], Source.BOTH),
        (["Jazz"], ["Jazz"], ["Rock"], Source.TAGS),
        (["Klassik"], ["Klassik"], ["Classical"], Source.BOTH),
        (["Rock"], ["Jazz"], ["Rock"], Source.MODEL),
        (["Jazz", "Rock"], ["Jazz"], ["Rock"], Source.BOTH),
        (["Jazz; Rock"], ["Jazz"], ["Rock"], Source.BOTH),
        (["Other"], ["Other"], ["Rock"], None),
        ([], [], [], None),
    ],
)
def test_the_source_is_who_names_the_genre(
    genres: list[str], tagged: list[str], predicted: list[str], source: Source | None
) -> None:
    assert source_of(genres, tagged, predicted, Vocabulary()) == source


def test_a_file_that_cannot_be_written_keeps_its_source() -> None:
    planned = replace(failed_row(Path("a"), ""), action="write", new=["Jazz"], source="model")
    for old, source in ((["Rock"], "tags"), (["Other"], ""), ([], "")):
        row = replace(planned, old=old)
        skipped = skipped_row(row, Reason.NOT_WRITABLE, lambda new: f"would write {new}")
        assert (skipped.new, skipped.source) == (old, source)


@given(st.lists(st.text(max_size=12), max_size=4))
def test_agreement_is_the_same_for_every_text(genres: list[str]) -> None:
    words = Vocabulary()
    known = [genre for genre in genres if genre_keys([genre], words)]
    assert agreed(known, genres, words) == known


def test_the_rule_is_named_among_the_rules() -> None:
    assert describe_policy(Policy(trust=Trust.AGREE)) == "--trust agree"
    assert Policy.from_dict(json.loads(json.dumps(Policy(trust=Trust.TAGS).to_dict()))) == Policy(
        trust=Trust.TAGS
    )


def test_trust_stays_with_the_plan_and_the_report_says_who_named_what(
    genretag: Program, tmp_path: Path
) -> None:
    music = tmp_path / "music"
    music.mkdir()
    for name, genre in (("empty", []), ("mine", ["My Own Genre"]), ("none", ["Other"])):
        path = music / f"{name}.flac"
        synthesis.encode(path, synthesis.piece(3, 3), 44_100)
        if genre:
            tags.write(path, genre)
    ran = genretag("scan", music, "--dry-run", "--min-confidence", 0, "--json")
    assert {Path(r["path"]).stem: r["source"] for r in ran.rows} == {
        "empty": "model",
        "mine": "tags",
        "none": "model",
    }
    genretag("plan", "--trust", "tags", "--existing", "replace")
    again = genretag("plan", "--json")
    assert "--trust tags" in again.err
    assert {Path(r["path"]).stem: r["action"] for r in again.rows} == {
        "empty": "write",
        "mine": "keep",
        "none": "write",
    }
    shown = genretag("report")
    assert "genres named by: the tags 1, the model 2" in shown.out
    assert "already has a genre (--trust tags)" in shown.out
    agree = genretag("plan", "--trust", "agree")
    assert "tags and model disagree" in agree.out
    assert "only the model names a genre" in agree.out
    assert "genres named by: the tags 1, the model" not in genretag("plan", "--plain").out
    lines = genretag("report", "-O", tmp_path / "plan.csv") and (tmp_path / "plan.csv").read_text()
    assert "source" in lines.splitlines()[0].split(",")
    config = tmp_path / "config.toml"
    config.write_text('trust = "agree"\n')
    fresh = genretag("scan", music, "--dry-run", "--min-confidence", 0, "--json")
    assert {r["code"] for r in fresh.rows} == {"model-only", "has-genre"}
