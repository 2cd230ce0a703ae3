"""Framing of waveforms, and the processing of each frame before its Fourier transform."""

import dataclasses
import math
from typing import Annotated

from speechseq.audio.spectrogram import WindowShape
from speechseq.config import Config
from speechseq.errors import ConfigError
from speechseq.ranges import BelowOne, Factor, Range


@dataclasses.dataclass(frozen=True, kw_only=True)
class Framing(Config):
    """Settings of the STFT: how a waveform is cut into frames and transformed.

    `AudioConfig` inherits them and adds those of the mels; build an AudioConfig. The defaults are
    those of its preset `nvidia`.

    Args:
        sample_rate: samples per second.
        n_fft: length of the Fourier transform, in samples.
        hop: distance from one frame to the next, in samples.
        window: length of the window, in samples, at most `n_fft`.
        window_shape: "hann" (periodic), or the symmetric "hamming" and "povey" (Kaldi).
        centred: frame t is centred on sample t·hop, so N samples have 1 + N//hop frames. If False,
            frame t begins (n_fft - hop)/2 before sample t·hop, so there are N//hop frames. In both
            cases the signal is mirrored at its ends.
        snip_edges: the signal is not extended (Kaldi): frame t begins at sample t·hop, and frames
            that would reach past the end are dropped, so there are 1 + (N - window)//hop. Needs
            centred=False.
        gain: factor applied to the waveform first (Kaldi: 32768, the range of 16-bit samples).
        pre_emphasis: a in x[t] - a·x[t-1], applied after `gain`; 0 for none.
        pre_emphasis_by_frame: apply pre-emphasis within each frame; its first sample x becomes (1 -
            a)·x.
        remove_mean: subtract each frame's mean, before pre-emphasis by frame.
        magnitude_epsilon: e in sqrt(re² + im² + e), the magnitude of a bin.
    """

    sample_rate: Annotated[int, Range(100, 1_000_000)] = 22050
    n_fft: Annotated[int, Range(2, 32_768)] = 1024
    hop: Annotated[int, Range(1, 32_768)] = 256
    window: Annotated[int, Range(1, 32_768)] = 1024
    window_shape: WindowShape = "hann"
    centred: bool = True
    snip_edges: bool = False
    gain: Factor = 1.0
    pre_emphasis: BelowOne = 0.0
    pre_emphasis_by_frame: bool = False
    remove_mean: bool = False
    magnitude_epsilon: Annotated[float, Range(0, 1e6)] = 0.0

    @property
    def bins(self) -> int:
        """Number of frequency bins of the linear magnitude, n_fft // 2 + 1."""
        return self.n_fft // 2 + 1

    @property
    def padding(self) -> int:
        """Number of mirrored samples that are added to each end of a waveform before framing."""
        if self.snip_edges:
            return 0
        return self.n_fft // 2 if self.centred else (self.n_fft - self.hop) // 2

    @property
    def span(self) -> int:
        """Number of samples that are cut out for a frame; the window covers the middle of them.

        It is `n_fft`, or `window` with `snip_edges`.
        """
        return self.window if self.snip_edges else self.n_fft

    @property
    def shortest(self) -> int:
        """Minimum length of a waveform in samples: one window, and enough for the mirrored ends."""
        return max(self.window, self.padding + 1)

    def check(self) -> None:
        """Raise ConfigError if settings contradict each other, such as a hop above the window."""
        require(
            self.hop <= self.window,
            f"hop: {self.hop} is larger than window {self.window}, samples between would be lost",
            "set hop to a quarter of window",
        )
        require(
            self.window <= self.n_fft,
            f"window: {self.window} is larger than n_fft {self.n_fft}",
            f"set n_fft to {2 ** math.ceil(math.log2(self.window))}",
        )
        whole = self.centred or self.snip_edges
        require(
            (self.n_fft if whole else self.n_fft - self.hop) % 2 == 0,
            f"n_fft: {self.n_fft} with hop {self.hop} cannot be padded evenly",
            "set n_fft to a power of two and hop to an even number",
        )
        require(
            not (self.snip_edges and self.centred),
            "snip_edges: frames that begin at t·hop cannot be centred on it",
            "set centred to false, or snip_edges to false",
        )
        require(
            bool(self.pre_emphasis) or not self.pre_emphasis_by_frame,
            "pre_emphasis_by_frame: there is nothing to apply, pre_emphasis is 0",
            "set pre_emphasis to 0.97, or pre_emphasis_by_frame to false",
        )


def require(true: bool, problem: str, cure: str) -> None:
    """Raise a ConfigError unless a condition is true.

    Args:
        true: the condition.
        problem: first part of the error's message, which says what is wrong.
        cure: second part, which says what to do.

    Raises:
        ConfigError: `true` is False.
    """
    if not true:
        raise ConfigError(problem, cure)
