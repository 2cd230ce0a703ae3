"""Which frame decoders kernels know, and what is kept of their weights while these stay."""

import copy
from collections.abc import Callable
from typing import TypeVar
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from speechseq.eager import has_memory
from speechseq.models.decoder_stack import LSTMStack, ResidualGRUStack
from speechseq.models.frame_decoder import FrameDecoder
from speechseq.nn.attention.content import ContentAttention
from speechseq.nn.attention.location_sensitive import LocationSensitiveAttention
from speechseq.nn.attention.reading import ReadingConfig
from speechseq.nn.attention_rnn import AttentionRNN
from speechseq.nn.attention_rnn_fast import attention_supported
from speechseq.nn.cells import SplitGRU, SplitLSTM
from speechseq.nn.prenet import Prenet
from speechseq.ops.plain import all_plain
from speechseq.ops.quantize import rounded

MOST_PRENET_LAYERS = 8  # the CPU's kernel has room for
_KNOWN = {
    *(FrameDecoder, Prenet, AttentionRNN, SplitLSTM, SplitGRU),
    *(LocationSensitiveAttention, ContentAttention, LSTMStack, ResidualGRUStack),
    *(nn.Linear, nn.Conv1d, nn.ModuleList),
}
_KEPT: "WeakKeyDictionary[FrameDecoder, dict[tuple, tuple]]" = WeakKeyDictionary()
Made = TypeVar("Made")
Part = TypeVar("Part", bound=nn.Module)


def known(decoder: FrameDecoder, device: str) -> bool:
    """Whether kernels of a kind of device can run it freely.

    They know the RNNs, stacks and attentions of both Tacotrons with a plain softmax, in float32,
    where nothing has to be called (see `nn.plain`).
    """
    if not all_plain(decoder, *_KNOWN):
        return False
    core = decoder.core
    reading = core.attention.reading
    plain = ReadingConfig(first=reading.first, through_previous=reading.through_previous)
    return (
        attention_supported(core.attention)
        and decoder.frames.bias is not None
        and decoder.stop.bias is not None
        and len(core.cells) == 1
        and len(decoder.stack.cells) >= 1
        and reading == plain
        and 1 <= len(decoder.prenet.layers) <= MOST_PRENET_LAYERS
        and has_memory(*decoder.parameters())
        and all(p.dtype == torch.float32 and p.device.type == device for p in decoder.parameters())
    )


def kept(decoder: FrameDecoder, precision: str, make: Callable[[FrameDecoder, str], Made]) -> Made:
    """What is made of the decoder's weights in a precision, made anew when they have changed."""
    found, state = _KEPT.setdefault(decoder, {}), _fingerprint(decoder)
    if found.get((make, precision), (None,))[0] != state:
        found[make, precision] = state, make(decoder, precision)
    return found[make, precision][1]


def rounded_decoder(decoder: FrameDecoder, precision: str) -> FrameDecoder:
    """The decoder with the weights that packing in a precision leaves it, for torch to run.

    Those are kept as long as the decoder and made anew when its own have changed; all else, its
    biases and hooks say, is the decoder's own. Layers inside of others' modules, and weights that
    pruning or a parametrization makes, are not rounded.
    """
    if precision == "float32":
        return decoder
    weights, instead = _weights(decoder), {id(x): x for x in decoder.parameters()}
    for weight, other in zip(weights, kept(decoder, precision, _round), strict=True):
        instead[id(weight)] = other
    return _with_parameters(decoder, instead)


def _with_parameters(module: Part, instead: dict[int, nn.Parameter]) -> Part:
    """A copy of a module that shares everything with it but these parameters, by their ids."""
    other = copy.copy(module)
    parameters = module._parameters.items()
    other._parameters = {k: p if p is None else instead[id(p)] for k, p in parameters}
    other._modules = {
        k: part if part is None else _with_parameters(part, instead)
        for k, part in module._modules.items()
    }
    return other


def one_head(frames: nn.Linear, stop: nn.Linear) -> nn.Linear:
    """Frames and stop as one layer."""
    head = nn.Linear(frames.in_features, frames.out_features + 1, device="meta")
    head.weight = nn.Parameter(torch.cat([frames.weight, stop.weight]), requires_grad=False)
    head.bias = nn.Parameter(torch.cat([frames.bias, stop.bias]), requires_grad=False)
    return head


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


def _fingerprint(decoder: FrameDecoder) -> tuple:
    """Changes when a weight or a part does; the sums see what autograd did not."""
    parameters = list(decoder.parameters())
    sums = torch.stack([p.detach().sum() for p in parameters]).tolist()
    versions = (0 if p.is_inference() else p._version for p in parameters)
    weights = zip((p.data_ptr() for p in parameters), versions, sums, strict=True)
    return *map(type, decoder.modules()), *weights
