#!/usr/bin/env bash
# TagLib takes a Matroska file with FLAC audio for a FLAC file, and writes into the middle of it.
#
# Guess:   a TagLib without Matroska support refuses an .mka file, or one with support shows its tags.
# Happens: it finds "fLaC" in the track's codec data, shows no tags, and says that all is well; saving
#          a genre inserts a FLAC comment block there. The element's size is not corrected, so that
#          everything after it has moved.
# Here:    a file's container must be found by its first bytes and be accounted for to its end;
#          reading a tag back with the library that wrote it proves nothing (it shows the genre).
# Versions: pytaglib 3.2.0 with its own TagLib, PyAV 16.0.1 as the muxer. Date: 2026-11-28.
cd "$(dirname "$0")" && . ./isolated.sh
run_isolated "pytaglib==3.2.0 av==16.0.1 numpy==2.3.5" <<'PY'
import av, numpy as np, taglib

def make(name: str) -> None:
    """Write two seconds of noise as FLAC in Matroska, with tags."""
    with av.open(name, "w", format="matroska") as out:
        out.metadata.update({"title": "Title", "genre": "Jazz"})
        stream = out.add_stream("flac", rate=48000, layout="stereo")
        noise = np.random.default_rng(0).normal(0, 3000, (20, 1, 9600)).astype(np.int16)
        for i, part in enumerate(noise):
            frame = av.AudioFrame.from_ndarray(part, format="s16", layout="stereo")
            frame.sample_rate, frame.pts = 48000, 4800 * i
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))

make("x.mka")
before = open("x.mka", "rb").read()
with av.open("x.mka") as file:
    shown = {k.upper(): v for k, v in file.metadata.items()}
print("FFmpeg reads", shown)
with taglib.File("x.mka") as file:
    read = dict(file.tags)
print("TagLib reads", read)
with taglib.File("x.mka", save_on_exit=True) as file:
    file.tags["GENRE"] = ["Blues"]
after = open("x.mka", "rb").read()
start = next(i for i, (a, b) in enumerate(zip(before, after)) if a != b)
grown = len(after) - len(before)
print(f"TagLib's save: {grown} bytes more, from offset {start}; 'fLaC' is at {before.find(b'fLaC')}")
with taglib.File("x.mka") as file:
    again = dict(file.tags)
print("TagLib reads", again)
cluster = bytes.fromhex("1F43B675")
print("the first Cluster is at", before.find(cluster), "->", after.find(cluster))
assert shown["GENRE"] == "Jazz" and read == {}
assert again == {"GENRE": ["Blues"]} and grown > 0 and start < before.find(cluster)
PY
