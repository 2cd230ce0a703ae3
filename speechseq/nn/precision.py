"""Casts to full precision, for sums over many items and for probabilities."""

import torch
from torch import Tensor


def at_least_float32(x: Tensor) -> Tensor:
    """Cast half precision to float32, which keeps small terms of sums; float64 is unchanged."""
    return x if x.dtype == torch.float64 else x.float()
