"""Trimming of silence at the ends of a recording; pauses inside it stay."""

from typing import Annotated

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from speechseq.ranges import Range, checked
from speechseq.shapes import Waveform

WINDOW, HOP = 0.02, 0.005  # seconds, in which power is averaged
Decibels = Annotated[float, Range(0, 200, above=True)]
Seconds = Annotated[float, Range(0, 60)]
Rate = Annotated[int, Range(1, 10**6)]


def trim_silence(
    waveform: Waveform, sample_rate: int, *, threshold: float = 40.0, margin: float = 0.05
) -> Float[Tensor, "batch trimmed"]:
    """Cut the silence before the first and after the last sound of a recording.

    A window of 20 ms is sound if its power, in the loudest channel, is no more than `threshold` dB
    below that of the loudest window. All channels are cut at the same samples. A recording that is
    digital silence, or shorter than 20 ms, is returned unchanged.

    Args:
        waveform: (channels, samples) in [-1, 1], one recording.
        sample_rate: samples per second.
        threshold: in dB; larger keeps more.
        margin: seconds of silence that are kept at both ends.

    Returns:
        The sound between the cuts, (channels, trimmed).

    Raises:
        ConfigError: a number out of range.

    Examples:
        >>> tone = torch.sin(torch.arange(8000.0))
        >>> sound = torch.cat([torch.zeros(8000), tone, torch.zeros(4000), tone, torch.zeros(8000)])
        >>> trim_silence(sound[None], 16000, margin=0.0).shape[1] // 1000
        20
    """
    first, last = sound_span(waveform, sample_rate, threshold=threshold, margin=margin)
    return waveform[:, first:last]


def sound_span(
    waveform: Waveform, sample_rate: int, *, threshold: float = 40.0, margin: float = 0.05
) -> tuple[int, int]:
    """Return the span of samples of a recording that `trim_silence` keeps.

    A window of 20 ms is sound if its power, in the loudest channel, is no more than `threshold` dB
    below that of the loudest window. A recording that is digital silence, or shorter than 20 ms, is
    kept whole.

    Args:
        waveform: (channels, samples) in [-1, 1], one recording.
        sample_rate: samples per second.
        threshold: in dB; larger keeps more.
        margin: seconds of silence that are kept at both ends.

    Returns:
        Index of the first sample that is kept, and of the sample after the last.

    Raises:
        ConfigError: a number out of range.
    """
    rate = checked("sample_rate", sample_rate, Rate)
    threshold, margin = (
        checked("threshold", threshold, Decibels),
        checked("margin", margin, Seconds),
    )
    samples = waveform.shape[1]
    window, hop = max(1, round(WINDOW * rate)), max(1, round(HOP * rate))
    if samples < window:
        return 0, samples
    power = F.avg_pool1d(waveform.square().unsqueeze(1), window, hop).squeeze(1).amax(0)
    if not (loudest := float(power.max())):
        return 0, samples
    loud = (power >= loudest * 10 ** (-threshold / 10)).nonzero().squeeze(1)
    kept = round(margin * rate)
    first = max(0, int(loud[0]) * hop - kept)
    return first, min(samples, int(loud[-1]) * hop + window + kept)
