"""Grouping of frames into decoder steps of r frames each, and back, in the order of time."""

import torch
from torch.nn import functional as F

from speechseq.errors import ConfigError
from speechseq.shapes import Grouped, Mel, StepInputs


def group_frames(mel: Mel, reduction_factor: int, padding_value: float = 0.0) -> Grouped:
    """Group the frames of a mel to decoder steps of r frames each.

    Step t holds frames t·r … t·r + r - 1 one after another.

    Args:
        mel: (batch, frames, mels).
        reduction_factor: r, number of frames per step.
        padding_value: value that fills up the last step.

    Returns:
        Steps (batch, ceil(frames / r), r * mels).

    Raises:
        ConfigError: a reduction factor below 1.

    Examples:
        >>> mel = torch.arange(5.0).view(1, 5, 1)
        >>> group_frames(mel, reduction_factor=2).tolist()
        [[[0.0, 1.0], [2.0, 3.0], [4.0, 0.0]]]
    """
    _check(reduction_factor)
    batch, frames, mels = mel.shape
    missing = -frames % reduction_factor
    padded = F.pad(mel, (0, 0, 0, missing), value=padding_value)
    # time is the slower axis on both sides, so this reshape keeps the order
    return padded.reshape(batch, (frames + missing) // reduction_factor, reduction_factor * mels)


def ungroup_frames(grouped: Grouped, reduction_factor: int) -> Mel:
    """Split decoder steps of r frames each into frames; the inverse of `group_frames`.

    Args:
        grouped: (batch, steps, r * mels), each step's frames one after another.
        reduction_factor: r, number of frames per step.

    Returns:
        Frames in the order of time, (batch, steps * r, mels).

    Raises:
        ConfigError: a reduction factor below 1, or one that does not divide the width.

    Examples:
        >>> grouped = torch.tensor([[[0.0, 1.0], [2.0, 3.0]]])
        >>> ungroup_frames(grouped, reduction_factor=2).tolist()
        [[[0.0], [1.0], [2.0], [3.0]]]
    """
    batch, steps, width = grouped.shape
    _check(reduction_factor)
    if width % reduction_factor:
        problem = f"reduction_factor: {width} channels are not {reduction_factor} equal frames"
        raise ConfigError(problem, "use the one that the frames were grouped by")
    return grouped.reshape(batch, steps * reduction_factor, width // reduction_factor)


def teacher_inputs(mel: Mel, reduction_factor: int) -> StepInputs:
    """Return the inputs of a teacher-forced decoder: the last target frame before each step.

    With r frames per step, the input of step 0 is zeros, and that of step t > 0 is frame t·r - 1,
    the last frame of the previous step (Tacotron, §3.2).

    Args:
        mel: target (batch, frames, mels).
        reduction_factor: r, number of frames per step.

    Returns:
        One frame per step, (batch, steps, mels) with steps = ceil(frames / r).

    Raises:
        ConfigError: a reduction factor below 1.

    Examples:
        >>> mel = torch.tensor([[[1.0], [2.0], [3.0], [4.0], [5.0]]])
        >>> teacher_inputs(mel, reduction_factor=2).tolist()
        [[[0.0], [2.0], [4.0]]]
    """
    _check(reduction_factor)
    last = mel[:, reduction_factor - 1 :: reduction_factor]
    steps = -(-mel.shape[1] // reduction_factor)
    return torch.cat([torch.zeros_like(mel[:, :1]), last[:, : steps - 1]], dim=1)


def _check(reduction_factor: int) -> None:
    if reduction_factor < 1:
        raise ConfigError(f"reduction_factor: {reduction_factor} frames a step", "use 1 or more")
