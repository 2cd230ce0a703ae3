"""Frame decoder step as eight Triton launches on a GPU (ten for Tacotron 1), for a CUDA graph.

Experimental: never run on a GPU. Torch operations need more than fifty launches per step, and the
step of a single utterance takes as long as its launches. The kernels are faster only inside a CUDA
graph: outside of it, a launch from Python takes longer than its arithmetic.
"""

import torch
from torch import Tensor, nn

from speechseq.models.backends import supported as decoders
from speechseq.models.decoder_output import DecoderState, StepOutput
from speechseq.models.decoder_stack import ResidualGRUStack
from speechseq.models.frame_decoder import FrameDecoder
from speechseq.nn.attention.content import ContentAttention
from speechseq.nn.attention.location_sensitive import LocationSensitiveAttention
from speechseq.nn.attention_rnn import AttentionRNNState
from speechseq.ops.triton import launch


def supported(decoder: FrameDecoder) -> bool:
    """Return True if the Triton kernels can run this decoder on its own output.

    They can if Triton works on the decoder's device and has a kernel for every part of it.
    """
    device = next(decoder.parameters()).device
    return decoders.supported(decoder, device.type) and launch.supported(device)


def advance(
    decoder: FrameDecoder,
    precision: str,
    steps: int,
    state: DecoderState,
    keep: tuple[Tensor, ...] | None,
) -> tuple[StepOutput, DecoderState]:
    """Compute `FrameDecoder.advance` with Triton kernels; check `supported` first.

    The weights are laid out for the kernels at each call, so that a CUDA graph reads current
    weights. Returns outputs (rows, steps, …) and the state after the last step.

    Args:
        decoder: its weights are already rounded to the precision.
        precision: with "bfloat16" the kernels read bfloat16 weights, otherwise float32.
        steps: number of steps.
        state: state of the decoder before the first of them.
        keep: dropout multipliers (rows, steps, size) of each pre-net layer, or None.
    """
    step = _TritonStep(decoder, torch.bfloat16 if precision == "bfloat16" else torch.float32)
    memory_mask = state.core.attention.mask
    valid, (rows, positions) = memory_mask.to(torch.uint8), memory_mask.shape
    head = state.frame.new_empty(rows, steps, step.head.outputs)
    weights = state.frame.new_empty(rows, steps, positions)
    with torch.cuda.device_of(head):  # Triton launches on the current device
        for t in range(steps):
            out = StepOutput(head[:, t], head[:, t, -1], weights[:, t])
            multipliers = None if keep is None else [x[:, t] for x in keep]
            state = step(state, multipliers, valid, out)
    state = state._replace(frame=state.frame.contiguous())
    return StepOutput(head[..., :-1], head[..., -1], weights), state


class _TritonStep:
    """One step of a decoder, its weights arranged for the kernels and in `dtype`."""

    def __init__(self, decoder: FrameDecoder, dtype: torch.dtype) -> None:
        from speechseq.models.backends.triton_layers import (  # Triton is not everywhere
            TritonAttention,
            TritonCell,
            TritonLinear,
        )

        def linear(layer: nn.Module) -> TritonLinear:
            assert isinstance(layer, nn.Linear)
            return TritonLinear(layer.weight, layer.bias, dtype)

        attention, stack = decoder.core.attention, decoder.stack
        assert isinstance(attention, LocationSensitiveAttention | ContentAttention)
        self.mels, self.with_context = decoder.mels, decoder.config.project_context
        self.prenet = [linear(layer) for layer in decoder.prenet.layers]
        self.cell = TritonCell(decoder.core.cell, dtype)
        self.attention = TritonAttention(attention, dtype)
        self.project = linear(stack.project) if isinstance(stack, ResidualGRUStack) else None
        self.stack = [TritonCell(cell, dtype) for cell in stack.cells]
        self.head = linear(decoders.joint_head(decoder))

    def __call__(
        self, state: DecoderState, keep: list[Tensor] | None, valid: Tensor, out: StepOutput
    ) -> DecoderState:
        """One step; frames and stop logit, side by side, go to `out.frames`, weights likewise."""
        x = state.frame
        for i, layer in enumerate(self.prenet):
            x = layer(x, relu=True, keep=None if keep is None else keep[i])
        rnn, hidden = self.cell(x, state.core.context, state.core.rnn[0])
        context, attention = self.attention(hidden, state.core.attention, valid, out.weights)
        core = AttentionRNNState((rnn,), attention, context)
        x, y = (hidden, context) if self.project is None else (self.project(hidden, context), None)
        after = []
        for cell, before in zip(self.stack, state.stack, strict=True):
            own, x = cell(x, y, before, residual=self.project is not None)
            after.append(own)
            y = None
        self.head(x, context if self.with_context else None, out=out.frames)
        return DecoderState(core, tuple(after), out.frames[:, -1 - self.mels : -1])
