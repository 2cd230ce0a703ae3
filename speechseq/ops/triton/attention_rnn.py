"""Triton kernels for training the attention RNN (experimental): gates and backward passes.

Matrix products of whole batches are left to cuBLAS; these kernels compute what comes between two
products. If several programs contribute to one number, each writes to a separate place, so that no
sum depends on the order of the programs. Tensors may be bfloat16, sums are float32.
"""

import triton
import triton.language as tl

from speechseq.ops.triton.decoder_step import _between, _layer, _tanh


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
    """Triton kernel: gates and new state of an LSTM or GRU cell from the pre-activations.

    A program computes UNITS units of one row (item of the batch). A stride is the distance of two
    rows of a tensor. Without DROPOUT, `bits` is not read.

    Args:
        gates: (rows, 4 · HIDDEN) pre-activations, overwritten with gates as in `decoder_step.cell`.
        cells, cells_after: (rows, HIDDEN), an LSTM's cell state before and after the step.
        hidden, hidden_after: (rows, HIDDEN), the hidden state before and after the step.
        own: where the new hidden state is written as input of this cell's next product.
        above: where it is written, if ABOVE, as input of the layer above.
        bits: (rows, HIDDEN) of `recurrent_dropout_bits`.
        scale, zoneout: factor of the units that dropout keeps, and zoneout rate.
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
    """Triton kernel: gradient of the pre-activations of a cell from that of its hidden state.

    `gates`, `cells`, `hidden`, `bits`, `scale` and `zoneout` are those of `gate`. A program
    computes UNITS units of one row (item of the batch). A stride is the distance of two rows.

    Args:
        grad_out: gradient of the hidden state from the output, if HAS_GRAD.
        above, behind: gradients of the hidden state from the layer above and the next step.
        carry_hidden, carry_cells: (rows, HIDDEN), gradients of hidden and cell state that reach the
            previous step without passing a product; read and overwritten.
        grad_gates: (rows, 4 · HIDDEN), written.
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


@triton.jit
def read_backward(
    grad_out, grad_out_stride, behind, behind_stride, memory, previous, cumulative,
    aligned, aligned_stride, grad_read, grad_weights, positions,
    DIM: tl.constexpr, HAS_GRAD: tl.constexpr, ALIGNED: tl.constexpr,
    CHUNK: tl.constexpr, PLACES: tl.constexpr,
):  # fmt: skip
    """Backward of the context (Triton): gradient of the attention weights (rows, positions).

    It sums the gradients from the context (`grad_out` if HAS_GRAD, and `behind` from the next step)
    times the `memory` (rows, positions, DIM), from the location filters of later steps (`previous`,
    `cumulative`) and from the alignment (`aligned` if ALIGNED), and writes `grad_weights`. The
    first program of a row also stores the total gradient of the context in `grad_read` (rows, DIM).
    A program computes PLACES positions of a row, CHUNK columns of the memory at a time; a stride is
    the distance of two rows.
    """
    row = tl.program_id(0)
    place = tl.program_id(1) * PLACES + tl.arange(0, PLACES)
    there = place < positions
    acc = tl.zeros((PLACES, CHUNK), tl.float32)
    for start in range(0, DIM, CHUNK):
        column = start + tl.arange(0, CHUNK)
        within = column < DIM
        whole = tl.load(behind + row * behind_stride + column, mask=within, other=0.0)
        whole = whole.to(tl.float32)
        if HAS_GRAD:
            part = tl.load(grad_out + row * grad_out_stride + column, mask=within, other=0.0)
            whole += part.to(tl.float32)
        if tl.program_id(1) == 0:
            tl.store(grad_read + row * DIM + column, whole, mask=within)
        held = memory + (row * positions + place[:, None]) * DIM + column[None, :]
        acc += whole[None, :] * tl.load(held, mask=there[:, None] & within[None, :], other=0.0)
    at = row * positions + place
    total = tl.sum(acc, 1) + tl.load(previous + at, mask=there, other=0.0)
    total += tl.load(cumulative + at, mask=there, other=0.0)
    if ALIGNED:
        total += tl.load(aligned + row * aligned_stride + place, mask=there, other=0.0)
    tl.store(grad_weights + at, total, mask=there)


@triton.jit
def energies_backward(
    grad_weights, weights, weights_stride, factor, query, keys, direction,
    previous, previous_stride, cumulative, cumulative_stride, folded,
    grad_argument, grad_keys, parts, grad_direction, positions, tiles,
    DIM: tl.constexpr, WIDE: tl.constexpr, CHANNELS: tl.constexpr, TAPS: tl.constexpr,
    ALL: tl.constexpr, PLACES: tl.constexpr,
):  # fmt: skip
    """Backward of softmax and energies (Triton), for PLACES positions per program.

    `weights` and `grad_weights` (rows, positions) are attention weights and their gradient;
    `factor` is the sharpening. The tanh layer is computed again from the arguments of
    `decoder_step.energies`, `query` to `folded`, which explains the names in capitals. Writes the
    gradient of the tanh's argument (rows, positions, DIM) to `grad_argument`, adds it to
    `grad_keys`, and writes its sum over the program's positions to `parts` (rows, tiles, DIM). The
    gradient of the energy weight is added to `grad_direction`, in a separate place for each
    program.
    """
    row, tile = tl.program_id(0), tl.program_id(1)
    everywhere = tl.arange(0, ALL)
    all_there = everywhere < positions
    every = tl.load(weights + row * weights_stride + everywhere, mask=all_there, other=0.0)
    each = tl.load(grad_weights + row * positions + everywhere, mask=all_there, other=0.0)
    mean = tl.sum(every * each, 0)
    place, dims = tile * PLACES + tl.arange(0, PLACES), tl.arange(0, WIDE)
    there, within = place < positions, dims < DIM
    weight = tl.load(weights + row * weights_stride + place, mask=there, other=0.0)
    own = tl.load(grad_weights + row * positions + place, mask=there, other=0.0)
    energy = factor * weight * (own - mean)
    layer = _layer(
        query, keys, previous, previous_stride, cumulative, cumulative_stride, folded, row, place,
        positions, dims, DIM, CHANNELS, TAPS,
    )  # fmt: skip
    along = tl.load(direction + dims, mask=within, other=0.0)
    grad = energy[:, None] * along[None, :] * (1.0 - layer * layer)
    at = (row * positions + place[:, None]) * DIM + dims[None, :]
    inside = there[:, None] & within[None, :]
    tl.store(grad_argument + at, grad, mask=inside)
    tl.store(grad_keys + at, grad + tl.load(grad_keys + at, mask=inside, other=0.0), mask=inside)
    at = (row * tiles + tile) * DIM + dims
    tl.store(parts + at, tl.sum(grad, 0), mask=within)
    known = tl.load(grad_direction + at, mask=within, other=0.0)
    tl.store(grad_direction + at, known + tl.sum(energy[:, None] * layer, 0), mask=within)


