"""The screen of ``genretag review``.

Only ``review`` imports this module, when it runs: other commands must start without Textual.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from textual.app import App, ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.content import Content
from textual.suggester import Suggester
from textual.widgets import Input, ProgressBar, Static

from genretag.decisions.answers import LEAVE_ANSWER, NOT_MUSIC_ANSWER
from genretag.library.urls import home_relative
from genretag.report.columns import cut_middle
from genretag.review.playback import Playback
from genretag.review.questions import GENRE_SEPARATOR, MAX_CHOICES, Choice, Review
from genretag.tags.titles import read_title
from genretag.text import escape_control, two_digits, words

_KEYS = (
    *("1-9 choose", "m more", "t type", "n not music", "x never again"),
    *("s skip", "p play/stop", "u back", "q leave"),
)
#: The keys for a genre in doubt: the first choice is the model's.
_DOUBT_KEYS = (
    *("1-9 choose", "k keep it", "m more", "t type", "n not music"),
    *("s skip", "p play/stop", "u back", "q leave"),
)
_MAX_BAR, _MIN_BAR = 30, 4  # cells of a score of 1
_MAX_NAME = 28  # cells of a genre in the list


class GenreSuggester(Suggester):
    """Completes the last of several genres with the first known one that begins like it."""

    def __init__(self, known: Callable[[], list[str]]) -> None:
        super().__init__(use_cache=False, case_sensitive=True)
        self._known = known

    async def get_suggestion(self, value: str) -> str | None:
        """Return the completed text; None if no genre begins so."""
        return complete_genre(value, self._known())


def complete_genre(value: str, known: list[str]) -> str | None:
    """Return a text with its last genre completed; what was typed stays as it is."""
    start = value.rfind(GENRE_SEPARATOR) + 1
    typed = value[start:].lstrip()
    if not typed:
        return None
    for word in known:
        if word.casefold().startswith(typed.casefold()) and len(word) > len(typed):
            return value + word[len(typed) :]
    return None


def key_lines(width: int, keys: Sequence[str] = _KEYS) -> str:
    """Return the keys and what they do, in lines that break between two keys only."""
    lines = [""]
    for key in keys:
        line = f"{lines[-1]}   {key}" if lines[-1] else key
        lines = [*lines[:-1], line] if len(line) <= width else [*lines, key]
    return "\n".join(lines)


@contextmanager
def _real_terminal_size() -> Iterator[None]:
    """Make textual ask the terminal for its size: it prefers COLUMNS, which may be outdated."""
    exported = {name: os.environ.pop(name, None) for name in ("COLUMNS", "LINES")}
    try:
        yield
    finally:
        os.environ.update({name: value for name, value in exported.items() if value is not None})


def ask(review: Review) -> None:
    """Show the questions on the terminal until the user leaves."""
    with _real_terminal_size():
        ReviewScreen(review).run()


class GenreInput(Input):
    """An input whose completion is taken with Tab, too."""

    BINDINGS = [Binding("tab", "cursor_right", show=False)]  # noqa: RUF012 -- textual's own way


class ReviewScreen(App[None]):
    """Shows one track at a time, with its likely genres."""

    TITLE = "genretag review"
    ENABLE_COMMAND_PALETTE = False
    AUTO_FOCUS = None  # otherwise the hidden input takes the keys
    CSS = """
    #track { padding: 1 1 1 1; height: auto; }
    #choices { padding: 0 1; height: auto; }
    #own { display: none; margin: 1 1; }
    #message { padding: 0 1; height: auto; color: $text-muted; }
    #keys { dock: bottom; padding: 0 1; height: auto; color: $text-muted; }
    """
    # With priority, keys act in the order in which they were typed: "t" opens the input before
    # the next letter is handled. check_action leaves them to the input while it is open.
    BINDINGS = [  # noqa: RUF012 -- textual's own way
        *(Binding(str(n), f"choose({n})", priority=True) for n in range(1, MAX_CHOICES + 1)),
        Binding("m", "more", priority=True),
        Binding("n", "not_music", priority=True),
        Binding("x,k", "never_ask", priority=True),
        Binding("s,space", "skip", priority=True),
        Binding("p", "play", priority=True),
        Binding("t", "type", priority=True),
        Binding("u,backspace", "take_back", priority=True),
        Binding("q", "end", priority=True),
        Binding("escape", "leave", priority=True),
    ]
    _COMMANDS = frozenset("choose more not_music never_ask skip play type take_back end".split())

    def __init__(self, review: Review) -> None:
        super().__init__()
        self.review = review
        self._playback = Playback()
        self._page = 0  # of the choices

    def compose(self) -> ComposeResult:
        """Yield the widgets from top to bottom."""
        yield VerticalScroll(
            ProgressBar(len(self.review.questions), show_eta=False, id="bar"),
            Static(id="track"),
            Static(id="choices"),
            GenreInput(
                placeholder="genres, with ; between several; Tab completes",
                suggester=GenreSuggester(lambda: self.review.known_genres),
                id="own",
            ),
            Static(id="message"),
            can_focus=False,
        )
        yield Static(id="keys")

    def on_mount(self) -> None:
        """Show the first question."""
        self.refresh_question()

    def on_resize(self) -> None:
        """Fit the lines to the new width."""
        in_doubt = any(question.doubt for question in self.review.questions)
        lines = key_lines(self.size.width - 2, _DOUBT_KEYS if in_doubt else _KEYS)
        self.query_one("#keys", Static).update(Content(lines))
        self._show_question()

    def refresh_question(self, message: str = "") -> None:
        """Show the current question, and a message about the last key."""
        self._page = 0
        self._show_message(message)
        self._show_question()

    def _show_message(self, message: str) -> None:
        self.query_one("#message", Static).update(Content(message))

    def _show_question(self) -> None:
        self.query_one("#bar", ProgressBar).update(progress=self.review.index)
        question = self.review.current
        if question is None:
            text = f"That was the last one: {len(self.review.answered)} answered."
            self.query_one("#track", Static).update(Content(f"{text} q leaves, u goes back."))
            self.query_one("#choices", Static).update(Content(""))
            return
        row = question.row
        artist, title = map(escape_control, read_title(row.absolute))
        number = f"{self.review.index + 1} of {len(self.review.questions)}"
        width = max(20, self.size.width - 2 - len(number) - 3)
        lines = [f"{number}   {cut_middle(home_relative(row.absolute), width)}"]
        lines.append(f"{artist or escape_control(row.artist) or '—'} · {title or '—'}")
        lines.append(f"{escape_control(row.album) or '—'}    in the file: {words(row.old)}")
        if question.doubt:
            lines.append(f"probably wrong: {question.doubt}")
        if row.reviewed:
            lines.append(f"answered before: {words(row.new)}")
        self.query_one("#track", Static).update(Content("\n".join(lines)))
        choices = "\n".join(
            self._choice_line(number, choice) for number, choice in enumerate(self._choices(), 1)
        )
        pages = -(-len(question.choices(self.review.policy, self.review.labels)) // MAX_CHOICES)
        more = f"\nm  more ({self._page + 1} of {pages})" if pages > 1 else ""
        self.query_one("#choices", Static).update(Content(choices + more))

    def _choice_line(self, number: int, choice: Choice) -> str:
        """Return a choice with its key, a bar and its score, in the width of the screen."""
        room = self.size.width - 2 - len("1  ") - len(" 0.00") - 1
        name = min(_MAX_NAME, max(8, room - _MIN_BAR))
        bar = min(_MAX_BAR, max(0, room - name))
        score = (
            f"{'█' * round(choice.score * bar)} {two_digits(choice.score)}" if choice.score else ""
        )
        return f"{number}  {cut_middle(words(choice.genres), name):<{name}} {score}"

    def _choices(self) -> list[Choice]:
        """Return the choices on the current page."""
        question = self.review.current
        if question is None:
            return []
        first = self._page * MAX_CHOICES
        choices = question.choices(self.review.policy, self.review.labels)
        return choices[first : first + MAX_CHOICES]

    def _answer(self, genres: list[str], message: str) -> None:
        """Save an answer and show the next question."""
        self._playback.stop()
        self.review.answer(genres)
        self.refresh_question(message)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool:
        """Return whether a key acts; those of ``_COMMANDS`` are letters while one types."""
        return action not in self._COMMANDS or not self.query_one("#own", Input).display

    def action_choose(self, number: int) -> None:
        """Answer with a genre of the page, counted from 1."""
        choices = self._choices()
        if number <= len(choices):
            genres = choices[number - 1].genres
            self._answer(genres, f"written later: {words(genres)}")

    def action_more(self) -> None:
        """Show the next page of labels, and after the last the first."""
        self._page += 1
        if not self._choices():
            self._page = 0
        self._show_question()

    def action_not_music(self) -> None:
        """Answer that the track is not music."""
        if self.review.current is not None:
            self._answer(list(NOT_MUSIC_ANSWER), "not music")

    def action_never_ask(self) -> None:
        """Leave the file as it is for good."""
        if self.review.current is not None:
            self._answer(list(LEAVE_ANSWER), "left as it is, and not asked again")

    def action_skip(self) -> None:
        """Go on without an answer."""
        self._playback.stop()
        self.review.skip()
        self.refresh_question("skipped")

    def action_take_back(self) -> None:
        """Return to the question before, and forget its answer."""
        self._playback.stop()
        self.refresh_question("taken back" if self.review.go_back() else "nothing to take back")

    def action_play(self) -> None:
        """Play the track, or stop playing it."""
        if self._playback.is_playing:
            self._playback.stop()
            self._show_message("stopped")
        elif self.review.current is not None:
            self._show_message(self._playback.start(self.review.current.row.absolute))

    def action_type(self) -> None:
        """Show the input for other genres."""
        if self.review.current is None:
            return
        own = self.query_one("#own", Input)
        own.display = True
        # At once, not after the next refresh: else the first letters are taken for commands.
        self.set_focus(own)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Answer with the typed genres."""
        event.input.display = False
        self.set_focus(None)
        genres = self.review.typed_genres(event.value)
        event.input.value = ""
        if genres:
            self._answer(genres, f"written later: {words(genres)}")
        else:
            self._show_question()

    def action_end(self) -> None:
        """Close the screen."""
        self.exit()

    def action_leave(self) -> None:
        """Close the input, else the screen."""
        own = self.query_one("#own", Input)
        if own.display:
            own.display = False
            self.set_focus(None)
        else:
            self.exit()

    def on_unmount(self) -> None:
        """Stop playing with the end of the review."""
        self._playback.stop()
