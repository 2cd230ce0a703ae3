"""F0, voicing and energy: true on tones, equal to pYIN on speech, blind to padding."""

import math
from collections.abc import Callable
from pathlib import Path

import librosa
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from speechseq.audio import wav
from speechseq.audio.prosody import prosody
from speechseq.audio.prosody_summary import summary
from speechseq.errors import ConfigError, DataError

RATE = 22050


def _tone(hertz: float, rate: int, kind: str, seconds: float = 0.5) -> Tensor:
    """A sine, twenty harmonics, or harmonics with a fundamental 30 dB too weak; (1, samples)."""
    time = torch.arange(round(seconds * rate), dtype=torch.float64) / rate
    highest = 1 if kind == "sine" else min(20, int(0.45 * rate / hertz))
    sound = sum(
        (0.03 if kind == "weak" and k == 1 else 1 / k)
        * torch.sin(2 * math.pi * k * hertz * time + k * k)
        for k in range(1, highest + 1)
    )
    assert isinstance(sound, Tensor)
    return (0.3 * sound / sound.abs().max())[None].float()


@pytest.mark.parametrize("kind", ["sine", "harmonic", "weak"])
@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 24000, 44100, 48000])
def test_f0_of_tones_is_within_a_per_cent(rate: int, kind: str) -> None:
    for hertz in (60, 61.7, 75, 98.3, 120, 155.5, 203, 261, 330, 401.7, 450, 500):
        measured = prosody(_tone(hertz, rate, kind), rate)
        assert measured.voiced.all()
        assert measured.f0.shape[1] == 1 + round(rate / 2) // 256
        worst = (measured.f0 / hertz - 1).abs().max()
        assert worst < 0.01, f"{hertz} Hz: {worst:.3f}"


def test_f0_follows_a_glide_in_time() -> None:
    time = torch.arange(2 * RATE, dtype=torch.float64) / RATE
    sound = torch.sin(2 * math.pi * (100 * time + 25 * time.square()))[None]
    measured = prosody(sound, RATE)
    truth = 100 + 50 * measured.frame_seconds * torch.arange(measured.f0.shape[1])
    inner = (measured.f0[0] / truth - 1)[4:-4].abs()
    assert inner.max() < 0.01  # a frame that was not centred would be 1.6 % off


def test_energy_is_the_level_of_a_sine_at_any_amplitude() -> None:
    for amplitude in (1.0, 0.1, 0.004):
        measured = prosody(amplitude * _tone(200, RATE, "sine") / 0.3, RATE)
        level = 20 * math.log10(amplitude / math.sqrt(2))
        assert (measured.energy - level).abs().max() < 0.2
    loud, soft = (prosody(g * _tone(200, RATE, "harmonic"), RATE) for g in (1.0, 0.01))
    torch.testing.assert_close(loud.f0, soft.f0)


def _padded(waveforms: list[Tensor], value: float) -> tuple[Tensor, Tensor]:
    lengths = torch.tensor([len(waveform) for waveform in waveforms])
    batch = torch.full((len(waveforms), int(lengths.max()) + 3000), value, dtype=torch.float32)
    for row, waveform in zip(batch, waveforms, strict=True):
        row[: len(waveform)] = waveform
    return batch, lengths


