"""A voice reads as it was taught: collate and a saved and loaded Synthesizer give the same ids."""

import importlib.util
import json
import string
from pathlib import Path

import pytest
from lhotse import CutSet, MonoCut
from lhotse.utils import fastcopy
from tiny_voice import AUDIO, MODEL

from speechseq import checkpoint
from speechseq.audio.mel import AudioConfig
from speechseq.corpus.collate import TTSCollate
from speechseq.errors import CheckpointError, ConfigError, DataError
from speechseq.inference.synthesizer import Synthesizer
from speechseq.text.vocabulary import Vocabulary

GERMAN = string.ascii_lowercase + " äöüß,.;-!"
SENTENCES = ("über die brücke, schöne grüße!", "das maß, ganz heiß", "viele köche; zwei äpfel")
needs_espeak = pytest.mark.skipif(
    importlib.util.find_spec("espeakng_loader") is None, reason="needs the extra espeak"
)
KINDS = [
    pytest.param(lambda: Vocabulary.characters(), "Dr. Café, 5 kg!", id="English"),
    pytest.param(lambda: Vocabulary.characters(GERMAN), "Grüße, „Ja“", id="unknown"),
    pytest.param(lambda: Vocabulary.characters(GERMAN), "Über – U\u0308ber ß", id="German"),
    pytest.param(
        lambda: Vocabulary.characters(GERMAN + "5", normalizer="none"), "raum 5  ", id="none"
    ),
    pytest.param(
        lambda: Vocabulary.characters("abimul 5", normalizer="unicode"), "umbali 5", id="ASCII"
    ),
    pytest.param(lambda: Vocabulary.characters("абвгдеёжз ,."), "Да,  ёж.", id="Russian"),
    pytest.param(lambda: Vocabulary.words(["one", "two"]), "1 Two", id="words"),
    pytest.param(lambda: Vocabulary.words(["über", "zug"]), "Über  Zug", id="German words"),
    pytest.param(lambda: Vocabulary.train_pieces(SENTENCES, 35), "Über das Maß", id="pieces"),
    pytest.param(
        lambda: Vocabulary.phonemes(), "Dr. Smith, 1990.", marks=needs_espeak, id="phonemes"
    ),
    pytest.param(
        lambda: Vocabulary.phonemes(voice="de"),
        "Der Computer kostet 5,5 – „Update“?",
        marks=needs_espeak,
        id="German phonemes",
    ),
]


def with_text(cut: MonoCut, text: str) -> MonoCut:
    return cut.map_supervisions(lambda supervision: fastcopy(supervision, text=text))


def loaded(vocabulary: Vocabulary, folder: Path) -> Synthesizer:
    model = MODEL.build(symbols=len(vocabulary), mels=AUDIO.mels)
    path = checkpoint.save(
        folder / "voice",
        model=MODEL,
        audio=AUDIO,
        vocabulary=vocabulary,
        weights=model.state_dict(),
        update=1,
    )
    return Synthesizer.load(path)


@pytest.mark.parametrize(("build", "text"), KINDS)
def test_collate_encodes_what_a_loaded_synthesizer_reads(
    cuts: CutSet, tmp_path: Path, build, text: str
) -> None:
    vocabulary = build()
    synthesizer = loaded(vocabulary, tmp_path)
    assert synthesizer.vocabulary == vocabulary
    collate = TTSCollate(vocabulary, AudioConfig())
    if "„" in text and not vocabulary.voice:
        with pytest.raises(DataError, match="„"):
            collate([with_text(cuts[0], text)])
        with pytest.raises(DataError, match="„"):
            synthesizer.read(text)
    else:
        ids = collate([with_text(cuts[0], text)]).tokens[0].tolist()
        assert ids == list(synthesizer.read(text).ids)


def test_german_letters_and_numbers_are_never_english() -> None:
    german = Vocabulary.characters(GERMAN)
    assert german.normalizer == "unicode"
    assert german.normalize("Über 5 %") == "Über 5 %"
    with pytest.raises(DataError, match="'5'"):
        german.encode(german.normalize("5 Brücken"))


@needs_espeak
def test_an_espeak_voice_is_read_in_its_own_language() -> None:
    german = Vocabulary.phonemes(voice="de")
    units = "".join(german.units(german.normalize("5 Grüße")))
    assert units == "".join(german.units("fünf Grüße"))


@pytest.mark.parametrize(
    ("vocabulary", "name"),
    [
        (Vocabulary.characters(), "english"),
        (Vocabulary.characters("abc —’"), "english"),
        (Vocabulary.characters("abcé"), "unicode"),
        (Vocabulary.characters("au\u0308"), "unicode"),
        (Vocabulary.characters("한국"), "unicode"),
        (Vocabulary.characters("abcé", normalizer="english"), "english"),
        (Vocabulary.phonemes(voice="en-gb"), "english"),
        (Vocabulary.phonemes(voice="de"), "unicode"),
        (Vocabulary.phonemes(voice="de", normalizer="none"), "none"),
    ],
)
def test_the_choice_travels_in_the_file(vocabulary: Vocabulary, name: str, tmp_path: Path) -> None:
    assert vocabulary.normalizer == name
    vocabulary.save(tmp_path / "vocabulary.json")
    assert Vocabulary.load(tmp_path / "vocabulary.json") == vocabulary
    written = json.loads((tmp_path / "vocabulary.json").read_text())
    without = {key: value for key, value in written.items() if key != "normalizer"}
    if written == without:  # as older programs read it
        assert (name, Vocabulary.from_dict(without)) == ("english", vocabulary)


def test_an_older_file_reads_as_it_did() -> None:
    older = {"symbols": list("abc 5"), "controls": ["<pad>", "<eos>"], "fold_case": True}
    assert Vocabulary.from_dict({**older, "end": True, "voice": ""}).normalizer == "english"


@pytest.mark.parametrize("wrong", ["klingon", "", 5, None, ["english"]])
def test_an_unknown_normalizer_is_refused(wrong: object) -> None:
    data = Vocabulary.characters("ü").to_dict() | {"normalizer": wrong}
    with pytest.raises(CheckpointError, match="normalizer"):
        Vocabulary.from_dict(data)
    with pytest.raises(ConfigError, match="klingon"):
        Vocabulary.characters("ü", normalizer="klingon")


def test_a_text_that_the_voice_would_read_otherwise_is_not_learned(cuts: CutSet) -> None:
    digits = Vocabulary.characters("abcdefghijklmnopqrstuvwxyz 5")
    with pytest.raises(DataError, match="'room five'") as caught:
        TTSCollate(digits, AudioConfig(), normalizer=None)([with_text(cuts[0], "room 5")])
    assert 'normalizer="none"' in caught.value.cure
    same = TTSCollate(digits, AudioConfig(), normalizer=lambda text: text.replace("_", " "))
    assert same([with_text(cuts[0], "a_b")]).tokens[0].tolist() == digits.encode("a b")
