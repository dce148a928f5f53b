"""The bundled model, from the corpus to the file, with one command and fixed seeds.

    python -m models.recipe.recipe DATA WORK OUT.onnx

It decodes the corpus; asks the second teacher; makes and judges five models, each without one grouped fold, for the figures and the
calibration and the styles; then the backbone of the file goes on from one of these, before it met the second teacher, with everything; the
heads are fitted on everything, and the model is written. Each step that is done is not done again: it can be stopped
and called anew. On two cores it takes about five hours. What the second teacher needs, ``models.recipe.musicnn`` tells.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

from models.recipe import styles, tutor
from models.recipe.folds import FIRST, Stage, examined, through
from models.recipe.listen import listen
from genretag.features import FrontEnd

BEGUN_FOLD = 2  # the fold whose first stage the file's backbone goes on from
WHOLE = (Stage(".mid", 7_000, 2e-3, 2), Stage("", 3_500, 2e-3, 3))  # as many steps as a fold's, the longer stage first


def make(data: Path, work: Path, out: Path) -> None:
    """Run every step that is not done."""
    if not (work / "off.npy").exists():
        listen(data, work, FrontEnd().sample_rate)
    tutor.ask(data, work, 0, 1)
    found = examined(data, work)
    print(json.dumps(found, indent=1))
    styles.keep(data, work)
    begun = through([FIRST], data, work, f"fold{BEGUN_FOLD}", BEGUN_FOLD)
    whole = through(WHOLE, data, work, "whole", None, begun)
    bundle = [sys.executable, "-m", "models.recipe.bundle", str(data), str(work), str(whole), str(out)]
    calibration = [part for name, value in found["calibration of all"].items() for part in (f"--{name}", str(value))]
    subprocess.run([*bundle, *calibration, "--styles", str(work / "styles.json")], check=True)


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
