"""Triton kernels of a decoder step (experimental): skinny products, cells, energies, context.

Few rows meet large weights, so each program computes some outputs of all rows, and reads its
weights once. Weights may be narrower than float32; other tensors and sums are float32. Names in
capitals are constants that are known when a kernel is compiled, such as widths.
"""

import triton
import triton.language as tl


@triton.jit
def _products(
    acc, x, stride, rows, inside, weight, outs, width, first,
    COUNT: tl.constexpr, CHUNK: tl.constexpr, MATRIX: tl.constexpr,
):  # fmt: skip
    """The products of `COUNT` inputs of each row with weights (outputs, width), from `first` on.

    Of few rows they are summed for each place of a chunk, and over its places at the end.
    """
    for start in range(0, COUNT, CHUNK):
        place = start + tl.arange(0, CHUNK)
        there = place < COUNT
        at = weight + outs[:, None] * width + first + place[None, :]
        w = tl.load(at, mask=there[None, :], other=0.0).to(tl.float32)
        at = x + rows[:, None] * stride + place[None, :]
        v = tl.load(at, mask=inside[:, None] & there[None, :], other=0.0)
        if MATRIX:
            acc = tl.dot(v, tl.trans(w), acc, input_precision="ieee")
        else:
            acc += v[:, None, :] * w[None, :, :]
    return acc


@triton.jit
def _zeros(ROWS: tl.constexpr, OUTS: tl.constexpr, CHUNK: tl.constexpr, MATRIX: tl.constexpr):
    if MATRIX:
        return tl.zeros((ROWS, OUTS), tl.float32)
    else:
        return tl.zeros((ROWS, OUTS, CHUNK), tl.float32)


@triton.jit
def _total(acc, MATRIX: tl.constexpr):
    if MATRIX:
        return acc
    else:
        return tl.sum(acc, 2)


@triton.jit
def linear(
    x, x_stride, y, y_stride, weight, bias, keep, keep_stride, output, output_stride, batch,
    X: tl.constexpr, Y: tl.constexpr, OUTPUTS: tl.constexpr,
    BIASED: tl.constexpr, RELU: tl.constexpr, KEPT: tl.constexpr,
    ROWS: tl.constexpr, OUTS: tl.constexpr, CHUNK: tl.constexpr, MATRIX: tl.constexpr,
):  # fmt: skip
    """Triton kernel: linear layer of two inputs, output = relu(weight · [x; y] + bias) · keep.

    A program computes OUTS outputs of ROWS items of the batch, CHUNK inputs at a time, as a matrix
    product if MATRIX. `…_stride` is the distance of two rows of a tensor, in elements.

    Args:
        x, y: (batch, X) and (batch, Y) float32, the two parts of the input.
        weight: (OUTPUTS rounded up to a multiple of OUTS, X + Y), float32 or narrower.
        bias: (OUTPUTS) float32, added if BIASED.
        keep: (batch, OUTPUTS) float32 dropout multipliers, applied if KEPT.
        output: (batch, OUTPUTS) float32, written.
        batch: number of items.
        RELU: True to apply ReLU.
    """
    outs = tl.program_id(0) * OUTS + tl.arange(0, OUTS)
    rows = tl.program_id(1) * ROWS + tl.arange(0, ROWS)
    inside = rows < batch
    acc = _zeros(ROWS, OUTS, CHUNK, MATRIX)
    acc = _products(acc, x, x_stride, rows, inside, weight, outs, X + Y, 0, X, CHUNK, MATRIX)
    acc = _products(acc, y, y_stride, rows, inside, weight, outs, X + Y, X, Y, CHUNK, MATRIX)
    total = _total(acc, MATRIX)
    valid = inside[:, None] & (outs < OUTPUTS)[None, :]
    if BIASED:
        total += tl.load(bias + outs)[None, :]
    if RELU:
        total = tl.where(total < 0, 0.0, total)  # NaN stays
    if KEPT:
        total *= tl.load(keep + rows[:, None] * keep_stride + outs[None, :], mask=valid, other=0.0)
    tl.store(output + rows[:, None] * output_stride + outs[None, :], total, mask=valid)


@triton.jit
def _tanh(x):
    return 2.0 * tl.sigmoid(2.0 * x) - 1.0


@triton.jit
def _between(share, one, other):
    return one + share * (other - one)


