"""The attention RNN over all steps in C++ on a CPU, with one kernel call per pass.

The plain torch formula is `speechseq.nn.attention_rnn.AttentionRNN.step_by_step`.
"""

from collections.abc import Sequence as Series
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from speechseq.eager import has_memory
from speechseq.ops.attention_rnn.problem import LoopInputs, LoopSpec
from speechseq.ops.autograd import saved_tensors
from speechseq.ops.cpp.library import call, library, pack
from speechseq.ops.linear import linear, weight_grad
from speechseq.ops.varlen import gather_rows, scatter_rows

NAME = "attention_rnn"
LANES = 16  # the attention's dim and filters are padded to multiples of a vector register's floats


def supported(inputs: Tensor, memory: Tensor, memory_mask: Tensor) -> bool:
    """Return True if the kernel is available and these tensors are on a CPU, padded at the end."""
    if not has_memory(inputs, memory) or inputs.device.type != "cpu" or library(NAME) is None:
        return False
    lengths = memory_mask.sum(1, keepdim=True)
    return bool((memory_mask == (torch.arange(memory_mask.shape[1]) < lengths)).all())


def run(
    spec: LoopSpec, inputs: Tensor, input_weight: Tensor, tensors: LoopInputs
) -> tuple[Tensor, Tensor, Tensor]:
    """Run all steps of the attention RNN in the C++ kernel; check `supported` first.

    The arguments are those of `triton.run`. Returns hidden states, contexts and alignment, each
    (batch, steps, …), in `spec.dtype` (the alignment: float32), 0 beyond a row's length.
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


class PackedSteps(NamedTuple):
    """Rows of all valid steps, concatenated step by step, as in torch's PackedSequence.

    Args:
        order: (batch) items, the longest first: row i of every step is item `order[i]`.
        starts: (steps + 1) first row of each step, then the number of all rows.
        items: (rows), item of each row.
        steps: (rows), step of each row.
        before: (rows) index of each row's previous state, in tensors (batch + rows, …) whose first
            `batch` rows are the states before the first step.
    """

    order: Tensor
    starts: Tensor
    items: Tensor
    steps: Tensor
    before: Tensor

    @staticmethod
    def of(lengths: Tensor, steps: int) -> "PackedSteps":
        """Pack the steps of items of these lengths (batch), each clamped to 1 … `steps`."""
        lengths, order = lengths.clamp(1, steps).sort(descending=True, stable=True)
        step, row = (torch.arange(steps).unsqueeze(1) < lengths).nonzero().unbind(1)
        starts = F.pad(step.bincount(minlength=steps).cumsum(0), (1, 0))
        previous_row = starts[step - 1] + len(lengths)
        before = torch.where(step > 0, previous_row, 0) + row
        return PackedSteps(order, starts, order[row], step, before)


class LoopSaved(NamedTuple):
    """Tensors that the forward pass saves for the backward pass; rows are those of `PackedSteps`.

    Args:
        queries: (rows, dim).
        context: (batch + rows, memory_dim); the first `batch` rows are zeros.
        alignment: (batch, steps, positions).
        gates: (rows, 4 * hidden) of each layer, after their activations.
        hidden: (batch + rows, hidden) of each layer; the first `batch` rows are zeros.
        cells: cell states of LSTM layers, shaped as `hidden`; None for GRU layers.
    """

    queries: Tensor
    context: Tensor
    alignment: Tensor
    gates: tuple[Tensor, ...]
    hidden: tuple[Tensor, ...]
    cells: tuple[Tensor | None, ...]

    def flat(self) -> tuple[Tensor | None, ...]:
        """Return all tensors in one tuple, as an autograd Function saves them."""
        return *self[:3], *self.gates, *self.hidden, *self.cells

    @staticmethod
    def of(flat: Series[Any]) -> "LoopSaved":
        """Rebuild the tuple from the flat tensors that `flat` returned."""
        layers = (len(flat) - 3) // 3
        return LoopSaved(*flat[:3], *(flat[i : i + layers] for i in range(3, len(flat), layers)))


class Grads(NamedTuple):
    """Gradients that the backward kernel reads and fills, each with the shape of its tensor.

    The kernel reads the gradients of the outputs (`hidden`, `context`, `alignment`), and
    `cumulative`, the sum of the alignment over the steps; it fills all other fields. `read` (batch,
    steps, memory_dim) is the total gradient of the contexts. `energy`, `filters` and `location`
    have one gradient per row of the batch. `gates` may use the memory of the saved gates.
    """

    cumulative: Tensor
    hidden: Tensor | None
    context: Tensor | None
    alignment: Tensor | None
    queries: Tensor
    read: Tensor
    keys: Tensor
    energy: Tensor
    filters: Tensor
    location: Tensor
    gates: tuple[Tensor, ...]


class AttentionRNNFunction(torch.autograd.Function):
    """Autograd Function of all steps of the attention RNN, on the rows of a `PackedSteps`.

    `run` calls its `apply`. It overwrites its argument `gates` (rows, 4 * hidden), the products of
    inputs and weights; `flat` is `LoopInputs.flat()`. It returns hidden states and contexts,
    (rows, …), and the alignment (batch, steps, positions).
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
