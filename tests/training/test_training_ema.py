import pytest
import torch
from torch import nn

from speechseq.training.ema import EMA


def test_the_mean_is_the_recursion_written_out() -> None:
    model = nn.Linear(2, 1, bias=False).double()
    values = torch.randn(6, 1, 2, dtype=torch.float64)
    model.weight.data.copy_(values[0])
    ema = EMA(model, 0.5)
    expected = values[0].clone()
    for n in range(1, 6):
        model.weight.data.copy_(values[n])
        ema.update(n)
        decay = min(0.5, (1 + n) / (10 + n))
        expected = decay * expected + (1 - decay) * values[n]
    torch.testing.assert_close(ema.mean["weight"], expected, rtol=1e-12, atol=1e-12)


def test_a_constant_is_its_own_mean() -> None:
    model = nn.Linear(3, 2)
    ema = EMA(model, 0.999)
    for n in range(1, 50):
        ema.update(n)
    torch.testing.assert_close(ema.mean["weight"], model.weight.detach(), rtol=1e-6, atol=0)


def test_inside_applied_the_model_is_the_mean_and_after_it_itself_bit_for_bit() -> None:
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    ema = EMA(model, 0.9)
    with torch.no_grad():
        model[0].weight.add_(1.0)
    own = {name: tensor.clone() for name, tensor in model.state_dict().items()}

    def look() -> None:
        with ema.applied():
            assert torch.equal(model[0].weight, ema.mean["0.weight"])
            assert not torch.equal(model[0].weight, own["0.weight"])
            raise ZeroDivisionError  # even then

    with pytest.raises(ZeroDivisionError):
        look()
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, own[name])


def test_tied_weights_are_averaged_once() -> None:
    model = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2)])
    model[1].weight = model[0].weight
    assert sorted(EMA(model, 0.9).mean) == ["0.bias", "0.weight", "1.bias"]
