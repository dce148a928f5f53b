"""The screen of ``genretag review``.

Only ``review`` imports this module, when it runs: other commands must start without Textual.
"""

from __future__ import annotations

from textual.app import App, ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Footer, Input, ProgressBar, Static

from genretag.library.urls import home_relative
from genretag.review.questions import MAX_CHOICES, Review, open_in_player
from genretag.text import escape_control, words


class ReviewScreen(App[None]):
    """Shows one unsure track at a time, with its likely genres."""

    TITLE = "genretag review"
    ENABLE_COMMAND_PALETTE = False
    AUTO_FOCUS = None  # otherwise the hidden input takes the keys
    CSS = """
    #track { padding: 1 2; height: auto; }
    #choices { padding: 0 2; height: auto; }
    #own { display: none; margin: 1 2; }
    #message { padding: 0 2; height: auto; color: $text-muted; }
    """
    BINDINGS = [  # noqa: RUF012 -- textual's own way
        *(Binding(str(n), f"choose({n})", show=False) for n in range(1, MAX_CHOICES + 1)),
        Binding("s,space", "skip", "skip"),
        Binding("p", "play", "play"),
        Binding("t", "type", "type a genre"),
        Binding("u,backspace", "take_back", "take back"),
        Binding("q,escape", "leave", "leave"),
    ]

    def __init__(self, review: Review) -> None:
        super().__init__()
        self.review = review

    def compose(self) -> ComposeResult:
        """Yield the widgets from top to bottom."""
        yield Vertical(
            ProgressBar(len(self.review.questions), show_eta=False, id="bar"),
            Static(id="track"),
            Static(id="choices"),
            Input(placeholder="a genre of your own, then Enter", id="own"),
            Static(id="message"),
        )
        yield Footer()

    def on_mount(self) -> None:
        """Show the first question."""
        self.refresh_question()

    def refresh_question(self, message: str = "") -> None:
        """Show the current question, and a message about the last key."""
        self.query_one("#bar", ProgressBar).update(progress=self.review.index)
        self.query_one("#message", Static).update(Content(message))
        question = self.review.current
        if question is None:
            text = f"That was the last one: {len(self.review.answered)} answered."
            self.query_one("#track", Static).update(Content(f"{text} q leaves, u goes back."))
            self.query_one("#choices", Static).update(Content(""))
            return
        row = question.row
        artist, album = escape_control(row.artist or "—"), escape_control(row.album or "—")
        number = f"{self.review.index + 1} of {len(self.review.questions)}"
        self.query_one("#track", Static).update(
            Content(
                f"{number}   {home_relative(row.absolute)}\n"
                f"{artist} · {album}    in the file: {words(row.old)}"
            )
        )
        lines = [
            f"{n}  {words(c.genres):<28} {'█' * round(c.score * 30)} {c.score:.2f}"
            for n, c in enumerate(question.choices(self.review.policy), 1)
        ]
        self.query_one("#choices", Static).update(Content("\n".join(lines)))

    def action_choose(self, number: int) -> None:
        """Answer with a likely genre, counted from 1."""
        question = self.review.current
        choices = question.choices(self.review.policy) if question is not None else []
        if number <= len(choices):
            self.review.answer(choices[number - 1].genres)
            self.refresh_question(f"written later: {words(choices[number - 1].genres)}")

    def action_skip(self) -> None:
        """Go on without an answer."""
        self.review.skip()
        self.refresh_question("skipped")

    def action_take_back(self) -> None:
        """Return to the question before, and forget its answer."""
        self.refresh_question("taken back" if self.review.go_back() else "nothing to take back")

    def action_play(self) -> None:
        """Open the track in the system's player."""
        if self.review.current is not None:
            self.refresh_question(open_in_player(self.review.current.row.absolute) or "playing")

    def action_type(self) -> None:
        """Show the input for another genre."""
        own = self.query_one("#own", Input)
        own.display = True
        # At once, not after the next refresh: else the first letters are taken for commands.
        self.set_focus(own)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Answer with the typed genre."""
        event.input.display = False
        self.set_focus(None)
        if text := event.value.strip():
            self.review.answer([text])
        event.input.value = ""
        self.refresh_question(f"written later: {text}" if text else "")

    def action_leave(self) -> None:
        """Close the input, else the screen."""
        own = self.query_one("#own", Input)
        if own.display:
            own.display = False
            self.set_focus(None)
        else:
            self.exit()
