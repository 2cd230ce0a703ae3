"""A frame decoder whose weights stand packed for the kernel that runs it freely on a CPU."""

import copy
from collections.abc import Callable
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from speechseq.models.decoder_stack import LSTMStack, ResidualGRUStack
from speechseq.models.frame_decoder import FrameDecoder
from speechseq.models.packed_weights import Packed, Shape, pack, rounded
from speechseq.native.library import call, library
from speechseq.nn.attention.content import ContentAttention
from speechseq.nn.attention.location_sensitive import LocationSensitiveAttention
from speechseq.nn.attention.reading import ReadingConfig
from speechseq.nn.cells import SplitCell, SplitGRU, SplitLSTM
from speechseq.nn.core_loop import CoreLoop
from speechseq.nn.prenet import Prenet

KERNEL = "frame_decoder"
MOST_PRENET_LAYERS = 8  # the kernel's
_KNOWN = {
    *(FrameDecoder, Prenet, CoreLoop, SplitLSTM, SplitGRU),
    *(LocationSensitiveAttention, ContentAttention, LSTMStack, ResidualGRUStack),
    *(nn.Linear, nn.Conv1d, nn.ModuleList),
}
_KEPT: "WeakKeyDictionary[FrameDecoder, dict[tuple, tuple]]" = WeakKeyDictionary()


class PackedDecoder(NamedTuple):
    """What the kernel reads: sizes, the layers' addresses, the energies' direction, and the layers
    themselves, to keep them alive."""

    numbers: Tensor
    matrices: Tensor
    direction: Tensor
    layers: tuple[Packed, ...]


def packed_decoder(decoder: FrameDecoder, precision: str) -> PackedDecoder | None:
    """The decoder's packed weights, made anew when they have changed; None where torch must run.

    The kernel knows the RNNs, stacks and attentions of both Tacotrons with a plain softmax, in
    float32 on a CPU, and calls no hooks. What is packed is kept as long as the decoder.
    """
    if not _known(decoder) or library(KERNEL) is None:
        return None
    return _kept(decoder, precision, _pack)


def rounded_decoder(decoder: FrameDecoder, precision: str) -> FrameDecoder:
    """The decoder with the weights that packing in a precision leaves it, for torch to run.

    Those are kept as long as the decoder and made anew when its own have changed; all else, its
    biases say, is the decoder's own.
    """
    if precision == "float32":
        return decoder
    weights, instead = _weights(decoder), {id(x): x for x in decoder.parameters()}
    for weight, other in zip(weights, _kept(decoder, precision, _round), strict=True):
        instead[id(weight)] = other
    return copy.deepcopy(decoder, instead)


def _kept(decoder: FrameDecoder, precision: str, make: Callable[[FrameDecoder, str], Any]) -> Any:
    """What is made of the decoder's weights in a precision, made anew when they have changed."""
    kept, state = _KEPT.setdefault(decoder, {}), _fingerprint(decoder)
    if kept.get((make, precision), (None,))[0] != state:
        kept[make, precision] = state, make(decoder, precision)
    return kept[make, precision][1]


@torch.inference_mode(False)  # who asks next may want gradients
@torch.no_grad()
def _round(decoder: FrameDecoder, precision: str) -> list[nn.Parameter]:
    return [
        nn.Parameter(rounded(x, precision).whole().to(x), requires_grad=x.requires_grad)
        for x in _weights(decoder)
    ]


def _weights(decoder: FrameDecoder) -> list[Tensor]:
    """All that is packed but biases: what a precision rounds."""
    attention = decoder.core.attention
    linears: list[nn.Module] = [*decoder.prenet.layers, decoder.frames, decoder.stop]
    linears += [
        part
        for part in (getattr(attention, "query", None), getattr(decoder.stack, "project", None))
        if isinstance(part, nn.Linear)
    ]
    cells = [*decoder.core.cells, *decoder.stack.cells]
    weights = [part.weight for part in linears if isinstance(part, nn.Linear)]
    return weights + [weight for cell in cells for weight in (cell.weight_ih, cell.weight_hh)]


def _known(decoder: FrameDecoder) -> bool:
    """No part is of another make than the kernel knows, in a subclass say, or has hooks."""
    core, parts = decoder.core, list(decoder.modules())
    reading = core.attention.reading
    plain = ReadingConfig(first=reading.first, through_previous=reading.through_previous)
    return (
        {type(part) for part in parts} <= _KNOWN
        and not any(part._forward_hooks or part._forward_pre_hooks for part in parts)
        and len(core.cells) == 1
        and len(decoder.stack.cells) >= 1
        and reading == plain
        and 1 <= len(decoder.prenet.layers) <= MOST_PRENET_LAYERS
        and all(p.dtype == torch.float32 and p.device.type == "cpu" for p in decoder.parameters())
    )


def _fingerprint(decoder: FrameDecoder) -> tuple:
    """Changes when a weight does; the sums see what was written behind autograd's back."""
    parameters = list(decoder.parameters())
    sums = torch.stack([p.detach().sum() for p in parameters]).tolist()
    versions = (0 if p.is_inference() else p._version for p in parameters)
    return tuple(zip((p.data_ptr() for p in parameters), versions, sums, strict=True))


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
    layers.add_linear(_one_head(decoder.frames, decoder.stop), precision)
    dims = attention.energy.weight[0].detach()
    direction = F.pad(dims, (0, -len(dims) % layers.lanes))
    words = torch.tensor([layer.words() for layer in layers])
    return PackedDecoder(_numbers(decoder), words, direction, tuple(layers))


def _one_head(frames: nn.Linear, stop: nn.Linear) -> nn.Linear:
    """Frames and stop as one layer."""
    head = nn.Linear(frames.in_features, frames.out_features + 1, device="meta")
    head.weight = nn.Parameter(torch.cat([frames.weight, stop.weight]), requires_grad=False)
    head.bias = nn.Parameter(torch.cat([frames.bias, stop.bias]), requires_grad=False)
    return head


def _numbers(decoder: FrameDecoder) -> Tensor:
    """The sizes in the order of the kernel's `Numbers`."""
    cell, attention, stack = decoder.core.cell, decoder.core.attention, decoder.stack
    assert isinstance(attention, LocationSensitiveAttention | ContentAttention)
    location = (0, 0, 0)
    if isinstance(attention, LocationSensitiveAttention):
        filters = attention.filters
        location = filters.out_channels, filters.in_channels, attention.reach
    widths = decoder.prenet.sizes
    return torch.tensor(
        [
            *(decoder.mels, decoder.frames.out_features + 1, cell.context_dim),
            *(len(widths), *widths, *[0] * (MOST_PRENET_LAYERS - len(widths))),
            *(cell.gates, cell.hidden),
            *(attention.query.out_features, *location),
            *(stack.cells[0].gates, stack.output_dim, len(stack.cells)),
            *(int(decoder.config.project_context), decoder.config.attention_end_steps),
        ]
    )
