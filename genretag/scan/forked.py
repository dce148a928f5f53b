"""What workers need, imported once by the process that they are forked from.

The collector neither looks for garbage while modules load, nor ever touches what they made: workers share those pages (Python's
``gc.freeze``), and the process ends without a last look through all of it.
"""

from __future__ import annotations

import gc

gc.disable()

import av  # noqa: E402, F401
import ducc0  # noqa: E402, F401
import soxr  # noqa: E402, F401

import genretag.scan.worker  # noqa: E402, F401

gc.freeze()
gc.enable()
