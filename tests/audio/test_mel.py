"""Mel conventions: librosa is the judge, for every preset, and padding changes nothing."""

import dataclasses
from collections.abc import Callable
from typing import Any

import librosa
import numpy as np
import pytest
import scipy.signal
import torch
from torch import Tensor
from torchaudio.compliance import kaldi

from speechseq.audio.mel import (
    AudioConfig,
    compress,
    expand,
    frames_of,
    log_mel,
    magnitude,
    mel_to_magnitude,
    samples_of,
)
from speechseq.audio.presets import PRESETS
from speechseq.errors import ConfigError, DataError

NAMES = sorted(PRESETS)
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}
DTYPES = list(TOLERANCE)


def librosa_magnitude(y: np.ndarray, config: AudioConfig) -> np.ndarray:
    """(frames, bins) as the systems themselves compute it, in float64."""
    if config.pre_emphasis:
        y = scipy.signal.lfilter([1, -config.pre_emphasis], [1], y)
    if not config.centred:
        y = np.pad(y, (config.n_fft - config.hop) // 2, mode="reflect")
    spectrum = librosa.stft(
        y,
        n_fft=config.n_fft,
        hop_length=config.hop,
        win_length=config.window,
        center=config.centred,
        pad_mode="reflect",
        dtype=np.complex128,
    )
    return np.sqrt(np.abs(spectrum) ** 2 + config.magnitude_epsilon).T


def librosa_mel(y: np.ndarray, config: AudioConfig) -> np.ndarray:
    filters = librosa.filters.mel(
        sr=config.sample_rate,
        n_fft=config.n_fft,
        n_mels=config.mels,
        fmin=config.fmin,
        fmax=config.fmax,
        htk=config.mel_scale == "htk",
        norm="slaney" if config.area_norm else None,
        dtype=np.float64,
    )
    return librosa_magnitude(y, config) ** config.power @ filters.T


LEVELS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "nvidia": lambda x: np.log(np.maximum(x, 1e-5)),
    "hifigan": lambda x: np.log(np.maximum(x, 1e-5)),
    "espnet": lambda x: np.log10(np.maximum(x, 1e-10)),
    "keithito": lambda x: np.clip((20 * np.log10(np.maximum(x, 1e-5)) - 20 + 100) / 100, 0, 1),
    "tacotron2_paper": lambda x: np.log(np.maximum(x, 0.01)),
    "las": lambda x: np.log(np.maximum(x, 1e-8)),
    "specaugment": lambda x: np.log(np.maximum(x, 1e-8)),
}


LIBROSA_KNOWS = sorted(LEVELS)  # all but kaldi, whose judge is torchaudio


def relative(ours: Tensor, reference: np.ndarray) -> float:
    assert ours.shape[1:] == reference.shape
    return float(np.abs(ours[0].double().numpy() - reference).max() / np.abs(reference).max())


# agreement


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", LIBROSA_KNOWS)
def test_agrees_with_librosa(speechlike: Callable[..., np.ndarray], name: str, dtype: Any) -> None:
    config = AudioConfig.preset(name)
    waveform = torch.from_numpy(speechlike(30_011, config.sample_rate))[None].to(dtype)
    y = waveform[0].double().numpy()
    linear, mel = librosa_magnitude(y, config), librosa_mel(y, config)
    assert relative(magnitude(waveform, config), linear) <= TOLERANCE[dtype]
    assert relative(log_mel(waveform, config), LEVELS[name](mel)) <= TOLERANCE[dtype]
    level = compress(magnitude(waveform, config), config)
    assert relative(level, LEVELS[name](linear)) <= 10 * TOLERANCE[dtype]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", LIBROSA_KNOWS)
