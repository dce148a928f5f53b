"""``genretag review``: the unsure tracks in the terminal, chosen by key."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from genretag.cli import session
from genretag.errors import UsageError

if TYPE_CHECKING:
    from textual.app import App

    from genretag.review.questions import Review


def review(
    context: typer.Context,
    paths: Annotated[
        list[Path] | None, typer.Argument(help="Only what lies below these.", metavar="[PATH...]")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-O",
            "--output",
            help="Write the answers (.jsonl) for train --from-review.",
            show_default=False,
        ),
    ] = None,
    db: session.Database = None,
) -> None:
    """Walk through the unsure tracks: choose a genre by key, type your own, play, skip, take back. Nothing is written into music.

    The answers go into the plan, that genretag apply writes, and are labels for genretag train --from-review.
    """
    from genretag.cli.reporting import NOTHING_HEARD, last_scan, plan_rows
    from genretag.decisions.policy import Policy
    from genretag.library.walk import below, on_disk_case
    from genretag.report.formats import write_report
    from genretag.review.questions import Review, questions_from_rows

    if output is not None and output.suffix.lower() != ".jsonl":
        raise UsageError(f"{output}: the answers go to a .jsonl file")
    with session.open_databases(db) as databases:
        last = last_scan(databases, NOTHING_HEARD)
        tops = [on_disk_case(p).absolute() for p in paths] if paths else None
        rows = plan_rows(databases, last.run)
        questions = questions_from_rows((n, r) for n, r in rows if below(r.absolute, tops))
        if not questions:
            print("no track is unsure", file=sys.stderr)
            return
        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            raise UsageError(
                f"{len(questions):,} tracks are unsure; review needs a terminal to ask on (genretag playlist --unsure lists them)"
            )
        asked = Review(databases, last.run, Policy.from_dict(last.policy), questions)
        app(asked).run()
        if output is not None:
            write_report(asked.answered.values(), output)
    if not session.is_quiet(context):
        left = len(questions) - len(asked.answered)
        print(
            f"{len(asked.answered):,} answered, {left:,} left; genretag apply writes the plan",
            file=sys.stderr,
        )
        if asked.answered and output is not None:
            print(f"to learn from them: genretag train --from-review {output}", file=sys.stderr)


def app(asked: Review) -> App[None]:
    """Return the screen. Textual is imported here: the command line must start without it."""
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
        AUTO_FOCUS = None  # else the hidden input takes the keys
        CSS = """
        #track { padding: 1 2; height: auto; }
        #choices { padding: 0 2; height: auto; }
        #own { display: none; margin: 1 2; }
        #said { padding: 0 2; height: auto; color: $text-muted; }
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
                ProgressBar(len(asked.questions), show_eta=False, id="bar"),
                Static(id="track"),
                Static(id="choices"),
                Input(placeholder="a genre of your own, then Enter", id="own"),
                Static(id="said"),
            )
            yield Footer()

        def on_mount(self) -> None:
            self.refresh_question()

        def refresh_question(self, said: str = "") -> None:
            self.query_one("#bar", ProgressBar).update(progress=asked.index)
            self.query_one("#said", Static).update(Content(said))
            question = asked.current
            if question is None:
                self.query_one("#track", Static).update(
                    Content(
                        f"That was the last one: {len(asked.answered)} answered. q leaves, u goes back."
                    )
                )
                self.query_one("#choices", Static).update(Content(""))
                return
            row = question.row
            facts = f"{asked.index + 1} of {len(asked.questions)}   {home_relative(row.absolute)}\n"
            facts += f"{escape_control(row.artist or '—')} · {escape_control(row.album or '—')}    in the file: {words(row.old)}"
            self.query_one("#track", Static).update(Content(facts))
            lines = [
                f"{n}  {words(c.genres):<28} {'█' * round(c.score * 30)} {c.score:.2f}"
                for n, c in enumerate(question.choices(asked.policy), 1)
            ]
            self.query_one("#choices", Static).update(Content("\n".join(lines)))

        def action_choose(self, number: int) -> None:
            question = asked.current
            choices = question.choices(asked.policy) if question is not None else []
            if number <= len(choices):
                asked.answer(choices[number - 1].genres)
                self.refresh_question(f"written later: {words(choices[number - 1].genres)}")

        def action_skip(self) -> None:
            asked.skip()
            self.refresh_question("skipped")

        def action_take_back(self) -> None:
            self.refresh_question("taken back" if asked.go_back() else "nothing to take back")

        def action_play(self) -> None:
            if asked.current is not None:
                self.refresh_question(open_in_player(asked.current.row.absolute) or "playing")

        def action_type(self) -> None:
            own = self.query_one("#own", Input)
            own.display = True
            self.set_focus(
                own
            )  # at once, not after the next refresh: the first letters are not commands

        def on_input_submitted(self, event: Input.Submitted) -> None:
            event.input.display = False
            self.set_focus(None)
            if text := event.value.strip():
                asked.answer([text])
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
