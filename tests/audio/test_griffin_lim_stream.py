"""Griffin-Lim part by part: as many samples, as near to the magnitudes, and no seams."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from speechseq.audio.griffin_lim import griffin_lim, spectral_convergence
from speechseq.audio.griffin_lim_stream import GriffinLimStream
from speechseq.audio.mel import AudioConfig, magnitude, samples_of
from speechseq.audio.presets import PRESETS
from speechseq.errors import ConfigError, DataError

NAMES = sorted(set(PRESETS) - {"kaldi"})  # whose frames are refused


def streamed(target: Tensor, config: AudioConfig, sizes: list[int], **numbers: object) -> Tensor:
    """The parts of the given sizes, the last one repeated, joined."""
    stream, parts, begin = GriffinLimStream(config, **numbers), [], 0
    while begin < target.shape[1]:
        end = begin + sizes[min(len(parts), len(sizes) - 1)]
        parts.append(stream.add(target[:, begin:end], last=end >= target.shape[1]))
        begin = end
    return torch.cat(parts, dim=1)


@pytest.fixture
def target(speechlike: Callable[..., np.ndarray]) -> Callable[..., Tensor]:
    """True magnitudes of made speech."""

    def make(config: AudioConfig, samples: int = 30_000, seed: int = 0) -> Tensor:
        sound = torch.from_numpy(speechlike(samples, config.sample_rate, seed))[None].float()
        return magnitude(sound, config)

    return make


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("frames", [1, 5, 20])
@pytest.mark.parametrize("size", [1, 3, 16])
def test_the_samples_are_as_many(name: str, frames: int, size: int) -> None:
    config = AudioConfig.preset(name)
    found = streamed(torch.rand(1, frames, config.bins), config, [size], iterations=1, seed=0)
    assert found.shape == (1, samples_of(frames, config))


def test_a_part_gives_the_samples_of_all_frames_but_the_look_ahead() -> None:
    config = AudioConfig()
    stream, target = GriffinLimStream(config, iterations=1, seed=0), torch.rand(1, 9, config.bins)
    ahead = stream.look_ahead
    assert ahead == 4
    given = [stream.add(target).shape[1] for _ in range(3)]
    assert given == [(9 - ahead) * config.hop, 9 * config.hop, 9 * config.hop]
    assert stream.add(target[:, :1], last=True).shape[1] == ahead * config.hop
    assert GriffinLimStream(config, seed=0).add(target[:, :4]).shape[1] == 0


@pytest.mark.parametrize("name", ["nvidia", "hifigan", "keithito"])
def test_one_part_is_the_whole(name: str, target: Callable[..., Tensor]) -> None:
    config = AudioConfig.preset(name)
    wanted = target(config)
    whole = griffin_lim(wanted, config, iterations=8, power=1.2, seed=5)
    found = streamed(wanted, config, [10_000], iterations=8, power=1.2, seed=5)
    assert torch.equal(found, whole)


@pytest.mark.parametrize("name", ["nvidia", "hifigan", "keithito"])
@pytest.mark.parametrize("sizes", [[12, 8, 16], [16]])
def test_parts_are_as_near_to_the_magnitudes_as_the_whole(
    name: str, sizes: list[int], target: Callable[..., Tensor]
) -> None:
    config = AudioConfig.preset(name)
    wanted = target(config, 15_000)
    found = streamed(wanted, config, sizes, iterations=30, seed=0)
    others = [griffin_lim(wanted, config, iterations=30, seed=seed) for seed in (0, 1)]
    ours, *others = (float(spectral_convergence(x, wanted, config)) for x in (found, *others))
    assert ours < 1.15 * max(others)


def test_there_is_no_click_at_a_seam() -> None:
    config = AudioConfig()
    tone = 0.5 * torch.sin(torch.arange(43 * config.hop) * 0.05)[None]
    wanted = magnitude(tone, config)
    joined, whole = streamed(wanted, config, [8], seed=1), griffin_lim(wanted, config, seed=1)
    ours, offline = (float(x.diff(n=2).abs().max()) for x in (joined, whole))
    assert ours < 3 * offline  # 20 times as much where the part begins to be free at once


def test_one_seed_gives_one_result_and_pre_emphasis_is_undone_across_seams(
    target: Callable[..., Tensor],
) -> None:
    config = AudioConfig.preset("keithito")
    assert config.pre_emphasis
    wanted = target(config)
    first, again, other = (streamed(wanted, config, [30], iterations=9, seed=s) for s in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    emphasised = first[:, 1:] - config.pre_emphasis * first[:, :-1]
    plain = streamed(wanted, dataclass_without(config), [30], iterations=9, seed=1)
    torch.testing.assert_close(emphasised, plain[:, 1:], rtol=0, atol=1e-4)


def dataclass_without(config: AudioConfig) -> AudioConfig:
    return AudioConfig.from_dict(config.to_dict() | {"pre_emphasis": 0.0})


def test_no_seed_draws_one(target: Callable[..., Tensor]) -> None:
    config = AudioConfig()
    wanted = target(config, 8000)
    first, again = (streamed(wanted, config, [16], iterations=2) for _ in range(2))
    assert not torch.equal(first, again)


def test_what_griffin_lim_refuses_is_refused() -> None:
    config = AudioConfig()
    with pytest.raises(ConfigError, match="iterations"):
        GriffinLimStream(config, iterations=-1)
    with pytest.raises(ConfigError, match="bins"):
        GriffinLimStream(config).add(torch.rand(1, 9, 7))
    with pytest.raises(DataError, match="NaN"):
        GriffinLimStream(config).add(torch.full((1, 9, config.bins), float("nan")))
    with pytest.raises(ConfigError, match="window_shape"):
        GriffinLimStream(AudioConfig.preset("kaldi"))


def test_memory_does_not_grow_with_the_length() -> None:
    config = AudioConfig(n_fft=64, hop=16, window=64, mels=8, sample_rate=8000, fmax=4000.0)
    stream = GriffinLimStream(config, iterations=1, seed=0)
    for _ in range(40):
        stream.add(torch.rand(1, 16, config.bins))
    held = [x for x in vars(stream).values() if isinstance(x, Tensor)]
    assert max(x.untyped_storage().nbytes() for x in held) < 64 * config.bins * 4
