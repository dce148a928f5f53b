"""Damaged MP4 and ASF files: each is left alone with a reason, or written without loss."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import builders_asf
import builders_mp4
import pytest
from builders_mp4 import Places, assembled, atom, chunk_offsets, meta, moof, tfra, track

from genretag.errors import TrackError
from genretag.layout import asf as asf_layout
from genretag.layout import mp4 as mp4_layout
from genretag.layout.account import Account, UnexplainedError, differences
from genretag.tags.asf import album_of as asf_album
from genretag.tags.asf import asf_edits, genres_of
from genretag.tags.edits import Edit, edited
from genretag.tags.mp4 import album_of as mp4_album
from genretag.tags.mp4 import genre_places
from genretag.tags.mp4_edits import mp4_edits
from genretag.tags.options import KEEP_AS_IS, TagOptions

MUTATIONS = 400  # of each seed
WORDS = (bytes(4), b"\xff" * 4, b"\0\0\0\1", b"free", b"ilst", b"meta", b"stco", b"\xa9gen")


@dataclass(frozen=True)
class Format:
    """How a container is read and written, and what an independent reader says is kept."""

    seed: Callable[[], bytes]
    account: Callable[[memoryview, Sequence[str]], Account]
    reads: tuple[Callable[[memoryview], object], ...]
    edits: Callable[[memoryview, Sequence[str], TagOptions], list[Edit]]
    kept: Callable[[bytes], object]


def mp4_seed() -> bytes:
    """Build an MP4 file with a fragment."""

    def moov(places: Places) -> bytes:
        chunks = [places["mdat"] + 8 + 4 * i for i in range(3)]
        tags = [
            builders_mp4.text_item(b"\xa9nam", "T"),
            builders_mp4.freeform("GENRE", "Jazz"),
            builders_mp4.text_item(b"\xa9gen", "Jazz"),
        ]
        filler = atom(b"free", bytes(30))
        return atom(b"moov", track(chunk_offsets(chunks)), atom(b"udta", meta(*tags, more=filler)))

    return assembled(
        [
            ("ftyp", lambda _: atom(b"ftyp", b"M4A \0\0\0\0")),
            ("moov", moov),
            ("mdat", lambda _: atom(b"mdat", bytes(range(100)))),
            ("f", lambda p: moof(1, p["f"]) + atom(b"mdat", bytes(range(50)))),
            ("mfra", lambda p: atom(b"mfra", tfra([p["f"]]))),
        ]
    )


def asf_seed() -> bytes:
    """Build an ASF file with attributes in three places."""
    text = builders_asf.text
    inner = [
        builders_asf.metadata(builders_asf.LIBRARY, text("WM/Genre", "Soul"), text("x", "y")),
        builders_asf.padding(60),
    ]
    parts = [
        builders_asf.content("T", "A", "", "", ""),
        builders_asf.extension(*inner),
        builders_asf.extended(text("WM/Genre", "Jazz"), text("WM/AlbumTitle", "L")),
    ]
    return builders_asf.asf(parts, bytes(range(200)))


FORMATS = {
    "MP4": Format(
        mp4_seed,
        mp4_layout.account,
        (genre_places, mp4_album),
        mp4_edits,
        lambda data: (builders_mp4.rest(data), builders_mp4.pointed(data)),
    ),
    "ASF": Format(
        asf_seed, asf_layout.account, (genres_of, asf_album), asf_edits, builders_asf.kept
    ),
}


def mutated(rng: random.Random, data: bytes) -> bytes:
    """Return a file with a few bytes set, taken away, put in or cut off."""
    out = bytearray(data)
    for _ in range(rng.randint(1, 3)):
        at, size = rng.randrange(len(out)), rng.choice([1, 4, 8, 50])
        change = rng.randrange(6)
        if change == 0:
            out[at] = rng.choice([0, 1, 8, 255, rng.randrange(256)])
        elif change == 1:
            del out[at : at + size]
        elif change == 2:
            out[at:at] = rng.randbytes(size)
        elif change == 3:
            out[at:at] = out[rng.randrange(len(out)) :][:size]
        elif change == 4:
            out[at : at + 4] = rng.choice(WORDS)
        else:
            del out[max(at, 100) :]
    return bytes(out)


@pytest.mark.parametrize("name", FORMATS)
def test_a_damaged_file_is_left_alone_or_written_without_loss(name: str) -> None:
    rng, container, ok = random.Random(name), FORMATS[name], 0
    for _ in range(MUTATIONS):
        data = mutated(rng, container.seed())
        view = memoryview(data)
        try:
            for read in container.reads:
                read(view)
            before = container.account(view, ("genre",))
            new = edited(data, container.edits(view, ["Rock", "Pop"], KEEP_AS_IS))
        except (UnexplainedError, TrackError) as error:
            assert str(error)
            continue
        after = container.account(memoryview(new), ("genre",))
        assert differences(before, view, after, memoryview(new)) == []
        ok += 1
        try:
            kept = container.kept(data)
        except (AssertionError, UnicodeDecodeError):
            continue  # the independent reader is stricter
        assert container.kept(new) == kept
    assert ok > MUTATIONS / 10
