"""Run a script with pinned packages, in a temporary environment of its own."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import textwrap
import venv
from pathlib import Path


def run_isolated(packages: list[str], script: str) -> subprocess.CompletedProcess[str]:
    """Install packages into a temporary folder, run a script there, and print what it printed.

    The script's working directory is the temporary folder, which is removed afterwards.
    """
    with tempfile.TemporaryDirectory() as folder:
        venv.create(Path(folder) / "env", with_pip=True)
        bin_folder = "Scripts" if sys.platform == "win32" else "bin"
        python = Path(folder) / "env" / bin_folder / "python"
        subprocess.run([python, "-m", "pip", "install", "-q", *packages], check=True)
        print("Python", sys.version.split()[0], *packages)
        done = subprocess.run(
            [python, "-c", textwrap.dedent(script)],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
    print(done.stdout, done.stderr, f"exit status {done.returncode}", sep="\n")
    return done


def expect(condition: bool, behaviour: str) -> None:
    """Exit with an error if the library no longer behaves as found."""
    if not condition:
        sys.exit(f"CHANGED: no longer true: {behaviour}")
    print(f"as found: {behaviour}")
