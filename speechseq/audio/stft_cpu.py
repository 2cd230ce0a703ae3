"""STFT magnitudes of one signal on a CPU: by a C++ kernel if available, otherwise by torch."""

import functools
import math

import torch
from jaxtyping import Float
from torch import Tensor

from speechseq.audio.framing import Framing
from speechseq.audio.spectrogram import (
    Padded,
    frame,
    magnitudes,
    pieces,
    window_weights,
    working_dtype,
)
from speechseq.eager import has_memory
from speechseq.ops.cpp.library import call, library

LANES = 16  # maximum number of frames that the kernel processes at a time


def windowed(padded: Padded, config: Framing) -> Float[Tensor, "batch frames window"]:
    """Cut signals into frames and multiply them by the window.

    Before the window, the frame's mean is removed and pre-emphasis applied, if `config` says so.

    Args:
        padded: (batch, padded), waveforms extended by their mirror image at both ends.
        config: settings of the STFT.

    Returns:
        Frames (batch, frames, window).
    """
    dtype = working_dtype(padded)
    frames = frame(padded, config.span, config.hop, config.window)
    if config.remove_mean:
        frames = frames.to(dtype)
        frames = frames - frames.mean(2, keepdim=True)
    if config.pre_emphasis_by_frame:
        before = torch.cat([frames[..., :1], frames[..., :-1]], 2)
        frames = frames.to(dtype) - config.pre_emphasis * before
    return frames * window_weights(config.window_shape, config.window, padded.device, dtype)


def row_magnitudes(
    padded: Float[Tensor, "1 padded"], config: Framing, frames: int, bins: int, dtype: torch.dtype
) -> Float[Tensor, "1 frames bins"]:
    """Compute the STFT magnitudes of one padded signal on a CPU, by a C++ kernel if possible.

    The transform runs in double precision, so that quiet bins next to loud ones are exact to
    `dtype`.

    Args:
        padded: (1, padded), waveform with its mirrored ends.
        config: settings of the STFT.
        frames: number of frames.
        bins: number of lowest bins to compute.
        dtype: dtype of the result.

    Returns:
        Magnitudes (1, frames, bins).
    """
    by_frame = config.remove_mean or config.pre_emphasis_by_frame
    if not by_frame and has_memory(padded) and supported(config.n_fft):
        return _by_kernel(padded, config, frames, bins).to(dtype)
    linear, work = padded.new_empty(1, frames, bins, dtype=dtype), working_dtype(padded)
    for piece in pieces(frames, padded.device, work, config.n_fft):
        begin, end = piece.start * config.hop, (piece.stop - 1) * config.hop + config.span
        part = windowed(padded[:, begin:end].to(work), config)
        linear[:, piece] = magnitudes(part, config.n_fft, config.magnitude_epsilon, bins, dtype)
    return linear


def supported(n_fft: int) -> bool:
    """Return True if the C++ kernels of the STFT are available and take a transform of this length.

    Args:
        n_fft: length of the transform in samples, which must be a power of two.
    """
    return n_fft >= 8 and n_fft & (n_fft - 1) == 0 and library("stft") is not None


@functools.lru_cache(maxsize=32)
def turns(n_fft: int, dtype: torch.dtype) -> Float[Tensor, "n_fft 2"]:
    """Return the twiddle factors of the kernels' FFT: cos and sin of 2πk/n_fft for each k.

    The tensor is cached; do not modify it.

    Args:
        n_fft: length of the transform in samples.
        dtype: dtype of the result.

    Returns:
        (n_fft, 2), cosine and sine.
    """
    angle = torch.arange(n_fft, dtype=torch.float64) * (2 * math.pi / n_fft)
    return torch.stack([angle.cos(), angle.sin()], 1).to(dtype)


def room_for(frames: int) -> int:
    """Round a number of frames up to a multiple of LANES (16), which a kernel does at once.

    Args:
        frames: number of frames.
    """
    return math.ceil(frames / LANES) * LANES


def project(
    padded: Float[Tensor, "1 padded"], target: Float[Tensor, "bins room"], frames: int,
    config: Framing, sums: Float[Tensor, "1 room_of_sums"],
) -> None:  # fmt: skip
    """Do one iteration of Griffin-Lim on one signal by a C++ kernel, up to the overlap-add.

    The STFT of `padded` keeps its phases and gets the magnitudes `target`. Its inverse, multiplied
    by the window, is overlap-added into `sums`; the caller divides by the sum of squared windows.

    Args:
        padded: (1, padded), waveform extended by its mirror image at both ends.
        target: (bins, room), magnitudes transposed by `turned`; room is `room_for(frames)`.
        frames: number of frames.
        config: settings of the STFT.
        sums: (1, room_of_sums), which is overwritten; at least as long as `padded`.
    """
    samples = padded.shape[1]
    _call(
        "project", padded, frames, config, padded.dtype, target, target.shape[1], sums[:, :samples]
    )


def turned(target: Float[Tensor, "1 frames bins"]) -> Float[Tensor, "bins room"]:
    """Transpose magnitudes to the layout that `project` reads.

    Args:
        target: (1, frames, bins).

    Returns:
        (bins, room), where room is `room_for(frames)`, the number of frames rounded up; the added
        frames are 0.
    """
    _, frames, bins = target.shape
    padded = target.new_zeros(bins, room_for(frames))
    padded[:, :frames] = target[0].T
    return padded


def _by_kernel(
    padded: Float[Tensor, "1 padded"], config: Framing, frames: int, bins: int
) -> Float[Tensor, "1 frames bins"]:
    out = padded.new_empty(bins, room_for(frames))
    epsilon = torch.tensor([config.magnitude_epsilon], dtype=torch.float64)
    _call("magnitudes", padded, frames, config, torch.float64, bins, epsilon, out, out.shape[1])
    return out[:, :frames].T[None]


def _call(
    function: str,
    padded: Float[Tensor, "1 padded"],
    frames: int,
    config: Framing,
    work: torch.dtype,
    *others: Tensor | int,
) -> None:
    name = f"{function}_{str(padded.dtype).removeprefix('torch.')}"
    first, window, n_fft = (config.span - config.window) // 2, config.window, config.n_fft
    weights = window_weights(config.window_shape, window, padded.device, work)
    signal = padded.contiguous()
    numbers = (padded.shape[1], frames, config.hop, first, window, n_fft)
    call("stft", name, signal, *numbers, weights, turns(n_fft, work), *others)
