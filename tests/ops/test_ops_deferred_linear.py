"""DeferredGradLinear is F.linear with its weight gradient gathered: same numbers, nothing kept."""

import gc
import weakref

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from speechseq.ops.deferred_linear import DeferredGradLinear

BATCH, DIM, STEPS = 3, 4, 6


def parameters(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    weight = torch.randn(DIM, DIM, dtype=dtype, requires_grad=True)
    bias = torch.randn(DIM, dtype=dtype, requires_grad=True)
    start = torch.randn(BATCH, DIM, dtype=dtype, requires_grad=True)
    return weight, bias, start


def loop(product, x: Tensor, steps: int = STEPS) -> list[Tensor]:
    """A recurrence that uses the product at every step."""
    states = []
    for _ in range(steps):
        x = torch.tanh(product(x))
        states.append(x)
    return states


def both_ways(bias: bool, loss) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Gradients by the gathered product and by plain autograd."""
    weight, b, x = parameters()
    b = b if bias else None
    wanted = [weight, x] + ([b] if bias else [])
    ours = torch.autograd.grad(loss(loop(DeferredGradLinear(weight, b), x)), wanted)
    plain = torch.autograd.grad(loss(loop(lambda y: F.linear(y, weight, b), x)), wanted)
    return ours, plain


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    "loss",
    [
        lambda states: sum(x.square().sum() for x in states),
        lambda states: states[-1].sum(),  # the gradient comes from behind alone
        lambda states: states[2].sum(),  # later steps get none
        lambda states: states[0].sum() + states[3].square().sum(),
    ],
    ids=["every step", "last step", "middle step", "two steps"],
)
def test_gradients_equal_a_plain_linear_in_a_loop(bias, loss):
    ours, plain = both_ways(bias, loss)
    for a, b in zip(ours, plain, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("bias", [True, False])
def test_a_product_may_be_added_onto_a_sum(bias):
    weight, b, x = parameters()
    b, onto = (b if bias else None), torch.randn_like(x, requires_grad=True)
    wanted = [weight, x, onto] + ([b] if bias else [])
    product = DeferredGradLinear(weight, b)
    ours = loop(lambda y: product(y, onto), x)[-1].square().sum()
    plain = loop(lambda y: onto + F.linear(y, weight, b), x)[-1].square().sum()
    pairs = zip(torch.autograd.grad(ours, wanted), torch.autograd.grad(plain, wanted), strict=True)
    for actual, expected in pairs:
        torch.testing.assert_close(actual, expected, rtol=1e-12, atol=1e-12)


def test_gradients_equal_finite_differences():
    weight, bias, x = parameters()

    def last(*inputs: Tensor) -> Tensor:
        return loop(DeferredGradLinear(*inputs[:2]), inputs[2])[-1]

    assert torch.autograd.gradcheck(last, (weight, bias, x))


def test_a_frozen_weight_lets_gradients_through_and_gets_none():
    weight, bias, x = parameters()
    weight.requires_grad_(False)
    loop(DeferredGradLinear(weight, bias), x)[-1].sum().backward()
    assert weight.grad is None
    assert x.grad.abs().sum() > 0
    assert bias.grad.abs().sum() > 0


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_without_gradients_it_is_the_same_product(context):
    weight, bias, x = parameters()
    with context():
        y = DeferredGradLinear(weight, bias)(x)
        torch.testing.assert_close(y, F.linear(x, weight, bias))
    assert not y.requires_grad


def test_mixed_precision_runs_in_bfloat16_and_gives_gradients_in_float32():
    weight, bias, x = parameters(torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        product = DeferredGradLinear(weight, bias)
        states = loop(product, x)
        assert product(x).dtype == torch.bfloat16
        sum(s.float().sum() for s in states).backward()
    exact = parameters(torch.float32)
    for mine, theirs in zip(exact, (weight, bias, x), strict=True):
        mine.data.copy_(theirs.data)
    plain = loop(lambda y: F.linear(y, exact[0], exact[1]), exact[2])
    sum(s.sum() for s in plain).backward()
    for mine, theirs in zip((weight, bias, x), exact, strict=True):
        assert mine.grad.dtype == torch.float32
        error = (mine.grad - theirs.grad).norm() / theirs.grad.norm()
        assert 0 < error < 0.05


def test_a_graph_may_be_walked_twice():
    weight, bias, x = parameters()
    loss = loop(DeferredGradLinear(weight, bias), x)[-1].sum()
    (once,) = torch.autograd.grad(loss, weight, retain_graph=True)
    (again,) = torch.autograd.grad(loss, weight)
    torch.testing.assert_close(once, again)


def test_a_walk_that_stops_before_the_weight_leaves_nothing_to_the_next():
    weight, bias, x = parameters()
    loss = loop(DeferredGradLinear(weight, bias), x)[-1].sum()
    torch.autograd.grad(loss, x, retain_graph=True)
    (gathered,) = torch.autograd.grad(loss, weight)
    plain = loop(lambda y: F.linear(y, weight, bias), x)[-1].sum()
    torch.testing.assert_close(gathered, torch.autograd.grad(plain, weight)[0])


def test_a_gradient_of_a_gradient_is_refused_not_wrong():
    weight, bias, x = parameters()
    loss = loop(DeferredGradLinear(weight, bias), x)[-1].sum()
    (gradient,) = torch.autograd.grad(loss, x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


def test_a_weight_changed_before_its_backward_is_noticed():
    weight, bias, x = parameters()
    loss = loop(DeferredGradLinear(weight, bias), x)[-1].sum()
    with torch.no_grad():
        weight.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


@pytest.mark.parametrize("wanted", ["all", "input only", "none"])
def test_it_frees_its_memory_without_the_collector(wanted):
    weight, bias, x = parameters()
    gc.collect()
    gc.disable()
    try:
        product = DeferredGradLinear(weight, bias)
        states = loop(product, x)
        kept = [weakref.ref(product.buffer), weakref.ref(states[1])]
        loss = states[-1].sum()
        if wanted == "all":
            loss.backward()
        elif wanted == "input only":  # the walk never comes to the weight, and leaves its tape full
            torch.autograd.grad(loss, x, retain_graph=True)
            assert len(product.buffer.inputs) == STEPS
        del product, states, loss
        assert [ref() for ref in kept] == [None, None]
    finally:
        gc.enable()
