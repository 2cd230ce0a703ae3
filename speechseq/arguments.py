"""Checks of lengths, token ids and memories at public entry points; integers become int64.

Lengths decide which memory a kernel reads, so they are checked before any computation. On a CPU
values are always checked. On a GPU a check waits for all queued work, so values are checked only
with `wait`, for callers that wait anyway. Values are never read during compilation or tracing.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from speechseq.eager import is_eager
from speechseq.errors import ConfigError, DataError

INTEGERS = frozenset(
    {
        *(torch.int8, torch.int16, torch.int32, torch.int64),
        *(torch.uint8, torch.uint16, torch.uint32, torch.uint64),
    }
)


def checked_lengths(
    lengths: Tensor,
    shape: Sequence[int | None],
    name: str = "lengths",
    *,
    least: int = 0,
    wait: bool = False,
) -> Tensor:
    """Check lengths (batch) of rows that are padded to `shape`, and convert them to int64.

    Args:
        lengths: integers of any type.
        shape: (batch, time) of the padded rows; None accepts any size.
        name: the argument's name, for messages.
        least: smallest valid length: 0, or 1 if an empty row has no result.
        wait: check the values of tensors on a GPU too, which waits for all queued work; the values
            of CPU tensors are always checked.

    Raises:
        ConfigError: the lengths are not a tensor of integers (batch).
        DataError: a length is below `least` or exceeds the padded size; the message names it.
    """
    batch, longest = shape[:2]
    _check_integers(lengths, (batch,), name, "torch.tensor([7, 5]), one length for each row")
    lengths = lengths.long()
    if lengths.numel() and _readable(lengths, wait):
        lowest, highest = map(int, lengths.aminmax())
        if lowest < least:
            raise DataError(
                f"{name}[{_first(lengths == lowest)}] is {lowest}, less than {least}",
                "give the number of valid items of each row; leave out rows that have none",
            )
        if longest is not None and highest > longest:
            raise DataError(
                f"{name}[{_first(lengths == highest)}] is {highest}, and the rows are padded to "
                f"{longest}",
                "give the number of valid items of each row, at most the size of dimension 1",
            )
    return lengths


def checked_tokens(tokens: Tensor, name: str = "tokens") -> Tensor:
    """Check the shape and dtype of token ids (batch, tokens), and convert them to int64.

    Args:
        tokens: integers of any dtype.
        name: the argument's name, for messages.

    Raises:
        ConfigError: the tokens are not a two-dimensional tensor of integers.
    """
    _check_integers(tokens, (None, None), name, "the ids of Vocabulary.encode, padded to one width")
    return tokens.long()


def checked_ids(ids: Tensor, symbols: int, name: str = "tokens", *, wait: bool = False) -> Tensor:
    """Check that all token ids belong to a vocabulary of `symbols` symbols; return them.

    Args:
        ids: integers of any shape.
        symbols: number of entries of the vocabulary.
        name: the argument's name, for messages.
        wait: check the values of tensors on a GPU too, which waits for all queued work; those of
            CPU tensors are always checked.

    Raises:
        DataError: an id is outside 0 … symbols - 1.
    """
    if ids.numel() and _readable(ids, wait):
        for id_ in map(int, ids.aminmax()):
            if not 0 <= id_ < symbols:
                raise DataError(
                    f"{name}: id {id_} is not in the vocabulary of {symbols} symbols (0 to "
                    f"{symbols - 1})",
                    "encode the texts with the vocabulary that the model was built for",
                )
    return ids


def checked_memory(memory: Tensor, memory_mask: Tensor, width: int) -> Tensor:
    """Check a decoder's memory (batch, positions, width), and return it unchanged.

    Args:
        memory: output of the encoder.
        memory_mask: (batch, positions) bool, True = valid.
        width: number of channels that the decoder was built for.

    Raises:
        ConfigError: the memory has another width or is not floating-point, or the mask is not bool
            (batch, positions).
    """
    shape = tuple(memory.shape)
    if len(shape) != 3 or shape[2] != width or not memory.is_floating_point():
        raise ConfigError(
            f"memory: {memory.dtype} {shape}, where floats (batch, positions, {width}) are needed",
            "give what the encoder gives that the decoder was built for",
        )
    if memory_mask.dtype != torch.bool or tuple(memory_mask.shape) != shape[:2]:
        raise ConfigError(
            f"memory_mask: {memory_mask.dtype} {tuple(memory_mask.shape)} for a memory {shape}",
            "give a boolean mask (batch, positions), True at valid positions",
        )
    return memory


def _check_integers(x: Tensor, shape: Sequence[int | None], name: str, cure: str) -> None:
    if not isinstance(x, Tensor):
        raise ConfigError(f"{name}: {type(x).__name__} is no tensor", f"give a tensor: {cure}")
    if x.dtype not in INTEGERS:
        raise ConfigError(f"{name}: {x.dtype} is no integer type", f"give torch.int64: {cure}")
    fits = len(x.shape) == len(shape) and all(
        want is None or have == want for have, want in zip(x.shape, shape, strict=True)
    )
    if not fits:
        wanted = ", ".join("any" if want is None else str(want) for want in shape)
        raise ConfigError(f"{name}: shape {tuple(x.shape)}, where ({wanted}) is needed", cure)


def _readable(x: Tensor, wait: bool) -> bool:
    """Return True if values can be read: eager mode, a plain tensor, on a CPU or with `wait`."""
    there = x.device.type == "cpu" or (wait and x.device.type == "cuda")
    return is_eager() and there and type(x) is Tensor


def _first(wrong: Tensor) -> int:
    return int(wrong.nonzero()[0])