def test_agrees_with_librosa_on_real_speech(ljspeech: list[Tensor], name: str, dtype: Any) -> None:
    config = AudioConfig.preset(name)
    for clip in ljspeech[:3]:
        waveform = clip[:, :60_000].to(dtype)
        y = waveform[0].double().numpy()
        assert (
            relative(magnitude(waveform, config), librosa_magnitude(y, config)) <= TOLERANCE[dtype]
        )
        expected = LEVELS[name](librosa_mel(y, config))
        assert relative(log_mel(waveform, config), expected) <= TOLERANCE[dtype]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("sound", ["speechlike", "random", "faint", "ljspeech"])
def test_kaldi_agrees_with_torchaudio(
    request: pytest.FixtureRequest, sound: str, dtype: Any
) -> None:
    """The comparison is in double precision, as torchaudio's rounding is 0.006 at worst."""
    config = AudioConfig.preset("kaldi")
    if sound == "speechlike":
        waveform = torch.from_numpy(request.getfixturevalue("speechlike")(30_011, 16_000))[None]
    elif sound == "ljspeech":
        waveform = request.getfixturevalue("ljspeech")[0][:, 20_000:60_000]
    else:
        waveform = torch.randn(1, 20_011) * (0.1 if sound == "random" else 1e-5)
    waveform = waveform.to(dtype)
    ours, stock = log_mel(waveform, config)[0], fbank_of_torchaudio(waveform.float())
    # its filters are always of the default precision
    torch.set_default_dtype(torch.float64)
    try:
        exact = fbank_of_torchaudio(waveform.double())
    finally:
        torch.set_default_dtype(torch.float32)
    assert ours.shape == exact.shape
    assert float((ours - exact).abs().max()) <= (1e-4 if dtype == torch.float32 else 1e-9)
    assert float((ours - stock).abs().mean()) <= 1e-4
    assert float((ours - exact).abs().max()) <= float((stock - exact).abs().max())


def fbank_of_torchaudio(waveform: Tensor, **numbers: Any) -> Tensor:
    return kaldi.fbank(waveform * 32768, num_mel_bins=80, dither=0.0, **numbers)


@pytest.mark.parametrize(
    ("change", "numbers"),
    [
        ({"window_shape": "hamming"}, {"window_type": "hamming"}),
        ({"remove_mean": False}, {"remove_dc_offset": False}),
        (
            {"pre_emphasis": 0.0, "pre_emphasis_by_frame": False},
            {"preemphasis_coefficient": 0.0},
        ),
        ({"power": 1}, {"use_power": False}),
        ({"hop": 80, "fmax": 7000.0}, {"frame_shift": 5.0, "high_freq": 7000.0}),
    ],
)
def test_each_option_of_kaldi_is_torchaudios(change: dict, numbers: dict) -> None:
    config = dataclasses.replace(AudioConfig.preset("kaldi"), **change)
    waveform = 0.1 * torch.randn(1, 20_000)  # frames enough for several pieces
    reference = fbank_of_torchaudio(waveform, **numbers)
    assert float((log_mel(waveform, config)[0] - reference).abs().max()) <= 2e-3  # its rounding


@pytest.mark.parametrize(
    ("name", "frames", "silence"),
    [
        ("nvidia", 101, -11.512925),
        ("hifigan", 100, -11.512925),
        ("espnet", 101, -10.0),
        ("keithito", 103, 0.0),
        ("tacotron2_paper", 86, -4.605170),
        ("las", 161, -18.420681),
        ("specaugment", 161, -18.420681),
        ("kaldi", 158, -15.942385),
    ],
)
def test_frames_and_silence_are_the_conventions(name: str, frames: int, silence: float) -> None:
    config = AudioConfig.preset(name)
    assert frames_of(25_600, config) == frames
    mel = log_mel(torch.zeros(1, 25_600), config)
    assert mel.shape == (1, frames, config.mels)
    assert config.floor_value == pytest.approx(silence, abs=1e-6)
    torch.testing.assert_close(mel, torch.full_like(mel, config.floor_value))


