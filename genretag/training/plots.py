"""A lesson's pictures: learning curve, confusion matrix, reliability diagram, risk-coverage curve, embedding map."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from genretag.evaluation.metrics import BINS
from genretag.training.results import TrainingResult

FloatArray = npt.NDArray[np.float64]

_MAX_POINTS = 3000  # of the embedding map
_INK, _SOFT, _HOT = "#1f4e79", "#9bb7d4", "#c0392b"


def pictures(result: TrainingResult) -> Iterator[tuple[str, str, Any]]:
    """Yield (file name, what it shows, figure)."""
    import matplotlib

    matplotlib.use("Agg")
    if result.curve is not None:
        yield (
            "learning",
            f"Accuracy against {result.curve.x_name}: on what was learned, and on the rest.",
            learning(result),
        )
    if result.judged is not None:
        confidence, right = (
            result.probabilities.max(1),
            result.probabilities.argmax(1) == result.y_test,
        )
        yield (
            "confusion",
            "What each label was taken for: a row's tracks, by what was said of them.",
            confusion(result),
        )
        yield (
            "reliability",
            "Of the tracks that it was so sure of, how many were right. On the line: as sure as it is right.",
            reliability(confidence, right),
        )
        yield (
            "risk-coverage",
            "The share of wrong genres among the surest tracks, as more and more are answered.",
            risk_coverage(confidence, right),
        )
    yield (
        "map",
        "The tracks' embeddings in two dimensions (t-SNE): near is alike to the ear.",
        embedding_map(result),
    )


def _axes(width: float = 6, height: float = 4.5) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def learning(result: TrainingResult) -> Any:
    """Return the learning curve."""
    assert result.curve is not None
    figure, axes = _axes()
    axes.plot(result.curve.x, result.curve.train, "o--", color=_SOFT, label="on what was learned")
    axes.plot(result.curve.x, result.curve.valid, "o-", color=_INK, label="on the rest")
    axes.set(xlabel=result.curve.x_name, ylabel=result.curve.y_name)
    if result.curve.y_name == "accuracy":
        axes.set_ylim(0, 1.02)
    axes.legend(frameon=False)
    return figure


def confusion(result: TrainingResult) -> Any:
    """Return the confusion matrix, rows summing to one, with counts where there is room."""
    assert result.judged is not None
    counts = np.array(result.judged.confusion)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    labels = result.collection.labels
    side = max(4.5, min(24, 1.8 + 0.42 * len(labels)))
    figure, axes = _axes(side + 0.6, side)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set(xlabel="said", ylabel="labelled", xticks=range(len(labels)), yticks=range(len(labels)))
    axes.set_xticklabels(_safe(labels), rotation=90)
    axes.set_yticklabels(_safe(labels))
    if len(labels) <= 40:
        for i, j in np.argwhere(counts > 0):
            axes.text(
                j,
                i,
                counts[i, j],
                ha="center",
                va="center",
                color="white" if shares[i, j] > 0.5 else "black",
                fontsize=8,
            )
    return figure


def _safe(labels: list[str]) -> list[str]:
    """Return labels as plain text: matplotlib reads $...$ as mathematics."""
    return [label.replace("$", r"\$") for label in labels]


def reliability(confidence: FloatArray, right: npt.NDArray[np.bool_]) -> Any:
    """Return the reliability diagram (DeGroot and Fienberg 1983): confidence against the share that is right, with counts."""
    figure, axes = _axes()
    axes.plot([0, 1], [0, 1], ":", color="gray")
    bin_of = np.minimum((confidence * BINS).astype(int), BINS - 1)
    for b in np.unique(bin_of):
        mine = bin_of == b
        axes.bar((b + 0.5) / BINS, right[mine].mean(), width=0.9 / BINS, color=_SOFT)
        axes.plot(confidence[mine].mean(), right[mine].mean(), "o", color=_INK)
        axes.text((b + 0.5) / BINS, 0.02, f"{mine.sum()}", ha="center", fontsize=8)
    axes.set(xlabel="confidence", ylabel="share that is right", xlim=(0, 1), ylim=(0, 1.02))
    return figure


def risk_coverage(confidence: FloatArray, right: npt.NDArray[np.bool_]) -> Any:
    """Return the risk-coverage curve (El-Yaniv and Wiener 2010)."""
    order = np.argsort(-confidence, kind="stable")
    wrong = np.cumsum(~right[order]) / np.arange(1, len(order) + 1)
    coverage = np.arange(1, len(order) + 1) / len(order)
    figure, axes = _axes()
    axes.plot(coverage, wrong, color=_INK)
    at = float((confidence >= 0.7).mean())
    axes.axvline(at, color=_HOT, linestyle=":")
    axes.text(at, axes.get_ylim()[1], " 0.7", color=_HOT, va="top")
    axes.set(
        xlabel="share of the tracks that get a genre",
        ylabel="share of these that is wrong",
        xlim=(0, 1),
    )
    axes.set_ylim(bottom=0)
    return figure


def embedding_map(result: TrainingResult) -> Any:
    """Return the embeddings in two dimensions (t-SNE, van der Maaten and Hinton 2008), a colour a label."""
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    from genretag.training.split import standardise

    rng = np.random.default_rng(0)
    rows = rng.permutation(len(result.collection.y))[:_MAX_POINTS]
    x, y = standardise(result.collection.x[rows]), result.collection.y[rows]
    x = PCA(min(30, *x.shape), random_state=0).fit_transform(x)
    flat = x[:, :2]
    if len(x) > 10:
        with threadpool_limits(
            1
        ):  # on several threads it spins, and takes many times as long on a busy machine
            perplexity = max(2, min(30, (len(x) - 1) // 3))
            flat = TSNE(
                2, perplexity=perplexity, init="pca", random_state=0, max_iter=500
            ).fit_transform(x)
    import matplotlib

    colours = matplotlib.colormaps["tab20"](np.arange(20))
    labels = result.collection.labels
    figure, axes = _axes(8, 6)
    for c, label in enumerate(_safe(labels)):
        mine = y == c
        axes.scatter(
            flat[mine, 0],
            flat[mine, 1],
            s=10,
            color=colours[c % 20],
            marker="ovs^"[(c // 20) % 4],
            label=label,
        )
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    if len(labels) <= 40:
        axes.legend(
            frameon=False,
            loc="center left",
            bbox_to_anchor=(1, 0.5),
            fontsize=8,
            markerscale=2,
            ncols=1 + len(labels) // 21,
        )
    return figure


def save(result: TrainingResult, folder: Path) -> list[tuple[str, str, str]]:
    """Write the pictures as PNG; return (name, what it shows, PNG in base64) of each."""
    folder.mkdir(parents=True, exist_ok=True)
    out = []
    for name, text, figure in pictures(result):
        buffer = io.BytesIO()
        figure.savefig(buffer, dpi=110, format="png")
        (folder / f"{name}.png").write_bytes(buffer.getvalue())
        out.append((name, text, base64.b64encode(buffer.getvalue()).decode()))
    return out
