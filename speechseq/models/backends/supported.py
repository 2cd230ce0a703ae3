"""Checks which frame decoders the kernels support; a cache of values made from their weights."""

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
from speechseq.ops.quantize import quantize

MOST_PRENET_LAYERS = 8  # fields of the C++ kernel's `Sizes`
_SUPPORTED = {
    *(FrameDecoder, Prenet, AttentionRNN, SplitLSTM, SplitGRU),
    *(LocationSensitiveAttention, ContentAttention, LSTMStack, ResidualGRUStack),
    *(nn.Linear, nn.Conv1d, nn.ModuleList),
}
_CACHE: "WeakKeyDictionary[FrameDecoder, dict[tuple, tuple]]" = WeakKeyDictionary()
Output = TypeVar("Output")
Part = TypeVar("Part", bound=nn.Module)


def supported(decoder: FrameDecoder, device: str) -> bool:
    """Return True if the kernels of a device type, "cpu" or "cuda", can run the decoder freely.

    They support the RNNs, decoder stacks and attentions of both Tacotrons, with a plain softmax, in
    float32, and only plain modules (see `ops.plain`).
    """
    core = decoder.core
    if not attention_supported(core.attention) or not all_plain(decoder, *_SUPPORTED):
        return False
    reading = core.attention.reading
    plain = ReadingConfig(first=reading.first, through_previous=reading.through_previous)
    return (
        decoder.frames.bias is not None
        and decoder.stop.bias is not None
        and len(core.cells) == 1
        and len(decoder.stack.cells) >= 1
        and reading == plain
        and 1 <= len(decoder.prenet.layers) <= MOST_PRENET_LAYERS
        and has_memory(*decoder.parameters())
        and all(p.dtype == torch.float32 and p.device.type == device for p in decoder.parameters())
    )


def cached(
    decoder: FrameDecoder, precision: str, make: Callable[[FrameDecoder, str], Output]
) -> Output:
    """Return `make(decoder, precision)` from a cache; it is computed anew if weights changed.

    Args:
        decoder: frame decoder, whose weights `make` packs or rounds.
        precision: "float32", "bfloat16" or "int8".
        make: function of decoder and precision.
    """
    entries, state = _CACHE.setdefault(decoder, {}), _fingerprint(decoder)
    if entries.get((make, precision), (None,))[0] != state:
        entries[make, precision] = state, make(decoder, precision)
    return entries[make, precision][1]


def rounded_decoder(decoder: FrameDecoder, precision: str) -> FrameDecoder:
    """Return a copy of the decoder with weights rounded to a precision, for the torch backend.

    `precision` is "float32" (the decoder itself is returned), "bfloat16" or "int8". The rounded
    weights are cached; biases and hooks are shared with the decoder. Two kinds of weights are not
    rounded: those inside of modules that other packages define, and those that pruning or a
    parametrization computes.
    """
    if precision == "float32":
        return decoder
    weights, instead = _weights(decoder), {id(x): x for x in decoder.parameters()}
    for weight, other in zip(weights, cached(decoder, precision, _round), strict=True):
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


def joint_head(decoder: FrameDecoder) -> nn.Linear:
    """Concatenate a decoder's projections to frames and to the stop logit to one linear layer.

    Its outputs are r * mels values of the frames, then the stop logit.
    """
    frames, stop = decoder.frames, decoder.stop
    head = nn.Linear(frames.in_features, frames.out_features + 1, device="meta")
    head.weight = nn.Parameter(torch.cat([frames.weight, stop.weight]), requires_grad=False)
    head.bias = nn.Parameter(torch.cat([frames.bias, stop.bias]), requires_grad=False)
    return head


@torch.inference_mode(False)  # the next caller may want gradients
@torch.no_grad()
def _round(decoder: FrameDecoder, precision: str) -> list[nn.Parameter]:
    return [
        nn.Parameter(quantize(x, precision).dequantize().to(x), requires_grad=x.requires_grad)
        for x in _weights(decoder)
    ]


def _weights(decoder: FrameDecoder) -> list[Tensor]:
    """The weights that a precision rounds: those that the C++ kernel packs, without biases."""
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
    """A value that changes with the weights and modules; sums see writes that autograd does not."""
    parameters = list(decoder.parameters())
    sums = torch.stack([p.detach().sum() for p in parameters]).tolist()
    versions = (0 if p.is_inference() else p._version for p in parameters)
    weights = zip((p.data_ptr() for p in parameters), versions, sums, strict=True)
    return *map(type, decoder.modules()), *weights
