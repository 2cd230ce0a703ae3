"""Casts to full precision, for sums over many items and for probabilities."""

import torch
from torch import Tensor


def at_least_float32(x: Tensor) -> Tensor:
    """Cast to float32, but keep float64: half precision loses small terms."""
    return x if x.dtype == torch.float64 else x.float()
