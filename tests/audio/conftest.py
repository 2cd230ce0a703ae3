"""Signals for the audio tests: a made one that resembles speech, and real clips where present."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor

_LJSPEECH = Path(__file__).parents[3] / "shared" / "data" / "ljspeech" / "wavs"


def _speechlike(samples: int, rate: int = 22050, seed: int = 0) -> np.ndarray:
    """Gliding harmonics under formants, hiss and pauses, float64 in [-1, 1]."""
    noise = np.random.default_rng(seed)
    time = np.arange(samples) / rate
    pitch = 120 + 30 * np.sin(2 * np.pi * 0.7 * time + seed)
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    voice = sum(np.sin(k * phase) / k**1.2 for k in range(1, 40))
    syllables = np.clip(np.sin(2 * np.pi * 2.3 * time + seed), 0, 1)
    hiss = noise.standard_normal(samples)
    sound = voice * syllables + 0.05 * hiss * np.roll(syllables, rate // 5) + 0.002 * hiss
    return sound / np.abs(sound).max() * 0.8


@pytest.fixture
def speechlike() -> Callable[..., np.ndarray]:
    """Make `samples` of sound at `rate`, always the same for the same `seed`."""
    return _speechlike


@pytest.fixture(scope="session")
def ljspeech() -> list[Tensor]:
    """Six real clips, (1, samples) float32 at 22.05 kHz."""
    clips = sorted(_LJSPEECH.glob("*.flac"))[::60][:6]
    if not clips:
        pytest.skip("needs ../shared/data: real LJSpeech clips")
    return [torch.from_numpy(soundfile.read(clip, dtype="float32")[0])[None] for clip in clips]
