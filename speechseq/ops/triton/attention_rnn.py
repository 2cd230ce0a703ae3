"""What else the core loop's training needs on a GPU, in Triton: cells' gates, and the way back.

Products of whole batches are left to the library that does them best; these kernels do what stands
between two products. Where several programs would add to one number each has a place of its own, so
that no sum depends on their order. Numbers may be bfloat16, sums are float32.
"""

import triton
import triton.language as tl

from speechseq.ops.triton.decoder_step import _between, _layer, _tanh


@triton.jit
def _chance(drawn, at, valid, multiplier, zoneout, DRAWN: tl.constexpr):
    """Dropout's multiplier and the shares of hidden state and cell that zoneout keeps; chance.py's
    bits where they were drawn."""
    if DRAWN:
        bits = tl.load(drawn + at, mask=valid, other=0)
        kept = tl.where((bits & 1) != 0, 0.0, multiplier)
        return kept, tl.where((bits & 2) != 0, 1.0, 0.0), tl.where((bits & 4) != 0, 1.0, 0.0)
    else:
        none = tl.zeros_like(at).to(tl.float32)
        return none + 1.0, none + zoneout, none + zoneout


@triton.jit
def gate(
    gates, inner, inner_after, hidden, hidden_after, own, own_apart, above, above_apart, drawn,
    multiplier, zoneout,
    HIDDEN: tl.constexpr, LSTM: tl.constexpr, DRAWN: tl.constexpr, ABOVE: tl.constexpr,
    UNITS: tl.constexpr,
):  # fmt: skip
    """Sums (rows, 4 · HIDDEN) to gates in their place, and a cell's next state.

    The hidden state goes to `hidden_after`, to the inputs of its own next product, and to those of
    the layer above. Gates as in `step_kernels.cell`.
    """
    row = tl.program_id(0)
    unit = tl.program_id(1) * UNITS + tl.arange(0, UNITS)
    valid, at, sums = unit < HIDDEN, row * HIDDEN + unit, gates + row * 4 * HIDDEN + unit
    first = tl.sigmoid(tl.load(sums, mask=valid, other=0.0).to(tl.float32))
    second = tl.sigmoid(tl.load(sums + HIDDEN, mask=valid, other=0.0).to(tl.float32))
    third = tl.load(sums + 2 * HIDDEN, mask=valid, other=0.0).to(tl.float32)
    fourth = tl.load(sums + 3 * HIDDEN, mask=valid, other=0.0).to(tl.float32)
    kept, stays, cell_stays = _chance(drawn, at, valid, multiplier, zoneout, DRAWN)
    old = tl.load(hidden + at, mask=valid, other=0.0)
    if LSTM:
        third, fourth = _tanh(third), tl.sigmoid(fourth)
        before = tl.load(inner + at, mask=valid, other=0.0)
        fresh = second * before + first * third
        made = fourth * _tanh(fresh)
        tl.store(inner_after + at, _between(cell_stays, fresh, before), mask=valid)
    else:
        third = _tanh(third + first * fourth)
        made = _between(second, third, old)
    tl.store(sums, first, mask=valid)
    tl.store(sums + HIDDEN, second, mask=valid)
    tl.store(sums + 2 * HIDDEN, third, mask=valid)
    tl.store(sums + 3 * HIDDEN, fourth, mask=valid)
    given = kept * _between(stays, made, old)
    tl.store(hidden_after + at, given, mask=valid)
    tl.store(own + row * own_apart + unit, given, mask=valid)
    if ABOVE:
        tl.store(above + row * above_apart + unit, given, mask=valid)


