"""Signatures of the loops of decoders: core loop, free run, search; see `signature`."""

import ctypes
import functools
from typing import Any

from speechseq.native.signature import Signature, Struct

CORE_NUMBERS = {"float": "f32", "bfloat16": "bf16"}


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
    names = ("cumulative", "to_queries", "to_read", "to_keys", "to_direction")
    located = ("to_filters", "to_location") if attention.histories else ()
    given = all(getattr(attention, name) is not None for name in (*names, *located))
    return given and all(layer.slopes is not None for layer in layers.rows)


def _core(number: str) -> dict[str, Struct]:
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
        to_hidden: {number}[places, query_dim] | None,
        to_context: {number}[places, memory_dim] | None,
        to_alignment: f32[batch, steps, positions] | None,
        to_queries: {number}[places, dim] | None,
        to_read: f32[batch, steps, memory_dim] | None,
        to_keys: f32[batch, positions, dim] | None, to_direction: f32[batch, dim] | None,
        to_filters: f32[batch, histories * kernel, filters] | None,
        to_location: f32[batch, dim if filters else 0, filters] | None""",
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
        slopes: {number}[places, 4 * hidden] | None"""
    )
    return {"Attention": attention, "Layer": layer}


CORE_STRUCTS = {
    f"{struct}_{n}": fields for n, t in CORE_NUMBERS.items() for struct, fields in _core(t).items()
}
CORE_LOOP = {
    f"core_{way}_{n}": Signature(
        f"attention: Attention_{n}[1], layers: Layer_{n}[count], sharpening: float",
        _layers_fit,
        *([_gradients_fit] if way == "backward" else []),
    )
    for way in ("forward", "backward")
    for n in CORE_NUMBERS
}


