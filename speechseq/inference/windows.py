"""Overlapping windows of long audio, cut at quiet places, without holding the whole in memory."""

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Annotated, NamedTuple

import torch
from torch import Tensor

from speechseq.config import Config
from speechseq.errors import ConfigError
from speechseq.ranges import Range
from speechseq.shapes import Waveform

_FRAME = 0.02  # seconds over which loudness is averaged


@dataclasses.dataclass(frozen=True, kw_only=True)
class WindowConfig(Config):
    """Settings of the windows that long audio is cut into.

    Args:
        seconds: maximum length of a window; it should not exceed the utterances of the training.
        overlap: maximum overlap of two windows, in seconds. The actual overlap is at least half of
            it; within the other half, a quiet place to cut is searched.
    """

    seconds: Annotated[float, Range(1, 3600)] = 20.0
    overlap: Annotated[float, Range(0.2, 1800)] = 4.0

    @classmethod
    def of(cls, seconds: float) -> "WindowConfig":
        """Return settings for windows of `seconds` that overlap by a fifth, at most by 4 s each."""
        return cls(seconds=seconds, overlap=min(seconds / 5, 4.0))

    def check(self) -> None:
        """Raise ConfigError if windows overlap by more than half."""
        if self.overlap > self.seconds / 2:
            raise ConfigError(
                f"overlap: {self.overlap:g} of {self.seconds:g} seconds",
                "share at most half of a window",
            )


class Window(NamedTuple):
    """Part of a long sound that is transcribed on its own; `cut` yields them.

    Attributes:
        start: index of its first sample in the sound.
        waveform: (1, samples).
    """

    start: int
    waveform: Waveform

    @property
    def end(self) -> int:
        """Index of the sample after the window, in the whole sound."""
        return self.start + self.waveform.shape[1]


def cut(blocks: Iterable[Tensor], rate: int, config: WindowConfig) -> Iterator[Window]:
    """Cut a stream of blocks (1, samples) into overlapping windows that cover every sample.

    Memory holds at most two windows.

    Args:
        blocks: consecutive parts of a sound, of any lengths.
        rate: samples per second.
        config: length and overlap of the windows.
    """
    longest, overlap = int(config.seconds * rate), int(config.overlap * rate)
    source, held, start = iter(blocks), torch.zeros(1, 0), 0
    while True:
        held, ended = _fill(held, source, longest + 1)
        if ended and held.shape[1] <= longest:
            break
        end = quietest(held, longest - overlap // 2, longest, rate)
        yield Window(start, held[:, :end])
        begin = quietest(held, end - overlap, end - overlap // 2, rate)
        held, start = held[:, begin:], start + begin
    if held.shape[1]:
        yield Window(start, held)


def quietest(waveform: Waveform, low: int, high: int, rate: int) -> int:
    """Return the index of the sample in the middle of the quietest 20 ms of a range.

    Args:
        waveform: (1, samples).
        low: first sample of the range.
        high: sample after the last of the range.
        rate: samples per second.
    """
    size = max(1, int(_FRAME * rate))
    if high - low < 2 * size:
        return high
    power = waveform[0, low:high].square().unfold(0, size, max(1, size // 2)).mean(1)
    return low + int(power.argmin()) * max(1, size // 2) + size // 2


def _fill(held: Tensor, source: Iterator[Tensor], wanted: int) -> tuple[Tensor, bool]:
    parts, size = [held], held.shape[1]
    while size < wanted:
        block = next(source, None)
        if block is None:
            return torch.cat(parts, 1), True
        parts.append(block)
        size += block.shape[1]
    return torch.cat(parts, 1), False
