"""Frames, windows, magnitudes and their adjoints, shared by all conventions."""

import functools
import math
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from speechseq.shapes import Lengths, Waveform

WindowShape = Literal["hann", "hamming", "povey"]
Padded = Float[Tensor, "batch padded"]  # a waveform and its mirrored ends
_CACHE_BYTES = 1 << 20


@functools.lru_cache(maxsize=32)
def hann(window: int, device: torch.device, dtype: torch.dtype) -> Float[Tensor, " window"]:
    """Return the periodic Hann window, computed in float64 and converted to `dtype`.

    The tensor is cached; do not modify it.

    Args:
        window: number of samples.
        device, dtype: those of the result.

    Returns:
        The weights (window).
    """
    with torch.inference_mode(False):  # a cached inference tensor would break later training
        return torch.hann_window(window, dtype=torch.float64).to(device, dtype)


@functools.lru_cache(maxsize=32)
def window_weights(
    shape: WindowShape, window: int, device: torch.device, dtype: torch.dtype
) -> Float[Tensor, " window"]:
    """Return the weights of a window.

    The Hann window is periodic; Hamming and Povey (Hann to the power of 0.85) are symmetric. The
    tensor is cached; do not modify it.

    Args:
        shape: "hann", "hamming" or "povey".
        window: number of samples.
        device, dtype: those of the result.

    Returns:
        The weights (window).
    """
    if shape == "hann":
        return hann(window, device, dtype)
    with torch.inference_mode(False):
        if shape == "hamming":
            weights = torch.hamming_window(window, periodic=False, dtype=torch.float64)
        else:
            weights = torch.hann_window(window, periodic=False, dtype=torch.float64) ** 0.85
        return weights.to(device, dtype)


def reflect(
    waveform: Waveform, padding: int, lengths: Lengths | None = None, out: Padded | None = None
) -> Padded:
    """Extend waveforms by their mirror image at both ends, like torch's padding mode "reflect".

    Unlike torch's, items shorter than `padding` are mirrored repeatedly.

    Args:
        waveform: (batch, samples).
        padding: number of samples added at each end.
        lengths: (batch), number of valid samples of each row, which is then mirrored at its own
            end; None if all are valid.
        out: tensor for the result; None allocates one.

    Returns:
        Extended waveforms (batch, samples + 2·padding); those of row i after the first lengths[i] +
        2·padding are finite and meaningless.
    """
    if lengths is None and waveform.shape[1] > padding:
        before, after = waveform[:, 1 : padding + 1], waveform[:, -padding - 1 : -1]
        return torch.cat([before.flip(1), waveform, after.flip(1)], 1, out=out)
    return torch.gather(waveform, 1, _mirror_index(waveform, padding, lengths), out=out)


def fold_back(
    padded: Padded, samples: int, padding: int, lengths: Lengths | None = None
) -> Waveform:
    """Add each mirrored sample to the sample that it was copied from: the adjoint of `reflect`.

    It is the backward pass of `reflect`, and it undoes the mirroring in an overlap-add.

    Args:
        padded: (batch, samples + 2·padding), overwritten; the samples of row i after the first
            lengths[i] + 2·padding must be 0.
        samples: number of samples before `reflect`.
        padding: number of samples that `reflect` added at each end.
        lengths: (batch), number of valid samples of each row; None if all are valid.

    Returns:
        Waveforms (batch, samples).
    """
    waveform = padded[:, padding : padding + samples]
    if lengths is None and samples > padding:
        waveform[:, 1 : padding + 1] += padded[:, :padding].flip(1)
        waveform[:, samples - 1 - padding : samples - 1] += padded[:, padding + samples :].flip(1)
        return waveform
    index = _mirror_index(waveform, padding, lengths)
    return torch.zeros_like(waveform).scatter_add_(1, index, padded)


def _mirror_index(
    waveform: Waveform, padding: int, lengths: Lengths | None
) -> Int[Tensor, "batch padded"]:
    """Index of the source sample for each position of the padded rows."""
    batch, samples = waveform.shape
    position = torch.arange(-padding, samples + padding, device=waveform.device).abs()
    own = torch.full((batch,), samples) if lengths is None else lengths
    last = (own.to(waveform.device) - 1)[:, None]
    there = position % (2 * last).clamp(min=1)
    return torch.minimum(there, 2 * last - there).clamp_(min=0)


