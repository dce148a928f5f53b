"""What was written and answered before, as the decisions need it."""

from __future__ import annotations

from typing import Protocol


class WriteHistory(Protocol):
    """Earlier writes and answers, by content key. The journal implements it."""

    def wrote(
        self, content_key: str, field: str = "genre", audio_key: str | None = None
    ) -> list[str] | None:
        """Return what genretag last wrote to a field; None if nothing, or it was undone."""

    def answered(self, content_key: str, audio_key: str | None = None) -> list[str] | None:
        """Return the genres that a person chose in review; None if there was no question."""

    def renew_key(self, older: str, content_key: str) -> None:
        """Move what is known under an older content key to a new one."""

    def stamp(self) -> str:
        """Return a text that changes with every write and every answer."""
