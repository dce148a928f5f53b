"""Play a track while its genre is chosen, and stop it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

#: Players without a window, which end with the track and can be stopped.
_PLAYERS = (
    ("mpv", "--no-video", "--really-quiet", "--no-terminal"),
    ("ffplay", "-nodisp", "-autoexit", "-loglevel", "quiet"),
    ("afplay",),
    ("cvlc", "--play-and-exit", "--quiet"),
)
_STOP_SECONDS = 1.0  # for a player to end by itself


class Playback:
    """One track at a time, in a player of its own or in the system's default one."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def is_playing(self) -> bool:
        """Whether a player that can be stopped is running."""
        return self._process is not None and self._process.poll() is None

    def start(self, path: Path) -> str:
        """Play a file and return a message: that it plays, or why it does not."""
        self.stop()
        if not path.exists():
            return "cannot play: the file is not there"
        for name, *options in _PLAYERS:
            if (program := shutil.which(name)) is not None:
                process = _start([program, *options, str(path.absolute())])
                if isinstance(process, str):
                    return process
                self._process = process
                return "playing; p stops"
        return _open_with_default(path)

    def stop(self) -> None:
        """Stop the player."""
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _start(command: list[str]) -> subprocess.Popen[bytes] | str:
    """Start a program without a terminal; return a message if that fails."""
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for the review
        )
    except OSError as error:
        return f"cannot play: {error.strerror}"


def _open_with_default(path: Path) -> str:
    """Open a file in the system's default player, which only the user can stop."""
    if sys.platform == "win32":  # pragma: no cover
        import os

        os.startfile(path)  # type: ignore[attr-defined]
        return "opened in your player"
    opener = "open" if sys.platform == "darwin" else shutil.which("xdg-open")
    if opener is None:
        return "cannot play: neither mpv nor ffplay is installed"
    started = _start([opener, str(path)])
    return started if isinstance(started, str) else "opened in your player"
