"""Words and pieces: a round trip, nothing unknown in silence, and a model that travels whole."""

import itertools
import json
import pickle
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechseq.errors import CheckpointError, ConfigError, DataError
from speechseq.text.pieces import SPACE
from speechseq.text.vocabulary import BLANK, EOS, PAD, SOS, TRANSCRIPT_CONTROLS, Vocabulary

WORDS = ("zero", "one", "two", "three")
TEXTS = (
    "the cat sat on the mat",
    "a dog ran to the cat",
    "the mat was on a dog",
    "cats and dogs sat here and there",
)
LETTERS = "".join(sorted(set("".join(TEXTS))))


@pytest.fixture(scope="module", params=["unigram", "bpe"])
def pieces(request: pytest.FixtureRequest) -> Vocabulary:
    return Vocabulary.train_pieces(TEXTS, 22, kind=request.param)


@given(st.lists(st.sampled_from(WORDS)))
def test_words_divide_at_white_space_and_join_with_a_space(words: list[str]) -> None:
    vocabulary = Vocabulary.words(WORDS)
    ids = vocabulary.encode("  \t".join(words) + " ")
    assert len(ids) == len(words) + 1
    assert vocabulary.decode(ids) == " ".join(words)


@given(text=st.text(alphabet=LETTERS))
def test_pieces_give_back_every_text_of_their_characters(pieces: Vocabulary, text: str) -> None:
    assert pieces.decode(pieces.encode(text)) == text


def test_pieces_are_longer_than_characters_and_as_many_as_asked_for(pieces: Vocabulary) -> None:
    assert len(pieces.symbols) == 22
    assert len(pieces.encode(TEXTS[0])) < len(TEXTS[0])


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_the_same_texts_give_the_same_pieces(kind: str) -> None:
    vocabularies = [Vocabulary.train_pieces(iter(TEXTS), 20, kind=kind) for _ in range(2)]
    assert vocabularies[0] == vocabularies[1]
    assert vocabularies[0].to_dict() == vocabularies[1].to_dict()


def test_controls_own_the_first_ids_of_every_unit(pieces: Vocabulary) -> None:
    for vocabulary in (pieces, Vocabulary.words(WORDS), Vocabulary.transcripts("ab ")):
        assert vocabulary.controls == TRANSCRIPT_CONTROLS
        assert (PAD, EOS, SOS, BLANK) == (0, 1, 2, 3)
        first = vocabulary.symbols[0]
        assert vocabulary.texts([PAD, EOS, SOS, BLANK, 4])[:4] == [""] * 4
        assert vocabulary.texts([4]) == [vocabulary.spelling.text(first)]


def test_unknown_words_are_listed_with_their_counts() -> None:
    with pytest.raises(DataError) as caught:
        Vocabulary.words(WORDS).encode("one eleven two eleven 3")
    assert "'eleven' × 2, '3' (U+0033) × 1" in caught.value.problem


def test_an_uncovered_character_is_named_and_never_becomes_unk(pieces: Vocabulary) -> None:
    with pytest.raises(DataError) as caught:
        pieces.encode("the zebra! or the mat!!")
    assert "'z' (U+007A) × 1" in caught.value.problem
    assert "'!' (U+0021) × 3" in caught.value.problem
    assert "'t'" not in caught.value.problem
    assert pieces.unknown("the\tcat") == {"\t": 1}
    assert pieces.unknown("a\ud800 cat\x00") == {"\ud800": 1, "\x00": 1}


def test_the_mark_of_a_space_is_no_space(pieces: Vocabulary) -> None:
    assert SPACE in pieces.symbols
    with pytest.raises(DataError, match=SPACE):
        pieces.encode(f"the{SPACE}cat")
    assert sum(pieces.unknown(f"a{SPACE}{SPACE}{SPACE}").values()) == 3


def test_case_is_folded_where_no_symbol_has_case(pieces: Vocabulary) -> None:
    assert pieces.decode(pieces.encode("The CAT")) == "the cat"
    assert Vocabulary.words(WORDS).decode(Vocabulary.words(WORDS).encode("One TWO")) == "one two"
    assert Vocabulary.words(["One", "two"]).unknown("one") == {"one": 1}


@pytest.mark.parametrize("size", [0, 3, 1000])
def test_a_size_that_the_texts_cannot_fill_or_fit_is_refused(size: int) -> None:
    with pytest.raises(ConfigError, match=f"^{size} pieces cannot be learned") as caught:
        Vocabulary.train_pieces(TEXTS, size)
    limit = int("".join(filter(str.isdigit, caught.value.cure)))
    vocabulary = Vocabulary.train_pieces(TEXTS, limit)  # what the cure says is so
    assert len(vocabulary.symbols) == limit


