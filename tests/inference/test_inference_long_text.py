"""Long texts are spoken piece by piece, each as it would be alone, in bounded memory."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tiny_voice import AUDIO, VOCABULARY, save_voice, tiny_model

from speechseq.audio import wav
from speechseq.cli import main
from speechseq.errors import DataError
from speechseq.inference.speech import batches, combined
from speechseq.inference.synthesizer import Synthesizer
from speechseq.inference.text_reader import MOST_AT_ONCE, MOST_CHARACTERS
from speechseq.text.splitting import LONGEST, split

SENTENCES = (
    "Dr Watson came in and sat down with us while the rain fell on the roof and nobody spoke! "
    "The lamp was lit. "
)
LONG = SENTENCES * (LONGEST // len(SENTENCES) + 2)


@pytest.fixture(scope="module")
def voice() -> Synthesizer:
    return Synthesizer(tiny_model().eval(), VOCABULARY, AUDIO)


@pytest.fixture
def plain(voice: Synthesizer, monkeypatch: pytest.MonkeyPatch) -> Synthesizer:
    """Its vocabulary has no full stops, which a reading leaves out."""
    kept = type(VOCABULARY).normalize

    def letters(self: object, text: str) -> str:
        return "".join(c for c in kept(self, text).lower() if c.isalpha() or c == " ").strip()

    monkeypatch.setattr(type(VOCABULARY), "normalize", letters)
    return voice


def test_a_long_text_is_its_pieces_spoken_alone_with_pauses(plain: Synthesizer) -> None:
    pieces = split(LONG)
    (whole,) = plain.synthesize([LONG], seed=3, max_steps=30)
    alone = [plain.synthesize([piece.text], seed=3, max_steps=30)[0] for piece in pieces]
    silences = [torch.zeros(round(piece.pause * AUDIO.sample_rate)) for piece in pieces]
    sounds = [part for pair in zip(alone, silences, strict=True) for part in pair_of(pair)]
    # Griffin-Lim makes a difference of 1e-7 in the mel larger
    torch.testing.assert_close(whole.waveform, torch.cat(sounds), rtol=0, atol=5e-3)
    torch.testing.assert_close(whole.mel, torch.cat([speech.mel for speech in alone]))
    assert whole.text == LONG
    assert whole.alignment.shape == (
        sum(len(speech.alignment) for speech in alone),
        len(whole.symbols),
    )
    assert whole.finished_reason == "limit"


def pair_of(pair: tuple) -> list[torch.Tensor]:
    return [pair[0].waveform, pair[1]]


def test_streaming_gives_the_same_and_a_short_text_whole(plain: Synthesizer) -> None:
    for text in (LONG, "one two"):
        (whole,) = plain.synthesize([text], seed=3, max_steps=30)
        streamed = [piece.with_pause() for piece in plain.pieces(text, seed=3, max_steps=30)]
        torch.testing.assert_close(torch.cat(streamed), whole.waveform, rtol=0, atol=5e-3)


def test_a_long_text_among_short_ones_keeps_its_place(plain: Synthesizer) -> None:
    texts = ["one", LONG, "two three"]
    spoken = plain.synthesize(texts, seed=3, max_steps=30)
    assert [speech.text for speech in spoken] == texts
    for text, speech in zip(texts, spoken, strict=True):
        (alone,) = plain.synthesize([text], seed=3, max_steps=30)
        torch.testing.assert_close(speech.mel, alone.mel)


def test_pieces_without_a_word_are_left_out_and_digits_that_grow_are_cut_again(
    plain: Synthesizer,
) -> None:
    readings = plain.readings(LONG + " ... !!! ... " + "1234567890" * 60)
    assert all(0 < len(reading.ids) <= LONGEST + 1 for reading in readings)
    with pytest.raises(DataError, match="nothing to say"):
        plain.readings("... " * 200)


def test_unknown_symbols_of_a_long_text_are_named(voice: Synthesizer) -> None:
    with pytest.raises(DataError, match="unknown symbols") as refused:
        voice.readings(SENTENCES * 500)
    assert len(refused.value.problem.splitlines()) <= 5


def test_more_text_than_one_answer_or_one_file_holds_is_refused_with_the_limit(
    voice: Synthesizer,
) -> None:
    with pytest.raises(DataError, match=f"{MOST_AT_ONCE:,} are spoken at once"):
        voice.synthesize(["a " * MOST_AT_ONCE])
    with pytest.raises(DataError, match=f"at most {MOST_CHARACTERS:,} are read"):
        voice.pieces("a" * (MOST_CHARACTERS + 1))


@pytest.mark.parametrize(
    ("reasons", "expected"),
    [
        (["stop", "stop"], "stop"),
        (["stop", "attention_end"], "attention_end"),
        (["attention_end", "limit", "stop"], "limit"),
    ],
)
def test_a_text_ends_by_stop_only_if_every_piece_does(reasons: list[str], expected: str) -> None:
    assert combined(reasons) == expected


def test_batches_are_bounded_by_rows_and_by_symbols_with_their_padding() -> None:
    lengths = [3, 1, 5, 5, 5, 40, 2, 2, 2, 2]
    found = list(batches(lengths, 3, 12))
    assert [place for places in found for place in places] == list(range(len(lengths)))
    for places in found:
        held = max(lengths[place] for place in places) * len(places)
        assert len(places) <= 3
        assert held <= 12 or len(places) == 1
    assert list(batches([], 3, 12)) == []
    assert [len(places) for places in batches([100] * 32, 16, 3200)] == [16, 16]


def test_the_command_speaks_long_lines_between_short_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_voice(tmp_path / "voice")
    long = "one two three " * 60
    (tmp_path / "texts").write_text(f"one\n{long}\ntwo\n")
    flags = ["--text-file", str(tmp_path / "texts"), "--out-dir", str(tmp_path / "out")]
    assert main(["synthesize", "--checkpoint", str(tmp_path / "voice"), *flags]) == 0
    seconds = [wav.header(tmp_path / "out" / f"{i:04d}.wav").seconds for i in (1, 2, 3)]
    assert seconds[1] > 20 * max(seconds[0], seconds[2])
    told = capsys.readouterr().out
    assert f"{seconds[1]:.2f} s, ended by limit" in told
    voice = Synthesizer.load(tmp_path / "voice")
    expected = torch.cat([piece.with_pause() for piece in voice.pieces(long, seed=0)])
    written, _ = wav.load(tmp_path / "out" / "0002.wav")
    assert (written[0] - expected).abs().max() <= 1 / 32768


MEASURE = """
import resource, sys
from pathlib import Path
from speechseq.cli import main
voice, out, text = sys.argv[1], sys.argv[2], sys.argv[3]
def say(path):
    assert main(["synthesize", "--checkpoint", voice, "--text-file", path, "--out-dir", out]) == 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
Path(out + ".short").write_text("one\\n")
before = say(out + ".short")
print("MB more:", say(text) - before)
"""


def test_thousands_of_characters_need_the_memory_of_a_few_pieces(tmp_path: Path) -> None:
    save_voice(tmp_path / "voice")
    (tmp_path / "text").write_text("one two three " * 400 + "\n" + "a" * 900 + "\n")
    words = [str(tmp_path / name) for name in ("voice", "out", "text")]
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, *words], capture_output=True, text=True, check=True
    )
    assert int(done.stdout.rsplit(":", 1)[1]) < 300
