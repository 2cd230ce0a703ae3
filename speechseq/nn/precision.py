"""Where mixed precision must not reach: sums over many items, and probabilities."""

import torch
from torch import Tensor


def at_least_float32(x: Tensor) -> Tensor:
    """The tensor in float32, or in float64 when it came so: half precision loses small terms."""
    return x if x.dtype == torch.float64 else x.float()
