"""Trimming: the edges go, to the margin; pauses inside stay, whatever the level or the noise."""

import pytest
import torch
from torch import Tensor

from speechseq.audio.trim import trim_silence
from speechseq.errors import ConfigError

RATE = 16000


def recording(lead: float, tail: float, noise: float = 0.0, level: float = 0.5) -> Tensor:
    """Two tones of .3 s with a pause of .5 s between them, and silence around, in seconds."""
    tone = level * torch.sin(0.3 * torch.arange(0.3 * RATE))
    parts = [int(lead * RATE), tone, int(0.5 * RATE), tone, int(tail * RATE)]
    whole = torch.cat([torch.zeros(p) if isinstance(p, int) else p for p in parts])
    generator = torch.Generator().manual_seed(0)
    return (whole + noise * torch.randn(len(whole), generator=generator))[None]


@pytest.mark.parametrize("noise", [0.0, 1e-4])
@pytest.mark.parametrize("level", [0.5, 0.05])
def test_edges_are_cut_to_the_margin_and_the_pause_inside_stays(noise, level):
    sound = recording(1.0, 0.7, noise, level)
    trimmed = trim_silence(sound, RATE)
    assert trimmed.shape[1] / RATE == pytest.approx(1.1 + 2 * 0.05, abs=0.04)
    first = int(RATE * 0.9)
    whole = sound[0].unfold(0, trimmed.shape[1], 1)
    assert any(torch.equal(row, trimmed[0]) for row in whole[first : first + 3000])


def test_a_sound_without_silence_around_stays_as_it_is():
    sound = recording(0.0, 0.0)
    assert torch.equal(trim_silence(sound, RATE), sound)


@pytest.mark.parametrize("samples", [0, 10, 5000])
def test_silence_and_short_sounds_come_back(samples):
    silence = torch.zeros(1, samples)
    assert torch.equal(trim_silence(silence, RATE), silence)


def test_the_level_does_not_matter_and_rows_are_cut_alike():
    sound = recording(0.5, 0.2)
    assert trim_silence(1e-3 * sound, RATE).shape == trim_silence(sound, RATE).shape
    both = torch.cat([sound, 0 * sound])
    assert trim_silence(both, RATE).shape[1] == trim_silence(sound, RATE).shape[1]


@pytest.mark.parametrize("numbers", [{"threshold": 0.0}, {"margin": -0.1}])
def test_numbers_out_of_range_are_refused(numbers):
    with pytest.raises(ConfigError, match="out of range"):
        trim_silence(recording(0.1, 0.1), RATE, **numbers)
