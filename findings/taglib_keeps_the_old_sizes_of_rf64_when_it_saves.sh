#!/usr/bin/env bash
# TagLib saves tags into RF64, but leaves its ds64 sizes and its mark of a 64-bit size behind.
#
# Guess:   a tagging library that opens RF64 (EBU Tech 3306) updates the sizes in ds64 when it adds a
#          chunk, or refuses to save, as mutagen refuses to open such a file.
# Happens: TagLib shows the tags, states a length of 0 s, and saves. The root size, which must stay
#          0xFFFFFFFF, becomes that of the chunks before the audio, and ds64 keeps the size of before.
#          FFmpeg still decodes the same samples; libsndfile says that there is no data chunk.
# Here:    wave files above 4 GB, as archives have them, are RF64. The root size of such a file says
#          nothing about its audio: genretag reads ds64, and leaves a file alone whose sizes disagree.
# Versions: PyAV 16.0.1, pytaglib 3.2.0, soundfile 0.13.1, numpy 2.3.5. Date: 2026-11-28.
cd "$(dirname "$0")" && . ./isolated.sh
run_isolated "av==16.0.1 pytaglib==3.2.0 soundfile==0.13.1 numpy==2.3.5" <<'PY'
import hashlib, struct
import av, numpy as np, soundfile, taglib

with av.open("x.wav", "w", format="wav", options={"rf64": "always"}) as out:
    out.metadata["title"] = "Title"
    stream = out.add_stream("pcm_s16le", rate=44100, layout="stereo")
    noise = np.random.default_rng(0).normal(0, 3000, (1, 88200)).astype(np.int16)
    frame = av.AudioFrame.from_ndarray(noise, format="s16", layout="stereo")
    frame.sample_rate = 44100
    for packet in stream.encode(frame) + stream.encode(None):
        out.mux(packet)

def sizes() -> tuple[int, int, int]:
    """Return the root size, the one in ds64, and that of the file, less 8."""
    data = open("x.wav", "rb").read()
    assert data[:4] == b"RF64" and data[12:16] == b"ds64"
    return *struct.unpack("<I", data[4:8]), *struct.unpack("<Q", data[20:28]), len(data) - 8

def decoded() -> str:
    digest = hashlib.sha256()
    with av.open("x.wav") as file:
        for frame in file.decode(audio=0):
            digest.update(frame.to_ndarray().tobytes())
    return digest.hexdigest()[:12]

def libsndfile() -> str:
    try:
        return f"{soundfile.info('x.wav').frames} frames"
    except soundfile.LibsndfileError as error:
        return str(error)

before = sizes(), decoded(), libsndfile()
with taglib.File("x.wav") as file:
    tags, length = dict(file.tags), file.length
with taglib.File("x.wav", save_on_exit=True) as file:
    file.tags["GENRE"] = ["Blues"]
after = sizes(), decoded(), libsndfile()
print("TagLib's tags and length:", tags, length)
print("root, ds64, file; samples; libsndfile:", before, after, sep="\n  ")
assert tags["TITLE"] == ["Title"] and length == 0
assert before[0][0] == 0xFFFFFFFF and before[0][1] == before[0][2]
assert after[0][0] < 0xFFFF and after[0][1] == before[0][1] < after[0][2]
assert before[1] == after[1]
assert before[2] == "44100 frames" and "data" in after[2]
PY
