#!/usr/bin/env bash
# FFmpeg seeks in WavPack by reading every byte up to the place, though each block names its sample.
#
# Guess:   a seek to nine tenths of a WavPack file reads about as little as in FLAC: every block
#          starts with "wvpk", its size, its first sample and the number of all samples, so that the
#          place can be found by interpolation or bisection.
# Happens: the demuxer has no way to find a place but its index of blocks that it has read, so it
#          reads nearly all bytes before the place; FLAC's reads a few per cent. A second seek back
#          costs nothing, because by then the index exists.
# Here:    pieces of a track by seeking cost reading nine tenths of the file on a network drive.
#          genretag finds the block by itself, between headers.
# Versions: PyAV 16.0.1 (FFmpeg 8.0). Date: 2026-11-28.
cd "$(dirname "$0")" && . ./isolated.sh
run_isolated "av==16.0.1 numpy==2.3.5" <<'PY'
import io, os
import av, numpy as np

RATE, SECONDS = 44_100, 120

class Counting(io.FileIO):
    count = 0
    def read(self, size=-1):
        data = super().read(size)
        self.count += len(data)
        return data

def encode(name, codec):
    rng = np.random.default_rng(0)
    with av.open(name, "w") as out:
        stream = out.add_stream(codec, rate=RATE, layout="mono", format="s16p" if codec == "wavpack" else "s16")
        for _ in range(SECONDS):
            samples = rng.normal(0, 3000, (1, RATE)).astype(np.int16)
            form = "s16p" if codec == "wavpack" else "s16"
            frame = av.AudioFrame.from_ndarray(samples, format=form, layout="mono")
            frame.sample_rate = RATE
            for packet in stream.encode(frame):
                out.mux(packet)
        for packet in stream.encode(None):
            out.mux(packet)

def share_read(name):
    file = Counting(name)
    with av.open(file, buffer_size=8192) as container:
        stream, shares = container.streams.audio[0], []
        for place in (0.9, 0.5):
            before = file.count
            container.seek(int(place * SECONDS / stream.time_base), stream=stream)
            frame = next(container.decode(stream))
            assert abs(frame.time - place * SECONDS) < 2, frame.time
            shares.append((file.count - before) / os.path.getsize(name))
    return shares

print("FFmpeg:", av.ffmpeg_version_info)
found = {}
for name, codec in (("x.wv", "wavpack"), ("x.flac", "flac")):
    encode(name, codec)
    found[name] = share_read(name)
    first, second = found[name]
    print(f"{name}: {first:.0%} of its bytes for a seek to nine tenths, then {second:.0%} back to half")
assert found["x.wv"][0] > 0.8 and found["x.wv"][1] < 0.05
assert found["x.flac"][0] < 0.2
PY
