"""A small untrained voice to speak with."""

from pathlib import Path

import pytest
from tiny_voice import AUDIO, VOCABULARY, save_voice, tiny_model

from speechseq.inference.synthesizer import Synthesizer, VocoderConfig
from speechseq.models.tacotron import Tacotron


@pytest.fixture
def model() -> Tacotron:
    return tiny_model()


@pytest.fixture
def synthesizer(model: Tacotron) -> Synthesizer:
    return Synthesizer(model, VOCABULARY, AUDIO, VocoderConfig(iterations=4), batch_size=2)


@pytest.fixture
def voice(tmp_path: Path) -> Path:
    return save_voice(tmp_path / "voice")