@triton.jit
def cell(
    x, x_stride, y, y_stride, weight, bias, before, inner, after, inner_after, passed, batch,
    zoneout,
    X: tl.constexpr, Y: tl.constexpr, HIDDEN: tl.constexpr,
    LSTM: tl.constexpr, PASSED: tl.constexpr,
    ROWS: tl.constexpr, UNITS: tl.constexpr, CHUNK: tl.constexpr, MATRIX: tl.constexpr,
):  # fmt: skip
    """Triton kernel: one step of an LSTM or GRU cell with the inputs [x; y].

    A program computes UNITS units of ROWS items of the batch, CHUNK inputs at a time, as a matrix
    product if MATRIX. `…_stride` is the distance of two rows of a tensor, in elements. Tensors are
    float32; weights may be narrower.

    Args:
        x, y: (batch, X) and (batch, Y), the two parts of the input.
        weight: (blocks · 4 · UNITS, X + Y + HIDDEN), ordered by block of UNITS units, then by gate:
            input, forget, cell, output in an LSTM; in a GRU reset, update, and the new gate in two
            parts, of the inputs and of the hidden state.
        bias: (blocks · 4 · UNITS), in the same order.
        before, after: (batch, HIDDEN), hidden state before and after the step.
        inner, inner_after: (batch, HIDDEN), an LSTM's cell state before and after the step.
        passed: (batch, HIDDEN); if PASSED, x + after is written to it.
        zoneout: share of the old state in the new one.
        LSTM: False for a GRU.
    """
    block = tl.program_id(0)
    outs = block * 4 * UNITS + tl.arange(0, 4 * UNITS)
    rows = tl.program_id(1) * ROWS + tl.arange(0, ROWS)
    inside, width = rows < batch, X + Y + HIDDEN
    acc = _zeros(ROWS, 4 * UNITS, CHUNK, MATRIX)
    acc = _products(acc, x, x_stride, rows, inside, weight, outs, width, 0, X, CHUNK, MATRIX)
    acc = _products(acc, y, y_stride, rows, inside, weight, outs, width, X, Y, CHUNK, MATRIX)
    acc = _products(
        acc, before, HIDDEN, rows, inside, weight, outs, width, X + Y, HIDDEN, CHUNK, MATRIX
    )
    total = _total(acc, MATRIX) + tl.load(bias + outs)[None, :]
    gates = tl.permute(tl.reshape(total, (ROWS, 2, 2, UNITS)), (0, 3, 1, 2))
    even, odd = tl.split(gates)
    first, third = tl.split(even)
    second, fourth = tl.split(odd)
    units = block * UNITS + tl.arange(0, UNITS)
    valid = inside[:, None] & (units < HIDDEN)[None, :]
    at = rows[:, None] * HIDDEN + units[None, :]
    old = tl.load(before + at, mask=valid, other=0.0)
    if LSTM:
        kept = tl.load(inner + at, mask=valid, other=0.0)
        fresh = tl.sigmoid(second) * kept + tl.sigmoid(first) * _tanh(third)
        hidden = tl.sigmoid(fourth) * _tanh(fresh)
        tl.store(inner_after + at, _between(zoneout, fresh, kept), mask=valid)
    else:
        hidden = _between(tl.sigmoid(second), _tanh(third + tl.sigmoid(first) * fourth), old)
    hidden = _between(zoneout, hidden, old)
    tl.store(after + at, hidden, mask=valid)
    if PASSED:
        residual = tl.load(x + rows[:, None] * x_stride + units[None, :], mask=valid, other=0.0)
        tl.store(passed + at, residual + hidden, mask=valid)


@triton.jit
def _layer(
    query, keys, previous, previous_stride, cumulative, cumulative_stride, folded, row, place,
    positions, dims,
    DIM: tl.constexpr, CHANNELS: tl.constexpr, TAPS: tl.constexpr,
):  # fmt: skip
    """tanh(query + keys + what the filters find around each place), zero beyond the positions."""
    there, within = place < positions, dims < DIM
    at = keys + (row * positions + place[:, None]) * DIM + dims[None, :]
    layer = tl.load(at, mask=there[:, None] & within[None, :], other=0.0).to(tl.float32)
    layer += tl.load(query + row * DIM + dims, mask=within, other=0.0).to(tl.float32)[None, :]
    for channel in tl.static_range(CHANNELS):
        if channel == 0:
            start = previous + row * previous_stride
        else:
            start = cumulative + row * cumulative_stride
        for tap in range(TAPS):
            neighbour = place + tap - TAPS // 2
            read = there & (neighbour >= 0) & (neighbour < positions)
            seen = tl.load(start + neighbour, mask=read, other=0.0)
            filters = folded + (channel * TAPS + tap) * DIM
            layer += seen[:, None] * tl.load(filters + dims, mask=within, other=0.0)[None, :]
    return _tanh(layer)


