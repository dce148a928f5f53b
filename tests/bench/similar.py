"""Similar tracks: over a large database, beside the mere reading of its embeddings, and how good.

    python tests/bench/similar.py speed [TRACKS]
    python tests/bench/similar.py quality GENRETAG.db CLIPS.csv

``speed``: the rows are made through the storage API, with embeddings of a mixture of genres. The two
are timed in turns, in one process; the fastest of each is compared, in CPU seconds, because neither
waits for anything once the database is in the system's cache.

``quality``: the database holds analyses of the files whose stem is ``id`` in the table, which has
the columns source, artist and genres (separated by ``|``).
"""

from __future__ import annotations

import csv
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np

from genretag.decisions.similarity import SAMPLE, Space
from genretag.features import FEATURE_VERSION
from genretag.inference.model import Model
from genretag.records import Album, Analysis, FileRow, Tags
from genretag.report.similar import find_similar
from genretag.storage.cache import AnalysisCache

DIMS, WINDOWS, LABELS, ROUNDS = 384, 8, 13, 7
GENRES, QUERY = 12, 7
RESAMPLES = 1000


def analysis(rng: np.random.Generator, n: int, centres: np.ndarray) -> Analysis:
    """Return an analysis as a scan stores it, with the sizes of a track of four minutes."""
    embedding = centres[n % len(centres)] + rng.normal(0, 1, DIMS)
    return Analysis(
        *(f"{n:032x}", None, 240.0, 1.0),
        np.arange(WINDOWS, dtype=np.float32) * 30,
        rng.normal(0, 1, (WINDOWS, LABELS)).astype(np.float16),
        np.ones(WINDOWS, np.float16),
        embedding.astype(np.float16),
        bytes(600),
    )


def make(store: AnalysisCache, folder: Path, model: str, tracks: int) -> None:
    """Fill a database with tracks. Content keys are hashes, so they come in random order."""
    rng = np.random.default_rng(0)
    centres = rng.normal(0, 1, (GENRES, DIMS))
    order = rng.permutation(tracks)
    for start in range(0, tracks, 5000):
        with store.transaction():
            for n in order[start : start + 5000]:
                made = analysis(rng, int(n), centres)
                store.save_analysis(made, model, FEATURE_VERSION)
                path = folder / f"Artist {n % 900}" / f"Album {n % 9000}" / f"{n}.flac"
                if n % GENRES == QUERY % GENRES:  # the files that similar looks for
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.touch()
                tags = Tags(["Rock"], "GENRE", Album(f"Artist {n % 900}", f"Album {n % 9000}"))
                store.save_file(
                    FileRow(path, 9_000_000, int(n), int(n), 1, 1, f"{n:064x}", f"{n:032x}", tags)
                )


def speed(tracks: int) -> None:
    """Print both times, their ratio, and the memory of the search."""
    with tempfile.TemporaryDirectory() as temporary:
        store = AnalysisCache(Path(temporary) / "bench.db")
        model = Model().metadata
        make(store, Path(temporary), model.id, tracks)
        track = store.analysis(f"{QUERY:032x}", model.id, FEATURE_VERSION)
        assert track is not None
        reading, searching = [], []
        for _ in range(ROUNDS):
            began = time.process_time()
            read = sum(len(rows) for rows in store.embeddings(model.id, FEATURE_VERSION, SAMPLE))
            reading.append(time.process_time() - began)
            began = time.process_time()
            found = find_similar(store, model, track, 20)
            searching.append(time.process_time() - began)
            assert read == tracks and found.compared == tracks - 1 and len(found.tracks) == 20
        ratio = min(searching) / min(reading)
        print(f"{tracks:,} tracks: reading their embeddings {min(reading):.3f} s,", end=" ")
        print(f"similar {min(searching):.3f} s, ratio {ratio:.2f}")
        tracemalloc.start()
        find_similar(store, model, track, 20)
        print(f"memory of the search: {tracemalloc.get_traced_memory()[1] / 1e6:.0f} MB at most")


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def whitened(x: np.ndarray) -> np.ndarray:
    """Return fully whitened vectors; a tenth of the mean variance is added to each."""
    x = x - x.mean(0)
    values, vectors = np.linalg.eigh(x.T @ x / len(x))
    return unit(x @ vectors / np.sqrt(values + values.mean() / 10))


SPACES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "cosine": unit,
    "centred": lambda x: unit(x - x.mean(0)),
    "centred and scaled (as similar)": lambda x: Space.fit(x).project(x),
    "each dimension to variance 1": lambda x: unit((x - x.mean(0)) / x.std(0)),
    "whitened": whitened,
}


def hits(x: np.ndarray, artists: np.ndarray, genres: list[set[str]]) -> dict[str, np.ndarray]:
    """Return, for each track, whether its artist is among the nearest 5, and the share of its
    genre among the nearest 10 of other artists.
    """
    scores = x @ x.T
    np.fill_diagonal(scores, -9)
    same = (artists[:, None] == artists[None]) & (artists != "")[:, None]
    np.fill_diagonal(same, False)
    top = np.argsort(-scores, 1)[:, :5]
    artist = np.take_along_axis(same, top, 1).any(1)[same.any(1)]
    top = np.argsort(-np.where(same, -9, scores), 1)[:, :10]
    shared = np.array([[bool(a & b) for b in genres] for a in genres])
    return {"artist in 5": artist, "genre in 10": np.take_along_axis(shared, top, 1).mean(1)}


def quality(database: Path, table: Path) -> None:
    """Print how well each kind of similarity finds an artist's and a genre's other tracks."""
    store, model = AnalysisCache(database), Model().metadata
    with table.open(encoding="utf-8") as file:
        rows = {row["id"]: row for row in csv.DictReader(file)}
    known = [
        (rows[f.path.stem], a.embedding.astype(np.float32))
        for (path,) in store._db.execute("SELECT path FROM file ORDER BY path")
        if (found := store.known(Path(path.decode()), model.id, FEATURE_VERSION)) is not None
        for f, a in [found]
    ]
    embeddings = np.array([e for _, e in known])
    sources = np.array([row["source"] for row, _ in known])
    for name, project in SPACES.items():
        x, basis, parts = project(embeddings), unit(embeddings), []
        for source in sorted(set(sources)):
            own = np.flatnonzero(sources == source)
            artists = np.array([known[i][0]["artist"] for i in own])
            genres = [set(known[i][0]["genres"].split("|")) - {""} for i in own]
            now, plain = hits(x[own], artists, genres), hits(basis[own], artists, genres)
            for what, values in now.items():
                rng = np.random.default_rng(0)
                draws = rng.integers(0, len(values), (RESAMPLES, len(values)))
                gain = (values.astype(float) - plain[what])[draws].mean(1)
                low, high = np.quantile(gain, (0.025, 0.975)) * 100
                parts.append(f"{values.mean():.1%} ({low:+.1f} to {high:+.1f})")
        print(f"| {name} | {' | '.join(parts)} |")
    print({s: int((sources == s).sum()) for s in sorted(set(sources))}, f"model {model.version}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["quality"]:
        quality(Path(sys.argv[2]), Path(sys.argv[3]))
    else:
        speed(int(sys.argv[2]) if len(sys.argv) > 2 else 100_000)
