"""Plots of a training: learning curve, confusion, reliability, risk and coverage, embedding map."""

from __future__ import annotations

import base64
import importlib.util
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from genretag.evaluation.metrics import BINS, ClassifierMetrics
from genretag.training.results import CONFIDENCE_THRESHOLD, LearningCurve, TrainingResult

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

_MAX_POINTS = 3000  # of the embedding map
_MAX_LABELS = 40  # with numbers in the matrix and a legend beside the map
_DARK, _LIGHT, _ACCENT = "#1f4e79", "#9bb7d4", "#c0392b"
_DPI = 110


@dataclass(frozen=True)
class Plot:
    """A plot with its file name and caption."""

    name: str
    caption: str
    figure: Any


def plots_of(result: TrainingResult) -> Iterator[Plot]:
    """Yield the plots of a training."""
    import matplotlib

    matplotlib.use("Agg")
    if result.curve is not None:
        caption = f"Accuracy by {result.curve.x_name}, on the training part and on the rest."
        yield Plot("learning", caption, plot_learning_curve(result.curve))
    if result.metrics is not None:
        confidence = result.probabilities.max(1)
        right = result.probabilities.argmax(1) == result.y_test
        yield Plot(
            "confusion",
            "Confusion matrix: the tracks of each label (row) by predicted label (column).",
            plot_confusion(result.metrics, result.collection.labels),
        )
        yield Plot(
            "reliability",
            "Share of correct tracks by confidence. On the line, the confidence is exact.",
            plot_reliability(confidence, right),
        )
        yield Plot(
            "risk-coverage",
            "Share of wrong genres among the most confident tracks, by their share of all tracks.",
            plot_risk_coverage(confidence, right),
        )
    yield Plot(
        "map",
        "Embeddings of the tracks in two dimensions (t-SNE): neighbours sound alike to the model.",
        plot_embedding_map(result),
    )


def _axes(width: float = 6, height: float = 4.5) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def plot_learning_curve(curve: LearningCurve) -> Any:
    """Return the learning curve."""
    figure, axes = _axes()
    axes.plot(curve.x, curve.train, "o--", color=_LIGHT, label="training part")
    axes.plot(curve.x, curve.valid, "o-", color=_DARK, label="rest")
    axes.set(xlabel=curve.x_name, ylabel=curve.y_name)
    if curve.y_name == "accuracy":
        axes.set_ylim(0, 1.02)
    axes.legend(frameon=False)
    return figure


def plot_confusion(metrics: ClassifierMetrics, labels: list[str]) -> Any:
    """Return the confusion matrix, shaded by the share of each row."""
    counts = np.array(metrics.confusion)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    side = max(4.5, min(24, 1.8 + 0.42 * len(labels)))  # inches
    figure, axes = _axes(side + 0.6, side)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set(
        xticks=range(len(labels)),
        yticks=range(len(labels)),
        xlabel="predicted label",
        ylabel="true label",
    )
    axes.set_xticklabels(_escape(labels), rotation=90)
    axes.set_yticklabels(_escape(labels))
    if len(labels) <= _MAX_LABELS:
        for i, j in np.argwhere(counts > 0):
            colour = "white" if shares[i, j] > 0.5 else "black"
            axes.text(j, i, counts[i, j], ha="center", va="center", color=colour, fontsize=8)
    return figure


def _escape(labels: list[str]) -> list[str]:
    """Return labels as plain text: matplotlib reads $...$ as mathematics."""
    return [label.replace("$", r"\$") for label in labels]


