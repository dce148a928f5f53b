"""One system, or several beside each other: one split, one table."""

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
from genretag.inference.model import Model
from genretag.numeric import log_softmax
from genretag.training import fit, results
from genretag.training.cache import FeatureCache, ensure_cached
from genretag.training.collection import Collection
from genretag.training.split import Part

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ComparisonOptions:
    """What was asked for."""

    names: tuple[str, ...]
    output: Path  # of one system; of several, the name that theirs are made of
    split: results.Split = results.Split.ARTIST
    epochs: int = 30
    patience: int = 6
    seed: int = 0
    window: float | None = None  # s, instead of a system's own
    pca: int | None = None
    members: tuple[str, ...] = DEFAULT_MEMBERS
    majority: bool = False
    augmented: bool = False
    weights: Path | None = None
    cache: Path = Path()
    jobs: int = 1


@dataclass(frozen=True)
class Entry:
    """One line of the table."""

    system: System
    result: results.TrainingResult
    metadata: ModelMetadata
    path: Path
    parameters: int
    ms: float  # for a window of 30 s, on one thread
    parity: float

    def row(self) -> tuple[str, ...]:
        """Return the line: system, accuracy, macro recall, parameters, seconds, ms, size."""
        j = self.result.judged
        found = (f"{j.accuracy}", f"{j.macro_recall}") if j is not None else ("-", "-")
        parameters = f"{self.parameters:,}" if self.parameters else "-"
        return (
            self.system.name,
            *found,
            parameters,
            f"{self.result.seconds:.0f}",
            f"{self.ms:.1f}",
            f"{self.path.stat().st_size / 1e6:.2f}",
        )


COST_TIMES = 3  # that the cost of a window is measured
GROWING = (
    0.25,
    0.5,
    0.75,
    1.0,
)  # of the training part, for the learning curve of what has no epochs
MIN_INPUTS = 20  # that a point of it is fitted on

HEADINGS = ("system", "accuracy", "macro recall", "parameters", "s to train", "ms a window", "MB")


