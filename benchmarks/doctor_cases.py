"""Cases of the doctor's benchmark: ten runs spoiled on purpose, and five good ones."""

import dataclasses
import random
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from speechseq.audio.mel import AudioConfig
from speechseq.models.tacotron import TacotronConfig, tacotron1, tacotron2_small
from speechseq.nn.attention.dynamic_convolution import DynamicConvolutionConfig
from speechseq.nn.attention.location_sensitive import LocationSensitiveConfig

AUDIO = AudioConfig.preset("nvidia")
SECOND = AUDIO.sample_rate
Pair = tuple[str, Tensor]  # a text and its waveform (samples)


def tiny(reduction_factor: int = 4) -> TacotronConfig:
    """Tacotron 2 of 0.4 million parameters."""
    small = tacotron2_small(reduction_factor=reduction_factor)
    decoder = dataclasses.replace(
        small.decoder,
        prenet=(64, 64),
        attention_rnn_dim=128,
        attention=LocationSensitiveConfig(dim=32, filters=8, kernel=15),
        stack=dataclasses.replace(small.decoder.stack, dim=128),
    )
    return dataclasses.replace(
        small,
        encoder=dataclasses.replace(small.encoder, embedding=64, channels=64, lstm=32),
        decoder=decoder,
        postnet=dataclasses.replace(small.postnet, layers=3, channels=64),
    )


def dynamic() -> TacotronConfig:
    """The tiny model with dynamic convolution attention."""
    model = tiny(2)
    attention = DynamicConvolutionConfig(dim=32)
    return dataclasses.replace(
        model, decoder=dataclasses.replace(model.decoder, attention=attention)
    )


def first() -> TacotronConfig:
    """Tiny Tacotron with GRUs and a CBHG encoder, whose attention is content-based."""
    config, small = tacotron1(reduction_factor=4), tiny()
    encoder = dataclasses.replace(
        config.encoder, embedding=64, prenet=(64, 64), bank=4, channels=64, projections=(64, 64)
    )
    encoder = dataclasses.replace(encoder, highways=2, gru=32)
    numbers = {"mel_mean": small.mel_mean, "mel_scale": small.mel_scale, "postnet": small.postnet}
    decoder = dataclasses.replace(
        config.decoder,
        prenet=(64, 64),
        attention_rnn_dim=128,
        attention=dataclasses.replace(config.decoder.attention, dim=64),
        stack=dataclasses.replace(config.decoder.stack, dim=128),
    )
    return dataclasses.replace(config, encoder=encoder, decoder=decoder, **numbers)


def shuffled(pairs: list[Pair]) -> list[Pair]:
    """Every recording with the text of another."""
    texts = [text for text, _ in pairs]
    random.Random(0).shuffle(texts)
    return list(zip(texts, (sound for _, sound in pairs), strict=True))


def silent(pairs: list[Pair]) -> list[Pair]:
    """A second of silence in front of every recording."""
    return [(text, torch.cat([torch.zeros(SECOND), sound])) for text, sound in pairs]


def slow(pairs: list[Pair]) -> list[Pair]:
    """Recordings of 44.1 kHz, read as 22.05 kHz: half as fast, and an octave lower."""
    import torchaudio

    return [(text, torchaudio.functional.resample(sound, 1, 2)) for text, sound in pairs]


def cut(pairs: list[Pair]) -> list[Pair]:
    """Every second text loses its second half."""
    halves = [" ".join(text.split()[: (len(text.split()) + 1) // 2]) for text, _ in pairs]
    return [(halves[i] if i % 2 else pair[0], pair[1]) for i, pair in enumerate(pairs)]


def alike(pairs: list[Pair]) -> list[Pair]:
    """One text for all recordings."""
    return [(pairs[0][0], sound) for _, sound in pairs]


def unchanged(pairs: list[Pair]) -> list[Pair]:
    """The corpus as it is."""
    return pairs


class Case(NamedTuple):
    """Run to diagnose.

    Attributes:
        named: beginning of the problem that a right diagnosis has; "" for a good run.
        spoil: change of the corpus.
        mels: convention that the mels are made in; the run believes in `AUDIO`.
    """

    named: str = ""
    spoil: Callable[[list[Pair]], list[Pair]] = unchanged
    model: TacotronConfig = tiny()
    guide: float = 50.0
    stop: float = 1.0
    rate: float = 2e-3
    mels: AudioConfig = AUDIO
    freeze: bool = False
    seed: int = 0
    voice: str = "en-us"
    words_per_minute: int = 175


CASES = {
    "shuffled texts": Case("texts", shuffled),
    "no guide at r = 1": Case("attention", model=tiny(1), guide=0.0),
    "learning rate x 30": Case("learning rate", rate=6e-2),
    "silence of 1 s in front": Case("silence", silent),
    "wrong sample rate": Case("sample rate", slow),
    "half the texts cut": Case("texts", cut),
    "one text for all": Case("texts", alike),
    "stop weight 0": Case("stop", stop=0.0),
    "frozen encoder": Case("encoder", freeze=True),
    "mels of another convention": Case(
        "mels", mels=dataclasses.replace(AUDIO, log="log10", floor=1e-10, fmin=80.0, fmax=7600.0)
    ),
    "good": Case(),
    "good: a woman's voice, slower": Case(voice="en-gb+f1", words_per_minute=140, seed=1),
    "good: r = 2, half the rate": Case(model=tiny(2), rate=1e-3, seed=2),
    "good: dynamic convolution, no guide": Case(model=dynamic(), guide=0.0, seed=3),
    "good: Tacotron 1": Case(model=first(), seed=4),
}
