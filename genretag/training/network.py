"""The bundled CNN: log-mel -> embedding, class logits. Needs PyTorch (extra ``train``)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from genretag.errors import ModelError
from genretag.training.head import LinearHead


@dataclass(frozen=True)
class Shape:
    """Widths of the network; the default costs about 0.7 GMAC a 30 s window."""

    n_mels: int = 80
    stem: int = 24
    widths: tuple[int, int, int] = (40, 80, 144)
    pooled: int = 512
    embedding: int = 384
    classes: int = 147
    dropout: float = 0.15  # of the pooled features


class Residual(nn.Module):
    """Two 3 x 3 convolutions beside a short cut (He et al. 2016; the short cut pools, He et al. 2019)."""

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

    Pooling keeps the bands apart (a convolution over all of them) and takes the mean
    over time, so any number of frames from about one second upward is heard as it is.
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
            Residual(c, c, 1),
        )
        bands = -(-shape.n_mels // 16)  # four halvings, rounded up
        self.across = nn.Sequential(
            nn.Conv2d(c, shape.pooled, (bands, 1), bias=False), nn.BatchNorm2d(shape.pooled)
        )
        self.dropout = nn.Dropout(shape.dropout)
        self.project = nn.Linear(shape.pooled, shape.embedding)

    def forward(self, x: Tensor) -> Tensor:
        """Return the embedding of each log-mel in the batch."""
        y = nn.functional.hardswish(self.across(self.features(x.unsqueeze(1))))
        pooled: Tensor = y.mean(dim=(2, 3))
        out: Tensor = self.project(self.dropout(pooled))
        return out


class Student(nn.Module):
    """The backbone with the head that learns the teacher's class logits while distilling."""

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
    """Fold batch norms and pooling into the convolutions beside them, in place: what is judged in torch is exactly what a file holds."""
    for block in [m for m in module.modules() if isinstance(m, nn.Sequential)]:
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
                block[i], block[i + 1] = nn.ReplicationPad2d((0, 1, 0, 1)), _of_means(conv)


def _of_means(conv: nn.Conv2d) -> nn.Conv2d:
    """Return the convolution of 2 x 2 samples that does what one of single samples does to their means.

    Where an axis is odd its last sample stands alone, as if it were there twice. onnxruntime's own pooling of bytes takes half of it.
    """
    made = nn.Conv2d(conv.in_channels, conv.out_channels, 2, 2, bias=conv.bias is not None)
    with torch.no_grad():
        made.weight.copy_(conv.weight.repeat(1, 1, 2, 2) / 4)
        if made.bias is not None and conv.bias is not None:
            made.bias.copy_(conv.bias)
    return made.train(conv.training)


def to_layer(linear: LinearHead) -> nn.Linear:
    """Return a fitted head as a layer."""
    layer = nn.Linear(*linear.weight.shape)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(linear.weight.T.copy()))
        layer.bias.copy_(torch.from_numpy(linear.bias.copy()))
    return layer


def load_backbone(path: Path) -> tuple[Backbone, LinearHead, LinearHead]:
    """Read the bundled network out of its file: the backbone (norms and pooling folded), the genre head, the music head.

    Raises:
        ModelError: the file holds another network.
    """
    weights = _weights(path)
    backbone = Backbone(Shape(dropout=0.0)).eval()
    fold(backbone)
    mine = {
        name.removeprefix("backbone."): torch.from_numpy(w.copy())
        for name, w in weights.items()
        if name.startswith("backbone.")
    }
    try:
        backbone.load_state_dict(mine)
        heads = [_linear(weights, name) for name in ("genre", "music")]
    except (RuntimeError, KeyError) as error:
        raise ModelError(
            f"{path}: it does not hold the bundled network, so it cannot be trained further (leave --deep out)"
        ) from error
    return backbone, heads[0], heads[1]


def _weights(path: Path) -> dict[str, npt.NDArray[np.float32]]:
    """Return a file's weights by name as floats, whether they are kept as floats, halves or bytes."""
    import onnx
    from onnx import numpy_helper

    kept = {t.name: numpy_helper.to_array(t) for t in onnx.load(str(path)).graph.initializer}
    weights = {
        name.removesuffix(".half"): w.astype(np.float32)
        for name, w in kept.items()
        if w.dtype.kind == "f" and not name.endswith("_scale")
    }
    for name, w in kept.items():
        if (plain := name.removesuffix("_quantized")) != name:
            scale = kept.get(f"{plain}_scale", kept.get(f"{name}_scale"))
            assert scale is not None
            weights[plain] = (w * scale.reshape(-1, *[1] * (w.ndim - 1))).astype(np.float32)
    return weights


def _linear(weights: dict[str, Any], name: str) -> LinearHead:
    """Return a head; one that was grafted is stored the other way round."""
    if name == "genre" and "grafted.weight" in weights:
        return LinearHead(
            weights["grafted.weight"].astype("float64"), weights["grafted.bias"].astype("float64")
        )
    return LinearHead(
        weights[f"{name}.weight"].T.astype("float64"), weights[f"{name}.bias"].astype("float64")
    )
