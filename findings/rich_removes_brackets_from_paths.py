"""rich removes parts of file names that look like its markup.

One would guess: Console.print(path) prints the path.
What happens: "[red]" in a name is read as a colour and disappears; "[/x]" raises MarkupError.
Why it matters here: the report must show which file it means. Everything that comes from files is
    printed as rich.text.Text, and consoles are made with markup=False.
Versions: rich 14.1.0. Date: 2026-11-28.
"""

from __future__ import annotations

from isolated import expect, run_isolated

SCRIPT = """
from rich.console import Console
from rich.errors import MarkupError

Console().print("track [red].mp3")
try:
    Console().print("track [/x].mp3")
except MarkupError:
    print("MarkupError")
"""

if __name__ == "__main__":
    done = run_isolated(["rich==14.1.0"], SCRIPT)
    lines = done.stdout.splitlines()
    expect(lines[0] == "track .mp3", "[red] disappears from a printed name")
    expect(lines[1] == "MarkupError", "[/x] in a printed name raises an error")
