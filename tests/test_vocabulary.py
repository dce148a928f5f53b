"""Vocabularies map labels to the user's words: aliases, trees, whitelists, files of beets."""

from __future__ import annotations

import json
import string
from pathlib import Path

import pytest
from conftest import Program
from hypothesis import given
from hypothesis import strategies as st

from genretag import tags
from genretag.audio import synthesis
from genretag.decisions.genre import decide
from genretag.decisions.policy import Existing, Policy, Protect
from genretag.decisions.reasons import Action
from genretag.decisions.vocabulary import (
    Vocabulary,
    built_in_tree,
    languages,
    misspelt_fields,
    normalise_genre,
    ready_made,
    tree_of,
)
from genretag.decisions.vote import Status, Verdict
from genretag.errors import UsageError
from genretag.inference.model import Model, bundled_model
from genretag.records import Album, Tags
from genretag.storage.vocabularies import read_vocabulary
from genretag.tags.id3v1 import listed as id3v1_words

LABELS = "Blues Classical Country Disco Electronic Hip-Hop Jazz Metal Pop Reggae Rock".split()
words = st.text(string.printable, min_size=1, max_size=20)


def read(folder: Path, text: str, name: str = "vocabulary.toml") -> Vocabulary:
    (folder / name).write_text(text, encoding="utf-8")
    return read_vocabulary(folder / name)


@given(st.lists(words, max_size=5))
def test_without_a_vocabulary_labels_are_written_as_they_are(labels: list[str]) -> None:
    assert Vocabulary().words(labels) == labels


def test_an_alias_maps_a_label_to_a_word(tmp_path: Path) -> None:
    v = read(tmp_path, '[aliases]\nHip-Hop = "Rap"\n"R&B" = "Soul / R&B, mostly"\n')
    assert v.words(["Hip-Hop"]) == ["Rap"]
    assert v.words(["hip-hop", "Jazz"]) == ["Rap", "Jazz"]
    assert v.words(["R&B"]) == ["Soul / R&B, mostly"]  # commas and slashes survive in one value


def test_parents_and_children_are_separate_values(tmp_path: Path) -> None:
    assert read(tmp_path, "canonical = true\nparents = true\n").words(["Deep House"]) == [
        "Electronic",
        "House",
        "Deep House",
    ]
    assert read(tmp_path, "canonical = true\nparents = true\ncount = 2").words(["Deep House"]) == [
        "Electronic",
        "House",
    ]


def test_a_word_outside_the_whitelist_becomes_its_nearest_parent_in_it(tmp_path: Path) -> None:
    v = read(tmp_path, 'canonical = true\nwhitelist = ["Electronic", "rock"]\n')
    assert v.words(["Deep House"]) == ["Electronic"]
    assert v.words(["Grunge"]) == ["Rock"]
    assert v.words(["Jazz"]) == []
    assert read(tmp_path, 'whitelist = ["Rock"]\nfallback = "Various"').words(["Jazz"]) == [
        "Various"
    ]
    assert read(tmp_path, 'whitelist = ["Rock"]\nunknown = "pass"').words(["Jazz"]) == ["Jazz"]


def test_ignored_words_are_never_written(tmp_path: Path) -> None:
    assert read(tmp_path, 'ignorelist = ["pop"]').words(["Pop", "Rock"]) == ["Rock"]
    v = read(tmp_path, '[ignorelist]\n"*" = ["pop"]\nmetallica = [".*metal"]')
    assert v.words(["Heavy Metal", "Rock"], artist="Metallica") == ["Rock"]
    assert v.words(["Heavy Metal"], artist="Slayer") == ["Heavy Metal"]


def test_lower_case_words_get_capitals_and_others_stay(tmp_path: Path) -> None:
    v = read(tmp_path, '[aliases]\nJazz = "swing & co"\nRock = "EDM"\nPop = "k-pop"')
    assert [v.words([w])[0] for w in ("Jazz", "Rock", "Pop")] == ["Swing & Co", "EDM", "K-pop"]
    assert read(tmp_path, 'title_case = false\n[aliases]\nJazz = "swing"').words(["Jazz"]) == [
        "swing"
    ]


def test_the_list_of_id3v1_is_a_whitelist(tmp_path: Path) -> None:
    assert id3v1_words()[:3] == ["Blues", "Classic Rock", "Country"]
    assert read(tmp_path, 'whitelist = "id3v1"').words(["Hip-Hop"]) == ["Hip-Hop"]
    assert read(tmp_path, 'whitelist = "id3v1"').words(["Shoegazing, late"]) == []