def test_pieces_of_no_texts_are_refused() -> None:
    with pytest.raises(ConfigError, match="cannot be learned"):
        Vocabulary.train_pieces([], 10)


@pytest.mark.parametrize("words", [("one two",), ("",), ("a", "\t"), ("a", "a")])
def test_words_that_make_no_sense_are_refused(words: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match="vocabulary: "):
        Vocabulary.words(words)


def test_units_travel_in_the_file(tmp_path: Path, pieces: Vocabulary) -> None:
    for vocabulary in (pieces, Vocabulary.words(WORDS), Vocabulary.transcripts("ab ")):
        vocabulary.save(tmp_path / "vocabulary.json")
        again = Vocabulary.load(tmp_path / "vocabulary.json")
        assert again == vocabulary
        assert again.encode("") == [EOS]
    assert Vocabulary.from_dict(pieces.to_dict()).encode(TEXTS[1]) == pieces.encode(TEXTS[1])


def test_a_file_of_characters_has_the_keys_that_older_programs_know() -> None:
    keys = {"symbols", "controls", "fold_case", "end", "voice"}
    for vocabulary in (Vocabulary.characters(), Vocabulary.transcripts("ab ")):
        assert set(vocabulary.to_dict()) == keys
    older = {"symbols": ["a"], "controls": ["<pad>", "<eos>"], "fold_case": True, "end": True}
    assert Vocabulary.from_dict(older | {"voice": ""}).encode("A") == [2, 1]


@pytest.mark.parametrize(
    "change",
    [
        {"model": ""},
        {"model": "no base64!"},
        {"model": "AAAA"},
        {"model": 5},
        {"units": "syllables"},
        {"units": ["pieces"]},
        {"units": "words"},
        {"symbols": ["a", "b"]},
    ],
)
def test_a_damaged_model_is_refused(pieces: Vocabulary, change: dict[str, object]) -> None:
    with pytest.raises(CheckpointError, match="vocabulary") as caught:
        Vocabulary.from_dict(pieces.to_dict() | change)
    assert caught.value.cure


def test_no_damage_to_a_model_comes_as_another_error(pieces: Vocabulary) -> None:
    model = pieces.spelling.to_dict()["model"]
    chance = random.Random(0)
    refused = 0
    for i in range(200):
        place = chance.randrange(len(model))
        cut = model[: place // 4 * 4]
        changed = model[:place] + chance.choice("AQgw/z") + model[place + 1 :]
        try:
            Vocabulary.from_dict(pieces.to_dict() | {"model": changed if i % 2 else cut})
        except CheckpointError:
            refused += 1
    assert refused > 100


def test_a_model_of_a_stranger_is_read_from_its_bytes(pieces: Vocabulary) -> None:
    model = pieces.spelling.model  # type: ignore[attr-defined]
    assert Vocabulary.pieces(model) == pieces
    with pytest.raises(ConfigError, match="sentencepiece"):
        Vocabulary.pieces(b"\x80\x04not a model")


def test_a_vocabulary_goes_to_another_process(pieces: Vocabulary) -> None:
    pieces.encode(TEXTS[0])
    again = pickle.loads(pickle.dumps(pieces))
    assert again == pieces
    assert again.encode(TEXTS[0]) == pieces.encode(TEXTS[0])
    assert json.loads(json.dumps(again.to_dict())) == pieces.to_dict()


def test_word_spans_of_characters() -> None:
    vocabulary = Vocabulary.transcripts("abc ")
    ids = vocabulary.encode("ab  c a")
    assert vocabulary.word_spans(ids) == [("ab", 0, 1), ("c", 4, 4), ("a", 6, 6)]
    assert vocabulary.word_spans([SOS, *ids[:2]]) == [("ab", 1, 2)]
    assert vocabulary.word_spans([EOS]) == []


def test_word_spans_of_words() -> None:
    vocabulary = Vocabulary.words(WORDS)
    spans = vocabulary.word_spans(vocabulary.encode("one zero one"))
    assert spans == [("one", 0, 0), ("zero", 1, 1), ("one", 2, 2)]


def test_word_spans_of_pieces_cover_every_piece(pieces: Vocabulary) -> None:
    for text in TEXTS:
        ids = pieces.encode(text)
        spans = pieces.word_spans(ids)
        assert [word for word, _, _ in spans] == text.split()
        assert spans[0][1] == 0
        assert spans[-1][2] == len(ids) - 2  # eos is no part of the last word
        for (_, _, last), (_, first, _) in itertools.pairwise(spans):
            between = pieces.decode(ids[last + 1 : first])
            assert not between.strip()
