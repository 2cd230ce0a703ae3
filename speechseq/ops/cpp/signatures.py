"""Signatures of all C++ sources, and the check that a compiled library matches them."""

import ctypes

from speechseq.ops.cpp.decoder_signatures import (
    ATTENTION_RNN,
    ATTENTION_RNN_STRUCTS,
    DECODER_STRUCTS,
    FRAME_DECODER,
)
from speechseq.ops.cpp.layer_signatures import GEMM, GRU, LSTM, POINTWISE, STFT
from speechseq.ops.cpp.signature import Signature, Struct
from speechseq.ops.cpp.speller_signatures import SPELLER, SPELLER_STRUCTS

VERSION = 1  # as in version.h: increase both if the meaning of a struct's field changes
SIGNATURES: dict[str, dict[str, Signature]] = {
    "gemm": GEMM,
    "pointwise": POINTWISE,
    "lstm": LSTM,
    "gru": GRU,
    "stft": STFT,
    "attention_rnn": ATTENTION_RNN,
    "frame_decoder": FRAME_DECODER,
    "speller": SPELLER,
}
STRUCTS: dict[str, dict[str, Struct]] = {
    "attention_rnn": ATTENTION_RNN_STRUCTS,
    "frame_decoder": DECODER_STRUCTS,
    "speller": SPELLER_STRUCTS,
}


def prepare(name: str, kernels: ctypes.CDLL) -> str:
    """Declare the argument types of all functions of a loaded library to ctypes.

    The library exports its version and the number of 64-bit words in each of its structs; these are
    compared with the signatures, because a field that only one side has would shift all later ones.

    Args:
        name: name of the library.
        kernels: the loaded library.

    Returns:
        "", or the reason why the library does not match the signatures.
    """
    expected = {"version": VERSION}
    expected |= {f"words_{own}": len(s.parameters) for own, s in STRUCTS.get(name, {}).items()}
    for function, value in expected.items():
        if not hasattr(kernels, function):
            return f"it has no function {function}"
        counter = getattr(kernels, function)
        counter.restype, counter.argtypes = ctypes.c_int64, []
        if (found := counter()) != value:
            return f"{function} is {found}, and its callers expect {value}"
    for function, signature in SIGNATURES[name].items():
        if not hasattr(kernels, function):
            return f"it has no function {function}"
        kernel = getattr(kernels, function)
        kernel.restype, kernel.argtypes = None, [*signature.ctypes, ctypes.c_int64]
    return ""
