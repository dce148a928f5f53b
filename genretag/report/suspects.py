"""The tags that an audit found: for the terminal, as sentences, CSV and JSON lines."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from genretag.decisions.audit import Audit, Finding
from genretag.library.urls import home_relative
from genretag.report.columns import (
    GAP,
    common_folder,
    cut_middle,
    line_of,
    share_width,
    wrapped_lines,
)
from genretag.text import all_words, cell, count, escape_control, two_digits, word, words

_MIN_ONE_LINE = 76  # columns of a terminal; in fewer, a track takes two lines
_NUMBER = len("0.000")
_CSV_COLUMNS = (
    *("path", "artist", "album", "tags", "genre", "probability", "confidence", "sure"),
    *("track_probability", "album_probability", "album_tracks", "album_votes", "labels"),
)


def describe(finding: Finding) -> str:
    """Return what a track sounds like, and how many others of its album do."""
    text = f"{finding.genre} {two_digits(finding.confidence)}"
    if finding.album_votes:
        text += f", as {finding.album_votes} of {finding.album_tracks} in its album"
    return text


def doubt(finding: Finding) -> str:
    """Return why a tag is probably wrong, with its probability."""
    return f"its probability is {_likely(finding)}; sounds like {describe(finding)}"


def page_reason(finding: Finding) -> str:
    """Return the reason on a page, which counts those that differ in parentheses only together."""
    album = f", {finding.album_votes} of {finding.album_tracks} in its album sound so"
    numbers = f"probability {_likely(finding)}{album if finding.album_votes else ''}"
    return f"tagged {words(finding.tags)}, sounds like {finding.genre} ({numbers})"


def print_findings(console: Console, findings: Sequence[Finding]) -> None:
    """Print a line for each track, the least likely tag first, in columns below each other."""
    paths = [Path(finding.path) for finding in findings]
    folder = common_folder(paths)
    if folder is not None:
        console.print(Text(home_relative(folder), style="bold", overflow="fold"))
    names = [escape_control(p.relative_to(folder)) if folder else home_relative(p) for p in paths]
    if console.width < _MIN_ONE_LINE:
        _print_two_lines(console, findings, names)
        return
    tags, sounds = [words(f.tags) for f in findings], [describe(f) for f in findings]
    heads = ("file", "tag", "sounds like")
    columns = zip(heads, (names, tags, sounds), strict=True)
    wanted = [max(map(cell_len, (head, *texts))) for head, texts in columns]
    widths = [_NUMBER, *share_width(wanted, console.width - _NUMBER - 4 * GAP)]
    lines = [line_of([Text(head, style="dim") for head in ("prob.", *heads)], widths, {0})]
    for finding, name, tag, sound in zip(findings, names, tags, sounds, strict=True):
        cells = [
            Text(_likely(finding)),
            Text(cut_middle(name, widths[1])),
            Text(tag, style="bold red"),
            Text(sound, style="" if finding.sure else "dim"),
        ]
        lines += wrapped_lines(cells, widths, {0}, console)
    console.print(Text("\n").join(lines), soft_wrap=True)


def _print_two_lines(console: Console, findings: Sequence[Finding], names: Sequence[str]) -> None:
    """Print two lines for each track: probability and name, and below them tag and sound."""
    room = console.width - _NUMBER - 2 * GAP
    lines: list[Text] = []
    for finding, name in zip(findings, names, strict=True):
        first = [Text(_likely(finding)), Text(cut_middle(name, room))]
        lines += wrapped_lines(first, [_NUMBER, room], {0}, console)
        tag, sound = (words(finding.tags), "bold red"), (describe(finding), "dim")
        text = Text.assemble(tag, ", sounds like ", sound)
        lines += wrapped_lines([Text(" " * _NUMBER), text], [_NUMBER, room], {0}, console)
    console.print(Text("\n").join(lines), soft_wrap=True)


def _likely(finding: Finding) -> str:
    """Return the probability of a tag with three digits, rounded down."""
    return f"{int(finding.probability * 1000 + 1e-9) / 1000:.3f}"


def sentence(finding: Finding) -> str:
    """Return a finding as one line of plain text."""
    name = home_relative(Path(finding.path))
    tagged = " and ".join(all_words(finding.tags))
    likely = f"Probability of the tag {_likely(finding)}."
    return f"{name}: tagged {tagged}, sounds like {describe(finding)}. {likely}"


def write_findings_json(findings: Iterable[Finding], out: IO[str]) -> None:
    """Write findings as JSON lines, in ASCII."""
    for finding in findings:
        out.write(json.dumps(finding.to_dict()) + "\n")


def write_findings_csv(findings: Iterable[Finding], out: IO[str]) -> None:
    """Write findings as CSV that is safe to open in a spreadsheet."""
    writer = csv.writer(out)
    writer.writerow(_CSV_COLUMNS)
    for finding in findings:
        data = finding.to_dict()
        data["tags"], data["labels"] = "; ".join(finding.tags), "; ".join(finding.labels)
        values = ["" if data[name] is None else data[name] for name in _CSV_COLUMNS]
        writer.writerow([cell(v) if isinstance(v, str) else v for v in values])


def summary_lines(audit: Audit, below: float, most: int = 8) -> Iterator[str]:
    """Yield what an audit found, and what it left out."""
    tags = count(audit.judged, "tag")
    yield f"{tags} judged, {len(audit.findings):,} less likely than {below:g}"
    genres = [f"{word(g)} {n:,}" for g, n in audit.unknown.most_common(most)]
    more = ", ..." if len(audit.unknown) > most else ""
    left = {
        f"with a genre that the model cannot judge ({', '.join(genres)}{more})": (
            audit.unknown.total()
        ),
        "without a genre": audit.untagged,
        "not music": audit.nonmusic,
        "protected": audit.protected,
        "answered in a review": audit.answered,
    }
    parts = [f"{n:,} {what}" for what, n in left.items() if n]
    if parts:
        yield f"left out: {', '.join(parts)}"
    if audit.failed:
        yield f"{count(audit.failed, 'file')} could not be analysed: genretag errors"
    if audit.not_scanned:
        verb = "has" if audit.not_scanned == 1 else "have"
        yield f"{count(audit.not_scanned, 'file')} {verb} no stored scores: genretag scan"
    if audit.changed:
        yield f"{count(audit.changed, 'file')} changed since the scan: genretag scan"
