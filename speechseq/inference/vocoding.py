"""Vocoders: from mels to waveforms, of whole texts at once and of a stream in parts."""

import dataclasses
from collections.abc import Sequence
from typing import Annotated

from speechseq.audio.griffin_lim import griffin_lim
from speechseq.audio.griffin_lim_stream import GriffinLimStream
from speechseq.audio.mel import AudioConfig, expand, mel_to_magnitude
from speechseq.config import Config
from speechseq.errors import CheckpointError
from speechseq.models.tacotron_output import Generated
from speechseq.ranges import BelowOne, Range
from speechseq.shapes import Mel, Waveform


@dataclasses.dataclass(frozen=True, kw_only=True)
class VocoderConfig(Config):
    """Settings of Griffin-Lim.

    Args:
        iterations, momentum: arguments of `griffin_lim`; by ear, 60 iterations are enough.
        mel_power: exponent of the magnitudes of models that predict mels.
        linear_power: exponent of the magnitudes of models that predict them (1.2 in Tacotron).
    """

    iterations: Annotated[int, Range(0, 100_000)] = 60
    momentum: BelowOne = 0.99
    mel_power: Annotated[float, Range(0, 10, above=True)] = 1.0
    linear_power: Annotated[float, Range(0, 10, above=True)] = 1.2


def vocode(output: Generated, audio: AudioConfig, config: VocoderConfig, seed: int) -> Waveform:
    """Return the waveforms (batch, samples) of a model's output."""
    linear = output.log_magnitude
    magnitude = (
        mel_to_magnitude(output.mel_after, audio) if linear is None else expand(linear, audio)
    )
    return griffin_lim(
        magnitude,
        audio,
        iterations=config.iterations,
        momentum=config.momentum,
        power=config.mel_power if linear is None else config.linear_power,
        seed=seed,
        frame_lengths=output.frame_lengths,
    )


class StreamVocoder:
    """Vocoder of one mel that arrives in parts. Another vocoder has the same attribute and method.

    Attributes:
        look_ahead: number of frames after a sample that must have arrived before it is given.
    """

    def __init__(self, audio: AudioConfig, config: VocoderConfig, seed: int) -> None:
        self.audio = audio
        self.inverse = GriffinLimStream(
            audio,
            iterations=config.iterations,
            momentum=config.momentum,
            power=config.mel_power,
            seed=seed,
        )
        self.look_ahead = self.inverse.look_ahead

    def add(self, mel: Mel, last: bool) -> Waveform:
        """Return the samples (1, samples) that are final after these frames (1, frames, mels).

        They are those of whole frames, `hop` each, until the `last` ones give the rest.
        """
        return self.inverse.add(mel_to_magnitude(mel, self.audio), last)


def check_finite(mel: Mel, texts: Sequence[str]) -> None:
    """Raise CheckpointError if the mel of a text has NaN or Inf."""
    finite = mel.isfinite().flatten(1).all(1).tolist()
    for row, text in enumerate(texts):
        if not finite[row]:
            raise CheckpointError(
                f"the model's mel of {text[:60]!r} has NaN or Inf",
                "take an earlier checkpoint; training diverged before this one",
            )