@triton.jit
def history_backward(
    grad_argument, folded, previous, cumulative, positions,
    DIM: tl.constexpr, WIDE: tl.constexpr, CHANNELS: tl.constexpr, TAPS: tl.constexpr,
    PLACES: tl.constexpr,
):  # fmt: skip
    """Triton kernel: gradients of the input of the location filters, the attention weights.

    A program computes PLACES positions of one row (item of the batch).

    Args:
        grad_argument: (rows, positions, DIM), read; see `energies_backward`.
        folded: (CHANNELS · TAPS, DIM), the filters multiplied by their projection, read.
        previous: (rows, positions), overwritten with the gradient of the previous weights.
        cumulative: (rows, positions); if CHANNELS is 2, the gradient of the sum of all weights is
            added.
        WIDE: DIM rounded up to a power of two.
    """
    row, dims = tl.program_id(0), tl.arange(0, WIDE)
    place = tl.program_id(1) * PLACES + tl.arange(0, PLACES)
    within, there = dims < DIM, place < positions
    one = tl.zeros((PLACES, WIDE), tl.float32)
    two = tl.zeros((PLACES, WIDE), tl.float32)
    for tap in range(TAPS):
        neighbour = place - tap + TAPS // 2
        read = (neighbour >= 0) & (neighbour < positions)
        source = grad_argument + (row * positions + neighbour[:, None]) * DIM + dims[None, :]
        grad = tl.load(source, mask=read[:, None] & within[None, :], other=0.0)
        filters = folded + tap * DIM + dims
        one += grad * tl.load(filters, mask=within, other=0.0)[None, :]
        if CHANNELS > 1:
            filters += TAPS * DIM
            two += grad * tl.load(filters, mask=within, other=0.0)[None, :]
    at = row * positions + place
    tl.store(previous + at, tl.sum(one, 1), mask=there)
    if CHANNELS > 1:
        total = tl.sum(two, 1) + tl.load(cumulative + at, mask=there, other=0.0)
        tl.store(cumulative + at, total, mask=there)


@triton.jit
def filters_backward(
    grad_argument, previous, previous_stride, cumulative, cumulative_stride, grad_folded, positions,
    DIM: tl.constexpr, WIDE: tl.constexpr, CHANNELS: tl.constexpr, TAPS: tl.constexpr,
    ALL: tl.constexpr, SOME: tl.constexpr, PLACES: tl.constexpr,
):  # fmt: skip
    """Triton kernel: gradient of the location filters multiplied by their projection.

    A program computes SOME of the TAPS of one row (item of the batch), PLACES positions at a time.

    Args:
        grad_argument: (rows, positions, DIM), read; see `energies_backward`.
        previous: (rows, positions), attention weights of the previous step.
        cumulative: (rows, positions), sum of all weights; read if CHANNELS is 2.
        grad_folded: (rows, CHANNELS · TAPS, DIM), to which the gradients are added.
        WIDE, ALL: DIM and `positions` rounded up to powers of two.
    """
    row, dims = tl.program_id(0), tl.arange(0, WIDE)
    which = tl.program_id(1) * SOME + tl.arange(0, SOME)
    channel, tap = which // TAPS, which % TAPS
    within = dims < DIM
    acc = tl.zeros((SOME, WIDE), tl.float32)
    for begin in range(0, ALL, PLACES):
        place = begin + tl.arange(0, PLACES)
        there = place < positions
        neighbour = place[None, :] + tap[:, None] - TAPS // 2
        read = there[None, :] & (neighbour >= 0) & (neighbour < positions)
        first = read & (channel == 0)[:, None]
        seen = tl.load(previous + row * previous_stride + neighbour, mask=first, other=0.0)
        if CHANNELS > 1:
            second = read & (channel == 1)[:, None]
            start = cumulative + row * cumulative_stride
            seen += tl.load(start + neighbour, mask=second, other=0.0)
        source = grad_argument + (row * positions + place[:, None]) * DIM + dims[None, :]
        grad = tl.load(source, mask=there[:, None] & within[None, :], other=0.0)
        acc = tl.dot(seen, grad, acc, input_precision="ieee")
    at = (row * CHANNELS * TAPS + which[:, None]) * DIM + dims[None, :]
    inside = (which < CHANNELS * TAPS)[:, None] & within[None, :]
    tl.store(grad_folded + at, acc + tl.load(grad_folded + at, mask=inside, other=0.0), mask=inside)
