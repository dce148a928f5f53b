"""Measure which readers show the genre that genretag writes, and print the page of containers.

python tests/layout/matrix.py > genretag/docs/containers.md
"""

from __future__ import annotations

import importlib.metadata
import subprocess
import tempfile
from pathlib import Path

import builders_chunks as chunks
from builders_id3 import id3v2_texts
from readers import READERS, field_text, show

from genretag import tags
from genretag.audio import synthesis
from genretag.layout.fields import FIELDS
from genretag.tags.id3_splice import frame_name

PAGE = Path(__file__).parents[2] / "genretag" / "docs" / "containers.md"
SECONDS = 2
TEXTS = {"title": "Title", "artist": "Artist", "album": "Album"}

#: Extension -> name of the container, and the encoder where it is none of the demo's.
NAMES = {
    ".mp3": "MP3",
    ".aac": "AAC (ADTS)",
    ".tta": "TTA with APEv2",
    ".wv": "WavPack",
    ".mpc": "Musepack",
    ".flac": "FLAC",
    ".ogg": "Ogg Vorbis",
    ".opus": "Ogg Opus",
    ".oga": "Ogg FLAC",
    ".m4a": "MP4 (AAC)",
    ".alac": "MP4 (ALAC)",
    ".wma": "ASF (WMA)",
    ".wav": "WAV with LIST INFO",
    ".aiff": "AIFF",
    ".dsf": "DSF",
    ".dff": "DSDIFF",
}
_DISTRIBUTIONS = {
    "FFmpeg (PyAV)": "av",
    "TagLib": "pytaglib",
    "tinytag": "tinytag",
    "mediafile": "mediafile",
    "mutagen": "mutagen",
}
_ENCODERS = {
    ".aac": ["ffmpeg", "-v", "error", "-y", "-i", "{wav}", "-c:a", "aac", "-f", "adts", "{out}"],
    ".mpc": ["mpcenc", "--silent", "--overwrite", "{wav}", "{out}"],
}


def version_of(reader: str) -> str:
    """Return the version of an installed reader."""
    if reader in _DISTRIBUTIONS:
        return f"{_DISTRIBUTIONS[reader]} {importlib.metadata.version(_DISTRIBUTIONS[reader])}"
    first = subprocess.run(["ffprobe", "-version"], capture_output=True, text=True, check=True)
    return first.stdout.split()[2].partition("-")[0]


def make(extension: str, folder: Path) -> Path | None:
    """Make a file with title and artist, and no genre; None if no encoder is here."""
    path = folder / f"x{extension}"
    if extension == ".dsf":
        path.write_bytes(chunks.dsf(chunks.sound(0.3), id3v2_texts(b"")))
    elif extension == ".dff":
        tag = chunks.chunk(chunks.DFF, b"ID3 ", id3v2_texts(b""))
        path.write_bytes(chunks.build(chunks.DFF, chunks.sound(0.3), tag))
    elif extension in _ENCODERS:
        wav = make(".wav", folder)
        command = [part.format(wav=wav, out=path) for part in _ENCODERS[extension]]
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            return None
    else:
        synthesis.encode(path, synthesis.piece(7, SECONDS), 44_100, tags=TEXTS)
    return path


def measure(extension: str, folder: Path) -> tuple[str, dict[str, str]] | None:
    """Return the field that is written, and by reader whether it shows the new genre."""
    if (path := make(extension, folder)) is None:
        return None
    field = tags.read(path).field or ""
    before = {reader: show(reader, path) for reader in READERS}
    tags.write(path, ["Jazz"])
    cells = dict[str, str]()
    for reader in READERS:
        after, old = show(reader, path), before[reader]
        texts = (old.title, old.artist, old.album) == (after.title, after.artist, after.album)
        cells[reader] = ("yes" if after.genre == "Jazz" else "no") if texts else "LOST"
    return field, cells


#: Fields of the second table.
FIELDS_SHOWN = ("mood", "style", "grouping")


def measure_fields(extension: str, folder: Path) -> dict[str, str] | None:
    """Return by reader which of the other fields it shows: their names, or "no"."""
    if (path := make(extension, folder)) is None:
        return None
    read = tags.read(path)
    if read.fields is None or read.fields.problems:
        return dict.fromkeys(READERS, "no place")
    for field in FIELDS_SHOWN:
        tags.write(path, ["Calm"], field=field)
    cells = dict[str, str]()
    for reader in READERS:
        shown = [f for f in FIELDS_SHOWN if field_text(reader, path, f) == "Calm"]
        cells[reader] = "all" if len(shown) == len(FIELDS_SHOWN) else ", ".join(shown) or "no"
    return cells


