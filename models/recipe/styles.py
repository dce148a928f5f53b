"""Styles: which of the teachers' tags and AllMusic's words the student recognises.

Judged on clips that the student never trained. A teacher's tag has no other truth than what the
teacher says of the clip; a word of AllMusic is a label, but of the artist rather than of the clip.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from genretag.inference.styles import Styles
from genretag.numeric import sigmoid
from genretag.training.head import LinearHead
from models.recipe.answers import read_examples_of_clips, tag_names
from models.recipe.corpus import Clip
from models.recipe.heads import Threshold, fit_word, threshold_of
from models.recipe.pieces import Pieces

#: Style -> the word of AllMusic that it is fitted to.
ALLMUSIC_STYLES = {
    "Folk": "Folk",
    "Latin": "Latin",
    "New Age": "New Age",
    "R&B": "R&B",
    "Soundtrack": "Stage & Screen",
    "Vocal": "Vocal",
    "World": "International",
}

#: Style -> tags of the teachers; the one that is recognised best is taken.
TAG_STYLES = {
    "60s": ("msd:60s",),
    "70s": ("msd:70s",),
    "80s": ("msd:80s",),
    "90s": ("msd:90s",),
    "A Cappella": ("mn04:A capella",),
    "Accordion": ("mn04:Accordion",),
    "Acoustic Guitar": ("mn04:Acoustic guitar", "jamendo_fcn:instrument---acousticguitar"),
    "Acoustic": ("msd:acoustic",),
    "African": ("mn04:Music of Africa",),
    "Alternative Rock": ("msd:alternative rock",),
    "Alternative": ("msd:alternative", "jamendo_fcn:genre---alternative"),
    "Ambient": ("mn04:Ambient music", "msd:ambient", "jamendo_fcn:genre---ambient"),
    "Angry": ("mn04:Angry music",),
    "Asian": ("mn04:Music of Asia",),
    "Atmospheric": ("jamendo_fcn:genre---atmospheric",),
    "Banjo": ("mn04:Banjo",),
    "Bass Guitar": ("mn04:Bass guitar",),
    "Beautiful": ("msd:beautiful",),
    "Bluegrass": ("mn04:Bluegrass",),
    "Bowed Strings": ("mn04:Bowed string instrument",),
    "Brass": ("mn04:Brass instrument",),
    "Catchy": ("msd:catchy",),
    "Cello": ("mn04:Cello",),
    "Children": ("mn04:Music for children",),
    "Chill": ("msd:chill", "msd:chillout", "jamendo_fcn:genre---chillout"),
    "Christian": ("mn04:Christian music",),
    "Christmas": ("mn04:Christmas music",),
    "Clarinet": ("mn04:Clarinet",),
    "Classic Rock": ("msd:classic rock",),
    "Cymbals": ("mn04:Cymbal", "mn04:Hi-hat"),
    "Dance": ("msd:dance", "mn04:Dance music", "jamendo_fcn:genre---dance"),
    "Double Bass": ("mn04:Double bass",),
    "Downtempo": ("jamendo_fcn:genre---downtempo",),
    "Drum and Bass": ("mn04:Drum and bass",),
    "Drum Machine": ("mn04:Drum machine", "jamendo_fcn:instrument---drummachine"),
    "Drums": ("mn04:Drum kit", "jamendo_fcn:instrument---drums"),
    "Dubstep": ("mn04:Dubstep",),
    "Easy Listening": ("msd:easy listening", "jamendo_fcn:genre---easylistening"),
    "EDM": ("mn04:Electronic dance music",),
    "Electric Guitar": ("mn04:Electric guitar", "jamendo_fcn:instrument---electricguitar"),
    "Electric Piano": ("mn04:Electric piano", "jamendo_fcn:instrument---electricpiano"),
    "Electro": ("msd:electro",),
    "Electronica": ("msd:electronica", "mn04:Electronica"),
    "Emotional": ("jamendo_fcn:mood/theme---emotional",),
    "Energetic": ("jamendo_fcn:mood/theme---energetic",),
    "Exciting": ("mn04:Exciting music",),
    "Experimental": ("jamendo_fcn:genre---experimental", "msd:experimental"),
    "Female Vocals": ("msd:female vocalists", "msd:female vocalist"),
    "Film": ("jamendo_fcn:mood/theme---film",),
    "Flamenco": ("mn04:Flamenco",),
    "Flute": ("mn04:Flute",),
    "Folk": ("msd:folk", "mn04:Folk music", "jamendo_fcn:genre---folk"),
    "Funk": ("msd:funk", "mn04:Funk", "jamendo_fcn:genre---funk"),
    "Gospel": ("mn04:Gospel music",),
    "Grunge": ("mn04:Grunge",),
    "Guitar": ("mn04:Guitar", "jamendo_fcn:instrument---guitar"),
    "Happy": ("mn04:Happy music", "jamendo_fcn:mood/theme---happy"),
    "Hard Rock": ("msd:hard rock",),
    "Harmonica": ("mn04:Harmonica",),
    "Harp": ("mn04:Harp",),
    "Harpsichord": ("mn04:Harpsichord",),
    "Heavy Metal": ("msd:heavy metal", "mn04:Heavy metal"),
    "House": ("mn04:House music", "msd:House", "jamendo_fcn:genre---house"),
    "Indie Pop": ("msd:indie pop",),
    "Indie Rock": ("msd:indie rock",),
    "Indie": ("msd:indie", "jamendo_fcn:genre---indie"),
    "Instrumental": ("msd:instrumental",),
    "Keyboard": ("mn04:Keyboard (musical)", "jamendo_fcn:instrument---keyboard"),
    "Latin American": ("mn04:Music of Latin America",),
    "Lounge": ("jamendo_fcn:genre---lounge",),
    "Male Vocals": ("msd:male vocalists",),
    "Mallets": ("mn04:Mallet percussion", "mn04:Vibraphone"),
    "Mandolin": ("mn04:Mandolin",),
    "Mellow": ("msd:Mellow",),
    "Middle Eastern": ("mn04:Middle Eastern music",),
    "New Age": ("jamendo_fcn:genre---newage", "mn04:New-age music"),
    "Oldies": ("msd:oldies",),
    "Opera": ("mn04:Opera",),
    "Orchestral": ("jamendo_fcn:genre---orchestral", "mn04:Orchestra"),
    "Organ": ("mn04:Organ", "mn04:Hammond organ"),
    "Party": ("msd:party",),
    "Percussion": ("mn04:Percussion",),
    "Piano": ("mn04:Piano", "jamendo_fcn:instrument---piano"),
    "Plucked Strings": ("mn04:Plucked string instrument",),
    "Pop Folk": ("jamendo_fcn:genre---popfolk",),
    "Pop Rock": ("jamendo_fcn:genre---poprock",),
    "Progressive Rock": ("msd:Progressive rock", "mn04:Progressive rock"),
    "Psychedelic Rock": ("mn04:Psychedelic rock",),
    "Punk": ("msd:punk", "mn04:Punk rock"),
    "R&B": ("msd:rnb", "mn04:Rhythm and blues"),
    "Relaxing": ("jamendo_fcn:mood/theme---relaxing",),
    "Rock and Roll": ("mn04:Rock and roll",),
    "Romantic": ("msd:sexy", "mn04:Tender music"),
    "Sad": ("mn04:Sad music", "msd:sad"),
    "Salsa": ("mn04:Salsa music",),
    "Saxophone": ("mn04:Saxophone",),
    "Scary": ("mn04:Scary music",),
    "Ska": ("mn04:Ska",),
    "Slide Guitar": ("mn04:Steel guitar, slide guitar",),
    "Soul": ("msd:soul", "mn04:Soul music"),
    "Soundtrack": ("jamendo_fcn:genre---soundtrack", "mn04:Soundtrack music"),
    "Strings": ("jamendo_fcn:instrument---strings", "mn04:String section"),
    "Swing": ("mn04:Swing music",),
    "Synthesizer": ("jamendo_fcn:instrument---synthesizer", "mn04:Synthesizer"),
    "Techno": ("mn04:Techno", "jamendo_fcn:genre---techno"),
    "Tender": ("mn04:Tender music",),
    "Theme Music": ("mn04:Theme music",),
    "Traditional": ("mn04:Traditional music",),
    "Trance": ("mn04:Trance music", "jamendo_fcn:genre---trance"),
    "Trip Hop": ("jamendo_fcn:genre---triphop",),
    "Trombone": ("mn04:Trombone",),
    "Trumpet": ("mn04:Trumpet",),
    "Video Game": ("mn04:Video game music",),
    "Violin": ("mn04:Violin, fiddle", "jamendo_fcn:instrument---violin"),
    "Vocal": ("mn04:Vocal music", "jamendo_fcn:instrument---voice"),
    "Woodwind": ("mn04:Wind instrument, woodwind instrument",),
    "World": ("jamendo_fcn:genre---world",),
}

SAYS_SO = 0.2  # a teacher's probability, mean over a clip, from which the clip has the tag
MIN_CLIPS, MIN_ARTISTS = 8, 5


@dataclass(frozen=True)
class Judged:
    """A style with its classifier, and how well it was recognised in unseen clips."""

    name: str
    truth: str  # the tag, or the word of AllMusic
    head: LinearHead
    clips: int  # that have it
    threshold: Threshold


def teachers_say(data: Path, work: Path, clips: list[Clip]) -> npt.NDArray[np.float64]:
    """Return the teachers' probabilities [clips, tags], the means over each clip's segments."""
    probabilities = np.zeros((len(clips), len(tag_names(data))))
    for index, examples in read_examples_of_clips(data, work):
        probabilities[index] = np.mean([e.probability for e in examples], axis=0)
    return probabilities


def judge(
    data: Path,
    work: Path,
    clips: list[Clip],
    pieces: Pieces,
    tags: LinearHead,
    folds: npt.NDArray[np.int64],
    trained: npt.NDArray[np.bool_],
) -> Iterator[Judged]:
    """Yield the styles that are recognised in the clips that the student never trained."""
    music = np.array([c.role != "nonmusic" for c in clips])
    unseen = np.flatnonzero(~trained & music)
    x = pieces.whole(unseen)
    probabilities, names = teachers_say(data, work, clips)[unseen], tag_names(data)
    groups = np.array([clips[i].group for i in unseen])
    found: dict[str, Judged] = {}
    for style, words in TAG_STYLES.items():
        for tag in words:
            k = names.index(tag)
            has = probabilities[:, k] >= SAYS_SO
            if has.sum() < MIN_CLIPS or len(set(groups[has])) < MIN_ARTISTS:
                continue
            head = LinearHead(tags.weight[:, [k]], tags.bias[[k]])
            threshold = threshold_of(sigmoid(head(x))[:, 0], has)
            if threshold is None:
                continue
            one = Judged(style, tag, head, int(has.sum()), threshold)
            if style not in found or threshold.recall > found[style].threshold.recall:
                found[style] = one
    found |= {j.name: j for j in _of_allmusic(clips, pieces, folds, unseen)}
    yield from (found[name] for name in sorted(found))


def _of_allmusic(
    clips: list[Clip],
    pieces: Pieces,
    folds: npt.NDArray[np.int64],
    unseen: npt.NDArray[np.int64],
) -> Iterator[Judged]:
    """Yield the words of AllMusic that heads recognise in folds that they were not fitted to."""
    rows = np.array([i for i in unseen if clips[i].allmusic])
    for style, word in ALLMUSIC_STYLES.items():
        p = np.zeros(len(rows))
        for fold in np.unique(folds[rows]):
            head = fit_word(pieces.x, pieces.clip, clips, folds != fold, word)
            test = folds[rows] == fold
            p[test] = sigmoid(head(pieces.whole(rows[test])))[:, 0]
        has = np.array([word in clips[i].genres for i in rows])
        threshold = threshold_of(p, has)
        if threshold is not None:
            everything = np.ones(len(clips), bool)
            head = fit_word(pieces.x, pieces.clip, clips, everything, word)
            yield Judged(style, f"AllMusic's {word}", head, int(has.sum()), threshold)


def as_metadata(judged: list[Judged]) -> Styles:
    """Return styles as a model file has them."""
    return Styles(
        tuple(j.name for j in judged),
        tuple(j.threshold.value for j in judged),
        np.concatenate([j.head.weight for j in judged], axis=1).astype(np.float16),
        tuple(round(float(j.head.bias[0]), 4) for j in judged),
    )
