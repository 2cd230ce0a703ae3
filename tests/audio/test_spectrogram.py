"""Mirrored ends, overlap-add and filters: adjoint where they must be, equal to the reference."""

import librosa
import numpy as np
import pytest
import torch

from speechseq.audio.mel_filters import bands_of, hz_to_mel, mel_filters, mel_to_hz, unmix
from speechseq.audio.spectrogram import fold_back, frame, hann, overlap_add, pieces, reflect

CPU = torch.device("cpu")


@pytest.mark.parametrize(("samples", "padding"), [(1, 3), (2, 5), (5, 4), (5, 5), (9, 4), (7, 30)])
def test_reflect_is_numpys(samples: int, padding: int) -> None:
    x = torch.randn(2, samples, dtype=torch.float64)
    expected = np.pad(x.numpy(), ((0, 0), (padding, padding)), mode="reflect")
    assert np.array_equal(reflect(x, padding).numpy(), expected)


def test_reflect_by_length_is_the_item_alone_and_never_reads_padding() -> None:
    x, lengths = torch.randn(4, 20), torch.tensor([20, 7, 1, 13])
    for row, length in enumerate(lengths):
        x[row, length:] = float("nan")
    padded = reflect(x, 8, lengths)
    assert padded.isfinite().all()
    for row, length in enumerate(lengths.tolist()):
        alone = reflect(x[row : row + 1, :length], 8)[0]
        assert torch.equal(padded[row, : length + 16], alone)


@pytest.mark.parametrize("lengths", [None, [20, 7, 1, 13]])
@pytest.mark.parametrize("padding", [3, 8, 25])
def test_fold_back_is_the_adjoint_of_reflect(padding: int, lengths: list[int] | None) -> None:
    own = None if lengths is None else torch.tensor(lengths)
    x = torch.randn(4, 20, dtype=torch.float64)
    y = torch.randn(4, 20 + 2 * padding, dtype=torch.float64)
    for row, length in enumerate(lengths or []):
        x[row, length:] = 0
        y[row, length + 2 * padding :] = 0
    there = (reflect(x, padding, own) * y).sum(1)
    back = (fold_back(y.clone(), 20, padding, own) * x).sum(1)
    torch.testing.assert_close(there, back)


@pytest.mark.parametrize(("n_fft", "hop", "window"), [(16, 4, 16), (16, 5, 12), (16, 12, 12)])
def test_overlap_add_is_the_adjoint_of_framing(n_fft: int, hop: int, window: int) -> None:
    frames, weights = 6, torch.rand(window, dtype=torch.float64)
    x = torch.randn(2, (frames - 1) * hop + n_fft, dtype=torch.float64)
    y = torch.randn(2, frames, window, dtype=torch.float64)
    sums = torch.zeros(2, (frames + n_fft) * hop, dtype=torch.float64)
    overlap_add(y, weights, hop, sums[:, (n_fft - window) // 2 :])
    there = (frame(x, n_fft, hop, window) * weights * y).sum()
    torch.testing.assert_close(there, (sums[:, : x.shape[1]] * x).sum())


@pytest.mark.parametrize("scale", ["slaney", "htk"])
@pytest.mark.parametrize("area_norm", [True, False])
@pytest.mark.parametrize(
    ("rate", "n_fft", "mels", "fmin", "fmax"),
    [
        (22050, 1024, 80, 0.0, 8000.0),
        (16000, 512, 40, 80.0, 7600.0),
        (24000, 2048, 128, 0.0, 12000.0),
    ],
)
def test_mel_filters_are_librosas(
    rate: int, n_fft: int, mels: int, fmin: float, fmax: float, scale: str, area_norm: bool
) -> None:
    ours = mel_filters(rate, n_fft, mels, fmin, fmax, scale, area_norm, CPU, torch.float64)
    norm = "slaney" if area_norm else None
    reference = librosa.filters.mel(
        sr=rate, n_fft=n_fft, n_mels=mels, fmin=fmin, fmax=fmax, htk=scale == "htk", norm=norm,
        dtype=np.float64,
    )  # fmt: skip
    error = np.abs(ours.numpy().T - reference).max()
    assert error <= 1e-12 * reference.max()


@pytest.mark.parametrize("scale", ["slaney", "htk"])
def test_mel_to_hz_inverts_hz_to_mel(scale: str) -> None:
    hz = [0.0, 10.0, 999.0, 1000.0, 1001.0, 8000.0]
    mel = torch.tensor([hz_to_mel(value, scale) for value in hz], dtype=torch.float64)
    torch.testing.assert_close(mel_to_hz(mel, scale), torch.tensor(hz, dtype=torch.float64))


def test_a_cached_window_serves_training_after_inference() -> None:
    """Tensors made under inference_mode cannot be saved for backward; a cache must not keep one."""
    hann.cache_clear()
    mel_filters.cache_clear()
    with torch.inference_mode():
        window = hann(64, CPU, torch.float32)
        filters = mel_filters(16000, 512, 40, 0.0, 8000.0, "htk", False, CPU, torch.float32)
    assert not window.is_inference()
    assert not filters.is_inference()
    assert hann(64, CPU, torch.float32) is window


def test_unmix_finds_magnitudes_with_these_bands_and_survives_empty_filters() -> None:
    filters = mel_filters(22050, 1024, 80, 0.0, 8000.0, "slaney", True, CPU, torch.float64)
    truth = torch.rand(1, 5, 513, dtype=torch.float64)
    found = unmix(truth @ filters, filters, 200)
    assert (found >= 0).all()
    torch.testing.assert_close(found @ filters, truth @ filters, rtol=1e-3, atol=1e-6)
    empty = mel_filters(16000, 256, 80, 0.0, 8000.0, "htk", False, CPU, torch.float32)
    assert (empty.sum(0) == 0).any()
    assert unmix(torch.full((1, 5, 80), 1e6), empty, 10).isfinite().all()


@pytest.mark.parametrize(("mels", "fmax"), [(80, 8000.0), (80, 300.0), (13, 4000.0)])
def test_bands_hear_what_the_filters_hear(mels: int, fmax: float) -> None:
    """Also where a whole band is between two bins and hears nothing."""
    filters = mel_filters(16000, 256, mels, 0.0, fmax, "htk", False, CPU, torch.float64)
    assert fmax > 300 or (filters[:, :20] == 0).all(0).any()
    linear = torch.rand(7, 129, dtype=torch.float64)
    heard = torch.cat([linear[:, band.bins] @ band.filters for band in bands_of(filters)], 1)
    torch.testing.assert_close(heard, linear @ filters)


@pytest.mark.parametrize("count", [0, 1, 127, 128, 129, 517, 5000])
def test_pieces_cover_the_frames_in_turn_and_evenly(count: int) -> None:
    cut = pieces(count, CPU, torch.float64, 1024)
    assert [frame for piece in cut for frame in range(count)[piece]] == list(range(count))
    sizes = [piece.stop - piece.start for piece in cut]
    assert max(sizes, default=0) <= 128
    assert not sizes or max(sizes) - sizes[-1] < len(sizes)
    assert len(pieces(count, torch.device("meta"), torch.float32, 1024)) == min(count, 1)
