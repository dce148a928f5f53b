"""``genretag players``: what each player reads, and how that is known."""

from __future__ import annotations

import json as json_lib

from genretag.cli.options import Json
from genretag.cli.output import result_console
from genretag.decisions.players import READINGS, Id3Version, Reading


def players(json: Json = False) -> None:
    """Show what --player writes for each player.

    Each fact has its source.

    Examples:
      genretag players
      genretag scan ~/Music --dry-run --player plex
    """
    from rich.text import Text

    if json:
        for player, reading in READINGS.items():
            print(json_lib.dumps(_to_dict(player, reading)))
        return
    out = result_console()
    for player, reading in READINGS.items():
        out.print(Text(f"{player}  ", style="bold").append(_describe(reading), style="not bold"))
        for fact in reading.facts:
            source = f"  ({fact.trust}: {fact.source})"
            about = f"  {fact.field}: " if fact.field != "genre" else "  "
            out.print(Text(about).append(fact.says).append(source, style="dim"))
    out.print(
        Text("Otherwise each genre is a value of its own, as the container defines it.", "dim")
    )


def _to_dict(player: str, reading: Reading) -> dict[str, object]:
    """Return the object that ``players --json`` prints."""
    facts = [
        {"says": f.says, "source": f.source, "trust": f.trust, "field": f.field}
        for f in reading.facts
    ]
    return {
        "player": player,
        "joined": dict(reading.joined),
        "id3v2_version": reading.id3,
        "facts": facts,
    }


def _describe(reading: Reading) -> str:
    """Describe the values and the ID3 version for a player."""
    parts = [f"one value in {field}, joined by {text!r}" for field, text in reading.joined.items()]
    if reading.id3 is not Id3Version.KEEP:
        parts.append(f"ID3v2.{reading.id3}")
    return "; ".join(parts) or "several values"
