"""Signatures of the C++ decoder loops, teacher-forced and free-running (see `signature`)."""

import ctypes
from typing import Any

from speechseq.ops.cpp.signature import Signature, Struct

ATTENTION_RNN_DTYPES = {"float": "f32", "bfloat16": "bf16"}


def _layers_fit(known: dict[str, Any]) -> bool:
    """layers one above the other, over the context and below the attention"""
    attention, layers = known["attention"][0], known["layers"]
    inputs = attention.memory_dim
    for layer in layers.rows:
        if layer.inputs != inputs or layer.places != attention.places:
            return False
        if layer.states != attention.batch + attention.places:
            return False
        inputs = layer.hidden
    return len(layers) == attention.layers and inputs == attention.query_dim


def _gradients_fit(known: dict[str, Any]) -> bool:
    """room for every gradient"""
    attention, layers = known["attention"][0], known["layers"]
    names = ("cumulative", "grad_queries", "grad_read", "grad_keys", "grad_energy")
    located = ("grad_filters", "grad_location") if attention.histories else ()
    given = all(getattr(attention, name) is not None for name in (*names, *located))
    return given and all(layer.grad_gates is not None for layer in layers.rows)


def _attention_rnn(number: str) -> dict[str, Struct]:
    attention = Struct(
        f"""layers: int >= 1, batch: int >= 1, steps: int >= 1, positions: int >= 1,
        query_dim: int >= 1, dim: int >= 1, memory_dim: int >= 1, histories: 0 <= int <= 2,
        filters: int >= 0, kernel: int >= 1, through_previous: 0 <= int <= 1,
        lengths: i64[batch], order: i64[batch], starts: i64[steps + 1],
        first: f32[batch, positions], keys: f32[batch, positions, dim],
        memory: f32[batch, positions, memory_dim], direction: f32[dim],
        query: {number}[dim, query_dim], filter_weight: f32[filters, histories, kernel] | None,
        location: f32[dim, filters] | None, queries: f32[places, dim],
        context: {number}[batch + places, memory_dim], alignment: f32[batch, steps, positions],
        cumulative: f32[batch, steps, positions] | None,
        grad_hidden: {number}[places, query_dim] | None,
        grad_context: {number}[places, memory_dim] | None,
        grad_alignment: f32[batch, steps, positions] | None,
        grad_queries: {number}[places, dim] | None,
        grad_read: f32[batch, steps, memory_dim] | None,
        grad_keys: f32[batch, positions, dim] | None, grad_energy: f32[batch, dim] | None,
        grad_filters: f32[batch, histories * kernel, filters] | None,
        grad_location: f32[batch, dim if filters else 0, filters] | None""",
        "dim % 16 == 0 and filters % 16 == 0 and bool(filters) == bool(histories)",
        "not histories or (filter_weight is not None and location is not None)",
        "within(lengths, 0, positions) and within(order, 0, batch - 1)",
        "len(order.unique()) == batch",
        "int(starts[0]) == 0 and int(starts[1]) == batch and int(starts[-1]) == places",
        "falling(starts.diff()) and within(starts.diff(), 0, batch)",
    )
    layer = Struct(
        f"""inputs: int >= 1, hidden: int >= 1, weight: {number}[4 * hidden, inputs + hidden],
        bias: f32[4 * hidden] | None, gates: {number}[places, 4 * hidden],
        cells: {number}[states, hidden] | None, outputs: {number}[states, hidden],
        drawn: u8[places, hidden] | None, rates: f32[2],
        grad_gates: {number}[places, 4 * hidden] | None"""
    )
    return {"Attention": attention, "Layer": layer}


ATTENTION_RNN_STRUCTS = {
    f"{struct}_{n}": fields
    for n, t in ATTENTION_RNN_DTYPES.items()
    for struct, fields in _attention_rnn(t).items()
}
ATTENTION_RNN = {
    f"attention_rnn_{way}_{n}": Signature(
        f"attention: Attention_{n}[1], layers: Layer_{n}[count], sharpening: float",
        _layers_fit,
        *([_gradients_fit] if way == "backward" else []),
    )
    for way in ("forward", "backward")
    for n in ATTENTION_RNN_DTYPES
}