def test_the_tree_knows_every_label_and_has_no_loop() -> None:
    tree = built_in_tree()
    for (
        label
    ) in "Blues Classical Country Disco Electronic Hip-Hop Jazz Metal Pop Reggae Rock".split():
        assert tree.chain(label) == [label]
    assert all(len(tree.chain(word)) < 6 for word in tree.spelling)
    assert tree.is_finer("Bebop", "Jazz")
    assert not tree.is_finer("Jazz", "Bebop")
    assert not tree.is_finer("jazz", "Jazz")


@given(
    st.recursive(
        st.lists(words, max_size=3),
        lambda inner: st.dictionaries(words, inner, max_size=3),
        max_leaves=8,
    )
)
def test_any_nested_tree_is_read_and_its_chains_end(nested: object) -> None:
    tree = tree_of(nested)
    assert all(len(tree.chain(w)) <= len(tree.spelling) + 1 for w in tree.spelling)


def test_files_of_beets_are_read_unchanged(tmp_path: Path) -> None:
    (tmp_path / "tree.yaml").write_text(
        "- electronic:\n    - house:\n        - deep house\n- rock\n"
    )
    (tmp_path / "list.txt").write_text("# mine\nhouse\n\nrock\nrap\n")
    (tmp_path / "aliases.yaml").write_text(
        "rap:\n    - hip[- ]?hop\n\\1-\\2:\n    - ([ckj])[- ]*(pop)\n"
    )
    v = read(
        tmp_path, 'canonical = "tree.yaml"\nwhitelist = "list.txt"\naliases = "aliases.yaml"\n'
    )
    assert v.words(["Deep House"]) == ["House"]
    assert v.words(["Hip-Hop"]) == ["Rap"]  # beets' direction: word: [patterns of labels]
    assert read(tmp_path, 'aliases = "aliases.yaml"').words(["K pop"]) == ["K-pop"]


def test_a_beets_configuration_is_a_vocabulary(tmp_path: Path) -> None:
    text = (
        "plugins: lastgenre\nlastgenre:\n    source: album\n    count: 2\n"
        "    whitelist: no\n    aliases:\n        rap: [hip.hop]\n"
    )
    v = read(tmp_path, text, "config.yaml")
    assert v.words(["Hip-Hop", "Rock", "Jazz"]) == ["Rap", "Rock"]
    with pytest.raises(UsageError, match="lastgenre"):
        read(tmp_path, "plugins: x\n", "other.yaml")


@pytest.mark.parametrize(
    ("text", "say"),
    [
        ('whitelst = "x.txt"', "did you mean whitelist"),
        ("count = 0", "from 1 on"),
        ('unknown = "maybe"', '"pass" or "drop"'),
        ('whitelist = "gone.txt"', "cannot be read"),
        ("canonical = 7", "nested lists"),
        ("parents = 1", "true or false"),
        ("= broken", "vocabulary.toml"),
    ],
)
def test_a_mistake_in_a_vocabulary_is_one_clear_sentence(
    tmp_path: Path, text: str, say: str
) -> None:
    with pytest.raises(UsageError, match=say):
        read(tmp_path, text)


def test_a_policy_with_a_vocabulary_survives_json(tmp_path: Path) -> None:
    v = read(
        tmp_path,
        'canonical = true\nparents = true\nignorelist = ["x"]\n'
        'whitelist = ["Jazz"]\n[aliases]\na = "b"',
    )
    policy = Policy(
        vocabulary=v, protect=Protect(paths=("a",)), existing=Existing.APPEND, coarsen=True
    )
    again = Policy.from_dict(json.loads(json.dumps(policy.to_dict())))
    assert again.vocabulary.words(["Bebop", "a"]) == v.words(["Bebop", "a"])
    assert json.dumps(again.to_dict()) == json.dumps(policy.to_dict())


def verdict(genre: str = "Jazz") -> Verdict:
    return Verdict(Status.OK, genre, 0.9, {genre: 0.9, "Pop": 0.1}, 4, 1.0, 0.99)


def test_a_finer_genre_is_not_replaced_by_its_parent_by_default() -> None:
    policy = Policy(existing=Existing.REPLACE)
    assert decide(verdict(), Tags(["bebop"], "TCON"), policy)[:2] == (
        Action.KEEP,
        "has a finer genre",
    )
    assert decide(verdict(), Tags(["Grunge"], "TCON"), policy)[2] == ["Jazz"]
    assert decide(
        verdict(), Tags(["bebop"], "TCON"), Policy(existing=Existing.REPLACE, coarsen=True)
    )[2] == ["Jazz"]


