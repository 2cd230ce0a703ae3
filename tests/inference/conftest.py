"""A small untrained voice, and a checkpoint folder of it."""

from pathlib import Path

import pytest
import torch

from speechseq import checkpoint
from speechseq.audio.mel import AudioConfig
from speechseq.inference.synthesizer import Synthesizer, VocoderConfig
from speechseq.models.decoder_stack import LSTMStackConfig
from speechseq.models.encoders import ConvEncoderConfig
from speechseq.models.frame_decoder import FrameDecoderConfig
from speechseq.models.output_nets import ConvPostnetConfig
from speechseq.models.tacotron import Tacotron, TacotronConfig
from speechseq.nn.attention.location_sensitive import LocationSensitiveConfig
from speechseq.text.vocabulary import Vocabulary

AUDIO = AudioConfig(n_fft=256, hop=64, window=256, mels=20, sample_rate=8000, fmax=4000.0)
VOCABULARY = Vocabulary.characters("abcdefghijklmnopqrstuvwxyz ")
MODEL = TacotronConfig(
    encoder=ConvEncoderConfig(embedding=8, layers=1, channels=8, lstm=4),
    decoder=FrameDecoderConfig(
        reduction_factor=2,
        prenet=(8, 8),
        attention_rnn_dim=8,
        attention=LocationSensitiveConfig(dim=4, filters=2, kernel=5),
        stack=LSTMStackConfig(layers=1, dim=8),
        frames_per_token=2.0,
        spare_frames=10,
    ),
    postnet=ConvPostnetConfig(layers=2, channels=8),
)


@pytest.fixture
def model() -> Tacotron:
    torch.manual_seed(1)
    return MODEL.build(symbols=len(VOCABULARY), mels=AUDIO.mels)


@pytest.fixture
def synthesizer(model: Tacotron) -> Synthesizer:
    return Synthesizer(model, VOCABULARY, AUDIO, VocoderConfig(iterations=4), batch_size=2)


@pytest.fixture
def voice(model: Tacotron, tmp_path: Path) -> Path:
    return checkpoint.save(
        tmp_path / "voice",
        model=MODEL,
        audio=AUDIO,
        vocabulary=VOCABULARY,
        weights=model.state_dict(),
        update=7,
    )
