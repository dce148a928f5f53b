"""The bundled model, from the corpus to the file, with one command and fixed seeds.

    python -m genretag.ear.recipe DATA WORK OUT.onnx

It decodes the corpus; makes and judges five shorter models, each without one grouped fold, for the figures and the
temperature; then it distils the backbone of the file itself, first without the first fold and from there with everything,
fits the heads on everything, and writes the model. Each step that is done is not done again: it can be stopped
and called anew. On two cores it takes about three hours.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

from genretag.ear.distill import Plan, distil
from genretag.ear.folds import examined
from genretag.ear.listen import listen
from genretag.features import FrontEnd

FIRST_STEPS, WHOLE_STEPS = 20_000, 12_000
FIRST_PEAK, WHOLE_PEAK = 3e-3, 1.5e-3  # highest learning rates


def make(data: Path, work: Path, out: Path) -> None:
    """Run every step that is not done."""
    if not (work / "off.npy").exists():
        listen(data, work, FrontEnd().sample_rate)
    found = examined(data, work)
    print(json.dumps(found, indent=1))
    begun, whole = work / "begun.pt", work / "whole.pt"
    distil(Plan(data, work, begun, FIRST_STEPS, hold_out=0, peak=FIRST_PEAK))
    distil(Plan(data, work, whole, WHOLE_STEPS, hold_out=None, seed=2, peak=WHOLE_PEAK, begin=begun))
    bundle = [sys.executable, "-m", "genretag.ear.bundle", str(data), str(work), str(whole), str(out)]
    subprocess.run([*bundle, "--temperature", str(found["temperature of all"])], check=True)


def main() -> None:
    """Command line."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("data", type=Path)
    p.add_argument("work", type=Path)
    p.add_argument("out", type=Path)
    a = p.parse_args()
    a.work.mkdir(parents=True, exist_ok=True)
    make(a.data, a.work, a.out)


if __name__ == "__main__":
    main()