def names_table() -> list[str]:
    """Return the lines of the table of names."""
    lines = ["| field | ID3v2.3 | ID3v2.4 | Vorbis comments | APEv2 | MP4 | ASF |"]
    lines.append("| --- " * 7 + "|")
    for field, names in FIELDS.items():
        frames = [_frame(field, version) for version in (3, 4)]
        freeform = f"----:com.apple.iTunes:{names.freeform.decode()}"
        atom = names.atoms[0].decode("latin-1") if names.atoms else freeform
        texts = (*frames, names.comment.decode(), names.item.decode(), atom, names.attributes[0])
        lines.append(f"| {field} | " + " | ".join(f"`{text}`" for text in texts) + " |")
    return lines


def _frame(field: str, version: int) -> str:
    name = frame_name(field, version).decode()
    return f"TXXX:{FIELDS[field].description}" if name == "TXXX" else name


_HEAD = """# Containers: where the genre goes, and what other programs read

`genretag` decides by a file's content, not by its name, which container it is. Nothing but the
genre changes: every other byte is compared by code that shares nothing with the library that
writes tags. A file that cannot be explained completely is left alone, and the plan says so.

"""

_RULES = """
A "no" means that the program does not read these tags in this container, or cannot open it. The
tests try every pair of program and layout of tags, before and after a write: title, artist and
album stay as each program showed them, and it shows the new genre if it can show one there at all.

## Where a file has several tags

- The genre goes into the tag that programs prefer, and is renewed in every other tag that has one.
- MP3, AAC and TTA: ID3v2, then APEv2, then ID3v1. WavPack, Musepack, Monkey's Audio, TAK and
  OptimFROG: APEv2, then ID3v1.
- ID3v1 alone: its number, if the genre has one. Else a new tag that repeats title, artist, album,
  year, comment and track, so that nothing disappears from programs that prefer the new tag.
- An ID3v2 tag with nothing but a picture beside ID3v1 gets the texts of ID3v1 together with the
  genre; so does an APEv2 tag with nothing but pictures.
- FLAC: the first block of Vorbis comments; an ID3 tag around it is renewed if it has a genre.
- WAV: every ID3 chunk with frames, and LIST INFO where there is one. A new ID3 chunk is made only
  where INFO tells nothing but a program's name. INFO holds one text: `Jazz; Blues`.
- WMA: one `WM/Genre` for each genre. The first of several is repeated at the end, since FFmpeg
  shows the last attribute of a name, and TagLib, mutagen and tinytag the first.
- QuickTime films with a genre among their own texts: that text alone, since FFmpeg shows it joined
  with the genre of an iTunes list. Several genres are one text there: `Jazz; Blues`.
- An ID3v2.2 tag is written as v2.3 only with `--convert-v22`.

## Left alone

A tag with a checksum over all frames, frames or items that do not lead to the end of their tag, a
WavPack file that is cut off, an MP4 file whose samples reach into its tags, metadata of QuickTime
that is named by keys (`mdta`), an ID3 tag in front of a container that has tags of its own or
behind bytes of junk, and a genre that is there but cannot be decoded.
"""


_FIELDS_HEAD = """## Mood, style, grouping and evidence

`--write` writes a mood and styles into these fields, and `--evidence` tells where they come from.
Styles go to the grouping with `--style-field grouping`. Each is written where the genre has its
tag, under the same rules and the same proof.

"""

_FIELDS_RULES = """
RIFF INFO and ID3v1 have a place for the genre alone. A WAV file whose tags are in INFO gets no
mood: an ID3 tag with it would hide them. Beside ID3v1 alone, the new tag repeats its texts and its
genre.
A mood in `TMOO` or in `TXXX:MOOD` counts in either version, and both are renewed. The grouping is
`GRP1`, as in iTunes 12.6 and Navidrome, which read `TIT1` as the work. No container has a field of
its own for a style. Which of these fields other programs show:

"""


def page() -> str:
    """Return the page."""
    readers = list(READERS)
    lines = [f"| container | genre field | {' | '.join(readers)} |"]
    lines.append("| --- " * (len(readers) + 2) + "|")
    with tempfile.TemporaryDirectory() as folder:
        for extension, name in NAMES.items():
            if found := measure(extension, Path(folder)):
                cells = " | ".join(found[1][r] for r in readers)
                lines.append(f"| {name} `{extension}` | `{found[0]}` | {cells} |")
    versions = ",\n".join(f"{reader} ({version_of(reader)})" for reader in readers)
    fields = [f"| container | {' | '.join(readers)} |", "| --- " * (len(readers) + 1) + "|"]
    with tempfile.TemporaryDirectory() as folder:
        for extension, name in NAMES.items():
            if (cells := measure_fields(extension, Path(folder))) is not None:
                row = " | ".join(cells[r] for r in readers)
                fields.append(f"| {name} `{extension}` | {row} |")
    parts = [_HEAD + "\n".join(lines), f"Measured with {versions}.\n{_RULES}".rstrip()]
    parts += [_FIELDS_HEAD + "\n".join(names_table()), _FIELDS_RULES.lstrip() + "\n".join(fields)]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    print(page(), end="")