@triton.jit
def ungate(
    gates, inner, hidden, drawn, multiplier, zoneout, given, given_apart, above, above_apart,
    behind, behind_apart, straight, brought, slopes,
    HIDDEN: tl.constexpr, LSTM: tl.constexpr, DRAWN: tl.constexpr, GIVEN: tl.constexpr,
    UNITS: tl.constexpr,
):  # fmt: skip
    """The gradient of a cell's sums, from those of its hidden state by what was given, by what
    stands above it, by the step behind; `straight` and `brought` carry what passes by its product,
    of hidden state and cell."""
    row = tl.program_id(0)
    unit = tl.program_id(1) * UNITS + tl.arange(0, UNITS)
    valid, at, place = unit < HIDDEN, row * HIDDEN + unit, row * 4 * HIDDEN + unit
    first = tl.load(gates + place, mask=valid, other=0.0).to(tl.float32)
    second = tl.load(gates + place + HIDDEN, mask=valid, other=0.0).to(tl.float32)
    third = tl.load(gates + place + 2 * HIDDEN, mask=valid, other=0.0).to(tl.float32)
    fourth = tl.load(gates + place + 3 * HIDDEN, mask=valid, other=0.0).to(tl.float32)
    kept, stays, cell_stays = _chance(drawn, at, valid, multiplier, zoneout, DRAWN)
    gradient = tl.load(straight + at, mask=valid, other=0.0)
    gradient += tl.load(above + row * above_apart + unit, mask=valid, other=0.0).to(tl.float32)
    gradient += tl.load(behind + row * behind_apart + unit, mask=valid, other=0.0).to(tl.float32)
    if GIVEN:
        gradient += tl.load(given + row * given_apart + unit, mask=valid, other=0.0).to(tl.float32)
    gradient *= kept
    made, past = (1.0 - stays) * gradient, stays * gradient
    if LSTM:
        before = tl.load(inner + at, mask=valid, other=0.0)
        carried = tl.load(brought + at, mask=valid, other=0.0)
        bent = _tanh(second * before + first * third)
        fresh = (1.0 - cell_stays) * carried + made * fourth * (1.0 - bent * bent)
        tl.store(brought + at, cell_stays * carried + fresh * second, mask=valid)
        to_first = fresh * third * first * (1.0 - first)
        to_second = fresh * before * second * (1.0 - second)
        to_third = fresh * first * (1.0 - third * third)
        to_fourth = made * bent * fourth * (1.0 - fourth)
    else:
        old = tl.load(hidden + at, mask=valid, other=0.0)
        to_third = made * (1.0 - second) * (1.0 - third * third)
        to_first = to_third * fourth * first * (1.0 - first)
        to_second = made * (old - third) * second * (1.0 - second)
        to_fourth = to_third * first
        past += made * second
    tl.store(straight + at, past, mask=valid)
    tl.store(slopes + place, to_first, mask=valid)
    tl.store(slopes + place + HIDDEN, to_second, mask=valid)
    tl.store(slopes + place + 2 * HIDDEN, to_third, mask=valid)
    tl.store(slopes + place + 3 * HIDDEN, to_fourth, mask=valid)


@triton.jit
def unread(
    given, given_apart, behind, behind_apart, memory, previous, cumulative, aligned, aligned_apart,
    to_read, slope, positions,
    DIM: tl.constexpr, GIVEN: tl.constexpr, ALIGNED: tl.constexpr,
    CHUNK: tl.constexpr, PLACES: tl.constexpr,
):  # fmt: skip
    """The gradient of some positions' weights, from those of the context, of the next step's
    history and of the alignment; the first program of a row leaves the context's whole."""
    row = tl.program_id(0)
    place = tl.program_id(1) * PLACES + tl.arange(0, PLACES)
    there = place < positions
    acc = tl.zeros((PLACES, CHUNK), tl.float32)
    for start in range(0, DIM, CHUNK):
        column = start + tl.arange(0, CHUNK)
        within = column < DIM
        whole = tl.load(behind + row * behind_apart + column, mask=within, other=0.0)
        whole = whole.to(tl.float32)
        if GIVEN:
            part = tl.load(given + row * given_apart + column, mask=within, other=0.0)
            whole += part.to(tl.float32)
        if tl.program_id(1) == 0:
            tl.store(to_read + row * DIM + column, whole, mask=within)
        held = memory + (row * positions + place[:, None]) * DIM + column[None, :]
        acc += whole[None, :] * tl.load(held, mask=there[:, None] & within[None, :], other=0.0)
    at = row * positions + place
    total = tl.sum(acc, 1) + tl.load(previous + at, mask=there, other=0.0)
    total += tl.load(cumulative + at, mask=there, other=0.0)
    if ALIGNED:
        total += tl.load(aligned + row * aligned_apart + place, mask=there, other=0.0)
    tl.store(slope + at, total, mask=there)


