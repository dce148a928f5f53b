"""Hashes of whole files: the check of a plan, and the hash of the journal."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import xxhash

_READ = 1 << 20  # bytes at once
_XXH3, _SHA256 = "xxh3:", "sha256:"


@dataclass(frozen=True)
class FileHashes:
    """Hashes of one file, in hex."""

    sha256: str
    xxh3: str  # 128 bits (Collet 2020)

    def match(self, check: str) -> bool:
        """Return whether they are those of a check that ``file_check`` or a write made."""
        return check in (_XXH3 + self.xxh3, _SHA256 + self.sha256)


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a whole file, in hex."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def file_check(path: Path) -> str:
    """Return a check of a whole file: ``xxh3:`` and 32 hex digits.

    It tells whether a file is the one that was scanned, at a tenth of the cost of SHA-256. It is
    no protection from somebody who makes another file with the same hash on purpose.
    """
    digest = xxhash.xxh3_128()
    with path.open("rb", buffering=0) as handle:
        while block := handle.read(_READ):
            digest.update(block)
    return _XXH3 + digest.hexdigest()


def check_of_sha256(sha256: str) -> str:
    """Return the check of a file whose SHA-256 is known."""
    return _SHA256 + sha256


def file_hashes(path: Path) -> FileHashes:
    """Return both hashes of a file, which is read once."""
    sha256, xxh3 = hashlib.sha256(), xxhash.xxh3_128()
    with path.open("rb", buffering=0) as handle:
        while block := handle.read(_READ):
            sha256.update(block)
            xxh3.update(block)
    return FileHashes(sha256.hexdigest(), xxh3.hexdigest())
