"""The rows' kernels against torch's operations in double precision."""

import itertools

import pytest
import torch
from torch import Tensor

from speechseq.nn import conv
from speechseq.nn.conv import MaskedBatchNorm
from speechseq.ops import pointwise
from speechseq.ops.batch_norm import KERNELS
from speechseq.ops.cpp.library import library

pytestmark = pytest.mark.skipif(library(KERNELS) is None, reason="this machine has no kernels")

SIZES = [(2, 3), (129, 37), (300, 128)]


def agree(made: list[Tensor], true: list[Tensor], bound: float = 5e-6) -> None:
    for a, b in zip(made, true, strict=True):
        assert a.shape == b.shape
        assert float((a - b).abs().max()) <= bound * max(1.0, float(b.abs().max()))


def gradients(made: Tensor, given: list[Tensor]) -> list[Tensor]:
    """The output, and what a loss that tells all outputs apart gives to what was given."""
    weights = torch.cos(torch.arange(made.numel(), dtype=made.dtype)).view_as(made)
    return [made.detach(), *torch.autograd.grad((made * weights).sum(), given)]


def a_norm(channels: int) -> MaskedBatchNorm:
    norm = MaskedBatchNorm(channels)
    for parameter in norm.parameters():
        parameter.data.uniform_(-0.5, 1.5)
    return norm


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("activation", conv.ACTIVATIONS)
@pytest.mark.parametrize(("norm_last", "rate"), [*itertools.product([True, False], [0.0, 0.4])])
def test_norm_activation_and_dropout_agree_with_torch_s(size, activation, norm_last, rate):
    x = 2 * torch.randn(size) + torch.linspace(-2, 2, size[1])
    norm = a_norm(size[1])
    twin = MaskedBatchNorm(size[1]).double()
    twin.load_state_dict(norm.state_dict())
    found = []
    for own, value in ((norm, x), (twin, x.double())):  # the kernel takes no double
        torch.manual_seed(3)  # both draw the same
        value.requires_grad_()
        made = own.of_rows(value, activation, norm_last, rate)
        given = [value, *own.parameters()]
        found.append([*gradients(made, given), own.running_mean, own.running_var])
    agree(*found, bound=2e-5)
    assert norm.num_batches_tracked == 1
    if rate:
        assert float((found[0][0] == 0).float().mean()) > 0.2 or size == SIZES[0]


def test_a_channel_of_one_value_and_a_tie_in_relu_stay_finite():
    norm, x = a_norm(3), torch.full((200, 3), 7.0, requires_grad=True)
    made = norm.of_rows(x, "relu", True)
    made.sum().backward()
    assert torch.isfinite(made).all()
    assert torch.isfinite(x.grad).all()


def test_a_far_mean_does_not_swallow_the_variance():
    x = torch.randn(5000, 2, dtype=torch.float64) + 1e4
    norm = MaskedBatchNorm(2)
    norm.of_rows(x.float())
    true = x.float().double().var(0)
    assert float((norm.running_var.double() - (0.9 + 0.1 * true)).abs().max()) < 1e-4


def test_threads_change_no_bit_of_the_norm():
    x, found = torch.randn(700, 90), []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        norm, own = a_norm(90), x.clone().requires_grad_()
        norm.load_state_dict({**norm.state_dict(), "weight": torch.linspace(-1, 1, 90)})
        norm.bias.data.zero_()
        found.append(gradients(norm.of_rows(own, "tanh"), [own, *norm.parameters()]))
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


@pytest.mark.parametrize("size", SIZES)
def test_neighbours_are_pooled_as_torch_does_with_ties_shared(size):
    x = torch.randint(-2, 3, size).float()
    followed = torch.rand(size[0]) < 0.7
    followed[-1] = False
    found = []
    for own in (x.clone().requires_grad_(), x.double().requires_grad_()):
        found.append(gradients(pointwise.max_pool_pairs(own, followed), [own]))
    agree(*found, bound=1e-6)


@pytest.mark.parametrize("size", [*SIZES, (4, 5, 7)])
def test_highways_agree_with_torch_s(size):
    given = [3 * torch.randn(size) for _ in range(3)]
    given[1][0] = 0.0  # relu's corner
    found = []
    for own in ([x.clone() for x in given], [x.double() for x in given]):
        own = [x.requires_grad_() for x in own]
        found.append(gradients(pointwise.highway(*own), own))
    agree(*found)
