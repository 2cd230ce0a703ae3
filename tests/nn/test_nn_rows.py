"""Rows of nested states: per-utterance tensors keep one row each, all others are re-ordered."""

from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from speechseq.nn.rows import (
    Indexed,
    PerUtterance,
    num_utterances,
    regroup_rows,
    select_rows,
)
from speechseq.ops.additive import by_utterance


class Inner(NamedTuple):
    memory: PerUtterance
    previous: Tensor


class Outer(NamedTuple):
    inner: tuple[Inner, ...]
    hidden: Tensor


def state(utterances: int, rows: int) -> tuple[Outer, Tensor]:
    inner = Inner(torch.randn(utterances, 3), torch.randn(rows, 2))
    return Outer((inner, inner), torch.randn(rows)), torch.randn(rows, 5)


def test_a_beam_leaves_what_stands_where_it_is():
    given = state(2, 6)
    rows = torch.tensor([2, 0, 0, 5, 3, 4])
    (inner, again), hidden = regroup_rows(given, rows, None)[0]
    assert inner.memory is again.memory is given[0].inner[0].memory
    assert torch.equal(inner.previous, given[0].inner[0].previous[rows])
    assert torch.equal(hidden, given[0].hidden[rows])


def test_an_utterance_that_leaves_takes_along_what_stands():
    given = state(3, 6)
    rows = torch.tensor([1, 0, 5, 5])
    outer, last = regroup_rows(given, rows, torch.tensor([0, 2]))
    assert isinstance(outer, Outer)
    for inner, before in zip(outer.inner, given[0].inner, strict=True):
        assert isinstance(inner, Inner)
        assert torch.equal(inner.memory, before.memory[[0, 2]])
        assert torch.equal(inner.previous, before.previous[rows])
    assert torch.equal(last, given[1][rows])


def test_one_hypothesis_may_become_several():
    (inner, _), hidden = regroup_rows(state(2, 2), torch.tensor([0, 0, 0, 1, 1, 1]), None)[0]
    assert len(inner.memory) == 2
    assert len(inner.previous) == len(hidden) == 6
    assert torch.equal(by_utterance(hidden, 2), hidden[[0, 3]].unsqueeze(1).expand(2, 3))


def test_outside_of_a_beam_rows_are_utterances():
    given, rows = state(4, 4), torch.tensor([3, 1])
    (inner, _), hidden = select_rows(given, rows)[0]
    assert torch.equal(inner.memory, given[0].inner[0].memory[rows])
    assert torch.equal(hidden, given[0].hidden[rows])


class Held(NamedTuple):
    place: Tensor
    numbers: Indexed


def test_what_is_read_by_number_stays_and_its_numbers_move():
    given = Held(torch.tensor([1, 1, 0, 2]), torch.randn(3, 2))
    rows = torch.tensor([3, 0, 2])
    for held in (regroup_rows((given,), rows, torch.tensor([0]))[0], select_rows(given, rows)):
        assert held.numbers is given.numbers
        assert held.place.tolist() == [2, 1, 0]


def test_utterances_are_counted_by_a_per_utterance_tensor_however_deep():
    assert num_utterances(state(2, 6)) == 2
    assert num_utterances(state(5, 5)) == 5
    with pytest.raises(ValueError, match="one row per utterance"):
        num_utterances((torch.randn(3, 2), (torch.randn(3),)))
