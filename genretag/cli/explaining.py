"""``genretag plan --explain FILE``: each step of a decision, from the windows to the written words."""

from __future__ import annotations

import json as json_lib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from genretag.cli import session
from genretag.errors import RunError

if TYPE_CHECKING:
    from genretag.decisions.policy import Policy
    from genretag.storage.cache import Scan


@dataclass(frozen=True)
class Line:
    """One step, as it is shown."""

    step: str
    what: str


def explain_file(
    databases: session.Databases, last: Scan, policy: Policy, file: Path, *, json: bool
) -> None:
    """Print the steps of one file's decision."""
    lines = list(steps_of(databases, last, policy, file))
    if json:
        print(json_lib.dumps([vars(line) for line in lines]))
        return
    width = max(len(line.step) for line in lines)
    for line in lines:
        session.results().print(f"{line.step:<{width}}  {line.what}", soft_wrap=True)


def steps_of(databases: session.Databases, last: Scan, policy: Policy, file: Path) -> list[Line]:
    """Return the steps; raise ``RunError`` for a file that was not heard."""
    import numpy as np

    from genretag.decisions.plan import judge, labels_to_write
    from genretag.decisions.vocabulary import Step
    from genretag.decisions.vote import vote, window_scores
    from genretag.features import FEATURE_VERSION
    from genretag.library.walk import on_disk_case
    from genretag.scan.replan import metadata_of
    from genretag.scan.scanner import absolute
    from genretag.text import escape_control, words

    known = databases.store.known(absolute(on_disk_case(file)), last.model or "", FEATURE_VERSION)
    if (
        known is None
        and (failure := databases.store.failure(absolute(on_disk_case(file)))) is not None
    ):
        raise RunError(f"{file}: {failure.error}")
    if known is None:
        raise RunError(f"{file}: it was not heard by the last scan's model; genretag scan hears it")
    (f, heard), metadata = known, metadata_of(databases.store, last)
    verdict = vote(heard, metadata, policy.vote, policy.min_confidence)
    lines = []
    for start, row in zip(
        heard.starts, window_scores(heard.logits, metadata, heard.length_of_window), strict=True
    ):
        best = ", ".join(f"{metadata.labels[i]} {row[i]:.2f}" for i in np.argsort(-row)[:3])
        lines.append(Line(f"window at {int(start) // 60}:{int(start) % 60:02d}", best))
    best = ", ".join(f"{g} {s:.2f}" for g, s in list(verdict.scores.items())[:3])
    votes = f"{round(verdict.agreement * verdict.windows)} of {verdict.windows} windows agree"
    votes += f" ({heard.of} in the track, and these settle it)" if heard.of else ""
    threshold = (
        metadata.confidence_threshold if policy.min_confidence is None else policy.min_confidence
    )
    lines += [
        Line(f"vote ({policy.vote})", f"{best}; {votes}"),
        Line(
            "threshold",
            f"{verdict.confidence:.2f} against {threshold:.2f}: {verdict.status}; music {verdict.music:.2f}",
        ),
        Line(f"labels (--top {policy.top})", ", ".join(labels_to_write(verdict, policy))),
    ]
    if verdict.styles:
        lines.append(
            Line(
                "styles (told, not written)",
                ", ".join(f"{escape_control(name)} {p:.2f}" for name, p in verdict.styles.items()),
            )
        )
    if not policy.vocabulary.changes_nothing:
        steps: list[Step] = []
        policy.vocabulary.words(labels_to_write(verdict, policy), f.tags.album.artist, steps)
        lines += [
            Line(s.what, ", ".join(map(escape_control, s.words)) or "nothing is left")
            for s in steps
        ]
    row = judge(file, f, heard, metadata, policy, past=databases.journal)
    lines += [
        Line("in the file", words(f.tags.genres)),
        Line(f"decision ({policy.existing})", f"{row.action}: {escape_control(row.reason)}"),
        Line("written", words(row.new) if row.action == "write" else "nothing"),
    ]
    if policy.album != "off":
        lines.append(
            Line(
                "album",
                f"--album {policy.album} may still change this: genretag plan shows it for whole albums",
            )
        )
    return lines
