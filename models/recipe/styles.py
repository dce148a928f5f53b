"""Which styles the model file tells besides the genre, and from which probability on.

    python -m models.recipe.styles DATA WORK

Nothing here holds styles to the truth but the teachers' own opinions. So each candidate is judged on clips of the five folds, by the
models that never heard them: a style is told if enough of those clips have it by a teacher's word, from enough artists, and if the
student's probability finds them again. What is left out is printed with the reason.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.recipe.corpus import FOLDS, Clip, Sound, grouped_folds, read_clips, read_lessons
from models.recipe.distill import load
from models.recipe.listener import Listener
from models.recipe.musicnn import TAG_NAMES, TAGS
from genretag.features import FrontEnd
from genretag.inference.styles import Styles

#: Style -> (AudioSet's class, which the first teacher knows; the second teacher's tag). Genres that are labels are none.
CANDIDATES: dict[str, tuple[str | None, str | None]] = {
    "A Cappella": ("A capella", None), "Afrobeat": ("Afrobeat", None), "Ambient": ("Ambient music", "ambient"),
    "Bluegrass": ("Bluegrass", None), "Chillout": (None, "chillout"), "Dance": ("Dance music", "dance"),
    "Drum and Bass": ("Drum and bass", None), "Dubstep": ("Dubstep", None), "Flamenco": ("Flamenco", None),
    "Folk": ("Folk music", "folk"), "Funk": ("Funk", "funk"), "Gospel": ("Gospel music", None), "Grunge": ("Grunge", None),
    "Hard Rock": (None, "hard rock"), "House": ("House music", "House"), "Indie": ("Independent music", "indie"),
    "Latin": ("Music of Latin America", None), "New Age": ("New-age music", None), "Opera": ("Opera", None),
    "Progressive Rock": ("Progressive rock", "Progressive rock"), "Psychedelic Rock": ("Psychedelic rock", None),
    "Punk": ("Punk rock", "punk"), "R&B": ("Rhythm and blues", "rnb"), "Rock and Roll": ("Rock and roll", None),
    "Salsa": ("Salsa music", None), "Ska": ("Ska", None), "Soul": ("Soul music", "soul"), "Soundtrack": ("Soundtrack music", None),
    "Swing": ("Swing music", None), "Techno": ("Techno", None), "Trance": ("Trance music", None),
    "Video Game Music": ("Video game music", None),
    "Happy": ("Happy music", "happy"), "Sad": ("Sad music", "sad"), "Tender": ("Tender music", None), "Scary": ("Scary music", None),
    "Angry": ("Angry music", None), "Exciting": ("Exciting music", None), "Funny": ("Funny music", None),
}  # fmt: skip

SAYS_SO = 0.3  # a teacher's probability, the mean over a clip, from which it says that a clip has a style
LEAST_CLIPS, LEAST_ARTISTS = 6, 4
LEAST_PRECISION, LEAST_RECALL = 0.7, 0.3

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Judged:
    """What became of one candidate, by one teacher's word."""

    style: str
    output: int  # of the student's classes
    word: str  # the teacher's
    clips: int  # of the folds, that have it by that word
    artists: int
    threshold: float | None = None  # None: it is not told
    precision: float = 0.0
    recall: float = 0.0

    @property
    def supported(self) -> bool:
        """Whether enough clips have it."""
        return self.clips >= LEAST_CLIPS and self.artists >= LEAST_ARTISTS

    @property
    def told(self) -> str:
        """What became of it, in words."""
        if self.threshold is not None:
            return f"from {self.threshold}, precision {self.precision}, recall {self.recall}"
        return "left out: not found again" if self.supported else f"left out: {self.clips} clips of {self.artists} artists"


def opinions(data: Path, work: Path) -> tuple[npt.NDArray[np.int64], FloatArray]:
    """Return clips and the teachers' probabilities [clips, classes and tags] of each, the means over its segments."""
    lessons = read_lessons(data)
    rows = np.flatnonzero(lessons.clean)
    tags = np.load(work / "second.npy", mmap_mode="r")[rows, :, -TAGS:].astype(np.float64).mean(axis=1)
    logits = np.concatenate([lessons.logits[rows].mean(axis=1), tags], axis=1)
    clips, at = np.unique(lessons.clip_a[rows], return_inverse=True)
    total = np.zeros((len(clips), logits.shape[1]))
    np.add.at(total, at, 1 / (1 + np.exp(-logits)))
    return clips, total / np.bincount(at)[:, None]


