"""``genretag demo``: make a folder of music to try genretag on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from genretag.errors import UsageError


def demo(
    folder: Annotated[Path, typer.Argument(help="Folder to make; it must not exist, or be empty.")],
) -> None:
    """Make a small folder of synthesised music to try genretag on.

    Examples:
      genretag demo ~/Demo
    """
    from genretag.audio import synthesis

    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder}: it exists and is not empty")
    made = synthesis.make_library(folder)
    print(f"made {len(made)} tracks in {folder}; now: genretag scan {folder} --dry-run")
