"""Free-running frame decoder in C++ on a CPU: packed weights, many steps per kernel call."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from speechseq.models.backends import supported as decoders
from speechseq.models.decoder_output import Steps
from speechseq.models.decoder_stack import ResidualGRUStack
from speechseq.models.frame_decoder import FrameDecoder
from speechseq.models.run_inputs import RunInputs
from speechseq.nn.attention.content import ContentAttention
from speechseq.nn.attention.location_sensitive import LocationSensitiveAttention
from speechseq.nn.cells import SplitCell
from speechseq.nn.prenet import UtteranceNoise
from speechseq.ops.cpp.library import call, library
from speechseq.ops.cpp.library import pack as pack_structs
from speechseq.ops.cpp.signature import Structs
from speechseq.ops.quantize import Packed, Shape, pack

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


def run(decoder: FrameDecoder, inputs: RunInputs) -> Steps:
    """Run the free-running decoder in the C++ kernel, one block of steps per call.

    Check `supported` first. The weights are packed at the first call, and again after they have
    changed.
    """
    kernel, blocks = KernelRun(decoder, inputs), []
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
        inputs: memory, limits and dropout masks, on a CPU; the attention's speed must be 1.

    Attributes:
        step: number of steps made.
        step_lengths: (batch), number of steps of each row so far.
        ending: (batch), -1 while a row goes on, then the reason of its end as in `Steps`: 0 stop, 1
            attention_end, 2 limit.
    """

    def __init__(self, decoder: FrameDecoder, inputs: RunInputs) -> None:
        batch, positions = inputs.memory_mask.shape
        self.decoder, self.inputs = decoder, inputs
        self.packed = decoders.cached(decoder, inputs.precision, _pack)
        self.attention = _attention_inputs(decoder, inputs)
        self.state = _new_state(self.packed, batch, positions)
        rows = torch.tensor([[0], [-1], [0], [0]]).repeat(1, batch)
        self.resting, self.ending, self.step_lengths, self.reached = rows.unbind()
        self.step, self.most = 0, int(inputs.limits.max())

    def advance(self, steps: int) -> tuple[Tensor, Tensor, Tensor]:
        """Make at most `steps` further steps.

        A call ends at the latest with a block of 64 steps, whose dropout masks are drawn at once.

        Returns:
            frames (batch, steps, r * mels), stop logits (batch, steps) and attention weights
                (batch, steps, positions), zero after a row's end.
        """
        decoder, inputs, begin = self.decoder, self.inputs, self.step % UtteranceNoise.block
        steps = min(steps, UtteranceNoise.block - begin, self.most - self.step)
        keep, fed, (batch, positions) = None, None, inputs.memory_mask.shape
        if inputs.noise is not None:
            keep = inputs.noise.steps(self.step)[:, begin : begin + steps].contiguous()
        if inputs.fed is not None:
            fed = inputs.fed[:, self.step : self.step + steps].float().contiguous()
        outputs = (
            torch.zeros(batch, steps, decoder.frames.out_features),
            torch.zeros(batch, steps),
            torch.zeros(batch, steps, positions),
        )
        call(
            *(KERNEL, "decode", *self.packed, *self.attention, self.state, keep, fed),
            *(inputs.memory_lengths.contiguous(), inputs.limits.contiguous()),
            *(self.resting, self.ending, self.step_lengths, self.reached, *outputs),
            *(batch, positions, self.step, steps, inputs.steering.window or 0),
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


def _attention_inputs(decoder: FrameDecoder, inputs: RunInputs) -> _AttentionInputs:
    attention = decoder.core.attention
    state = attention.start(inputs.memory.float(), inputs.memory_mask)
    history = inputs.memory.new_empty(len(inputs.memory), 0, inputs.memory.shape[1])
    if isinstance(attention, LocationSensitiveAttention):
        history = F.pad(state.history, (attention.reach, attention.reach)).contiguous()
    return _AttentionInputs(state.memory.contiguous(), state.keys.float().contiguous(), history)


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
