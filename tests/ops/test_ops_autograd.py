"""Saved tensors are overwritten in the last backward pass over a graph, and in no other."""

import pytest
import torch

from speechseq.ops import autograd
from speechseq.ops.autograd import saved_tensors

lasts: list[bool] = []


class Square(torch.autograd.Function):
    """It writes its gradient over what it saved where it may."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x.clone())
        return x * x

    @staticmethod
    def backward(ctx, gradient):
        (x,), last = saved_tensors(ctx)
        lasts.append(last)
        if last:
            with pytest.raises(RuntimeError):
                ctx.saved_tensors  # noqa: B018 -- gone: the caller alone holds it
        return (x.mul_(2) if last else x * 2) * gradient


@pytest.mark.parametrize("known", [True, False])
def test_only_a_pass_that_keeps_no_graph_is_the_last(known, monkeypatch):
    if not known:  # a torch that does not tell
        monkeypatch.setattr(autograd, "_KEEPS_GRAPH", lambda: True)
    lasts.clear()
    x = torch.tensor([3.0], requires_grad=True)
    y = Square.apply(x)
    for again in (True, True, False):
        assert torch.autograd.grad(y, x, retain_graph=again)[0] == 6
    assert lasts == [False, False, known]


def test_a_torch_of_the_version_that_we_name_tells():
    assert autograd._KEEPS_GRAPH.__name__ != "<lambda>"
