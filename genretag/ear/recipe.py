"""The bundled model, from the corpus to the file, with one command and fixed seeds.

    python -m genretag.ear.recipe DATA WORK OUT.onnx

It decodes the corpus, distils a backbone without the first grouped fold, fits heads without it and judges
them on it; then it goes on from that backbone with everything, fits the heads on everything, and
writes the model. Each step that is done is not done again: it can be stopped and called anew.
On two cores it takes about an hour and a half.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

from genretag.ear.distill import Plan, distil
from genretag.ear.listen import listen
from genretag.features import FrontEnd

HONEST_STEPS, WHOLE_STEPS = 20_000, 12_000
HONEST_PEAK, WHOLE_PEAK = 3e-3, 1.5e-3  # highest learning rates


def make(data: Path, work: Path, out: Path) -> None:
    """Run every step that is not done."""
    if not (work / "off.npy").exists():
        listen(data, work, FrontEnd().sample_rate)
    honest, whole = work / "honest.pt", work / "whole.pt"
    distil(Plan(data, work, honest, HONEST_STEPS, hold_out=0, peak=HONEST_PEAK))
    bundle = [sys.executable, "-m", "genretag.ear.bundle", str(data), str(work)]
    judged = subprocess.run(
        [*bundle, str(honest), str(work / "honest.onnx"), "--hold-out", "0"], check=True, capture_output=True, text=True
    )
    print(judged.stdout)
    temperature = json.loads(judged.stdout)["temperature"]
    distil(Plan(data, work, whole, WHOLE_STEPS, hold_out=None, seed=2, peak=WHOLE_PEAK, begin=honest))
    subprocess.run([*bundle, str(whole), str(out), "--temperature", str(temperature)], check=True)


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
