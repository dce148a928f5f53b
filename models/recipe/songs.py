"""Made-up songs of several windows: whole clips of one artist and genre, of which the vote is what it would be over the windows of a track.

The corpus has no track of more than one window. The clips of one artist differ more than the windows of a recording do: what holds of these
songs bounds what holds of tracks.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from genretag.decisions.vote import log_softmax
from models.recipe.corpus import Clip

Rows = dict[str, dict[str, Any]]  # of a scan, by the clip's id

LEAST_SCORE = 5e-5  # scores are told with four digits


def log_scores(rows: list[dict[str, Any]], names: list[str]) -> npt.NDArray[np.float64]:
    """Return what a scan's rows say of labels, as log-probabilities [rows, labels]."""
    out: npt.NDArray[np.float64] = np.log(np.clip([[row["scores"][n] for n in names] for row in rows], LEAST_SCORE, 1))
    return out


def songs_of(
    clips: list[Clip], rows: dict[str, dict[str, Any]], windows: int, seed: int = 0
) -> tuple[list[Clip], dict[str, dict[str, Any]]]:
    """Return songs of ``windows`` whole labelled clips each, no clip in two of them, and what the vote says of each, not calibrated."""
    whole: dict[tuple[str, str], list[Clip]] = {}
    for clip in clips:
        if clip.role == "labelled" and clip.kind != "cut" and clip.artist.strip() and rows[clip.id]["scores"]:
            whole.setdefault((clip.group, clip.genre), []).append(clip)
    rng = np.random.default_rng(seed)
    songs: list[Clip] = []
    said: Rows = {}
    for _, theirs in sorted(whole.items()):
        order = rng.permutation(len(theirs))
        for first in range(0, len(theirs) - windows + 1, windows):
            parts = [theirs[i] for i in order[first : first + windows]]
            song = replace(parts[0], id="+".join(c.id for c in parts), seconds=sum(c.seconds for c in parts))
            songs.append(song)
            said[song.id] = _voted([rows[c.id] for c in parts])
    return songs, said


def _voted(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the row of a song whose windows said these."""
    names = list(rows[0]["scores"])
    log_p = log_scores(rows, names)
    p = np.exp(log_softmax(log_p.mean(axis=0)))
    scores = {names[i]: float(p[i]) for i in np.argsort(-p)}
    nonmusic = sum(row["status"] == "nonmusic" for row in rows) * 2 > len(rows)
    return {"scores": scores, "confidence": float(p.max()), "status": "nonmusic" if nonmusic else "ok", "windows": len(rows), "error": None}
