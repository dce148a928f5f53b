"""soundfile ends the Python process when it encodes a long Ogg Vorbis file in one call.

One would guess: write() of five minutes works, or raises an exception.
What happens: libsndfile passes all samples to libvorbis at once, which allocates them on the
    stack: the process dies of SIGSEGV.
Why it matters here: code in C does not raise, so that decoders and encoders run in processes of
    their own (genretag/scan/pool.py), and synthesised music is encoded with PyAV.
Versions: soundfile 0.13.1 (libsndfile 1.2.2), numpy 2.2.6, Linux. Date: 2026-11-28.
"""

from __future__ import annotations

from isolated import expect, run_isolated

SCRIPT = """
import numpy as np
import soundfile

print(soundfile.__libsndfile_version__, flush=True)
samples = np.random.default_rng(0).normal(0, 0.1, (44_100 * 300, 2)).astype(np.float32)
soundfile.write("long.ogg", samples, 44_100, format="OGG", subtype="VORBIS")
print("written")
"""

if __name__ == "__main__":
    done = run_isolated(["soundfile==0.13.1", "numpy==2.2.6"], SCRIPT)
    expect(done.returncode == -11, "the process dies of SIGSEGV")
