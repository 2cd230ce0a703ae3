"""Griffin-Lim: the laws of projections, of padding and of seeds; librosa beside it."""

import dataclasses
import itertools
import math
from collections.abc import Callable

import librosa
import numpy as np
import pytest
import torch
from torch import Tensor

from speechseq.audio import griffin_lim as griffin_lim_module
from speechseq.audio import projections
from speechseq.audio.griffin_lim import Phases, griffin_lim, spectral_convergence
from speechseq.audio.mel import AudioConfig, frames_of, magnitude, samples_of
from speechseq.audio.presets import PRESETS
from speechseq.errors import ConfigError, DataError

NAMES = sorted(set(PRESETS) - {"kaldi"})  # whose frames are refused


def decibels(waveform: Tensor, target: Tensor, config: AudioConfig) -> float:
    return 20 * math.log10(float(spectral_convergence(waveform, target, config).mean()))


@pytest.fixture
def target(speechlike: Callable[..., np.ndarray]) -> Callable[..., Tensor]:
    """True magnitudes of made speech, float64."""

    def make(config: AudioConfig, samples: int = 15_000, batch: int = 1) -> Tensor:
        sounds = [speechlike(samples, config.sample_rate, seed) for seed in range(batch)]
        return magnitude(torch.from_numpy(np.stack(sounds)), config)

    return make


# lengths and silence


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("frames", [1, 2, 3, 7, 40])
def test_length_fits_the_frames(name: str, frames: int) -> None:
    config = AudioConfig.preset(name)
    waveform = griffin_lim(torch.rand(2, frames, config.bins), config, iterations=3)
    expected = frames * config.hop if name == "hifigan" else (frames - 1) * config.hop
    assert waveform.shape == (2, expected)
    assert samples_of(frames, config) == expected
    assert frames_of(expected, config) == frames
    assert waveform.isfinite().all()


@pytest.mark.parametrize("momentum", [0.0, 0.99])
@pytest.mark.parametrize("name", NAMES)
def test_silence_stays_silent_and_nothing_is_ever_nan(name: str, momentum: float) -> None:
    config = AudioConfig.preset(name)
    zeros = torch.zeros(1, 12, config.bins)
    assert (griffin_lim(zeros, config, iterations=8, momentum=momentum) == 0).all()
    hard = torch.zeros(5, 12, config.bins)
    hard[0, 5], hard[1, :, 7], hard[2] = 1.0, 1e-30, 1e12
    hard[3, ::2] = torch.rand(6, config.bins)
    hard[4] = -1.0  # no magnitude: counts as silence
    waveform = griffin_lim(hard, config, iterations=8, momentum=momentum)
    assert waveform.isfinite().all()
    assert waveform[0].abs().max() > 0
    assert (waveform[4] == 0).all()


# projections


@pytest.mark.parametrize("made_of", ["speech", "noise"])
@pytest.mark.parametrize("name", NAMES)
def test_classic_never_rises(target: Callable[..., Tensor], name: str, made_of: str) -> None:
    """Each iteration, edges included, pre-emphasis included; noise is far from any true sound."""
    config = AudioConfig.preset(name)
    wanted = target(config, 8000)
    wanted = wanted if made_of == "speech" else torch.rand_like(wanted)
    errors = [
        float(spectral_convergence(waveform, wanted, config))
        for count in range(25)
        for waveform in [griffin_lim(wanted, config, iterations=count, momentum=0, seed=3)]
    ]
    rises = [after - before for before, after in itertools.pairwise(errors)]
    assert max(rises) <= 1e-12
    assert errors[-1] < 0.8 * errors[0]


def test_classic_never_rises_in_float32(target: Callable[..., Tensor]) -> None:
    config = AudioConfig()
    wanted = target(config).float()
    errors = [
        float(spectral_convergence(waveform, wanted, config))
        for count in range(0, 60, 4)
        for waveform in [griffin_lim(wanted, config, iterations=count, momentum=0, seed=3)]
    ]
    assert all(after <= before + 1e-6 for before, after in itertools.pairwise(errors))


