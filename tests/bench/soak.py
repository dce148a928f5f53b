"""Break genretag for a long time, and print what was found. Nothing must be lost.

python tests/bench/soak.py kills --kills 1000      # SIGKILL at random moments of apply and undo, files over 50 MB too
python tests/bench/soak.py mutations --files 6000  # mutated files of every container through a whole scan
python tests/bench/soak.py rows --rows 100000      # that many made-up tracks through the real store, batcher and plan
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np

sys.path[:0] = [str(Path(__file__).parents[1] / "faults"), str(Path(__file__).parents[1])]

from breaking import STEPS, Killer, make_library, mutated, sha

from genretag import tags
from genretag.features import FEATURE_VERSION
from genretag.plan import judge
from genretag.policy import Policy
from genretag.store import FileRow, Store
from genretag.vote import Heard


def kills(a: argparse.Namespace, folder: Path) -> int:
    """Kill apply and undo at random moments."""
    files = make_library(folder / "music", 12, big=not a.small)
    sizes = {p.name: p.stat().st_size / 1e6 for p in files}
    began = time.monotonic()
    found = Killer(files, folder / "g.db", seed=a.seed).run(a.kills)
    print(f"{len(files)} files in {len({p.suffix for p in files})} containers, the largest {max(sizes.values()):.1f} MB")
    print("| killed at or after this step | times |\n| --- | --- |")
    for step in STEPS:
        print(f"| {step} | {found.kills[step]} |")
    print(f"| all | {sum(found.kills.values())} |")
    print(f"findings: {found.lost or 'none'}; {time.monotonic() - began:.0f} s; seed {a.seed}")
    return bool(found.lost) or any(found.kills[s] == 0 for s in STEPS)


def mutations(a: argparse.Namespace, folder: Path) -> int:
    """Scan mutated files; no file may change, and every one gets a row."""
    seeds = make_library(folder / "seeds", 3, big=False)
    rng = np.random.default_rng(a.seed)
    music = folder / "music"
    music.mkdir()
    for n in range(a.files):
        seed = seeds[n % len(seeds)]
        (music / f"{n:06d}{seed.suffix}").write_bytes(mutated(seed.read_bytes(), rng))
    before = {p: sha(p) for p in music.iterdir()}
    began = time.monotonic()
    command = [sys.executable, "-m", "genretag", "scan", str(music), "--dry-run", "--json", "--db", str(folder / "g.db")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    import json

    rows = [json.loads(line) for line in done.stdout.splitlines()]
    reasons = Counter((r["status"], "crash" if "crashed" in (r["error"] or "") else "") for r in rows)
    changed = sum(sha(p) != was for p, was in before.items())
    print(
        f"{len(before)} mutated files of {len(seeds)} containers in {time.monotonic() - began:.0f} s: {len(rows)} rows, {changed} changed"
    )
    print({" ".join(filter(None, k)): n for k, n in reasons.items()}, "exit status", done.returncode)
    return changed or len(rows) != len(before) or "Traceback" in done.stderr


def rows(a: argparse.Namespace, folder: Path) -> int:
    """Store, judge and plan made-up tracks, and watch memory and the database's size."""
    from genretag.model import Model

    store, card = Store(folder / "g.db"), Model().card
    rng = np.random.default_rng(0)
    store.begin_scan(1, card.id, Policy().to_dict())
    peaks = []
    for start in range(0, a.rows, 1000):
        with store.transaction():
            plan = []
            for n in range(start, start + 1000):
                windows = int(rng.integers(4, 12))
                heard = Heard(
                    f"{n:040x}", None, windows * 30.0, 1.0, np.arange(windows, dtype=np.float32) * 30,
                    rng.normal(0, 3, (windows, len(card.labels))).astype(np.float16), np.full(windows, 5, np.float16),
                    rng.normal(size=384).astype(np.float16),
                )  # fmt: skip
                path = Path(f"/music/Artist {n // 100}/Album {n // 10}/{n:06d} Some Title.mp3")
                f = FileRow(path, 9_000_000, n, n, 1, 1, f"{n:064x}", heard.content_key, tags.Tags([], "TCON"))
                store.save_heard(heard, card.id, FEATURE_VERSION)
                store.save_file(f)
                row = judge(path, f, heard, card, Policy())
                plan.append((n, path, row.action, row.to_dict()))
            store.save_plan(1, plan)
        peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    store.finish_scan(1)
    read = sum(1 for _ in store.plan(1))
    peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    store.close()
    size = sum(os.path.getsize(p) for p in folder.glob("g.db*"))
    print(f"{read:,} rows: {size / read:,.0f} bytes a row; peak memory {peaks[10]:.0f} MB after 11,000 rows, {peaks[-1]:.0f} MB at the end")
    return read != a.rows or peaks[-1] - peaks[10] > 50


def main() -> int:
    """Command line."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("what", choices=["kills", "mutations", "rows"])
    p.add_argument("--kills", type=int, default=1000)
    p.add_argument("--small", action="store_true", help="kills: without the files of more than 50 MB")
    p.add_argument("--files", type=int, default=6000)
    p.add_argument("--rows", type=int, default=100_000)
    p.add_argument("--seed", type=int, default=0)
    a = p.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        return int({"kills": kills, "mutations": mutations, "rows": rows}[a.what](a, Path(folder)))


if __name__ == "__main__":
    sys.exit(main())
