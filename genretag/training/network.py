"""The bundled CNN: log-mel -> embedding, class logits. Needs PyTorch (extra ``train``)."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from genretag.errors import ModelError
from genretag.training.head import LinearHead

_FIRST_DEEP_BLOCK = 8  # its index among the layers of ``Backbone.features``
_BLOCK = re.compile(r"features\.(\d+)\.body\.")
_LEAST_VARIANCE = 1e-4  # whose root has a finite gradient


@dataclass(frozen=True)
class Shape:
    """Widths of the network; the default takes about 0.7 GMAC for a window of 30 s.

    Each block at the last width adds 0.2 GMAC.
    """

    n_mels: int = 80
    stem: int = 24
    widths: tuple[int, int, int] = (40, 80, 144)
    pooled: int = 512
    embedding: int = 384
    classes: int = 147
    dropout: float = 0.15  # of the pooled features
    blocks: int = 1  # residual blocks at the last width, after the one that reaches it
    hidden: int = 0  # width of the correction to the embedding; 0: there is none


class Residual(nn.Module):
    """Residual block of two 3 x 3 convolutions (He et al. 2016) with pooling (He et al. 2019)."""

    def __init__(self, width_in: int, width_out: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(width_in, width_out, 3, stride, 1, bias=False),
            nn.BatchNorm2d(width_out),
            nn.ReLU(),
            nn.Conv2d(width_out, width_out, 3, 1, 1, bias=False),
            nn.BatchNorm2d(width_out),
        )
        self.shortcut: nn.Module = nn.Identity()
        # Pool before the 1 x 1 convolution: with a stride it would drop three of four positions.
        if stride != 1 or width_in != width_out:
            self.shortcut = nn.Sequential(
                nn.AvgPool2d(stride, ceil_mode=True),
                nn.Conv2d(width_in, width_out, 1, bias=False),
                nn.BatchNorm2d(width_out),
            )

    def forward(self, x: Tensor) -> Tensor:
        """Map [batch, width_in, bands, frames] to [batch, width_out, bands', frames']."""
        return torch.relu(self.body(x) + self.shortcut(x))


class Backbone(nn.Module):
    """Log-mel [batch, n_mels, frames] -> embedding [batch, embedding].

    The bands are combined by a convolution over all of them, and time by the mean, so that any
    number of frames from about one second upwards is accepted.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        a, b, c = shape.widths
        self.features = nn.Sequential(
            nn.Conv2d(1, shape.stem, 5, 2, 2, bias=False),
            nn.BatchNorm2d(shape.stem),
            nn.ReLU(),
            nn.Conv2d(shape.stem, a, 3, 2, 1, bias=False),
            nn.BatchNorm2d(a),
            nn.ReLU(),
            Residual(a, b, 2),
            Residual(b, c, 2),
            *(Residual(c, c, 1) for _ in range(shape.blocks)),
        )
        bands = -(-shape.n_mels // 16)  # four halvings, rounded up
        self.across = nn.Sequential(
            nn.Conv2d(c, shape.pooled, (bands, 1), bias=False), nn.BatchNorm2d(shape.pooled)
        )
        self.dropout = nn.Dropout(shape.dropout)
        self.project = nn.Linear(shape.pooled, shape.embedding)
        self.correct: nn.Module | None = None
        if shape.hidden:
            self.correct = nn.Sequential(
                nn.Linear(2 * shape.pooled, shape.hidden),
                nn.ReLU(),
                nn.Dropout(shape.dropout),
                nn.Linear(shape.hidden, shape.embedding),
            )

    def forward(self, x: Tensor) -> Tensor:
        """Return the embeddings [batch, embedding] of log-mels."""
        # A convolution over all remaining bands leaves one row: pitch is not averaged away.
        y = nn.functional.hardswish(self.across(self.features(x.unsqueeze(1))))
        pooled: Tensor = y.mean(dim=(2, 3))
        out: Tensor = self.project(self.dropout(pooled))
        if self.correct is not None:
            # the mean forgets how much the features change in time, which rhythm depends on
            variance = (y - pooled[:, :, None, None]).square().mean(dim=(2, 3))
            spread = (variance + _LEAST_VARIANCE).sqrt()
            out = out + self.correct(self.dropout(torch.cat([pooled, spread], dim=1)))
        return out


class Student(nn.Module):
    """Backbone with a head for the teacher's class logits, for distillation."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.backbone = Backbone(shape)
        self.classes = nn.Linear(shape.embedding, shape.classes)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return (embedding, class logits)."""
        embedding = self.backbone(x)
        return embedding, self.classes(embedding)


def fold(module: nn.Module) -> None:
    """Fold batch norms and pooling into the neighbouring convolutions, in place.

    The network in PyTorch then computes exactly what the exported file does.
    """
    for block in [m for m in module.modules() if isinstance(m, nn.Sequential)]:
        # Replaced, not removed: the names of the weights stay those of training.
        for i in range(len(block) - 1):
            conv, norm = block[i], block[i + 1]
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                block[i], block[i + 1] = (
                    torch.nn.utils.fusion.fuse_conv_bn_eval(conv, norm),
                    nn.Identity(),
                )
            pool, conv = block[i], block[i + 1]
            if (
                isinstance(pool, nn.AvgPool2d)
                and pool.kernel_size == 2
                and isinstance(conv, nn.Conv2d)
            ):
                block[i], block[i + 1] = nn.ReplicationPad2d((0, 1, 0, 1)), _absorb_pool(conv)


def _absorb_pool(conv: nn.Conv2d) -> nn.Conv2d:
    """Return a 2 x 2 convolution equal to 2 x 2 mean pooling followed by a 1 x 1 convolution.

    On an axis of odd length the last sample is repeated (by the padding before it). onnxruntime's
    own pooling of quantised values would halve it instead.
    """
    merged = nn.Conv2d(conv.in_channels, conv.out_channels, 2, 2, bias=conv.bias is not None)
    with torch.no_grad():
        merged.weight.copy_(conv.weight.repeat(1, 1, 2, 2) / 4)
        if merged.bias is not None and conv.bias is not None:
            merged.bias.copy_(conv.bias)
    return merged.train(conv.training)


def to_layer(linear: LinearHead) -> nn.Linear:
    """Return a linear head as a PyTorch layer."""
    layer = nn.Linear(*linear.weight.shape)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(linear.weight.T.copy()))
        layer.bias.copy_(torch.from_numpy(linear.bias.copy()))
    return layer