def test_a_sound_that_fits_is_a_fixed_point(speechlike: Callable[..., np.ndarray]) -> None:
    """The inverse inside is that of `magnitude`: true phases stay, at the ends too."""
    config = AudioConfig()
    sound = torch.from_numpy(speechlike(40 * 256))[None]
    wanted = magnitude(sound, config)
    window = torch.hann_window(1024, dtype=torch.float64)
    true = torch.stft(sound, 1024, 256, window=window, return_complex=True).transpose(1, 2)
    found = projections.invert(wanted, true[0].angle(), config, iterations=5, momentum=0.99)
    torch.testing.assert_close(found, sound, atol=1e-10, rtol=0)


def test_momentum_in_samples_is_momentum_in_spectra(target: Callable[..., Tensor]) -> None:
    """Beside the textbook's way, which keeps spectra: the same waveform, to rounding."""
    config, momentum = AudioConfig(), 0.7
    wanted = target(config)
    frames = wanted.shape[1]
    phases = torch.rand(frames, config.bins, dtype=torch.float64) * 2 * math.pi

    def spectrum_of(waveform: Tensor) -> Tensor:
        window = torch.hann_window(1024, dtype=torch.float64)
        return torch.stft(waveform, 1024, 256, window=window, return_complex=True).mT

    def inverse(spectrum: Tensor) -> Tensor:
        return projections.invert(spectrum.abs(), spectrum.angle()[0], config, 0, 0.0)

    spectrum = previous = spectrum_of(inverse(torch.polar(wanted, phases[None])))
    guess = spectrum
    for _ in range(6):
        waveform = inverse(torch.polar(wanted, guess.angle()))
        spectrum = spectrum_of(waveform)
        guess, previous = spectrum + momentum * (spectrum - previous), spectrum
    ours = projections.invert(wanted, phases, config, 6, momentum)
    torch.testing.assert_close(ours, waveform, atol=1e-8, rtol=0)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-13)])
