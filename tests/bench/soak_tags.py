"""Write genres, or another field, into mutated and generated files; prove each, take it back.

python tests/bench/soak_tags.py --mutated 20000 --generated 5000 --seed 1
python tests/bench/soak_tags.py --field mood

A file is either refused, with its bytes untouched, or written. A written file is compared by
programs that share no code with genretag's parsers: mutagen, FFmpeg (tags and packets), and for
generated files a search for every foreign part in its order.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import mutagen

sys.path[:0] = [str(Path(__file__).parents[1] / "layout")]

import builders_chunks as chunks
import builders_id3 as id3
import builders_vorbis as vorbis
from readers import FIELD_KEYS

from genretag import tags
from genretag.audio import identify, synthesis
from genretag.errors import TrackError
from genretag.layout import bare, tail
from genretag.layout.account import Kind, UnexplainedError
from genretag.layout.detect import account
from genretag.writing import delta
from genretag.writing.proof import prove

SECONDS = 1.2
MAX_SECONDS = 2.0  # of the processor's time for one file; more is a finding
MAX_SHOWN = 20
WORDS = ("Jazz", "Ωμέγα", "Drum and Bass", "Hip-Hop", "日本の民謡", "Zydeco " * 40)

Check = Callable[[bytes], bool]


@dataclass(frozen=True)
class Sample:
    """A file to be written; ``check`` says whether the new bytes hold every foreign part."""

    name: str
    extension: str
    data: bytes
    check: Check = lambda _: True


@dataclass
class WalkHash:
    """Outcomes by container, and findings."""

    outcomes: Counter[str] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)


# --- readers of other programs --------------------------------------------------------------------

_KEYS = {
    **{
        name: frozenset(key.rpartition(":")[2] for key in keys) for name, keys in FIELD_KEYS.items()
    },
    "genre": frozenset({"tcon", "tco", "genre", "\xa9gen", "gnre", "wm/genre", "ignr"}),
}


def mutagen_view(path: Path, name: str) -> Counter[str] | None:
    """Return mutagen's tags but one field; None if it cannot read the file."""
    try:
        found = mutagen.File(path)
    except Exception:  # mutagen raises more than its own errors on broken files
        return None
    if found is None or found.tags is None:
        return None
    pairs = found.tags if isinstance(found.tags, list) else found.tags.items()
    return Counter(f"{_key(str(k))}={v!r}" for k, v in pairs if not _is_field(str(k), name))


def _key(name: str) -> str:
    """Return a key; mutagen numbers Vorbis entries without a name by their place."""
    return name.rstrip("0123456789") if name.startswith("unknown") else name


def _is_field(key: str, name: str) -> bool:
    return key.casefold().rpartition(":")[2] in _KEYS[name]


def ffmpeg_view(path: Path, name: str) -> tuple[dict[str, str], str] | None:
    """Return FFmpeg's tags but one field, and a hash of its packets; None if it cannot read it."""
    digest = hashlib.sha256()
    try:
        with av.open(str(path)) as container:
            stream = container.streams.audio[0]
            found = {**container.metadata, **stream.metadata}
            for packet in container.demux(stream):
                digest.update(bytes(packet))
    except (av.FFmpegError, IndexError, ValueError):
        return None
    kept = {k.lower(): v for k, v in found.items() if not _is_field(k, name)}
    return kept, digest.hexdigest()


def content_key(path: Path) -> str | None:
    """Return the content key; None for a file that a scan cannot read, and never plans to write."""
    try:
        return identify(path).content_key
    except TrackError:
        return None


def lost(before: Iterable[str], after: Mapping[str, Any]) -> list[str]:
    """Return the entries that are not there any more."""
    return [entry for entry in before if entry not in after]


# --- one file -------------------------------------------------------------------------------------


def soak_file(
    sample: Sample, folder: Path, values: list[str], tally: WalkHash, name: str = "genre"
) -> None:
    """Write a file, prove it, take it back, and add to the tally."""
    began = time.process_time()
    old, new = folder / f"old{sample.extension}", folder / f"new{sample.extension}"
    old.write_bytes(sample.data)
    new.write_bytes(sample.data)
    try:
        outcome = _outcome(sample, old, new, values, name)
    except Exception as error:  # whatever it is, it is a finding
        outcome = f"FINDING {type(error).__name__}: {error}"
    seconds = time.process_time() - began
    if seconds > MAX_SECONDS:
        outcome = f"FINDING {seconds:.1f} s"
    if outcome.startswith("FINDING"):
        tally.findings.append(f"{sample.name}: {outcome}")
    tally.outcomes[f"{sample.extension} {outcome}"] += 1


