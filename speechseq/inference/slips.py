"""Slips of a free-running attention: skipped, repeated and stalled positions of an alignment."""

import itertools
from collections.abc import Iterator
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from speechseq.errors import DataError
from speechseq.nn.attention.diagnostics import coverage, focus, monotonicity, read_positions

Path = list[int]  # the most attended position of each step
_BACK = 3  # positions; attention that wavers by fewer repeats nothing
_MOST_SKIPPED = 2  # positions; letters that are not spoken are often not read
_FASTEST = 6  # positions a step; faster is no reading
_STILL = 20, 8  # steps, and multiples of a position's usual steps; a pause is shorter


class Slip(NamedTuple):
    """One fault of a text-to-speech attention alignment, found by `slips`.

    Attributes:
        kind: "skip" (positions that no step reads), "repeat" (attention moves back to `first` after
            it has reached `last`) or "stall" (attention stays for longer than a pause lasts).
        first, last: positions of the text that are skipped, read again or stayed on, both included.
        step: decoder step at which the fault begins: the first step of a stall, or the first step
            after a skip or a move back. It is the last step if the end of the text is skipped.
    """

    kind: Literal["skip", "repeat", "stall"]
    first: int
    last: int
    step: int


def slips(alignment: Float[Tensor, "steps positions"]) -> list[Slip]:
    """Find the skips, repeats and stalls of one alignment (steps, positions), in order of steps.

    The position of a step is the one with the most weight. A skip is a run of unread positions
    (those that `coverage` does not count), more than 2 and more than twice as many as attention
    usually passes over. A repeat is a move back by at least 3 positions; a single step back, after
    which attention goes on where it was, does not count. A stall lasts more than 20 steps plus 8
    times the usual number of steps of a position.

    Raises:
        DataError: the alignment has no steps or no positions.
    """
    if not alignment.numel():
        raise DataError(f"alignment: its shape is {tuple(alignment.shape)}", "speak a text first")
    path = alignment.argmax(1).tolist()
    found = [*_skips(alignment, path), *_repeats(path), *_stalls(path, alignment.shape[1])]
    return sorted(found, key=lambda slip: slip.step)


def alignment_score(alignment: Float[Tensor, "steps positions"]) -> float:
    """Score the quality of a text-to-speech alignment (steps, positions); higher is better.

    The score is the mean of focus, coverage and monotonicity (`nn.attention.diagnostics`), each
    from 0 to 1, minus 1 for every fault (`slips`). So it is at most 1, and negative only if there
    is a fault.

    Raises:
        DataError: the alignment has no steps or no positions.
    """
    faults = len(slips(alignment))
    batch, (steps, positions) = alignment[None], torch.tensor(alignment.shape).unsqueeze(1)
    parts = focus(batch, steps), coverage(batch, steps, positions), monotonicity(batch, steps)
    return float(torch.cat(parts).mean()) - faults


def _skips(alignment: Tensor, path: Path) -> Iterator[Slip]:
    moves = [b - a for a, b in itertools.pairwise(path) if b > a]
    usual = min(_FASTEST, int(torch.tensor(moves).median())) if moves else 1
    most = max(_MOST_SKIPPED, 2 * (usual - 1))
    steps, positions = torch.tensor(alignment.shape).unsqueeze(1)
    read = [*read_positions(alignment[None], steps, positions)[0].tolist(), True]
    begin = 0
    for position, known in enumerate(read):
        if known:
            if position - begin > most:
                beyond = (step for step, at in enumerate(path) if at >= position)
                yield Slip("skip", begin, position - 1, next(beyond, len(path) - 1))
            begin = position + 1


def _repeats(path: Path) -> Iterator[Slip]:
    highest, step = path[0], 1
    while step < len(path):
        if path[step] > highest - _BACK:
            highest, step = max(highest, path[step]), step + 1
            continue
        begin = step
        while step + 1 < len(path) and path[step + 1] <= path[step]:
            step += 1
        returns = step + 1 < len(path) and path[step + 1] >= highest
        if step > begin or not returns:
            yield Slip("repeat", path[step], highest, begin)
            highest = path[step]
        step += 1


def _stalls(path: Path, positions: int) -> Iterator[Slip]:
    visits = torch.tensor(path).bincount()
    usual = min(int(visits[visits > 0].median()), 2 * len(path) / positions)
    longest = _STILL[0] + _STILL[1] * usual
    begin = 0
    for step in range(1, len(path) + 1):
        if step < len(path) and abs(path[step] - path[begin]) <= 1:
            continue
        if step - begin > longest:
            yield _stall(path[begin:step], begin)
        begin = step


def _stall(stay: Path, begin: int) -> Slip:
    """The slip of attention that stays from step `begin`, at the positions that it mostly reads."""
    visits = torch.tensor(stay).bincount()
    at = (visits > len(stay) / 4).nonzero().squeeze(1).tolist()
    return Slip("stall", at[0], at[-1], begin + stay.index(at[0]))
