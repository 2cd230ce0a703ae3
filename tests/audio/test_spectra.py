"""The kernels of spectra beside torch's transforms."""

import dataclasses

import pytest
import torch

from speechseq.audio import stft_cpu
from speechseq.audio.framing import Framing
from speechseq.audio.stft_cpu import row_magnitudes, supported
from speechseq.ops.cpp.library import library


def by_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on as where no compiler stands ready."""
    monkeypatch.setattr(stft_cpu, "supported", lambda n_fft: False)


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"n_fft": 8, "window": 8, "hop": 2},
        {"n_fft": 2048, "window": 1200, "hop": 300},  # a window in the middle, hops that cut it
        {"n_fft": 512, "window": 401, "hop": 401},  # odd, and no sample used twice
        {"n_fft": 64, "window": 63, "hop": 5, "window_shape": "povey"},
        {"n_fft": 512, "window": 400, "hop": 160, "centred": False, "snip_edges": True},
        {"magnitude_epsilon": 1e-9},
    ],
)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-13)])
@pytest.mark.parametrize("frames", [1, 15, 16, 33])
def test_magnitudes_are_those_of_torch(
    monkeypatch: pytest.MonkeyPatch, change: dict, dtype: torch.dtype, tolerance: float, frames: int
) -> None:
    """Also quiet bins beside loud ones: relative to each bin, not to the loudest."""
    config = dataclasses.replace(Framing(), **change)
    samples = (frames - 1) * config.hop + config.span
    signal = torch.randn(1, samples, dtype=dtype)
    signal += 1000 * torch.sin(torch.arange(samples) * 0.3)
    signal[:, samples // 2 :] *= 1e-3
    bins = config.bins - 1
    found = row_magnitudes(signal, config, frames, bins, dtype)
    by_torch(monkeypatch)
    expected = row_magnitudes(signal, config, frames, bins, dtype)
    assert found.shape == expected.shape == (1, frames, bins)
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=1e3 * 1e-13)


def test_what_lies_after_a_frame_is_not_heard() -> None:
    """Lanes read together: NaN in the last frame's samples stays in the frames that hold them."""
    config = dataclasses.replace(Framing(), n_fft=64, window=48, hop=16)
    signal = torch.randn(1, 9 * 16 + 64)
    whole = row_magnitudes(signal, config, 10, 33, torch.float32)
    signal[0, 150:] = float("nan")
    spoilt = row_magnitudes(signal, config, 10, 33, torch.float32)
    heard = torch.arange(10) * 16 + 8 + 48 <= 150
    assert torch.equal(spoilt[0, heard], whole[0, heard])
    assert spoilt[0, ~heard].isnan().all()


def test_lengths_that_are_no_powers_of_two_stay_with_torch() -> None:
    assert not any(supported(n_fft) for n_fft in (1, 4, 400, 1000, 1025))
    assert supported(1024) == (library("stft") is not None)
    config = dataclasses.replace(Framing(), n_fft=400, window=400, hop=100)
    signal = torch.randn(1, 1600)
    expected = signal.double().unfold(1, 400, 100) * torch.hann_window(400, dtype=torch.float64)
    found = row_magnitudes(signal, config, 13, 201, torch.float32)
    torch.testing.assert_close(found, torch.fft.rfft(expected).abs().float())
