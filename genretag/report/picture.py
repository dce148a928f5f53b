"""One track as a picture: its log-mel, and below it how strongly each window speaks for which genre."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from genretag import audio
from genretag.decisions.vote import Verdict, window_scores
from genretag.errors import RunError, TrackError, UsageError
from genretag.features import LIBROSA, AnyFrontEnd, build_features
from genretag.inference.metadata import ModelMetadata
from genretag.records import Analysis
from genretag.text import escape_control

if TYPE_CHECKING:
    from rich.text import Text

FloatArray = npt.NDArray[np.float32]

_WINDOW_COLUMNS = 300  # of 30 s
_MAX_COLUMNS = 2_400
_SHADES = " ░▒▓█"
_GENRES = 5  # that get a line of their own
KINDS = (".svg", ".png", ".pdf")


def spectrogram(path: Path, front_end: AnyFrontEnd) -> FloatArray:
    """Return a track's log-mel [bands, columns], decoded in a process of its own.

    Raises:
        TrackError: it cannot be decoded; a decoder that crashes is such a case.
    """
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        try:
            return pool.submit(_spectrogram, path, front_end).result()
        except BrokenProcessPool as error:
            raise TrackError("decode", "the decoder crashed") from error


def _spectrogram(path: Path, front_end: AnyFrontEnd) -> FloatArray:
    features = build_features(front_end if front_end.bands > 1 else LIBROSA)
    parts = []
    for window in audio.read_windows(path, features.front_end.sample_rate, audio.DecodeLog()):
        mel = features(window.samples)
        columns = max(
            1, round(_WINDOW_COLUMNS * len(window.samples) / features.front_end.sample_rate / 30)
        )
        edges = np.unique(np.arange(columns) * mel.shape[1] // columns)
        parts.append(np.add.reduceat(mel, edges, axis=1) / np.diff([*edges, mel.shape[1]]))
    whole = np.concatenate(parts, axis=1)
    step = -(-whole.shape[1] // _MAX_COLUMNS)
    return np.asarray(whole[:, ::step], np.float32)


def _leading(heard: Analysis, verdict: Verdict, metadata: ModelMetadata) -> list[int]:
    """Return the labels that get a line: the track's best, and those that win some window."""
    scores = window_scores(heard.logits, metadata, heard.length_of_window)
    best = [metadata.labels.index(g) for g in list(verdict.scores)[:_GENRES]]
    return sorted(
        {*best[:3], *(int(w.argmax()) for w in scores)}, key=lambda i: -scores[:, i].mean()
    )[:_GENRES]


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def draw(
    mel: FloatArray,
    heard: Analysis,
    verdict: Verdict,
    metadata: ModelMetadata,
    title: str,
    output: Path,
) -> None:
    """Draw a track into a file.

    Raises:
        UsageError: the file's name tells no kind of picture that can be made.
        RunError: it cannot be written.
    """
    if output.suffix.lower() not in KINDS:
        raise UsageError(f"{output}: the name of a picture ends in one of {', '.join(KINDS)}")
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(
        {"svg.fonttype": "none", "svg.hashsalt": "genretag", "text.parse_math": False}
    ):
        figure = Figure(figsize=(9, 5), layout="constrained")
        top, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
        top.imshow(
            mel, origin="lower", aspect="auto", cmap="magma", extent=(0, heard.seconds, 0, len(mel))
        )
        top.set_ylabel("mel band")
        top.set_title(escape_control(title), fontsize="medium", loc="left")
        scores, edges = (
            window_scores(heard.logits, metadata, heard.length_of_window),
            [*heard.starts.tolist(), heard.seconds],
        )
        for i in _leading(heard, verdict, metadata):
            below.stairs(
                scores[:, i],
                edges,
                label=escape_control(metadata.labels[i]),
                baseline=None,
                linewidth=1.6,
            )
        below.set(ylim=(0, 1.02), xlim=(0, heard.seconds), ylabel="window's score")
        below.xaxis.set_major_formatter(lambda x, _: _clock(x))
        below.legend(
            fontsize="small",
            ncols=_GENRES,
            loc="lower center",
            bbox_to_anchor=(0.5, 1.0),
            frameon=False,
        )
        part = output.with_name(f".{output.name}.part{output.suffix}")
        try:
            figure.savefig(
                part, metadata={"Date": None} if output.suffix.lower() == ".svg" else None, dpi=120
            )
            part.replace(output)
        except OSError as error:
            part.unlink(missing_ok=True)
            raise RunError(f"{output}: it cannot be written: {error.strerror}") from error


def terminal(
    mel: FloatArray, heard: Analysis, metadata: ModelMetadata, verdict: Verdict, width: int
) -> list[Text]:
    """Return a track as lines of a terminal: ten rows of shades, and a row for each genre that leads somewhere."""
    from rich.text import Text

    names = {i: escape_control(metadata.labels[i])[:14] for i in _leading(heard, verdict, metadata)}
    left = max(map(len, names.values())) + 2
    columns = max(10, min(width - left - 1, 120))
    grid = mel[:, np.arange(columns) * mel.shape[1] // columns]
    rows = np.stack([part.mean(axis=0) for part in np.array_split(grid, 10)])[::-1]
    low, high = np.percentile(rows, (5, 99))
    steps = np.clip(
        (rows - low) / max(float(high - low), 1e-6) * len(_SHADES), 0, len(_SHADES) - 1
    ).astype(int)
    lines = [
        Text(" " * left).append("".join(_SHADES[s] for s in row), style="blue") for row in steps
    ]
    at = (
        np.searchsorted(heard.starts, np.arange(columns) * heard.seconds / columns, side="right")
        - 1
    )
    scores = window_scores(heard.logits, metadata, heard.length_of_window)
    for i, name in names.items():
        bars = "".join(" ▁▂▃▄▅▆▇█"[round(float(scores[w, i]) * 8)] for w in at)
        lines.append(Text(name.ljust(left)).append(bars, style="green"))
    end = _clock(heard.seconds)
    lines.append(Text(" " * left + "0:00" + end.rjust(columns - 4), style="dim"))
    return lines