@pytest.mark.parametrize("frames", [1, 2, 16, 301])  # the last is shared by threads
@pytest.mark.parametrize("name", NAMES)
def test_the_kernel_projects_as_torch_does(
    monkeypatch: pytest.MonkeyPatch, name: str, frames: int, dtype: torch.dtype, tolerance: float
) -> None:
    """The kernel is compared on one and two threads, after few iterations: errors add up."""
    config = AudioConfig.preset(name)
    wanted = torch.rand(1, frames, config.bins, dtype=dtype)
    wanted[:, frames // 2] = 0
    threads, found = torch.get_num_threads(), []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            found.append(griffin_lim(wanted, config, iterations=2, seed=1))
    finally:
        torch.set_num_threads(threads)
    monkeypatch.setattr(projections, "supported", lambda n_fft: False)
    expected = griffin_lim(wanted, config, iterations=2, seed=1)
    scale = float(expected.abs().amax()) if expected.numel() else 1.0
    for waveform in found:
        torch.testing.assert_close(waveform, expected, rtol=0, atol=tolerance * scale)


def test_fast_beats_classic_by_3_db_on_real_speech(ljspeech: list[Tensor]) -> None:
    """32 iterations with momentum against 60 without, on true magnitudes; mean of six clips."""
    config, gains = AudioConfig(), []
    for seed, clip in enumerate(ljspeech):
        wanted = magnitude(clip[:, :66_150], config)
        classic = griffin_lim(wanted, config, iterations=60, momentum=0, seed=seed)
        fast = griffin_lim(wanted, config, iterations=32, momentum=0.99, seed=seed)
        gains.append(decibels(classic, wanted, config) - decibels(fast, wanted, config))
    assert sum(gains) / len(gains) >= 3.0


@pytest.mark.parametrize(("momentum", "margin"), [(0.0, 0.1), (0.99, 0.5)])
def test_converges_as_far_as_librosa(
    ljspeech: list[Tensor], momentum: float, margin: float
) -> None:
    """From librosa's own first phases; momentum is chaotic, so its mean of six scatters more."""
    config, ours, theirs = AudioConfig(), [], []
    for seed, clip in enumerate(ljspeech):
        wanted = magnitude(clip[:, :22_050].double(), config)
        target = wanted[0].T.numpy()
        phases = 2 * math.pi * np.random.RandomState(seed).random(target.shape).T
        found = projections.invert(wanted, torch.from_numpy(phases), config, 30, momentum)
        ours.append(decibels(found, wanted, config))
        reference = librosa.griffinlim(
            target, n_iter=30, hop_length=256, win_length=1024, n_fft=1024, momentum=momentum,
            random_state=seed, pad_mode="reflect", length=found.shape[1], dtype=np.float64,
        )  # fmt: skip
        theirs.append(decibels(torch.from_numpy(reference)[None], wanted, config))
    assert sum(ours) / 6 <= sum(theirs) / 6 + margin


def test_pre_emphasis_is_undone(target: Callable[..., Tensor]) -> None:
    """`magnitude` emphasises again: without the inverse filter these would be far apart."""
    config = AudioConfig.preset("keithito")
    wanted = target(config)
    assert decibels(griffin_lim(wanted, config, seed=0), wanted, config) < -20


def test_power_is_applied_to_the_target(target: Callable[..., Tensor]) -> None:
    config = AudioConfig()
    wanted = target(config)
    sharpened = griffin_lim(wanted, config, iterations=4, power=1.2, seed=0)
    assert torch.equal(sharpened, griffin_lim(wanted**1.2, config, iterations=4, seed=0))
    assert not torch.equal(sharpened, griffin_lim(wanted, config, iterations=4, seed=0))


def test_spectral_convergence_is_its_definition(target: Callable[..., Tensor]) -> None:
    config = AudioConfig()
    wanted = target(config, batch=2)
    sound = torch.randn(2, samples_of(wanted.shape[1], config), dtype=torch.float64)
    whole = torch.fft.fft(  # every bin, negative frequencies too
        torch.nn.functional.pad(sound, (512, 512), mode="reflect").unfold(1, 1024, 256)
        * torch.hann_window(1024, dtype=torch.float64)
    ).abs()
    mirrored = torch.cat([wanted, wanted[..., 1:-1].flip(-1)], -1)
    expected = (whole - mirrored).flatten(1).norm(dim=1) / mirrored.flatten(1).norm(dim=1)
    torch.testing.assert_close(spectral_convergence(sound, wanted, config), expected)
    assert float(spectral_convergence(0 * sound, 0 * wanted, config).max()) == 0


# padding and seeds


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
@pytest.mark.parametrize("junk", [1e4, float("nan"), float("inf")])
@pytest.mark.parametrize("at_once", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_padding_changes_nothing(
    target: Callable[..., Tensor],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    at_once: bool,
    junk: float,
    dtype: torch.dtype,
    tolerance: float,
) -> None:
    """`at_once` is the way of accelerators, which work on the padded batch as a whole."""
    config = AudioConfig.preset(name)
    if at_once:
        for module in (griffin_lim_module, projections):
            monkeypatch.setattr(module, "works_row_by_row", lambda target: False)
    batch = target(config, batch=5).to(dtype)
    frames = batch.shape[1]
    lengths = torch.tensor([frames, 2, frames - 9, 1, frames // 2])
    alone = [
        griffin_lim(batch[row : row + 1, :length], config, iterations=12, seed=5)[0]
        for row, length in enumerate(lengths.tolist())
    ]
    for row, length in enumerate(lengths.tolist()):
        batch[row, length:] = junk
    together = griffin_lim(batch, config, iterations=12, seed=5, frame_lengths=lengths)
    assert together.shape == (5, samples_of(frames, config))
    for row, own in enumerate(alone):
        assert float((together[row, : len(own)] - own).abs().amax() if len(own) else 0) <= tolerance
        assert (together[row, len(own) :] == 0).all()


def test_one_seed_one_result(target: Callable[..., Tensor]) -> None:
    config = AudioConfig()
    wanted = target(config)
    state = torch.get_rng_state()
    first = griffin_lim(wanted, config, iterations=2, seed=7)
    assert torch.equal(griffin_lim(wanted, config, iterations=2, seed=7), first)
    assert not torch.allclose(griffin_lim(wanted, config, iterations=2, seed=8), first)
    assert torch.equal(torch.get_rng_state(), state)


def test_no_seed_draws_from_torch(target: Callable[..., Tensor]) -> None:
    config = AudioConfig()
    wanted = target(config)
    torch.manual_seed(1)
    first, second = (griffin_lim(wanted, config, iterations=2) for _ in range(2))
    torch.manual_seed(1)
    assert torch.equal(griffin_lim(wanted, config, iterations=2), first)
    assert not torch.allclose(first, second)


def test_phases_of_a_longer_item_begin_with_those_of_a_shorter() -> None:
    long = Phases(0, 513).take(300)
    for frames in (1, 63, 64, 65, 200):
        assert torch.equal(Phases(0, 513).take(frames), long[:frames])
    assert float(long.min()) >= 0
    assert float(long.max()) <= 2 * math.pi
    assert float(long.mean()) == pytest.approx(math.pi, abs=0.02)


def test_half_precision_is_worked_on_in_single(target: Callable[..., Tensor]) -> None:
    config = AudioConfig()
    half = target(config).half()
    waveform = griffin_lim(half, config, iterations=2, seed=0)
    assert waveform.dtype == torch.float32
    assert torch.equal(waveform, griffin_lim(half.float(), config, iterations=2, seed=0))


def test_the_magnitudes_given_are_left_alone(target: Callable[..., Tensor]) -> None:
    config = AudioConfig.preset("keithito")
    wanted = target(config).requires_grad_(True)
    before = wanted.detach().clone()
    waveform = griffin_lim(wanted, config, iterations=2, power=1.2)
    assert torch.equal(wanted.detach(), before)
    assert not waveform.requires_grad


# what is refused


@pytest.mark.parametrize(
    "change",
    [
        {"window_shape": "hamming"},
        {"centred": False, "snip_edges": True},
        {"gain": 2.0},
        {"pre_emphasis": 0.97, "pre_emphasis_by_frame": True},
        {"remove_mean": True},
    ],
)
def test_frames_without_an_inverse_are_refused(change: dict) -> None:
    config = dataclasses.replace(AudioConfig(), **change)
    with pytest.raises(ConfigError, match=f"{list(change)[-1]}: Griffin-Lim cannot undo"):
        griffin_lim(torch.rand(1, 9, config.bins), config)


def test_bad_numbers_and_bad_magnitudes() -> None:
    config = AudioConfig()
    good = torch.rand(2, 9, config.bins)
    with pytest.raises(ConfigError, match="iterations: -1"):
        griffin_lim(good, config, iterations=-1)
    for momentum in (-0.1, 1.0, float("nan")):
        with pytest.raises(ConfigError, match="momentum"):
            griffin_lim(good, config, momentum=momentum)
    with pytest.raises(ConfigError, match=r"513 bins.*n_fft 2048 has 1025"):
        griffin_lim(good, AudioConfig.preset("keithito"))
    with pytest.raises(ConfigError, match="window_shape: Griffin-Lim cannot undo 'povey'"):
        griffin_lim(torch.rand(2, 9, 257), AudioConfig.preset("kaldi"))
    with pytest.raises(DataError, match="frame_lengths"):
        griffin_lim(good, config, frame_lengths=torch.tensor([9, 10]))
    with pytest.raises(DataError, match="frame_lengths"):
        griffin_lim(good, config, frame_lengths=torch.tensor([9, 0]))
    good[1, 4, 4] = float("nan")
    with pytest.raises(DataError, match="item 1 has NaN"):
        griffin_lim(good, config)
