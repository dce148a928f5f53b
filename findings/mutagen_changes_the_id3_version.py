"""mutagen turns an ID3v2.3 tag into v2.4 when it changes one frame.

One would guess: changing one text frame and calling save() keeps the version of the tag.
What happens: save() writes v2.4, and converts other frames (TYER to TDRC), unless told otherwise.
    save(v2_version=3) keeps the version, but writes the date frames of v2.4 into it.
Why it matters here: old players and Windows Explorer read v2.3 only, and a tool that promises to
    change nothing but the genre must keep every other frame. genretag.tags.id3 loads the tag with
    translate=False and only TCON known.
Versions: mutagen 1.48.1. Date: 2026-11-28.
"""

from __future__ import annotations

from isolated import expect, run_isolated

SCRIPT = """
from mutagen.id3 import ID3, TCON, TIT2, TORY, TYER

old = ID3()
old.add(TIT2(encoding=1, text="Title"))
old.add(TYER(encoding=0, text="1999"))
old.add(TORY(encoding=0, text="1971"))
old.save("x.mp3", v2_version=3)

def frames(path):
    data = open(path, "rb").read()
    return data[3], sorted(n for n in (b"TIT2", b"TYER", b"TORY", b"TDRC", b"TDOR") if n in data)

print("before", *frames("x.mp3"))
tag = ID3("x.mp3")
tag.add(TCON(encoding=1, text="Jazz"))
tag.save()
print("after", *frames("x.mp3"))
"""

if __name__ == "__main__":
    done = run_isolated(["mutagen==1.48.1"], SCRIPT)
    before, after = done.stdout.splitlines()
    expect(before.startswith("before 3") and "TYER" in before, "the tag was ID3v2.3 with TYER")
    expect(after.startswith("after 4") and "TYER" not in after, "save() made it v2.4 without TYER")
