"""Level of a voice: a voice that is too quiet is made as loud as its recordings, and stays so."""

import dataclasses
import json

import pytest
import torch
from known_voice import KnownVoice, tone
from styled_voice import save_styled

from speechseq.errors import CheckpointError
from speechseq.evaluation.judge import Judge
from speechseq.evaluation.level import match_level, missing_gain
from speechseq.evaluation.style_transfer import Reference
from speechseq.evaluation.styled_speech import StyledVoice
from speechseq.inference.synthesizer import Synthesizer
from speechseq.inference.vocoding import VocoderConfig, save_vocoder

TEXT = "ab cd ef gh"


class Quiet(KnownVoice):
    """Speaks 6 dB below its references, but for the gain of its vocoder."""

    def _speech(self, text, code):
        found = super()._speech(text, code)
        quiet = self.vocoder.louder(found.waveform * 10 ** (-6 / 20))
        return dataclasses.replace(found, waveform=quiet)


@pytest.fixture
def folder(tmp_path):
    return save_styled(tmp_path / "vae", "vae")


@pytest.fixture
def quiet(folder):
    loaded = Synthesizer.load(folder)
    speaker = Quiet(loaded.model, loaded.vocabulary, loaded.audio)
    return StyledVoice(speaker, Judge(None, 0.0))


def recordings():
    own = torch.Generator().manual_seed(0)
    codes = torch.randn(12, 3, generator=own) * torch.tensor([3.0, 4.0, 0.3])
    return [Reference(tone(code), TEXT) for code in codes]


def test_what_a_voice_lacks_is_measured(quiet):
    assert missing_gain(quiet, recordings()) == pytest.approx(6.0, abs=0.1)


def test_the_gain_reaches_the_checkpoint_and_is_not_added_twice(quiet, folder):
    assert match_level(quiet, recordings(), folder) == pytest.approx(6.0, abs=0.1)
    assert missing_gain(quiet, recordings()) == pytest.approx(0.0, abs=0.1)
    assert match_level(quiet, recordings(), folder) == pytest.approx(6.0, abs=0.2)
    assert Synthesizer.load(folder).vocoder == quiet.synthesizer.vocoder


def streamed(voice):
    return voice.stream(TEXT, seed=0, max_steps=20, speaker="anna")


def test_speech_and_stream_are_louder_by_the_gain(folder):
    save_vocoder(folder, VocoderConfig(gain=-40.0))
    plain = Synthesizer.load(folder)
    save_vocoder(folder, VocoderConfig(gain=-49.5))
    softer = Synthesizer.load(folder)
    factor = 10 ** (-9.5 / 20)
    for speak in (
        lambda voice: voice.synthesize([TEXT], seed=0, max_steps=20, speaker="anna")[0].waveform,
        lambda voice: torch.cat([c.waveform for c in streamed(voice)]),
    ):
        before = speak(plain)
        assert before.abs().max() < 1  # so that it is not scaled down
        torch.testing.assert_close(speak(softer), before * factor)


@pytest.mark.parametrize(
    "content", ['{"gain": 1e9}', '{"volume": 3}', "[1]", "{", '{"gain": NaN}', "null", '"x"']
)
def test_wrong_settings_are_refused(folder, content):
    (folder / "vocoder.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"vocoder\.json"):
        Synthesizer.load(folder)


def test_the_file_has_every_setting(folder):
    save_vocoder(folder, VocoderConfig(iterations=3, gain=2.5))
    assert json.loads((folder / "vocoder.json").read_text())["gain"] == 2.5
    assert Synthesizer.load(folder).vocoder == VocoderConfig(iterations=3, gain=2.5)
