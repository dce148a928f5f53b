"""``genretag train --system`` and ``--compare``: the classic systems of the literature."""

from __future__ import annotations

import json as json_lib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from genretag.cli.option_groups import one_call
from genretag.cli.output import exit_interrupted, plain_table, require_file, result_console
from genretag.cli.scan_options import parse_jobs
from genretag.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from genretag.baselines.compare import ComparisonOptions, Entry, SystemComparison
    from genretag.cli.train import TrainingOptions
    from genretag.training.collection import Collection

SYSTEM = "Classic systems (--system, --compare)"


@dataclass(frozen=True)
class SystemOptions:
    """Options of the classic systems."""

    system: Annotated[
        str | None,
        one_call(
            "--system",
            metavar="NAME",
            rich_help_panel=SYSTEM,
            show_default=False,
            help="Train a classic system from scratch.\n\n"
            "mel-cnn, crnn, svm, ...; genretag help classics lists them.",
        ),
    ] = None
    compare: Annotated[
        str | None,
        one_call(
            "--compare",
            metavar="A,B,...",
            rich_help_panel=SYSTEM,
            show_default=False,
            help="Train several, or all, and compare them.\n\nOn one split, with a table.",
        ),
    ] = None
    members: Annotated[
        str,
        one_call(
            "--members",
            metavar="A,B,...",
            rich_help_panel=SYSTEM,
            help="Systems that vote in an ensemble.",
        ),
    ] = "mel-cnn,cnn-bn,crnn"
    majority: Annotated[
        bool,
        one_call(
            "--majority",
            rich_help_panel=SYSTEM,
            help="One vote per ensemble member, unweighted.",
        ),
    ] = False
    window: Annotated[
        float | None,
        one_call(
            "--window",
            metavar="SECONDS",
            min=0.1,
            max=30,
            rich_help_panel=SYSTEM,
            show_default="each system's own",
            help="Length of the input.",
        ),
    ] = None
    pca: Annotated[
        int | None,
        one_call(
            "--pca",
            metavar="N",
            min=2,
            max=100,
            rich_help_panel=SYSTEM,
            show_default="none",
            help="Reduce features to N principal components.\n\nWith svm and similar systems.",
        ),
    ] = None
    augment: Annotated[
        bool,
        one_call(
            "--augment", rich_help_panel=SYSTEM, help="Augment the training data, as --deep does."
        ),
    ] = False
    weights: Annotated[
        Path | None,
        one_call(
            "--weights",
            metavar="FILE",
            rich_help_panel=SYSTEM,
            show_default=False,
            help="ImageNet weights for mobilenet.\n\nIn torchvision's layout.",
        ),
    ] = None


def requested_systems(options: SystemOptions, *, deep: bool) -> list[str]:
    """Return the names of the requested systems.

    Raises:
        UsageError: options contradict each other, or name no system.
        RunError: a library is missing; found before tracks are analysed for hours.
    """
    if options.system is None and options.compare is None:
        return []
    if deep or (options.system is not None and options.compare is not None):
        raise UsageError("--deep, --system and --compare are three ways to train; choose one")
    from genretag import baselines

    names = baselines.parse_systems(options.compare or options.system or "")
    if options.system is not None and len(names) != 1:
        raise UsageError("--system takes one name; --compare takes several")
    if baselines.ENSEMBLE in names:
        baselines.parse_members(options.members)
    if options.weights is not None:
        require_file(options.weights)
    baselines.check_installed(names)
    return names


def comparison_options(
    names: list[str], options: SystemOptions, training: TrainingOptions, output: Path
) -> ComparisonOptions:
    """Return the options of a comparison."""
    from genretag.baselines import parse_systems
    from genretag.baselines.compare import ComparisonOptions
    from genretag.training.cache import default_folder
    from genretag.training.results import Split

    return ComparisonOptions(
        tuple(names),
        output,
        Split(training.split.value),
        training.epochs,
        seed=training.seed,
        window=options.window,
        pca=options.pca,
        members=tuple(parse_systems(options.members)),
        majority=options.majority,
        augmented=options.augment,
        weights=options.weights,
        cache=training.cache or default_folder(),
        jobs=parse_jobs(training.jobs),
    )


def train_systems(
    collection: Collection, options: ComparisonOptions, messages: Console, json: bool
) -> None:
    """Train each system, write its file, card and page, and print the table."""
    from genretag.baselines import compare

    comparison = compare.SystemComparison(
        collection, options, lambda text: messages.print(f"  {text}", soft_wrap=True)
    )
    several, entries = len(options.names) > 1, list[compare.Entry]()
    table_file = options.output.with_suffix(".compare.md")
    try:
        for entry in _trained_entries(comparison, several):
            entries.append(entry)
            if several:  # after each system, so that a crash loses no row
                table = compare.markdown(entries, str(options.split) == "random")
                table_file.write_text(table, encoding="utf-8")
            if json:
                print(_to_json(entry), flush=True)
    except KeyboardInterrupt as error:
        done = f"; {len(entries)} of {len(options.names)} systems are done, see {table_file}"
        raise exit_interrupted(
            f"the system in training leaves no file{done if entries else ''}"
        ) from error
    if not json:
        _print_entries(entries, several)
        if several:
            messages.print(f"made {len(entries)} models beside {table_file}")


def _trained_entries(comparison: SystemComparison, several: bool) -> Iterator[Entry]:
    """Train the systems; each one's files are written before the next begins."""
    from genretag.training import model_report

    output = comparison.options.output
    for name in comparison.options.names:
        own = output.with_name(f"{output.stem}-{name.replace('+', '-')}.onnx")
        entry = comparison.train(name, own if several else output)
        model_report.write_report(entry.result, entry.metadata, entry.path)
        yield entry


def _print_entries(entries: list[Entry], several: bool) -> None:
    """Print the table of systems, and the figures of a single one."""
    from genretag.baselines import compare
    from genretag.cli.train import print_training_result

    if not several:
        print_training_result(entries[0].result)
    table = plain_table(*compare.HEADINGS)
    for entry in entries:
        table.add_row(*entry.row())
    out = result_console()
    out.print()
    out.print(table)


def _to_json(entry: Entry) -> str:
    """Return the line that ``train --system --json`` prints."""
    figures = {
        **entry.result.to_dict(),
        "model": str(entry.path),
        "parameters": entry.parameters,
        "ms": round(entry.ms, 2),
    }
    return json_lib.dumps({"system": entry.system.name, **figures, "parity": entry.parity})
