"""Griffin-Lim of magnitudes that arrive in parts, with a little look-ahead and no seams."""

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from speechseq.audio.griffin_lim import Phases, check_settings, clean, undo_pre_emphasis
from speechseq.audio.mel import AudioConfig
from speechseq.audio.projections import Known, invert
from speechseq.audio.spectrogram import hann
from speechseq.shapes import Magnitude, Waveform


class GriffinLimStream:
    """Griffin-Lim for streaming: inverts one utterance part by part as its frames arrive.

    Call `add` with the next frames; it returns the samples that are final. Each part is inverted
    together with the last samples before it, which do not change, and with the `look_ahead` frames
    after it. The samples of those frames are kept as an estimate, towards which the beginning of
    the next part is pulled, so that waveform and phases continue without a seam. The joined parts
    have as many samples as the result of `griffin_lim` on the whole utterance, and their magnitudes
    are as near to the target.

    Args:
        config: audio settings of the magnitudes.
        iterations: number of projections of each part after its first inverse.
        momentum: 0 is the classic algorithm, 0.99 the fast one.
        power: exponent to which magnitudes are raised first (Tacotron: 1.2).
        seed: seed of the initial phases; None draws a seed from torch.

    Attributes:
        look_ahead: number of frames after a part that must have arrived: those that overlap its
            last sample.

    Raises:
        ConfigError: a number is out of range, or the settings have no inverse.

    Source: Zhu, Beauregard and Wyse 2007 (real-time inversion with look-ahead, frame by frame).

    Examples:
        >>> from speechseq.audio.mel import AudioConfig, magnitude
        >>> audio, target = AudioConfig(), magnitude(torch.randn(1, 22016), AudioConfig())
        >>> stream = GriffinLimStream(audio, seed=0)
        >>> first, rest = stream.add(target[:, :40]), stream.add(target[:, 40:], last=True)
        >>> first.shape[1] // audio.hop, first.shape[1] + rest.shape[1]
        (36, 22016)
    """

    def __init__(
        self,
        config: AudioConfig,
        *,
        iterations: int = 60,
        momentum: float | int = 0.99,
        power: float | int = 1.0,
        seed: int | None = None,
    ) -> None:
        check_settings(config, iterations, momentum, power, seed)
        self.config, self.power = config, power
        self.iterations, self.momentum = iterations, momentum
        self.look_ahead = math.ceil(config.window / config.hop)
        self._context = self.look_ahead + 1  # final frames that still overlap later samples
        self._draws = Phases(seed, config.bins)
        self._target = self._phases = self._waveform = torch.empty(0)  # of the frames held
        self._final = 0  # number of them whose samples are final
        self._before = torch.zeros(1, 1)  # last sample given

    def add(self, magnitude: Magnitude, last: bool = False) -> Waveform:
        """Add the next frames of the magnitudes; return the samples (1, samples) that are final.

        Args:
            magnitude: (1, frames, bins).
            last: these are the last frames of the utterance. All samples that remain are then
                returned; otherwise those of the `look_ahead` newest frames are held back.

        Raises:
            ConfigError: the number of bins differs from the config's.
            DataError: a magnitude is NaN or Inf.
        """
        with torch.no_grad():
            self._hold(clean(magnitude, self.config, None, self.power)[0])
            frames, hop = self._target.shape[1], self.config.hop
            end = frames if last else frames - self.look_ahead
            if end <= self._final and not last:
                return self._target.new_zeros(1, 0)
            waveform = invert(
                self._target,
                self._phases,
                self.config,
                self.iterations,
                self.momentum,
                known=Known(self._waveform, self._trust()),
            )
            samples = waveform[:, self._final * hop : None if last else end * hop]
            self._drop(max(0, end - self._context), waveform)
            self._final = min(end, self._context)
            samples = undo_pre_emphasis(samples, self.config, self._before)
            self._before = samples[:, -1:]
            return samples

    def _trust(self) -> Float[Tensor, " samples"]:
        """Share of the earlier result in each sample: 1 as far as it is final, then falling to 0.

        With a step instead of the slope, the waveform jumps at the seam.
        """
        final = self._final * self.config.hop
        slope = (self._waveform.shape[1] - final) // 2
        fall = hann(2 * slope, self._target.device, self._target.dtype)[slope:]
        return F.pad(
            F.pad(fall, (final, 0), value=1.0), (0, self._waveform.shape[1] - final - slope)
        )

    def _hold(self, target: Magnitude) -> None:
        phases = self._draws.take(target.shape[1]).to(target)
        if not len(self._target):
            self._target, self._phases = target, phases
            self._waveform, self._before = target.new_empty(1, 0), target.new_zeros(1, 1)
            return
        self._target = torch.cat([self._target, target], dim=1)
        self._phases = torch.cat([self._phases, phases])

    def _drop(self, frames: int, waveform: Waveform) -> None:
        """Keep the given waveform and forget the oldest frames."""
        self._target, self._phases = self._target[:, frames:], self._phases[frames:]
        self._waveform = waveform[:, frames * self.config.hop :]