def unheard(data: Path, work: Path, clips: list[Clip]) -> dict[int, FloatArray]:
    """Return the students' probabilities of each clip's classes, each by the model that never heard it."""
    fold_of, out = grouped_folds(clips, FOLDS), {}
    for k in range(FOLDS):
        student = load(work / f"fold{k}.pt")
        weight, bias = (p.detach().numpy().astype(np.float64) for p in (student.classes.weight, student.classes.bias))
        listener = Listener(student.backbone, Sound.open(work), FrontEnd())
        for i in np.flatnonzero(fold_of == k):
            out[int(i)] = 1 / (1 + np.exp(-(listener.whole(int(i)) @ weight.T + bias)))
    return out


def threshold_of(said: FloatArray, has: npt.NDArray[np.bool_]) -> tuple[float, float, float] | None:
    """Return the lowest (threshold, precision, recall) that is right often enough and finds enough; None where there is none."""
    order = np.argsort(-said)
    hits = np.cumsum(has[order])
    precision, recall = hits / np.arange(1, len(hits) + 1), hits / has.sum()
    fine = np.flatnonzero((precision >= LEAST_PRECISION) & (recall >= LEAST_RECALL))
    if not len(fine):
        return None
    last = int(fine[-1])
    below = said[order[last + 1]] if last + 1 < len(said) else 0.0
    return round(float((said[order[last]] + below) / 2), 3), round(float(precision[last]), 3), round(float(recall[last]), 3)


def judge(data: Path, work: Path) -> list[Judged]:
    """Return what becomes of each candidate, by the better of the two teachers' words."""
    clips = read_clips(data)
    classes = [line for line in (data / "classes.txt").read_text(encoding="utf-8").splitlines() if line]
    ids, opinion = opinions(data, work)
    students = unheard(data, work, clips)
    known = [n for n, i in enumerate(ids) if int(i) in students]
    has, said = opinion[known] >= SAYS_SO, np.stack([students[int(ids[n])] for n in known])
    groups = np.array([clips[int(ids[n])].group for n in known])
    out = []
    for style, words in CANDIDATES.items():
        tried = []
        for word, names, first in zip(words, (classes, TAG_NAMES), (0, len(classes)), strict=True):
            if word is None:
                continue
            j = first + list(names).index(word)
            one = Judged(style, j, word, int(has[:, j].sum()), len(set(groups[has[:, j]])))
            if one.supported and (found := threshold_of(said[:, j], has[:, j])) is not None:
                one = replace(one, threshold=found[0], precision=found[1], recall=found[2])
            tried.append(one)
        out.append(max(tried, key=lambda t: (t.threshold is not None, t.recall, t.clips)))
    return out


def styles_of(path: Path, checkpoint: Path) -> Styles:
    """Return the styles that were judged fit, as the classes of a checkpoint make them."""
    told = [Judged(**row) for row in json.loads(path.read_text(encoding="utf-8"))]
    told = [t for t in told if t.threshold is not None]
    layer = load(checkpoint).classes
    rows = [t.output for t in told]
    return Styles(
        tuple(t.style for t in told), tuple(t.threshold or 0.0 for t in told),
        layer.weight.detach().numpy()[rows].T.astype(np.float16), tuple(round(float(b), 4) for b in layer.bias.detach().numpy()[rows]),
    )  # fmt: skip


def keep(data: Path, work: Path) -> None:
    """Judge the candidates, keep that in WORK/styles.json, and print it."""
    judged = judge(data, work)
    (work / "styles.json").write_text(json.dumps([asdict(j) for j in judged], indent=1), encoding="utf-8")
    for j in judged:
        print(f"{j.style} ({j.word}): {j.clips} clips, {j.artists} artists; {j.told}")


def main() -> None:
    """Command line."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("data", type=Path)
    p.add_argument("work", type=Path)
    a = p.parse_args()
    keep(a.data, a.work)


if __name__ == "__main__":
    main()
