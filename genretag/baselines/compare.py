"""Train one baseline, or compare several on one split."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from genretag.baselines import (
    DEFAULT_MEMBERS,
    ENSEMBLE,
    SYSTEMS,
    System,
    input_frames,
    limit_window,
    shallow,
)
from genretag.baselines.export import export_network, export_shallow
from genretag.baselines.loop import (
    LoopOptions,
    Tracks,
    TrainedNetwork,
    accuracy,
    collection_tracks,
    flatten_inputs,
    score_tracks,
    train_network,
)
from genretag.decisions.vote import calibrated
from genretag.features import build_features
from genretag.inference.metadata import Calibration, ModelMetadata
from genretag.inference.model import Model, cut_chunks
from genretag.numeric import log_softmax
from genretag.text import count
from genretag.training import fit
from genretag.training.cache import FeatureCache, ensure_cached
from genretag.training.collection import Collection
from genretag.training.results import (
    CONFIDENCE_THRESHOLD,
    LearningCurve,
    Split,
    TrainingResult,
    build_metadata,
    split_collection,
)
from genretag.training.split import Part

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

HEADINGS = ("system", "accuracy", "macro recall", "parameters", "s to train", "ms a window", "MB")
COST_RUNS = 3  # measurements of the cost of a window; the median counts
MIN_INPUTS = 20  # for a point of the learning curve of a system without epochs
_CURVE_SHARES = (0.25, 0.5, 0.75, 1.0)  # of the training part
_MIN_SECONDS = 0.5  # of an input
_MARGIN = 0.02  # s; a decoded track may be slightly shorter than announced
_CHECKED_TRACKS = 16  # in the comparison of an exported file with its pipeline


@dataclass(frozen=True)
class ComparisonOptions:
    """Options of a comparison."""

    names: tuple[str, ...]
    output: Path  # of a single system; the names of several are derived from it
    split: Split = Split.ARTIST
    epochs: int = 30
    patience: int = 6
    seed: int = 0
    window: float | None = None  # s; None: each system's own
    pca: int | None = None
    members: tuple[str, ...] = DEFAULT_MEMBERS
    majority: bool = False
    augmented: bool = False
    weights: Path | None = None
    cache: Path = Path()
    jobs: int = 1


@dataclass(frozen=True)
class Entry:
    """A trained system: a row of the table."""

    system: System
    result: TrainingResult
    metadata: ModelMetadata
    path: Path
    parameters: int  # 0 for systems without a network
    ms: float  # for a window of 30 s on one thread
    parity: float  # largest difference of the exported file

    def row(self) -> tuple[str, ...]:
        """Return the row of the table, in the order of ``HEADINGS``."""
        m = self.result.metrics
        figures = (f"{m.accuracy}", f"{m.macro_recall}") if m is not None else ("-", "-")
        return (
            self.system.name,
            *figures,
            f"{self.parameters:,}" if self.parameters else "-",
            f"{self.result.seconds:.0f}",
            f"{self.ms:.1f}",
            f"{self.path.stat().st_size / 1e6:.2f}",
        )


@dataclass(frozen=True)
class _Trained:
    """A trained system before its evaluation: log-probabilities [tracks, labels] and cost."""

    valid: FloatArray
    test: FloatArray
    seconds: float
    curve: LearningCurve | None = None


class SystemComparison:
    """Train systems on one split; features that several systems share are made once."""

    def __init__(
        self, collection: Collection, options: ComparisonOptions, report: Callable[[str], None]
    ) -> None:
        self.collection, self.options, self.report = collection, options, report
        self.part = split_collection(collection, options.split, options.seed)
        self.shortest = float(collection.seconds.min())
        self.networks: dict[str, TrainedNetwork] = {}  # by name, for the ensemble

    def train(self, name: str, path: Path) -> Entry:
        """Train a system, evaluate it, and write its file."""
        if name == ENSEMBLE:
            return self._train_ensemble(path)
        system = self._system(name)
        tracks = self._tracks(system)
        if system.shallow:
            return self._train_shallow(system, tracks, path)
        began = time.monotonic()
        network = self._train_network(system, tracks)
        epochs = [float(e + 1) for e in range(network.epochs)]
        trained = _Trained(
            score_tracks(network.net, tracks, tracks.rows(Part.VALID)),
            score_tracks(network.net, tracks, tracks.rows(Part.TEST)),
            time.monotonic() - began,
            LearningCurve("epoch", epochs, "accuracy", network.train, network.valid),
        )
        result, metadata = self._evaluate(system, trained, path)
        parity = export_network(network.net, metadata, path, tracks.chunks(0))
        parameters = sum(p.numel() for p in network.net.parameters())
        return Entry(system, result, metadata, path, parameters, measure_cost(path), parity)

    # --- inputs ---------------------------------------------------------------------------------

    def _system(self, name: str) -> System:
        """Return a system with inputs that are no longer than the shortest track."""
        system = SYSTEMS[name]
        if self.options.window is not None:
            system = replace(system, seconds=self.options.window)
        limited = limit_window(system, max(_MIN_SECONDS, self.shortest - _MARGIN))
        if limited.seconds < system.seconds:
            self.report(
                f"{name}: the input is shortened to {limited.seconds:.1f} s, the length of the"
                " shortest track, so that the length does not reveal labels"
            )
        return limited

    def _tracks(self, system: System) -> Tracks:
        """Return the inputs of a system; make the features that are not in the cache."""
        cache = FeatureCache(self.options.cache, system.front_end)
        new, _ = cache.missing(self.collection.keys, self.collection.seconds)
        if new:
            self.report(
                f"{system.name}: computing features of {count(new, 'track')}"
                f" ({system.front_end.describe()})"
            )
        ensure_cached(cache, self.collection.keys, self.collection.paths, self.options.jobs)
        return collection_tracks(system, self.collection, self.part, cache)

    # --- networks -------------------------------------------------------------------------------

    def _train_network(self, system: System, tracks: Tracks) -> TrainedNetwork:
        o = self.options
        weights = o.weights if system.name == "mobilenet" else None
        loop_options = LoopOptions(o.epochs, o.patience, o.seed, o.augmented, weights)
        trained = train_network(system, tracks, loop_options, self.report)
        self.networks[system.name] = trained
        return trained

    def _train_ensemble(self, path: Path) -> Entry:
        """Combine networks that take the same input; those trained before are reused."""
        from genretag.baselines.networks import Ensemble

        systems = [self._system(name) for name in self.options.members]
        tracks = self._tracks(systems[0])
        networks = [self.networks.get(s.name) or self._train_network(s, tracks) for s in systems]
        began, nets = time.monotonic(), [network.net for network in networks]
        valid = tracks.rows(Part.VALID)
        weights = fit_vote_weights(
            [np.exp(score_tracks(net, tracks, valid)) for net in nets], self.collection.y[valid]
        )
        members = ", ".join(f"{s.name} {w:.2f}" for s, w in zip(systems, weights, strict=True))
        self.report(f"ensemble of {members}")
        net = Ensemble(nets, weights, majority=self.options.majority)
        trained = _Trained(
            score_tracks(net, tracks, valid),
            score_tracks(net, tracks, tracks.rows(Part.TEST)),
            time.monotonic() - began + sum(network.seconds for network in networks),
        )
        system = self._ensemble_system(systems[0], members)
        result, metadata = self._evaluate(system, trained, path)
        parity = export_network(net, metadata, path, tracks.chunks(0))
        parameters = sum(p.numel() for member in nets for p in member.parameters())
        return Entry(system, result, metadata, path, parameters, measure_cost(path), parity)

    def _ensemble_system(self, member: System, members: str) -> System:
        rule = "majority vote" if self.options.majority else "soft vote with fitted weights"
        source, differs = "soft votes, Kittler et al. 1998", f"{rule}: {members}"
        return System(ENSEMBLE, "", member.front_end, member.seconds, source, differs)

    # --- systems without a network --------------------------------------------------------------

    def _train_shallow(self, system: System, tracks: Tracks, path: Path) -> Entry:
        began = time.monotonic()
        train, valid = tracks.rows(Part.TRAIN), tracks.rows(Part.VALID)
        pipeline = self._fit_pipeline(system, tracks, train)
        valid_scores, test_scores = (
            _score_pipeline(pipeline, tracks, rows) for rows in (valid, tracks.rows(Part.TEST))
        )
        seconds = time.monotonic() - began
        curve = self._learning_curve(system, tracks)
        trained = _Trained(valid_scores, test_scores, seconds, curve)
        result, metadata = self._evaluate(system, trained, path)
        some = (valid if len(valid) else train)[:_CHECKED_TRACKS]
        inputs = flatten_inputs(tracks, some)[0]
        parity = export_shallow(pipeline, metadata, path, inputs, ties=system.name == "knn")
        return Entry(system, result, metadata, path, 0, measure_cost(path), parity)

    def _fit_pipeline(self, system: System, tracks: Tracks, rows: IntArray) -> Any:
        x, track = flatten_inputs(tracks, rows)
        pipeline = shallow.build_pipeline(system.build, self.options.pca)
        return pipeline.fit(x, self.collection.y[track])

    def _learning_curve(self, system: System, tracks: Tracks) -> LearningCurve | None:
        """Return the accuracy over the number of training tracks, for a system without epochs."""
        order = np.random.default_rng(self.options.seed).permutation(tracks.rows(Part.TRAIN))
        y, valid = self.collection.y, tracks.rows(Part.VALID)
        points = list[tuple[float, float, float]]()
        for share in _CURVE_SHARES if len(valid) else ():
            rows = order[: round(share * len(order))]
            if set(y[rows]) < set(y[order]) or len(flatten_inputs(tracks, rows)[0]) < MIN_INPUTS:
                continue
            pipeline = self._fit_pipeline(system, tracks, rows)
            train_accuracy, valid_accuracy = (
                accuracy(tracks, _score_pipeline(pipeline, tracks, part), part)[0]
                for part in (rows, valid)
            )
            points.append((float(len(rows)), train_accuracy, valid_accuracy))
        if not points:
            return None
        x, train, rest = ([p[i] for p in points] for i in range(3))
        return LearningCurve("training tracks", x, "accuracy", train, rest)

    # --- evaluation -----------------------------------------------------------------------------

    def _evaluate(
        self, system: System, trained: _Trained, path: Path
    ) -> tuple[TrainingResult, ModelMetadata]:
        """Calibrate a system on the validation part, and evaluate it on the test part."""
        valid = self.part == Part.VALID
        y = self.collection.y[valid]
        temperature = fit.calibrate(trained.valid, y) if valid.any() else 1.0
        p = trained.test
        if len(p):
            p = calibrated(p, 1, Calibration(temperature))
        result = TrainingResult(
            how=f"the baseline {system.name}",
            collection=self.collection,
            part=self.part,
            split=self.options.split,
            curve=trained.curve,
            settings={
                "system": system.name,
                "input seconds": round(system.seconds, 2),
                "source": system.source,
                "differs": system.differs,
                "seed": self.options.seed,
            },
        ).with_test_metrics(p, temperature, trained.seconds)
        base = ModelMetadata(
            id="",
            name=path.stem,
            version="1",
            labels=tuple(self.collection.labels),
            front_end=system.front_end,
            chunks=(input_frames(system),),
            music_threshold=0.0,
            confidence_threshold=CONFIDENCE_THRESHOLD,
            calibration=Calibration(temperature),
            about={"licence": "yours"},
        )
        return result, build_metadata(result, base, path.stem)


def _score_pipeline(pipeline: Any, tracks: Tracks, rows: IntArray) -> FloatArray:
    """Return mean log-probabilities [tracks, labels] over the inputs of each track."""
    scores = []
    for i in range(len(rows)):
        p = pipeline.predict_proba(flatten_inputs(tracks, rows[i : i + 1])[0])
        scores.append(np.log(np.clip(p, 1e-9, 1)).mean(0))
    return np.array(scores).reshape(len(rows), len(tracks.collection.labels))


def fit_vote_weights(probabilities: list[FloatArray], y: IntArray) -> list[float]:
    """Return the weights of a soft vote [members], sum 1, by maximum likelihood."""
    from scipy.optimize import minimize

    members = len(probabilities)
    if not len(y):
        return [1 / members] * members
    picked = np.stack([p[np.arange(len(y)), y] for p in probabilities])

    def loss(z: FloatArray) -> float:
        return float(-np.log(np.exp(log_softmax(z)) @ picked + 1e-9).mean())

    found = minimize(loss, np.zeros(members), method="Nelder-Mead", options={"maxiter": 400})
    return [float(w) for w in np.exp(log_softmax(found.x))]


def measure_cost(path: Path) -> float:
    """Return the time in ms for a window of 30 s on one thread, without its features."""
    model = Model(path, threads=1)
    fe = model.metadata.front_end
    noise = np.random.default_rng(0).normal(0, 0.1, 30 * fe.sample_rate).astype(np.float32)
    chunks = np.stack(cut_chunks(build_features(fe)(noise), model.metadata.chunks))
    model.run(chunks)  # the first run allocates memory
    times = []
    for _ in range(COST_RUNS):
        began = time.perf_counter()
        model.run(chunks)
        times.append(time.perf_counter() - began)
    return float(np.median(times)) * 1000


def markdown(entries: Iterable[Entry], random: bool) -> str:
    """Return the table in Markdown; ``random``: with a warning about a random split."""
    lines = [f"| {' | '.join(HEADINGS)} |", f"| {' | '.join('---' for _ in HEADINGS)} |"]
    lines += [f"| {' | '.join(e.row())} |" for e in entries]
    if random:
        lines += [
            "",
            "The split is random: the same artists and recordings are in all parts. These figures"
            " are too high, and comparable with nothing else.",
        ]
    return "\n".join(lines) + "\n"
