"""``genretag players``: what each player is given, and where that is known from."""

from __future__ import annotations

import json as json_lib
from typing import Annotated

import typer

from genretag.cli import session
from genretag.decisions.players import READINGS, Id3Version, Reading


def players(
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
) -> None:
    """Show what --player writes for each player, and the source of each fact."""
    from rich.text import Text

    if json:
        for player, reading in READINGS.items():
            facts = [{"says": f.says, "source": f.source, "trust": f.trust} for f in reading.facts]
            print(
                json_lib.dumps(
                    {
                        "player": player,
                        "joined": dict(reading.joined),
                        "id3v2_version": reading.id3,
                        "facts": facts,
                    }
                )
            )
        return
    out = session.results()
    for player, reading in READINGS.items():
        out.print(Text(f"{player}  ", style="bold").append(_given(reading), style="not bold"))
        for fact in reading.facts:
            out.print(
                Text("  ").append(fact.says).append(f"  ({fact.trust}: {fact.source})", style="dim")
            )
    out.print(
        Text(
            "Each is given several values, as its container defines them, wherever nothing else is said.",
            style="dim",
        )
    )


def _given(reading: Reading) -> str:
    """Return what a player is given, in words."""
    parts = [
        f"one value in {place}, joined by {between!r}" for place, between in reading.joined.items()
    ]
    if reading.id3 is not Id3Version.KEEP:
        parts.append(f"ID3v2.{reading.id3}")
    return "; ".join(parts) or "several values"