def test_a_genre_by_genretag_is_renewed_and_the_users_own_stays() -> None:
    assert decide(verdict(), Tags(["Rock"], "TCON"), Policy(), ours=True)[:2] == (
        Action.WRITE,
        "renews what genretag wrote",
    )
    assert decide(verdict(), Tags(["Rock"], "TCON"), Policy())[0] is Action.KEEP


@pytest.mark.parametrize(
    ("protect", "why"),
    [
        (Protect(paths=("Bootlegs",)), "path"),
        (Protect(paths=("*.flac",)), "path"),
        (Protect(artists=("the band",)), "artist"),
        (Protect(genres=("hörspiel",)), "genre"),
    ],
)
def test_protected_files_are_never_written(protect: Protect, why: str) -> None:
    given_tags = Tags(["Hörspiel"], "TCON", Album("The Band", "A", ""))
    policy = Policy(existing=Existing.REPLACE, protect=protect)
    action, reason, new, _ = decide(verdict(), given_tags, policy, path="/music/Bootlegs/x.flac")
    assert (action, new) == (Action.SKIP, ["Hörspiel"])
    assert why in reason
    assert decide(verdict(), Tags([], "TCON"), policy, path="/music/Mine/x.mp3")[0] is Action.WRITE


@pytest.fixture
def music(tmp_path: Path) -> Path:
    """Two pieces of one album, and one beside it."""
    folder = tmp_path / "music"
    for n, (artist, album) in enumerate([("A", "One"), ("A", "One"), ("B", "Two")]):
        path = folder / album / f"{n}.flac"
        path.parent.mkdir(parents=True, exist_ok=True)
        synthesis.encode(
            path,
            synthesis.piece(n, 4),
            44_100,
            tags={"artist": artist, "album": album, "album_artist": artist},
        )
    return folder


def test_plan_maps_again_without_a_new_analysis(
    genretag: Program, music: Path, tmp_path: Path
) -> None:
    rows = genretag("scan", music, "--dry-run", "--json", "--min-confidence", 0).rows
    first_words = {r["path"]: r["new"] for r in rows}
    label = rows[0]["genre"]
    (tmp_path / "v.toml").write_text(f'[aliases]\n{label} = "Mine, all mine"\n')
    hidden = music.rename(music.with_name("away"))
    done = genretag("plan", "--vocabulary", tmp_path / "v.toml", "--json")
    hidden.rename(music)
    assert done.rows[0]["new"] == ["Mine, all mine"]
    assert [r["new"] for r in done.rows if r["genre"] != label] == [
        first_words[r["path"]] for r in done.rows if r["genre"] != label
    ]
    assert len(genretag("plan", music / "Two", "--json").rows) == 1
    # The plan that was stored last is that of Two.
    assert genretag("plan", music, "--vocabulary", tmp_path / "v.toml").status == 0
    assert genretag("apply", "--yes").status == 0
    assert tags.read(music / "One" / "0.flac").genres == ["Mine, all mine"]


def test_a_genre_by_genretag_is_renewed_by_the_next_plan(
    genretag: Program, music: Path, tmp_path: Path
) -> None:
    assert genretag("scan", music, "--yes", "--min-confidence", 0).status == 0
    tags.write(music / "Two" / "2.flac", ["The user's own"])
    (tmp_path / "vocabulary.toml").write_text(
        '[aliases]\n".*" = "x"\n' + "".join(f'{w} = "My {w}"\n' for w in LABELS)
    )
    rows = {
        Path(r["path"]).name: r
        for r in genretag("scan", music, "--dry-run", "--json", "--min-confidence", 0).rows
    }
    assert rows["0.flac"]["reason"] == "renews what genretag wrote"
    assert rows["0.flac"]["new"][0].startswith("My ")
    assert (rows["2.flac"]["action"], rows["2.flac"]["reason"]) == ("keep", "already has a genre")


def test_each_step_is_explained(genretag: Program, music: Path, tmp_path: Path) -> None:
    genretag("scan", music, "--dry-run")
    (tmp_path / "v.toml").write_text('canonical = true\nfallback = "None of it"\n')
    out = genretag(
        "plan",
        "--explain",
        music / "One" / "0.flac",
        "--vocabulary",
        tmp_path / "v.toml",
        "--min-confidence",
        0,
    ).out
    for step in (
        "window at 0:00",
        "vote (mean)",
        "threshold",
        "aliases",
        "fallback" if "None of it" in out else "tree",
        "decision",
        "written",
    ):
        assert step in out
    steps = json.loads(genretag("plan", "--explain", music / "One" / "0.flac", "--json").out)
    assert steps[-1]["step"] == "written"


