"""Griffin-Lim under any settings: no louder than a few times what went in, or refused."""

import dataclasses
import itertools
import random
import re
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from speechseq.audio import projections
from speechseq.audio.griffin_lim import check_invertible, griffin_lim, spectral_convergence
from speechseq.audio.mel import AudioConfig, frames_of, magnitude, samples_of
from speechseq.errors import ConfigError


def settings(**changes: object) -> AudioConfig:
    return dataclasses.replace(AudioConfig(mels=2), **changes)  # type: ignore[arg-type]


def drawn(count: int, seed: int) -> Iterator[AudioConfig]:
    """Settings whose numbers fit each other: odd lengths, hops that divide nothing, both edges."""
    chance = random.Random(seed)
    while count:
        n_fft = chance.choice([16, 64, 256, chance.randint(8, 300)])
        window = chance.choice([n_fft, chance.randint(2, n_fft)])
        hop, centred = chance.randint(1, window), chance.random() < 0.5
        try:
            yield settings(n_fft=n_fft, window=window, hop=hop, centred=centred)
            count -= 1
        except ConfigError:
            pass  # an uneven padding


def sounds(samples: int) -> Tensor:
    """Noise, a tone and a click."""
    generator = torch.Generator().manual_seed(samples)
    noise = torch.rand(samples, generator=generator) - 0.5
    tone = 0.3 * torch.sin(torch.arange(samples) * 0.125)
    click = torch.zeros(samples)
    click[samples // 3] = 0.5
    return torch.stack([noise, tone, click])


@pytest.mark.parametrize(
    "config", list(drawn(60, 0)), ids=lambda c: f"{c.n_fft}-{c.window}-{c.hop}"
)
def test_never_louder_than_some_times_what_went_in(config: AudioConfig) -> None:
    try:
        check_invertible(config)
    except ConfigError:
        assert config.hop > 0.85 * config.window  # nothing that is of use is refused
        return
    for samples in (config.shortest, config.shortest + 1, 3000):
        sound = sounds(samples)
        spectrum = magnitude(sound, config)
        assert spectrum.shape[1] == frames_of(samples, config)
        waveform = griffin_lim(spectrum, config, iterations=8, seed=0)
        assert waveform.shape[1] == samples_of(spectrum.shape[1], config)
        if waveform.shape[1]:
            assert float(waveform.abs().max()) < 6 * float(sound.abs().max())


@pytest.mark.parametrize(
    ("hop", "window"), [(1024, 1024), (1000, 1024), (256, 256), (960, 1024), (2, 2), (1023, 1024)]
)
def test_a_hop_near_the_window_is_refused_with_one_that_works(hop: int, window: int) -> None:
    config = settings(hop=hop, window=window)
    with pytest.raises(ConfigError, match=f"hop: {hop} with window {window}") as caught:
        griffin_lim(torch.rand(1, 9, config.bins), config)
    for number in re.findall(r"\d+", caught.value.cure):
        check_invertible(settings(hop=int(number), window=window))


@pytest.mark.parametrize("window", range(1, 41))
def test_a_quarter_of_a_window_can_always_be_inverted(window: int) -> None:
    check_invertible(settings(window=window, hop=max(1, window // 4)))


@pytest.mark.parametrize(("hop", "window"), [(768, 1024), (300, 400), (819, 1024), (5, 7)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_kernel_agrees_with_torch_where_windows_hardly_meet(
    monkeypatch: pytest.MonkeyPatch, hop: int, window: int, dtype: torch.dtype
) -> None:
    config = settings(hop=hop, window=window)
    spectrum = magnitude(sounds(8000)[1:2].to(dtype), config)
    found = griffin_lim(spectrum, config, iterations=2, seed=0)
    monkeypatch.setattr(projections, "supported", lambda n_fft: False)
    expected = griffin_lim(spectrum, config, iterations=2, seed=0)
    tolerance = 1e-4 if dtype == torch.float32 else 1e-12
    torch.testing.assert_close(found, expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("centred", [True, False])
def test_padding_changes_nothing_where_windows_hardly_meet(centred: bool) -> None:
    config = settings(n_fft=64, window=64, hop=50, centred=centred)
    spectrum = torch.rand(3, 12, config.bins, dtype=torch.float64)
    lengths = torch.tensor([2, 7, 12])
    batch = griffin_lim(spectrum, config, iterations=3, seed=0, frame_lengths=lengths)
    for row, frames in enumerate(lengths.tolist()):
        alone = griffin_lim(spectrum[row : row + 1, :frames], config, iterations=3, seed=0)
        torch.testing.assert_close(batch[row, : alone.shape[1]], alone[0], rtol=0, atol=1e-10)


@pytest.mark.parametrize(("n_fft", "hop"), list(itertools.product((64, 65), (17, 8))))
def test_spectral_convergence_counts_every_negative_frequency(n_fft: int, hop: int) -> None:
    """An odd transform has no bin at half the sample rate: its last one counts twice."""
    if (n_fft - hop) % 2:
        hop += 1
    config = settings(n_fft=n_fft, window=n_fft, hop=hop, centred=False)
    sound = sounds(400)[:1].double()
    target = torch.rand(1, frames_of(400, config), config.bins, dtype=torch.float64)
    whole = [
        torch.cat([part, part[..., 1 : (n_fft + 1) // 2]], -1)
        for part in (magnitude(sound, config) - target, target)
    ]
    expected = whole[0].norm() / whole[1].norm()
    torch.testing.assert_close(spectral_convergence(sound, target, config)[0], expected)