def _outcome(sample: Sample, old: Path, new: Path, values: list[str], name: str) -> str:
    found = tags.read(old)
    if found.problem:
        return "FINDING " + found.problem if "cannot be read: " in found.problem else "refused"
    if found.fields is None or name in found.fields.problems:
        return "refused"
    try:
        tags.write(new, values, field=name)
    except TrackError:
        return "refused"
    try:
        if parts := prove(old, new, (name,)):
            return f"FINDING the proof refused {parts}"
    except UnexplainedError as error:
        return f"FINDING the copy is not explained: {error}"
    read = tags.read(new)
    now = (
        read.genres if name == "genre" or read.fields is None else read.fields.values.get(name, [])
    )
    if read.problem or not tags.are_same(now, values):
        return f"FINDING read back {now!r} {read.problem}"
    if name != "genre" and read.genres != found.genres:
        return f"FINDING the genre became {read.genres!r}"
    if not _is_taken_back(old, new):
        return "FINDING the way back"
    return _foreign(sample, old, new, name)


def _is_taken_back(old: Path, new: Path) -> bool:
    out = io.BytesIO()
    change = delta.Delta.unpack(delta.compare(old, new).pack())
    delta.rebuild(change, new, out)
    return out.getvalue() == old.read_bytes()


def _foreign(sample: Sample, old: Path, new: Path, name: str) -> str:
    """Return the outcome of a comparison by other programs."""
    # The generated files' own check knows a genre alone.
    if name == "genre" and not sample.check(new.read_bytes()):
        return "FINDING a foreign part is gone"
    before, after = mutagen_view(old, name), mutagen_view(new, name)
    if before is not None and (gone := lost(before.elements(), after or {})):
        return f"FINDING mutagen misses {gone[:2]}"
    if (key := content_key(old)) is not None and content_key(new) != key:
        return "FINDING the safe write would refuse it: its content key changes"
    seen, seen_after = ffmpeg_view(old, name), ffmpeg_view(new, name)
    if seen is None:
        return "written"
    if seen_after is None:
        return "FINDING FFmpeg cannot read it any more"
    if gone := [k for k, v in seen[0].items() if seen_after[0].get(k) != v]:
        return f"FINDING FFmpeg misses {gone[:2]}"
    return "written" if seen[1] == seen_after[1] else "written, FFmpeg's packets differ"


# --- mutated files --------------------------------------------------------------------------------


def seeds(folder: Path) -> dict[str, list[bytes]]:
    """Return encoded files by extension, with few and with many tags."""
    samples = synthesis.piece(7, 2)[: int(SECONDS * 44_100)]
    texts = {"title": "A Title", "artist": "An Artist", "album": "An Album", "comment": "keep me"}
    made: dict[str, list[bytes]] = {}
    for extension in synthesis.CONTAINERS:
        path = folder / f"seed{extension}"
        for some in (texts, {**texts, "genre": "Other", "date": "1999", "composer": "x" * 300}):
            synthesis.encode(path, samples, 44_100, tags=some)
            made.setdefault(extension, []).append(path.read_bytes())
    mp3, wv = made[".mp3"][0], made[".wv"][0]
    made[".mp3"] += [mp3 + id3.ape_texts(b"Other") + id3.id3v1(b"Other"), mp3 + id3.lyrics3_v2()]
    made[".wv"].append(wv + id3.id3v1(b"Jazz"))
    sound = chunks.sound(0.3)
    tag = id3.id3v2_texts(b"Other")
    made[".dsf"] = [chunks.dsf(sound, tag)]
    made[".dff"] = [chunks.build(chunks.DFF, sound, chunks.chunk(chunks.DFF, b"ID3 ", tag))]
    made[".wav"].append(
        chunks.build(chunks.WAV, sound, chunks.chunk(chunks.WAV, b"id3 ", tag), chunks.info())
    )
    return made


