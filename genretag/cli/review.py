"""``genretag review``: choose the genre of unsure tracks in the terminal."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from genretag.cli.options import OUTPUT, Database, Paths, one_call
from genretag.cli.output import output_mode
from genretag.cli.plans import NOTHING_ANALYSED, absolute_paths, last_scan, plan_rows
from genretag.errors import UsageError
from genretag.writing.session import open_databases

if TYPE_CHECKING:
    from textual.app import App

    from genretag.review.questions import Review


def review(
    context: typer.Context,
    paths: Paths = None,
    output: Annotated[
        Path | None,
        one_call(
            "-O",
            "--output",
            metavar="FILE",
            rich_help_panel=OUTPUT,
            show_default=False,
            help="Write the answers to this .jsonl file.\n\nFor genretag train --from-review.",
        ),
    ] = None,
    db: Database = None,
) -> None:
    """Go through the unsure tracks and choose their genres by key.

    Choose one of the likely genres, type your own, play the track, skip it, or go back. The
    answers become part of the plan, which genretag apply writes, and can train a model. No
    music file is changed here.

    Examples:
      genretag review
      genretag review ~/Music/New -O answers.jsonl
    """
    from genretag.decisions.policy import Policy
    from genretag.library.walk import below
    from genretag.report.formats import write_report
    from genretag.review.questions import Review, questions_from_rows
    from genretag.text import count

    if output is not None and output.suffix.lower() != ".jsonl":
        raise UsageError(f"{output}: the answers go to a .jsonl file")
    with open_databases(db) as databases:
        last = last_scan(databases, NOTHING_ANALYSED)
        tops = absolute_paths(paths)
        rows = plan_rows(databases, last.run)
        questions = questions_from_rows((n, r) for n, r in rows if below(r.absolute, tops))
        if not questions:
            print("no track is unsure", file=sys.stderr)
            return
        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            raise UsageError(
                f"{count(len(questions), 'unsure track')}, but review needs a terminal to ask on"
                " (genretag playlist --unsure lists them)"
            )
        answers = Review(databases, last.run, Policy.from_dict(last.policy), questions)
        review_screen(answers).run()
        if output is not None:
            write_report(answers.answered.values(), output)
    if not output_mode(context).quiet:
        _print_next_steps(answers, len(questions), output)


def _print_next_steps(answers: Review, count: int, output: Path | None) -> None:
    """Print how many questions were answered, and what to do with the answers."""
    answered = len(answers.answered)
    print(
        f"{answered:,} answered, {count - answered:,} left; genretag apply writes the plan",
        file=sys.stderr,
    )
    if answered and output is not None:
        print(f"to train with them: genretag train --from-review {output}", file=sys.stderr)


def review_screen(review: Review) -> App[None]:
    """Return the screen.

    Textual is imported here, because other commands must start without it.
    """
    from textual.app import App, ComposeResult
    from textual.binding import Binding
    from textual.containers import Vertical
    from textual.content import Content
    from textual.widgets import Footer, Input, ProgressBar, Static

    from genretag.library.urls import home_relative
    from genretag.review.questions import MAX_CHOICES, open_in_player
    from genretag.text import escape_control, words

    class Screen(App[None]):
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

        def compose(self) -> ComposeResult:
            yield Vertical(
                ProgressBar(len(review.questions), show_eta=False, id="bar"),
                Static(id="track"),
                Static(id="choices"),
                Input(placeholder="a genre of your own, then Enter", id="own"),
                Static(id="message"),
            )
            yield Footer()

        def on_mount(self) -> None:
            self.refresh_question()

        def refresh_question(self, message: str = "") -> None:
            self.query_one("#bar", ProgressBar).update(progress=review.index)
            self.query_one("#message", Static).update(Content(message))
            question = review.current
            if question is None:
                text = f"That was the last one: {len(review.answered)} answered."
                self.query_one("#track", Static).update(Content(f"{text} q leaves, u goes back."))
                self.query_one("#choices", Static).update(Content(""))
                return
            row = question.row
            artist, album = escape_control(row.artist or "—"), escape_control(row.album or "—")
            number = f"{review.index + 1} of {len(review.questions)}"
            self.query_one("#track", Static).update(
                Content(
                    f"{number}   {home_relative(row.absolute)}\n"
                    f"{artist} · {album}    in the file: {words(row.old)}"
                )
            )
            lines = [
                f"{n}  {words(c.genres):<28} {'█' * round(c.score * 30)} {c.score:.2f}"
                for n, c in enumerate(question.choices(review.policy), 1)
            ]
            self.query_one("#choices", Static).update(Content("\n".join(lines)))

        def action_choose(self, number: int) -> None:
            question = review.current
            choices = question.choices(review.policy) if question is not None else []
            if number <= len(choices):
                review.answer(choices[number - 1].genres)
                self.refresh_question(f"written later: {words(choices[number - 1].genres)}")

        def action_skip(self) -> None:
            review.skip()
            self.refresh_question("skipped")

        def action_take_back(self) -> None:
            self.refresh_question("taken back" if review.go_back() else "nothing to take back")

        def action_play(self) -> None:
            if review.current is not None:
                self.refresh_question(open_in_player(review.current.row.absolute) or "playing")

        def action_type(self) -> None:
            own = self.query_one("#own", Input)
            own.display = True
            # At once, not after the next refresh: else the first letters are taken for commands.
            self.set_focus(own)

        def on_input_submitted(self, event: Input.Submitted) -> None:
            event.input.display = False
            self.set_focus(None)
            if text := event.value.strip():
                review.answer([text])
            event.input.value = ""
            self.refresh_question(f"written later: {text}" if text else "")

        def action_leave(self) -> None:
            own = self.query_one("#own", Input)
            if own.display:
                own.display = False
                self.set_focus(None)
            else:
                self.exit()

    return Screen()
