"""Additive energies keep nothing as wide as a layer, and stand numbers of every size.

test_ops_contract.py compares them with their formula.
"""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from speechseq.nn.attention.location_sensitive import LocationSensitiveConfig
from speechseq.ops.additive import KERNELS, additive_energies, supported
from speechseq.ops.cpp.library import library

BATCH, POSITIONS, DIM, FILTERS = 3, 7, 5, 2
each_kind = pytest.mark.parametrize("located", [False, True], ids=["content", "located"])
each_size = pytest.mark.parametrize("size", [1e-3, 1.0, 30.0, 1e4, 1e30])


def parts(located: bool, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    shapes = [(BATCH, DIM), (BATCH, POSITIONS, DIM), (DIM,)]
    shapes += [(BATCH, 2, POSITIONS), (FILTERS, 2, 5), (DIM, FILTERS)] if located else []
    return [torch.randn(shape, dtype=dtype, requires_grad=True) for shape in shapes]


def plainly(query, keys, direction, history=None, filters=None, location=None) -> Tensor:
    utterances, positions, dim = keys.shape
    layer = keys.unsqueeze(1) + query.view(utterances, -1, 1, dim)
    layer = layer.view(-1, positions, dim)
    if history is not None:
        found = F.conv1d(history, filters, padding=filters.shape[2] // 2)
        layer = layer + found.transpose(1, 2) @ location.t()
    return torch.tanh(layer) @ direction


@each_kind
def test_a_graph_may_be_walked_twice(located):
    inputs = parts(located)
    loss = additive_energies(*inputs).square().sum()
    once = torch.autograd.grad(loss, inputs, retain_graph=True)
    for a, b in zip(once, torch.autograd.grad(loss, inputs), strict=True):
        assert torch.equal(a, b)


@each_kind
def test_nothing_as_wide_as_the_layer_is_kept_but_the_keys(located):
    inputs = parts(located)
    wide = []

    def seen(x: Tensor) -> Tensor:
        wide.extend([x] * (x.numel() >= BATCH * POSITIONS * DIM))
        return x

    with torch.autograd.graph.saved_tensors_hooks(seen, lambda x: x):
        additive_energies(*inputs)
    assert [x.data_ptr() for x in wide] == [inputs[1].data_ptr()]


@each_kind
def test_mixed_precision_stays_close(located):
    inputs = parts(located, torch.float32)
    half = [inputs[0].bfloat16(), inputs[1].bfloat16(), *inputs[2:]]
    with torch.autocast("cpu", torch.bfloat16):
        energies = additive_energies(*half)
    assert (energies.float() - plainly(*inputs)).abs().max() < 0.1
    energies.float().sum().backward()
    assert all(torch.isfinite(x.grad).all() for x in inputs)


@each_size
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_tanh_is_one_at_every_size(dtype, size):
    """It is made of a sigmoid, whose exponential may overflow."""
    query, keys = size * torch.randn(2, 6, dtype=dtype), size * torch.randn(2, 9, 6, dtype=dtype)
    actual = additive_energies(query, keys, torch.eye(6, dtype=dtype)[0])
    true = torch.tanh(keys + query.unsqueeze(1))[..., 0]
    torch.testing.assert_close(actual, true, rtol=0, atol=2 * torch.finfo(dtype).eps)


# dim, filters, kernel, histories, positions: even and odd, narrow, and wider than the memory
SIZES = [(128, 32, 31, 2, 40), (37, 10, 101, 1, 150), (5, 3, 5, 2, 1), (16, 1, 41, 1, 9)]
there = pytest.mark.skipif(library(KERNELS) is None, reason="this machine has no C++ compiler")


def kernel_parts(dim: int, filters: int, kernel: int, histories: int, positions: int) -> list:
    shapes = [(6, dim), (2, positions, dim), (dim,), (6, histories, positions)]
    return [torch.randn(s) for s in [*shapes, (filters, histories, kernel), (dim, filters)]]


@there
@torch.no_grad()
def test_a_row_alone_is_the_row_in_a_batch_bit_for_bit():
    query, keys, direction, history, filters, location = kernel_parts(*SIZES[0])
    whole = additive_energies(query, keys, direction, history, filters, location)
    for row in range(6):
        own = query[row : row + 1], keys[row // 3 : row // 3 + 1], direction, history[row : row + 1]
        assert torch.equal(additive_energies(*own, filters, location)[0], whole[row])


@there
@torch.no_grad()
@pytest.mark.parametrize("size", [1e30, float("inf"), float("nan")])
def test_huge_and_broken_numbers_end_as_in_torch(size):
    query = size * torch.ones(1, 20)
    keys, direction = torch.randn(1, 4, 20), torch.randn(20)
    true = torch.tanh(keys + query.unsqueeze(1)) @ direction
    actual = additive_energies(query, keys, direction)
    torch.testing.assert_close(actual, true, rtol=1e-5, atol=1e-5, equal_nan=True)


def test_a_step_without_the_kernel_is_the_same(monkeypatch):
    module = LocationSensitiveConfig(dim=20, filters=5, kernel=7).build(8, 6)
    memory, mask = torch.randn(3, 12, 6), torch.ones(3, 12, dtype=torch.bool)
    queries = torch.randn(4, 3, 8)
    results = []
    for place in ("speechseq.ops.additive.supported", None):
        with torch.no_grad():
            state = module.start(memory, mask)
            for query in queries:
                context, weights, state = module(query, state)
        results.append((context, weights))
        if place:
            monkeypatch.setattr(place, lambda *parts: False)
    torch.testing.assert_close(results[0], results[1], rtol=1e-4, atol=1e-5)


def test_the_kernel_takes_no_part_in_training():
    assert not supported(torch.zeros(1))
    with torch.no_grad():
        assert not supported(torch.zeros(1, dtype=torch.float64))
        assert not supported(torch.zeros(1, dtype=torch.bfloat16))