@triton.jit
def unenergy(
    slope, weights, weights_apart, factor, query, keys, direction,
    previous, previous_apart, cumulative, cumulative_apart, folded,
    below, to_keys, parts, to_direction, positions, tiles,
    DIM: tl.constexpr, WIDE: tl.constexpr, CHANNELS: tl.constexpr, TAPS: tl.constexpr,
    ALL: tl.constexpr, PLACES: tl.constexpr,
):  # fmt: skip
    """Back through softmax and energies: the gradient `below` the tanh (rows, positions, DIM),
    added to that of the keys, and its sum over a program's positions; likewise the direction's."""
    row, tile = tl.program_id(0), tl.program_id(1)
    everywhere = tl.arange(0, ALL)
    all_there = everywhere < positions
    every = tl.load(weights + row * weights_apart + everywhere, mask=all_there, other=0.0)
    each = tl.load(slope + row * positions + everywhere, mask=all_there, other=0.0)
    mean = tl.sum(every * each, 0)
    place, dims = tile * PLACES + tl.arange(0, PLACES), tl.arange(0, WIDE)
    there, within = place < positions, dims < DIM
    weight = tl.load(weights + row * weights_apart + place, mask=there, other=0.0)
    own = tl.load(slope + row * positions + place, mask=there, other=0.0)
    energy = factor * weight * (own - mean)
    layer = _layer(
        query, keys, previous, previous_apart, cumulative, cumulative_apart, folded, row, place,
        positions, dims, DIM, CHANNELS, TAPS,
    )  # fmt: skip
    along = tl.load(direction + dims, mask=within, other=0.0)
    found = energy[:, None] * along[None, :] * (1.0 - layer * layer)
    at = (row * positions + place[:, None]) * DIM + dims[None, :]
    inside = there[:, None] & within[None, :]
    tl.store(below + at, found, mask=inside)
    tl.store(to_keys + at, found + tl.load(to_keys + at, mask=inside, other=0.0), mask=inside)
    at = (row * tiles + tile) * DIM + dims
    tl.store(parts + at, tl.sum(found, 0), mask=within)
    known = tl.load(to_direction + at, mask=within, other=0.0)
    tl.store(to_direction + at, known + tl.sum(energy[:, None] * layer, 0), mask=within)


@triton.jit
def unhistory(
    below, folded, previous, cumulative, positions,
    DIM: tl.constexpr, WIDE: tl.constexpr, CHANNELS: tl.constexpr, TAPS: tl.constexpr,
    PLACES: tl.constexpr,
):  # fmt: skip
    """The gradient of the history: that of the previous weights replaced, that of the sum of all
    steps before added to."""
    row, dims = tl.program_id(0), tl.arange(0, WIDE)
    place = tl.program_id(1) * PLACES + tl.arange(0, PLACES)
    within, there = dims < DIM, place < positions
    one = tl.zeros((PLACES, WIDE), tl.float32)
    two = tl.zeros((PLACES, WIDE), tl.float32)
    for tap in range(TAPS):
        beside = place - tap + TAPS // 2
        read = (beside >= 0) & (beside < positions)
        source = below + (row * positions + beside[:, None]) * DIM + dims[None, :]
        found = tl.load(source, mask=read[:, None] & within[None, :], other=0.0)
        filters = folded + tap * DIM + dims
        one += found * tl.load(filters, mask=within, other=0.0)[None, :]
        if CHANNELS > 1:
            filters += TAPS * DIM
            two += found * tl.load(filters, mask=within, other=0.0)[None, :]
    at = row * positions + place
    tl.store(previous + at, tl.sum(one, 1), mask=there)
    if CHANNELS > 1:
        total = tl.sum(two, 1) + tl.load(cumulative + at, mask=there, other=0.0)
        tl.store(cumulative + at, total, mask=there)


@triton.jit
def unfilter(
    below, previous, previous_apart, cumulative, cumulative_apart, to_folded, positions,
    DIM: tl.constexpr, WIDE: tl.constexpr, CHANNELS: tl.constexpr, TAPS: tl.constexpr,
    ALL: tl.constexpr, SOME: tl.constexpr, PLACES: tl.constexpr,
):  # fmt: skip
    """Adds the gradient of some of the folded filters, of each row apart."""
    row, dims = tl.program_id(0), tl.arange(0, WIDE)
    which = tl.program_id(1) * SOME + tl.arange(0, SOME)
    channel, tap = which // TAPS, which % TAPS
    within = dims < DIM
    acc = tl.zeros((SOME, WIDE), tl.float32)
    for begin in range(0, ALL, PLACES):
        place = begin + tl.arange(0, PLACES)
        there = place < positions
        beside = place[None, :] + tap[:, None] - TAPS // 2
        read = there[None, :] & (beside >= 0) & (beside < positions)
        first = read & (channel == 0)[:, None]
        seen = tl.load(previous + row * previous_apart + beside, mask=first, other=0.0)
        if CHANNELS > 1:
            second = read & (channel == 1)[:, None]
            seen += tl.load(cumulative + row * cumulative_apart + beside, mask=second, other=0.0)
        source = below + (row * positions + place[:, None]) * DIM + dims[None, :]
        found = tl.load(source, mask=there[:, None] & within[None, :], other=0.0)
        acc = tl.dot(seen, found, acc, input_precision="ieee")
    at = (row * CHANNELS * TAPS + which[:, None]) * DIM + dims[None, :]
    inside = (which < CHANNELS * TAPS)[:, None] & within[None, :]
    tl.store(to_folded + at, acc + tl.load(to_folded + at, mask=inside, other=0.0), mask=inside)
