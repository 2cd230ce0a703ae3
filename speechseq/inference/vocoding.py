"""Vocoders: from mels to waveforms, of whole texts at once and of a stream in parts."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from torch import Tensor

from speechseq.audio.griffin_lim import griffin_lim
from speechseq.audio.griffin_lim_stream import GriffinLimStream
from speechseq.audio.mel import AudioConfig, expand, mel_to_magnitude
from speechseq.checkpoint.description import parse_json
from speechseq.checkpoint.folder import VOCODER, read_bytes
from speechseq.config import Config
from speechseq.errors import CheckpointError, ConfigError
from speechseq.file_writing import replace_file
from speechseq.models.tacotron_output import Generated
from speechseq.ranges import BelowOne, Range
from speechseq.shapes import Mel, Waveform

_LARGEST = 1 << 16  # bytes of a file of settings


@dataclasses.dataclass(frozen=True, kw_only=True)
class VocoderConfig(Config):
    """Settings of Griffin-Lim, the vocoder of a Synthesizer.

    Args:
        iterations: number of iterations; by ear, 60 are enough.
        momentum: momentum of the iterations, see `griffin_lim`.
        mel_power: exponent of the magnitudes, for models that predict mels.
        linear_power: exponent of the magnitudes, for models that predict linear magnitudes (1.2 in
            Tacotron).
        gain: added to the level of the sound, in dB; `evaluation.level` measures the gain with
            which a voice is as loud as its recordings.
    """

    iterations: Annotated[int, Range(0, 100_000)] = 60
    momentum: BelowOne = 0.99
    mel_power: Annotated[float, Range(0, 10, above=True)] = 1.0
    linear_power: Annotated[float, Range(0, 10, above=True)] = 1.2
    gain: Annotated[float, Range(-60, 60)] = 0.0

    def louder(self, waveform: Tensor) -> Tensor:
        """Apply the gain (`gain`, in dB) to a waveform of any shape."""
        return waveform * 10 ** (self.gain / 20) if self.gain else waveform


def vocode(output: Generated, audio: AudioConfig, config: VocoderConfig, seed: int) -> Waveform:
    """Convert a model's output to waveforms (batch, samples) by Griffin-Lim.

    Linear magnitudes are used if the model predicts them, otherwise mels.

    Args:
        output: free-running output of a Tacotron.
        audio: the model's audio settings.
        config: settings of Griffin-Lim.
        seed: seed of the initial phases.
    """
    linear = output.log_magnitude
    magnitude = (
        mel_to_magnitude(output.mel_after, audio) if linear is None else expand(linear, audio)
    )
    waveforms = griffin_lim(
        magnitude,
        audio,
        iterations=config.iterations,
        momentum=config.momentum,
        power=config.mel_power if linear is None else config.linear_power,
        seed=seed,
        frame_lengths=output.frame_lengths,
    )
    return config.louder(waveforms)


class StreamVocoder:
    """Griffin-Lim for one mel that arrives in parts, while the decoder still runs.

    Call `add` with the next frames. A vocoder of your own needs the same attribute and method.

    Args:
        audio: the model's audio settings.
        config: settings of Griffin-Lim.
        seed: seed of the initial phases.

    Attributes:
        look_ahead: number of frames that must have arrived after a frame before its samples are
            returned.
    """

    def __init__(self, audio: AudioConfig, config: VocoderConfig, seed: int) -> None:
        self.audio, self.config = audio, config
        self.inverse = GriffinLimStream(
            audio,
            iterations=config.iterations,
            momentum=config.momentum,
            power=config.mel_power,
            seed=seed,
        )
        self.look_ahead = self.inverse.look_ahead

    def add(self, mel: Mel, last: bool) -> Waveform:
        """Add the next frames (1, frames, mels); return the samples (1, samples) that are final.

        They are whole frames of `hop` samples each. With `last`, all remaining samples are
        returned.
        """
        return self.config.louder(self.inverse.add(mel_to_magnitude(mel, self.audio), last))


def load_vocoder(checkpoint: Path) -> VocoderConfig:
    """Read the vocoder's settings from a checkpoint's folder; without a file, the defaults.

    Raises:
        CheckpointError: the file has unknown settings or values out of range.
    """
    path = checkpoint / VOCODER
    if not path.exists():
        return VocoderConfig()
    try:
        return VocoderConfig.from_dict(parse_json(path, read_bytes(path, _LARGEST)))
    except ConfigError as error:
        raise CheckpointError(f"{path}: {error.problem}", "remove the file, or mend it") from None


def save_vocoder(checkpoint: Path, config: VocoderConfig) -> None:
    """Write the settings of the vocoder into a checkpoint's folder, for `Synthesizer.load`.

    Raises:
        MachineError: the file cannot be written.
    """
    text = json.dumps(config.to_dict(), indent=1) + "\n"
    replace_file(checkpoint / VOCODER, text.encode())


def check_finite(mel: Mel, texts: Sequence[str]) -> None:
    """Raise CheckpointError if a mel has NaN or Inf.

    Args:
        mel: (batch, frames, mels).
        texts: text of each mel, for the message.
    """
    finite = mel.isfinite().flatten(1).all(1).tolist()
    for row, text in enumerate(texts):
        if not finite[row]:
            raise CheckpointError(
                f"the model's mel of {text[:60]!r} has NaN or Inf",
                "take an earlier checkpoint; training diverged before this one",
            )
