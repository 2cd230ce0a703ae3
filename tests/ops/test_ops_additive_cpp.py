"""The kernel of a search's step makes the energies that torch's operations make."""

import pytest
import torch
from torch.nn import functional as F

from speechseq.nn.attention.location_sensitive import LocationSensitiveConfig
from speechseq.ops.additive import additive_energies
from speechseq.ops.additive_cpp import KERNELS, kernel_energies, runs
from speechseq.ops.cpp.library import library

# dim, filters, kernel, histories, positions: even and odd, narrow, and wider than the memory
SIZES = [(128, 32, 31, 2, 40), (37, 10, 101, 1, 150), (5, 3, 5, 2, 1), (16, 1, 41, 1, 9)]
there = pytest.mark.skipif(library(KERNELS) is None, reason="this machine has no C++ compiler")


def parts(dim: int, filters: int, kernel: int, histories: int, positions: int) -> list:
    shapes = [(6, dim), (2, positions, dim), (dim,), (6, histories, positions)]
    return [torch.randn(s) for s in [*shapes, (filters, histories, kernel), (dim, filters)]]


@there
@torch.no_grad()
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_equals_torch_s_operations(sizes):
    query, keys, direction, history, filters, location = given = parts(*sizes)
    assert runs(*given)
    located = F.conv1d(history, filters, padding=sizes[2] // 2).transpose(1, 2)
    true = additive_energies(query, keys, direction, located, location)
    torch.testing.assert_close(kernel_energies(*given), true, rtol=1e-4, atol=1e-4)
    plain = additive_energies(query, keys, direction)
    torch.testing.assert_close(kernel_energies(*given[:3]), plain, rtol=1e-4, atol=1e-4)


@there
@torch.no_grad()
def test_a_row_alone_is_the_row_in_a_batch_bit_for_bit():
    query, keys, direction, history, filters, location = parts(*SIZES[0])
    whole = kernel_energies(query, keys, direction, history, filters, location)
    for row in range(6):
        own = query[row : row + 1], keys[row // 3 : row // 3 + 1], direction, history[row : row + 1]
        assert torch.equal(kernel_energies(*own, filters, location)[0], whole[row])


@there
@torch.no_grad()
@pytest.mark.parametrize("size", [1e30, float("inf"), float("nan")])
def test_huge_and_broken_numbers_end_as_in_torch(size):
    query = size * torch.ones(1, 20)
    keys, direction = torch.randn(1, 4, 20), torch.randn(20)
    true = torch.tanh(keys + query.unsqueeze(1)) @ direction
    made = kernel_energies(query, keys, direction)
    torch.testing.assert_close(made, true, rtol=1e-5, atol=1e-5, equal_nan=True)


def test_a_step_without_the_kernel_is_the_same(monkeypatch):
    module = LocationSensitiveConfig(dim=20, filters=5, kernel=7).build(8, 6)
    memory, mask = torch.randn(3, 12, 6), torch.ones(3, 12, dtype=torch.bool)
    queries = torch.randn(4, 3, 8)
    made = []
    for place in ("speechseq.nn.attention.location_sensitive.runs", None):
        with torch.no_grad():
            state = module.start(memory, mask)
            for query in queries:
                context, weights, state = module(query, state)
        made.append((context, weights))
        if place:
            monkeypatch.setattr(place, lambda *parts: False)
    torch.testing.assert_close(made[0], made[1], rtol=1e-4, atol=1e-5)


def test_the_kernel_takes_no_part_in_training():
    assert not runs(torch.zeros(1))
    with torch.no_grad():
        assert not runs(torch.zeros(1, dtype=torch.float64))
        assert not runs(torch.zeros(1, dtype=torch.bfloat16))
