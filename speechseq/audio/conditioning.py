"""Preparation of waveforms for an STFT: lengths, gain and pre-emphasis; padding frames."""

import torch
from torch import Tensor

from speechseq.audio.framing import Framing
from speechseq.audio.spectrogram import pre_emphasise, working_dtype
from speechseq.errors import DataError
from speechseq.shapes import Waveform


def conditioned(waveform: Waveform, config: Framing) -> Waveform:
    """Apply gain and pre-emphasis to whole waveforms, as far as the settings ask for them.

    Args:
        waveform: (batch, samples).
        config: settings of the STFT; pre-emphasis by frame is not applied here.

    Returns:
        Waveforms (batch, samples), in double precision on a CPU if they were changed.
    """
    if config.gain != 1:
        waveform = waveform.to(working_dtype(waveform)) * config.gain
    if not config.pre_emphasis or config.pre_emphasis_by_frame:
        return waveform
    return pre_emphasise(waveform.to(working_dtype(waveform)), config.pre_emphasis)


def check_spans(own: list[int], samples: int, config: Framing) -> None:
    """Check that the waveforms of a batch are long enough for a frame, and not too long.

    Args:
        own: number of valid samples of each waveform.
        samples: number of samples of the padded batch.
        config: settings of the STFT.

    Raises:
        DataError: a waveform exceeds the batch, or is shorter than `config.shortest`.
    """
    for row, length in enumerate(own):
        if length > samples:
            raise DataError(f"lengths[{row}]: {length} is more than the {samples} samples given")
        if length < config.shortest:
            raise DataError(
                f"waveform {row} has {length} samples, fewer than the {config.shortest} that "
                f"one window of {config.window} and its mirrored ends need",
                f"leave it out, or pad it with silence to {config.shortest} samples",
            )


def silenced(frames: Tensor, lengths: list[int]) -> Tensor:
    """Set the padding of frames to 0.

    Args:
        frames: (batch, frames, channels).
        lengths: number of valid frames of each row.

    Returns:
        The frames, 0 after each row's own last, (batch, frames, channels).
    """
    counts = torch.tensor(lengths, device=frames.device)
    outside = torch.arange(frames.shape[1], device=frames.device) >= counts[:, None]
    return frames.masked_fill(outside[:, :, None], 0)