def _matrices(n: Any, lanes: int) -> list[tuple[int, int, int]]:
    """Inputs, panels and vectors of each layer of a frame decoder, in the kernel's order."""
    made: list[tuple[int, int, int]] = []

    def linear(inputs: int, outputs: int, vectors: int = 4) -> None:
        made.append((inputs, -(-outputs // (vectors * lanes)), vectors))

    def cell(inputs: int, units: int, gates: int) -> None:
        made.extend((width, -(-units // lanes), gates) for width in (inputs, units))

    below = n.mels
    for width in [getattr(n, f"prenet_{i}") for i in range(n.prenet_layers)]:
        linear(below, width)
        below = width
    cell(below + n.memory, n.rnn_units, n.rnn_gates)
    linear(n.rnn_units, n.dim)
    if n.filters:
        linear(n.channels * (2 * n.reach + 1), n.filters, 1)
        linear(n.filters, n.dim, 1)
    below = n.rnn_units + n.memory
    if n.stack_gates == 3:
        linear(below, n.stack_units)
        below = n.stack_units
    for _ in range(n.stack_layers):
        cell(below, n.stack_units, n.stack_gates)
        below = n.stack_units
    linear(n.stack_units + (n.memory if n.project_context else 0), n.outputs)
    return made


def _decoder_fits(known: dict[str, Any]) -> bool:
    """matrices, working memory and shapes of the decoder's own sizes"""
    n, matrices, kernels = known["numbers"][0], known["matrices"], known["kernels"]
    lanes, size = ctypes.c_int64(), ctypes.c_int64()
    kernels.lanes(ctypes.byref(lanes), 1)
    own = [(m.inputs, m.panels, m.wide) for m in matrices.rows]
    if own != _matrices(n, lanes.value) or any(m.lanes != lanes.value for m in matrices.rows):
        return False
    kernels.row_size(known["numbers"].words.data_ptr(), ctypes.byref(size), known["positions"], 1)
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
    "Numbers": Struct(
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
    "row_size": Signature("numbers: Numbers[1], size: i64[1], positions: int >= 1"),
    "decode": Signature(
        """numbers: Numbers[1], matrices: Matrix[layers], direction: f32[directions],
        memory: f32[batch, positions, numbers[0].memory],
        keys: f32[batch, positions, numbers[0].dim],
        history: f32[batch, numbers[0].channels, positions + 2 * numbers[0].reach],
        working: f32[batch, width], keep: f32[batch, steps, kept] | None,
        fed: f32[batch, steps, numbers[0].mels] | None, lengths: i64[batch], limits: i64[batch],
        resting: i64[batch], ending: i64[batch], step_lengths: i64[batch],
        mel: f32[batch, steps, numbers[0].outputs - 1], stop: f32[batch, steps],
        alignment: f32[batch, steps, positions], batch: int >= 1, positions: int >= 1,
        first_step: int >= 0, steps: int >= 1, rnn_zoneout: float, stack_zoneout: float,
        threshold: float""",
        "within(lengths, 1, positions)",
        _decoder_fits,
    ),
}


@functools.lru_cache(maxsize=256)
def _packed(kernels: ctypes.CDLL, outputs: int, inputs: int) -> int:
    """Floats that packed weights take."""
    size = ctypes.c_int64()
    kernels.size_packed(ctypes.byref(size), outputs, inputs, 1)
    return size.value


@functools.lru_cache(maxsize=256)
def _cell(kernels: ctypes.CDLL, inputs: int, hidden: int) -> int:
    """Floats that a packed cell takes."""
    size = ctypes.c_int64()
    kernels.size_cell(ctypes.byref(size), inputs, hidden, 1)
    return size.value


def _weight_packed(known: dict[str, Any]) -> bool:
    """as much room as packed weights take"""
    return known["room"] == _packed(known["kernels"], known["outputs"], known["inputs"])


def _cell_packed(known: dict[str, Any]) -> bool:
    """as much room as a packed cell takes"""
    return known["room"] == _cell(known["kernels"], known["inputs"], known["hidden"])


def _memory_packed(known: dict[str, Any]) -> bool:
    """as much room as packed memories take"""
    return known["room"] == _packed(known["kernels"], known["dim"], known["positions"])


def _speller_fits(known: dict[str, Any]) -> bool:
    """weights packed for the speller's own sizes"""
    k = known
    asked = k["hidden"] + k["memory"]
    wanted = {
        "query_size": (k["dim"], k["hidden"]),
        "location_size": (k["dim"], k["filters"]) if k["histories"] else None,
        "deep_size": (k["deep"], asked) if k["deep"] else None,
        "symbol_size": (k["symbols"], k["deep"] or asked),
    }
    if any(k[name] != (of and _packed(k["kernels"], *of)) for name, of in wanted.items()):
        return False
    if (k["histories"] and k["filter_weights"] is None) or (k["deep"] and k["deep_bias"] is None):
        return False
    return all(
        cell.size == _cell(k["kernels"], k["hidden"] if layer else k["memory"], k["hidden"])
        and (not layer or cell.gates == 4 * k["hidden"])
        for layer, cell in enumerate(k["cells"].rows)
    )


def _step_fits(known: dict[str, Any]) -> bool:
    """rows of a state as wide as the speller's own, and memories packed for its positions"""
    s, positions = known["speller"][0], known["positions"]
    width = 2 * s.layers * s.hidden + s.memory + (positions if s.histories > 1 else 0)
    return (
        known["width"] == -(-width // 16) * 16
        and known["memory_size"] == _packed(known["kernels"], s.memory, positions)
        and known["rows"] % known["utterances"] == 0
    )


SPELLER_STRUCTS = {
    "SpellerCell": Struct("weights: f32[size], bias: f32[gates] | None"),
    "Speller": Struct(
        """layers: int >= 1, hidden: int >= 1, memory: int >= 1, dim: int >= 1,
        histories: 0 <= int <= 2, filters: int >= 0, kernel: int >= 1, deep: int >= 0,
        symbols: int >= 1, query: f32[query_size], direction: f32[dim],
        filter_weights: f32[filters, histories, kernel] | None, location: f32[location_size] | None,
        deep_weights: f32[deep_size] | None, deep_bias: f32[deep] | None,
        symbol_weights: f32[symbol_size], symbol_bias: f32[symbols], never: b8[symbols],
        cells: SpellerCell[layers]""",
        "bool(filters) == bool(histories)",
        _speller_fits,
    ),
}
SEARCH_STEP = {
    "size_packed": Signature(
        "size: i64[1], outputs: 0 <= int < 2147483648, inputs: 0 <= int < 2147483648"
    ),
    "size_cell": Signature(
        "size: i64[1], inputs: 0 <= int < 2147483648, hidden: 0 <= int < 2147483648"
    ),
    "pack_weight": Signature(
        "weight: f32[outputs, inputs], packed: f32[room], outputs: int >= 1, inputs: int >= 1",
        _weight_packed,
    ),
    "pack_cell": Signature(
        """weight_ih: f32[4 * hidden, hoisted + inputs], weight_hh: f32[4 * hidden, hidden],
        packed: f32[room], hoisted: int >= 0, inputs: int >= 0, hidden: int >= 1""",
        _cell_packed,
    ),
    "pack_memory": Signature(
        """memory: f32[utterances, positions, dim], packed: f32[utterances, room],
        utterances: int >= 1, positions: int >= 1, dim: int >= 1""",
        _memory_packed,
    ),
    "linear": Signature(
        """x: f32[rows, inputs], packed: f32[room], onto: f32[rows:apart, outputs] | None,
        apart: int >= 0, y: f32[rows, outputs], rows: int >= 0, inputs: int >= 1,
        outputs: int >= 1""",
        _weight_packed,
    ),
    "additive_energies": Signature(
        """query: f32[rows, dim], keys: f32[utterances, positions, dim], direction: f32[dim],
        history: f32[rows, histories, positions] | None,
        filters: f32[count, histories, kernel] | None, location: f32[dim, count] | None,
        energies: f32[rows, positions], rows: int >= 0, utterances: int >= 1,
        positions: int >= 1, dim: int >= 1, histories: int >= 0, count: int >= 0,
        kernel: int >= 1""",
        "rows % utterances == 0 and bool(histories) == bool(count)",
        "not histories or (history is not None and filters is not None and location is not None)",
    ),
    "spell": Signature(
        """speller: Speller[1], gates: f32[fed, 4 * speller[0].hidden], which: i64[rows],
        memory: f32[utterances, memory_size],
        keys: f32[utterances, positions, speller[0].dim], mask: b8[utterances, positions],
        place: i64[rows], before: f32[places, width], weights_before: f32[places, positions],
        after: f32[rows, width], weights: f32[rows, positions],
        log_probs: f32[rows, speller[0].symbols], rows: int >= 0, utterances: int >= 1,
        places: int >= 0, positions: int >= 1, sharpening: float, never: float""",
        "within(which, 0, fed - 1) and within(place, 0, places - 1)",
        _step_fits,
    ),
    "best": Signature(
        """scores: f64[rows, count], places: i64[rows, taken], rows: int >= 0, count: int >= 1,
        taken: 1 <= int <= count"""
    ),
}
