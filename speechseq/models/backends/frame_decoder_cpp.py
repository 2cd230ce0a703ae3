"""Free-running frame decoder in C++ on a CPU: packed weights, many steps per kernel call."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from speechseq.models.backends import supported as decoders
from speechseq.models.decoder_output import Steps
from speechseq.models.decoder_stack import ResidualGRUStack
from speechseq.models.decoder_steps import UNSTEERED, Steering
from speechseq.models.frame_decoder import FrameDecoder
from speechseq.nn.attention.content import ContentAttention
from speechseq.nn.attention.location_sensitive import LocationSensitiveAttention
from speechseq.nn.cells import SplitCell
from speechseq.nn.masks import length_mask
from speechseq.nn.prenet import UtteranceNoise
from speechseq.ops.cpp.library import call, library
from speechseq.ops.cpp.library import pack as pack_structs
from speechseq.ops.cpp.signature import Structs
from speechseq.ops.quantize import Packed, Shape, pack
from speechseq.shapes import Encoded, Lengths, StepInputs

KERNEL = "frame_decoder"


def supported(decoder: FrameDecoder) -> bool:
    """Return True if the C++ kernel can run this decoder on its own output.

    It can if it supports all parts of the decoder, the weights are float32 on a CPU, gradients are
    disabled, and there is a C++ compiler.
    """
    return (
        not torch.is_grad_enabled()
        and decoders.supported(decoder, "cpu")
        and library(KERNEL) is not None
    )


def run(
    decoder: FrameDecoder,
    precision: str,
    encoded: Encoded,
    limits: Lengths,
    noise: UtteranceNoise | None,
    fed: StepInputs | None,
    steering: Steering = UNSTEERED,
) -> Steps:
    """Run the free-running decoder in the C++ kernel, one block of steps per call.

    Check `supported` first. The weights are packed at the first call, and again after they have
    changed.

    Args:
        decoder: Tacotron's frame decoder, on a CPU.
        precision: "float32", "bfloat16" or "int8", of the weights.
        encoded: memory (batch, positions, memory_dim) and its lengths (batch).
        limits: (batch), maximum number of steps of each row.
        noise: dropout masks of the pre-net; None for no dropout.
        fed: (batch, steps, mels), frames that steps read instead of the decoder's own, or None.
        steering: window of the attention; its speed must be 1.
    """
    kernel = KernelRun(decoder, precision, encoded, limits, noise, fed, steering)
    blocks = [kernel.advance(UtteranceNoise.block)]
    while bool((kernel.ending < 0).any()):
        blocks.append(kernel.advance(UtteranceNoise.block))
    frames, stop_logits, alignment = (
        torch.cat(parts, dim=1)[:, : int(kernel.step_lengths.max())]
        for parts in zip(*blocks, strict=True)
    )
    return Steps(frames, stop_logits, alignment, kernel.step_lengths, kernel.ending)


class KernelRun:
    """A run of a frame decoder on its own output in the C++ kernel, a few steps at a time.

    Call `advance` until no entry of `ending` is -1. `run` makes all steps at once instead.

    Args:
        decoder: frame decoder in evaluation mode; check `supported` first.
        precision: "float32", "bfloat16" or "int8", to which the loop's weights are rounded.
        encoded: memory (batch, positions, memory_dim) and its lengths (batch).
        limits: maximum number of steps (batch) of each row.
        noise: dropout masks of the pre-net; None for no dropout.
        fed: input frames (batch, steps, mels) instead of the decoder's own output, or None.
        steering: window of the attention; its speed must be 1.

    Attributes:
        step: number of steps made.
        step_lengths: (batch), number of steps of each row so far.
        ending: (batch), -1 while a row goes on, then the reason of its end as in `Steps`: 0 stop, 1
            attention_end, 2 limit.
    """

    def __init__(
        self,
        decoder: FrameDecoder,
        precision: str,
        encoded: Encoded,
        limits: Lengths,
        noise: UtteranceNoise | None,
        fed: StepInputs | None,
        steering: Steering = UNSTEERED,
    ) -> None:
        self.decoder, self.noise, self.fed = decoder, noise, fed
        self.packed = decoders.cached(decoder, precision, _pack)
        self.batch, self.positions = encoded.memory.shape[:2]
        self.inputs = _attention_inputs(decoder, encoded)
        self.lengths, self.limits = encoded.memory_lengths.contiguous(), limits.contiguous()
        self.state = _new_state(self.packed, self.batch, self.positions)
        self.window = steering.window or 0  # 0 in the kernel
        rows = torch.tensor([[0], [-1], [0], [0]]).repeat(1, self.batch)
        self.resting, self.ending, self.step_lengths, self.reached = rows.unbind()
        self.step, self.most = 0, int(limits.max())

    def advance(self, steps: int) -> tuple[Tensor, Tensor, Tensor]:
        """Make at most `steps` further steps.

        A call ends at the latest with a block of 64 steps, whose dropout masks are drawn at once.

        Returns:
            frames (batch, steps, r * mels), stop logits (batch, steps) and attention weights
                (batch, steps, positions), zero after a row's end.
        """
        decoder, begin = self.decoder, self.step % UtteranceNoise.block
        steps = min(steps, UtteranceNoise.block - begin, self.most - self.step)
        keep, fed, part = None, None, slice(self.step, self.step + steps)
        if self.noise is not None:
            keep = self.noise.steps(self.step)[:, begin : begin + steps].contiguous()
        if self.fed is not None:
            fed = self.fed[:, part].float().contiguous()
        outputs = _outputs(decoder, self.batch, steps, self.positions)
        call(
            *(KERNEL, "decode", *self.packed, *self.inputs, self.state),
            *(keep, fed, self.lengths, self.limits, self.resting, self.ending),
            *(self.step_lengths, self.reached, *outputs),
            *(self.batch, self.positions, self.step, steps, self.window),
            *(decoder.core.cell.zoneout, decoder.stack.cells[0].zoneout),
            decoder.config.stop_threshold,
        )
        self.step += steps
        return outputs


class _AttentionInputs(NamedTuple):
    """memory (batch, positions, memory_dim), keys (batch, positions, dim), and history (batch,
    channels, reach + positions + reach), padded with zeros for the filters."""

    memory: Tensor
    keys: Tensor
    history: Tensor


def _attention_inputs(decoder: FrameDecoder, encoded: Encoded) -> _AttentionInputs:
    attention = decoder.core.attention
    memory_mask = length_mask(encoded.memory_lengths, encoded.memory.shape[1])
    state = attention.start(encoded.memory.float(), memory_mask)
    history = encoded.memory.new_empty(len(encoded.memory), 0, encoded.memory.shape[1])
    if isinstance(attention, LocationSensitiveAttention):
        history = F.pad(state.history, (attention.reach, attention.reach)).contiguous()
    return _AttentionInputs(state.memory.contiguous(), state.keys.float().contiguous(), history)


def _outputs(
    decoder: FrameDecoder, batch: int, steps: int, positions: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Zeros for a block's frames, stop logits and weights; the kernel fills rows that still run."""
    shapes = (
        (batch, steps, decoder.frames.out_features),
        (batch, steps),
        (batch, steps, positions),
    )
    frames, stop_logits, alignment = (torch.zeros(shape) for shape in shapes)
    return frames, stop_logits, alignment


