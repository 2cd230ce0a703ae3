"""Time warping equals librosa's; the F0 frame error along it counts F0, and no tempo or level."""

import math

import librosa
import numpy as np
import pytest
import torch

from speechseq.evaluation.time_warp import warped_f0_error, warping_path

RATE = 22050


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (9, 1), (30, 30), (41, 23), (17, 60)])
def test_the_path_is_as_cheap_as_librosas(shape):
    cost = np.random.default_rng(0).random(shape)
    path = warping_path(cost)
    assert path[0].tolist() == [0, 0]
    assert path[-1].tolist() == [shape[0] - 1, shape[1] - 1]
    steps = np.diff(path, axis=0)
    assert steps.min(initial=0) >= 0
    assert np.isin(steps.sum(1), (1, 2)).all()
    total, _ = librosa.sequence.dtw(C=cost)
    assert cost[tuple(path.T)].sum() == pytest.approx(total[-1, -1])


def vowels(f0: float, seconds: tuple[float, ...], level: float = 1.0) -> torch.Tensor:
    """Sounds of one F0 whose spectra differ, one after the other, in silence."""
    parts = [torch.zeros(2000)]
    for loudest, duration in zip((2, 7, 12), seconds, strict=True):
        time = torch.arange(int(duration * RATE)) / RATE
        harmonics = [
            2.0 ** -abs(k - loudest) * torch.sin(2 * math.pi * k * f0 * time) for k in range(1, 20)
        ]
        parts.append(0.2 * level * sum(harmonics))
    return torch.cat([*parts, torch.zeros(2000)])


def test_tempo_and_level_are_no_error_and_a_wrong_pitch_is():
    real = vowels(180.0, (0.2, 0.3, 0.2))
    slower = vowels(185.0, (0.4, 0.3, 0.3), level=0.3)
    assert warped_f0_error(real, real, RATE) == 0.0
    assert warped_f0_error(slower, real, RATE) < 0.1
    high = warped_f0_error(vowels(260.0, (0.4, 0.3, 0.3)), real, RATE)
    voiced = 0.7 / (0.7 + 4000 / RATE)
    assert high == pytest.approx(voiced, abs=0.1)
    assert warped_f0_error(torch.randn(len(real)) * 0.1, real, RATE) > 0.6
