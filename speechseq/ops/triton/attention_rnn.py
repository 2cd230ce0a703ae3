"""Triton kernels for training the attention RNN (experimental): gates of a cell, and backward.

Matrix products of whole batches are left to cuBLAS; these kernels compute what comes between two
products. If several programs contribute to one number, each writes to a separate place, so that no
sum depends on the order of the programs. Tensors may be bfloat16, sums are float32.
"""

import triton
import triton.language as tl

from speechseq.ops.triton.decoder_step import _between, _tanh


@triton.jit
def _dropout(bits, at, valid, scale, zoneout, DROPOUT: tl.constexpr):
    """Factor of the hidden state, and zoneout's shares of the old hidden state and the old cell:
    from `recurrent_dropout_bits` if there are any, else the expectation."""
    if DROPOUT:
        drawn = tl.load(bits + at, mask=valid, other=0)
        kept = tl.where((drawn & 1) != 0, 0.0, scale)
        return kept, tl.where((drawn & 2) != 0, 1.0, 0.0), tl.where((drawn & 4) != 0, 1.0, 0.0)
    else:
        none = tl.zeros_like(at).to(tl.float32)
        return none + 1.0, none + zoneout, none + zoneout


@triton.jit
def gate(
    gates, cells, cells_after, hidden, hidden_after, own, own_stride, above, above_stride, bits,
    scale, zoneout,
    HIDDEN: tl.constexpr, LSTM: tl.constexpr, DROPOUT: tl.constexpr, ABOVE: tl.constexpr,
    UNITS: tl.constexpr,
):  # fmt: skip
    """Triton kernel: gates and new state of an LSTM or GRU cell from its pre-activations.

    A program computes UNITS units of one row (item of the batch). `…_stride` is the distance of two
    rows of a tensor, in elements. Tensors are float32, those marked * float32 or bfloat16.

    Args:
        gates: * (rows, 4 · HIDDEN) pre-activations, overwritten with the activated gates: input,
            forget, cell, output (GRU: reset, update, new gate, recurrent part of the new gate).
        cells, cells_after: (rows, HIDDEN), an LSTM's cell state before and after the step.
        hidden, hidden_after: (rows, HIDDEN), the hidden state before and after the step.
        own, above: * (rows, HIDDEN), copies of the new hidden state for the next product of this
            cell and, if ABOVE, of the layer above; written.
        bits: (rows, HIDDEN) uint8 of `recurrent_dropout_bits`, read if DROPOUT.
        scale, zoneout: factor of the units that dropout keeps; zoneout rate, used without DROPOUT.
        LSTM: False for a GRU.
    """
    row = tl.program_id(0)
    unit = tl.program_id(1) * UNITS + tl.arange(0, UNITS)
    valid, at, own_gates = unit < HIDDEN, row * HIDDEN + unit, gates + row * 4 * HIDDEN + unit
    first = tl.sigmoid(tl.load(own_gates, mask=valid, other=0.0).to(tl.float32))
    second = tl.sigmoid(tl.load(own_gates + HIDDEN, mask=valid, other=0.0).to(tl.float32))
    third = tl.load(own_gates + 2 * HIDDEN, mask=valid, other=0.0).to(tl.float32)
    fourth = tl.load(own_gates + 3 * HIDDEN, mask=valid, other=0.0).to(tl.float32)
    kept, stays, cell_stays = _dropout(bits, at, valid, scale, zoneout, DROPOUT)
    old = tl.load(hidden + at, mask=valid, other=0.0)
    if LSTM:
        third, fourth = _tanh(third), tl.sigmoid(fourth)
        before = tl.load(cells + at, mask=valid, other=0.0)
        fresh = second * before + first * third
        new_hidden = fourth * _tanh(fresh)
        tl.store(cells_after + at, _between(cell_stays, fresh, before), mask=valid)
    else:
        third = _tanh(third + first * fourth)
        new_hidden = _between(second, third, old)
    tl.store(own_gates, first, mask=valid)
    tl.store(own_gates + HIDDEN, second, mask=valid)
    tl.store(own_gates + 2 * HIDDEN, third, mask=valid)
    tl.store(own_gates + 3 * HIDDEN, fourth, mask=valid)
    hidden_out = kept * _between(stays, new_hidden, old)
    tl.store(hidden_after + at, hidden_out, mask=valid)
    tl.store(own + row * own_stride + unit, hidden_out, mask=valid)
    if ABOVE:
        tl.store(above + row * above_stride + unit, hidden_out, mask=valid)


