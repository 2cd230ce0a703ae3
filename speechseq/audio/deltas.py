"""Deltas: time derivatives of the mels, appended as further channels."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from speechseq.arguments import checked_lengths
from speechseq.errors import ConfigError
from speechseq.shapes import Lengths, Mel

_REACH = 2  # frames on either side: the regression uses five


def add_deltas(
    mel: Mel, frame_lengths: Lengths, order: int
) -> Float[Tensor, "batch frames features"]:
    """Append deltas, the time derivatives of each channel, to log-mels.

    A delta is the slope of a regression line over five frames of the next lower order: the sum of
    n·(x[t+n] - x[t-n]) / 10 for n = 1, 2. Before the first and after the last valid frame of each
    row, copies of that frame are used. The mels themselves are unchanged; deltas are 0 in the
    padding.

    Args:
        mel: (batch, frames, mels).
        frame_lengths: (batch), number of valid frames of each row.
        order: 0 appends nothing, 1 deltas, 2 deltas and double deltas, and so on.

    Returns:
        Features (batch, frames, mels · (1 + order)).

    Raises:
        ConfigError: the order is negative; lengths are not integers (batch).
        DataError: a length is negative or exceeds the number of frames.

    Source: Furui 1986; for one item the result equals that of torchaudio.functional.compute_deltas.
    """
    if order < 0:
        raise ConfigError(f"deltas: order {order} is negative", "0 for none, or 2")
    frame_lengths = checked_lengths(frame_lengths, mel.shape, "frame_lengths")
    parts: list[Tensor] = [mel]
    for _ in range(order):
        parts.append(_slope(parts[-1], frame_lengths.to(mel.device)))
    return torch.cat(parts, 2)


def frames_at(x: Mel, index: Int[Tensor, "batch frames"]) -> Mel:
    """Gather frames by index: row b of the result has the frames x[b, index[b, t]].

    Args:
        x: (batch, frames, mels).
        index: (batch, frames).

    Returns:
        Tensor of the same shape as x.
    """
    flat = index + x.shape[1] * torch.arange(len(x), device=x.device).unsqueeze(1)
    # index_select on a flat view is 3 times faster than gathering each channel
    return x.flatten(0, 1).index_select(0, flat.flatten()).view_as(x)


def _slope(x: Mel, lengths: Lengths) -> Mel:
    time = torch.arange(x.shape[1], device=x.device).expand(len(x), -1)
    last = (lengths - 1).clamp(min=0).unsqueeze(1)
    total = torch.zeros_like(x)
    for n in range(1, _REACH + 1):
        total = total + n * (_at(x, time + n, last) - _at(x, time - n, last))
    slope = total / (2 * sum(n * n for n in range(1, _REACH + 1)))
    return slope.masked_fill((time > last).unsqueeze(2), 0)


def _at(x: Mel, time: Tensor, last: Tensor) -> Mel:
    """Frames at these times, clamped to each row's own range."""
    return frames_at(x, torch.minimum(time.clamp(min=0), last))
