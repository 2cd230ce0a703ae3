"""Signatures of the C++ kernels that a search calls at each step (see `signature`)."""

import ctypes
import functools
from typing import Any

from speechseq.ops.cpp.signature import Signature, Struct


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
    head_inputs = k["hidden"] + k["memory"]
    matrices = {
        "query_size": (k["dim"], k["hidden"]),
        "location_size": (k["dim"], k["filters"]) if k["histories"] else None,
        "deep_size": (k["deep"], head_inputs) if k["deep"] else None,
        "symbol_size": (k["symbols"], k["deep"] or head_inputs),
    }
    if any(k[name] != (of and _packed(k["kernels"], *of)) for name, of in matrices.items()):
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
SPELLER = {
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
        """x: f32[rows, inputs], packed: f32[room], onto: f32[rows:stride, outputs] | None,
        stride: int >= 0, y: f32[rows, outputs], rows: int >= 0, inputs: int >= 1,
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
