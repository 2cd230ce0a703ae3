"""Casts to full precision, for sums over many items and for probabilities."""

import torch
from torch import Tensor


def at_least_float32(x: Tensor) -> Tensor:
    """Cast a tensor to float32, which keeps small terms of sums, unless it is float64 already.

    Args:
        x: floats of any shape.

    Returns:
        A float32 or float64 tensor of the same shape.
    """
    return x if x.dtype == torch.float64 else x.float()
