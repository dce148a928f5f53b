#!/usr/bin/env bash
# PyAV cannot give the planes of a planar audio frame with eight channels.
#
# Guess:   frame.planes has one plane for each channel of a planar frame, whatever their number.
# Happens: a frame has eight pointers (AV_NUM_DATA_POINTERS) and no zero behind them, where PyAV stops
#          to count. With six channels all is well. With eight (7.1 in AAC, Opus, Vorbis, WavPack), PyAV
#          18 lists nine planes, the last one of no use, and PyAV 19 raises ValueError.
# Here:    7.1 tracks could not be analysed. Each plane is made by its number (AudioPlane), up to the
#          number of channels.
# Versions: PyAV 19.0.2 (18.1.0: nine planes). Date: 2026-11-28.
cd "$(dirname "$0")" && . ./isolated.sh
run_isolated "av==19.0.2 numpy==2.3.5" <<'PY'
import av, numpy as np
from av.audio.plane import AudioPlane

def planes(layout: str, channels: int) -> str:
    packed = np.zeros((1, channels * 1024), np.float32)
    frame = av.AudioFrame.from_ndarray(packed, format="flt", layout=layout)
    frame.sample_rate = 48000
    (planar,) = av.AudioResampler("fltp", layout, 48000).resample(frame)
    by_number = [AudioPlane(planar, n) for n in range(channels)]
    assert len(by_number) == planar.layout.nb_channels == channels
    try:
        return f"{len(planar.planes)} planes"
    except ValueError as error:
        return f"ValueError: {error}"

six, eight = planes("5.1", 6), planes("7.1", 8)
print("6 channels:", six)
print("8 channels:", eight)
assert six == "6 planes" and eight != "8 planes"
PY