def frame(padded: Padded, span: int, hop: int, window: int) -> Float[Tensor, "batch frames window"]:
    """Cut signals into overlapping frames.

    Args:
        padded: (batch, padded), waveforms extended at both ends (`reflect`).
        span: number of samples of a frame, at least `window`.
        hop: distance from one frame to the next, in samples.
        window: number of samples in the middle of each frame that are returned.

    Returns:
        A view (batch, frames, window).
    """
    start = (span - window) // 2
    return padded.unfold(1, span, hop)[..., start : start + window]


def magnitudes(
    frames: Float[Tensor, "batch frames window"],
    n_fft: int,
    epsilon: float,
    bins: int,
    dtype: torch.dtype,
) -> Float[Tensor, "batch frames bins"]:
    """Compute magnitudes sqrt(re² + im² + epsilon) of the Fourier transform of windowed frames.

    Args:
        frames: (batch, frames, window), multiplied by the window, in the dtype of the transform.
        n_fft: length of the transform in samples.
        epsilon: added to the power.
        bins: number of lowest bins to return.
        dtype: dtype of the result.

    Returns:
        Magnitudes (batch, frames, bins).
    """
    spectrum = torch.fft.rfft(frames, n=n_fft)[..., :bins]
    if frames.requires_grad and not epsilon:
        return spectrum.abs().to(dtype)  # abs has the gradient 0 at 0, a square root NaN
    pairs = torch.view_as_real(spectrum)
    square = pairs.square() if frames.requires_grad else pairs.square_()
    power = square[..., 0] + square[..., 1]
    return (power + epsilon if epsilon else power).to(dtype).sqrt_()


def pre_emphasise(waveform: Waveform, factor: float) -> Waveform:
    """Apply pre-emphasis, a high-pass filter: y[t] = x[t] - factor·x[t-1]; x[0] is kept.

    Args:
        waveform: x (batch, samples).
        factor: factor of the previous sample, such as 0.97.

    Returns:
        y (batch, samples).
    """
    return torch.cat([waveform[:, :1], waveform[:, 1:] - factor * waveform[:, :-1]], 1)


def working_dtype(samples: Tensor) -> torch.dtype:
    """Return the dtype in which to compute an STFT.

    On a CPU it is float64, so that quiet bins next to loud ones are exact; on other devices it is
    the dtype of the samples.

    Args:
        samples: a waveform of any shape.
    """
    return torch.float64 if samples.device.type == "cpu" else samples.dtype


def pieces(count: int, device: torch.device, dtype: torch.dtype, n_fft: int) -> list[slice]:
    """Split the frames of an STFT into slices to process one by one.

    On a CPU each slice fits into the cache; other devices get one slice.

    Args:
        count: number of frames.
        device: device of the waveform.
        dtype: dtype of the transform.
        n_fft: length of the transform in samples.

    Returns:
        Slices of the range of frames, in order.
    """
    most = _CACHE_BYTES // (n_fft * dtype.itemsize) if device.type == "cpu" else count
    size = math.ceil(count / math.ceil(count / max(1, most))) if count else 1
    return [slice(begin, min(begin + size, count)) for begin in range(0, count, size)]


def overlap_add(
    frames: Float[Tensor, "batch frames window"],
    weights: Float[Tensor, " window"],
    hop: int,
    into: Float[Tensor, "batch room"],
) -> None:
    """Multiply frames by a window and add them to `into`, each `hop` samples after the previous.

    Args:
        frames: (batch, frames, window).
        weights: (window), the window.
        hop: distance from one frame to the next, in samples.
        into: (batch, samples), modified in place from its first sample on; it has at least (frames
            + ceil(window / hop))·hop samples.
    """
    count, window = frames.shape[1:]
    for block in range(math.ceil(window / hop)):
        first, end = block * hop, min(window, (block + 1) * hop)
        rows = into[:, first : first + count * hop].unflatten(1, (count, hop))
        rows[..., : end - first].addcmul_(frames[..., first:end], weights[first:end])
