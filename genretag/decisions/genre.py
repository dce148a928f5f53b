"""Decide on the genre of one file: the action, the reason, the genres it will have."""

from __future__ import annotations

import re
from typing import NamedTuple

from genretag.decisions.policy import Existing, Field, HardLinks, Policy, StyleField, Trust
from genretag.decisions.reasons import TEXT, Action, Reason
from genretag.decisions.sources import agreed
from genretag.decisions.vocabulary import built_in_tree, normalise_genre
from genretag.decisions.vote import Status, Verdict
from genretag.records import Tags
from genretag.tags import V22, meaningful

#: Separators that people put between genres in a single value.
_JOINERS = re.compile(r"\s*[;,/|\\\\]\s*")

#: What a further genre (``--top``) needs: this probability of being right, too, or this score if
#: the model has no calibration of further genres.
MIN_FURTHER, MIN_FURTHER_SCORE = 0.3, 0.15


class Decision(NamedTuple):
    """The action for a file, the reason as text, the genres it will have, and the reason's code."""

    action: Action
    reason: str
    new: list[str]
    code: Reason


def labels_to_write(verdict: Verdict, policy: Policy) -> list[str]:
    """Return the labels that a file would get, the best first."""
    likely, least = verdict.further, MIN_FURTHER
    if not likely:
        likely, least = verdict.scores, MIN_FURTHER_SCORE
    others = [genre for genre in verdict.scores if genre != verdict.genre]
    # The track's own best genre, which its album may overrule, is right with its confidence.
    further = [
        genre
        for genre in others[: policy.top - 1]
        if likely.get(genre, verdict.confidence) >= least
    ]
    return [verdict.genre, *further]


def _merge_with_old(words: list[str], tags: Tags, policy: Policy) -> list[str]:
    """Return the genres that a file will have: ``words``, after the old ones with APPEND.

    A separator, where the policy or the player wants one, makes a single value of them.
    """
    separator = policy.separator_in(tags.field)
    if policy.existing is Existing.APPEND:
        old = meaningful(tags.genres, policy.vocabulary.generic)
        if separator:
            split_at = separator.strip() or separator
            old = [part.strip() for genre in old for part in genre.split(split_at)]
        have = {normalise_genre(part) for genre in old for part in (genre, *_JOINERS.split(genre))}
        words = [*old, *(w for w in words if normalise_genre(w) not in have)]
    return [separator.join(words)] if separator and words else words


def decide(
    verdict: Verdict,
    tags: Tags,
    policy: Policy,
    links: int = 1,
    *,
    path: str = "",
    ours: bool = False,
) -> Decision:
    """Decide about one file. ``ours``: its genre is the one that genretag wrote last."""
    old = tags.genres
    has_genre = bool(meaningful(old, policy.vocabulary.generic))
    if (left := _left_alone(verdict, tags, policy, path, has_genre and not ours)) is not None:
        return left
    words = policy.vocabulary.words(labels_to_write(verdict, policy), tags.album.artist)
    words = _with_styles(words, verdict, policy)
    if not words:
        text = f"the vocabulary has no word for {verdict.genre}"
        return _leave(tags, Action.SKIP, Reason.NO_WORD, text)
    if policy.trusted is Trust.AGREE and not has_genre:
        return _leave(tags, Action.SKIP, Reason.MODEL_ONLY)
    if policy.trusted is Trust.AGREE:
        words = agreed(words, old, policy.vocabulary)
        if not words:
            return _leave(tags, Action.KEEP, Reason.DISAGREE)
    new = _merge_with_old(words, tags, policy)
    if new == old:
        return _leave(tags, Action.KEEP, Reason.SAME)
    replaces = has_genre and policy.existing is Existing.REPLACE
    if replaces and not policy.coarsen and _is_coarser(new, old, policy):
        return _leave(tags, Action.KEEP, Reason.FINER)
    if (obstacle := find_obstacle(tags, policy, links)) is not None:
        return _leave(tags, Action.SKIP, obstacle)
    code = _reason_to_write(has_genre, bool(old), ours, policy)
    return Decision(Action.WRITE, TEXT[code], new, code)


def _left_alone(
    verdict: Verdict, tags: Tags, policy: Policy, path: str, owners_genre: bool
) -> Decision | None:
    """Return the decision to leave a file, whatever its verdict would write; None: go on.

    ``owners_genre``: the file has a genre that genretag did not write.
    """
    if verdict.status is Status.NONMUSIC:
        return _leave(tags, Action.SKIP, Reason.NOT_MUSIC)
    if verdict.status is Status.UNSURE:
        return _leave(tags, Action.SKIP, Reason.UNSURE)
    if tags.problem is not None:
        return _leave(tags, Action.SKIP, Reason.NOT_WRITABLE, tags.problem)
    if (why := protection(path, tags, policy)) is not None:
        return _leave(tags, Action.SKIP, Reason.PROTECTED, why)
    if owners_genre and policy.existing is Existing.SKIP:
        return _leave(tags, Action.KEEP, Reason.HAS_GENRE)
    if owners_genre and policy.trusted is Trust.TAGS:
        text = f"{TEXT[Reason.HAS_GENRE]} (--trust tags)"
        return _leave(tags, Action.KEEP, Reason.HAS_GENRE, text)
    return None


def _leave(tags: Tags, action: Action, code: Reason, text: str = "") -> Decision:
    """Return a decision that changes nothing; its text is usually that of its code."""
    return Decision(action, text or TEXT[code], tags.genres, code)


def protection(path: str, tags: Tags, policy: Policy) -> str | None:
    """Return why ``[protect]`` keeps a file from being written; None if it does not."""
    artists = (tags.album.artist, tags.album.album_artist)
    return policy.protect.reason(path, artists, tags.genres)


def _with_styles(words: list[str], verdict: Verdict, policy: Policy) -> list[str]:
    """Return the genres with the styles behind them where these are written as genres."""
    if not words or Field.STYLE not in policy.write or policy.style_field is not StyleField.GENRE:
        return words
    known = {normalise_genre(word) for word in words}
    styles = policy.vocabulary.field_words(Field.STYLE, list(verdict.styles))
    return [*words, *(word for word in styles if normalise_genre(word) not in known)]


def find_obstacle(tags: Tags, policy: Policy, links: int) -> Reason | None:
    """Return why a file is not written although its genre would change; None if it is."""
    if links > 1 and policy.hardlinks is HardLinks.SKIP:
        return Reason.HARD_LINKS
    if tags.field == V22 and not (policy.convert_v22 or policy.id3.number):
        return Reason.OLD_TAG
    return None


def _reason_to_write(has_genre: bool, has_text: bool, ours: bool, policy: Policy) -> Reason:
    if not has_genre:
        return Reason.GENERIC if has_text else Reason.EMPTY
    if policy.existing is Existing.APPEND:
        return Reason.ADDS
    return Reason.RENEWS if ours else Reason.REPLACES


def _is_coarser(new: list[str], old: list[str], policy: Policy) -> bool:
    """Return whether each new genre is a parent of an old one: Jazz, where the file has Bebop."""
    trees = (policy.vocabulary.tree, built_in_tree())
    return all(any(tree.is_finer(o, word) for tree in trees for o in old) for word in new)