def load_backbone(path: Path) -> tuple[Backbone, LinearHead, LinearHead]:
    """Load (backbone, genre head, music head) from the file of a bundled network.

    Norms and pooling of the backbone are folded.

    Raises:
        ModelError: the file contains another network.
    """
    weights = _weights(path)
    state = {
        name.removeprefix("backbone."): torch.from_numpy(w.copy())
        for name, w in weights.items()
        if name.startswith("backbone.")
    }
    backbone = Backbone(replace(shape_of(state), dropout=0.0)).eval()
    fold(backbone)
    try:
        backbone.load_state_dict(state)
        heads = [_linear(weights, name) for name in ("genre", "music")]
    except (RuntimeError, KeyError) as error:
        raise ModelError(
            f"{path}: not the bundled network, so it cannot be fine-tuned; train without --deep"
        ) from error
    return backbone, heads[0], heads[1]


def shape_of(state: dict[str, Tensor]) -> Shape:
    """Return the shape of a network of the default widths that has these weights."""
    hidden = state.get("correct.0.weight")
    deepest = [int(m[1]) for name in state if (m := _BLOCK.match(name))]
    return Shape(
        blocks=max(deepest, default=_FIRST_DEEP_BLOCK) - _FIRST_DEEP_BLOCK + 1,
        hidden=0 if hidden is None else hidden.shape[0],
    )


def _weights(path: Path) -> dict[str, npt.NDArray[np.float32]]:
    """Return the weights of a file by name as floats; half precision and int8 are converted."""
    import onnx
    from onnx import numpy_helper

    stored = {t.name: numpy_helper.to_array(t) for t in onnx.load(str(path)).graph.initializer}
    weights = {
        name.removesuffix(".half"): w.astype(np.float32)
        for name, w in stored.items()
        if w.dtype.kind == "f" and not name.endswith("_scale")
    }
    for name, w in stored.items():
        if (original := name.removesuffix("_quantized")) != name:
            # int8 weights have one scale for each output channel, on the first axis.
            scale = stored.get(f"{original}_scale", stored.get(f"{name}_scale"))
            assert scale is not None
            weights[original] = (w * scale.reshape(-1, *[1] * (w.ndim - 1))).astype(np.float32)
    return weights


def _linear(weights: dict[str, Any], name: str) -> LinearHead:
    """Return a head; an attached one is stored transposed."""
    # The name that attach_head gives; model files of users have it.
    if name == "genre" and "grafted.weight" in weights:
        return LinearHead(
            weights["grafted.weight"].astype("float64"), weights["grafted.bias"].astype("float64")
        )
    return LinearHead(
        weights[f"{name}.weight"].T.astype("float64"), weights[f"{name}.bias"].astype("float64")
    )