@triton.jit
def gate_backward(
    gates, cells, hidden, bits, scale, zoneout, grad_out, grad_out_stride, above, above_stride,
    behind, behind_stride, carry_hidden, carry_cells, grad_gates,
    HIDDEN: tl.constexpr, LSTM: tl.constexpr, DROPOUT: tl.constexpr, HAS_GRAD: tl.constexpr,
    UNITS: tl.constexpr,
):  # fmt: skip
    """Triton kernel: gradient of a cell's pre-activations from that of its hidden state.

    A program computes UNITS units of one row (item of the batch). `…_stride` is the distance of two
    rows of a tensor, in elements. Tensors are float32, those marked * float32 or bfloat16.

    Args:
        gates: * (rows, 4 · HIDDEN), the activated gates that `gate` wrote.
        cells, hidden: (rows, HIDDEN), an LSTM's cell state and the hidden state before the step.
        bits, scale, zoneout: dropout bits (rows, HIDDEN) uint8, read if DROPOUT; factor of the kept
            units; zoneout rate.
        grad_out: * (rows, HIDDEN), gradient of the hidden state as an output, read if HAS_GRAD.
        above, behind: * (rows, HIDDEN), its gradients from the layer above and from the next step.
        carry_hidden, carry_cells: (rows, HIDDEN), gradients of both states that reach the previous
            step without passing a product; read and overwritten. LSTM: False for a GRU.
        grad_gates: * (rows, 4 · HIDDEN), gradient of the pre-activations, written.
    """
    row = tl.program_id(0)
    unit = tl.program_id(1) * UNITS + tl.arange(0, UNITS)
    valid, at, place = unit < HIDDEN, row * HIDDEN + unit, row * 4 * HIDDEN + unit
    first = tl.load(gates + place, mask=valid, other=0.0).to(tl.float32)
    second = tl.load(gates + place + HIDDEN, mask=valid, other=0.0).to(tl.float32)
    third = tl.load(gates + place + 2 * HIDDEN, mask=valid, other=0.0).to(tl.float32)
    fourth = tl.load(gates + place + 3 * HIDDEN, mask=valid, other=0.0).to(tl.float32)
    kept, stays, cell_stays = _dropout(bits, at, valid, scale, zoneout, DROPOUT)
    gradient = tl.load(carry_hidden + at, mask=valid, other=0.0)
    gradient += tl.load(above + row * above_stride + unit, mask=valid, other=0.0).to(tl.float32)
    gradient += tl.load(behind + row * behind_stride + unit, mask=valid, other=0.0).to(tl.float32)
    if HAS_GRAD:
        own = tl.load(grad_out + row * grad_out_stride + unit, mask=valid, other=0.0)
        gradient += own.to(tl.float32)
    gradient *= kept
    grad_new, grad_old = (1.0 - stays) * gradient, stays * gradient
    if LSTM:
        before = tl.load(cells + at, mask=valid, other=0.0)
        carried = tl.load(carry_cells + at, mask=valid, other=0.0)
        bent = _tanh(second * before + first * third)
        fresh = (1.0 - cell_stays) * carried + grad_new * fourth * (1.0 - bent * bent)
        tl.store(carry_cells + at, cell_stays * carried + fresh * second, mask=valid)
        grad_first = fresh * third * first * (1.0 - first)
        grad_second = fresh * before * second * (1.0 - second)
        grad_third = fresh * first * (1.0 - third * third)
        grad_fourth = grad_new * bent * fourth * (1.0 - fourth)
    else:
        old = tl.load(hidden + at, mask=valid, other=0.0)
        grad_third = grad_new * (1.0 - second) * (1.0 - third * third)
        grad_first = grad_third * fourth * first * (1.0 - first)
        grad_second = grad_new * (old - third) * second * (1.0 - second)
        grad_fourth = grad_third * first
        grad_old += grad_new * second
    tl.store(carry_hidden + at, grad_old, mask=valid)
    tl.store(grad_gates + place, grad_first, mask=valid)
    tl.store(grad_gates + place + HIDDEN, grad_second, mask=valid)
    tl.store(grad_gates + place + 2 * HIDDEN, grad_third, mask=valid)
    tl.store(grad_gates + place + 3 * HIDDEN, grad_fourth, mask=valid)
