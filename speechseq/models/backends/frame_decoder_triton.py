"""A frame decoder's step in eight launches of a GPU (ten for Tacotron 1), for a graph to hold.

Torch's operations need more than fifty, and a step of one utterance waits for its launches alone.
These gain in a CUDA graph only: one by one, each launch from Python costs more than its arithmetic.
"""

import torch
from torch import Tensor, nn

from speechseq.models.backends.support import one_head
from speechseq.models.backends.triton_layers import FusedAttention, FusedCell, FusedLinear
from speechseq.models.decoder_stack import ResidualGRUStack
from speechseq.models.frame_decoder import DecoderState, FrameDecoder, StepOutput
from speechseq.nn.attention.content import ContentAttention
from speechseq.nn.attention.location_sensitive import LocationSensitiveAttention
from speechseq.nn.attention_rnn import AttentionRNNState


class FusedStep:
    """The step of a decoder that kernels know, its weights arranged anew and in `dtype`."""

    def __init__(self, decoder: FrameDecoder, dtype: torch.dtype) -> None:
        attention, stack = decoder.core.attention, decoder.stack
        assert isinstance(attention, LocationSensitiveAttention | ContentAttention)
        self.mels, self.with_context = decoder.mels, decoder.config.project_context
        self.prenet = [_linear(layer, dtype) for layer in decoder.prenet.layers]
        self.cell = FusedCell(decoder.core.cell, dtype)
        self.attention = FusedAttention(attention, dtype)
        self.project = (
            _linear(stack.project, dtype) if isinstance(stack, ResidualGRUStack) else None
        )
        self.stack = [FusedCell(cell, dtype) for cell in stack.cells]
        self.head = _linear(one_head(decoder.frames, decoder.stop), dtype)

    def __call__(
        self, state: DecoderState, keep: list[Tensor] | None, valid: Tensor, into: StepOutput
    ) -> DecoderState:
        """One step; frames and stop logit, side by side, go to `into.frames`, weights likewise."""
        x = state.frame
        for i, layer in enumerate(self.prenet):
            x = layer(x, relu=True, keep=None if keep is None else keep[i])
        rnn, hidden = self.cell(x, state.core.context, state.core.rnn[0])
        context, attention = self.attention(hidden, state.core.attention, valid, into.weights)
        core = AttentionRNNState((rnn,), attention, context)
        x, y = (hidden, context) if self.project is None else (self.project(hidden, context), None)
        after = []
        for cell, before in zip(self.stack, state.stack, strict=True):
            own, x = cell(x, y, before, passed=self.project is not None)
            after.append(own)
            y = None
        self.head(x, context if self.with_context else None, made=into.frames)
        return DecoderState(core, tuple(after), into.frames[:, -1 - self.mels : -1])


def _linear(layer: nn.Module, dtype: torch.dtype) -> FusedLinear:
    assert isinstance(layer, nn.Linear)
    return FusedLinear(layer.weight, layer.bias, dtype)


def fused_advance(
    decoder: FrameDecoder,
    dtype: torch.dtype,
    steps: int,
    state: DecoderState,
    keep: tuple[Tensor, ...] | None,
) -> tuple[StepOutput, DecoderState]:
    """So many steps: outputs (rows, steps, …), and the state behind them.

    The weights are arranged here, so that a graph reads them as they are now.
    """
    step, memory_mask = FusedStep(decoder, dtype), state.core.attention.mask
    valid, (rows, positions) = memory_mask.to(torch.uint8), memory_mask.shape
    head = state.frame.new_empty(rows, steps, step.head.outputs)
    weights = state.frame.new_empty(rows, steps, positions)
    with torch.cuda.device_of(head):  # Triton launches on the device at hand
        for t in range(steps):
            into = StepOutput(head[:, t], head[:, t, -1], weights[:, t])
            chance = None if keep is None else [x[:, t] for x in keep]
            state = step(state, chance, valid, into)
    state = state._replace(frame=state.frame.contiguous())
    return StepOutput(head[..., :-1], head[..., -1], weights), state
