"""model.safetensors: checks of the header before tensors are read."""

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from speechseq import files
from speechseq.checkpoint.folder import COPY_AGAIN
from speechseq.errors import CheckpointError
from speechseq.nn.meta_build import MOST_PARAMETERS

_WEIGHTS = files.Kind(name="weights", limit=1 << 48, error=CheckpointError, cure=COPY_AGAIN)
_HARMLESS = 64 << 20  # bytes; smaller files are read without a check of the header
_LARGEST_HEADER = 16 << 20  # bytes
_PICKLES = {b"PK", *(b"\x80" + bytes([protocol]) for protocol in range(2, 6))}


def check_header(path: Path) -> None:
    """Check that a safetensors file is as long as its header says, before it is read.

    A large sparse file, for example, is refused.

    Raises:
        CheckpointError: the header is not of safetensors, or the sizes of tensors and file differ.
    """
    if not path.is_file() or (size := path.stat().st_size) <= _HARMLESS:
        return
    with files.opened(path, _WEIGHTS) as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = file.read(length) if length <= min(_LARGEST_HEADER, size - 8) else b""
    try:
        spans = list(_spans(json.loads(header)))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise CheckpointError(f"{path}: not a safetensors file", COPY_AGAIN) from None
    if sum(end - begin for begin, end in spans) != size - 8 - length:
        problem = f"{path}: its header describes other sizes than the file has"
        raise CheckpointError(problem, COPY_AGAIN)
    if size > 8 * MOST_PARAMETERS:
        problem = f"{path}: {size:,} bytes, more than any model that can be built"
        raise CheckpointError(problem, COPY_AGAIN)


def parse_weights(path: Path, data: bytes) -> dict[str, Tensor]:
    """Parse the content of a safetensors file; return the tensors by name.

    Args:
        path: the file, for messages.
        data: content of the file.

    Raises:
        CheckpointError: the file is not safetensors, or a tensor is not finite.
    """
    try:
        weights = safetensors.torch.load(data)
    except (SafetensorError, KeyError, ValueError, RuntimeError, AssertionError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0][:200]
        problem = f"{path}: not a safetensors file: {reason}"
        raise CheckpointError(problem + pickle_hint(data), COPY_AGAIN) from None
    for name, tensor in weights.items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            problem = f"{path}: {name} holds NaN or Inf: the training had diverged"
            raise CheckpointError(problem, "use an earlier checkpoint of the run")
    return weights


def pickle_hint(data: bytes) -> str:
    """Return a hint for an error message if bytes look like a pickle (a .pt file), else ""."""
    return "; it looks like a Python pickle, never opened" if data[:2] in _PICKLES else ""


def _spans(header: dict[str, Any]) -> Iterator[tuple[int, int]]:
    for name, tensor in header.items():
        if name != "__metadata__":
            begin, end = tensor["data_offsets"]
            yield begin, end