def _matrices(n: Any, lanes: int) -> list[tuple[int, int, int]]:
    """Inputs, panels and vectors of each layer of a frame decoder, in the kernel's order."""
    matrices: list[tuple[int, int, int]] = []

    def linear(inputs: int, outputs: int, vectors: int = 4) -> None:
        matrices.append((inputs, -(-outputs // (vectors * lanes)), vectors))

    def cell(inputs: int, units: int, gates: int) -> None:
        matrices.extend((width, -(-units // lanes), gates) for width in (inputs, units))

    input_dim = n.mels
    for width in [getattr(n, f"prenet_{i}") for i in range(n.prenet_layers)]:
        linear(input_dim, width)
        input_dim = width
    cell(input_dim + n.memory, n.rnn_units, n.rnn_gates)
    linear(n.rnn_units, n.dim)
    if n.filters:
        linear(n.channels * (2 * n.reach + 1), n.filters, 1)
        linear(n.filters, n.dim, 1)
    input_dim = n.rnn_units + n.memory
    if n.stack_gates == 3:
        linear(input_dim, n.stack_units)
        input_dim = n.stack_units
    for _ in range(n.stack_layers):
        cell(input_dim, n.stack_units, n.stack_gates)
        input_dim = n.stack_units
    linear(n.stack_units + (n.memory if n.project_context else 0), n.outputs)
    return matrices


def _decoder_fits(known: dict[str, Any]) -> bool:
    """matrices, working memory and shapes of the decoder's own sizes"""
    n, matrices, kernels = known["sizes"][0], known["matrices"], known["kernels"]
    lanes, size = ctypes.c_int64(), ctypes.c_int64()
    kernels.lanes(ctypes.byref(lanes), 1)
    own = [(m.inputs, m.panels, m.wide) for m in matrices.rows]
    if own != _matrices(n, lanes.value) or any(m.lanes != lanes.value for m in matrices.rows):
        return False
    kernels.row_size(known["sizes"].words.data_ptr(), ctypes.byref(size), known["positions"], 1)
    widths = [getattr(n, f"prenet_{i}") for i in range(n.prenet_layers)]
    return (
        min(widths) >= 1
        and known["width"] == size.value
        and known["kept"] in (None, sum(widths))
        and known["directions"] == -(-n.dim // lanes.value) * lanes.value
    )


def _matrix_fits(known: dict[str, Any]) -> bool:
    """a kind that is the weights' type"""
    kinds = ("torch.float32", "torch.bfloat16", "torch.int8")
    return str(known["weights"].dtype) == kinds[known["kind"]]


DECODER_STRUCTS = {
    "Sizes": Struct(
        """mels: int >= 1, outputs: int >= 2, memory: int >= 1, prenet_layers: 1 <= int <= 8,
        prenet_0: int >= 0, prenet_1: int >= 0, prenet_2: int >= 0, prenet_3: int >= 0,
        prenet_4: int >= 0, prenet_5: int >= 0, prenet_6: int >= 0, prenet_7: int >= 0,
        rnn_gates: 3 <= int <= 4, rnn_units: int >= 1, dim: int >= 1, filters: int >= 0,
        channels: 0 <= int <= 2, reach: int >= 0, stack_gates: 3 <= int <= 4,
        stack_units: int >= 1, stack_layers: 1 <= int <= 1024, project_context: 0 <= int <= 1,
        attention_end_steps: int >= 1""",
        "bool(filters) == bool(channels) and mels <= outputs - 1",
    ),
    "Matrix": Struct(
        """weights: weight[panels, inputs, wide, lanes], scales: f32[panels, 1, wide, lanes] | None,
        bias: f32[panels, 1, wide, lanes] | None, inputs: int >= 1, panels: int >= 1,
        wide: 1 <= int <= 4, kind: 0 <= int <= 2""",
        _matrix_fits,
        "wide != 2",
    ),
}
FRAME_DECODER = {
    "lanes": Signature("count: i64[1]"),
    "row_size": Signature("sizes: Sizes[1], size: i64[1], positions: int >= 1"),
    "decode": Signature(
        """sizes: Sizes[1], matrices: Matrix[layers], direction: f32[directions],
        memory: f32[batch, positions, sizes[0].memory],
        keys: f32[batch, positions, sizes[0].dim],
        history: f32[batch, sizes[0].channels, positions + 2 * sizes[0].reach],
        working: f32[batch, width], keep: f32[batch, steps, kept] | None,
        fed: f32[batch, steps, sizes[0].mels] | None, lengths: i64[batch], limits: i64[batch],
        resting: i64[batch], ending: i64[batch], step_lengths: i64[batch],
        reached: i64[batch], mel: f32[batch, steps, sizes[0].outputs - 1], stop: f32[batch, steps],
        alignment: f32[batch, steps, positions], batch: int >= 1, positions: int >= 1,
        first_step: int >= 0, steps: int >= 1, window: int >= 0, rnn_zoneout: float,
        stack_zoneout: float, threshold: float""",
        "within(lengths, 1, positions) and within(reached, 0, positions - 1)",
        _decoder_fits,
    ),
}