def plot_reliability(confidence: FloatArray, right: BoolArray) -> Any:
    """Return the reliability diagram with counts (DeGroot and Fienberg 1983)."""
    figure, axes = _axes()
    axes.plot([0, 1], [0, 1], ":", color="gray")
    bin_of = np.minimum((confidence * BINS).astype(int), BINS - 1)
    for b in np.unique(bin_of):
        mine = bin_of == b
        axes.bar((b + 0.5) / BINS, right[mine].mean(), width=0.9 / BINS, color=_LIGHT)
        axes.plot(confidence[mine].mean(), right[mine].mean(), "o", color=_DARK)
        axes.text((b + 0.5) / BINS, 0.02, f"{mine.sum()}", ha="center", fontsize=8)
    axes.set(xlabel="confidence", ylabel="share of correct tracks", xlim=(0, 1), ylim=(0, 1.02))
    return figure


def plot_risk_coverage(confidence: FloatArray, right: BoolArray) -> Any:
    """Return the risk-coverage curve (El-Yaniv and Wiener 2010)."""
    order = np.argsort(-confidence, kind="stable")
    ranks = np.arange(1, len(order) + 1)
    figure, axes = _axes()
    axes.plot(ranks / len(order), np.cumsum(~right[order]) / ranks, color=_DARK)
    at = float((confidence >= CONFIDENCE_THRESHOLD).mean())
    axes.axvline(at, color=_ACCENT, linestyle=":")
    axes.text(at, axes.get_ylim()[1], f" {CONFIDENCE_THRESHOLD:g}", color=_ACCENT, va="top")
    axes.set(
        xlabel="share of tracks that get a genre",
        ylabel="share of wrong genres among them",
        xlim=(0, 1),
    )
    axes.set_ylim(bottom=0)
    return figure


def plot_embedding_map(result: TrainingResult) -> Any:
    """Return the embeddings in two dimensions, coloured by label."""
    import matplotlib

    collection = result.collection
    rows = np.random.default_rng(0).permutation(len(collection.y))[:_MAX_POINTS]
    flat, y = _project(collection.x[rows]), collection.y[rows]
    colours = matplotlib.colormaps["tab20"](np.arange(20))
    figure, axes = _axes(8, 6)
    for c, label in enumerate(_escape(collection.labels)):
        mine = y == c
        axes.scatter(
            flat[mine, 0],
            flat[mine, 1],
            s=10,
            color=colours[c % 20],
            marker="ovs^"[(c // 20) % 4],  # another marker when the colours repeat
            label=label,
        )
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    if len(collection.labels) <= _MAX_LABELS:
        axes.legend(
            frameon=False,
            loc="center left",
            bbox_to_anchor=(1, 0.5),
            fontsize=8,
            markerscale=2,
            ncols=1 + len(collection.labels) // 21,
        )
    return figure


def _project(x: npt.NDArray[np.float16]) -> FloatArray:
    """Return embeddings [n, dims] in two dimensions (t-SNE: van der Maaten and Hinton 2008)."""
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    from genretag.training.split import standardise

    z = standardise(x)
    z = PCA(min(30, *z.shape), random_state=0).fit_transform(z)
    if len(z) <= 10:  # too few for t-SNE
        return np.asarray(z[:, :2], np.float64)
    perplexity = max(2, min(30, (len(z) - 1) // 3))
    # On several threads t-SNE spins, and takes many times as long on a busy machine.
    with threadpool_limits(1):
        tsne = TSNE(2, perplexity=perplexity, init="pca", random_state=0, max_iter=500)
        return np.asarray(tsne.fit_transform(z), np.float64)


def save_plots(result: TrainingResult, folder: Path) -> list[tuple[str, str, str]]:
    """Write the plots as PNG; return (name, caption, PNG in base64) of each.

    Without matplotlib, which is in the extra ``plots``, there are none.
    """
    if importlib.util.find_spec("matplotlib") is None:
        return []
    folder.mkdir(parents=True, exist_ok=True)
    out = []
    for plot in plots_of(result):
        buffer = io.BytesIO()
        plot.figure.savefig(buffer, dpi=_DPI, format="png")
        (folder / f"{plot.name}.png").write_bytes(buffer.getvalue())
        out.append((plot.name, plot.caption, base64.b64encode(buffer.getvalue()).decode()))
    return out
