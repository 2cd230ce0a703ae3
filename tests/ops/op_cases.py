"""Cases of the ops' contract: each op beside its plain formula in torch, and its inputs.

A new op is one more `Case` here, or in sequence_op_cases.py if its input has padding;
test_ops_contract.py states the laws over all of them.
"""

import itertools
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from speechseq.nn.conv import ACTIVATIONS, MaskedBatchNorm
from speechseq.ops.additive import additive_energies
from speechseq.ops.deferred_linear import DeferredGradLinear, prepacked
from speechseq.ops.dropout import dropout
from speechseq.ops.linear import linear, weight_grad
from speechseq.ops.pointwise import highway, max_pool_pairs
from speechseq.ops.topk import stable_topk

Function = Callable[..., Tensor | tuple[Tensor, ...]]


class Case(NamedTuple):
    """An op and its formula, both functions of the tensors that `inputs` makes in float32.

    bound: largest error of the output, and of the gradients, relative to the largest value where
    that exceeds 1. mask (batch, time): valid positions of the first input, if it has padding.
    kernel: passes that a kernel serves: with gradients too, those without alone, or none.
    training: True if it takes part in training.
    """

    name: str
    op: Function
    formula: Function
    inputs: Callable[[], list[Tensor]]
    bound: tuple[float, float]
    mask: Tensor | None = None
    kernel: Literal["training", "inference", "none"] = "training"
    training: bool = True


def normal(*shapes: tuple[int, ...]) -> Callable[[], list[Tensor]]:
    return lambda: [torch.randn(shape) for shape in shapes]


def linears() -> list[Case]:
    def inputs(shape, outputs, biased):
        weight = torch.randn(outputs, shape[-1]) / shape[-1] ** 0.5
        return [torch.randn(shape), weight, *[torch.randn(outputs)] * biased]

    sizes = [((1, 1), 1), ((3, 7, 5), 33), ((65, 1030), 40), ((2100, 30), 70)]
    return [
        Case(
            f"linear of {shape} to {outputs}, {'a' if biased else 'no'} bias",
            linear,
            F.linear,
            lambda *own, given=(shape, outputs, biased): inputs(*given),
            (3e-6, 3e-6),
        )
        for (shape, outputs), biased in itertools.product(sizes, (True, False))
    ]


def weight_grads() -> Case:
    """Columns of wider matrices give their own gradient."""
    return Case(
        "weight_grad",
        lambda gradient, x: weight_grad(gradient[:, 10:80], x[:, 3:40]),
        lambda gradient, x: gradient[:, 10:80].t() @ x[:, 3:40],
        normal((1500, 90), (1500, 50)),
        (2e-6, 0.0),
        training=False,
    )


def norms() -> list[Case]:
    """Output, and the running statistics afterwards; both ways draw the same dropout."""

    def op(x, weight, bias, *, how):
        norm = MaskedBatchNorm(x.shape[1]).to(x.dtype)
        put(norm, [weight, bias])
        torch.manual_seed(3)
        output = norm.of_rows(x, *how)
        return output, norm.running_mean, norm.running_var, norm.num_batches_tracked

    def formula(x, weight, bias, *, how):
        activation, norm_last, rate = how
        mean, variance = x.new_zeros(x.shape[1]), x.new_ones(x.shape[1])
        activate = ACTIVATIONS[activation]
        x = activate(x) if norm_last else x
        x = F.batch_norm(x, mean, variance, weight, bias, training=True)
        x = x if norm_last else activate(x)
        torch.manual_seed(3)
        return dropout(x, rate, training=True), mean, variance, torch.tensor(1)

    def inputs(size):
        x = 2 * torch.randn(size) + torch.linspace(-2, 2, size[1])
        return [x, *torch.rand(2, size[1]).mul(2).sub(0.5)]

    sizes = [(2, 3), (129, 37), (300, 128), (700, 90)]
    ways = itertools.product(sizes, ACTIVATIONS, (True, False), (0.0, 0.4))
    return [
        Case(
            f"batch_norm of {size}, {', '.join(map(str, how))}",
            lambda *own, how=how: op(*own, how=how),
            lambda *own, how=how: formula(*own, how=how),
            lambda size=size: inputs(size),
            (2e-5, 2e-5),
        )
        for size, *how in ways
    ]


def pointwise() -> list[Case]:
    def pooled(x, *, own, followed):
        following = torch.cat([x[1:], x[-1:]])
        plain = torch.where(followed.unsqueeze(1), torch.maximum(x, following), x)
        return max_pool_pairs(x, followed) if own else plain

    def carried(x, fresh, gate):
        opened = torch.sigmoid(gate)
        return opened * torch.relu(fresh) + (1 - opened) * x

    def gated(size):
        x, fresh, gate = (3 * torch.randn(size) for _ in range(3))
        fresh[0] = 0.0  # relu's corner
        return [x, fresh, gate]

    cases = []
    for size in [(2, 3), (129, 37), (300, 128)]:
        followed = (torch.arange(size[0]) % 3 > 0) & (torch.arange(size[0]) < size[0] - 1)
        both = {own: lambda x, o=own, f=followed: pooled(x, own=o, followed=f) for own in (1, 0)}
        ties = lambda size=size: [torch.randint(-2, 3, size).float()]  # noqa: E731
        cases.append(Case(f"max_pool_pairs of {size}", both[1], both[0], ties, (1e-6, 1e-6)))
    for size in [(2, 3), (129, 37), (300, 128), (4, 5, 7)]:
        inputs = lambda size=size: gated(size)  # noqa: E731
        cases.append(Case(f"highway of {size}", highway, carried, inputs, (5e-6, 5e-6)))
    return cases


