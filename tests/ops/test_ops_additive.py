"""Additive energies are their formula, gradients included, and keep nothing as wide as a layer."""

import pytest
import torch
from torch import Tensor

from speechseq.ops.additive import additive_energies

BATCH, POSITIONS, DIM, FILTERS = 3, 7, 5, 2
each_kind = pytest.mark.parametrize("located", [False, True], ids=["content", "located"])
each_size = pytest.mark.parametrize("size", [1e-3, 1.0, 30.0, 1e4, 1e30])


def parts(located: bool, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    shapes = [(BATCH, DIM), (BATCH, POSITIONS, DIM), (DIM,)]
    shapes += [(BATCH, POSITIONS, FILTERS), (DIM, FILTERS)] if located else []
    return [torch.randn(shape, dtype=dtype, requires_grad=True) for shape in shapes]


def plainly(query, keys, direction, located=None, location=None) -> Tensor:
    layer = query.unsqueeze(1) + keys
    return torch.tanh(layer if located is None else layer + located @ location.t()) @ direction


@each_kind
def test_energies_and_gradients_are_the_formula_s(located):
    inputs = parts(located)
    ours, plain = additive_energies(*inputs), plainly(*inputs)
    torch.testing.assert_close(ours, plain, rtol=1e-12, atol=1e-12)
    weights = torch.randn_like(plain)
    pairs = zip(
        torch.autograd.grad((ours * weights).sum(), inputs),
        torch.autograd.grad((plain * weights).sum(), inputs),
        strict=True,
    )
    for a, b in pairs:
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


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
        made = additive_energies(*half)
    assert (made.float() - plainly(*inputs)).abs().max() < 0.1
    made.float().sum().backward()
    assert all(torch.isfinite(x.grad).all() for x in inputs)


@each_size
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_tanh_is_one_at_every_size(dtype, size):
    """It is made of a sigmoid, whose exponential may overflow."""
    query, keys = size * torch.randn(2, 6, dtype=dtype), size * torch.randn(2, 9, 6, dtype=dtype)
    made = additive_energies(query, keys, torch.eye(6, dtype=dtype)[0])
    true = torch.tanh(keys + query.unsqueeze(1))[..., 0]
    torch.testing.assert_close(made, true, rtol=0, atol=2 * torch.finfo(dtype).eps)
