"""A frame decoder whose weights stand packed for the kernel that runs it freely on a CPU."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from speechseq.models.backends.support import MOST_PRENET_LAYERS, kept, known, one_head
from speechseq.models.decoder_stack import ResidualGRUStack
from speechseq.models.frame_decoder import FrameDecoder
from speechseq.nn.attention.content import ContentAttention
from speechseq.nn.attention.location_sensitive import LocationSensitiveAttention
from speechseq.nn.cells import SplitCell
from speechseq.ops.cpp.library import call, library
from speechseq.ops.cpp.library import pack as pack_structs
from speechseq.ops.cpp.signature import Structs
from speechseq.ops.quantize import Packed, Shape, pack

KERNEL = "frame_decoder"


class PackedDecoder(NamedTuple):
    """What the kernel reads: sizes, layers, and the energies' direction."""

    numbers: Structs
    matrices: Structs
    direction: Tensor


def packed_decoder(decoder: FrameDecoder, precision: str) -> PackedDecoder | None:
    """The decoder's packed weights, made anew when they have changed; None where torch must run.

    What is packed is kept as long as the decoder.
    """
    if not known(decoder, "cpu") or library(KERNEL) is None:
        return None
    return kept(decoder, precision, _pack)


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


def _pack(decoder: FrameDecoder, precision: str) -> PackedDecoder:
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
    layers.add_linear(one_head(decoder.frames, decoder.stop), precision)
    dims = attention.energy.weight[0].detach()
    direction = F.pad(dims, (0, -len(dims) % layers.lanes))
    matrices = pack_structs(KERNEL, "Matrix", *(layer.fields() for layer in layers))
    numbers = pack_structs(KERNEL, "Numbers", _numbers(decoder))
    return PackedDecoder(numbers, matrices, direction)


def _numbers(decoder: FrameDecoder) -> list[int]:
    """The sizes in the order of the kernel's `Numbers`."""
    cell, attention, stack = decoder.core.cell, decoder.core.attention, decoder.stack
    assert isinstance(attention, LocationSensitiveAttention | ContentAttention)
    location = (0, 0, 0)
    if isinstance(attention, LocationSensitiveAttention):
        filters = attention.filters
        location = filters.out_channels, filters.in_channels, attention.reach
    widths = decoder.prenet.sizes
    return [
        *(decoder.mels, decoder.frames.out_features + 1, cell.context_dim),
        *(len(widths), *widths, *[0] * (MOST_PRENET_LAYERS - len(widths))),
        *(cell.gates, cell.hidden),
        *(attention.query.out_features, *location),
        *(stack.cells[0].gates, stack.output_dim, len(stack.cells)),
        *(int(decoder.config.project_context), decoder.config.attention_end_steps),
    ]
