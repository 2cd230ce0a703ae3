"""The attention RNN over all steps in C++ on a CPU, with one kernel call per pass.

The plain torch formula is `speechseq.nn.attention_rnn.AttentionRNN.step_by_step`.
"""

from collections.abc import Sequence as Series
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from speechseq.eager import has_memory
from speechseq.ops.attention_rnn.cpp_tensors import Grads, LoopSaved, PackedSteps
from speechseq.ops.attention_rnn.problem import LoopInputs, LoopSpec
from speechseq.ops.autograd import saved_tensors
from speechseq.ops.cpp.library import call, library, pack
from speechseq.ops.linear import linear, weight_grad
from speechseq.ops.varlen import gather_rows, scatter_rows

NAME = "attention_rnn"
LANES = 16  # the attention's dim and filters are padded to multiples of a vector register's floats


def supported(inputs: Tensor, memory: Tensor, memory_mask: Tensor) -> bool:
    """Return True if the C++ kernel is available and takes these tensors: CPU, padded at the end.

    Args:
        inputs: (batch, steps, input_dim).
        memory: (batch, positions, memory_dim).
        memory_mask: (batch, positions) bool, True for valid positions; they must precede the
            others.
    """
    if not has_memory(inputs, memory) or inputs.device.type != "cpu" or library(NAME) is None:
        return False
    lengths = memory_mask.sum(1, keepdim=True)
    return bool((memory_mask == (torch.arange(memory_mask.shape[1]) < lengths)).all())


def run(
    spec: LoopSpec, inputs: Tensor, input_weight: Tensor, tensors: LoopInputs
) -> tuple[Tensor, Tensor, Tensor]:
    """Run all steps of the attention RNN in the C++ kernel; check `supported` first.

    Args:
        spec: sizes, masks and other data without gradients.
        inputs: (batch, steps, input_dim), float32 or bfloat16.
        input_weight: (4 * hidden, input_dim), weight of the inputs in the bottom layer's four
            gates.
        tensors: weights, keys and memory.

    Returns:
        Hidden states (batch, steps, hidden) and contexts (batch, steps, memory_dim), both of dtype
        `spec.dtype`, and the alignment (batch, steps, positions) in float32; zeros beyond an item's
        length.
    """
    batch, steps = inputs.shape[:2]
    packed = PackedSteps.of(spec.lengths, steps)
    index = packed.items * steps + packed.steps
    bits = (None if x is None else x[packed.steps, packed.items] for x in spec.dropout_bits)
    rows = gather_rows(inputs.flatten(0, 1), index)
    gates = linear(rows, input_weight, tensors.biases[0]).to(spec.dtype)
    read = _prepared(tensors, spec.dtype)
    spec = spec._replace(dropout_bits=tuple(bits))
    hidden, context, alignment = AttentionRNNFunction.apply(spec, packed, gates, *read.flat())
    padded = (scatter_rows(x, index, batch * steps) for x in (hidden, context))
    hidden, context = (x.unflatten(0, (batch, steps)) for x in padded)
    return hidden, context, alignment


def _prepared(tensors: LoopInputs, dtype: torch.dtype) -> LoopInputs:
    """Pad dim and filters for the kernel; weights of products in `dtype`, all others float32."""
    filters, location = tensors.filters, tensors.location
    return LoopInputs(
        _padded(tensors.keys.float(), 2),
        tensors.memory.float().contiguous(),
        _padded(tensors.query, 0).to(dtype),
        _padded(tensors.energy, 0),
        None if filters is None else _padded(filters, 0),
        None if location is None else _padded(_padded(location, 0), 1),
        tuple(x.to(dtype) for x in tensors.weights),
        tuple(x.float() for x in tensors.biases),
    )


def _padded(x: Tensor, dim: int) -> Tensor:
    """Contiguous, with zeros up to a multiple of LANES along a dimension."""
    missing = -x.shape[dim] % LANES
    if not missing:
        return x.contiguous()
    return F.pad(x, (0, 0) * (x.dim() - 1 - dim) + (0, missing)).contiguous()


