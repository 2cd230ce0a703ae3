"""Whether the fused step runs: where Triton launches on the decoder's GPU and knows its parts."""

import functools
import importlib.util
import warnings
from collections.abc import Callable
from typing import Any

import torch

from speechseq.models.frame_decoder import FrameDecoder
from speechseq.models.known_decoder import known
from speechseq.native.library import wanted

DEVICE = "cuda"
Advance = Callable[..., Any]


def fused_way(decoder: FrameDecoder, precision: str) -> Advance | None:
    """What makes a block of the decoder's steps of `steps`, `state` and `keep`; None for torch.

    Args:
        decoder: its weights already rounded to the precision.
        precision: bfloat16's weights are read as such, others in float32.
    """
    if not known(decoder, DEVICE) or not _launches(decoder.frames.weight.device):
        return None
    from speechseq.models.fused_step import fused_advance

    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    return functools.partial(fused_advance, decoder, dtype)


def _launches(device: torch.device) -> bool:
    return wanted() and importlib.util.find_spec("triton") is not None and _tried(device)


@functools.cache
def _tried(device: torch.device) -> bool:
    """The smallest product: Triton needs a C compiler, and a GPU that it knows."""
    from speechseq.models.fused_layers import FusedLinear

    one = torch.ones(1, 1, device=device)
    try:
        with torch.cuda.device_of(one):
            return bool(FusedLinear(one, None, torch.float32)(one) == 1)
    except Exception as error:  # Triton's own, the compiler's, or the driver's
        warnings.warn(
            f"Triton launched nothing on {device}; torch's operations make each decoder step, "
            f"slower. SPEECHSEQ_NATIVE=0 silences this. It said: {str(error)[:2000]}",
            RuntimeWarning,
            stacklevel=2,
        )
        return False
