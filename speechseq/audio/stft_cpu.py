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
    """Cut a signal (batch, padded) into frames and apply the window: (batch, frames, window).

    Before the window, the frame's mean is removed and pre-emphasis applied, if `config` says so.
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
    """Compute the lowest `bins` of the STFT magnitudes of one padded signal, on a CPU.

    The transform runs in double precision, so that quiet bins next to loud ones are exact to
    `dtype`.

    Args:
        padded: (1, padded), waveform with its mirrored ends.
        config: sizes and window of the transform.
        frames: number of frames.
        bins: number of bins.
        dtype: of the result (1, frames, bins).
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
    """True if the C++ kernels are available and take transforms of n_fft samples, a power of two.

    Check `has_memory` for the tensors as well.
    """
    return n_fft >= 8 and n_fft & (n_fft - 1) == 0 and library("stft") is not None


@functools.lru_cache(maxsize=32)
def turns(n_fft: int, dtype: torch.dtype) -> Float[Tensor, "n_fft 2"]:
    """Twiddle factors of the kernels' Fourier transform, cos and sin of 2πk/n_fft: (n_fft, 2).

    The tensor is cached; do not modify it.
    """
    angle = torch.arange(n_fft, dtype=torch.float64) * (2 * math.pi / n_fft)
    return torch.stack([angle.cos(), angle.sin()], 1).to(dtype)


def room_for(frames: int) -> int:
    """Round a number of frames up to a multiple of LANES (16), the kernel's vector of frames."""
    return math.ceil(frames / LANES) * LANES


def project(
    padded: Float[Tensor, "1 padded"], target: Float[Tensor, "bins room"], frames: int,
    config: Framing, sums: Float[Tensor, "1 room_of_sums"],
) -> None:  # fmt: skip
    """Apply Griffin-Lim's projection by a kernel; write the overlap-added frames to `sums`.

    Each of the `frames` frames of `padded`, a waveform with mirrored ends, keeps its phases, gets
    the magnitudes of `target` (laid out by `turned`), and is multiplied by the window of `config`.
    """
    samples = padded.shape[1]
    _call(
        "project", padded, frames, config, padded.dtype, target, target.shape[1], sums[:, :samples]
    )


def turned(target: Float[Tensor, "1 frames bins"]) -> Float[Tensor, "bins room"]:
    """Transpose magnitudes (1, frames, bins) to (bins, room), the layout that `project` reads.

    room is the number of frames, rounded up to whole vectors; the rest is 0.
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
