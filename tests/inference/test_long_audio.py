"""Long audio comes out whole, window by window, whatever its length, silence or format."""

import itertools
from pathlib import Path

import pytest
import soundfile
import torch
from tiny_recogniser import AUDIO, RATE, VOCABULARY, tiny_recogniser, tones, words

from speechseq.audio import wav
from speechseq.errors import CheckpointError, ConfigError, DataError
from speechseq.inference.long_audio import transcribe_long
from speechseq.inference.search.greedy import Greedy
from speechseq.inference.transcriber import Transcriber
from speechseq.inference.windows import WindowConfig

WINDOWS = WindowConfig(seconds=1.5, overlap=0.5)
TEXT = words(40, 6)


@pytest.fixture
def transcriber() -> Transcriber:
    return Transcriber(tiny_recogniser(), VOCABULARY, AUDIO, batch_size=4)


def test_a_sound_far_longer_than_trained_is_read_whole(
    transcriber: Transcriber, tmp_path: Path
) -> None:
    wav.save(tmp_path / "x.wav", tones(TEXT), RATE)
    read = transcribe_long(transcriber, tmp_path / "x.wav", WINDOWS, strategy=Greedy())
    assert read.text == TEXT
    assert read.unfinished == 0
    assert read.windows > 10
    assert read.seconds == pytest.approx(len(TEXT) / 10)
    place = 0
    for word in read.words:
        assert word.start == pytest.approx(place / 10, abs=0.08)
        place += len(word.text) + 1
    assert all(one.end <= other.start for one, other in itertools.pairwise(read.words))


def test_batches_of_windows_change_nothing(transcriber: Transcriber, tmp_path: Path) -> None:
    wav.save(tmp_path / "x.wav", tones(TEXT), RATE)
    one = transcribe_long(transcriber, tmp_path / "x.wav", WINDOWS, strategy=Greedy())
    transcriber.batch_size = 1
    other = transcribe_long(transcriber, tmp_path / "x.wav", WINDOWS, strategy=Greedy())
    assert one.text == other.text
    for a, b in zip(one.words, other.words, strict=True):
        assert (a.start, a.end) == pytest.approx((b.start, b.end), abs=1e-3)


def test_windows_of_silence_are_not_read(
    transcriber: Transcriber, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A speller that is given silence makes words up."""
    quiet = torch.zeros(4 * RATE)
    sound = torch.cat([quiet, tones(" abc b ac "), quiet])
    soundfile.write(tmp_path / "x.flac", sound.numpy(), RATE)
    heard, attempt = [], transcriber.attempt

    def listening(sounds: list, **flags: object) -> list:
        heard.extend(waveform for waveform, _ in sounds)
        return attempt(sounds, **flags)

    monkeypatch.setattr(transcriber, "attempt", listening)
    read = transcribe_long(transcriber, tmp_path / "x.flac", WINDOWS, strategy=Greedy())
    assert 0 < len(heard) < read.windows - 4
    assert all(float(waveform.abs().max()) > 1e-3 for waveform in heard)
    assert all(2.4 <= word.start <= word.end <= 6.6 for word in read.words)
    wav.save(tmp_path / "quiet.wav", torch.zeros(5 * RATE), RATE)
    nothing = transcribe_long(transcriber, tmp_path / "quiet.wav", WINDOWS)
    assert (nothing.text, nothing.words, nothing.seconds) == ("", (), 5.0)


def test_another_rate_and_a_short_file(transcriber: Transcriber, tmp_path: Path) -> None:
    twice = wav.resample(tones(TEXT).unsqueeze(0), RATE, 2 * RATE)
    wav.save(tmp_path / "x.wav", twice.clamp(-1, 1), 2 * RATE)
    read = transcribe_long(transcriber, tmp_path / "x.wav", WINDOWS, strategy=Greedy())
    assert read.text == TEXT
    wav.save(tmp_path / "y.wav", tones("ab c"), RATE)
    assert transcribe_long(transcriber, tmp_path / "y.wav", WINDOWS).text == "ab c"


def test_what_cannot_be_read_is_refused(transcriber: Transcriber, tmp_path: Path) -> None:
    nan = tones(TEXT)
    nan[30_000] = float("nan")
    soundfile.write(tmp_path / "nan.wav", nan.numpy(), RATE, subtype="FLOAT")
    with pytest.raises(DataError, match="the first is sample 30000"):
        transcribe_long(transcriber, tmp_path / "nan.wav", WINDOWS)
    wav.save(tmp_path / "short.wav", tones("a")[:50], RATE)
    with pytest.raises(DataError, match=r"short\.wav: from 0\.0 s: .*too short"):
        transcribe_long(transcriber, tmp_path / "short.wav", WINDOWS)
    with pytest.raises(DataError, match="no such file"):
        transcribe_long(transcriber, tmp_path / "none.wav", WINDOWS)
    wav.save(tmp_path / "x.wav", tones(TEXT), RATE)
    with pytest.raises(ConfigError, match="windows of 90 seconds, the transcriber takes 60"):
        transcribe_long(transcriber, tmp_path / "x.wav", WindowConfig(seconds=90.0))
    with torch.no_grad():
        transcriber.model.speller.symbols.bias.fill_(float("nan"))
    with pytest.raises(CheckpointError, match=r"x\.wav: from 0\.0 s: "):
        transcribe_long(transcriber, tmp_path / "x.wav", WINDOWS)


def test_windows_of_silence_count_as_no_speech(transcriber: Transcriber, tmp_path: Path) -> None:
    wav.save(tmp_path / "silent.wav", torch.zeros(6 * RATE), RATE)
    wav.save(tmp_path / "half.wav", torch.cat([tones(TEXT[:60]), torch.zeros(6 * RATE)]), RATE)
    silent, half = (
        transcribe_long(transcriber, tmp_path / name, WINDOWS, strategy=Greedy())
        for name in ("silent.wav", "half.wav")
    )
    assert (silent.text, silent.no_speech) == ("", 1.0)
    assert 0.3 < half.no_speech < 0.8
