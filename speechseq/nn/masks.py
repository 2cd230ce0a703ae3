"""Masks of valid positions (True = valid), zeroing of padding, and reversal within lengths."""

import torch
from torch import Tensor

from speechseq.arguments import checked_lengths
from speechseq.shapes import Lengths, Mask, Sequence


def length_mask(lengths: Lengths, max_length: int | None = None) -> Mask:
    """Build the mask of valid positions from lengths.

    Args:
        lengths: (batch) integers, number of valid positions of each row.
        max_length: padded length (time); by default the length of the longest row.

    Returns:
        Mask (batch, time), True at the first lengths[i] positions of row i.

    Raises:
        ConfigError: lengths that are no integers (batch).
        DataError: a length below 0 or beyond `max_length`.

    Examples:
        >>> length_mask(torch.tensor([3, 1]))
        tensor([[ True,  True,  True],
                [ True, False, False]])
    """
    lengths = checked_lengths(lengths, (None, max_length), wait=max_length is None)
    if max_length is None:
        max_length = int(lengths.max()) if len(lengths) else 0
    return torch.arange(max_length, device=lengths.device) < lengths.unsqueeze(1)


def zero_padding(x: Sequence, mask: Mask) -> Sequence:
    """Set the padding of a batch to zero.

    `torch.where` selects the valid values. A multiplication by the mask would keep NaN in the
    padding, both in the result and in the gradient.

    Args:
        x: (batch, time, channels).
        mask: (batch, time), True for valid positions.

    Returns:
        x with zeros where the mask is False, (batch, time, channels).
    """
    return torch.where(mask.unsqueeze(-1), x, 0.0)


def reverse_within(x: Tensor, lengths: Lengths) -> Tensor:
    """Reverse the order of time within each row's own length; padding stays at the end.

    Args:
        x: (batch, time, …).
        lengths: (batch), number of valid positions of each row.

    Returns:
        The reversed rows, shaped as x.
    """
    lengths = checked_lengths(lengths, x.shape)
    time = torch.arange(x.shape[1], device=x.device)
    index = torch.where(length_mask(lengths, x.shape[1]), lengths.unsqueeze(1) - 1 - time, time)
    index = index + x.shape[1] * torch.arange(x.shape[0], device=x.device).unsqueeze(1)
    # rows of a flat view: 2.5 times faster, backward included, than indexing two axes
    return x.flatten(0, 1).index_select(0, index.flatten()).view_as(x)
