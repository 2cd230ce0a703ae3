"""Tacotrons small enough to run in milliseconds, with every part of the full ones."""

import dataclasses

import torch
from padding_law import GARBAGE_TOKEN
from torch import Tensor, nn

from speechseq.batch import TTSBatch
from speechseq.models.decoder_stack import LSTMStackConfig, ResidualGRUStackConfig
from speechseq.models.encoders import CBHGEncoderConfig, ConvEncoderConfig
from speechseq.models.frame_decoder import FrameDecoderConfig
from speechseq.models.postnets import ConvPostnetConfig, LinearPostnetConfig
from speechseq.models.tacotron import Tacotron, TacotronConfig
from speechseq.models.tacotron_output import Generated
from speechseq.nn.attention.content import ContentConfig
from speechseq.nn.attention.location_sensitive import LocationSensitiveConfig

SYMBOLS, MELS, BINS = 6, 5, 9


def tiny_tacotron1(**decoder: object) -> TacotronConfig:
    """Tacotron of about 20 k parameters; `decoder` replaces numbers of its decoder."""
    numbers = {
        "reduction_factor": 2,
        "prenet": (16, 8),
        "prenet_bias": True,
        "attention_rnn": "gru",
        "attention_rnn_dim": 16,
        "attention_rnn_dropout": 0.0,
        "attention": ContentConfig(dim=12),
        "stack": ResidualGRUStackConfig(layers=2, dim=16),
        "project_context": False,
    }
    return TacotronConfig(
        encoder=CBHGEncoderConfig(
            embedding=8, prenet=(16, 8), bank=4, channels=8, projections=(8, 8), highways=2, gru=8
        ),
        decoder=FrameDecoderConfig(**numbers | decoder),
        postnet=LinearPostnetConfig(bank=3, channels=8, projections=(8,), highways=2, gru=8),
    )


def tiny_tacotron2(**decoder: object) -> TacotronConfig:
    """Tacotron 2 of about 20 k parameters; `decoder` replaces numbers of its decoder."""
    numbers = {
        "prenet": (16, 16),
        "attention_rnn_dim": 16,
        "attention": LocationSensitiveConfig(dim=8, filters=3, kernel=5),
        "stack": LSTMStackConfig(layers=1, dim=16),
    }
    return TacotronConfig(
        encoder=ConvEncoderConfig(embedding=8, layers=2, channels=8, kernel=5, lstm=8),
        decoder=FrameDecoderConfig(**numbers | decoder),
        postnet=ConvPostnetConfig(layers=3, channels=8, kernel=5),
    )


TINY = {"tacotron1": tiny_tacotron1, "tacotron2": tiny_tacotron2}


def without_dropout(config: TacotronConfig) -> TacotronConfig:
    """The same numbers with every dropout (not zoneout) at 0."""
    quiet = {
        "prenet_dropout": 0.0,
        "attention_rnn_dropout": 0.0,
        "stack": _quiet(config.decoder.stack),
    }
    return dataclasses.replace(
        config,
        encoder=_quiet(config.encoder),
        decoder=dataclasses.replace(config.decoder, **quiet),
        postnet=_quiet(config.postnet),
    )


def _quiet(part):  # type: ignore[no-untyped-def]
    return dataclasses.replace(part, dropout=0.0) if hasattr(part, "dropout") else part


def tiny_model(config: TacotronConfig) -> Tacotron:
    """The model for the tiny sizes, in evaluation mode."""
    return config.build(symbols=SYMBOLS, mels=MELS, bins=BINS).eval()


def padded(rows: list[Tensor], fill: float = 0.0, extra: int = 0) -> Tensor:
    """Rows (time, ...) as one batch (batch, time + extra, ...)."""
    whole = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=fill)
    behind = whole.new_full((len(rows), extra, *whole.shape[2:]), fill)
    return torch.cat([whole, behind], dim=1)


def tiny_batch(
    token_lengths: tuple[int, ...] = (4, 2, 3),
    frame_lengths: tuple[int, ...] = (7, 9, 4),
    *,
    fill: float = 0.0,
    extra: int = 0,
    seed: int = 0,
) -> TTSBatch:
    """Random texts and mels, padded with `fill`."""
    g = torch.Generator().manual_seed(seed)
    tokens = [torch.randint(SYMBOLS, (n,), generator=g) for n in token_lengths]
    mels = [torch.randn(n, MELS, generator=g) for n in frame_lengths]
    magnitudes = [torch.randn(n, BINS, generator=g) for n in frame_lengths]
    return TTSBatch(
        tokens=padded(tokens, extra=extra),
        token_lengths=torch.tensor(token_lengths),
        mel=padded(mels, fill, extra),
        frame_lengths=torch.tensor(frame_lengths),
        log_magnitude=padded(magnitudes, fill, extra),
    )


def never_stopping(name: str, **numbers: object) -> Tacotron:
    """A tiny model whose stop head says no, and whose attention never ends it."""
    torch.manual_seed(0)
    model = tiny_model(TINY[name](**{"attention_end_steps": 999} | numbers))
    nn.init.zeros_(model.decoder.stop.weight)
    nn.init.constant_(model.decoder.stop.bias, -9.0)
    return model


def texts(lengths: list[int]) -> list[Tensor]:
    """Random tokens of these lengths."""
    generator = torch.Generator().manual_seed(2)
    return [torch.randint(6, (n,), generator=generator) for n in lengths]


def speak(model: Tacotron, lengths: list[int], extra: int = 0, **options: object) -> Generated:
    """Those texts as one batch, with garbage for padding."""
    tokens = padded(texts(lengths), GARBAGE_TOKEN, extra)
    return model.generate(tokens, torch.tensor(lengths), **options)
