"""Networks of the baselines.

Each function takes (bands, frames) and returns a module: input [n, bands, frames] -> embedding.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn


class BaselineNetwork(nn.Module):
    """Scaling to 0..1 by the range of the training part, a body, and a linear layer."""

    def __init__(
        self, body: nn.Module, low: float, high: float, bands: int, frames: int, labels: int
    ) -> None:
        super().__init__()
        self.body, self.low, self.span = body, low, max(high - low, 1e-6)
        with torch.no_grad():
            dims = body.eval()(torch.zeros(2, bands, frames)).shape[1]
        self.head = nn.Linear(dims, labels)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return (logits [n, labels], embedding [n, dims])."""
        embedding: Tensor = self.body((x - self.low) / self.span)
        return self.head(embedding), embedding


class AddChannel(nn.Module):
    """[n, bands, frames] -> [n, 1, bands, frames]."""

    def forward(self, x: Tensor) -> Tensor:
        """Add an axis for channels."""
        return x.unsqueeze(1)


def _dense(*widths: int, dropout: float) -> list[nn.Module]:
    out: list[nn.Module] = []
    for width in widths:
        out += [nn.LazyLinear(width), nn.ReLU(), nn.Dropout(dropout)]
    return out


def _standardise(rows: int) -> nn.Module:
    """Return a layer that standardises each row of [n, rows, frames].

    Music fills only a small range around the middle of 0..1; layers without batch norm would learn
    little more than the middle.
    """
    return nn.BatchNorm1d(rows)


def _pool(height: int, width: int, rows: int, columns: int) -> nn.Module:
    """Return a max pool no larger than its input of rows x columns."""
    return nn.MaxPool2d((min(height, rows), min(width, columns)), ceil_mode=True)


