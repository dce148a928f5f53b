"""MusiCNN (Pons and Serra 2019), trained on the Million Song Dataset: the second teacher, in PyTorch.

Its weights come with the package ``musicnn`` of PyPI (ISC licence), whose own code wants a TensorFlow of its time; here any reads them:

    pip install tensorflow-cpu
    pip install --no-deps musicnn

Only the recipe of the bundled model needs it; what it says is kept by ``models.recipe.tutor``.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from genretag.features import MUSICNN, Mel

PATCH = 187  # frames of 16 ms that it hears at once
POOL, PENULTIMATE, TAGS = 1506, 200, 50
ANSWER = POOL + PENULTIMATE + TAGS  # numbers

#: The tags, in the order of their logits (Last.fm's fifty most frequent ones in the Million Song Dataset).
TAG_NAMES = (
    "rock", "pop", "alternative", "indie", "electronic", "female vocalists", "dance", "00s", "alternative rock", "jazz", "beautiful",
    "metal", "chillout", "male vocalists", "classic rock", "soul", "indie rock", "Mellow", "electronica", "80s", "folk", "90s", "chill",
    "instrumental", "punk", "oldies", "blues", "hard rock", "ambient", "acoustic", "experimental", "female vocalist", "guitar", "Hip-Hop",
    "70s", "party", "country", "easy listening", "sexy", "catchy", "funk", "electro", "heavy metal", "Progressive rock", "60s", "rnb",
    "indie pop", "sad", "House", "happy",
)  # fmt: skip

_FRONT_END = replace(MUSICNN, window="hann")
SECONDS_A_FRAME = _FRONT_END.hop_length / _FRONT_END.sample_rate

_BANDS = _FRONT_END.n_mels
_TIMBRAL = ((0, 38), (1, 67))  # number of the convolution, bands that it spans
_TEMPORAL = ((2, 128), (3, 64), (4, 32))  # and frames
_EPSILON = 1e-3  # TensorFlow's batch norm


def weights() -> dict[str, Tensor]:
    """Read the weights of the installed package.

    Raises:
        ModuleNotFoundError: the package, or TensorFlow, is not installed.
    """
    spec = importlib.util.find_spec("musicnn")
    if spec is None or spec.submodule_search_locations is None:
        raise ModuleNotFoundError("the second teacher is not installed: pip install --no-deps musicnn")
    import tensorflow

    reader = tensorflow.compat.v1.train.NewCheckpointReader(f"{Path(spec.submodule_search_locations[0]) / 'MSD_musicnn'}/")
    return {name: torch.from_numpy(reader.get_tensor(name)) for name in reader.get_variable_to_shape_map() if "Adam" not in name}


class LogMelOfMusicnn:
    """Its input, as its own code makes it: Essentia's but for the window (periodic, as librosa's)."""

    def __init__(self) -> None:
        self._mel = Mel.of(_FRONT_END)

    def __call__(self, samples: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return [frames, bands] of samples brought to RMS 0.1."""
        level = float(np.sqrt(np.mean(samples * samples)))
        return self._mel(samples * np.float32(0.1 / max(level, 1e-5))).T


class Musicnn:
    """The network. Its wide convolutions run in bfloat16, which changes its answers by less than 1 % of their range."""

    def __init__(self, values: dict[str, Tensor]) -> None:
        self._v = values

    def _norm(self, number: int, x: Tensor) -> Tensor:
        """Batch norm over dimension 1."""
        name = f"batch_normalization_{number}" if number else "batch_normalization"
        scale = self._v[f"{name}/gamma"] / torch.sqrt(self._v[f"{name}/moving_variance"] + _EPSILON)
        shift = self._v[f"{name}/beta"] - self._v[f"{name}/moving_mean"] * scale
        shape = [1, -1] + [1] * (x.dim() - 2)
        return x * scale.reshape(shape) + shift.reshape(shape)

    def _kernel(self, number: int) -> Tensor:
        return self._v[f"conv2d_{number}/kernel" if number else "conv2d/kernel"]

    def _bias(self, number: int) -> Tensor:
        return self._v[f"conv2d_{number}/bias" if number else "conv2d/bias"]

    def _best(self, number: int, inputs: Iterable[Tensor]) -> Tensor:
        """Convolve each place's input [n, width, 1, frames] and return the highest normed ReLU over the places [n, channels, frames'].

        The norm keeps the order or turns it round, a channel as a whole: so only one place a frame is normed.
        """
        kernel = self._kernel(number)[:, :, 0] if number < _TEMPORAL[0][0] else self._kernel(number)[:, 0]  # frames, width, channels
        kernel = kernel.permute(2, 1, 0)[:, :, None].bfloat16().contiguous(memory_format=torch.channels_last)
        high = low = None
        for x in inputs:
            y = nn.functional.conv2d(x, kernel)
            high, low = (y, y) if high is None or low is None else (torch.maximum(high, y), torch.minimum(low, y))
        assert high is not None and low is not None
        keeps = self._v[f"batch_normalization_{number + 1}/gamma"][:, None] > 0
        best = torch.where(keeps, high[:, :, 0].float(), low[:, :, 0].float())
        return self._norm(number + 1, torch.relu(best + self._bias(number)[:, None]))

    def _timbral(self, number: int, bands: int, x: Tensor) -> Tensor:
        """A convolution over some bands and 7 frames; the best place of all bands."""
        padded = nn.functional.pad(x, (0, 0, 3, 3)).bfloat16().transpose(1, 2)[:, :, None]
        return self._best(number, (padded[:, at : at + bands] for at in range(_BANDS - bands + 1)))

    def _temporal(self, number: int, length: int, x: Tensor) -> Tensor:
        """A convolution over frames, for each band; the best band."""
        before = (length - 1) // 2
        padded = nn.functional.pad(x, (0, 0, before, length - 1 - before)).bfloat16().transpose(1, 2)[:, :, None]
        return self._best(number, (padded[:, band : band + 1] for band in range(_BANDS)))

    def _middle(self, number: int, x: Tensor) -> Tensor:
        """A convolution over 7 frames of all channels."""
        kernel = self._kernel(number)[:, :, 0].permute(2, 1, 0).contiguous()
        return self._norm(number + 1, torch.relu(nn.functional.conv1d(nn.functional.pad(x, (3, 3)), kernel, self._bias(number))))

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def __call__(self, log_mel: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return [n, ANSWER] for log-mels [n, frames, bands]: the pooled features, the penultimate layer, the tags' logits."""
        x = self._norm(0, torch.from_numpy(log_mel)[:, None])[:, 0]
        front = torch.cat([*(self._timbral(i, k, x) for i, k in _TIMBRAL), *(self._temporal(i, k, x) for i, k in _TEMPORAL)], 1)
        first = self._middle(5, front)
        second = self._middle(6, first) + first
        third = self._middle(7, second) + second
        features = torch.cat([front, first, second, third], 1)
        pool = torch.stack([features.amax(2), features.mean(2)], 2).flatten(1)
        hidden = torch.relu(self._norm(9, pool) @ self._v["dense/kernel"] + self._v["dense/bias"])
        hidden = self._norm(10, hidden)
        tags = hidden @ self._v["dense_1/kernel"] + self._v["dense_1/bias"]
        return torch.cat([pool, hidden, tags], 1).numpy()
