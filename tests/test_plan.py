"""The plan of a file follows from its verdict, its tags and the policy."""

from __future__ import annotations

from dataclasses import replace

import pytest

from genretag.decisions.genre import decide, labels_to_write
from genretag.decisions.policy import Existing, Policy
from genretag.decisions.reasons import Action
from genretag.decisions.rows import Row, failed_row
from genretag.decisions.vote import Status, Verdict
from genretag.errors import RunError
from genretag.records import Tags


def verdict(status: Status = Status.OK) -> Verdict:
    return Verdict(status, "Jazz", 0.8, {"Jazz": 0.8, "Blues": 0.18, "Rock": 0.02}, 4, 1.0, 0.99)


@pytest.mark.parametrize(
    ("old", "existing", "action", "new"),
    [
        ([], Existing.SKIP, Action.WRITE, ["Jazz"]),
        (["Other"], Existing.SKIP, Action.WRITE, ["Jazz"]),
        (["misc"], Existing.SKIP, Action.WRITE, ["Jazz"]),
        (["Rock"], Existing.SKIP, Action.KEEP, ["Rock"]),
        (["Rock"], Existing.REPLACE, Action.WRITE, ["Jazz"]),
        (["Jazz"], Existing.REPLACE, Action.KEEP, ["Jazz"]),
        (["Rock"], Existing.APPEND, Action.WRITE, ["Rock", "Jazz"]),
        (["jazz"], Existing.APPEND, Action.KEEP, ["jazz"]),
        (["Unknown"], Existing.APPEND, Action.WRITE, ["Jazz"]),
        (["A", "B"], Existing.SKIP, Action.KEEP, ["A", "B"]),
    ],
)
def test_an_existing_genre_follows_the_rule(
    old: list[str], existing: Existing, action: Action, new: list[str]
) -> None:
    got = decide(verdict(), Tags(old, "TCON"), Policy(existing=existing))
    assert (got[0], got[2]) == (action, new)


@pytest.mark.parametrize("status", [Status.UNSURE, Status.NONMUSIC])
def test_nothing_is_written_where_the_model_abstains(status: Status) -> None:
    for existing in Existing:
        action, _, new, _ = decide(verdict(status), Tags([], "TCON"), Policy(existing=existing))
        assert (action, new) == (Action.SKIP, [])


def test_a_file_whose_tags_have_a_problem_is_skipped_with_it() -> None:
    assert decide(verdict(), Tags([], None, problem="no place"), Policy())[:2] == (
        Action.SKIP,
        "no place",
    )


def test_top_writes_more_genres_but_none_with_a_low_score() -> None:
    assert decide(verdict(), Tags([], "TCON"), Policy(top=3))[2] == ["Jazz", "Blues"]


def test_a_further_genre_needs_a_probability_of_being_right_too() -> None:
    for blues, want in ((0.29, ["Jazz"]), (0.31, ["Jazz", "Blues"])):
        likely = replace(verdict(), further={"Blues": blues, "Rock": 0.9 * blues})
        assert labels_to_write(likely, Policy(top=2)) == want
        assert labels_to_write(likely, Policy(top=1)) == ["Jazz"]


def test_a_row_survives_json() -> None:
    row = failed_row(__import__("pathlib").Path("a\udcff.mp3"), "no")
    assert Row.from_dict(row.to_dict()) == row


@pytest.mark.parametrize(
    "change", [{"new": "Jazz"}, {"action": "delete"}, {"path": 3}, {"old": [1]}]
)
def test_malformed_rows_are_refused(change: dict[str, object]) -> None:
    data = {**failed_row(__import__("pathlib").Path("a"), "no").to_dict(), **change}
    with pytest.raises(RunError, match="not a row"):
        Row.from_dict(data)
