"""Deltas: torchaudio is the judge of one item, and padding changes nothing."""

import pytest
import torch
import torchaudio.functional

from speechseq.audio.deltas import add_deltas
from speechseq.errors import ConfigError


def by_torchaudio(item: torch.Tensor, order: int) -> torch.Tensor:
    """(frames, mels) to (frames, mels·(1+order)), time last as torchaudio has it."""
    parts = [item.T]
    for _ in range(order):
        parts.append(torchaudio.functional.compute_deltas(parts[-1], win_length=5))
    return torch.cat(parts).T


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-12)])
@pytest.mark.parametrize("order", [0, 1, 2, 3])
@pytest.mark.parametrize("junk", [1e4, float("nan")])
def test_each_row_is_what_torchaudio_makes_of_its_item(
    junk: float, order: int, dtype: torch.dtype, tolerance: float
) -> None:
    """The edge is the row's own last frame, not the padding after it."""
    lengths = torch.tensor([40, 1, 2, 3, 4, 17])
    mel = torch.randn(6, 44, 5, dtype=dtype)
    for row, length in enumerate(lengths):
        mel[row, length:] = junk
    given = mel.clone()
    features = add_deltas(mel, lengths, order)
    assert features.shape == (6, 44, 5 * (1 + order))
    for row, length in enumerate(lengths.tolist()):
        expected = by_torchaudio(mel[row, :length], order)
        torch.testing.assert_close(features[row, :length], expected, atol=tolerance, rtol=tolerance)
        assert (features[row, length:, 5:] == 0).all()
    torch.testing.assert_close(mel, given, equal_nan=True)


def test_a_straight_line_has_its_slope_and_a_parabola_its_bend() -> None:
    """Away from the ends; the parts stand side by side, mels first."""
    time = torch.arange(20.0, dtype=torch.float64)
    mel = torch.stack([3 * time + 1, time**2], 1)[None]
    features = add_deltas(mel, torch.tensor([20]), 2)[0]
    torch.testing.assert_close(features[:, :2], mel[0])
    torch.testing.assert_close(features[2:-2, 2], torch.full((16,), 3.0, dtype=torch.float64))
    torch.testing.assert_close(features[2:-2, 3], 2 * time[2:-2])
    torch.testing.assert_close(features[4:-4, 5], torch.full((12,), 2.0, dtype=torch.float64))


def test_gradients_flow_and_never_from_the_padding() -> None:
    mel = torch.randn(2, 9, 3, dtype=torch.float64)
    mel[1, 5:] = float("nan")
    mel.requires_grad_(True)
    features = add_deltas(mel, torch.tensor([9, 5]), 2)
    (features[0].sum() + (features[1, :5] ** 2).sum()).backward()
    assert mel.grad is not None
    assert mel.grad[0].isfinite().all()
    assert mel.grad[1, :5].isfinite().all()
    assert (mel.grad[1, 5:] == 0).all()


def test_a_negative_order_is_refused() -> None:
    with pytest.raises(ConfigError, match="order -1"):
        add_deltas(torch.zeros(1, 3, 2), torch.tensor([3]), -1)
