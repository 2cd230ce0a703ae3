"""Dropout drops as often as told, keeps the mean, and its gradient knows what was dropped."""

import pytest
import torch
from torch import Tensor

from speechseq.ops.dropout import bernoulli, dropout

COUNT = 40_000


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_units_are_dropped_as_often_as_told_and_the_others_multiplied(rate, dtype):
    x = torch.full((COUNT // 8, 8), 3.0, dtype=dtype, requires_grad=True)
    output = dropout(x, rate, training=True)
    (slope,) = torch.autograd.grad(output.sum(), x)
    dropped = output == 0
    assert output.dtype == dtype
    assert abs(float(dropped.float().mean()) - rate) < 5.5 * (rate * (1 - rate) / COUNT) ** 0.5
    kept = torch.full_like(output, 3.0 / (1 - rate))
    torch.testing.assert_close(output, kept.masked_fill(dropped, 0))
    torch.testing.assert_close(slope * 3.0, output, rtol=1e-2, atol=0)


def test_neighbours_are_dropped_independently_of_each_other():
    dropped = bernoulli((COUNT, 4), 0.3, "cpu").double()
    together = (dropped.t() @ dropped / COUNT)[~torch.eye(4, dtype=torch.bool)]
    assert float((together - 0.09).abs().max()) < 5.5 * (0.09 * 0.91 / COUNT) ** 0.5


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_never_and_always(rate):
    x = torch.randn(5, 3)
    assert torch.equal(dropout(x, rate, training=True), (1 - rate) * x)
    assert bool((bernoulli((5, 3), rate, "cpu") == bool(rate)).all())


def test_evaluation_changes_and_draws_nothing():
    x = torch.randn(5, 3)
    before = torch.get_rng_state()
    assert dropout(x, 0.5, training=False) is x
    assert torch.equal(torch.get_rng_state(), before)


def test_one_seed_drops_the_same():
    def drawn() -> Tensor:
        torch.manual_seed(4)
        return dropout(torch.ones(7, 5), 0.5, training=True)

    assert torch.equal(drawn(), drawn())


def test_a_byte_a_unit_is_kept_for_the_gradient():
    kept = []
    x = torch.randn(50, 7, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        dropout(x, 0.5, training=True)
    assert [(t.dtype, t.shape) for t in kept] == [(torch.bool, x.shape)]
