"""Blocks of free-running frame decoder steps from CUDA graphs. Experimental: never run on a GPU."""

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from speechseq.models.backends import frame_decoder_triton
from speechseq.models.backends.supported import rounded_decoder
from speechseq.models.decoder_output import DecoderState, Keep, StepOutput
from speechseq.models.frame_decoder import FrameDecoder
from speechseq.nn.attention_rnn_fast import BUCKET_POSITIONS, reading_of
from speechseq.nn.prenet import UtteranceNoise
from speechseq.ops.cuda_graph import GraphCache, graph_cache


def supported(decoder: FrameDecoder) -> bool:
    """Return True if the steps of this decoder can be replayed as a CUDA graph.

    They can if CUDA graphs are enabled, the decoder is on a GPU and has supported parts only, and
    gradients are disabled.
    """
    return not torch.is_grad_enabled() and _graphs(decoder) is not None


def _graphs(decoder: FrameDecoder) -> GraphCache | None:
    return graph_cache(decoder, next(decoder.parameters()).device)


class GraphSteps:
    """Runs a frame decoder on its own output in blocks of steps, each replayed as a CUDA graph.

    It is used like an `EagerSteps`: each call takes the decoder's state and returns the outputs of
    the next steps and the new state. Triton kernels are used where supported. Whether an utterance
    has ended is only checked between two blocks; its steps after the end are discarded.

    Args:
        decoder: frame decoder; check `supported` first.
        precision: "float32", "bfloat16" or "int8", to which its weights are rounded.

    Attributes:
        block: number of steps per call.
        multiple: the number of memory positions is padded to a multiple of this number.
    """

    multiple = BUCKET_POSITIONS

    def __init__(self, decoder: FrameDecoder, precision: str) -> None:
        graphs = _graphs(decoder)
        assert graphs is not None, "ask `supported` first"
        self.graphs, self.block = graphs, UtteranceNoise.block
        self.decoder = rounded_decoder(decoder, precision)
        self.weights = tuple(self.decoder.parameters())
        self.function: Callable[..., Any] = functools.partial(self.decoder.advance, self.block)
        triton = frame_decoder_triton.supported(self.decoder)
        if triton:
            advance = frame_decoder_triton.advance
            self.function = functools.partial(advance, self.decoder, precision, self.block)
        self.key = self.block, reading_of(decoder.core.attention), triton

    def __call__(self, state: DecoderState, keep: Keep | None) -> tuple[StepOutput, DecoderState]:
        """Run the next block of steps: outputs (rows, block, …) and the state after the block."""
        return self.graphs(self.function, (state, keep), self.weights, self.key)

    @staticmethod
    def fill(rows: Tensor) -> Tensor:
        """Pad a batch, given as indices of its utterances (rows), to the next power of two.

        The last index is repeated.

        Each number of rows needs a graph of its own, so this saves graphs.
        """
        width = 1 << (len(rows) - 1).bit_length() if len(rows) else 0
        return rows[torch.arange(width, device=rows.device).clamp(max=len(rows) - 1)]