@pytest.mark.parametrize("value", [0.0, 1e4, math.nan])
def test_an_item_alone_equals_its_row_whatever_the_padding(
    speechlike: Callable[..., np.ndarray], value: float
) -> None:
    lengths = (RATE, 9000, 2000, 12_345, RATE // 2)
    waveforms = [torch.from_numpy(speechlike(n, RATE, i)).float() for i, n in enumerate(lengths)]
    together = prosody(*_padded(waveforms, value)[:1], RATE, _padded(waveforms, value)[1])
    assert together.frame_lengths.tolist() == [1 + n // 256 for n in lengths]
    for row, waveform in enumerate(waveforms):
        alone = prosody(waveform[None], RATE)
        frames = alone.f0.shape[1]
        for ours, own in zip(together[:3], alone[:3], strict=True):
            torch.testing.assert_close(
                ours[row, :frames], own[0], rtol=1e-5, atol=1e-5, equal_nan=True
            )
        assert together.f0[row, frames:].isnan().all()
        assert together.energy[row, frames:].isnan().all()
        assert not together.voiced[row, frames:].any()
        for ours, own in zip(summary(together), summary(alone), strict=True):
            torch.testing.assert_close(ours[row], own[0], rtol=1e-5, atol=1e-5, equal_nan=True)


def test_memory_is_bounded_by_pieces_that_change_nothing(
    speechlike: Callable[..., np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    waveform = torch.from_numpy(speechlike(2 * RATE))[None]
    whole = prosody(waveform, RATE)
    monkeypatch.setattr("speechseq.audio.prosody._SAMPLES_AT_A_TIME", 5000)
    for ours, piece in zip(whole[:3], prosody(waveform, RATE)[:3], strict=True):
        torch.testing.assert_close(ours, piece, equal_nan=True)


def test_silence_and_noise_have_no_f0() -> None:
    for sound in (torch.zeros(1, RATE), 0.1 * torch.randn(1, 4 * RATE), torch.full((1, RATE), 0.3)):
        measured = prosody(sound, RATE)
        assert not measured.voiced.any()
        assert measured.f0.isnan().all()
        assert measured.energy.isfinite().all()
        assert summary(measured).f0.isnan().all()  # never 0 Hz
        assert summary(measured).spread.isnan().all()
    silent = summary(prosody(torch.zeros(1, RATE), RATE))
    assert silent.energy.item() == -100
    assert silent.rate.isnan().all()


def test_silence_beside_speech_is_silent(speechlike: Callable[..., np.ndarray]) -> None:
    """Subtracting a frame's mean turned the silence at its begin into a voiced level of -60 dB."""
    speech = torch.from_numpy(speechlike(RATE)) + 0.01
    sound = F.pad(speech, (4000, 4000))[None]
    measured = prosody(sound, RATE)
    before, after = 3000 // 256, (4000 + RATE + 1000) // 256
    for quiet in (slice(0, before), slice(after, None)):
        assert not measured.voiced[0, quiet].any()
        assert (measured.energy[0, quiet] == -100).all()
    assert measured.voiced[0, before:after].float().mean() > 0.3


def test_no_voiced_frame_is_alone() -> None:
    """Each voiced frame has a voiced neighbour of nearly its F0, even at a threshold for noise."""
    measured = prosody(torch.randn(3, 4 * RATE), RATE, threshold=0.95)
    semitones = 12 * measured.f0.log2()
    near = F.pad(semitones.diff(dim=1).abs() < 12 * 0.2 / math.log(2), (1, 1))
    assert measured.voiced.sum() > 50
    assert (near[:, 1:] | near[:, :-1])[measured.voiced].all()


def test_what_cannot_be_measured_is_refused() -> None:
    good = torch.zeros(2, RATE)
    with pytest.raises(DataError, match="waveform 1 has 500 samples"):
        prosody(good, RATE, torch.tensor([RATE, 500]))
    with pytest.raises(DataError, match="waveform 0 has 0 samples"):
        prosody(torch.zeros(1, 0), RATE)
    with pytest.raises(DataError, match="are padded to"):
        prosody(good, RATE, torch.tensor([RATE, RATE + 1]))
    bad = good.clone()
    bad[1, 77] = math.nan
    with pytest.raises(DataError, match="waveform 1 holds NaN"):
        prosody(bad, RATE)
    with pytest.raises(ConfigError, match="sample_rate"):
        prosody(good, 100)
    with pytest.raises(ConfigError, match="makes no sense"):
        prosody(good, RATE, lowest=300, highest=200)
    with pytest.raises(DataError, match="units"):
        summary(prosody(good, RATE), torch.tensor([3, 0]))


def test_the_summary_says_what_was_made() -> None:
    """Half a second each of 100 Hz and 200 Hz between silences: 6 semitones around the mean."""
    quiet = torch.zeros(1, RATE // 2)
    low, high = (_tone(hertz, RATE, "harmonic") for hertz in (100, 200))
    sound = torch.cat([quiet, low, low, high, quiet], 1)
    summarised = summary(prosody(sound, RATE), torch.tensor([3]))
    assert abs(summarised.f0.item()) < 0.1
    assert abs(summarised.spread.item() - 12 * math.sqrt(2) / 3) < 0.2
    assert abs(summarised.rate.item() - 1) < 0.1  # 3 units in 1.5 s
    double = summary(prosody(2 * sound, RATE), torch.tensor([3]))
    assert abs(double.energy.item() - summarised.energy.item() - 6.02) < 0.1


def test_f0_of_espeak_is_pyins(tmp_path: Path) -> None:
    """Twelve utterances with random voices and factors."""
    pytest.importorskip("espeakng_loader", reason="needs the extra `espeak`")
    from speechseq.corpus import known_prosody

    both = agreed = 0
    for cut in known_prosody.make(tmp_path, utterances=12, longest=4):
        waveform, rate = wav.load(cut.recording.sources[0].source)
        settings = {"frame_length": 2048, "hop_length": 256, "resolution": 0.2}
        theirs = librosa.pyin(waveform[0].numpy(), fmin=50, fmax=600, sr=rate, **settings)[0]
        ratio = torch.from_numpy(theirs) / prosody(waveform, rate).f0[0]
        both += int(ratio.isfinite().sum())
        agreed += int(((ratio - 1).abs() <= 0.2).sum())
    assert both > 300
    assert agreed >= 0.995 * both
