"""Whether the fused step runs: where Triton launches on the decoder's GPU and knows its parts."""

import functools
from collections.abc import Callable
from typing import Any

import torch

from speechseq.models.backends.support import known
from speechseq.models.frame_decoder import FrameDecoder
from speechseq.ops.triton.launch import launches


def fused_way(decoder: FrameDecoder, precision: str) -> Callable[..., Any] | None:
    """What makes a block of the decoder's steps of `steps`, `state` and `keep`; None for torch.

    Args:
        decoder: its weights already rounded to the precision.
        precision: bfloat16's weights are read as such, others in float32.
    """
    device = next(decoder.parameters()).device
    if not known(decoder, device.type) or not launches(device):
        return None
    from speechseq.models.backends.frame_decoder_triton import fused_advance

    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    return functools.partial(fused_advance, decoder, dtype)
