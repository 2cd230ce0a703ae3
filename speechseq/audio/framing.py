"""How sound is cut into frames, and what each frame goes through before its transform."""

import dataclasses
import math
from typing import Annotated

from speechseq.audio.spectrogram import WindowShape
from speechseq.config import Config
from speechseq.errors import ConfigError
from speechseq.ranges import BelowOne, Factor, Range


@dataclasses.dataclass(frozen=True, kw_only=True)
class Framing(Config):
    """The half of AudioConfig that says where frames lie; the defaults are `nvidia`'s.

    Args:
        sample_rate: samples a second.
        n_fft, hop, window: length of transform, step and window, in samples.
        window_shape: "hann" (periodic), or the symmetric "hamming" and "povey" (Kaldi).
        centred: frame t is centred on sample t·hop, 1 + N//hop frames; otherwise it begins
            (n_fft - hop)/2 before it, N//hop frames. Both mirror the signal at its ends.
        snip_edges: neither: frame t begins at sample t·hop, and frames that would reach over the
            end are left out, 1 + (N - window)//hop of them remain (Kaldi). Needs centred false.
        gain: the waveform is multiplied by it first (Kaldi: 32768, the range of 16-bit samples).
        pre_emphasis: a in x[t] - a·x[t-1], applied next; 0 for none.
        pre_emphasis_by_frame: apply it to each frame alone, whose first sample x becomes (1-a)·x.
        remove_mean: take its mean off each frame, before it is emphasised alone.
        magnitude_epsilon: e in sqrt(re² + im² + e).
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
        """Frequencies of the linear magnitude."""
        return self.n_fft // 2 + 1

    @property
    def padding(self) -> int:
        """Samples mirrored at each end."""
        if self.snip_edges:
            return 0
        return self.n_fft // 2 if self.centred else (self.n_fft - self.hop) // 2

    @property
    def span(self) -> int:
        """Samples of the mirrored signal that a frame takes up, its window in their middle."""
        return self.window if self.snip_edges else self.n_fft

    @property
    def shortest(self) -> int:
        """Samples that a waveform needs: one window, and enough for its mirrored ends."""
        return max(self.window, self.padding + 1)

    def check(self) -> None:
        """Raise ConfigError when the numbers contradict each other."""
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
    """Raise ConfigError with this problem and cure unless `true`."""
    if not true:
        raise ConfigError(problem, cure)
