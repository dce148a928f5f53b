"""Decode a corpus once, with the scan's own decoder, into one memory-mapped array of samples.

python -m models.recipe.listen DATA CACHE
"""

from __future__ import annotations

import argparse
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from genretag import audio
from models.recipe.corpus import path_of, read_clips
from genretag.features import FrontEnd


def samples_of(path: Path, rate: int) -> npt.NDArray[np.int16]:
    """Return a whole clip, mono at ``rate`` Hz, in 16 bits."""
    x = np.concatenate(list(audio.decode(path, rate, audio.DecodeLog())))
    return np.clip(np.round(x * 32767), -32768, 32767).astype(np.int16)


def listen(data: Path, cache: Path, rate: int) -> None:
    """Write ``audio.npy`` (int16 samples of all clips, one after another) and ``off.npy`` (where each begins)."""
    cache.mkdir(parents=True, exist_ok=True)
    clips = read_clips(data)
    files = [path_of(data, clip) for clip in clips]
    with ProcessPoolExecutor() as pool:
        decoded = list(tqdm(pool.map(partial(samples_of, rate=rate), files, chunksize=8), total=len(files)))
    np.save(cache / "audio.npy", np.concatenate(decoded))
    np.save(cache / "off.npy", np.cumsum([0, *map(len, decoded)]))


def main() -> None:
    """Command line."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("data", type=Path)
    p.add_argument("cache", type=Path)
    a = p.parse_args()
    listen(a.data, a.cache, FrontEnd().sample_rate)


if __name__ == "__main__":
    main()