def mutate(data: bytes, rng: random.Random) -> bytes:
    """Return bytes with one to four changes, most of them outside the audio."""
    out = bytearray(data)
    spots = _spots(data)
    for _ in range(rng.randint(1, 4)):
        start, end = rng.choice(spots) if rng.random() < 0.9 else (0, len(out))
        _mutate_once(out, min(rng.randrange(start, max(end, start + 1)), len(out) - 1), rng)
        if not out:
            return b"x"
    return bytes(out)


def _spots(data: bytes) -> list[tuple[int, int]]:
    try:
        regions = account(memoryview(data)).regions
    except UnexplainedError:
        return [(0, len(data))]
    return [(r.start, r.end) for r in regions if r.kind is not Kind.AUDIO and r.size] or [(0, 64)]


def _mutate_once(out: bytearray, at: int, rng: random.Random) -> None:
    size = rng.choice((1, 1, 2, 4, 8, rng.randint(1, 64), rng.randint(1, 2000)))
    match rng.randrange(9):
        case 0:
            out[at] ^= 1 << rng.randrange(8)
        case 1:
            out[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
        case 2:
            del out[at : at + size]
        case 3:
            out[at:at] = rng.randbytes(size)
        case 4:
            out[at:at] = out[at : at + size]
        case 5:
            out[at : at + 4] = rng.choice((b"\xff" * 4, bytes(4), b"\x7f\xff\xff\xff", b"\0\0\0\1"))
        case 6:
            del out[max(16, rng.randrange(len(out))) :]
        case 7:
            out += rng.choice((bytes(size), rng.randbytes(size), out[:size], out[-size:]))
        case _:
            out[at : at + size] = rng.randbytes(len(out[at : at + size]))


def mutated_samples(made: Mapping[str, list[bytes]], rng: random.Random) -> Sample:
    """Return a mutated file."""
    extension = rng.choice(sorted(made))
    return Sample("mutated", extension, mutate(rng.choice(made[extension]), rng))


# --- generated files ------------------------------------------------------------------------------


def _in_order(*parts: bytes) -> Check:
    """Return a check that finds the parts one behind the other."""

    def check(data: bytes) -> bool:
        at = 0
        for part in parts:
            if (at := data.find(part, at)) < 0:
                return False
            at += len(part)
        return True

    return check


def _frame(rng: random.Random, version: int) -> bytes:
    # FFmpeg stops at a v2.4 frame of 128 bytes or more if a name such as ``TCP `` follows it.
    odd = b"TCP " if version == 3 else b"ZZZ2"
    names = (b"TIT2", b"TPE1", b"APIC", b"PRIV", b"TXXX", b"ZZZ1", odd, b"GEOB", b"UFID")
    body = b"\0" + rng.randbytes(rng.choice((0, 5, 127, 128, rng.randrange(3000))))
    return id3.frame(rng.choice(names), body.replace(b"\xff", b"\xfe"), version)


def _tag(rng: random.Random) -> tuple[bytes, list[bytes]]:
    """Return an ID3v2 tag and its foreign frames."""
    version = rng.choice((3, 4))
    frames = [_frame(rng, version) for _ in range(rng.randrange(7))]
    body = list(frames)
    for _ in range(rng.choice((0, 1, 1, 2))):
        genre = id3.frame(b"TCON", b"\0" + rng.choice((b"Other", b"(12)", b"Pop")), version)
        body.insert(rng.randrange(len(body) + 1), genre)
    footer = version == 4 and rng.random() < 0.1
    padding = 0 if footer else rng.choice((0, 3, 10, rng.randrange(2000)))
    return id3.id3v2(b"".join(body), version, padding=padding, flags=0x10 * footer), frames


def _ape(rng: random.Random) -> tuple[bytes, list[bytes]]:
    """Return an APEv2 tag and its foreign items."""
    items = [
        id3.item(rng.choice((b"Title", b"Artist", b"Cover Art (Front)", b"x y z", b"Title")),
                 rng.randbytes(rng.randrange(300)), rng.randrange(8))
        for _ in range(rng.randrange(6))
    ]  # fmt: skip
    body = list(items)
    for _ in range(rng.choice((0, 1, 1, 2))):
        key = rng.choice((b"Genre", b"GENRE", b"genre"))
        body.insert(rng.randrange(len(body) + 1), id3.item(key, b"Other", rng.choice((0, 1))))
    return id3.ape(body, header=rng.random() < 0.8), items


def _bare_audio(data: bytes) -> bytes:
    """Return a stream without the tags that the encoder wrote."""
    view = memoryview(data)
    start = bare.audio_start(view)
    return data[start : tail.tail_start(view, start)]


def bare_sample(made: Mapping[str, list[bytes]], rng: random.Random) -> Sample:
    """Return an MP3, AAC, TTA, WavPack or Musepack file with random tags around it."""
    audio = {
        **{extension: _bare_audio(made[extension][0]) for extension in (".mp3", ".wv", ".tta")},
        ".mpc": b"MPCK" + rng.randbytes(300),
        ".ape": b"MAC " + rng.randbytes(300),
    }
    extension = rng.choice(list(audio))
    front, frames = _tag(rng) if rng.random() < 0.6 else (b"", [])
    end, items = _ape(rng) if rng.random() < 0.5 else (b"", [])
    rest = rng.choice((b"", b"", id3.lyrics3_v2()))
    v1 = id3.id3v1(b"Other") if rng.random() < 0.4 or rest else b""
    data = front + audio[extension] + end + rest + v1
    check = _in_order(*frames, audio[extension], *items, rest, v1[:-1])
    return Sample("generated", extension, data, check)


def flac_sample(made: Mapping[str, list[bytes]], rng: random.Random) -> Sample:
    """Return a FLAC file of random blocks and comments."""
    entries = [_entry(rng) for _ in range(rng.randrange(6))]
    everything = _with_genres(entries, rng)
    blocks = [(4, vorbis.comment_list(*everything))] if rng.random() < 0.9 else []
    others = [(k, rng.randbytes(rng.randrange(500))) for k in (2, 6, 100)[: rng.randrange(4)]]
    blocks += [(kind, body if kind != 6 else bytes(32)) for kind, body in others]
    if rng.random() < 0.6:
        blocks.insert(rng.randrange(len(blocks) + 1), (1, bytes(rng.randrange(400))))
    data = vorbis.flac(made[".flac"][0], *blocks)

    def check(new: bytes) -> bool:
        found, audio = vorbis.read_flac(new)
        kept = [b for b in found if b[0] not in (0, 1, 4)]
        lists = [vorbis.read_list(b[1])[1] for b in found if b[0] == 4]
        wanted = vorbis.without_genre(entries) if data_has_list else []
        return (
            audio == vorbis.read_flac(data)[1]
            and kept == [b for b in blocks if b[0] not in (1, 4)]
            and vorbis.without_genre(lists[0]) == wanted
        )

    data_has_list = any(kind == 4 for kind, _ in blocks)
    return Sample("generated", ".flac", data, check)


def _entry(rng: random.Random) -> bytes:
    name = rng.choice((b"TITLE", b"ARTIST", b"no equals sign", "NÄME".encode(), b"X\xff", b""))
    return name + (b"=" if b"no" not in name else b"") + rng.randbytes(rng.randrange(200))


def _with_genres(entries: list[bytes], rng: random.Random) -> list[bytes]:
    out = list(entries)
    for _ in range(rng.choice((0, 1, 1, 2))):
        out.insert(rng.randrange(len(out) + 1), rng.choice((b"GENRE=", b"genre=")) + b"Other")
    return out


def ogg_sample(made: Mapping[str, list[bytes]], rng: random.Random) -> Sample:
    """Return an Ogg file with random comments, and pages of random lengths."""
    extension = rng.choice((".ogg", ".opus", ".oga"))
    entries = [_entry(rng) for _ in range(rng.randrange(6))]
    if rng.random() < 0.3:
        entries.append(b"METADATA_BLOCK_PICTURE=" + rng.randbytes(70_000))
    comments = vorbis.comment_list(*_with_genres(entries, rng))
    rest = {".ogg": b"\1", ".opus": rng.choice((b"", bytes(50))), ".oga": b""}[extension]
    seed = made[extension][0]
    data = vorbis.ogg(seed, extension, comments, rest, rng.choice((255, 255, 40, 3)))

    def check(new: bytes) -> bool:
        pages = list(vorbis.pages_of(new))
        packets = vorbis.packets_of(pages, pages[0].serial)
        old = list(vorbis.pages_of(data))
        before = vorbis.packets_of(old, old[0].serial)
        found = vorbis.read_comments(extension, packets[1])
        return (
            all(p.sound for p in pages)
            and [p.sequence for p in pages] == list(range(len(pages)))
            and packets[:1] + packets[2:] == before[:1] + before[2:]
            and vorbis.without_genre(found[1]) == vorbis.without_genre(entries)
        )

    return Sample("generated", extension, data, check)


def chunk_sample(made: Mapping[str, list[bytes]], rng: random.Random) -> Sample:
    """Return a WAV, AIFF or DSDIFF file of random chunks, or a DSF file."""
    tag, frames = _tag(rng)
    samples = chunks.sound(0.05)
    if rng.random() < 0.2:
        return Sample("generated", ".dsf", chunks.dsf(samples, tag), _in_order(*frames))
    extension, kind = rng.choice(list(chunks.KINDS.items()))
    names = [b"cue ", b"bext", b"Abcd"] if kind is chunks.WAV else [b"MARK", b"APPL", b"Abcd"]
    foreign = [
        chunks.chunk(kind, rng.choice(names), rng.randbytes(rng.randrange(200)))
        for _ in range(rng.randrange(5))
    ]
    behind = list(foreign)
    kept = list(foreign)
    if frames and rng.random() < 0.7:
        at = rng.randrange(len(behind) + 1)
        behind.insert(at, chunks.chunk(kind, kind.id3, tag))
        kept[at:at] = frames
    sound = chunks.audio_chunks(kind, samples)
    data = chunks.build(kind, samples, *behind)
    return Sample("generated", extension, data, _in_order(*sound, *kept))


GENERATORS = (bare_sample, bare_sample, flac_sample, ogg_sample, chunk_sample)


# --- the whole ------------------------------------------------------------------------------------


def main() -> int:
    """Soak, print the table of outcomes, and return 1 if there is a finding."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutated", type=int, default=1000)
    parser.add_argument("--generated", type=int, default=250)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--field", choices=sorted(_KEYS), default="genre")
    parser.add_argument("--only", type=int, default=None, help="the number of one file")
    parser.add_argument("--keep", type=Path, default=None, help="a folder for files with findings")
    options = parser.parse_args()
    av.logging.set_level(None)
    began, tally = time.monotonic(), WalkHash()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = seeds(folder)
        total = options.mutated + options.generated
        for number in [options.only] if options.only is not None else range(total):
            rng = random.Random(f"{options.seed}/{number}")  # each file can be made again alone
            make = mutated_samples if number < options.mutated else rng.choice(GENERATORS)
            sample = make(made, rng)
            genres = rng.sample(WORDS, rng.choice((1, 1, 2)))
            genres = [g.strip() for g in genres]
            count = len(tally.findings)
            soak_file(sample, folder, genres, tally, options.field)
            if len(tally.findings) > count:
                tally.findings[-1] = f"{number} {tally.findings[-1]}"
                if options.keep:
                    options.keep.mkdir(exist_ok=True)
                    kept = options.keep / f"{options.seed}-{number}{sample.extension}"
                    kept.write_bytes(sample.data)
    _print(tally, options.seed, time.monotonic() - began)
    return bool(tally.findings)


def _print(tally: WalkHash, seed: int, seconds: float) -> None:
    plain = Counter[str]()
    for outcome, count in tally.outcomes.items():
        extension = outcome.partition(" ")[0]
        plain[f"{extension} finding" if "FINDING" in outcome else outcome] += count
    print("| container | outcome | files |\n| --- | --- | --- |")
    for outcome, count in sorted(plain.items()):
        extension, _, what = outcome.partition(" ")
        print(f"| {extension} | {what} | {count} |")
    total = sum(plain.values())
    print(f"{total} files, {len(tally.findings)} findings; {seconds:.0f} s; seed {seed}")
    for finding in tally.findings[:MAX_SHOWN]:
        print(finding[:400])


if __name__ == "__main__":
    raise SystemExit(main())