@pytest.mark.parametrize("name", NAMES)
def test_every_length_gives_the_frames_that_frames_of_says(name: str) -> None:
    config = AudioConfig.preset(name)
    for samples in range(config.shortest, config.shortest + config.hop + 2, 17):
        frames = frames_of(samples, config)
        assert magnitude(torch.randn(1, samples), config).shape == (1, frames, config.bins)
        assert frames_of(samples_of(frames, config), config) == frames
        assert frames_of(samples_of(frames, config) - 1, config) == frames - 1
    counts = frames_of(torch.tensor([5000, 9000]), config)
    assert counts.tolist() == [frames_of(5000, config), frames_of(9000, config)]


# laws


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("junk", [1e4, float("nan")])
@pytest.mark.parametrize("gradient", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_padding_changes_nothing(name: str, gradient: bool, junk: float, dtype: Any) -> None:
    """`gradient` takes the path of accelerators, which runs the whole batch at once."""
    config = AudioConfig.preset(name)
    lengths = torch.tensor([9000, 4097, config.shortest, 6500])
    waveform = 0.1 * torch.randn(4, 9000, dtype=dtype)
    for row, length in enumerate(lengths):
        waveform[row, length:] = junk
    waveform.requires_grad_(gradient)
    mel, linear = log_mel(waveform, config, lengths), magnitude(waveform, config, lengths)
    for row, length in enumerate(lengths.tolist()):
        own, frames = waveform[row : row + 1, :length].detach(), frames_of(length, config)
        tolerance = {"atol": TOLERANCE[dtype], "rtol": TOLERANCE[dtype]}
        torch.testing.assert_close(mel[row, :frames], log_mel(own, config)[0], **tolerance)
        torch.testing.assert_close(linear[row, :frames], magnitude(own, config)[0], **tolerance)
        assert (mel[row, frames:] == torch.tensor(config.floor_value, dtype=dtype)).all()
        assert (linear[row, frames:] == 0).all()
    if gradient:
        (mel.sum() + linear.sum()).backward()
        assert waveform.grad is not None
        assert waveform.grad.isfinite().all()
        assert all((waveform.grad[row, length:] == 0).all() for row, length in enumerate(lengths))


def test_gradients_are_those_of_finite_differences() -> None:
    numbers = {"n_fft": 16, "hop": 4, "window": 12, "mels": 3, "pre_emphasis": 0.9}
    by_frame = {"snip_edges": True, "remove_mean": True, "pre_emphasis_by_frame": True, "gain": 9.0}
    for change in ({"centred": True}, {"centred": False}, {"centred": False, **by_frame}):
        config = AudioConfig(sample_rate=100, fmax=50.0, **numbers, **change)
        x = torch.randn(2, 30, dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(lambda x, c=config: log_mel(x, c), x)


@pytest.mark.parametrize("name", NAMES)
def test_the_gradient_of_silence_is_finite(name: str) -> None:
    waveform = torch.zeros(1, 4096, requires_grad=True)
    config = AudioConfig.preset(name)
    (magnitude(waveform, config).sum() + log_mel(waveform, config).sum()).backward()
    assert waveform.grad is not None
    assert waveform.grad.isfinite().all()


def test_a_batch_is_its_rows(speechlike: Callable[..., np.ndarray]) -> None:
    config = AudioConfig()
    waveform = torch.stack([torch.from_numpy(speechlike(70_000, seed=s)).float() for s in range(3)])
    mel = log_mel(waveform, config)
    for row in range(3):
        assert torch.equal(mel[row : row + 1], log_mel(waveform[row : row + 1], config))


def test_autocast_and_half_precision_do_not_coarsen_levels() -> None:
    config = AudioConfig()
    waveform = 0.1 * torch.randn(1, 8000)
    exact = log_mel(waveform, config)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(log_mel(waveform, config), exact)
        back = mel_to_magnitude(exact, config)
    assert torch.equal(back, mel_to_magnitude(exact, config))
    half = waveform.half()
    assert torch.equal(log_mel(half, config), log_mel(half.float(), config))


# back again


@pytest.mark.parametrize("name", NAMES)
def test_expand_inverts_compress(name: str) -> None:
    config = AudioConfig.preset(name)
    x = torch.logspace(-1.9, 0.9, 50, dtype=torch.float64)
    torch.testing.assert_close(expand(compress(x, config), config), x, rtol=1e-10, atol=0)
    floor = expand(torch.tensor(config.floor_value, dtype=torch.float64), config)
    assert float(compress(floor, config)) == pytest.approx(config.floor_value)


@pytest.mark.parametrize("name", LIBROSA_KNOWS)
def test_mel_to_magnitude_keeps_the_mels_and_is_frame_by_frame(
    speechlike: Callable[..., np.ndarray], name: str
) -> None:
    config = AudioConfig.preset(name)
    waveform = torch.from_numpy(speechlike(30_000, config.sample_rate)).float()[None]
    mel = log_mel(waveform, config)
    back = mel_to_magnitude(mel, config)
    assert back.shape == (1, mel.shape[1], config.bins)
    assert (back >= 0).all()
    filters = librosa.filters.mel(
        sr=config.sample_rate, n_fft=config.n_fft, n_mels=config.mels, fmin=config.fmin,
        fmax=config.fmax,
        htk=config.mel_scale == "htk", norm="slaney" if config.area_norm else None,
    )  # fmt: skip
    wanted = expand(mel, config)
    residual = back**config.power @ torch.from_numpy(filters.T) - wanted
    # the relative error of a square is twice that of its root
    assert float(residual.norm() / wanted.norm()) < 0.01 * config.power
    spoilt = mel.clone()
    spoilt[:, 10:] = float("nan")
    assert torch.equal(mel_to_magnitude(spoilt, config)[:, :10], back[:, :10])


def test_mel_to_magnitude_beats_pseudo_inverse_and_least_squares(ljspeech: list[Tensor]) -> None:
    """The claim of its docstring: nearer to the true magnitudes than both, on real speech."""
    config = AudioConfig()
    errors = {"ours": 0.0, "pseudo-inverse": 0.0, "least squares": 0.0}
    filters = librosa.filters.mel(sr=22050, n_fft=1024, n_mels=80, fmax=8000)
    for clip in ljspeech[:3]:
        truth = magnitude(clip[:, 20_000:42_000], config)
        mel = log_mel(clip[:, 20_000:42_000], config)
        found = {
            "ours": mel_to_magnitude(mel, config)[0].numpy(),
            "pseudo-inverse": np.maximum(mel.exp()[0].numpy() @ np.linalg.pinv(filters).T, 0),
            "least squares": librosa.util.nnls(filters, mel.exp()[0].numpy().T).T,
        }
        for name, value in found.items():
            difference = np.linalg.norm(value - truth[0].numpy()) / float(truth.norm())
            errors[name] += 20 * np.log10(difference) / 3
    assert errors["ours"] < errors["pseudo-inverse"] - 0.5
    assert errors["ours"] < errors["least squares"] - 0.5


# what is refused


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"hop": 2000}, ["hop", "2000", "1024"]),
        ({"window": 2048}, ["window", "2048", "1024"]),
        ({"fmax": 12000.0}, ["fmax", "12000", "22050"]),
        ({"fmin": 9000.0}, ["fmin", "9000", "8000"]),
        ({"fmin": -1.0}, ["fmin", "-1"]),
        ({"mels": 600}, ["mels", "600", "513"]),
        ({"n_fft": 1025}, ["n_fft", "1025"]),
        ({"centred": False, "hop": 255}, ["n_fft", "255"]),
        ({"pre_emphasis": 1.0}, ["pre_emphasis", "1.0"]),
        ({"lowest_level": 0.0}, ["lowest_level", "0.0"]),
        ({"snip_edges": True}, ["snip_edges", "centred"]),
        ({"pre_emphasis_by_frame": True}, ["pre_emphasis_by_frame", "0"]),
        ({"gain": 0.0}, ["gain", "0.0"]),
        ({"power": 3}, ["power", "3"]),
        ({"deltas": 3}, ["deltas", "3"]),
        ({"magnitude_epsilon": -1e-9}, ["magnitude_epsilon", "-1e-09"]),
        *[
            ({key: 0}, [key, "0 is out of range"])
            for key in ("sample_rate", "n_fft", "hop", "window", "mels")
        ],
        *[({key: bad}, [key]) for key in ("fmax", "floor") for bad in (0.0, -1.0, float("nan"))],
    ],
)
def test_numbers_that_contradict_each_other(change: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        dataclasses.replace(AudioConfig(), **change)
    for word in words:
        assert word in caught.value.problem
    assert caught.value.cure


def test_an_unknown_preset_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'nvidia'"):
        AudioConfig.preset("nvida")


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_survives_plain_data(name: str) -> None:
    config = AudioConfig.preset(name)
    assert AudioConfig.from_dict(config.to_dict()) == config
    assert hash(AudioConfig.from_dict(config.to_dict())) == hash(config)


def test_settings_of_an_older_checkpoint_mean_what_they_meant() -> None:
    older = {
        "sample_rate": 22050, "n_fft": 1024, "hop": 256, "window": 1024, "mels": 80, "fmin": 0.0,
        "fmax": 8000.0, "mel_scale": "slaney", "area_norm": True, "centred": True,
        "magnitude_epsilon": 0.0, "pre_emphasis": 0.0, "log": "ln", "floor": 1e-5,
        "reference_level": 0.0, "lowest_level": None,
    }  # fmt: skip
    assert AudioConfig.from_dict(older) == AudioConfig.preset("nvidia")


@pytest.mark.parametrize(("name", "features"), [("nvidia", 80), ("las", 40), ("specaugment", 240)])
def test_features_are_mels_and_deltas(name: str, features: int) -> None:
    assert AudioConfig.preset(name).features == features


@pytest.mark.parametrize("name", ["las", "specaugment", "kaldi"])
def test_every_band_of_a_recogniser_hears_something(name: str) -> None:
    """Narrow bands from few bins: an empty filter would be a dead feature."""
    mel = log_mel(0.1 * torch.randn(1, 16_000), AudioConfig.preset(name))
    assert float(mel.amin()) > AudioConfig.preset(name).floor_value + 3


def test_the_floor_of_las_is_what_16_bits_leave() -> None:
    """Digital silence and a recording's quietest are neighbours: less than 4 apart, not 20."""
    config = AudioConfig.preset("las")
    rounding = (torch.rand(1, 32_000) - 0.5) / 32768
    typical = float(log_mel(rounding, config).mean())
    assert 0 < typical - config.floor_value < 4


@pytest.mark.parametrize("name", NAMES)
def test_a_waveform_shorter_than_a_window(name: str) -> None:
    config = AudioConfig.preset(name)
    short = torch.zeros(1, config.shortest - 1)
    for function in (log_mel, magnitude):
        function(torch.zeros(1, config.shortest), config)
        with pytest.raises(DataError) as caught:
            function(short, config)
        for number in (config.shortest - 1, config.shortest, config.window):
            assert str(number) in caught.value.problem
        assert str(config.shortest) in caught.value.cure


def test_lengths_that_the_batch_does_not_have() -> None:
    with pytest.raises(DataError, match=r"lengths\[1\] is 4001, .* 4000"):
        log_mel(torch.zeros(2, 4000), AudioConfig(), torch.tensor([4000, 4001]))
    with pytest.raises(DataError, match="waveform 1 has 0 samples"):
        log_mel(torch.zeros(2, 4000), AudioConfig(), torch.tensor([4000, 0]))
