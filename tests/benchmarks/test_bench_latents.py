"""Comparison of latents: every system trains and is judged; the distance is the exact one."""

import latents
import pytest
import torch


@pytest.mark.parametrize("name", latents.systems())
def test_a_system_trains_and_is_judged(name, monkeypatch):
    monkeypatch.setattr(latents, "HELD_OUT", 12)
    monkeypatch.setattr(latents, "BATCH", 8)
    torch.manual_seed(0)
    x, y = torch.randn(40, 1, 9), torch.randn(40, 4)
    row = latents.judge(*latents.train(latents.systems()[name], x, updates=3), x, y)
    assert {"R² F0", "W2(codes, prior)", "null", "active"} <= row.keys()
    assert all("nan" not in value for value in row.values())


def test_the_distance_of_codes_is_exact():
    codes = torch.randn(30, 6, generator=torch.Generator().manual_seed(1))
    assert latents.w2(codes, codes[torch.randperm(30)]) == pytest.approx(0.0, abs=1e-6)
    shift = torch.tensor([3.0, 4.0, 0, 0, 0, 0])
    assert latents.w2(codes, codes + shift) == pytest.approx(5.0)
