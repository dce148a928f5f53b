"""Baselines: the classic systems of papers and tutorials, trained and exported in the same way.

To add one: a function in ``networks`` (or ``shallow``) and a row in ``_ROWS``. PyTorch and skl2onnx
come with the extra ``train``; they are imported only when a system is trained.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from dataclasses import dataclass, replace

from genretag.errors import RunError, UsageError
from genretag.features import AnyFrontEnd, MelFrontEnd, WaveformFrontEnd
from genretag.features.summary import SummaryFrontEnd
from genretag.text import suggestion


@dataclass(frozen=True)
class System:
    """A baseline: its input, construction, training and source.

    ``seconds`` is the length of the input, shortened to the shortest training track: a network
    would learn which tracks are padded, not the music.
    """

    name: str
    build: str  # name of the function in ``networks`` or ``shallow``
    front_end: AnyFrontEnd
    seconds: float
    source: str  # author, year
    differs: str  # difference from the source
    shallow: bool = False  # of scikit-learn, on summarised features
    optimiser: str = "adam"
    rate: float = 1e-3  # learning rate
    batch: int = 32
    steps: int = 150  # maximum per epoch


#: 22.05 kHz, n_fft 2048, hop 1024: 30 s are 128 x 646 (papers pad them to 660).
_MEL = MelFrontEnd(hop_length=1024)
#: 22.05 kHz, hop 512: 3 s are 130 frames.
_FINE = MelFrontEnd()
_SLICE_SECONDS = 100_000 / 22_050  # 4.5

_GTZAN = "Tzanetakis and Cook 2002"

_LIBROSA_FEATURES = "librosa's features"
_SUMMARY = SummaryFrontEnd()
_RAW = WaveformFrontEnd(sample_rate=11_025, rms=0.1)

_ROWS = (
    System(
        "ffnn",
        "ffnn",
        _MEL,
        30.0,
        "feed-forward network on the log-mel, as in Velardo 2020",
        "averages over 8 frames first",
    ),
    System(
        "mel-cnn",
        "mel_cnn",
        _MEL,
        30.0,
        "two convolutions and two pools on the log-mel, after Dieleman and Schrauwen 2014",
        "kernels of 3 x 3; 30 s are 646 frames, not padded to 660",
    ),
    System(
        "mfcc-cnn",
        "mfcc_cnn",
        _FINE,
        3.0,
        "three convolution blocks on 13 MFCC of 3 s, Velardo 2020",
        "the DCT is the network's first layer",
        rate=1e-4,
    ),
    System(
        "slices-cnn",
        "slices_cnn",
        _FINE,
        _SLICE_SECONDS,
        "mel spectrograms of slices of 100,000 samples, a students' project, not published",
        "widths, rate and dropout are chosen here",
        optimiser="rmsprop",
        rate=5e-4,
    ),
    System(
        "raw-cnn",
        "raw_cnn",
        _RAW,
        0.5,
        "1-D convolutions on the samples, after Dieleman and Schrauwen 2014",
        "kernels of 3; 11 kHz, pools of 8 and 64 with batch norm",
        steps=60,
    ),
    System(
        "mobilenet",
        "mobilenet",
        _MEL,
        30.0,
        "MobileNetV2, Sandler et al. 2018, on the log-mel as an image of 224 x 224 x 3",
        "from scratch unless --weights names ImageNet weights in torchvision's layout",
        batch=16,
        steps=40,
    ),
    System(
        "logreg",
        "logreg",
        _SUMMARY,
        3.0,
        f"logistic regression, Cox 1958, on summarised features, after {_GTZAN}",
        _LIBROSA_FEATURES,
        shallow=True,
    ),
    System(
        "knn",
        "knn",
        _SUMMARY,
        3.0,
        f"nearest neighbours, {_GTZAN}",
        f"15 neighbours; {_LIBROSA_FEATURES}",
        shallow=True,
    ),
    System(
        "gaussian-nb",
        "gaussian_nb",
        _SUMMARY,
        3.0,
        f"one Gaussian per genre, after {_GTZAN}",
        f"diagonal; {_LIBROSA_FEATURES}",
        shallow=True,
    ),
    System(
        "svm",
        "svm",
        _SUMMARY,
        3.0,
        "a support vector machine, Mandel and Ellis 2005",
        f"RBF kernel; {_LIBROSA_FEATURES}",
        shallow=True,
    ),
    System(
        "cnn-bn",
        "cnn_bn",
        _MEL,
        30.0,
        "convolution, batch norm, ReLU and pool, after Choi et al. 2016",
        "three blocks",
    ),
    System(
        "lstm",
        "lstm",
        _MEL,
        30.0,
        "Hochreiter and Schmidhuber 1997, on frames of the log-mel",
        "one layer of 64",
    ),
    System(
        "gru", "gru", _MEL, 30.0, "Cho et al. 2014, on frames of the log-mel", "one layer of 64"
    ),
    System(
        "lstm-attention",
        "lstm_attention",
        _MEL,
        30.0,
        "attention over an LSTM, after Bahdanau et al. 2015",
        "48 cells per direction; no decoder",
    ),
    System(
        "crnn",
        "crnn",
        _MEL,
        30.0,
        "convolutions, then a GRU: Choi et al. 2017",
        "three blocks, a GRU of 64",
    ),
    System(
        "cnn+rnn",
        "cnn_rnn",
        _MEL,
        30.0,
        "two parallel paths, fused before the dense layer: Feng et al. 2017",
        "smaller; one GRU in one direction",
    ),
)

SYSTEMS: dict[str, System] = {s.name: s for s in _ROWS}

ENSEMBLE = "ensemble"
DEFAULT_MEMBERS = ("mel-cnn", "cnn-bn", "crnn")


def parse_systems(text: str) -> list[str]:
    """Return the systems of ``--system`` or ``--compare``; ``all`` includes the ensemble.

    Raises:
        UsageError: there is no such system; the message suggests a similar one.
    """
    known = [*SYSTEMS, ENSEMBLE]
    names = (
        known
        if text.strip() == "all"
        else [n.strip().casefold() for n in text.split(",") if n.strip()]
    )
    for name in names:
        if name not in known:
            hint = suggestion(name, known)
            raise UsageError(f"there is no system {name}{hint} (known: {', '.join(known)})")
    return list(dict.fromkeys(names))


def parse_members(text: str) -> tuple[str, ...]:
    """Return the systems of ``--members``.

    Raises:
        UsageError: they do not take the same input, so they cannot form one file.
    """
    names = parse_systems(text)
    systems = [SYSTEMS[n] for n in names if n != ENSEMBLE]
    inputs = {(s.front_end, s.seconds) for s in systems}
    if len(systems) < max(2, len(names)) or len(inputs) > 1 or any(s.shallow for s in systems):
        raise UsageError(
            f"--members {text}: the members must be at least two networks with the same input"
        )
    return tuple(names)


def check_installed(names: Iterable[str]) -> None:
    """Check that the libraries of the extra ``train`` are installed.

    Raises:
        RunError: a library is missing.
    """
    try:
        import torch  # noqa: F401
    except ImportError as error:
        raise RunError(
            "the baselines need PyTorch: pip install 'genretag[train]'"
            " (for the CPU only, install a +cpu build of torch first)"
        ) from error
    shallow = any(SYSTEMS[name].shallow for name in names if name in SYSTEMS)
    if shallow and importlib.util.find_spec("skl2onnx") is None:
        raise RunError("the systems of scikit-learn need skl2onnx: pip install 'genretag[train]'")


def limit_window(system: System, shortest: float) -> System:
    """Return a system with an input no longer than the shortest track, in s."""
    seconds = min(system.seconds, shortest)
    front_end = system.front_end
    if isinstance(front_end, SummaryFrontEnd):
        front_end = replace(front_end, seconds=round(seconds, 3))
    return replace(system, seconds=seconds, front_end=front_end)


def input_frames(system: System) -> int:
    """Return the number of feature columns in the input of a system."""
    if isinstance(system.front_end, SummaryFrontEnd):
        return 1
    return max(1, system.front_end.frames(int(system.seconds * system.front_end.sample_rate)))
