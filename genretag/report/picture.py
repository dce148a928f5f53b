"""One track as a picture: its log-mel, and below it the scores of its windows over time."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from genretag import atomic, audio
from genretag.decisions.vote import Verdict, window_scores
from genretag.errors import TrackError, UsageError
from genretag.features import LIBROSA, AnyFrontEnd, build_features
from genretag.inference.metadata import ModelMetadata
from genretag.records import WINDOW_SECONDS, Analysis
from genretag.text import escape_control

if TYPE_CHECKING:
    from rich.text import Text

FloatArray = npt.NDArray[np.float32]

_WINDOW_COLUMNS = 300  # of a 30 s window: 10 per second
_MAX_COLUMNS = 2_400  # of a picture; longer tracks are thinned out
_MAX_GENRES = 5  # with a line of their own
_BEST_GENRES = 3  # that always get one
_SHADES = " ░▒▓█"
_BARS = " ▁▂▃▄▅▆▇█"
_TERMINAL_ROWS = 10  # of the log-mel
_TERMINAL_COLUMNS = (10, 120)  # fewest, most
_MAX_NAME = 14  # characters of a genre's name in the terminal
SUFFIXES = (".svg", ".png", ".pdf")


@dataclass(frozen=True)
class TrackView:
    """One analysed track, as it is drawn."""

    mel: FloatArray  # [bands, columns]
    analysis: Analysis
    verdict: Verdict
    metadata: ModelMetadata

    @cached_property
    def scores(self) -> npt.NDArray[np.float64]:
        """The scores of the windows, [windows, labels], 0 to 1."""
        analysis = self.analysis
        return window_scores(analysis.logits, self.metadata, analysis.length_of_window)

    @cached_property
    def shown_labels(self) -> list[int]:
        """The labels to draw: the best of the track, and those that win a window."""
        best = [self.metadata.labels.index(g) for g in list(self.verdict.scores)[:_BEST_GENRES]]
        winners = {int(window.argmax()) for window in self.scores}
        ranked = sorted({*best, *winners}, key=lambda i: -self.scores[:, i].mean())
        return ranked[:_MAX_GENRES]


def compute_spectrogram(path: Path, front_end: AnyFrontEnd) -> FloatArray:
    """Return the log-mel of a track, [bands, columns], at 10 columns per second.

    The track is decoded in a process of its own, because a decoder may crash.

    Raises:
        TrackError: the track cannot be decoded.
    """
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        try:
            return pool.submit(_spectrogram, path, front_end).result()
        except BrokenProcessPool as error:
            raise TrackError("decode", "the decoder crashed") from error


def _spectrogram(path: Path, front_end: AnyFrontEnd) -> FloatArray:
    """Return the log-mel of a track, averaged to the columns of a picture."""
    features = build_features(front_end if front_end.bands > 1 else LIBROSA)
    rate = features.front_end.sample_rate
    parts = []
    for window in audio.read_windows(path, rate, audio.DecodeLog()):
        mel = features(window.samples)
        seconds = len(window.samples) / rate
        columns = max(1, round(_WINDOW_COLUMNS * seconds / WINDOW_SECONDS))
        edges = np.unique(np.arange(columns) * mel.shape[1] // columns)
        parts.append(np.add.reduceat(mel, edges, axis=1) / np.diff([*edges, mel.shape[1]]))
    whole = np.concatenate(parts, axis=1)
    step = -(-whole.shape[1] // _MAX_COLUMNS)  # rounded up
    return np.asarray(whole[:, ::step], np.float32)


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def save_figure(view: TrackView, title: str, output: Path) -> None:
    """Draw a track into a picture file.

    Raises:
        UsageError: the extension is not that of a supported picture format, or matplotlib is
            not installed.
        RunError: the file cannot be written.
    """
    suffix = output.suffix.lower()
    if suffix not in SUFFIXES:
        *others, last = SUFFIXES
        raise UsageError(f"{output}: the file name must end in {', '.join(others)} or {last}")
    try:
        import matplotlib as mpl
    except ImportError as error:
        raise UsageError(
            f"{output}: drawing into a file needs matplotlib: pip install 'genretag[plots]'"
        ) from error

    # Text stays text, identifiers are the same in each run, and $ in a title is not mathematics.
    style = {"svg.fonttype": "none", "svg.hashsalt": "genretag", "text.parse_math": False}
    metadata = {"Date": None} if suffix == ".svg" else None
    with mpl.rc_context(style):
        figure = _draw_figure(view, title)
        with atomic.output(output) as part:
            figure.savefig(part, metadata=metadata, dpi=120)


def _draw_figure(view: TrackView, title: str) -> Any:
    """Return a figure of the log-mel above, and the scores of the windows below."""
    from matplotlib.figure import Figure

    seconds = view.analysis.seconds
    figure = Figure(figsize=(9, 5), layout="constrained")
    top, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    extent = (0, seconds, 0, len(view.mel))
    top.imshow(view.mel, origin="lower", aspect="auto", cmap="magma", extent=extent)
    top.set_ylabel("mel band")
    top.set_title(escape_control(title), fontsize="medium", loc="left")
    edges = [*view.analysis.starts.tolist(), seconds]
    for i in view.shown_labels:
        name = escape_control(view.metadata.labels[i])
        below.stairs(view.scores[:, i], edges, label=name, baseline=None, linewidth=1.6)
    below.set(ylim=(0, 1.02), xlim=(0, seconds), ylabel="score of the window")
    below.xaxis.set_major_formatter(lambda x, _: _clock(x))
    below.legend(
        fontsize="small",
        ncols=_MAX_GENRES,
        loc="lower center",
        bbox_to_anchor=(0.5, 1.0),
        frameon=False,
    )
    return figure


def terminal_lines(view: TrackView, width: int) -> list[Text]:
    """Return a track as lines for a terminal: the log-mel, a line per genre, and the time axis."""
    from rich.text import Text

    names = {i: escape_control(view.metadata.labels[i])[:_MAX_NAME] for i in view.shown_labels}
    margin = max(map(len, names.values())) + 2
    fewest, most = _TERMINAL_COLUMNS
    columns = max(fewest, min(width - margin - 1, most))
    lines = [
        Text(" " * margin).append(shades, style="blue") for shades in _shades(view.mel, columns)
    ]
    times = np.arange(columns) * view.analysis.seconds / columns
    window_at = np.searchsorted(view.analysis.starts, times, side="right") - 1
    for i, name in names.items():
        bars = "".join(_BARS[round(float(view.scores[w, i]) * 8)] for w in window_at)
        lines.append(Text(name.ljust(margin)).append(bars, style="green"))
    end = _clock(view.analysis.seconds)
    lines.append(Text(" " * margin + "0:00" + end.rjust(columns - 4), style="dim"))
    return lines


def _shades(mel: FloatArray, columns: int) -> list[str]:
    """Return a log-mel as rows of shaded characters, high frequencies first."""
    grid = mel[:, np.arange(columns) * mel.shape[1] // columns]
    rows = np.stack([part.mean(axis=0) for part in np.array_split(grid, _TERMINAL_ROWS)])[::-1]
    low, high = np.percentile(rows, (5, 99))
    scaled = (rows - low) / max(float(high - low), 1e-6) * len(_SHADES)
    steps = np.clip(scaled, 0, len(_SHADES) - 1).astype(int)
    return ["".join(_SHADES[step] for step in row) for row in steps]