class _PackedDecoder(NamedTuple):
    """The kernel's sizes, its layers, and the direction of the energies (dim, in whole vectors)."""

    sizes: Structs
    matrices: Structs
    direction: Tensor


def _new_state(packed: _PackedDecoder, batch: int, positions: int) -> Tensor:
    """Zeros (batch, width): the kernel's state between two steps and its working memory."""
    width = torch.zeros(1, dtype=torch.long)
    call(KERNEL, "row_size", packed.sizes, width, positions)
    return torch.zeros(batch, int(width))


class _Layers(list[Packed]):
    """Layers in the order of the kernel's `Weights`."""

    def __init__(self) -> None:
        super().__init__()
        lanes = torch.zeros(1, dtype=torch.long)
        call(KERNEL, "lanes", lanes)
        self.lanes = int(lanes)

    def add_linear(self, layer: nn.Module, precision: str) -> None:
        assert isinstance(layer, nn.Linear)
        self.append(pack(layer.weight, layer.bias, precision, Shape(4, self.lanes)))

    def add_single(self, weight: Tensor) -> None:
        """A small layer in float32, which is read vector by vector."""
        self.append(pack(weight, None, "float32", Shape(1, self.lanes)))

    def add_cell(self, cell: SplitCell, precision: str) -> None:
        shape = Shape(cell.gates, self.lanes, is_cell=True)
        self.append(pack(cell.weight_ih, cell.bias_ih, precision, shape))
        self.append(pack(cell.weight_hh, cell.bias_hh, precision, shape))


def _pack(decoder: FrameDecoder, precision: str) -> _PackedDecoder:
    attention, stack = decoder.core.attention, decoder.stack
    assert isinstance(attention, LocationSensitiveAttention | ContentAttention)
    layers = _Layers()
    for layer in decoder.prenet.layers:
        layers.add_linear(layer, precision)
    layers.add_cell(decoder.core.cell, precision)
    layers.add_linear(attention.query, precision)
    if isinstance(attention, LocationSensitiveAttention):
        layers.add_single(attention.filters.weight.flatten(1))  # channel after channel
        layers.add_single(attention.location.weight)
    if isinstance(stack, ResidualGRUStack):
        layers.add_linear(stack.project, precision)
    for cell in stack.cells:
        layers.add_cell(cell, precision)
    layers.add_linear(decoders.joint_head(decoder), precision)
    dims = attention.energy.weight[0].detach()
    direction = F.pad(dims, (0, -len(dims) % layers.lanes))
    matrices = pack_structs(KERNEL, "Matrix", *(layer.descriptor() for layer in layers))
    sizes = pack_structs(KERNEL, "Sizes", _sizes(decoder))
    return _PackedDecoder(sizes, matrices, direction)


def _sizes(decoder: FrameDecoder) -> list[int]:
    """The fields of the kernel's `Sizes`, in its order."""
    cell, attention, stack = decoder.core.cell, decoder.core.attention, decoder.stack
    assert isinstance(attention, LocationSensitiveAttention | ContentAttention)
    location = (0, 0, 0)
    if isinstance(attention, LocationSensitiveAttention):
        filters = attention.filters
        location = filters.out_channels, filters.in_channels, attention.reach
    widths = decoder.prenet.sizes
    return [
        *(decoder.mels, decoder.frames.out_features + 1, cell.context_dim),
        *(len(widths), *widths, *[0] * (decoders.MOST_PRENET_LAYERS - len(widths))),
        *(cell.gates, cell.hidden),
        *(attention.query.out_features, *location),
        *(stack.cells[0].gates, stack.output_dim, len(stack.cells)),
        *(int(decoder.config.project_context), decoder.config.attention_end_steps),
    ]
