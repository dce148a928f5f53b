"""``genretag train --system`` and ``--compare``: what was asked for, and the table."""

from __future__ import annotations

import importlib.util
import json as json_lib
from pathlib import Path
from typing import TYPE_CHECKING

from genretag.cli import session
from genretag.errors import RunError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

    from genretag.baselines.compare import ComparisonOptions, Entry, SystemComparison
    from genretag.training.collection import Collection
    from genretag.training.results import Split


def names_asked(
    system: str | None, compare: str | None, members: str, weights: Path | None, *, deep: bool
) -> list[str]:
    """Return the classics that were asked for; raise for what they lack here, before hours are spent on hearing."""
    if system is None and compare is None:
        return []
    if deep or (system is not None and compare is not None):
        raise UsageError("--deep, --system and --compare are three ways to train; take one")
    from genretag import baselines

    names = baselines.parse_systems(compare or system or "")
    if system is not None and len(names) != 1:
        raise UsageError("--system takes one name; --compare takes several")
    if baselines.ENSEMBLE in names:
        baselines.parse_members(members)
    if weights is not None and not weights.is_file():
        raise UsageError(f"{weights}: there is no such file")
    _check_installed(any(n in baselines.SYSTEMS and baselines.SYSTEMS[n].shallow for n in names))
    return names


def _check_installed(shallow: bool) -> None:
    """Raise where the libraries of the extra ``train`` are missing."""
    try:
        import torch  # noqa: F401
    except ImportError as error:
        raise RunError(
            "the classics need PyTorch: pip install 'genretag[train]' (for the CPU alone: a +cpu build of torch first)"
        ) from error
    if shallow and importlib.util.find_spec("skl2onnx") is None:
        raise RunError("scikit-learn's systems need skl2onnx: pip install 'genretag[train]'")


def asked_for(
    names: list[str],
    members: str,
    output: Path,
    split: Split,
    epochs: int,
    seed: int,
    window: float | None,
    pca: int | None,
    majority: bool,
    augment: bool,
    weights: Path | None,
    cache: Path | None,
    jobs: int,
) -> ComparisonOptions:
    """Return what was asked for."""
    from genretag.baselines import parse_systems
    from genretag.baselines.compare import ComparisonOptions
    from genretag.training.cache import default_folder

    return ComparisonOptions(
        tuple(names),
        output,
        split,
        epochs,
        seed=seed,
        window=window,
        pca=pca,
        members=tuple(parse_systems(members)),
        majority=majority,
        augmented=augment,
        weights=weights,
        cache=cache or default_folder(),
        jobs=jobs,
    )


def teach(gathered: Collection, asked: ComparisonOptions, talk: Console, json: bool) -> None:
    """Train each system, write its file, card and page, and print the table."""
    from genretag.baselines import compare

    lessons = compare.SystemComparison(
        gathered, asked, lambda text: talk.print(f"  {text}", soft_wrap=True)
    )
    many, entries = len(asked.names) > 1, list[compare.Entry]()
    table_file = asked.output.with_suffix(".compare.md")
    try:
        for entry in _entries(lessons, many):
            entries.append(entry)
            if many:  # anew after each, so that what was trained is told however this ends
                table_file.write_text(
                    compare.markdown(entries, str(asked.split) == "random"), encoding="utf-8"
                )
            if json:
                print(_as_json(entry), flush=True)
    except KeyboardInterrupt as error:
        left = (
            f"; {len(entries)} of {len(asked.names)} systems are made, and in {table_file}"
            if entries
            else ""
        )
        raise session.stopped(f"the system that was being trained leaves no file{left}") from error
    if json:
        return
    if not many:
        from genretag.cli.train import print_training_result

        print_training_result(entries[0].result)
    table = session.plain_table(*compare.HEADINGS)
    for entry in entries:
        table.add_row(*entry.row())
    out = session.results()
    out.print()
    out.print(table)
    if many:
        talk.print(f"made {len(entries)} models beside {table_file}")


def _entries(lessons: SystemComparison, many: bool) -> Iterator[Entry]:
    """Train each system that was asked for; its file, card, page and pictures are written before the next begins."""
    from genretag.training import model_report

    output = lessons.options.output
    for name in lessons.options.names:
        path = output.with_name(f"{output.stem}-{name.replace('+', '-')}.onnx") if many else output
        entry = lessons.train(name, path)
        model_report.write_report(entry.result, entry.metadata, path)
        yield entry


def _as_json(entry: Entry) -> str:
    figures = {
        **entry.result.to_dict(),
        "model": str(entry.path),
        "parameters": entry.parameters,
        "ms": round(entry.ms, 2),
    }
    return json_lib.dumps({"system": entry.system.name, **figures, "parity": entry.parity})