def energies() -> list[Case]:
    def formula(query, keys, direction, history=None, filters=None, location=None):
        layer = keys.unsqueeze(1) + query.view(len(keys), -1, 1, keys.shape[2])
        layer = layer.flatten(0, 1)
        if history is not None:
            found = F.conv1d(history, filters, padding=filters.shape[2] // 2)
            layer = layer + found.transpose(1, 2) @ location.t()
        return torch.tanh(layer) @ direction

    # dim, filters, kernel, histories, positions: even and odd, narrow, wider than the memory
    sizes = [(128, 32, 31, 2, 40), (37, 10, 101, 1, 150), (5, 3, 5, 2, 1), (16, 1, 41, 1, 9)]
    cases = []
    for dim, filters, kernel, histories, positions in [*sizes, (5, 2, 5, 2, 7)]:
        parts = [(6, dim), (2, positions, dim), (dim,), (6, histories, positions)]
        parts += [(filters, histories, kernel), (dim, filters)]
        for name, shapes in (("content", parts[:3]), ("location", parts)):
            name = f"additive_energies by {name}, {positions} positions of {dim}"
            tensors = normal(*shapes)
            cases.append(
                Case(name, additive_energies, formula, tensors, (3e-5, 3e-5), kernel="inference")
            )
    return cases


def loops() -> list[Case]:
    """Linear layers of a loop: with one weight gradient at its end, and prepacked."""

    def steps(product, x):
        for _ in range(6):
            x = torch.tanh(product(x))
        return x

    def packed(x, weight, *, base, bias):
        fast = prepacked(DeferredGradLinear(weight, to(bias, x)))
        gaps = F.pad(x, (2, 2))[:, 2:-2]  # the same, in the columns of something wider
        return fast(x, to(base, x)), fast(gaps, to(base, x))

    def plain(x, weight, *, base, bias):
        y = F.linear(x, weight, to(bias, x))
        y = y if base is None else y + to(base, x)
        return y, y

    cases = [
        Case(
            f"DeferredGradLinear in a loop, {'a' if biased else 'no'} bias",
            lambda x, weight, bias=None: steps(DeferredGradLinear(weight, bias), x),
            lambda x, weight, bias=None: steps(lambda y: F.linear(y, weight, bias), x),
            normal((3, 4), (4, 4), *[(4,)] * biased),
            (1e-6, 1e-5),
            kernel="none",
        )
        for biased in (True, False)
    ]
    for rows, (name, onto), biased in itertools.product((1, 2, 17, 130), ONTO.items(), (0, 1)):
        given = {"base": onto(rows), "bias": torch.linspace(-1, 1, 20) if biased else None}
        cases.append(
            Case(
                f"PrepackedLinear of {rows} rows onto {name}, {'a' if biased else 'no'} bias",
                lambda x, weight, given=given: packed(x, weight, **given),
                lambda x, weight, given=given: plain(x, weight, **given),
                normal((rows, 9), (20, 9)),
                (1e-5, 0.0),
                kernel="inference",
                training=False,
            )
        )
    return cases


ONTO = {
    "nothing": lambda rows: None,
    "a bias": lambda rows: torch.linspace(-2, 2, 20),
    "a row for all": lambda rows: torch.linspace(-2, 2, 20).view(1, 20).expand(rows, -1),
    "rows": lambda rows: torch.linspace(-2, 2, 20 * rows).view(rows, 20),
    "columns of something": lambda rows: torch.linspace(-2, 2, 20 * rows).view(20, rows).t(),
    "part of something": lambda rows: torch.linspace(-2, 2, 31 * rows).view(rows, 31)[:, 3:23],
}


def choices() -> list[Case]:
    """Scores with ties, of few and many candidates."""

    def best(scores, count):
        below = (scores.amax(dim=1, keepdim=True) - scores).float()
        return below.argsort(dim=1, stable=True)[:, :count]

    cases = []
    for candidates, count in [(1, 1), (7, 7), (50, 4), (3000, 16)]:
        cases.append(
            Case(
                f"stable_topk {count} of {candidates}",
                lambda scores, count=count: stable_topk(scores, count),
                lambda scores, count=count: best(scores, count),
                lambda n=candidates: [torch.randint(-40, 0, (5, n)).float() / 4],
                (0.0, 0.0),
                training=False,
            )
        )
    return cases


def to(value: Tensor | None, like: Tensor) -> Tensor | None:
    return None if value is None else value.to(like.dtype)


def put(module: nn.Module, tensors: Sequence[Tensor]) -> None:
    """Tensors of a graph in the place of a module's parameters, in their order."""
    for (name, _), tensor in zip(list(module.named_parameters()), tensors, strict=True):
        owner, _, own = name.rpartition(".")
        delattr(module.get_submodule(owner), own)
        setattr(module.get_submodule(owner), own, tensor)


DENSE = [
    *linears(),
    weight_grads(),
    *norms(),
    *pointwise(),
    *energies(),
    *loops(),
    *choices(),
]