def test_short_forms_equal_the_rule_and_contradictions_are_refused(
    genretag: Program, music: Path
) -> None:
    tags.write(music / "One" / "0.flac", ["Old"])
    genretag("scan", music, "--dry-run", "--min-confidence", 0)
    first = {flag: genretag("plan", flag, "--json").rows[0] for flag in ("-S", "-f", "-k")}
    assert [first[flag]["action"] for flag in first] == ["keep", "write", "write"]
    assert len(first["-f"]["new"]) == 1
    assert first["-k"]["new"][0] == "Old"
    assert genretag("plan", "-f", "-k").status == 2


def test_plain_words() -> None:
    assert normalise_genre("Hip-Hop") == normalise_genre("hip hop") == normalise_genre("HIPHOP")
    assert normalise_genre("R&B") == normalise_genre("r and b")
    assert normalise_genre("???") == "???"


def test_a_setting_adds_genres_that_count_as_none(tmp_path: Path) -> None:
    (tmp_path / "v.toml").write_text('generic = ["To Sort"]')
    vocabulary = read_vocabulary(tmp_path / "v.toml")
    assert vocabulary.words(["Hip-Hop"]) == ["Hip-Hop"]
    assert Vocabulary.from_dict(vocabulary.to_dict()) == vocabulary
    tagged = Tags(["to sort"], "TCON")
    assert decide(verdict(), tagged, Policy(vocabulary=vocabulary)).new == ["Jazz"]
    assert decide(verdict(), tagged, Policy()).new == ["to sort"]


# --- moods, styles and languages ------------------------------------------------------------------


@pytest.mark.parametrize("language", languages())
def test_every_label_of_the_model_has_a_ready_made_word(language: str) -> None:
    metadata = Model(bundled_model()).metadata
    assert metadata.styles is not None and metadata.moods is not None
    words = ready_made(language)
    wanted = {"genres": (*metadata.labels, *metadata.styles.names), "moods": metadata.moods.names}
    missing = {
        table: [label for label in labels if normalise_genre(label) not in words[table]]
        for table, labels in wanted.items()
    }
    assert missing == {"genres": [], "moods": []}
    # Moods exclude each other, so that two must not share a word.
    moods = [words["moods"][normalise_genre(mood)] for mood in metadata.moods.names]
    assert len(set(moods)) == len(moods)


def test_the_ready_made_lists_have_the_same_labels() -> None:
    assert set(languages()) == {"de", "es", "fr", "it", "ja", "pl", "pt", "ru"}
    labels = {language: set(ready_made(language)["genres"]) for language in languages()}
    assert all(found == labels["de"] for found in labels.values())


def test_own_words_come_before_the_ready_made_ones(tmp_path: Path) -> None:
    path = tmp_path / "vocabulary.toml"
    path.write_text(
        'language = "de"\n[aliases]\nRock = "Krach"\n[moods]\nCalm = "Leise"\n'
        '[styles]\nVocal = ""\n'
    )
    words = read_vocabulary(path)
    assert words.words(["Rock", "Classical"]) == ["Krach", "Klassik"]
    assert words.field_words("mood", ["Calm"]) == ["Leise"]
    assert words.field_words("mood", ["Sad"]) == ["Traurig"]
    assert words.field_words("style", ["Vocal", "Piano", "Mine"]) == ["Klavier", "Mine"]
    assert Vocabulary.from_dict(json.loads(json.dumps(words.to_dict()))) == words
    assert read_vocabulary(Path("ja")).words(["Jazz"]) == ["ジャズ"]


def test_a_misspelt_mood_or_language_gets_a_hint(tmp_path: Path) -> None:
    path = tmp_path / "vocabulary.toml"
    path.write_text('[moods]\nClam = "Ruhig"\n[styles]\nPiano = "Klavier"\n')
    found = misspelt_fields(read_vocabulary(path), ["Happy", "Calm"], ["Piano"])
    assert found == [("moods", "Clam", "Calm")]
    path.write_text('language = "dee"\n')
    with pytest.raises(UsageError, match="one of de, es"):
        read_vocabulary(path)
    path.write_text("[moods]\nCalm = 1\n")
    with pytest.raises(UsageError, match="pairs"):
        read_vocabulary(path)