def _pooled_size(n: int, times: int, by: int) -> int:
    """Return the size of an axis after pooling by ``by`` several times."""
    for _ in range(times):
        n = max(1, -(-n // by))
    return n


def ffnn(bands: int, frames: int) -> nn.Module:
    """Return the feed-forward baseline."""
    return nn.Sequential(
        _standardise(bands),
        nn.AvgPool1d(min(8, frames), ceil_mode=True),
        nn.Flatten(),
        *_dense(256, 64, dropout=0.3),
    )


def mel_cnn(bands: int, frames: int) -> nn.Module:
    """Return two convolutions (16 and 32 of 3 x 3) with pools of 2 x 4, and a dense layer of 64."""
    return nn.Sequential(
        _standardise(bands),
        AddChannel(),
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        _pool(2, 4, bands, frames),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        _pool(2, 4, bands, _pooled_size(frames, 1, 4)),
        nn.Flatten(),
        *_dense(64, dropout=0.5),
    )


class Mfcc(nn.Module):
    """Log-mel in dB -> cepstral coefficients: an orthonormal DCT-II, as librosa's ``mfcc``.

    The input is scaled to 0..1, which multiplies the coefficients by a factor and shifts the first.
    """

    def __init__(self, bands: int, coefficients: int = 13) -> None:
        super().__init__()
        k, n = torch.arange(coefficients)[:, None], torch.arange(bands)[None]
        basis = math.sqrt(2 / bands) * torch.cos(math.pi * k * (2 * n + 1) / (2 * bands))
        basis[0] /= math.sqrt(2)
        self.register_buffer("basis", basis)

    def forward(self, x: Tensor) -> Tensor:
        """Map [n, bands, frames] to [n, coefficients, frames]."""
        return torch.matmul(self.basis, x)


def mfcc_cnn(bands: int, frames: int) -> nn.Module:
    """Return three blocks (32 of 3 x 3, 3 x 3 and 2 x 2) with pooling and batch norm, dense 64."""
    blocks: list[nn.Module] = []
    channels = 1
    for size, pool in ((3, 3), (3, 3), (2, 2)):
        blocks += [
            nn.Conv2d(channels, 32, size, padding=size // 2),
            nn.ReLU(),
            nn.MaxPool2d(pool, 2, padding=pool // 2),
            nn.BatchNorm2d(32),
        ]
        channels = 32
    return nn.Sequential(
        Mfcc(bands), _standardise(13), AddChannel(), *blocks, nn.Flatten(), *_dense(64, dropout=0.3)
    )


def slices_cnn(bands: int, frames: int) -> nn.Module:
    """Return three convolutions with two max pools, and a dense layer of 64."""
    return nn.Sequential(
        _standardise(bands),
        AddChannel(),
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        _pool(4, 4, bands, frames),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        _pool(4, 4, _pooled_size(bands, 1, 4), _pooled_size(frames, 1, 4)),
        nn.Conv2d(32, 32, 3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        *_dense(64, dropout=0.3),
    )


def raw_cnn(bands: int, frames: int) -> nn.Module:
    """Return two convolutions (128 and 64 of 3) with pools and two dense layers, on samples.

    A batch norm follows each pool: without it nothing is learned through two dropouts of 0.5. The
    pools come before the ReLUs, which is equivalent and faster. The second pool is long, so that
    the dense layer does not depend on time.
    """
    return nn.Sequential(
        _standardise(bands),
        nn.Conv1d(1, 128, 3, padding=1),
        nn.MaxPool1d(8),
        nn.BatchNorm1d(128),
        nn.ReLU(),
        nn.Conv1d(128, 64, 3, padding=1),
        nn.MaxPool1d(min(64, frames // 8)),
        nn.BatchNorm1d(64),
        nn.ReLU(),
        nn.Flatten(),
        *_dense(100, 20, dropout=0.5),
    )


def _block(channels: int, width: int, pool: tuple[int, int]) -> list[nn.Module]:
    return [
        nn.Conv2d(channels, width, 3, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.MaxPool2d(pool, ceil_mode=True),
    ]


def _stack(frames: int) -> nn.Sequential:
    """Return three convolution blocks: [n, 1, bands, frames] -> [n, 64, bands / 32, frames / 8]."""
    steps = [2 if _pooled_size(frames, i, 2) > 4 else 1 for i in range(1, 4)]
    return nn.Sequential(
        *_block(1, 24, (2, steps[0])),
        *_block(24, 48, (4, steps[1])),
        *_block(48, 64, (4, steps[2])),
    )


def cnn_bn(bands: int, frames: int) -> nn.Module:
    """Return the convolution blocks, the mean over time and quarters of the bands, dense 64."""
    return nn.Sequential(
        AddChannel(),
        _stack(frames),
        nn.AdaptiveAvgPool2d((4, 1)) if bands >= 128 else nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        *_dense(64, dropout=0.3),
    )


class Recurrent(nn.Module):
    """An LSTM or GRU over frames; returns the last state, or attention over all states."""

    def __init__(
        self,
        kind: type[nn.LSTM] | type[nn.GRU],
        bands: int,
        width: int,
        *,
        bidirectional: bool = False,
        attention: bool = False,
    ) -> None:
        super().__init__()
        self.cells = kind(bands, width, batch_first=True, bidirectional=bidirectional)
        dims = width * (2 if bidirectional else 1)
        self.scores = (
            nn.Sequential(nn.Linear(dims, 32), nn.Tanh(), nn.Linear(32, 1)) if attention else None
        )
        self.dropout = nn.Dropout(0.3)

    def forward(self, x: Tensor) -> Tensor:
        """Map [n, bands, frames] to [n, dims]."""
        states, _ = self.cells(x.transpose(1, 2))
        if self.scores is None:
            return self.dropout(states[:, -1])
        weight = torch.softmax(self.scores(states), dim=1)
        return self.dropout((weight * states).sum(1))


def lstm(bands: int, frames: int) -> nn.Module:
    """Return an LSTM over frames."""
    return nn.Sequential(_standardise(bands), Recurrent(nn.LSTM, bands, 64))


def gru(bands: int, frames: int) -> nn.Module:
    """Return a GRU over frames."""
    return nn.Sequential(_standardise(bands), Recurrent(nn.GRU, bands, 64))


def lstm_attention(bands: int, frames: int) -> nn.Module:
    """Return a bidirectional LSTM with attention over its states."""
    return nn.Sequential(
        _standardise(bands), Recurrent(nn.LSTM, bands, 48, bidirectional=True, attention=True)
    )


class JoinChannels(nn.Module):
    """[n, channels, bands, frames] -> [n, channels * bands, frames]."""

    def forward(self, x: Tensor) -> Tensor:
        """Join channels and bands."""
        return x.flatten(1, 2)


def crnn(bands: int, frames: int) -> nn.Module:
    """Return the convolution blocks, and a GRU over the remaining frames."""
    return nn.Sequential(
        AddChannel(), _stack(frames), JoinChannels(), Recurrent(nn.GRU, 64 * (-(-bands // 32)), 64)
    )


class TwoPaths(nn.Module):
    """A convolutional and a recurrent path in parallel; returns both embeddings."""

    def __init__(self, bands: int, frames: int) -> None:
        super().__init__()
        self.convolutional, self.recurrent = cnn_bn(bands, frames), gru(bands, frames)

    def forward(self, x: Tensor) -> Tensor:
        """Map [n, bands, frames] to [n, dims]."""
        return torch.cat([self.convolutional(x), self.recurrent(x)], dim=1)


def cnn_rnn(bands: int, frames: int) -> nn.Module:
    """Return a convolutional and a recurrent path in parallel."""
    return TwoPaths(bands, frames)


# --- MobileNetV2 --------------------------------------------------------------------------------


class _ConvNorm(nn.Sequential):
    def __init__(
        self, channels: int, width: int, kernel: int = 3, stride: int = 1, groups: int = 1
    ) -> None:
        super().__init__(
            nn.Conv2d(
                channels, width, kernel, stride, (kernel - 1) // 2, groups=groups, bias=False
            ),
            nn.BatchNorm2d(width),
            nn.ReLU6(),
        )


class _Inverted(nn.Module):
    """An inverted residual with a linear bottleneck."""

    def __init__(self, channels: int, width: int, stride: int, expand: int) -> None:
        super().__init__()
        hidden, self.same = channels * expand, stride == 1 and channels == width
        layers: list[nn.Module] = [_ConvNorm(channels, hidden, 1)] if expand != 1 else []
        layers += [
            _ConvNorm(hidden, hidden, 3, stride, hidden),
            nn.Conv2d(hidden, width, 1, bias=False),
            nn.BatchNorm2d(width),
        ]
        self.conv = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the block."""
        return x + self.conv(x) if self.same else self.conv(x)


class MobileNet(nn.Module):
    """MobileNetV2 (Sandler et al. 2018) on a log-mel as an image, with torchvision's names."""

    #: Expansion, width, blocks, stride of the first.
    PLAN = (
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    )

    def __init__(self) -> None:
        super().__init__()
        blocks: list[nn.Module] = [_ConvNorm(3, 32, 3, 2)]
        channels = 32
        for expand, width, count, stride in self.PLAN:
            for i in range(count):
                blocks.append(_Inverted(channels, width, stride if i == 0 else 1, expand))
                channels = width
        blocks.append(_ConvNorm(channels, 1280, 1))
        self.features = nn.Sequential(*blocks)
        self.dropout = nn.Dropout(0.2)
        self.to(memory_format=torch.channels_last)  # a third less time on a CPU

    def forward(self, x: Tensor) -> Tensor:
        """Map [n, bands, frames] to [n, 1280]."""
        image = nn.functional.interpolate(
            x.unsqueeze(1), size=(224, 224), mode="bilinear", align_corners=False
        )
        return self.dropout(self.features(image.repeat(1, 3, 1, 1)).mean(dim=(2, 3)))


def mobilenet(bands: int, frames: int) -> nn.Module:
    """Return MobileNetV2 with random weights."""
    return MobileNet()


def body_builder(build: str) -> Callable[[int, int], nn.Module]:
    """Return the function that builds a system's body."""
    found: Callable[[int, int], nn.Module] = globals()[build]
    return found


class Ensemble(nn.Module):
    """Trained networks with the same input: weighted probabilities, or one vote each."""

    def __init__(
        self, members: list[BaselineNetwork], weights: list[float], *, majority: bool = False
    ) -> None:
        super().__init__()
        self.members, self.majority = nn.ModuleList(members), majority
        self.register_buffer("weights", torch.tensor(weights))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return (log-probabilities [n, labels], concatenated embeddings of the members)."""
        outputs = [member(x) for member in self.members]
        each = torch.stack([torch.softmax(logits, dim=1) for logits, _ in outputs])
        if self.majority:  # a vote for the winner, and its probability to break ties
            best = each.max(dim=2, keepdim=True).values
            each = (each >= best).float() + 1e-3 * each
        p = (self.weights[:, None, None] * each).sum(0)
        return torch.log(p / p.sum(1, keepdim=True) + 1e-9), torch.cat(
            [e for _, e in outputs], dim=1
        )
