"""Chooses a fast backend for the attention RNN and reads the modules' parameters for it.

This is the only file of nn/ that imports backends. A CPU runs C++; a GPU runs a CUDA graph (with
Triton kernels where they launch; both are experimental). `AttentionRNN.step_by_step` runs in all
other cases.
"""

import functools
from collections.abc import Callable
from collections.abc import Sequence as Series
from typing import TypeGuard

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from speechseq.eager import has_memory
from speechseq.nn.attention.content import ContentAttention, ContentState
from speechseq.nn.attention.location_sensitive import LocationSensitiveAttention
from speechseq.nn.attention.reading import ReadingConfig
from speechseq.nn.cells import SplitCell, SplitGRU, SplitLSTM
from speechseq.ops.attention_rnn import cpp
from speechseq.ops.attention_rnn.problem import LoopInputs, LoopSpec
from speechseq.ops.cuda_graph import GraphCache, graph_cache
from speechseq.ops.plain import is_plain
from speechseq.ops.triton import launch

BUCKET_STEPS, BUCKET_POSITIONS = 64, 32  # a CUDA graph serves all lengths up to a multiple of these

Outputs = tuple[Tensor, Tensor, Tensor]  # hidden states, contexts, alignment
Op = Callable[[LoopSpec, Tensor, Tensor, LoopInputs], Outputs]
Run = Callable[[Tensor, Tensor, Tensor, Tensor, Series[Tensor | None]], Outputs]


def choose(
    core: nn.Module,
    cells: Series[SplitCell],
    attention: nn.Module,
    step_by_step: Run,
    inputs: Tensor,
    memory: Tensor,
    memory_mask: Tensor,
) -> Run:
    """Return the fastest function that runs all steps of an attention RNN on these inputs.

    It runs C++ kernels on a CPU, captures Triton kernels or `step_by_step` in a CUDA graph on a
    GPU, or is `step_by_step` itself. All have the same arguments and results.

    Args:
        core: the attention RNN that `cells` and `attention` belong to; its CUDA graphs are cached.
        cells: layers of the RNN, from the bottom.
        attention: mechanism that the top layer queries.
        step_by_step: the method `AttentionRNN.step_by_step`.
        inputs: (batch, steps, input_dim).
        memory: (batch, positions, memory_dim).
        memory_mask: (batch, positions), True = valid.
    """
    dtype = _dtype(cells, attention, inputs)
    if dtype is not None and cpp.supported(inputs, memory, memory_mask):
        return functools.partial(_run, cpp.run, cells, attention, dtype)
    graphs = graph_cache(core, inputs.device)
    if graphs is None or getattr(attention, "draws", False):
        return step_by_step
    run, is_triton = step_by_step, dtype is not None and launch.supported(inputs.device)
    if dtype is not None and is_triton:
        from speechseq.ops.attention_rnn import triton  # not installed everywhere

        run = functools.partial(_run, triton.run, cells, attention, dtype)
    key = core.training, reading_of(attention), is_triton
    return functools.partial(_run_graph, graphs, run, tuple(core.parameters()), key)


def reading_of(attention: nn.Module) -> ReadingConfig | None:
    """Return the settings by which an attention mechanism turns energies into weights.

    Args:
        attention: a mechanism, or any module.

    Returns:
        Its attribute `reading`, a `ReadingConfig`; None if the module has no such attribute.
    """
    return getattr(attention, "reading", None)


def attention_supported(
    attention: nn.Module,
) -> TypeGuard[LocationSensitiveAttention | ContentAttention]:
    """Return True if the kernels can compute an attention mechanism from its weights alone.

    These are content-based and location-sensitive attention whose layers have no hooks. How
    energies become weights (`reading`), and the layer that projects the keys, are not checked here.

    Args:
        attention: the mechanism.
    """
    kinds = LocationSensitiveAttention, ContentAttention
    return isinstance(attention, kinds) and is_plain(attention, *kinds) and attention.is_readable()


def _dtype(cells: Series[SplitCell], attention: nn.Module, inputs: Tensor) -> torch.dtype | None:
    """The dtype of states and products in a backend; None if none supports modules and inputs."""
    supported = (
        has_memory(inputs)
        and attention_supported(attention)
        and attention.reading.is_plain
        and all(is_plain(cell, SplitLSTM, SplitGRU) for cell in cells)
        and {p.dtype for cell in cells for p in cell.parameters()} == {torch.float32}
    )
    if not supported:
        return None
    device = inputs.device.type
    if torch.is_autocast_enabled(device):
        dtype = torch.get_autocast_dtype(device)
        return dtype if dtype == torch.bfloat16 else None
    return torch.float32 if inputs.dtype == torch.float32 else None


def _run(
    op: Op,
    cells: Series[SplitCell],
    attention: nn.Module,
    dtype: torch.dtype,
    inputs: Tensor,
    memory: Tensor,
    memory_mask: Tensor,
    lengths: Tensor,
    dropout_bits: Series[Tensor | None],
) -> Outputs:
    """Pass the keys and weights of the modules to a backend."""
    assert isinstance(attention, LocationSensitiveAttention | ContentAttention)
    state = attention.start(memory, memory_mask)
    previous = state.previous if isinstance(state, ContentState) else state.history[:, 0]
    gates = [cell.four_gates() for cell in cells]
    filters, location = _filters(attention)
    channels, kernel = (0, 1) if filters is None else filters.shape[1:]
    spec = LoopSpec(
        dtype,
        lengths,
        memory_mask,
        previous.float().contiguous(),
        attention.reading.sharpening,
        attention.reading.through_previous,
        channels,
        kernel,
        tuple(isinstance(cell, SplitLSTM) for cell in cells),
        tuple(dropout_bits),
        tuple((cell.dropout_scale, 0.0 if cell.training else cell.zoneout) for cell in cells),
    )
    tensors = LoopInputs(
        state.keys,
        state.memory,
        attention.query.weight,
        attention.energy.weight[0],
        filters,
        location,
        tuple(own.recurrent for own in gates),
        tuple(own.bias for own in gates),
    )
    return op(spec, inputs, gates[0].inputs, tensors)


def _filters(attention: nn.Module) -> tuple[Tensor | None, Tensor | None]:
    """Location filters and their projection, if the mechanism has them."""
    if isinstance(attention, LocationSensitiveAttention):
        return attention.filters.weight, attention.location.weight
    return None, None


def _run_graph(
    graphs: GraphCache,
    run: Run,
    weights: tuple[Tensor, ...],
    key: tuple,
    inputs: Tensor,
    memory: Tensor,
    memory_mask: Tensor,
    lengths: Tensor,
    dropout_bits: Series[Tensor | None],
) -> Outputs:
    """`run` from a CUDA graph, with steps and positions padded to multiples of the bucket sizes."""
    steps, positions = inputs.shape[1], memory.shape[1]
    more, wider = -steps % BUCKET_STEPS, -positions % BUCKET_POSITIONS
    arguments = (
        F.pad(inputs, (0, 0, 0, more)),
        F.pad(memory, (0, 0, 0, wider)),
        F.pad(memory_mask, (0, wider)),
        lengths,
        tuple(None if x is None else F.pad(x, (0, 0, 0, 0, 0, more)) for x in dropout_bits),
    )
    hidden, context, alignment = graphs(run, arguments, weights, key)
    return hidden[:, :steps], context[:, :steps], alignment[:, :steps, :positions]