class AttentionRNNFunction(torch.autograd.Function):
    """Autograd Function of all steps of the attention RNN in C++; `run` calls its `apply`.

    Args of `apply`: a `LoopSpec`; a `PackedSteps`, which lists the valid steps of all items as
    rows; the input gates (rows, 4 * hidden), the products of the inputs with the bottom layer's
    weights, which it overwrites; and the tensors of `LoopInputs.flat()`. It returns hidden states
    (rows, hidden), contexts (rows, memory_dim), and the alignment (batch, steps, positions).
    """

    @staticmethod
    def forward(
        ctx: Any, spec: LoopSpec, packed: PackedSteps, gates: Tensor, *flat: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        tensors = LoopInputs.of(flat)
        out = _allocate(spec, packed, gates.detach(), tensors)
        _call("forward", spec, packed, tensors, out, None)
        ctx.spec, ctx.packed, ctx.count = spec, packed, len(flat)
        ctx.save_for_backward(*flat, *out.flat())
        ctx.set_materialize_grads(False)
        batch = len(tensors.keys)
        return out.hidden[-1][batch:], out.context[batch:], out.alignment

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        spec, packed, (flat, may_overwrite) = ctx.spec, ctx.packed, saved_tensors(ctx)
        tensors, out = LoopInputs.of(flat[: ctx.count]), LoopSaved.of(flat[ctx.count :])
        grads = _allocate_grads(spec, tensors, out, gradients, may_overwrite)
        _call("backward", spec, packed, tensors, out, grads)
        del flat
        out = out._replace(cells=())
        return None, None, grads.gates[0], *_input_grads(packed, tensors, out, grads)


def _allocate(spec: LoopSpec, packed: PackedSteps, gates: Tensor, tensors: LoopInputs) -> LoopSaved:
    batch, positions, dim = tensors.keys.shape
    rows, steps = len(gates), len(packed.starts) - 1
    widths = [len(weight) for weight in tensors.weights]
    hidden, cells = ([_after_zeros(gates, batch, width // 4) for width in widths] for _ in range(2))
    return LoopSaved(
        tensors.keys.new_empty(rows, dim),
        _after_zeros(gates, batch, tensors.memory.shape[2]),
        tensors.keys.new_zeros(batch, steps, positions),
        (gates, *(gates.new_empty(rows, width) for width in widths[1:])),
        tuple(hidden),
        tuple(x if lstm else None for x, lstm in zip(cells, spec.lstm, strict=True)),
    )


def _after_zeros(like: Tensor, batch: int, width: int) -> Tensor:
    """Uninitialised (batch + rows, width); only the states before the first step are zero."""
    room = like.new_empty(batch + len(like), width)
    room[:batch] = 0
    return room


def _allocate_grads(
    spec: LoopSpec,
    tensors: LoopInputs,
    out: LoopSaved,
    gradients: Series[Tensor | None],
    may_overwrite: bool,
) -> Grads:
    batch, steps = out.alignment.shape[:2]
    dtype, energy = out.context.dtype, tensors.energy
    filters = 0 if tensors.filters is None else len(tensors.filters)
    hidden, context, alignment = gradients
    return Grads(
        out.alignment.cumsum(1),
        None if hidden is None else hidden.to(dtype).contiguous(),
        None if context is None else context.to(dtype).contiguous(),
        None if alignment is None else alignment.contiguous(),
        torch.empty_like(out.queries, dtype=dtype),
        energy.new_zeros(batch, steps, tensors.memory.shape[2]),
        torch.zeros_like(tensors.keys),
        energy.new_zeros(batch, len(energy)),
        energy.new_zeros(batch, spec.channels * spec.kernel, filters),
        energy.new_zeros(batch, len(energy) if filters else 0, filters),
        out.gates if may_overwrite else tuple(torch.empty_like(gates) for gates in out.gates),
    )


def _input_grads(
    packed: PackedSteps, tensors: LoopInputs, out: LoopSaved, grads: Grads
) -> list[Tensor | None]:
    """Gradients of `LoopInputs.flat()`; each weight's is one product over all steps."""
    filters, batch, before = tensors.filters, len(tensors.keys), packed.before
    weights = []
    for i, (gates, hidden) in enumerate(zip(grads.gates, out.hidden, strict=True)):
        layer_input = out.hidden[i - 1][batch:] if i else out.context.index_select(0, before)
        from_input = weight_grad(gates, layer_input)
        del layer_input  # one copy of the states at a time
        from_hidden = weight_grad(gates, hidden.index_select(0, before))
        weights.append(torch.cat([from_input, from_hidden], 1))
    return [
        grads.keys,
        torch.bmm(out.alignment.transpose(1, 2), grads.read),
        weight_grad(grads.queries, out.hidden[-1][batch:]),
        grads.energy.sum(0),
        None if filters is None else grads.filters.sum(0).t().reshape(filters.shape),
        None if filters is None else grads.location.sum(0),
        *weights,
        None,  # the bottom layer's bias is in its hoisted gates
        *(gates.sum(0, dtype=torch.float32) for gates in grads.gates[1:]),
    ]


def _call(
    direction: str,
    spec: LoopSpec,
    packed: PackedSteps,
    tensors: LoopInputs,
    out: LoopSaved,
    grads: Grads | None,
) -> None:
    """Call the kernel; sizes and tensors are in the order of the structs' fields."""
    keys, memory, query, energy, filters, location = tensors[:6]
    batch, steps, positions = out.alignment.shape
    layers, rates = len(spec.lstm), torch.tensor(spec.rates)
    sizes = (layers, batch, steps, positions, query.shape[1], keys.shape[2], memory.shape[2])
    located = (spec.channels, 0 if filters is None else len(filters), spec.kernel)
    lengths = (spec.memory_mask.sum(1), packed.order, packed.starts)
    read = (*lengths, spec.first_weights, keys, memory, energy, query, filters, location)
    back = (None,) * 10 if grads is None else grads[:10]
    attention = (*sizes, *located, spec.through_previous, *read, *out[:3], *back)
    rows = [
        (
            tensors.weights[i].shape[1] - tensors.weights[i].shape[0] // 4,
            tensors.weights[i].shape[0] // 4,
            tensors.weights[i],
            tensors.biases[i] if i else None,
            out.gates[i],
            out.cells[i],
            out.hidden[i],
            spec.dropout_bits[i],
            rates[i],
            None if grads is None else grads.gates[i],
        )
        for i in range(layers)
    ]
    name = "bfloat16" if out.context.dtype == torch.bfloat16 else "float"
    structs = pack(NAME, f"Attention_{name}", attention), pack(NAME, f"Layer_{name}", *rows)
    call(NAME, f"attention_rnn_{direction}_{name}", *structs, spec.sharpening)
