"""A sketch of the training tracks in a model's metadata, to recognise them later."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

from genretag.inference.metadata import ModelMetadata

_KEY = "training tracks"
_DIGITS = 8  # hex digits of a hash: a false match in 1 of 400 pairs of collections of 10,000
_MIN_SHARE = 0.01  # a smaller overlap may be a false match
_MAX_HASHES = 1000  # 8 kB; the smallest ones, which are a random sample (Broder 1997)


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()[:_DIGITS]


def sketch_of(keys: Iterable[str]) -> dict[str, Any]:
    """Return the sketch of tracks, by content key, as an entry of ``ModelMetadata.about``."""
    return {_KEY: {"sketch": "".join(sorted(set(map(_hash, keys)))[:_MAX_HASHES])}}


def training_overlap(metadata: ModelMetadata, keys: Iterable[str]) -> float:
    """Return the estimated share of tracks that a model was trained on; 0 if it does not say."""
    entry = metadata.about.get(_KEY)
    text = entry.get("sketch", "") if isinstance(entry, dict) else ""
    known = [text[i : i + _DIGITS] for i in range(0, len(text), _DIGITS)]
    given = set(map(_hash, keys))
    if len(known) >= _MAX_HASHES:  # larger hashes were dropped
        given = {h for h in given if h <= known[-1]}
    share = len(given & set(known)) / len(given) if given else 0.0
    return share if share >= _MIN_SHARE else 0.0