class SystemComparison:
    """Trains systems on one split; what each hears is decoded once."""

    def __init__(
        self, collection: Collection, asked: ComparisonOptions, say: Callable[[str], None]
    ) -> None:
        self.collection, self.asked, self.say = collection, asked, say
        self.part = results.split_collection(collection, asked.split, asked.seed)
        self.shortest = float(collection.seconds.min())
        self.learned: dict[
            str, TrainedNetwork
        ] = {}  # by name: the ensemble takes what is trained already

    def system(self, name: str) -> System:
        """Return a system as it hears this collection."""
        system = SYSTEMS[name]
        if self.asked.window is not None:
            system = replace(system, seconds=self.asked.window)
        cut = limit_window(system, max(0.5, self.shortest - 0.02))
        if cut.seconds < system.seconds:
            self.say(
                f"{name}: hears {cut.seconds:.1f} s at once, as long as the shortest track; else length would give labels away"
            )
        return cut

    def tracks(self, system: System) -> Tracks:
        """Decode what is not in the cache yet."""
        cache = FeatureCache(self.asked.cache, system.front_end)
        new, _ = cache.missing(self.collection.keys, self.collection.seconds)
        if new:
            self.say(
                f"{system.name}: making the features of {new:,} tracks ({system.front_end.describe()})"
            )
        ensure_cached(cache, self.collection.keys, self.collection.paths, self.asked.jobs)
        return collection_tracks(system, self.collection, self.part, cache)

    def entry(self, name: str, path: Path) -> Entry:
        """Train one system, judge it, and write its file."""
        if name == ENSEMBLE:
            return self._ensemble(path)
        system = self.system(name)
        tracks = self.tracks(system)
        began = time.monotonic()
        if system.shallow:
            return self._shallow(system, tracks, path, began)
        learned = self._learned(name, system, tracks)
        said = (
            score_tracks(learned.net, tracks, tracks.rows(Part.VALID)),
            score_tracks(learned.net, tracks, tracks.rows(Part.TEST)),
        )
        epochs = [float(e + 1) for e in range(learned.epochs)]
        curve = results.LearningCurve("epoch", epochs, "accuracy", learned.train, learned.valid)
        result, metadata = self._judged(system, tracks, said, path, time.monotonic() - began, curve)
        parity = export_network(learned.net, metadata, path, tracks.chunks(0))
        count = sum(p.numel() for p in learned.net.parameters())
        return Entry(system, result, metadata, path, count, measure_cost(path), parity)

    def _learned(self, name: str, system: System, tracks: Tracks) -> TrainedNetwork:
        a = self.asked
        learned = train_network(
            system,
            tracks,
            epochs=a.epochs,
            patience=a.patience,
            seed=a.seed,
            augmented=a.augmented,
            weights=a.weights if name == "mobilenet" else None,
            say=self.say,
        )
        self.learned[name] = learned
        return learned

    def _shallow(self, system: System, tracks: Tracks, path: Path, began: float) -> Entry:
        pipeline = self._fitted(system, tracks, tracks.rows(Part.TRAIN))
        said = (
            _said(pipeline, tracks, tracks.rows(Part.VALID)),
            _said(pipeline, tracks, tracks.rows(Part.TEST)),
        )
        seconds = time.monotonic() - began
        result, metadata = self._judged(
            system, tracks, said, path, seconds, self._grown(system, tracks)
        )
        unseen = tracks.rows(Part.VALID)
        some = flatten_inputs(tracks, (unseen if len(unseen) else tracks.rows(Part.TRAIN))[:16])[0]
        parity = export_shallow(pipeline, metadata, path, some, ties=system.name == "knn")
        return Entry(system, result, metadata, path, 0, measure_cost(path), parity)

    def _fitted(self, system: System, tracks: Tracks, rows: npt.NDArray[np.int64]) -> Any:
        x, of_track = flatten_inputs(tracks, rows)
        return shallow.build_pipeline(system.build, self.asked.pca).fit(
            x, self.collection.y[of_track]
        )

    def _grown(self, system: System, tracks: Tracks) -> results.LearningCurve | None:
        """Return how a shallow system, which has no epochs, grows with the tracks that it learns from."""
        order = np.random.default_rng(self.asked.seed).permutation(tracks.rows(Part.TRAIN))
        y, valid = self.collection.y, tracks.rows(Part.VALID)
        points = list[tuple[float, float, float]]()
        for share in GROWING if len(valid) else ():
            rows = order[: round(share * len(order))]
            if set(y[rows]) < set(y[order]) or len(flatten_inputs(tracks, rows)[0]) < MIN_INPUTS:
                continue
            pipeline = self._fitted(system, tracks, rows)
            learned, rest = (
                accuracy(tracks, _said(pipeline, tracks, part), part)[0] for part in (rows, valid)
            )
            points.append((float(len(rows)), learned, rest))
        x, learned_of, valid_of = ([p[i] for p in points] for i in range(3))
        return (
            results.LearningCurve("tracks to learn from", x, "accuracy", learned_of, valid_of)
            if points
            else None
        )

    def _ensemble(self, path: Path) -> Entry:
        from genretag.baselines.networks import Ensemble

        systems = [self.system(name) for name in self.asked.members]
        tracks = self.tracks(systems[0])
        learned = [self.learned.get(s.name) or self._learned(s.name, s, tracks) for s in systems]
        began, nets = time.monotonic(), [one.net for one in learned]
        valid = tracks.rows(Part.VALID)
        weights = fit_vote_weights(
            [np.exp(score_tracks(net, tracks, valid)) for net in nets], self.collection.y[valid]
        )
        told = ", ".join(f"{s.name} {w:.2f}" for s, w in zip(systems, weights, strict=True))
        self.say(f"ensemble of {told}")
        net = Ensemble(nets, weights, majority=self.asked.majority)
        how = (
            "majority vote"
            if self.asked.majority
            else "soft vote, weights fitted on the validation part"
        )
        system = System(
            ENSEMBLE,
            "",
            systems[0].front_end,
            systems[0].seconds,
            "soft votes, Kittler et al. 1998",
            f"{how}: {told}",
        )
        said = score_tracks(net, tracks, valid), score_tracks(net, tracks, tracks.rows(Part.TEST))
        seconds = time.monotonic() - began + sum(one.seconds for one in learned)
        result, metadata = self._judged(system, tracks, said, path, seconds, None)
        parity = export_network(net, metadata, path, tracks.chunks(0))
        return Entry(
            system,
            result,
            metadata,
            path,
            sum(p.numel() for n in nets for p in n.parameters()),
            measure_cost(path),
            parity,
        )

    def _judged(
        self,
        system: System,
        tracks: Tracks,
        said: tuple[FloatArray, FloatArray],
        path: Path,
        seconds: float,
        curve: results.LearningCurve | None,
    ) -> tuple[results.TrainingResult, ModelMetadata]:
        """Return the figures of a system, and its card; confidence is fitted on the validation part."""
        valid = tracks.rows(Part.VALID)
        temperature = fit.calibrate(said[0], self.collection.y[valid]) if len(valid) else 1.0
        p = calibrated(said[1], 1, Calibration(temperature)) if len(said[1]) else said[1]
        settings = {
            "system": system.name,
            "hears": round(system.seconds, 2),
            "source": system.source,
            "differs": system.differs,
            "seed": self.asked.seed,
        }
        draft = results.TrainingResult(
            f"the classic {system.name}",
            self.collection,
            self.part,
            self.asked.split,
            None,
            p,
            self.collection.y[tracks.rows(Part.TEST)],
            temperature,
            seconds,
            curve,
            settings,
        )
        result = results.with_test_metrics(draft, p, temperature, seconds)
        labels, chunks = tuple(self.collection.labels), (input_frames(system),)
        bare = ModelMetadata(
            id="",
            name=path.stem,
            version="1",
            labels=labels,
            front_end=system.front_end,
            chunks=chunks,
            music_threshold=0.0,
            confidence_threshold=results.CONFIDENCE_THRESHOLD,
            calibration=Calibration(temperature),
            about={"licence": "yours"},
        )
        return result, results.build_metadata(result, bare, path.stem)


