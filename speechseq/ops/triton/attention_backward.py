"""Triton kernels of the backward pass of additive attention (experimental): context to filters.

Matrix products of whole batches are left to cuBLAS; these kernels compute what comes between two
products. If several programs contribute to one number, each writes to a separate place, so that no
sum depends on the order of the programs. Tensors may be bfloat16, sums are float32.
"""

import triton
import triton.language as tl

from speechseq.ops.triton.decoder_step import _layer


@triton.jit
def read_backward(
    grad_out, grad_out_stride, behind, behind_stride, memory, previous, cumulative,
    aligned, aligned_stride, grad_read, grad_weights, positions,
    DIM: tl.constexpr, HAS_GRAD: tl.constexpr, ALIGNED: tl.constexpr,
    CHUNK: tl.constexpr, PLACES: tl.constexpr,
):  # fmt: skip
    """Triton kernel: gradients of the attention weights, from those of the context and other uses.

    Gradient of a weight: context's gradient · memory, plus its gradients as input of the location
    filters of later steps and as alignment. A program computes PLACES positions of one row (item of
    the batch), CHUNK columns of the memory at a time. `…_stride` is the distance of two rows of a
    tensor, in elements. Tensors are float32, those marked * float32 or bfloat16.

    Args:
        grad_out: * (rows, DIM), gradient of the context as an output, read if HAS_GRAD.
        behind: * (rows, DIM), gradient of the context from the next step, which reads it as input.
        memory: * (rows, positions, DIM).
        previous, cumulative: (rows, positions), gradients of the weights as inputs of the location
            filters of later steps: as the previous weights, and in the sum of all weights.
        aligned: (rows, positions), gradient of the alignment, read if ALIGNED.
        grad_read: (rows, DIM), total gradient of the context, written.
        grad_weights: (rows, positions), gradient of the attention weights, written.
        positions: number of positions of the memory.
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
    """Triton kernel: backward of softmax and additive energies; the tanh layer is recomputed.

    A program computes PLACES positions (a tile) of one row (item of the batch). Tensors are
    float32.

    Args:
        grad_weights, weights: (rows, positions), attention weights and their gradient.
        factor: sharpening of the softmax.
        query, keys: (rows, DIM), projected query; (rows, positions, DIM), projected memory.
        direction: (DIM), energy weight: energy = direction · tanh(query + keys + location).
        previous, cumulative: (rows, positions), previous weights and sum of all earlier weights;
            read if CHANNELS ≥ 1 and 2. `…_stride`: distance of two rows, in elements.
        folded: (CHANNELS · TAPS, DIM), location filters multiplied by their projection.
        grad_argument: (rows, positions, DIM), gradient of the tanh's argument, written.
        grad_keys: (rows, positions, DIM), to which the same is added.
        parts: (rows, tiles, DIM), its sum over each tile, written.
        grad_direction: (rows, tiles, DIM), to which each tile's gradient of `direction` is added.
        positions, tiles: numbers of positions and tiles of a row.
        WIDE, ALL: DIM and positions, rounded up to powers of two.
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
    """Triton kernel: gradients of the attention weights as inputs of the location filters.

    A program computes PLACES positions of one row (item of the batch). Tensors are float32.

    Args:
        grad_argument: (rows, positions, DIM), gradient with respect to query + keys + location, the
            argument of tanh in the energies.
        folded: (CHANNELS · TAPS, DIM), the location filters multiplied by their projection.
        previous: (rows, positions), overwritten with the gradient of the previous step's weights.
        cumulative: (rows, positions), to which the gradient of the sum of all earlier weights is
            added if CHANNELS is 2.
        positions: number of positions of the memory.
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
    """Triton kernel: gradient with respect to the product of location filters and projection.

    A program computes SOME of the CHANNELS · TAPS filter taps of one row (item of the batch),
    PLACES positions at a time. Tensors are float32.

    Args:
        grad_argument: (rows, positions, DIM), gradient with respect to query + keys + location, the
            argument of tanh in the energies.
        previous, cumulative: (rows, positions), attention weights of the previous step, and the sum
            of all earlier ones, which is read if CHANNELS is 2.
        previous_stride, cumulative_stride: distance of two rows of these tensors, in elements.
        grad_folded: (rows, CHANNELS · TAPS, DIM), to which the gradients are added.
        positions: number of positions of the memory.
        WIDE, ALL: DIM and positions, rounded up to powers of two.
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
