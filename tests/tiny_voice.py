"""A small untrained voice: model, vocabulary, audio settings, and a checkpoint folder of them."""

from pathlib import Path

import torch

from speechseq import checkpoint
from speechseq.audio.mel import AudioConfig
from speechseq.models.decoder_stack import LSTMStackConfig
from speechseq.models.encoders import ConvEncoderConfig
from speechseq.models.frame_decoder import FrameDecoderConfig
from speechseq.models.postnets import ConvPostnetConfig
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


def tiny_model() -> Tacotron:
    """The model with weights drawn from a fixed seed."""
    torch.manual_seed(1)
    return MODEL.build(symbols=len(VOCABULARY), mels=AUDIO.mels)


def save_voice(folder: Path, update: int = 7) -> Path:
    """A checkpoint of that model."""
    return checkpoint.save(
        folder,
        model=MODEL,
        audio=AUDIO,
        vocabulary=VOCABULARY,
        weights=tiny_model().state_dict(),
        update=update,
    )