def _said(pipeline: Any, tracks: Tracks, rows: npt.NDArray[np.int64]) -> FloatArray:
    """Return mean log-probabilities [tracks, labels] over each track's inputs, as ``score_tracks`` does for networks."""
    said = [
        np.log(
            np.clip(pipeline.predict_proba(flatten_inputs(tracks, rows[i : i + 1])[0]), 1e-9, 1)
        ).mean(0)
        for i in range(len(rows))
    ]
    return np.array(said).reshape(len(rows), len(tracks.collection.labels))


def fit_vote_weights(said: list[FloatArray], y: npt.NDArray[np.int64]) -> list[float]:
    """Return the weights of a soft vote [members], that sum to 1, under which the validation part is likeliest."""
    from scipy.optimize import minimize

    if not len(y):
        return [1 / len(said)] * len(said)
    picked = np.stack([p[np.arange(len(y)), y] for p in said])

    def loss(z: FloatArray) -> float:
        return float(-np.log(np.exp(log_softmax(z)) @ picked + 1e-9).mean())

    found = minimize(loss, np.zeros(len(said)), method="Nelder-Mead", options={"maxiter": 400})
    return [float(w) for w in np.exp(log_softmax(found.x))]


def measure_cost(path: Path) -> float:
    """Return the milliseconds that a model takes for a window of 30 s on one thread, its features made already."""
    from genretag.inference.model import cut_chunks

    model = Model(path, threads=1)
    fe = model.metadata.front_end
    noise = np.random.default_rng(0).normal(0, 0.1, 30 * fe.sample_rate).astype(np.float32)
    chunks = np.stack(cut_chunks(build_features(fe)(noise), model.metadata.chunks))
    model.run(chunks)
    took = []
    for _ in range(COST_TIMES):
        began = time.perf_counter()
        model.run(chunks)
        took.append(time.perf_counter() - began)
    return float(np.median(took)) * 1000


def markdown(entries: Iterable[Entry], random: bool) -> str:
    """Return the table as Markdown."""
    lines = [f"| {' | '.join(HEADINGS)} |", f"| {' | '.join('---' for _ in HEADINGS)} |"]
    lines += [f"| {' | '.join(e.row())} |" for e in entries]
    if random:
        lines += [
            "",
            "The split is random: artists and recordings are on both sides. These figures are too good, and compare with nothing.",
        ]
    return "\n".join(lines) + "\n"
