"""Learning-rate schedule."""

from __future__ import annotations

import math

MIN_SHARE = 0.01  # of the peak, at the end


def warmup_cosine(step: int, steps: int, warmup: int, peak: float) -> float:
    """Return the learning rate of a step: linear warm-up to ``peak``, then half a cosine.

    Source: Loshchilov and Hutter (2017), without restarts.
    """
    if step < warmup:
        return peak * (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    return peak * (MIN_SHARE + (1 - MIN_SHARE) * 0.5 * (1 + math.cos(math.pi * progress)))