@triton.jit
def energies(
    query, keys, direction, previous, previous_stride, cumulative, cumulative_stride, folded,
    output, positions,
    DIM: tl.constexpr, WIDE: tl.constexpr, CHANNELS: tl.constexpr, TAPS: tl.constexpr,
    PLACES: tl.constexpr,
):  # fmt: skip
    """Triton kernel: attention energies direction · tanh(query + keys + location).

    `location` is the projected output of the location filters. A program computes PLACES positions
    of one row (item of the batch). `…_stride` is the distance of two rows of a tensor, in elements.
    Tensors are float32.

    Args:
        query: (rows, DIM), projected query.
        keys: (rows, positions, DIM), projected memory.
        direction: (DIM), weights of the last layer.
        previous: (rows, positions), weights of the previous step; read if CHANNELS is 1 or 2.
        cumulative: (rows, positions), sum of all earlier weights; read if CHANNELS is 2.
        folded: (CHANNELS · TAPS, DIM), the location filters multiplied by their projection.
        output: (rows, positions), the energies, written.
        positions: number of positions of the memory.
        WIDE: DIM rounded up to a power of two.
    """
    row = tl.program_id(0)
    place = tl.program_id(1) * PLACES + tl.arange(0, PLACES)
    dims = tl.arange(0, WIDE)
    layer = _layer(
        query, keys, previous, previous_stride, cumulative, cumulative_stride, folded, row, place,
        positions, dims, DIM, CHANNELS, TAPS,
    )  # fmt: skip
    along = tl.load(direction + dims, mask=dims < DIM, other=0.0)
    energy = tl.sum(layer * along[None, :], 1)
    tl.store(output + row * positions + place, energy, mask=place < positions)


@triton.jit
def _bounded(x):
    """Infinite ones made finite, so that a row of them has a softmax; NaN stays."""
    x = tl.where(x > 3.4028234e38, 3.4028234e38, x)
    return tl.where(x < -3.4028234e38, -3.4028234e38, x)


@triton.jit
def _exponentials(energy, mask, at, there, factor, most):
    valid = tl.load(mask + at, mask=there, other=0) != 0
    known = _bounded(factor * tl.load(energy + at, mask=there, other=0.0))
    return tl.where(valid, tl.exp(known - most), 0.0)


@triton.jit
def read(
    energy, mask, memory, history, factor, weights, weights_stride, context, context_stride,
    history_after, positions,
    DIM: tl.constexpr, CHANNELS: tl.constexpr,
    ALL: tl.constexpr, COLUMNS: tl.constexpr, PLACES: tl.constexpr,
):  # fmt: skip
    """Triton kernel: attention weights softmax(factor · energy), and the context they average.

    Args:
        energy: (rows, positions).
        mask: (rows, positions) uint8, 1 for valid positions.
        memory: (rows, positions, DIM).
        factor: sharpening of the softmax.
        weights: (rows, positions), written.
        context: (rows, DIM), written.
        history, history_after: (rows, CHANNELS, positions), inputs of the location filters before
            and after the step: the previous weights and the sum of all weights; read and written.
        positions: number of positions of the memory.
        ALL: positions rounded up to a power of two.
    """
    row, start = tl.program_id(0), tl.program_id(1) * COLUMNS
    everywhere = tl.arange(0, ALL)
    there = everywhere < positions
    at = row * positions + everywhere
    valid = tl.load(mask + at, mask=there, other=0) != 0
    known = _bounded(factor * tl.load(energy + at, mask=there, other=0.0))
    most = tl.max(tl.where(valid, known, float("-inf")), 0)
    each = _exponentials(energy, mask, at, there, factor, most)
    total = tl.sum(each, 0)
    if start == 0:
        normalized = each / total
        tl.store(weights + row * weights_stride + everywhere, normalized, mask=there)
        first = row * CHANNELS * positions + everywhere
        if CHANNELS > 0:
            tl.store(history_after + first, normalized, mask=there)
        if CHANNELS > 1:
            second = first + positions
            normalized += tl.load(history + second, mask=there, other=0.0)
            tl.store(history_after + second, normalized, mask=there)
    columns = start + tl.arange(0, COLUMNS)
    within = columns < DIM
    acc = tl.zeros((PLACES, COLUMNS), tl.float32)
    for begin in range(0, ALL, PLACES):
        place = begin + tl.arange(0, PLACES)
        near = place < positions
        share = _exponentials(energy, mask, row * positions + place, near, factor, most) / total
        held = memory + (row * positions + place[:, None]) * DIM + columns[None, :]
        part = tl.load(held, mask=near[:, None] & within[None, :], other=0.0)
        acc += share[:, None] * part
    tl.store(context + row * context_stride + columns, tl.sum(acc, 0), mask=within)
