#!/usr/bin/env bash
# FFmpeg tags True Audio with APEv2, which TagLib and mutagen do not read in this container.
#
# Guess:   tags that FFmpeg writes into a TTA file are shown by TagLib and mutagen, and a genre that
#          these write afterwards is shown by FFmpeg.
# Happens: FFmpeg's muxer appends APEv2; TagLib and mutagen know ID3 alone there and show nothing.
#          Once one of them has written an ID3v2 genre, each program shows a genre of its own: FFmpeg
#          keeps showing the one in APEv2.
# Here:    "no genre in the tag that one library reads" does not mean that the file has none, and a new
#          tag in front would leave two genres. The genre is changed in the tag that has one.
# Versions: PyAV 16.0.1, pytaglib 3.2.0, mutagen 1.48.1. Date: 2026-11-28.
cd "$(dirname "$0")" && . ./isolated.sh
run_isolated "av==16.0.1 pytaglib==3.2.0 mutagen==1.48.1 numpy==2.3.5" <<'PY'
import av, mutagen, numpy as np, taglib

with av.open("x.tta", "w") as out:
    out.metadata.update({"title": "Title", "genre": "Jazz"})
    stream = out.add_stream("tta", rate=48000, layout="stereo")
    noise = np.random.default_rng(0).normal(0, 3000, (1, 192000)).astype(np.int16)
    frame = av.AudioFrame.from_ndarray(noise, format="s16", layout="stereo")
    frame.sample_rate = 48000
    for packet in stream.encode(frame) + stream.encode(None):
        out.mux(packet)

def ffmpeg() -> dict[str, str]:
    with av.open("x.tta") as file:
        return dict(file.metadata)

def libraries() -> tuple[object, object]:
    with taglib.File("x.tta") as file:
        return dict(file.tags), mutagen.File("x.tta").tags

print("APEv2 in the file:", b"APETAGEX" in open("x.tta", "rb").read())
before = ffmpeg(), *libraries()
print("FFmpeg, TagLib, mutagen:", *before, sep="\n  ")
with taglib.File("x.tta", save_on_exit=True) as file:
    file.tags["GENRE"] = ["Blues"]
after = ffmpeg(), *libraries()
print("after TagLib wrote Blues:", *after, sep="\n  ")
assert before[0]["genre"] == "Jazz" and before[1] == {} and before[2] is None
assert after[0]["genre"] == "Jazz" and after[1] == {"GENRE": ["Blues"]}
assert after[2]["TCON"].text == ["Blues"]
PY
